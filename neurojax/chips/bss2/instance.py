"""A chip as it was made: what mismatch did to each of its circuits, drawn from a key.

A `ChipInstance` is a pytree of arrays. `draw` is a pure function, so a thousand chips are one
program: `jax.vmap` over keys.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import zlib
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from neurojax._layer import Layer, constants_to_floats
from neurojax._network import Network
from neurojax.chips._mapped import MappedNetwork
from neurojax.chips.bss2._integrator import AbstractCircuit
from neurojax.chips.bss2._off import is_off
from neurojax.chips.bss2.eventprop import EventPropLIF
from neurojax.chips.bss2.magnitudes import Magnitudes
from neurojax.chips.bss2.synapse import Synapse
from neurojax.layers import Recurrent

FACTORS = {"tau_mem": "tau_mem", "tau_syn": "tau_syn", "c_mem": "c_mem", "tau_adap": "tau_mem"}
"""Fields of neurons that get a factor, and the magnitude that says how large."""

OFFSETS = {
    "leak": "leak",
    "reset": "reset",
    "threshold": "threshold",
    "exponential_threshold": "threshold",
}
"""Fields of neurons that get an offset, and the magnitude that says how large."""

DRAWN = (*FACTORS, *OFFSETS, "refractory_time", "cadc_offset", "cadc_gain")
"""What is drawn for each neuron, in this order."""


class SynapseInstance(eqx.Module):
    """The synapses of a layer on one chip, as factors; None is no mismatch.

    Attributes:
        synapse: Of each synapse in excitatory (0) and inhibitory rows (1).
        driver: Of each source.
        synaptic_input: Of the excitatory (0) and the inhibitory input (1) of each neuron.
    """

    synapse: Float[Array, "2 out in"] | None
    driver: Float[Array, " in"] | None
    synaptic_input: Float[Array, "2 out"] | None

    @property
    def strength(self) -> tuple[Array, Array] | None:
        """All of it in one: what positive and what negative weights are multiplied with.

        Of one chip: `jax.vmap` over a batch of them.
        """
        parts = [] if self.synapse is None else [self.synapse]
        if self.driver is not None:
            parts.append(jnp.stack([self.driver[None, :]] * 2))
        if self.synaptic_input is not None:
            parts.append(self.synaptic_input[:, :, None])
        if not parts:
            return None
        both = math.prod(parts[1:], start=parts[0])
        return both[0], both[1]


class NeuronInstance(eqx.Module):
    """The neurons of a layer on one chip; what has no mismatch is missing.

    Attributes:
        factors: Of time constants, capacitance and refractory period, by field.
        offsets: Of potentials in LSB, by field.
        cadc_offset: Of each neuron's converter channel, in LSB.
        cadc_gain: Relative error of its slope.
    """

    factors: dict[str, Array]
    offsets: dict[str, Array]
    cadc_offset: Array | None
    cadc_gain: Array | None


class ChipInstance(eqx.Module):
    """A chip as it was made, and how noisy it is.

    Attributes:
        synapses: By name of the layer; that of a `Recurrent` layer is `NAME.synapse`.
        neurons: By name of the layer; those of a `Recurrent` layer are `NAME.neuron`.
        magnitudes: What it was drawn with: noise and limits are not drawn, but taken from here.
    """

    synapses: dict[str, SynapseInstance]
    neurons: dict[str, NeuronInstance]
    magnitudes: Magnitudes


def draw(
    key: PRNGKeyArray, mapped: MappedNetwork, magnitudes: Magnitudes | None = None
) -> ChipInstance:
    """Make a chip.

    Args:
        key: The same key makes the same chip. What a layer draws depends on its name, not on the
            other layers, and what an effect draws not on the other effects.
        mapped: What `map` returned.
        magnitudes: Sizes of the effects; default: `Magnitudes()`.

    Returns:
        The chip, for `with_instance`.

    Example:
        >>> import jax, jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips import bss2
        >>> net = nj.Sequential((4,), fc=nj.Linear(4, 3, key=jax.random.key(0)), hidden=bss2.LIF())
        >>> mapped = bss2.map(net)
        >>> spikes = jnp.ones((20, 5, 4))
        >>> def run(key):
        ...     made, noise = jax.random.split(key)
        ...     chip = bss2.draw(made, mapped)
        ...     return nj.simulate(bss2.with_instance(mapped, chip), spikes, key=noise).outputs
        >>> jax.vmap(run)(jax.random.split(jax.random.key(1), 10)).shape
        (10, 20, 5, 3)
    """
    sizes = Magnitudes() if magnitudes is None else magnitudes
    synapses, neurons = {}, {}
    for name, layer in parts(mapped.network):
        own = jax.random.fold_in(key, zlib.crc32(name.encode()))
        if isinstance(layer, Synapse):
            synapses[name] = _draw_synapses(own, layer, sizes)
        elif isinstance(layer, AbstractCircuit):
            shape = _neuron_shape(mapped.network, name)
            neurons[name] = _draw_neurons(own, layer, shape, sizes)
    return ChipInstance(synapses, neurons, sizes)


def parts(network: Network) -> Iterator[tuple[str, Layer]]:
    """The layers by name, those of a `Recurrent` layer one by one."""
    for name in network.names:
        layer = network[name]
        if isinstance(layer, Recurrent):
            yield f"{name}.neuron", layer.neuron
            yield f"{name}.synapse", layer.synapse
        else:
            yield name, layer


def size_of(magnitude: Any) -> Any:
    """A magnitude as a plain number or an array, or None if its effect is off."""
    return None if is_off(magnitude) else constants_to_floats(magnitude)


# All that a layer draws is one draw, whatever is used of it: many are compiled slowly.


def _draw_synapses(key: PRNGKeyArray, layer: Synapse, sizes: Magnitudes) -> SynapseInstance:
    n_out, n_in = layer.synapse.weight.shape  # type: ignore[attr-defined]
    shapes = {"driver": (n_in,), "synaptic_input": (2, n_out), "synapse": (2, n_out, n_in)}
    ends = list(itertools.accumulate(math.prod(shape) for shape in shapes.values()))
    normal = jax.random.normal(key, (ends[-1],))
    factors = {}
    for (name, shape), end in zip(shapes.items(), ends, strict=True):
        size = size_of(getattr(sizes, name))
        drawn = normal[end - math.prod(shape) : end].reshape(shape)
        factors[name] = None if size is None else jnp.maximum(1 + size * drawn, 0.0)
    return SynapseInstance(**factors)


def _draw_neurons(
    key: PRNGKeyArray, layer: AbstractCircuit, shape: tuple[int, ...], sizes: Magnitudes
) -> NeuronInstance:
    fields = {field.name for field in dataclasses.fields(layer)}
    if isinstance(layer, EventPropLIF):
        fields.discard("c_mem")  # its gradient knows none
    normal = jax.random.normal(key, (len(DRAWN), *shape))

    def deviate(name: str, magnitude: str, wanted: bool = True) -> Array | None:
        size = size_of(getattr(sizes, magnitude))
        return None if size is None or not wanted else size * normal[DRAWN.index(name)]

    factors, offsets = {}, {}
    for name, magnitude in FACTORS.items():
        drawn = deviate(name, magnitude, name in fields)
        if drawn is not None:
            factors[name] = jnp.exp(drawn)
    drawn = deviate("refractory_time", "refractory_time", "refractory_time" in fields)
    if drawn is not None:
        factors["refractory_time"] = jnp.maximum(1 + drawn, 0.0)
    for name, magnitude in OFFSETS.items():
        drawn = deviate(name, magnitude, name in fields)
        if drawn is not None:
            offsets[name] = drawn
    channels = deviate("cadc_offset", "cadc_offset"), deviate("cadc_gain", "cadc_gain")
    return NeuronInstance(factors, offsets, *channels)


def _neuron_shape(network: Network, name: str) -> tuple[int, ...]:
    return network.out_shape(name if name in network else name.rpartition(".")[0])
