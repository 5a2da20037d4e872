"""Several layers that act as one."""

from __future__ import annotations

import functools as ft
from collections import namedtuple
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Layer, Shape, State, step_layer
from neurojax._measured import OUTPUT, inner


class Chain(Layer):
    """Layers one after the other, as one layer: for what takes a single one, such as `Recurrent`.

    In a network, name the layers instead: `Sequential` then shows each of them.

    Args:
        **layers: The layers by name, first to last. Names are Python names, so that a probe can
            read a state as `"hidden.neuron.v"`.

    Raises:
        ValueError: No layers, or a name that begins with an underscore.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> filtered = nj.layers.Chain(synapse=nj.LI(decay=0.5), neuron=nj.IAF(threshold=2.0))
        >>> net = nj.Sequential((1,), hidden=filtered)
        >>> run = nj.simulate(net, jnp.ones((3, 1, 1)), probes=["hidden.synapse.v"])
        >>> print(run["hidden.synapse.v"].ravel(), run.outputs.ravel())
        [1.   1.5  1.75] [0. 1. 1.]
    """

    names: tuple[str, ...] = eqx.field(static=True)
    layers: tuple[Layer, ...]

    def __init__(self, **layers: Layer) -> None:
        if not layers:
            raise ValueError("Chain: give at least one layer")
        hidden = [name for name in layers if name.startswith("_")]
        if hidden:
            raise ValueError(f"Chain: the name {hidden[0]!r} begins with an underscore; drop it")
        self.names, self.layers = tuple(layers), tuple(layers.values())

    def __getitem__(self, name: str) -> Layer:
        """A layer by its name."""
        if name not in self.names:
            raise KeyError(f"Chain has no layer {name!r}; it has {', '.join(self.names)}")
        return self.layers[self.names.index(name)]

    def init(self, in_shape: Shape) -> State:
        states = []
        for layer in self.layers:
            states.append(layer.init(in_shape))
            in_shape = layer.out_shape(in_shape)
        if all(state is None for state in states):
            return None
        return chain_state(self.names)(*states)

    def step_measured(
        self,
        state: State,
        x: Array,
        measured: Mapping[str, Array],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[State, Array]:
        states = []
        old = (None,) * len(self.layers) if state is None else state
        told = [inner(measured, name) for name in self.names]
        if OUTPUT in measured:
            told[-1][OUTPUT] = measured[OUTPUT]
        keys = self._keys(key)
        for layer, before, own, known in zip(self.layers, old, keys, told, strict=True):
            after, x = step_layer(layer, before, x, known, key=own)
            states.append(after)
        return (None if state is None else type(state)(*states)), x

    def prepare(self, key: PRNGKeyArray | None) -> Chain:
        pairs = zip(self.layers, self._keys(key), strict=True)
        return self._with(layer.prepare(own) for layer, own in pairs)

    def out_shape(self, in_shape: Shape) -> Shape:
        for layer in self.layers:
            in_shape = layer.out_shape(in_shape)
        return in_shape

    @property
    def needs_key(self) -> bool:
        return any(layer.needs_key for layer in self.layers)

    @property
    def spiking(self) -> bool:
        return self.layers[-1].spiking

    def absorb(self, state: State) -> Chain:
        if state is None:
            return self
        pairs = zip(self.layers, state, strict=True)
        return self._with(layer.absorb(own) for layer, own in pairs)

    def describe(self) -> str:
        return "Chain(" + ", ".join(layer.describe() for layer in self.layers) + ")"

    def _with(self, layers: Any) -> Chain:
        return Chain(**dict(zip(self.names, layers, strict=True)))

    def _keys(self, key: PRNGKeyArray | None) -> Any:
        n = len(self.layers)
        return (None,) * n if key is None else jax.random.split(key, n)


@ft.cache
def chain_state(names: tuple[str, ...]) -> Any:
    """A named tuple with a field a layer; one type for one set of names, so that trees agree."""
    return namedtuple("ChainState", names)  # type: ignore[misc]
