"""Inputs of a converted network: images and events as spikes of axons."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, PRNGKeyArray

from neurojax import encode
from neurojax._layer import Shape

ENCODINGS = ("binary", "rate", "latency")


def encoded(
    x: Any,
    shape: Shape,
    *,
    steps: int,
    dvs: bool,
    encoding: str,
    key: PRNGKeyArray | None,
    by_second_axis: bool,
) -> Bool[np.ndarray, "batch time axons"]:
    """Spikes of each sample in each step.

    Args:
        x: Tensor or array `[batch, *shape]`, with `dvs` `[batch, time, *shape]`.
        shape: Of one sample at one step.
        steps: How many to make, without `dvs`.
        dvs: Whether x has a time axis; then what is not 0 is a spike.
        encoding: One of ENCODINGS, without `dvs`.
        key: For "rate".
        by_second_axis: As hs_api flattens images: into as many samples as the second axis has.
    """
    values = np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)
    size, lead = math.prod(shape), 1 + dvs
    if values.ndim < lead or math.prod(values.shape[lead:]) != size:
        axes = "batch, time" if dvs else "batch"
        raise ValueError(
            f"input_converter: x has shape {values.shape}; it must be [{axes}, "
            f"{', '.join(map(str, shape))}]" + ("" if dvs else " (with dvs=True there is time)")
        )
    if dvs:
        return values.reshape(*values.shape[:2], size) != 0
    if by_second_axis:
        flat = values.reshape(values.shape[1], -1)
    else:
        flat = values.reshape(len(values), size)
    if encoding == "binary":
        return np.repeat((flat != 0)[:, None], steps, axis=1)
    if not (flat >= 0).all() or not (flat <= 1).all():
        raise ValueError(
            f"input_converter: values within {flat.min():g}..{flat.max():g}; the encoding "
            f"'{encoding}' takes 0..1"
        )
    if encoding == "rate":
        if key is None:
            raise ValueError("input_converter: the encoding 'rate' draws spikes; give it a key")
        drawn = np.asarray(encode.poisson(flat.astype(np.float32), steps=steps, key=key))
        return np.swapaxes(drawn, 0, 1) != 0
    when = np.rint((1 - flat) * (steps - 1))
    return (np.arange(steps)[:, None] == when[:, None]) & (flat > 0)[:, None]
