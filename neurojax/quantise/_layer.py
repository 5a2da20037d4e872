"""Layers that quantise: the parameters of another layer, or the values that pass."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Layer, Shape, State
from neurojax.quantise._grid import Grid, LearntGrid


@runtime_checkable
class Rule(Protocol):
    """What moves an array onto a grid: a `Quantiser`, a `Grid`, a `LearntGrid`, or a chip's own."""

    @property
    def bits(self) -> int:
        """Width of the integers."""

    @property
    def rounding(self) -> str:
        """Name of the rounding."""

    def __call__(self, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        """The array on its grid."""


class Quantised(Layer):
    """A layer whose parameters are moved onto grids once a run, in `prepare`.

    The parameters stay real numbers, and gradients reach them straight through: training the
    network is quantisation-aware training. What a run computes with, `baked` returns.

    Args:
        layer: The layer, for example a `Linear`.
        rules: By field of the layer, what quantises it: a `Quantiser`, a `Grid` or a `LearntGrid`.

    Raises:
        ValueError: The layer has no such array.

    Example:
        >>> import jax, neurojax as nj
        >>> from neurojax.quantise import Quantised, Quantiser
        >>> synapse = nj.Linear(4, 8, key=jax.random.key(0))
        >>> net = nj.Sequential((4,), hidden=Quantised(synapse, {"weight": Quantiser(bits=4)}))
        >>> net["hidden"].describe()
        'Linear 4->8, weight 4 bit'
    """

    layer: Layer
    rules: dict[str, Rule]

    def __init__(self, layer: Layer, rules: Mapping[str, Rule]) -> None:
        for name in rules:
            if not _is_array(getattr(layer, name, None)):
                fields = [f.name for f in dataclasses.fields(layer)]
                arrays = [field for field in fields if _is_array(getattr(layer, field, None))]
                raise ValueError(
                    f"Quantised: {type(layer).__name__} has no array '{name}'; its arrays are "
                    f"{', '.join(arrays) or 'none'} (a number is a constant, an array a parameter)"
                )
        self.layer = layer
        self.rules = dict(rules)

    def baked(self, key: PRNGKeyArray | None = None) -> Layer:
        """The layer with its parameters on their grids."""
        fields = lambda layer: [getattr(layer, name) for name in self.rules]  # noqa: E731
        values = [
            rule(value, key=None if key is None else jax.random.fold_in(key, i))
            for i, (rule, value) in enumerate(
                zip(self.rules.values(), fields(self.layer), strict=True)
            )
        ]
        return eqx.tree_at(fields, self.layer, values)

    def init(self, in_shape: Shape) -> State:
        return self.layer.init(in_shape)

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        # `simulate` steps what `prepare` returned; a direct call computes the same.
        return self.baked().step(state, x, key=key)

    def prepare(self, key: PRNGKeyArray | None) -> Layer:
        ours, theirs = (None, None) if key is None else jax.random.split(key)
        return self.baked(ours).prepare(theirs)

    def out_shape(self, in_shape: Shape) -> Shape:
        return self.layer.out_shape(in_shape)

    @property
    def needs_key(self) -> bool:
        stochastic = any(rule.rounding == "stochastic" for rule in self.rules.values())
        return stochastic or self.layer.needs_key

    def absorb(self, state: State) -> Quantised:
        return Quantised(self.layer.absorb(state), self.rules)

    def describe(self) -> str:
        widths = [f"{name} {rule.bits} bit" for name, rule in self.rules.items()]
        return ", ".join([self.layer.describe(), *widths])


def _is_array(value: Any) -> bool:
    return isinstance(value, jax.Array | np.ndarray)


class FakeQuantise(Layer):
    """Moves the values that pass onto a grid, with a straight-through derivative.

    For activations that a chip transports with few bits (graded spikes, read-outs).

    Args:
        grid: A `Grid`, for instance from the range that `observe` found, or a `LearntGrid`.
    """

    grid: Grid | LearntGrid

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        return state, self.grid(x, key=key if self.needs_key else None)

    def out_shape(self, in_shape: Shape) -> Shape:
        return tuple(in_shape)

    @property
    def needs_key(self) -> bool:
        return self.grid.rounding == "stochastic"

    def describe(self) -> str:
        return f"FakeQuantise {self.grid.bits} bit"
