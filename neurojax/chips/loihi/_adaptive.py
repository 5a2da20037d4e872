"""A threshold that rises with every spike, and a refractory response that is added to it."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from neurojax._layer import parameter
from neurojax.chips.loihi._neuron import AbstractNeuron


class AbstractAdaptive(AbstractNeuron):
    """b is how far the threshold is above its base, r the refractory response.

    Both decay in every step, then the neuron may fire, then a spike adds to them:

        b = trunc(b (4096 - D_th) / 4096),  r = trunc(r (4096 - D_r) / 4096)
        s = 1 if there is more than threshold + b + r
        r = r + 2 (threshold + b) s,  b = b + threshold_step s
    """

    threshold_step: Any = eqx.field(converter=parameter, default=0.0, kw_only=True)
    threshold_decay: Any = eqx.field(converter=parameter, default=0.0, kw_only=True)
    refractory_decay: Any = eqx.field(converter=parameter, default=1.0, kw_only=True)
    adaptation_gradient: bool = eqx.field(static=True, default=True, kw_only=True)

    decays: ClassVar[dict[str, str]] = {
        "threshold_decay": "thDecay",
        "refractory_decay": "refDecay",
    }
    thresholds: ClassVar[dict[str, str]] = {"threshold": "vThMant", "threshold_step": "vThStep"}

    def _relaxed(self, b: Array, r: Array) -> tuple[Array, Array]:
        relaxed = self._leak(b, self.threshold_decay), self._leak(r, self.refractory_decay)
        return relaxed if self.adaptation_gradient else lax.stop_gradient(relaxed)

    def _raised(self, b: Array, r: Array, spikes: Array) -> tuple[Array, Array]:
        return b + self.threshold_step * spikes, r + 2 * (self.threshold + b) * spikes

    def _above(self, v: Array, b: Array, r: Array) -> Array:
        """v - (threshold + b + r). In int32: the sum may have more bits than a float32."""
        whole = lambda y: jnp.asarray(self._steps(y), jnp.int32)  # noqa: E731
        steps = whole(v) - whole(b) - whole(r) - whole(self.threshold)
        return self._units(steps.astype(v.dtype), v - self.threshold - b - r)

    def _adaptation_lines(self, fires: str) -> tuple[str, ...]:
        th, s = self._symbol("threshold"), self.s_scale
        return (
            f"excess of the threshold: b <- {self._leaked('threshold_decay', 'b')} / {s}",
            f"refractory response: r <- {self._leaked('refractory_decay', 'r')} / {s}",
            f"spikes: s <- {fires}",
            f"refractory response rises: r <- r + 2 ({th} + b) s",
            f"threshold rises: b <- b + {self._symbol('threshold_step')} s",
        )
