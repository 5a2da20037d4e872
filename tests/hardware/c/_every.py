"""Networks with every layer and option that has C, for every kind of number."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

import neurojax as nj
from neurojax.chips.mcu import (
    IF,
    LIF,
    Add,
    BatchNorm,
    Conv,
    Dense,
    Format,
    Number,
    Pool,
    Quantise,
)
from neurojax.layers import Permute, Reshape, Slice, Upsample

Form = Callable[..., Format]


def _forms(number: Number, rounding: str) -> Form:
    def form(weights_q: int = 0, output_q: int = 0, bias_q: int | None = None) -> Format:
        if number.real:
            return Format(number)
        if number.long_bits == 8:  # shifts are narrower than a sum
            weights_q, output_q = min(weights_q, 3), min(output_q, 3)
            bias_q = None if bias_q is None else min(bias_q, 3)
        return Format(number, weights_q, bias_q, output_q, output_round=rounding)

    return form


def _weights(number: Number, q: int, *shape: int) -> np.ndarray:
    random = np.random.default_rng(sum(shape))
    if number.real:  # sums are exact in any order
        return random.integers(-1, 2, shape).astype(np.float32)
    high = number.limits[1]
    return random.integers(-high // 4, high // 4 + 1, shape) * 2.0**-q


def images(number: Number) -> nj.Network:
    """Images, branches, every way to lie in memory."""
    form = _forms(number, "nearest")
    q = {n: form(output_q=n).output_q for n in (3, 4, 5, 6)}
    w = lambda q, *shape: _weights(number, q, *shape)  # noqa: E731
    unit = 1.0 if number.real else -number.limits[0] / 16
    window = (1, 2) if number.real else (2, 3)  # thirds of floats are not exact
    wide = Conv(
        w(5, 6, 2, 2, 3),
        w(6, 6),
        format=form(5, 6, 6),
        input_q=q[4],
        stride=(1, 2),
        padding=[(1, 0), (2, 1)],
        dilation=(2, 1),
        groups=2,
        activation="relu6",
    )
    chain = {
        "input q": Quantise(format=form(0, 4)),
        "wide": wide,
        "if": IF(threshold=0.5 * unit, reset="value", v_reset=-0.25 * unit, format=form(4, 6),
                 input_q=q[6]),
        "max": Pool("max", (2, 3), (1, 2), [(1, 0), (1, 1)], format=form(0, 3), input_q=q[6]),
        "depthwise": Conv(w(4, 6, 1, 2, 1), format=form(4, 4), input_q=q[3], groups=6, padding=1),
        "norm": BatchNorm(w(3, 6), w(3, 6), format=form(3, 4), input_q=q[4], activation="relu"),
        "up": Upsample((2, 1)),
        "turned": Permute((0, 2, 1)),
        "mean": Pool("average", window, format=form(0, 4), input_q=q[4]),
        "flat": nj.layers.Flatten(),
    }  # fmt: skip
    shape = (4, 6, 5)
    (size,) = nj.Sequential(shape, **chain).out_shape("flat")
    rest = {
        "norm 1": BatchNorm(w(2, size), w(2, size), format=form(2, 4), input_q=q[4]),
        "lif": LIF(threshold=0.75 * unit, rtau=0.5, decay_input=False, format=form(3, 5),
                   input_q=q[4]),
        "fc": Dense(w(5, size, size), w(6, size), format=form(5, 4, 6), input_q=q[5]),
        "sum": Add(input_qs=(q[4], q[5]), format=form(0, 4), activation="relu"),
        "back": Reshape((2, size // 2)),
    }  # fmt: skip
    # The sum has one input in the order of the image and one that never was one.
    edges = itertools.pairwise(["input", *chain, "norm 1", "lif", "fc", "sum", "back"])
    return nj.Network(chain | rest, [*edges, ("lif", "sum")], inputs=shape)


def sequences(number: Number) -> nj.Network:
    """Sequences: one spatial axis, a sum over all of it, features at the end."""
    form = _forms(number, "floor")
    w = lambda q, *shape: _weights(number, q, *shape)  # noqa: E731
    unit = 1.0 if number.real else -number.limits[0] / 16
    qs = {o: form(output_q=o).output_q for o in (3, 4, 6)}
    layers = {
        "input q": Quantise(format=form(0, 4)),
        "conv": Conv(w(4, 4, 3, 3), w(2, 4), format=form(4, 4, 2), input_q=qs[4], stride=2,
                     padding=1, dilation=2),
        "lif": LIF(threshold=0.5 * unit, rtau=0.25, reset="value", v_reset=0.25 * unit,
                   format=form(3, 4), input_q=qs[4]),
        "up": Upsample((3,)),
        "max": Pool("max", (2,), format=form(0, 3), input_q=qs[4]),
        "point": Conv(w(3, 4, 2, 1), w(3, 4), format=form(3, 4), input_q=qs[3], groups=2),
        "qualia": LIF(threshold=0.5 * unit, rtau=0.5, reset="value", v_reset=0.25 * unit,
                      format=form(2, 6), input_q=qs[4], compat="qualia"),
        "all": Pool("sum", (10,), format=form(0, 3), input_q=qs[6]),
        "flat": nj.layers.Flatten(),
        "some": Slice(1, 4),
        "if": IF(threshold=0.5 * unit, format=form(2, 3), input_q=qs[3]),
    }  # fmt: skip
    return nj.Sequential((3, 16), **layers)
