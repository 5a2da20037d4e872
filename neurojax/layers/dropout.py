"""Dropout: silencing neurons at random while training.

The masks that last for a run are made of the key that `prepare` gets, not kept as state: they take
no memory, a run in pieces with one key keeps them, and both schedules draw the same.
"""

from __future__ import annotations

from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PRNGKeyArray

from neurojax._layer import BATCH_AXIS, Shape, State
from neurojax.layers._inference import Switch, Switchable


class _Dropout(Switchable):
    rate: float = eqx.field(static=True)
    run_key: PRNGKeyArray | None  # set by prepare, for the masks that last for a run

    @property
    def _active(self) -> bool:
        return self.rate > 0 and not self.inference

    @property
    def needs_key(self) -> bool:
        return self._active

    def prepare(self, key: PRNGKeyArray | None) -> Self:
        if not self._active:
            return self
        return eqx.tree_at(lambda d: d.run_key, self, key, is_leaf=lambda node: node is None)

    def out_shape(self, in_shape: Shape) -> Shape:
        return tuple(in_shape)


class Dropout(_Dropout):
    """Silences each value with probability `rate` and scales the others by 1 / (1 - rate).

    Args:
        rate: Probability of a value to be silenced, in [0, 1).
        per_step: True draws a new mask in every time step. False (default) draws one mask for
            each sample and keeps it for all time steps, as SpikingJelly does: a silenced neuron
            is silent for the whole sample, so that it isn't heard through its other spikes.
        inference: True hands the input on unchanged; `equinox.nn.inference_mode` sets it.

    References:
        N. Srivastava et al., "Dropout", JMLR 15, 2014. C. Lee et al., "Enabling spike-based
        backpropagation for training deep neural network architectures", Frontiers in Neuroscience
        14, 2020 (one mask for all time steps).

    Example:
        >>> import jax, jax.numpy as jnp, neurojax as nj
        >>> net = nj.Sequential((6,), nj.layers.Dropout(0.5))
        >>> run = nj.simulate(net, jnp.ones((2, 1, 6)), key=jax.random.key(1))
        >>> bool((run.outputs[0] == run.outputs[1]).all())
        True
    """

    per_step: bool = eqx.field(static=True)

    def __init__(
        self, rate: float = 0.5, *, per_step: bool = False, inference: bool = False
    ) -> None:
        self.rate = _probability("Dropout", rate)
        self.per_step = bool(per_step)
        self.switch = Switch(inference)
        self.run_key = None

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        if not self._active:
            return state, x
        if not self.per_step:
            if self.run_key is None:
                raise ValueError("Dropout: call prepare(key) first, as simulate does")
            key = jax.random.fold_in(self.run_key, jax.lax.axis_index(BATCH_AXIS))
        if key is None:
            raise ValueError("Dropout(per_step=True): step needs a key")
        keep = jax.random.bernoulli(key, 1 - self.rate, x.shape)
        return state, jnp.where(keep, x / (1 - self.rate), jnp.zeros((), x.dtype))

    def describe(self) -> str:
        return f"Dropout {self.rate:g}{', per step' if self.per_step else ''}"


class BatchDropout(_Dropout):
    """Silences each neuron with probability `rate`, the same ones for the batch and for all time.

    y = mask x, as hxtorch does: a silenced neuron of a chip is off for everything that is run in
    one go. The others are not scaled, because a spike can't be.

    Args:
        rate: Probability of a neuron to be silenced, in [0, 1).
        rescale: Whether to scale the others by 1 / (1 - rate) after all.
        inference: True hands the input on unchanged; `equinox.nn.inference_mode` sets it.

    References:
        hxtorch, `hxtorch.snn.BatchDropout`.
    """

    rescale: bool = eqx.field(static=True)

    def __init__(
        self, rate: float = 0.5, *, rescale: bool = False, inference: bool = False
    ) -> None:
        self.rate = _probability("BatchDropout", rate)
        self.rescale = bool(rescale)
        self.switch = Switch(inference)
        self.run_key = None

    def mask(self, shape: Shape) -> Bool[Array, " ..."]:
        """True where a neuron takes part in the run that this layer has been prepared for."""
        if not self._active:
            return jnp.ones(shape, bool)
        if self.run_key is None:
            raise ValueError("BatchDropout: call prepare(key) first, as simulate does")
        return jax.random.bernoulli(self.run_key, 1 - self.rate, shape)

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        if not self._active:
            return state, x
        kept = x / (1 - self.rate) if self.rescale else x
        return state, jnp.where(self.mask(x.shape), kept, jnp.zeros((), x.dtype))

    def describe(self) -> str:
        return f"BatchDropout {self.rate:g}{', rescaled' if self.rescale else ''}"


def _probability(what: str, rate: Any) -> float:
    if not 0 <= rate < 1:
        raise ValueError(f"{what}: rate is {rate!r}; it must be in [0, 1)")
    return float(rate)
