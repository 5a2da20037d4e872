"""The equations of Loihi's neuron in real numbers: the reference that the chip approximates.

In every time step:

    u = (1 - du) u + x
    v = (1 - dv) v + u + bias
    s = 1 if v > vth, and then v = 0

There is no factor in front of the input: x = 1 raises u and v by 1 at once.

References:
    Lava, `lava.proc.lif.models`: `PyLifModelFloat`, `PyLifRefractoryModelFloat`,
    `PyTernLifModelFloat`; M. Davies et al., "Loihi: a neuromorphic manycore processor with on-chip
    learning", IEEE Micro 38, 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from neurojax._broadcast import check_shapes
from neurojax._layer import Constant, Layer, Shape, constants_to_floats, parameter
from neurojax._measured import as_measured, inject_all
from neurojax._recompute import recomputed
from neurojax.chips.loihi._fire import RESET_GRADIENTS, fires, measured_events, reset
from neurojax.chips.loihi._lines import float_lines
from neurojax.surrogate import ATan, Surrogate


class FloatLIFState(NamedTuple):
    """State of a neuron, in the unit of its input."""

    u: Array  # synaptic current at the end of the step
    v: Array  # membrane potential at the end of the step
    refractory: Array | None = None  # steps left in which the membrane stays at 0


class FloatLIF(Layer):
    """Loihi's neuron without its integers: what `loihi.LIF` and `loihi.CUBA` approximate.

    Beside `neurojax.CubaLIF` it has a bias of the membrane and spikes of both signs.

    Args:
        du: Part of the current that is lost in a time step, 0 to 1. A number, or an array that is
            learned, as the other parameters.
        dv: The same of the membrane.
        vth: Fires at v > vth. None: neither spikes nor reset, the output is v.
        bias: Added to the membrane in every step.
        vth_lo: Negative threshold: the output is -1, and v = 0, at v < vth_lo.
        refractory: From a spike on, the membrane is 0 at the end of so many steps; 1 is no
            refractory period. Lava's `LIFRefractory(refractory_period=p)` is refractory = p + 1.
        reset_gradient: As in `loihi.LIF`.
        surrogate: Derivative of the spikes.

    Raises:
        ValueError: A number or an option is out of its range.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.loihi import FloatLIF
        >>> net = nj.Sequential((1,), n=FloatLIF(du=0.25, dv=0.5, vth=1.0))
        >>> run = nj.simulate(net, jnp.array([0.75, 0.5, 0]).reshape(3, 1, 1), probes=["n.v"])
        >>> print(run["n.v"].ravel(), run.outputs.ravel())
        [0.75     0.       0.796875] [0. 1. 0.]
    """

    du: Any = eqx.field(converter=parameter, kw_only=True)
    dv: Any = eqx.field(converter=parameter, kw_only=True)
    vth: Any = eqx.field(converter=parameter, kw_only=True)
    bias: Any = eqx.field(converter=parameter, default=0.0, kw_only=True)
    vth_lo: Any = eqx.field(converter=parameter, default=None, kw_only=True)
    refractory: int = eqx.field(static=True, default=1, kw_only=True)
    reset_gradient: str = eqx.field(static=True, default="full", kw_only=True)
    surrogate: Surrogate = eqx.field(static=True, default=ATan(), kw_only=True)

    def __check_init__(self) -> None:
        for name in ("du", "dv"):
            value = getattr(self, name)
            if isinstance(value, Constant) and not 0 <= value <= 1:
                raise ValueError(f"FloatLIF: {name} is {value:g}; it must be within 0..1")
        if isinstance(self.refractory, bool) or not self.refractory >= 1:
            raise ValueError(f"FloatLIF: refractory is {self.refractory!r}; it must be >= 1")
        if self.vth_lo is not None and self.vth is None:
            raise ValueError("FloatLIF: vth_lo is given, but there is no vth; give both")
        low, high = self.vth_lo, self.vth
        if isinstance(low, Constant) and isinstance(high, Constant) and low > high:
            raise ValueError(f"FloatLIF: vth_lo is {low:g}; it must not be above vth, {high:g}")
        if self.reset_gradient not in RESET_GRADIENTS:
            raise ValueError(
                f"FloatLIF: reset_gradient is {self.reset_gradient!r}; it must be in "
                f"{RESET_GRADIENTS}"
            )

    @property
    def spiking(self) -> bool:
        return self.vth is not None

    def out_shape(self, in_shape: Shape) -> Shape:
        check_shapes(self, in_shape)
        return tuple(in_shape)

    def init(self, in_shape: Shape) -> FloatLIFState:
        silent = jnp.zeros(in_shape) if self.refractory > 1 else None
        return FloatLIFState(jnp.zeros(in_shape), jnp.zeros(in_shape), silent)

    def prepare(self, key: PRNGKeyArray | None) -> FloatLIF:
        del key
        return constants_to_floats(self)

    def step_measured(
        self,
        state: FloatLIFState,
        x: Array,
        measured: Mapping[str, Array],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[FloatLIFState, Array]:
        del key
        u = (1 - self.du) * state.u + x
        v = (1 - self.dv) * state.v + u + self.bias
        silent = None if state.refractory is None else state.refractory > 0
        v, y, fired = recomputed(self._end, v, silent, dict(measured))
        refractory = state.refractory
        if refractory is not None:
            left = jnp.maximum(refractory - 1, 0)
            refractory = jnp.where(fired, float(self.refractory - 1), left).astype(left.dtype)
        return inject_all(FloatLIFState(u, v, refractory), y, measured)

    def _end(
        self, v: Array, silent: Array | None, measured: dict[str, Array]
    ) -> tuple[Array, Array, Array]:
        if silent is not None:
            v = jnp.where(silent, 0, v)
        v = as_measured(v, measured, "v")
        if self.vth is None:
            return v, v, jnp.zeros(v.shape, bool)
        spikes = y = fires(v - self.vth, self.vth, self.surrogate)
        if self.vth_lo is not None:
            negative = fires(self.vth_lo - v, -self.vth_lo, self.surrogate)
            y, spikes = spikes - negative, spikes + negative
        spikes = measured_events(spikes, measured)
        after = v if "v" in measured else reset(v, spikes, self.reset_gradient)
        return after, y, spikes > 0

    def describe(self) -> str:
        words = [
            f"{name} {value:g}" if isinstance(value, Constant) else f"{name} learned"
            for name in ("du", "dv", "vth", "vth_lo")
            if (value := getattr(self, name)) is not None
        ]
        return f"FloatLIF {', '.join(words)}"

    def equations(self) -> tuple[str, ...]:
        return float_lines(self)
