"""neurojax: differentiable simulation of neuromorphic chips."""

__version__ = "0.1.0"
