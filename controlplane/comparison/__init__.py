"""The library: two tables in, how far each of their columns is apart out."""

from controlplane.comparison.measure import compare
from controlplane.comparison.result import Change, Comparison, Outcome

__all__ = ["Change", "Comparison", "Outcome", "compare"]
