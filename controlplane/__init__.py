"""Control Plane watches machine-learning models in production and acts when they go wrong."""

__version__ = "0.1.0"
