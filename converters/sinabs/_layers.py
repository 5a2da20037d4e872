"""What sinabs has and our layers don't: a few options of its neurons, and a few shapes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from neurojax import fixed_point
from neurojax._layer import Layer, Shape, State, check_shape, constants_to_floats, parameter
from neurojax.neurons._equations import equations_of
from neurojax.neurons._leak import decay_factor
from neurojax.neurons._neuron import Parameter
from neurojax.neurons.adaptive import AdaptiveState


class AdaptiveCubaState(NamedTuple):
    """State of `AdaptiveCubaLIF`."""

    v: Array  # membrane potential at the end of the step
    b: Array  # adaptation
    i: Array  # synaptic current at the end of the step


class AdaptiveCubaLIF(Layer):
    """sinabs' `ALIF` with `tau_syn`: i = alpha_syn (i + x), which drives an `AdaptiveLIF`.

    Args:
        neuron: The neuron behind the current.
        tau_syn: Time constant of the current, or
        decay_syn: what is left of it after one step.
        compounding: Whether the current is multiplied with 1 - decay of the membrane and kept so,
            which `ALIF` does with `norm_input=True`.
    """

    neuron: Any  # an AdaptiveLIF
    tau_syn: Parameter | None = eqx.field(converter=parameter, default=None)
    decay_syn: Any = eqx.field(converter=parameter, default=None)  # a Parameter once prepared
    compounding: bool = eqx.field(static=True, default=False)

    def init(self, in_shape: Shape) -> AdaptiveCubaState:
        state = self.neuron.init(in_shape)
        return AdaptiveCubaState(state.v, state.b, jnp.zeros(in_shape))

    def prepare(self, key: PRNGKeyArray | None) -> AdaptiveCubaLIF:
        plain = constants_to_floats(self)
        decay = decay_factor(plain.tau_syn, plain.decay_syn, 1.0, "exact")
        return AdaptiveCubaLIF(self.neuron.prepare(key), None, decay, self.compounding)

    def step(
        self, state: AdaptiveCubaState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[AdaptiveCubaState, Array]:
        i = self.decay_syn * (state.i + x)
        if self.compounding:
            i = (1 - self.neuron.decay) * i
        behind, spikes = self.neuron.step(AdaptiveState(state.v, state.b), i, key=key)
        return AdaptiveCubaState(behind.v, behind.b, i), spikes

    def out_shape(self, in_shape: Shape) -> Shape:
        return self.neuron.out_shape(in_shape)

    def describe(self) -> str:
        return f"{self.neuron.describe()} with a synaptic current"

    def equations(self) -> tuple[str, ...]:
        plain = constants_to_floats(self)
        membrane = constants_to_floats(self.neuron)
        factors = [decay_factor(plain.tau_syn, plain.decay_syn, 1.0, "exact")]
        if self.compounding:
            kept = decay_factor(membrane.tau, membrane.decay, membrane.dt, membrane.method)
            factors.append(1 - kept)
        if any(eqx.is_array(factor) for factor in factors):
            return ()  # learned time constants of two layers have one name in formulas
        product = f"{math.prod(factors):.9g}"
        current = f"synaptic current: i <- {product} (i + x)"
        return (current, "into the membrane: x <- i", *equations_of(self.neuron))


class OwnReset(Layer):
    """A neuron with `reset="none"` whose reset comes from here, and so the bound after it.

    Args:
        neuron: The neuron; its state has a field `v`.
        value: What is subtracted for each spike, or added after v is set to 0.
        subtract: True: v - s value (`MembraneSubtract(value)`). False: v [s = 0] + value
            (`MembraneReset(value)`: the value comes in every step, spikes or not).
        v_min: Lower bound of v.
    """

    neuron: Layer
    value: Parameter = eqx.field(converter=parameter)
    subtract: bool = eqx.field(static=True)
    v_min: Parameter | None = eqx.field(converter=parameter, default=None)

    def init(self, in_shape: Shape) -> State:
        return self.neuron.init(in_shape)

    def prepare(self, key: PRNGKeyArray | None) -> OwnReset:
        return OwnReset(self.neuron.prepare(key), self.value, self.subtract, self.v_min)

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        state, spikes = self.neuron.step(state, x, key=key)
        if self.subtract:
            v = state.v - spikes * self.value
        else:
            # Which neurons spiked is a truth value in sinabs: no gradient passes.
            v = jnp.where(spikes == 0, state.v, 0) + self.value
        if self.v_min is not None:
            v = jnp.where(v > self.v_min, v, self.v_min)
        return state._replace(v=v), spikes

    def out_shape(self, in_shape: Shape) -> Shape:
        return self.neuron.out_shape(in_shape)

    def describe(self) -> str:
        return f"{self.neuron.describe()} with its own reset"

    def equations(self) -> tuple[str, ...]:
        if not (lines := equations_of(self.neuron)):
            return ()
        value = "value" if eqx.is_array(self.value) else f"{float(self.value):.7g}"
        if self.subtract:
            own = [f"reset: v <- v - {value} s"]
        else:
            own = ["reset: v <- 0 where s > 0", f"in every step: v <- v + {value}"]
        if self.v_min is not None:
            bound = "v_min" if eqx.is_array(self.v_min) else f"{float(self.v_min):.7g}"
            own.append(f"lower bound: v <- max(v, {bound})")
        return (*lines, *own)


class FeedbackState(NamedTuple):
    """State of `Feedback`."""

    neuron: State
    synapse: State
    feedback: Array  # what the neurons get in the next step


class Feedback(Layer):
    """y_t = neuron(x_t + f_t) with f_{t+1} = synapse(y_t) and nothing to begin with.

    `Recurrent` differs in the first step, in which a bias of its synapse acts already.

    Args:
        neuron: The population.
        synapse: What comes back.
    """

    neuron: Layer
    synapse: Layer

    def init(self, in_shape: Shape) -> FeedbackState:
        synapse = self.synapse.init(self.neuron.out_shape(in_shape))
        return FeedbackState(self.neuron.init(in_shape), synapse, jnp.zeros(in_shape))

    def prepare(self, key: PRNGKeyArray | None) -> Feedback:
        keys = (None, None) if key is None else jax.random.split(key)
        return Feedback(self.neuron.prepare(keys[0]), self.synapse.prepare(keys[1]))

    def step(
        self, state: FeedbackState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[FeedbackState, Array]:
        keys = (None, None) if key is None else jax.random.split(key)
        neuron, y = self.neuron.step(state.neuron, x + state.feedback, key=keys[0])
        synapse, feedback = self.synapse.step(state.synapse, y, key=keys[1])
        return FeedbackState(neuron, synapse, feedback), y

    def out_shape(self, in_shape: Shape) -> Shape:
        out_shape = self.neuron.out_shape(in_shape)
        back = self.synapse.out_shape(out_shape)
        if back != in_shape:
            raise ValueError(f"the feedback has shape {back}, but the neurons take {in_shape}")
        return out_shape

    @property
    def needs_key(self) -> bool:
        return self.neuron.needs_key or self.synapse.needs_key

    def absorb(self, state: FeedbackState) -> Feedback:
        return Feedback(self.neuron.absorb(state.neuron), self.synapse.absorb(state.synapse))

    def describe(self) -> str:
        return f"Feedback({self.neuron.describe()}, {self.synapse.describe()})"


class Rounded(Layer):
    """Whole numbers, with derivative 1: `Quantize` and `StochasticRounding` in inference.

    Args:
        to: `"floor"` or `"nearest"` (ties to the even number).
    """

    to: str = eqx.field(static=True)

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        function: Any = fixed_point.floor if self.to == "floor" else fixed_point.round_half_even
        return state, function(x)

    def out_shape(self, in_shape: Shape) -> Shape:
        return tuple(in_shape)

    def describe(self) -> str:
        return f"Rounded to {self.to}"


class Crop(Layer):
    """Images without their margins.

    Args:
        margins: ((top, bottom), (left, right)).
    """

    margins: tuple[tuple[int, int], tuple[int, int]] = eqx.field(static=True)

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        (top, bottom), (left, right) = self.margins
        _, height, width = x.shape
        return state, x[:, top : height - bottom, left : width - right]

    def out_shape(self, in_shape: Shape) -> Shape:
        check_shape("Crop", in_shape, 3, "(channels, height, width)")
        sizes = [n - a - b for n, (a, b) in zip(in_shape[1:], self.margins, strict=True)]
        if min(sizes) < 1:
            raise ValueError(f"Crop: margins {self.margins} leave nothing of shape {in_shape}")
        return (in_shape[0], *sizes)

    def describe(self) -> str:
        (top, bottom), (left, right) = self.margins
        return f"Crop {top}:{bottom}, {left}:{right}"
