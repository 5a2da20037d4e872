"""Parameters that are one number, or one a neuron."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import numpy as np

from neurojax._layer import Shape


def broadcasts(shape: Shape, to: Shape) -> bool:
    """Whether an array of one shape is taken along another without making that larger."""
    try:
        return np.broadcast_shapes(shape, to) == tuple(to)
    except ValueError:
        return False


def check_shapes(layer: Any, in_shape: Shape) -> None:
    """Raise ValueError unless every array among a neuron's fields broadcasts to `in_shape`."""
    for name, value in vars(layer).items():
        if eqx.is_array(value) and not broadcasts(value.shape, in_shape):
            raise ValueError(
                f"{type(layer).__name__}: {name} has shape {value.shape}, but there are "
                f"{tuple(in_shape)} neurons; give one number, one a neuron, or (channels, 1, 1) "
                "for one a channel"
            )
