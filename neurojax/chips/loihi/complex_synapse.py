"""Synapses with complex weights, for resonators: one real input, two real outputs."""

from __future__ import annotations

from typing import NamedTuple

from jax import numpy as jnp, random
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Layer, Shape, State


class ComplexState(NamedTuple):
    """States of the two synapses."""

    real: State
    imag: State


class ComplexSynapse(Layer):
    """Real and imaginary part of what complex weights give: `(2, *out)`, real part first.

    Args:
        real: The synapse that drives the real part: any layer, such as a `Synapse`, a Linear, or
            what `quantised` returns.
        imag: The same for the imaginary part; its outputs have the same shape.

    References:
        lava-dl, `slayer.synapse.complex`; Lava, `ComplexDense`.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.loihi import ComplexSynapse
        >>> part = lambda w: nj.Linear.from_weights(jnp.array([[w]]))
        >>> print(ComplexSynapse(part(1.0), part(-2.0)).step(None, jnp.ones(1))[1].ravel())
        [ 1. -2.]
    """

    real: Layer
    imag: Layer

    def __check_init__(self) -> None:
        for name in ("real", "imag"):
            part = getattr(self, name)
            if not isinstance(part, Layer):
                raise TypeError(
                    f"ComplexSynapse: {name} is {part!r}; use a layer such as Linear or Synapse"
                )

    def init(self, in_shape: Shape) -> ComplexState | None:
        states = ComplexState(self.real.init(in_shape), self.imag.init(in_shape))
        return None if states.real is None and states.imag is None else states

    def prepare(self, key: PRNGKeyArray | None) -> ComplexSynapse:
        keys = (None, None) if key is None else random.split(key)
        return ComplexSynapse(self.real.prepare(keys[0]), self.imag.prepare(keys[1]))

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        keys = (None, None) if key is None else random.split(key)
        before = ComplexState(None, None) if state is None else state
        real_state, real = self.real.step(before.real, x, key=keys[0])
        imag_state, imag = self.imag.step(before.imag, x, key=keys[1])
        after = None if state is None else ComplexState(real_state, imag_state)
        return after, jnp.stack([real, imag])

    @property
    def needs_key(self) -> bool:
        return self.real.needs_key or self.imag.needs_key

    def absorb(self, state: State) -> ComplexSynapse:
        if state is None:
            return self
        return ComplexSynapse(self.real.absorb(state.real), self.imag.absorb(state.imag))

    def out_shape(self, in_shape: Shape) -> Shape:
        shapes = self.real.out_shape(in_shape), self.imag.out_shape(in_shape)
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"ComplexSynapse: real gives {shapes[0]}, imag {shapes[1]}; both must have the "
                "same outputs"
            )
        return (2, *shapes[0])

    def describe(self) -> str:
        return f"Complex {self.real.describe()}"
