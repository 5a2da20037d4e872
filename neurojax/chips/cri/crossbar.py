"""The whole chip as one layer: axons and neurons, synapses between them in dense matrices.

In every time step, with a = the axons that are active and S = the neurons that fire now,

    V = limit(V' + a W_axons + S W_recurrent)

where S and V' (after reset, leak and noise) are the neurons'. So the spikes of a step reach their
targets in the same step, and these can fire in the next one. All sums are exact.

Dense, batched and differentiable: for networks of up to some thousands of neurons, and for
training. See `neurojax.chips.cri.events` for larger ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from neurojax._layer import Layer, Shape, check_shape
from neurojax._measured import OUTPUT
from neurojax.chips.cri import _options, _wide
from neurojax.chips.cri._state import injected
from neurojax.chips.cri._wide import Wide, wide
from neurojax.chips.cri.neuron import CRIState, Neuron
from neurojax.chips.cri.spec import LARGEST_DELAY
from neurojax.chips.cri.synapse import LARGEST_FAN_IN, on_grid, product, split
from neurojax.fixed_point import derivative_of

MATRICES = ("axon_weights", "recurrent_weights", "delayed_weights")


class Crossbar(Layer):
    """Axons, neurons, and dense synapses between them.

    Weights may hold any real numbers, so that they can be trained. A run rounds them to the nearest
    integers of 16 bits (ties to even), and gradients pass this as if it were not there. (Weights
    that hs_api was given: see `synapse.stored`.)

    The input is the axons, active where it is not 0; the output the spikes.

    Args:
        axon_weights: `[axons, neurons]`.
        recurrent_weights: `[neurons, neurons]`, from neuron (row) to neuron; None: no synapses
            between neurons.
        neuron: The neurons; arrays in it have one entry a neuron.
        outputs: Indices of the neurons whose spikes are the output; None: all.
        delayed_weights: `[neurons, neurons]`, of synapses that are `delay` steps late.
        delay: Of each neuron's delayed synapses, 0 to 15: an integer, or an array of them.

    Raises:
        ValueError: Shapes that don't fit together, an index or a delay out of range, more than
            65,536 axons or neurons.
        TypeError: The type of an argument.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.cri.crossbar import Crossbar
        >>> from neurojax.chips.cri.neuron import Neuron
        >>> chip = Crossbar(jnp.array([[9.0, 0.0]]), jnp.array([[0.0, 7.0], [0.0, 0.0]]),
        ...                 neuron=Neuron(theta=5, model="IF"))
        >>> net = nj.Sequential((1,), chip=chip)
        >>> run = nj.simulate(net, jnp.array([1.0, 0, 0]).reshape(3, 1, 1), probes=["chip.v"])
        >>> print(run["chip.v"][:, 0].tolist())
        [[9.0, 0.0], [0.0, 7.0], [0.0, 0.0]]
        >>> print(run.outputs[:, 0].tolist())
        [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    """

    axon_weights: Float[Array, "axons neurons"]
    recurrent_weights: Float[Array, "neurons neurons"] | None
    delayed_weights: Float[Array, "neurons neurons"] | None
    neuron: Neuron
    outputs: Int[Array, " outputs"] | None
    delay: Any
    parts: tuple[Any, ...] | None

    buffers: ClassVar[tuple[str, ...]] = ("outputs", "delay")

    def __init__(
        self,
        axon_weights: Any,
        recurrent_weights: Any = None,
        *,
        neuron: Neuron,
        outputs: Any = None,
        delayed_weights: Any = None,
        delay: Any = 0,
    ) -> None:
        self.axon_weights = _matrix("axon_weights", axon_weights)
        self.recurrent_weights = _matrix("recurrent_weights", recurrent_weights)
        self.delayed_weights = _matrix("delayed_weights", delayed_weights)
        self.neuron = neuron
        self.outputs = None if outputs is None else jnp.asarray(np.asarray(outputs, np.int32))
        self.delay = _options.integers(delay)
        self.parts = None
        self._check()

    def _check(self) -> None:
        if not isinstance(self.neuron, Neuron):
            raise TypeError(f"Crossbar: neuron is {self.neuron!r}; it must be a cri.Neuron")
        axons, neurons = self.axon_weights.shape
        for name in ("recurrent_weights", "delayed_weights"):
            matrix = getattr(self, name)
            if matrix is not None and matrix.shape != (neurons, neurons):
                raise ValueError(
                    f"Crossbar: {name} has shape {matrix.shape}, but axon_weights "
                    f"{self.axon_weights.shape} leads to {neurons} neurons; it must be "
                    f"{(neurons, neurons)}"
                )
        if max(axons, neurons) > LARGEST_FAN_IN:
            raise ValueError(
                f"Crossbar: {axons:,} axons and {neurons:,} neurons; dense sums are exact for up "
                f"to {LARGEST_FAN_IN:,} of either. Use the event-driven engine"
            )
        self.neuron.out_shape((neurons,))
        if self.outputs is not None and self.outputs.size:
            low, high = int(self.outputs.min()), int(self.outputs.max())
            if low < 0 or high >= neurons:
                raise ValueError(
                    f"Crossbar: outputs are {low}..{high}, but there are {neurons} neurons"
                )
        _options.check_range("delay", self.delay, (0, LARGEST_DELAY), whose="Crossbar")
        if eqx.is_array(self.delay) and self.delay.shape != (neurons,):
            raise ValueError(
                f"Crossbar: delay has shape {self.delay.shape}; it must be {(neurons,)}"
            )

    @property
    def axons(self) -> int:
        """How many there are."""
        return self.axon_weights.shape[0]

    @property
    def neurons(self) -> int:
        """How many there are."""
        return self.axon_weights.shape[1]

    @property
    def needs_key(self) -> bool:
        return self.neuron.needs_key

    def out_shape(self, in_shape: Shape) -> Shape:
        check_shape("Crossbar", in_shape, 1, "(axons,)")
        if in_shape[0] != self.axons:
            raise ValueError(f"Crossbar takes {self.axons} axons, got shape {tuple(in_shape)}")
        return (self.neurons,) if self.outputs is None else self.outputs.shape

    def init(self, in_shape: Shape) -> CRIState:
        del in_shape
        state = self.neuron.init((self.neurons,))
        longest = self._longest()
        return state._replace(history=jnp.zeros((longest, self.neurons))) if longest else state

    def prepare(self, key: PRNGKeyArray | None) -> Crossbar:
        ready = eqx.tree_at(lambda c: c.neuron, self, self.neuron.prepare(key))
        weights = [None if m is None else on_grid(m) for m in self._matrices()]
        parts = tuple(None if m is None else split(m) for m in weights)
        return eqx.tree_at(
            lambda c: (*c._matrices(), c.parts),
            ready,
            (*weights, parts),
            is_leaf=lambda x: x is None,
        )

    def step_measured(
        self,
        state: CRIState,
        x: Array,
        measured: Mapping[str, Array],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[CRIState, Array]:
        told, known = self._told(measured)
        fired, spikes = self.neuron.fire(state, key=key, dtype=x.dtype, told=told, known=known)
        axons = derivative_of(x, (x != 0).astype(x.dtype))
        late, history = self._late(state.history, spikes)
        smooth, exact = self._arriving((axons, spikes, late))
        after = self.neuron.integrate(fired, smooth, exact)._replace(history=history)
        return injected(after, spikes if self.outputs is None else spikes[self.outputs], measured)

    def _told(self, measured: Mapping[str, Array]) -> tuple[Array | None, Any]:
        """Spikes of the neurons that were measured, and which neurons these are."""
        spikes = measured.get(OUTPUT)
        if spikes is None or self.outputs is None:
            return spikes, True
        none = jnp.zeros(self.neurons, bool)
        return none.at[self.outputs].set(spikes != 0), none.at[self.outputs].set(True)

    def integers(self) -> dict[str, Int[np.ndarray, "sources neurons"]]:
        """The weights as int64, by matrix. Not under jit."""
        named = zip(MATRICES, self._matrices(), strict=True)
        return {name: np.asarray(on_grid(m)).astype(np.int64) for name, m in named if m is not None}

    def _matrices(self) -> tuple[Array | None, ...]:
        return tuple(getattr(self, name) for name in MATRICES)

    def _arriving(self, sources: tuple[Any, ...]) -> tuple[Array, Wide]:
        """The sums of all synapses: in floats, for the gradient, and the exact integers."""
        parts = self.parts or (None,) * len(MATRICES)
        smooth: Any = 0.0
        exact = wide(jnp.zeros(self.neurons, jnp.int32))
        for spikes, weight, bytes_ in zip(sources, self._matrices(), parts, strict=True):
            if weight is not None:
                more, integers = product(spikes, weight, bytes_)
                smooth, exact = smooth + more, _wide.add(exact, wide(integers))
        return smooth, exact

    def _late(self, history: Array | None, spikes: Array) -> tuple[Any, Array | None]:
        """The spikes that come out of the delays, and the spikes to remember."""
        if history is None:
            return spikes, None
        known = jnp.concatenate([spikes[None].astype(history.dtype), history])
        if eqx.is_array(self.delay):
            late = jnp.take_along_axis(known, self.delay[None], axis=0)[0]
        else:
            late = known[int(self.delay)]
        return late.astype(spikes.dtype), known[:-1]

    def _longest(self) -> int:
        """Steps that the delayed synapses look back."""
        if self.delayed_weights is None:
            return 0
        return int(self.delay) if isinstance(self.delay, float) else LARGEST_DELAY

    def describe(self) -> str:
        outputs = self.neurons if self.outputs is None else self.outputs.size
        text = f"Crossbar {self.axons} axons, {self.neurons} neurons, {outputs} outputs, "
        return text + self.neuron.describe()


def _matrix(name: str, value: Any) -> Any:
    if value is None:
        return None
    array = jnp.asarray(np.asarray(value, np.float32) if isinstance(value, np.ndarray) else value)
    if array.ndim != 2 or array.dtype.kind not in "iuf":
        raise ValueError(
            f"Crossbar: {name} has shape {array.shape} and type {array.dtype}; it must be a matrix "
            "of numbers, from source (row) to neuron (column)"
        )
    return array.astype(jnp.float32)
