"""A registered version, opened as what checks need: predictions, probabilities, inputs and a differentiable module."""

from controlplane.models.registered import Registered, open_model

__all__ = ["Registered", "open_model"]
