"""The layer contract: what every synapse, neuron and chip core of a network is.

A layer is a frozen pytree whose parameters are fields and whose behaviour is pure functions of
one sample and one time step. Time comes from the scan in `neurojax.simulate`, the batch from
`jax.vmap` inside it, chips and parameter sets from a `jax.vmap` that the user wraps around it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from neurojax._measured import inject_all

Shape = tuple[int, ...]
State = Any

BATCH_AXIS = "batch"
"""Name of the vmapped batch axis inside `simulate`: a layer that needs statistics over the batch
(batch normalisation) reduces over it with `jax.lax.pmean(x, BATCH_AXIS)`."""


@jax.tree_util.register_static
class Constant(float):
    """A number that is part of a layer's definition, not one of its parameters.

    It is a pytree node without leaves, so `jax.grad`, `jax.vmap` and optimisers pass it by.
    `simulate` turns it into a plain Python float before the first step, so that it takes the
    dtype of the arrays that it meets (a float subclass would not).
    """

    def __repr__(self) -> str:
        return float.__repr__(self)


def parameter(value: Any) -> Any:
    """Field converter: *a number is a constant, an array is a parameter*.

    `LIF(threshold=1.0)` has a fixed threshold; `LIF(threshold=jnp.ones(128))` has one threshold a
    neuron that gradients, `vmap` over chips and optimisers see.
    """
    if value is None or isinstance(value, Constant):
        return value
    if isinstance(value, bool | int | float):
        return Constant(value)
    return jnp.asarray(value) if isinstance(value, np.ndarray | np.generic | list) else value


def constants_to_floats(tree: Any) -> Any:
    """`tree` with every `Constant` replaced by the Python float it stands for."""
    is_constant = lambda node: isinstance(node, Constant)  # noqa: E731
    return jax.tree.map(lambda x: float(x) if is_constant(x) else x, tree, is_leaf=is_constant)


class Layer(eqx.Module):
    """One named node of a `Network`: a synapse, a neuron population, a pooling, a chip core.

    Sub-classes implement `out_shape`, and `step` or, if they react to what was measured in a step,
    `step_measured`; where they need to, `init`, `prepare`, `needs_key`, `absorb` and `describe`.
    All methods see one sample: no batch, no time axis.
    """

    many_inputs: ClassVar[bool] = False
    """True if `step` and `out_shape` take a tuple, one entry an incoming edge, in the order of
    the edges. Otherwise several incoming edges are added up."""

    buffers: ClassVar[tuple[str, ...]] = ()
    """Names of array fields that are no parameters, such as running statistics: they are saved
    and mapped over like parameters, but training does not change them by gradients."""

    def init(self, in_shape: Shape) -> State:
        """State before the first step, or None for a layer without memory.

        A layer without memory is applied to all time steps at once under `schedule="layer"`.
        """
        del in_shape
        return None

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        """One time step of one sample: `(state, input) -> (new state, output)`."""
        if type(self).step_measured is Layer.step_measured:
            raise NotImplementedError(f"{type(self).__name__} does not define step()")
        return self.step_measured(state, x, {}, key=key)

    def step_measured(
        self,
        state: State,
        x: Array,
        measured: Mapping[str, Array],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[State, Array]:
        """One time step of which some values were measured on a device.

        Here they take the place of the output and of fields of the state when the step is over.
        A layer that reacts to them within a step does better: a neuron whose membrane was measured
        takes the derivative of its spikes there, and its reset is in the measurement already.

        Args:
            state, x, key: As for `step`.
            measured: Measured values by field of the state after the step, dots going deeper; `""`
                is the output.
        """
        state, y = self.step(state, x, key=key)
        return inject_all(state, y, measured)

    def prepare(self, key: PRNGKeyArray | None) -> Layer:
        """The layer as a run uses it: quantised, mismatch drawn, masks drawn. Called once a run."""
        del key
        return self

    def out_shape(self, in_shape: Shape) -> Shape:
        """Shape of the output for an input shape; raises ValueError if the layer can't take it."""
        raise NotImplementedError(f"{type(self).__name__} does not define out_shape()")

    @property
    def needs_key(self) -> bool:
        """True if `prepare` or `step` draws random numbers, so that `simulate` needs a key."""
        return False

    @property
    def spiking(self) -> bool:
        """True if the outputs are spikes, so that their number means something: the layer, or the
        neuron in it, has a threshold."""
        inner = getattr(self, "neuron", None)
        held = getattr(self, "threshold", None) is not None
        return held or (isinstance(inner, Layer) and inner.spiking)

    def absorb(self, state: State) -> Layer:
        """The layer with what a training run learnt besides gradients (running statistics)."""
        del state
        return self

    def describe(self) -> str:
        """What the layer is, in a few words, for the table that a network prints."""
        return type(self).__name__

    def equations(self) -> tuple[str, ...]:
        """What a step computes, for `neurojax.describe`: lines `"words: name <- formula"`."""
        return ()


def step_layer(
    layer: Layer,
    state: State,
    x: Any,
    measured: Mapping[str, Array],
    *,
    key: PRNGKeyArray | None = None,
) -> tuple[State, Array]:
    """One time step of a layer, given what was measured of it, if anything was."""
    if not measured:
        return layer.step(state, x, key=key)
    return layer.step_measured(state, x, measured, key=key)


def check_shape(what: str, shape: Sequence[int], ndim: int, layout: str) -> None:
    """Raise ValueError unless `shape` has `ndim` axes."""
    if len(shape) != ndim:
        raise ValueError(
            f"{what} takes {layout} ({ndim} axes without time and batch), got shape "
            f"{tuple(shape)}; add a Flatten, or reshape the input"
        )
