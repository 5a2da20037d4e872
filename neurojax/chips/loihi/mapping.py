"""From a network of real numbers, or of slayer's neurons, to Loihi's integers.

Everything between two populations becomes synapses: factors, batch norm and pools go into the
weights. A population and its synapses get one scale (see `scales`), its neurons decays in steps of
1 / 4096, a threshold, and a bias. What the chip can't do is refused, with every reason at once.

References:
    Lava, lava-dl and nengo-loihi for the integers and their limits: see `spec`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from neurojax._graph import Edge
from neurojax._layer import Layer
from neurojax._network import Network, Provenance
from neurojax._simulate import simulate
from neurojax.chips._checks import check_scale, mappable
from neurojax.chips._mapped import MappedNetwork, MappingError, Problem
from neurojax.chips.loihi._draft import Reading
from neurojax.chips.loihi._integers import Choices, Made, map_population
from neurojax.chips.loihi._messages import check_units
from neurojax.chips.loihi._population import SIGMA_DELTA
from neurojax.chips.loihi._reading import read
from neurojax.chips.loihi._report import explain
from neurojax.chips.loihi._wanted import Options
from neurojax.chips.loihi.complex_synapse import ComplexSynapse
from neurojax.chips.loihi.lif import LIF
from neurojax.chips.loihi.resources import check_cores
from neurojax.chips.loihi.spec import WEIGHT_BITS, LoihiSpec, spec
from neurojax.chips.loihi.synapse import Synapse
from neurojax.layers import Delay, Recurrent
from neurojax.surrogate import Surrogate

TIMINGS = ("aligned", "chip")
BIASES = ("refuse", "steady")
RESETS = ("as trained", "zero")


def map(
    network: Network,
    *,
    device: str | LoihiSpec = "loihi2",
    timing: str = "aligned",
    scale: float | Mapping[str, float] | None = None,
    weight_bits: int = WEIGHT_BITS,
    exponent: int | None = None,
    reset: str = "as trained",
    bias: str = "refuse",
    surrogate: Surrogate | None = None,
    strict: bool = False,
) -> MappedNetwork:
    """Map a network onto Loihi.

    Args:
        network: Linear, convolutions, pools and the like with LIF, IAF, CubaLIF, CubaIAF,
            loihi's `CUBA`, `FloatLIF`, `ALIF` or resonators, and LI or CubaLI as read-outs; or
            `Delta`, `SigmaDelta` and `Sigma`. Branches and recurrence are possible. Its inputs are
            spikes; values behind a `QuantisedInput` or a `Delta`, 64 of which are then 1. Call
            it outside of `jit`: the parameters must be known.
        device: `"loihi1"`, `"loihi2"`, or a `LoihiSpec`.
        timing: `"aligned"`: no delays, so that outputs compare with those of the network in every
            time step. `"chip"`: one step of delay in front of each synapse, as the chip has it; the
            output comes so many steps later, while biases act from the start.
        scale: Weight steps per unit, for all populations or by name; None: of the least error. A
            network that was trained on a grid (slayer: 64) keeps its integers with its scale.
        weight_bits: Width of the weights.
        exponent: Exponent of all weights; None: chosen with the scale. slayer's files have 0.
        reset: `"as trained"`, or `"zero"` for neurons that were trained with another reset.
        bias: `"refuse"` biases in front of currents that decay, which the chip's neurons add
            behind the current; or `"steady"`: add what the current would rise to.
        surrogate: Derivative of the spikes, of the membrane in state steps. Default: that of each
            population, scaled with it.
        strict: Refuse a network that takes more cores than one chip has; otherwise a note says so.

    Returns:
        The network in integers. Layers keep their names. Spikes compare directly; the membrane of a
        read-out is in state steps, 64 times the scale in the report to a unit.

    Raises:
        MappingError: With every reason at once, each with the layer, the value found, what the
            chip can do, and what to change.
        ValueError: The device is unknown, or an option is out of range.
        TypeError: It is called within `jit`, or with something else than a network.

    Example:
        >>> import jax, neurojax as nj
        >>> from neurojax.chips.loihi import map as map_network
        >>> net = nj.Sequential((4,), fc=nj.Linear(4, 3, key=jax.random.key(0)),
        ...                     spikes=nj.CubaLIF(tau=20.0, tau_syn=5.0, reset="zero"))
        >>> mapped = map_network(net, device="loihi2")
        >>> mapped.network.names
        ('fc', 'spikes')
        >>> mapped.network["spikes"].describe()[:16]
        'LIF du 741, dv 2'
    """
    network = mappable("loihi.map", network)
    chip = spec(device)
    _check_options(network, chip, timing, scale, weight_bits, exponent, reset, bias)
    problems: list[Problem] = []
    reading = read(network, problems)
    populations = [population.name for population in reading.populations]
    for name in scale if isinstance(scale, Mapping) else ():
        if name not in populations and not problems:
            known = ", ".join(f"'{population}'" for population in populations)
            raise ValueError(f"loihi.map: scale of '{name}'; populations have one: {known}")
    choices = Choices(scale, weight_bits, exponent, surrogate)
    made = []
    for population in reading.populations:
        result = map_population(
            population, Options(reset, bias, len(population.shape)), choices, chip, problems
        )
        if result is not None:
            made.append(result)
    for name, layer in reading.kept.items():
        if isinstance(layer, Delay) and layer.longest > chip.largest_delay:
            problems.append(
                Problem(
                    name,
                    f"a delay of {layer.longest} steps",
                    f"delays are at most {chip.largest_delay}",
                    "use shorter ones, or neurons in between",
                )
            )
    problems += check_units(
        {one.origin.name: one.origin.scale for one in made},
        {population.name: population.neuron for population in reading.populations},
    )
    if problems:
        raise MappingError(chip.name, problems)
    try:
        assembled, latency = _assemble(network, reading, made, timing, chip)
    except ValueError as error:  # what the chip's layers refuse by themselves
        raise MappingError(
            chip.name, [Problem("network", str(error), "see there", "see there")]
        ) from error
    origins = [one.origin for one in made]
    notes = _notes(network, reading, timing, latency)
    origins[-1] = origins[-1]._replace(network_notes=notes)
    mapped = MappedNetwork(assembled, chip, tuple(origins), explain, timing)
    problems.extend(check_cores(mapped, strict=strict))
    if problems:
        raise MappingError(chip.name, problems)
    return mapped


def overflow(mapped: MappedNetwork, inputs: Any) -> dict[str, dict[str, int]]:
    """How often registers left their range in a run.

    Args:
        mapped: What `map` returned.
        inputs: Of the run, as for `simulate`.

    Returns:
        For each population of LIF neurons the number of steps of a neuron in which its current
        wrapped and in which its membrane was held at the limit, and how many there were:
        `{"wrapped": ..., "saturated": ..., "of": ...}`. Of sigma-delta neurons, which Lava does
        not limit, those in which a value was beyond 24 bits: `{"beyond": ..., "of": ...}`.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.loihi import map as map_network, overflow
        >>> net = nj.Sequential((1,), fc=nj.Linear.from_weights(jnp.ones((1, 1))),
        ...                     out=nj.LI(decay=1.0))
        >>> overflow(map_network(net, scale=64), jnp.full((3000, 1, 1), 1.0))
        {'out': {'wrapped': 0, 'saturated': 953, 'of': 3000}}
    """
    if not isinstance(mapped, MappedNetwork):
        raise TypeError(
            f"loihi.overflow takes what loihi.map returned, got {type(mapped).__name__}"
        )
    network = mapped.network
    counting: dict[str, Layer] = {}
    for name in network.names:
        layer: Any = network[name]
        if isinstance(layer, (LIF, *SIGMA_DELTA)):
            counting[name] = dataclasses.replace(layer, count_overflow=True)
        elif isinstance(layer, Recurrent) and isinstance(layer.neuron, LIF):
            neuron = dataclasses.replace(layer.neuron, count_overflow=True)
            counting[name] = Recurrent(neuron, layer.synapse)
    run = simulate(network.replace(**counting), inputs)
    result = {}
    for name, layer in counting.items():
        state: Any = run.state.layers[name]
        state = state.neuron if isinstance(layer, Recurrent) else state
        counts = {"wrapped": "wrapped", "saturated": "saturated"}
        if isinstance(layer, SIGMA_DELTA):
            counts = {"beyond": "overflow"}
        result[name] = {
            what: int(np.sum(np.asarray(getattr(state, field)))) for what, field in counts.items()
        } | {"of": int(run.state.steps) * int(np.asarray(state.v).size)}
    return result


def _check_options(
    network: Network,
    chip: LoihiSpec,
    timing: str,
    scale: Any,
    bits: int,
    exponent: int | None,
    reset: str,
    bias: str,
) -> None:
    for what, value, legal in (
        ("timing", timing, TIMINGS),
        ("reset", reset, RESETS),
        ("bias", bias, BIASES),
    ):
        if value not in legal:
            choices = " or ".join(repr(choice) for choice in legal)
            raise ValueError(f"loihi.map: {what} is {value!r}; it must be {choices}")
    widths = [n for n in chip.weight_bits if n > 0]
    if bits not in widths:
        raise ValueError(
            f"loihi.map: weight_bits is {bits!r}; weights of {chip.name} have "
            f"{', '.join(str(n) for n in widths)} bits"
        )
    low, high = chip.weight_exponents
    if exponent is not None and not (isinstance(exponent, int) and low <= exponent <= high):
        raise ValueError(
            f"loihi.map: exponent is {exponent!r}; it must be an integer within {low}..{high}"
        )
    check_scale("loihi.map", network, scale, example=64)


def _assemble(
    network: Network, reading: Reading, made: list[Made], timing: str, chip: LoihiSpec
) -> tuple[Network, int]:
    """The mapped network, and how many steps later its output comes with the chip's timing."""
    layers: dict[str, Layer] = {**reading.kept}
    late: dict[str, int] = {}
    for one in made:
        layers.update(one.layers)
        late.update(
            {
                name: one.late
                for name, layer in one.layers.items()
                if isinstance(layer, Synapse | ComplexSynapse)
            }
        )
    edges: list[Edge] = []
    depth = dict.fromkeys(network.inputs, 0)
    for name in reading.order:
        incoming = [edge for edge in reading.edges if edge.target == name]
        depth[name] = max(
            (depth[edge.source] for edge in incoming if not edge.recurrent), default=0
        )
        if name not in late:
            edges += incoming
            continue
        depth[name] += 1
        for edge in incoming:
            steps = late[name] + (timing == "chip" and not edge.recurrent)
            if not steps:
                edges.append(edge)
                continue
            delay = f"{name}_delay"
            while delay in layers or delay in network.inputs:
                delay += "_"
            layers[delay] = Delay(steps)
            edges += [Edge(edge.source, delay, edge.recurrent), Edge(delay, name)]
    provenance = {
        name: Provenance(known.source, known.name, (*known.notes, f"mapped onto {chip.name}"))
        for name, known in network.provenance.items()
        if name in layers
    }
    mapped = Network(
        layers,
        edges,
        inputs=network.inputs,
        outputs=list(dict.fromkeys(reading.outputs)),
        provenance=provenance,
    )
    return mapped, max(depth[name] for name in reading.outputs)


def _notes(network: Network, reading: Reading, timing: str, latency: int) -> tuple[str, ...]:
    notes = []
    used = {name for p in reading.populations for part in p.parts for name in part.made_of}
    known = {*reading.order, *used}
    dropped = [name for name in network.names if name not in known]
    folded = [name for name in dropped if name not in reading.dropped]
    dropped = [name for name in dropped if name in reading.dropped]
    for names, text in (
        (dropped, "without an effect on the chip, dropped"),
        (folded, "folded into the weights before or behind"),
    ):
        if names:
            notes.append(f"{text}: " + ", ".join(f"'{name}'" for name in names))
    steps = "1 step" if latency == 1 else f"{latency} steps"
    if timing == "chip":
        notes.append(f"timing as on the chip: the output comes {steps} later; biases do not wait")
    else:
        notes.append(f"timing aligned with the network: on the chip the output comes {steps} later")
    return tuple(notes)
