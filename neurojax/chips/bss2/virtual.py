"""A mapped network as one certain chip computes it: a virtual chip."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx

from neurojax._layer import Layer
from neurojax._network import Network
from neurojax.chips._mapped import MappedNetwork
from neurojax.chips.bss2._integrator import AbstractCircuit, AbstractFiring, AbstractReadout
from neurojax.chips.bss2._off import is_off
from neurojax.chips.bss2._report import Origin, origin_of
from neurojax.chips.bss2.analog import Analog
from neurojax.chips.bss2.cadc import CADC
from neurojax.chips.bss2.instance import (
    ChipInstance,
    NeuronInstance,
    SynapseInstance,
    parts,
    size_of,
)
from neurojax.chips.bss2.magnitudes import Magnitudes
from neurojax.chips.bss2.synapse import Synapse
from neurojax.chips.bss2.transport import Transport
from neurojax.chips.bss2.weights import LARGEST
from neurojax.layers import Recurrent


def with_instance(mapped: MappedNetwork, instance: ChipInstance) -> Network:
    """The network as a certain chip computes it.

    Layers keep their names and states their fields, so probes and parameters are found as before.
    What is off is not computed, so with `Magnitudes.off()` it is the network of `mapped`, bit for
    bit.

    Args:
        mapped: What `map` returned, also trained; gradients reach its parameters.
        instance: What `draw` returned for it.

    Returns:
        A network for `simulate`; it needs a key if there is noise. It can be trained as it is:
        what the chip adds is no parameter of it.

    Raises:
        ValueError: The instance is one of another network, or there are effects that the neurons
            can't have.

    Example:
        >>> import jax, jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips import bss2
        >>> net = nj.Sequential((4,), fc=nj.Linear(4, 3, key=jax.random.key(0)), hidden=bss2.LIF())
        >>> mapped = bss2.map(net)
        >>> chip = bss2.draw(jax.random.key(1), mapped, bss2.Magnitudes.mismatch())
        >>> real = bss2.with_instance(mapped, chip)
        >>> nj.simulate(real, jnp.ones((20, 5, 4))).outputs.shape
        (20, 5, 3)
    """
    network = mapped.network
    _check(network, instance)
    layers = {name: _made(mapped, instance, name, network[name]) for name in network.names}
    return eqx.tree_at(lambda net: net.layers, network, layers)


def without_instance(network: Network) -> Network:
    """The network without what a chip made of it, to go back from `with_instance`.

    Example:
        >>> import jax, neurojax as nj
        >>> from neurojax.chips import bss2
        >>> net = nj.Sequential((4,), fc=nj.Linear(4, 3, key=jax.random.key(0)), hidden=bss2.LIF())
        >>> mapped = bss2.map(net)
        >>> trained = bss2.with_instance(mapped, bss2.draw(jax.random.key(1), mapped))
        >>> mapped = mapped.with_network(bss2.without_instance(trained))
    """
    layers = {name: _ideal(network[name]) for name in network.names}
    return eqx.tree_at(lambda net: net.layers, network, layers)


def _ideal(layer: Layer) -> Layer:
    if isinstance(layer, Recurrent):
        return Recurrent(_ideal(layer.neuron), _ideal(layer.synapse))
    if isinstance(layer, Synapse):
        return dataclasses.replace(layer, strength=None, drift=0.0, transport=None)
    return layer.neuron if isinstance(layer, Analog) else layer


def cadc(
    mapped: MappedNetwork, instance: ChipInstance, name: str, *, interpolation: str = "hold"
) -> CADC:
    """The converter of a layer of neurons on a certain chip, to record traces with.

    Args:
        mapped: What `map` returned.
        instance: What `draw` returned for it.
        name: The layer; of a `Recurrent` layer `NAME.neuron`.
        interpolation: Between samples, see `CADC`.

    Raises:
        ValueError: The layer has no neurons.

    Example:
        >>> import jax, jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips import bss2
        >>> net = nj.Sequential((4,), fc=nj.Linear(4, 3, key=jax.random.key(0)), hidden=bss2.LIF())
        >>> mapped = bss2.map(net)
        >>> chip = bss2.draw(jax.random.key(1), mapped)
        >>> run = nj.simulate(mapped.network, jnp.ones((20, 1, 4)), probes=["hidden.v"])
        >>> converter = bss2.cadc(mapped, chip, "hidden")
        >>> converter.record(run["hidden.v"], key=jax.random.key(2)).shape
        (20, 1, 3)
    """
    if name not in instance.neurons:
        raise ValueError(f"cadc: '{name}' has no neurons; use one of {[*instance.neurons]}")
    layer = dict(parts(mapped.network))[name]
    own, origin = instance.neurons[name], origin_of(mapped, name)
    return _cadc(layer, own, instance.magnitudes, origin, interpolation)


def _check(network: Network, instance: ChipInstance) -> None:
    found = {name for name, layer in parts(network) if isinstance(layer, Synapse | AbstractCircuit)}
    drawn = {*instance.synapses, *instance.neurons}
    if found != drawn:
        raise ValueError(
            f"with_instance: the network has {sorted(found)}, but the chip was drawn for one with "
            f"{sorted(drawn)}; draw another one"
        )


def _made(mapped: MappedNetwork, instance: ChipInstance, name: str, layer: Layer) -> Layer:
    if isinstance(layer, Recurrent):
        return Recurrent(
            _made(mapped, instance, f"{name}.neuron", layer.neuron),
            _made(mapped, instance, f"{name}.synapse", layer.synapse),
        )
    if isinstance(layer, Synapse):
        dt = origin_of(mapped).dt
        return _synapse(layer, instance.synapses[name], instance.magnitudes, dt)
    if isinstance(layer, AbstractCircuit):
        origin = origin_of(mapped, name)
        try:
            return _neuron(layer, instance.neurons[name], instance.magnitudes, origin)
        except ValueError as error:
            raise ValueError(f"with_instance: layer '{name}': {error}") from None
    return layer


def _synapse(layer: Synapse, own: SynapseInstance, sizes: Magnitudes, dt: float) -> Synapse:
    transport = None
    if not all(map(is_off, (sizes.jitter, sizes.latency, sizes.loss))):
        # How late events can be must be known; of an unknown jitter one step more than the latency.
        known = not eqx.is_array(sizes.jitter)
        transport = Transport(
            jitter=sizes.jitter,
            latency=sizes.latency,
            loss=sizes.loss,
            dt=dt,
            longest=None if known else Transport(latency=sizes.latency, dt=dt).slots,
        )
    return dataclasses.replace(layer, strength=own.strength, drift=sizes.drift, transport=transport)


def _neuron(layer: Any, own: NeuronInstance, sizes: Magnitudes, origin: Origin) -> Layer:
    unit = origin.trace_scale
    fires = isinstance(layer, AbstractFiring)
    reads = isinstance(layer, AbstractReadout) and sizes.reads
    made = Analog(
        layer,
        factors=own.factors,
        offsets={name: offset * unit for name, offset in own.offsets.items()},
        noise=_times(sizes.membrane_noise, unit),
        threshold_noise=_times(sizes.threshold_noise, unit) if fires else None,
        largest_current=_times(sizes.largest_current, LARGEST / origin.weight_scale),
        linear=_times(sizes.linear, unit),
        limit=_times(sizes.limit, unit),
        readout=_cadc(layer, own, sizes, origin) if reads else None,
    )
    return layer if made.steady and not made.factors and not made.offsets else made


def _cadc(
    layer: Any, own: NeuronInstance, sizes: Magnitudes, origin: Origin, interpolation: str = "hold"
) -> CADC:
    return CADC(
        scale=origin.trace_scale,
        zero=layer.leak if hasattr(layer, "leak") else layer.reset,
        offset=0.0 if own.cadc_offset is None else own.cadc_offset,
        gain=0.0 if own.cadc_gain is None else own.cadc_gain,
        noise=sizes.cadc_noise,
        period=sizes.cadc_period,
        interpolation=interpolation,
        bits=sizes.cadc_bits,
    )


def _times(size: Any, unit: float) -> Any:
    size = size_of(size)
    return None if size is None else size * unit
