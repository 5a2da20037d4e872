"""Lava's LIF neuron with adaptive threshold and refractoriness, in real numbers.

In every time step

    i = (1 - d_i) i + x
    v = (1 - d_v) v + i + bias
    b = (1 - d_theta) b
    r = (1 - d_r) r
    s = 1 if v - r >= threshold + b, and then r = r + 2 (threshold + b), b = b + threshold_step

`ALIF` has the same equations in Loihi's integers (without the bias), as slayer computes them.
Lava's own fixed-point model multiplies its decays by 4096 twice, so that it can only keep all or
nothing; it is not modelled.

References:
    Lava, `lava.proc.atrlif` (`PyATRLIFModelFloat`), which writes threshold + b as one state theta.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from neurojax import surrogate as surrogates
from neurojax._broadcast import check_shapes
from neurojax._layer import Constant, Layer, Shape, constants_to_floats, parameter
from neurojax._measured import OUTPUT, as_measured, inject_all


class ATRLIFState(NamedTuple):
    """State of an ATRLIF neuron."""

    v: Array  # membrane potential
    i: Array  # synaptic current
    b: Array  # what the threshold is above its base
    r: Array  # refractory response


class ATRLIF(Layer):
    """Leaky integrate-and-fire neuron with adaptive threshold and refractoriness, in floats.

    A spike doesn't reset the membrane. It raises the threshold by `threshold_step`, and adds twice
    the threshold to a refractory response; both then decay. Gradients pass through all states.

    Args:
        current_decay: Part of the current that is lost in a time step, 0 to 1 (`delta_i` of Lava).
            A number is fixed, an array learned, and so are the others.
        voltage_decay: The same of the membrane (`delta_v`).
        threshold_decay: The same of what spikes added to the threshold (`delta_theta`).
        refractory_decay: The same of the refractory response (`delta_r`).
        threshold: Fires at v - r >= threshold + b (`theta_0`).
        threshold_step: What a spike adds to the threshold (`theta_step`).
        bias: Added to the membrane in every step (`bias_mant`).
        surrogate: Derivative of the spikes.

    Raises:
        ValueError: A number is out of its range.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips import loihi
        >>> neuron = loihi.ATRLIF(current_decay=1.0, voltage_decay=0.0, threshold_step=0.5,
        ...                       threshold_decay=0.25, refractory_decay=0.5)
        >>> run = nj.simulate(nj.Sequential((1,), n=neuron), jnp.ones((5, 1, 1)), probes=["n.b"])
        >>> print(run.outputs.ravel(), run["n.b"].ravel()[:3])
        [1. 0. 1. 1. 1.] [0.5     0.375   0.78125]
    """

    current_decay: Any = eqx.field(converter=parameter, kw_only=True)
    voltage_decay: Any = eqx.field(converter=parameter, kw_only=True)
    threshold_decay: Any = eqx.field(converter=parameter, default=0.0, kw_only=True)
    refractory_decay: Any = eqx.field(converter=parameter, default=1.0, kw_only=True)
    threshold: Any = eqx.field(converter=parameter, default=1.0, kw_only=True)
    threshold_step: Any = eqx.field(converter=parameter, default=0.0, kw_only=True)
    bias: Any = eqx.field(converter=parameter, default=0.0, kw_only=True)
    surrogate: surrogates.Surrogate = eqx.field(
        static=True, default=surrogates.ATan(), kw_only=True
    )

    def __check_init__(self) -> None:
        for name in ("current_decay", "voltage_decay", "threshold_decay", "refractory_decay"):
            value = getattr(self, name)
            if isinstance(value, Constant) and not 0 <= value <= 1:
                raise ValueError(f"ATRLIF: {name} is {value:g}; it must be within 0..1")

    def out_shape(self, in_shape: Shape) -> Shape:
        check_shapes(self, in_shape)
        return tuple(in_shape)

    def init(self, in_shape: Shape) -> ATRLIFState:
        return ATRLIFState(*(jnp.zeros(in_shape) for _ in ATRLIFState._fields))

    def step_measured(
        self,
        state: ATRLIFState,
        x: Array,
        measured: Mapping[str, Array],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[ATRLIFState, Array]:
        del key
        # y - d y, not (1 - d) y: a small decay keeps more of its bits as a float32 than 1 minus it.
        i = state.i - self.current_decay * state.i + x
        v = as_measured(state.v - self.voltage_decay * state.v + i + self.bias, measured, "v")
        b = state.b - self.threshold_decay * state.b
        r = state.r - self.refractory_decay * state.r
        threshold = self.threshold + b
        s = surrogates.spike((v - r) - threshold, self.surrogate, threshold=threshold)
        s = as_measured(s, measured, OUTPUT)
        after = ATRLIFState(v, i, b + self.threshold_step * s, r + 2 * threshold * s)
        return inject_all(after, s, measured)

    def describe(self) -> str:
        shown = ("current_decay", "voltage_decay", "threshold_step")
        values = ((name, getattr(self, name)) for name in shown)
        return "ATRLIF " + ", ".join(
            f"{name} {value:g}" if isinstance(value, Constant) else f"{name} learned"
            for name, value in values
        )

    def equations(self) -> tuple[str, ...]:
        plain: Any = constants_to_floats(self)

        def symbol(name: str) -> str:
            value = getattr(plain, name)
            return name if eqx.is_array(value) else f"{value:.7g}"

        def kept(name: str) -> str:
            value = getattr(plain, name)
            return f"(1 - {name})" if eqx.is_array(value) else f"{1 - value:.7g}"

        bias = symbol("bias")
        term = "" if bias == "0" else f" - {bias[1:]}" if bias[0] == "-" else f" + {bias}"
        threshold = f"({symbol('threshold')} + b)"
        return (
            f"current: i <- {kept('current_decay')} i + x",
            f"membrane: v <- {kept('voltage_decay')} v + i{term}",
            f"excess of the threshold: b <- {kept('threshold_decay')} b",
            f"refractory response: r <- {kept('refractory_decay')} r",
            f"spikes: s <- [v - r >= {threshold[1:-1]}]",
            f"refractory response rises: r <- r + 2 {threshold} s",
            f"threshold rises: b <- b + {symbol('threshold_step')} s",
            "output: y <- s",
        )
