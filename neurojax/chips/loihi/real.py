"""A network on the chip in real numbers: what other simulators, and NIR, can be told.

Weights and thresholds are divided by the scale, decays by 4096. The neurons compute the same
equations without rounding, so their spikes are nearly, not exactly, the chip's. Mapping the result
back with the same scale gives the integers back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from neurojax._graph import Edge, nearest
from neurojax._layer import Layer
from neurojax._network import Network
from neurojax.chips._mapped import MappedNetwork, MappingError, Problem
from neurojax.chips._surrogate import InSteps
from neurojax.chips.loihi.lif import LIF
from neurojax.chips.loihi.pool import PerChannel
from neurojax.chips.loihi.quantise import SCALE
from neurojax.chips.loihi.spec import FULL, STATE_SHIFT
from neurojax.chips.loihi.synapse import Synapse
from neurojax.layers import (
    Add,
    AvgPool1d,
    AvgPool2d,
    Chain,
    Concat,
    Conv2d,
    Delay,
    Flatten,
    Identity,
    Recurrent,
    Reshape,
    Scale,
    SumPool2d,
)
from neurojax.neurons import IAF, LI, LIF as RealLIF, CubaIAF, CubaLI, CubaLIF

UNCHANGED = (Add, AvgPool1d, AvgPool2d, Chain, Concat, Delay, Flatten, Reshape)


def to_real(
    mapped: MappedNetwork | Network, *, scale: float | Mapping[str, float] | None = None
) -> Network:
    """The network in real numbers that a network on the chip stands for.

    Args:
        mapped: What `chips.loihi.map` or `hardware.loihi.load` returned, or its network.
        scale: Weight steps per unit: for all, or by population's name. None: for each population
            that of its mapping; 64 where there was none, as in a .net file.

    Returns:
        Layers of `neurojax.layers` and `neurojax.neurons` under the same names. A bias of neurons
        is the synapse's where the current has no memory; elsewhere the potential `v_rest` to which
        the membrane decays, from a first potential of 0. A pool becomes two layers, its sums and
        "NAME.weight". Read-outs give the membrane in units.

    Raises:
        MappingError: Neurons other than LIF, and what has no form in real numbers, all at once.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.loihi import LIF, Synapse, to_real
        >>> net = nj.Sequential((1,), fc=Synapse(nj.Linear.from_weights(jnp.array([[32.0]]))),
        ...                     spikes=LIF(du=1023, dv=410, vth=64))
        >>> to_real(net)["spikes"].describe(), to_real(net)["fc"].weight.item()
        ('CubaLIF decay 0.899902, decay_syn 0.75', 0.5)
    """
    network = mapped.network if isinstance(mapped, MappedNetwork) else mapped
    held = network.prepare(None)
    scales = _scales(mapped, scale)
    problems: list[Problem] = []
    layers: dict[str, Layer] = {}
    renamed: dict[str, str] = {}  # name of the layer that ends what a layer has become
    edges: list[Edge] = []
    for name in network.names:
        parts = _parts(name, held, network[name].describe(), scales, problems)
        sources = [(renamed.get(e.source, e.source), e.recurrent) for e in network.incoming(name)]
        for part, layer in parts.items():
            layers[part] = layer
            edges += [Edge(source, part, late) for source, late in sources]
            sources = [(part, False)]
        if parts:
            renamed[name] = list(parts)[-1]
        elif sources:
            renamed[name] = sources[0][0]
    if problems:
        raise MappingError("real numbers", problems)
    return Network(
        layers,
        edges,
        inputs=network.inputs,
        outputs=[renamed[name] for name in network.outputs],
    )


def _scales(mapped: MappedNetwork | Network, given: Any) -> dict[str, float]:
    """Weight steps per unit of each layer that has any, by name."""
    network = mapped.network if isinstance(mapped, MappedNetwork) else mapped
    origins = mapped.origins if isinstance(mapped, MappedNetwork) else ()
    known = {origin.name: origin.scale for origin in origins if hasattr(origin, "scale")}
    if isinstance(given, Mapping):
        for name in given:
            if name not in network or not isinstance(network[name], LIF | Recurrent):
                neurons = [n for n in network.names if isinstance(network[n], LIF | Recurrent)]
                raise ValueError(f"to_real: scale of '{name}': {nearest(name, neurons)}")
        known |= given
    elif given is not None:
        known = dict.fromkeys(network.names, float(given))
    scales: dict[str, float] = {}
    for name in reversed(network.names):  # synapses have that of the neurons behind them
        if isinstance(network[name], LIF | Recurrent):
            scales[name] = float(known.get(name, SCALE))
            continue
        behind = [scales[e.target] for e in network.outgoing(name) if e.target in scales]
        scales[name] = float(known.get(name, behind[0] if behind else SCALE))
    return scales


def _parts(
    name: str,
    network: Network,
    text: str,
    scales: Mapping[str, float],
    problems: list[Problem],
) -> dict[str, Layer]:
    """The layers that a layer becomes; none for one without effect."""
    layer, scale = network[name], scales[name]
    if isinstance(layer, Identity):
        return {}
    if isinstance(layer, UNCHANGED):
        return {name: layer}
    if isinstance(layer, Synapse):
        return _synapse(name, layer, _bias_behind(network, name), scale, problems)
    neuron, back = layer, None
    if isinstance(layer, Recurrent) and isinstance(layer.synapse, Synapse):
        neuron = layer.neuron
        back = _synapse(name, layer.synapse, None, scale, problems).get(name)
    if not isinstance(neuron, LIF):
        _refuse(
            problems,
            name,
            text,
            "only LIF neurons, their synapses and delays have a form in real numbers",
            "keep the .net file, or use the neurons of loihi in the user's unit",
        )
        return {}
    real = _neuron(name, neuron, scale, problems)
    return {name: real if back is None else Recurrent(real, back)}


def _bias_behind(network: Network, name: str) -> np.ndarray | None:
    """The bias in weight steps that a synapse can take over from the neurons behind it."""
    (edge, *more) = network.outgoing(name) or (None,)
    if edge is None or more or len(network.incoming(edge.target)) != 1:
        return None
    layer: Any = network[edge.target]
    neuron = layer.neuron if isinstance(layer, Recurrent) else layer
    if not isinstance(neuron, LIF) or np.any(np.asarray(neuron.du) != FULL - 1):
        return None
    bias = _bias(neuron)
    if bias is None:
        return None
    shape = network.out_shape(name)
    per_channel = np.broadcast_to(bias, shape).reshape(shape[0], -1)
    return None if (per_channel != per_channel[:, :1]).any() else per_channel[:, 0]


def _bias(neuron: LIF) -> np.ndarray | None:
    steps = np.asarray(neuron.bias(), np.float64)
    return steps / (1 << STATE_SHIFT) if steps.any() else None


def _synapse(
    name: str,
    synapse: Synapse,
    bias: np.ndarray | None,
    scale: float,
    problems: list[Problem],
) -> dict[str, Layer]:
    if synapse.exponent < 0 and (synapse.integers() % (1 << -synapse.exponent)).any():
        _refuse(
            problems,
            name,
            f"sums that are divided by 2^{-synapse.exponent} and cut",
            "real weights have no rounding of sums",
            "map with exponent=0",
        )
        return {}
    factor = 2.0**synapse.exponent / scale
    layer: Any = synapse.synapse
    weight = jnp.asarray(layer.weight * np.float32(factor))
    if isinstance(layer, PerChannel):
        return _pool(name, layer, np.asarray(weight), bias, problems)
    if not hasattr(layer, "bias") or not isinstance(layer.weight, jnp.ndarray):
        _refuse(problems, name, layer.describe(), "it has no form in real numbers", "use Linear")
        return {}
    offset = None if bias is None else jnp.asarray(bias / scale, jnp.float32)
    return {name: type(layer).from_weights(weight, offset, **_options(layer))}


def _options(layer: Any) -> dict[str, Any]:
    known = ("stride", "padding", "output_padding", "dilation", "groups")
    return {field: getattr(layer, field) for field in known if hasattr(layer, field)}


def _pool(
    name: str,
    layer: PerChannel,
    weight: np.ndarray,
    bias: np.ndarray | None,
    problems: list[Problem],
) -> dict[str, Layer]:
    inner: Any = layer.synapse
    equal = len(np.unique(weight)) == 1
    if not isinstance(inner, Conv2d) or not equal or set(inner.dilation) != {1} or bias is not None:
        _refuse(
            problems,
            name,
            f"{layer.describe()}, with different weights, dilation or a bias",
            "pools in real numbers are sums over windows times one factor",
            "use a convolution with groups",
        )
        return {}
    sums = SumPool2d(inner.kernel_size, stride=inner.stride, padding=inner.padding)
    return {name: sums, f"{name}.weight": Scale(float(weight.flat[0]))}


def _neuron(name: str, neuron: LIF, scale: float, problems: list[Problem]) -> Layer:
    for field, found, given in (
        ("shift", neuron.shift, neuron.shift != 0),
        ("vth_lo", neuron.vth_lo, neuron.vth_lo is not None),
        ("reset_interval", neuron.reset_interval, neuron.reset_interval is not None),
        ("graded", neuron.graded, neuron.graded),
    ):
        if given:
            _refuse(
                problems,
                name,
                f"{field}={found}",
                "real neurons have none",
                "keep the integers, or train without it",
            )
    keeps_i = _kept(neuron.du, offset=1)
    keeps_v = _kept(neuron.dv)
    fields: dict[str, Any] = {}
    memory, leaks = bool(np.any(np.asarray(keeps_i) != 0)), bool(np.any(np.asarray(keeps_v) != 1))
    if memory:
        fields["decay_syn"] = keeps_i
    if leaks:
        fields["decay"] = keeps_v
    bias = _bias(neuron)
    if bias is not None and memory:
        if np.any(np.asarray(keeps_v) == 1):
            _refuse(
                problems,
                name,
                "a bias of neurons whose current decays, but not their membrane",
                "it would be a resting potential without end",
                "use dv > 0",
            )
        else:
            rest = bias / scale / (1 - np.asarray(keeps_v, np.float64))
            fields |= {"v_rest": _like(rest, neuron.bias_mant), "v_init": 0.0}
    if neuron.vth is None:
        cls: type[Layer] = CubaLI if memory else LI
        return cls(**({"decay": 1.0} | fields))
    fields |= {
        "threshold": _like(np.asarray(neuron.vth) / scale, neuron.vth),
        "strict": True,
        "reset": "zero",
        "surrogate": _in_units(neuron.surrogate),
        "detach_reset": neuron.reset_gradient == "detached",
    }
    if neuron.refractory > 1:
        fields["refractory"] = float(neuron.refractory - 1)
    spiking = {(True, True): CubaLIF, (True, False): CubaIAF, (False, True): RealLIF}
    return spiking.get((memory, leaks), IAF)(**fields)


def _kept(decay: Any, *, offset: int = 0) -> Any:
    """What a decay leaves: a number, or an array of them."""
    return _like(1 - (np.asarray(decay, np.float64) + offset) / FULL, decay)


def _like(values: np.ndarray, original: Any) -> Any:
    """A constant where the chip's neuron has one, else a parameter."""
    if np.ndim(original) == 0 and not hasattr(original, "dtype") and np.size(values) == 1:
        return float(values)
    return jnp.asarray(values, jnp.float32)


def _in_units(surrogate: Any) -> Any:
    return surrogate.inner if isinstance(surrogate, InSteps) else surrogate


def _refuse(problems: list[Problem], name: str, found: str, legal: str, remedy: str) -> None:
    problems.append(Problem(name, found, legal, remedy))


def without_resting_potentials(
    network: Network, *, scale: float = SCALE
) -> tuple[Network, Mapping[str, np.ndarray]]:
    """Take out the resting potentials that `to_real` makes of biases.

    `chips.loihi.map` has no place for them. What they were, `with_biases` puts back.

    Args:
        network: In real numbers.
        scale: Weight steps per unit.

    Returns:
        The network with resting potentials of 0 where neurons have a current with memory, are reset
        to zero and start at 0; and by name what their membranes get in each step, in weight steps.
    """
    biases: dict[str, np.ndarray] = {}
    changed: dict[str, Layer] = {}
    for name in network.names:
        layer: Any = network[name]
        neuron = layer.neuron if isinstance(layer, Recurrent) else layer
        if not isinstance(neuron, CubaLIF | CubaLI) or not np.any(np.asarray(neuron.v_rest)):
            continue
        starts_at_0 = neuron.v_init is not None and not np.any(np.asarray(neuron.v_init))
        if not starts_at_0 or getattr(neuron, "reset", "zero") != "zero":
            continue
        decay = np.asarray(neuron.prepare(None).decay, np.float64)
        biases[name] = np.asarray(neuron.v_rest, np.float64) * (1 - decay) * scale
        plain = dataclasses.replace(neuron, v_rest=0.0, v_init=None)
        changed[name] = Recurrent(plain, layer.synapse) if neuron is not layer else plain
    return (network.replace(**changed) if changed else network), biases


def with_biases(mapped: MappedNetwork, biases: Mapping[str, np.ndarray]) -> MappedNetwork:
    """Give mapped LIF neurons what `without_resting_potentials` took out, in whole weight steps."""
    changed: dict[str, Layer] = {}
    for name, bias in biases.items():
        layer: Any = mapped.network[name]
        neuron = layer.neuron if isinstance(layer, Recurrent) else layer
        mantissas = np.rint(bias)
        value: Any = jnp.asarray(mantissas, jnp.float32) if mantissas.ndim else int(mantissas)
        biased = dataclasses.replace(neuron, bias_mant=value, bias_exp=STATE_SHIFT)
        changed[name] = Recurrent(biased, layer.synapse) if neuron is not layer else biased
    return mapped.with_network(mapped.network.replace(**changed)) if changed else mapped
