"""Mergeable column summaries: fit bins on a reference, count windows into them, compare; numpy and pyarrow, no I/O."""

from controlplane.profiles.bins import Batches, Bins, ColumnBins, fit_bins
from controlplane.profiles.column import ColumnProfile
from controlplane.profiles.kinds import Kind, kind_of
from controlplane.profiles.profile import Profile, ProfileBuilder
from controlplane.profiles.reference import Reference, build_reference
from controlplane.profiles.sampling import Sampler, hashes_of, keep

__all__ = [
    "Batches",
    "Bins",
    "ColumnBins",
    "ColumnProfile",
    "Kind",
    "Profile",
    "ProfileBuilder",
    "Reference",
    "Sampler",
    "build_reference",
    "fit_bins",
    "hashes_of",
    "keep",
    "kind_of",
]
