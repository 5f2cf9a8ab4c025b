"""A registered version, opened as what checks need: predictions, probabilities, inputs and a differentiable module."""

from controlplane.models.fingerprint import Fingerprint, fingerprint
from controlplane.models.registered import open_model

__all__ = ["Fingerprint", "fingerprint", "open_model"]
