"""A threshold without membrane: spikes are what the input reaches."""

from __future__ import annotations

import equinox as eqx
from jaxtyping import Array, PRNGKeyArray

from neurojax._broadcast import check_shapes
from neurojax._layer import Constant, Layer, Shape, State, parameter
from neurojax.neurons._neuron import Parameter, check_choice, option
from neurojax.surrogate import ATan, Surrogate, spike


class Threshold(Layer):
    """Spikes where the input reaches a threshold; nothing is kept from step to step.

    Args:
        threshold: A number (a constant), or an array (a parameter), one value a neuron.
        strict: False: it spikes at x >= threshold; True: at x > threshold, as NIR's `Threshold`.
        surrogate: Derivative of the spike, see `neurojax.surrogate`.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.neurons import Threshold
        >>> x = jnp.array([0.5, 1.0, 1.5]).reshape(1, 1, 3)
        >>> print(nj.simulate(nj.Sequential((3,), Threshold(1.0)), x).outputs)
        [[[0. 1. 1.]]]
    """

    threshold: Parameter = eqx.field(converter=parameter, default=1.0)
    strict: bool = option(False)
    surrogate: Surrogate = option(ATan())

    def __check_init__(self) -> None:
        if not (isinstance(self.threshold, Constant) or eqx.is_array(self.threshold)):
            raise TypeError(
                f"Threshold: threshold is {self.threshold!r}; give a number (a constant) or an "
                "array (a parameter)"
            )
        check_choice("Threshold", "strict", self.strict, (False, True))
        if not isinstance(self.surrogate, Surrogate):
            raise TypeError(
                f"Threshold: surrogate is {self.surrogate!r}; use an object such as "
                "surrogate.ATan(), or surrogate.by_name('atan')"
            )

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        u = x - self.threshold
        return state, spike(u, self.surrogate, threshold=self.threshold, strict=self.strict)

    def out_shape(self, in_shape: Shape) -> Shape:
        check_shapes(self, in_shape)
        return tuple(in_shape)

    def describe(self) -> str:
        one = isinstance(self.threshold, Constant)
        return f"Threshold {float(self.threshold):g}" if one else "Threshold learned"

    def equations(self) -> tuple[str, ...]:
        one = isinstance(self.threshold, Constant)
        threshold = f"{float(self.threshold):.7g}" if one else "threshold"
        return (f"spikes: s <- [x {'>' if self.strict else '>='} {threshold}]", "output: y <- s")
