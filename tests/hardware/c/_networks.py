"""Random networks of a microcontroller's layers, with scales that make sums wrap and saturate."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

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
    number_of,
)
from neurojax.layers import Permute, Reshape, Upsample

NUMBERS = (
    *(number_of("int8", width) for width in (8, 16, 32)),
    *(number_of("int16", width) for width in (16, 32)),
    number_of("float32"),
)


class Sketch:
    """A network that grows: names, edges, and what the last layer gives."""

    def __init__(self, draw: Any, number: Number, shape: tuple[int, ...]) -> None:
        self.draw, self.number = draw, number
        self.layers: dict[str, nj.Layer] = {}
        self.edges: list[tuple[str, str]] = []
        self.top, self.shape = "input", shape
        self.random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        # The largest scale for which no shift is as wide as a sum.
        self.finest = {8: 3, 16: 7, 32: 12}[number.long_bits]
        self.q = self.pick_q()
        self.add(Quantise(format=self.format(output_q=self.q)), self.q)

    def pick(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def pick_q(self) -> int:
        return 0 if self.number.real else self.draw(st.integers(0, self.finest))

    def format(self, **scales: Any) -> Format:
        rounding = {"output_round": self.pick("floor", "nearest")}
        return Format(self.number, **({} if self.number.real else scales | rounding))

    def add(self, layer: nj.Layer, q: int, *sources: str) -> str:
        name = f"{type(layer).__name__} {len(self.layers)}"  # a blank is no part of an identifier
        self.layers[name] = layer
        self.edges += [(source, name) for source in sources or (self.top,)]
        self.top, self.q = name, q
        if len(sources) < 2:
            self.shape = layer.out_shape(self.shape)
        return name

    def weights(self, q: int, *shape: int) -> np.ndarray:
        """Real weights that fill the grid, and now and then more."""
        if self.number.real:  # exact sums, in any order
            return self.random.integers(-1, 2, shape).astype(np.float32)
        low, high = self.number.limits
        narrow = self.random.integers(low // 16, high // 16 + 1, shape)
        wide = self.random.integers(low * 2, high * 2, shape)
        return np.where(self.random.random(shape) < 0.8, narrow, wide) / 2.0**q

    def affine(self, kind: Any, *shape: int, **options: Any) -> None:
        weights_q, bias_q, q = self.pick_q(), self.pick(None, self.pick_q()), self.pick_q()
        bias = None
        if kind is BatchNorm or self.pick(True, False):
            bias = self.weights(weights_q if bias_q is None else bias_q, shape[0])
        layer = kind(
            self.weights(weights_q, *shape),
            bias,
            format=self.format(weights_q=weights_q, bias_q=bias_q, output_q=q),
            input_q=self.q,
            activation=self.pick(None, "relu", "relu6"),
            **options,
        )
        self.add(layer, q)

    def conv(self) -> None:
        axes = len(self.shape) - 1
        channels = self.shape[0]
        groups = self.pick(*(g for g in (1, 2, 3) if channels % g == 0))
        kernel = [self.pick(1, 2, 3) for _ in range(axes)]
        dilation = [self.pick(1, 2) for _ in range(axes)]
        padding = []
        for n, k, d in zip(self.shape[1:], kernel, dilation, strict=True):
            before, after = self.pick(0, 1, 2), self.pick(0, 1)
            short = max(0, d * (k - 1) + 1 - n - before - after)
            padding.append((before, after + short))
        self.affine(
            Conv,
            groups * self.pick(1, 2),
            channels // groups,
            *kernel,
            stride=[self.pick(1, 2) for _ in range(axes)],
            padding=padding,
            dilation=dilation,
            groups=groups,
        )

    def pool(self) -> None:
        kind = self.pick("max", "average", "sum")
        kernel = [
            min(n, self.pick(1, 2) if self.number.real else self.pick(1, 2, 3))
            for n in self.shape[1:]
        ]
        padding = [
            (self.draw(st.integers(0, k - 1)), self.draw(st.integers(0, k - 1))) for k in kernel
        ]
        q = self.pick_q()
        stride = [self.pick(1, 2) for _ in kernel]
        layer = Pool(
            kind,
            kernel,
            stride,
            padding,
            format=self.format(output_q=q),
            input_q=self.q,
            activation=self.pick(None, None, "relu"),
        )
        self.add(layer, q)

    def neuron(self) -> None:
        q, membrane_q = self.pick_q(), self.pick_q()
        hard, real = self.pick(True, False), self.number.real
        unit = 1.0 if real else self.number.limits[1] / 2.0**membrane_q
        options = {
            "threshold": self.pick(0.0, 0.25, 1.0, 1.5) * unit,
            "reset": "value" if hard else "subtract",
            "v_reset": self.pick(-0.5, 0.0, 0.25) * unit if hard else None,
            "format": self.format(weights_q=membrane_q, output_q=q),
            "input_q": self.q,
            "compat": self.pick(None, None, "qualia"),
        }
        if self.pick(True, False):
            options |= {"rtau": 0.5 if real else self.pick(0.0, 0.1, 0.5, 1.0) * unit}
            self.add(LIF(decay_input=self.pick(True, False), **options), q)
        else:
            self.add(IF(**options), q)

    def branch(self) -> None:
        """x + f(x), sometimes + g(x), with f and g of the same shape."""
        start, start_q, shape = self.top, self.q, self.shape
        ends = [(start, start_q)]
        for _ in range(self.pick(1, 2)):
            self.top, self.q, self.shape = start, start_q, shape
            if len(shape) == 1:
                self.affine(Dense, shape[0], shape[0])
            else:
                self.affine(Conv, shape[0], shape[0], *(1 for _ in shape[1:]))
            ends.append((self.top, self.q))
        if self.pick(True, False):
            ends.reverse()
        q = self.pick_q()
        layer = Add(
            input_qs=[q for _, q in ends],
            format=self.format(output_q=q),
            activation=self.pick(None, "relu"),
        )
        self.add(layer, q, *(name for name, _ in ends))

    def grow(self) -> None:
        spatial = len(self.shape) > 1
        kinds = ["conv", "conv", "pool", "move"] if spatial else ["dense", "dense"]
        getattr(self, self.pick(*kinds, "neuron", "neuron", "norm", "branch"))()

    def dense(self) -> None:
        self.affine(Dense, self.pick(1, 3, 6), self.shape[0])

    def norm(self) -> None:
        self.affine(BatchNorm, self.shape[0])

    def move(self) -> None:
        """Other axes, or a repetition."""
        axes = len(self.shape)
        layer = self.pick(
            nj.layers.Flatten(),
            Reshape((int(np.prod(self.shape)),)),
            Permute(tuple(self.random.permutation(axes).tolist())),
            Upsample((2,) if axes == 2 else (self.pick(1, 2), self.pick(1, 3))),
        )
        if np.prod(self.shape) > 60 and isinstance(layer, Upsample):
            layer = nj.layers.Flatten()
        self.add(layer, self.q)


@st.composite
def networks(draw: Any) -> tuple[nj.Network, Number, np.ndarray]:
    """A network, its numbers, and integers for its input: `[time, batch, *shape]`."""
    number = draw(st.sampled_from(NUMBERS))
    shape = draw(st.sampled_from([(2, 5, 4), (3, 3, 6), (1, 4, 4), (2, 9), (6,)]))
    sketch = Sketch(draw, number, shape)
    for _ in range(draw(st.integers(1, 6))):
        sketch.grow()
    network = nj.Network(sketch.layers, sketch.edges, inputs=shape, outputs=[sketch.top])
    low, high = (-2, 2) if number.real else number.limits
    size = (4, 2, *shape)
    inputs = sketch.random.integers(low, high + 1, size)
    inputs = np.where(
        sketch.random.random(size) < 0.3, sketch.random.choice([low, high], size), inputs
    )
    return network, number, inputs
