"""From a network of real numbers, or of slayer's neurons, to Loihi's integers.

Everything between two populations becomes synapses: factors, batch norm and pools go into the
weights. A population and its synapses get one scale (see `scales`), its neurons decays in steps of
1 / 4096, a threshold, and a bias. What the chip can't do is refused, with every reason at once.

References:
    Lava, lava-dl and nengo-loihi for the integers and their limits: see `spec`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from neurojax._arguments import check_network
from neurojax._graph import Edge, nearest
from neurojax._layer import Layer
from neurojax._network import Network, Provenance
from neurojax._simulate import simulate
from neurojax.chips._mapped import MappedNetwork, MappingError, Problem
from neurojax.chips._surrogate import InSteps
from neurojax.chips.loihi._neuron import AbstractNeuron
from neurojax.chips.loihi._phase import PhaseExponential
from neurojax.chips.loihi._reading import Part, Population, Reading, per_output, read, times_output
from neurojax.chips.loihi._report import Origin, SynapseOrigin, explain
from neurojax.chips.loihi._resonator import AbstractResonator
from neurojax.chips.loihi._wanted import Options, Wanted, wanted
from neurojax.chips.loihi.complex_synapse import ComplexSynapse
from neurojax.chips.loihi.lif import LIF
from neurojax.chips.loihi.resources import check_cores
from neurojax.chips.loihi.scales import (
    FULL,
    Demand,
    Scaling,
    choose_scale,
    round_bias,
    round_decay,
    round_threshold,
)
from neurojax.chips.loihi.spec import STATE_BITS, STATE_SHIFT, WEIGHT_BITS, LoihiSpec, spec
from neurojax.chips.loihi.synapse import Synapse
from neurojax.chips.loihi.weights import MantissaRange, mantissa_range
from neurojax.layers import Delay, Recurrent
from neurojax.surrogate import Surrogate

TIMINGS = ("aligned", "chip")
BIASES = ("refuse", "steady")
RESETS = ("as trained", "zero")


class Choices(NamedTuple):
    """Of the caller."""

    scale: float | Mapping[str, float] | None
    weight_bits: int
    exponent: int | None
    surrogate: Surrogate | None


class Made(NamedTuple):
    """A population in integers."""

    layers: dict[str, Layer]
    late: int
    origin: Origin


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
            `loihi.CUBA`, `loihi.ALIF` or loihi's resonators, and LI or CubaLI as read-outs;
            branches and recurrence are possible. Its inputs are spikes (or integers). Call it
            outside of `jit`: the parameters must be known.
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

    Example:
        >>> import jax, neurojax as nj
        >>> from neurojax.chips.loihi.mapping import map as map_network
        >>> net = nj.Sequential((4,), fc=nj.Linear(4, 3, key=jax.random.key(0)),
        ...                     spikes=nj.CubaLIF(tau=20.0, tau_syn=5.0, reset="zero"))
        >>> mapped = map_network(net, device="loihi2")
        >>> mapped.network.names
        ('fc', 'spikes')
        >>> mapped.network["spikes"].describe()[:16]
        'LIF du 741, dv 2'
    """
    check_network("loihi.map", network)
    chip = spec(device)
    _check_options(network, chip, timing, scale, weight_bits, exponent, reset, bias)
    problems: list[Problem] = []
    reading = read(network, problems)
    choices = Choices(scale, weight_bits, exponent, surrogate)
    made = []
    for population in reading.populations:
        result = _map_population(population, Options(reset, bias), choices, chip, problems)
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
    mapped = MappedNetwork(assembled, chip, tuple(origins), explain)
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
        `{"wrapped": ..., "saturated": ..., "of": ...}`.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.loihi.mapping import map as map_network, overflow
        >>> net = nj.Sequential((1,), fc=nj.Linear.from_weights(jnp.ones((1, 1))),
        ...                     out=nj.LI(decay=1.0))
        >>> overflow(map_network(net, scale=64), jnp.full((3000, 1, 1), 1.0))
        {'out': {'wrapped': 0, 'saturated': 953, 'of': 3000}}
    """
    network = mapped.network
    counting: dict[str, Layer] = {}
    where: dict[str, Callable[[Any], Any]] = {}
    for name in network.names:
        layer = network[name]
        if isinstance(layer, LIF):
            counting[name] = dataclasses.replace(layer, count_overflow=True)
            where[name] = lambda state: state
        elif isinstance(layer, Recurrent) and isinstance(layer.neuron, LIF):
            neuron = dataclasses.replace(layer.neuron, count_overflow=True)
            counting[name] = Recurrent(neuron, layer.synapse)
            where[name] = lambda state: state.neuron
    run = simulate(network.replace(**counting), inputs)
    steps = int(run.state.steps)
    result = {}
    for name, get in where.items():
        state = get(run.state.layers[name])
        result[name] = {
            "wrapped": int(np.sum(np.asarray(state.wrapped))),
            "saturated": int(np.sum(np.asarray(state.saturated))),
            "of": steps * int(np.asarray(state.v).size),
        }
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
    given = dict(scale) if isinstance(scale, Mapping) else {} if scale is None else {"": scale}
    for name, value in given.items():
        if name and name not in network:
            raise ValueError(f"loihi.map: scale of '{name}': {nearest(name, network.names)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
            raise ValueError(f"loihi.map: scale is {value!r}; it must be a number > 0, such as 64")


def _map_population(
    population: Population,
    options: Options,
    choices: Choices,
    chip: LoihiSpec,
    problems: list[Problem],
) -> Made | None:
    """A population and its synapses in integers, or None with at least one problem."""
    count, name = len(problems), population.name
    for part in population.parts:
        _check_finite(part, problems)
    if isinstance(population.neuron, AbstractNeuron):
        need: Wanted | None = _of_zoo(population, problems)
    else:
        has_bias = any(part.bias is not None for part in population.parts)
        feedback = population.recurrent
        need = wanted(name, population.neuron, options, has_bias, feedback, chip, problems)
    if need is None or len(problems) > count:
        return None
    total_bias = _take_biases(population, need)
    _take_gain(population, need, problems)
    if len(problems) > count:
        return None
    demand = _demand(population, need, total_bias, chip)
    asked = choices.scale.get(name) if isinstance(choices.scale, Mapping) else choices.scale
    fixed = need.scale if asked is None else float(asked)
    fixed_exponent = choices.exponent
    if fixed_exponent is None and need.scale is not None and asked is None:
        fixed_exponent = 0  # the grid of its training
    try:
        scaling = choose_scale(
            demand, chip, bits=choices.weight_bits, scale=fixed, exponent=fixed_exponent
        )
    except ValueError as error:
        problems.append(
            Problem(
                name, str(error), f"thresholds are at most {chip.largest_threshold}", "lower it"
            )
        )
        return None
    return _build(population, need, total_bias, demand, scaling, choices, chip, problems)


def _of_zoo(population: Population, problems: list[Problem]) -> Wanted | None:
    """Neurons that stay what they are, in weight steps instead of units."""
    neuron: Any = population.neuron
    for bad, found, legal, remedy in (
        (
            any(part.bias is not None for part in population.parts),
            "a bias",
            f"{type(neuron).__name__} has none",
            "feed it from an input that always spikes",
        ),
        (
            any(getattr(neuron, f"{part}norm", None) for part in ("", "real_", "imag_")),
            "a norm",
            "the chip's neurons have none",
            "use norm=None",
        ),
        (neuron.graded, "graded spikes", "spikes are 0 or 1 so far", "use graded=False"),
    ):
        if bad:
            problems.append(Problem(population.name, found, legal, remedy))
            return None
    # What limits the headroom: the current, or the length of a complex state.
    lost = neuron.decay if isinstance(neuron, AbstractResonator) else neuron.current_decay
    return Wanted(
        current_lost=np.asarray(lost, np.float64),
        voltage_lost=np.full((), 0.5),
        threshold=None if neuron.threshold is None else np.asarray(neuron.threshold, np.float64),
        surrogate=neuron.surrogate,
        scale=float(neuron.scale),
    )


def _check_finite(part: Part, problems: list[Problem]) -> None:
    for what, values in (("weights", part.weight), ("bias", part.bias)):
        bad = 0 if values is None else int(np.sum(~np.isfinite(values)))
        if values is not None and bad:
            problems.append(
                Problem(
                    part.name,
                    f"{bad} of {values.size} values of the {what} are NaN or infinite",
                    "parameters are finite numbers",
                    "reload them, or lower the learning rate that made them",
                )
            )


def _take_biases(population: Population, need: Wanted) -> np.ndarray | None:
    """What reaches the membranes in each step, in units; the parts have no bias afterwards."""
    total: Any = None
    ndim = len(population.shape)
    for part in population.parts:
        if part.bias is None:
            continue
        bias = part.bias.reshape(-1, *(1,) * (len(part.out_shape) - 1))
        if part.out_shape != population.shape:
            bias = np.broadcast_to(bias, part.out_shape).reshape(population.shape)
        total, part.bias = bias + (0 if total is None else total), None
    if total is not None:
        total = total * need.bias_gain
    if need.offset is not None:
        offset = need.offset.reshape(-1, *(1,) * (ndim - 1))
        total = offset + (0 if total is None else total)
    return total


def _take_gain(population: Population, need: Wanted, problems: list[Problem]) -> None:
    """The neurons' input gain goes into the weights."""
    if np.all(need.gain == 1):
        return
    gain = per_output(need.gain, population.shape)
    for part in population.parts:
        whole = need.gain.size == 1
        if gain is None or not (
            whole or (part.out_shape == population.shape and part.out_axis == 0)
        ):
            problems.append(
                Problem(
                    population.name,
                    "an input gain that differs within a channel",
                    "it goes into the weights, which a channel shares",
                    "use one gain for each channel",
                )
            )
            return
        times_output(part, need.gain if whole else gain)


def _demand(
    population: Population, need: Wanted, bias: np.ndarray | None, chip: LoihiSpec
) -> Demand:
    du = round_decay(1 - need.current_lost, chip.current_decay, offset=1)
    return Demand(
        [part.weight for part in population.parts],
        need.threshold,
        on_grid=bias is None and _keeps_grid(need, chip),
        largest_bias=0.0 if bias is None else float(np.max(np.abs(bias))),
        largest_sum=sum(_largest_sum(part) for part in population.parts),
        memory=float(np.max(FULL / np.maximum(du + 1, 1e-9))),
    )


def _keeps_grid(need: Wanted, chip: LoihiSpec) -> bool:
    """Without biases, the membrane is always a whole number of weight steps."""
    du = round_decay(1 - need.current_lost, chip.current_decay, offset=1)
    dv = round_decay(1 - need.voltage_lost, chip.voltage_decay)
    return bool(np.all(du == FULL - 1) and np.all((dv == 0) | (dv == FULL)))


def _largest_sum(part: Part) -> float:
    """Of absolute weights that meet at one neuron; for transposed convolutions an upper bound."""
    if part.out_axis is None:
        return float(np.sum(np.abs(part.weight)))
    axes = tuple(i for i in range(part.weight.ndim) if i != part.out_axis)
    return float(np.max(np.sum(np.abs(part.weight), axis=axes), initial=0))


def _build(
    population: Population,
    need: Wanted,
    bias: np.ndarray | None,
    demand: Demand,
    scaling: Scaling,
    choices: Choices,
    chip: LoihiSpec,
    problems: list[Problem],
) -> Made | None:
    name, s = population.name, scaling.scale
    neuron, facts = (
        (_zoo(population.neuron, need, choices), {})
        if isinstance(population.neuron, AbstractNeuron)
        else _neuron(need, bias, s, choices, chip)
    )
    if facts.get("vth_low", 0) < 0 or facts.get("threshold_steps", 1.0) < 0.5:
        problems.append(
            Problem(
                name,
                f"a threshold of {facts['threshold_steps']:.3g} weight steps at the scale {s:.4g} "
                "that its largest weight allows",
                "a threshold is at least one step",
                "raise the threshold, or shrink the largest weights",
            )
        )
        return None
    layers: dict[str, Layer] = {}
    for part, e, sign, mantissas in zip(
        population.parts, scaling.exponents, scaling.signs, scaling.mantissas, strict=True
    ):
        held = part.build(jnp.asarray(mantissas, jnp.float32))
        layers[part.name] = Synapse(held, exponent=e, bits=choices.weight_bits, sign=sign)
    for owner in {part.owner for part in population.parts if part.owner}:
        real, imag = (layers.pop(f"{owner}.{half}") for half in ("real", "imag"))
        layers[owner] = ComplexSynapse(real, imag)
    if population.recurrent:
        feedback = next(part for part in population.parts if part.feedback)
        neuron = Recurrent(neuron, layers.pop(feedback.name))
    layers[name] = neuron
    origin = Origin(
        name=name,
        scale=s,
        error=scaling.error,
        synapses=tuple(
            _synapse_origin(part, s, e, mantissas, mantissa_range(choices.weight_bits, sign))
            for part, e, sign, mantissas in zip(
                population.parts,
                scaling.exponents,
                scaling.signs,
                scaling.mantissas,
                strict=True,
            )
        ),
        threshold_error=facts.get("threshold_error", 0.0),
        current_error=facts.get("current_error", 0.0),
        voltage_error=facts.get("voltage_error", 0.0),
        bias_error=facts.get("bias_error", 0.0),
        worst=demand.largest_sum * s * (1 << STATE_SHIFT),
        memory=demand.memory,
        fires_later=facts.get("fires_later", False),
        notes=need.notes,
    )
    return Made(layers, need.late, origin)


def _zoo(neuron: Any, need: Wanted, choices: Choices) -> Layer:
    """A neuron of the zoo that counts in weight steps."""
    assert need.scale is not None and need.surrogate is not None
    steps = {
        field: getattr(neuron, field) * need.scale
        for field in neuron.thresholds
        if getattr(neuron, field) is not None
    }
    surrogate: Surrogate = InSteps(need.surrogate, need.scale)
    if isinstance(need.surrogate, PhaseExponential):  # it has two derivatives, and says how
        surrogate = dataclasses.replace(need.surrogate, scale=need.surrogate.scale * need.scale)
    if isinstance(neuron, AbstractResonator):
        steps["bits"] = STATE_BITS
    return dataclasses.replace(neuron, scale=1, surrogate=choices.surrogate or surrogate, **steps)


def _neuron(
    need: Wanted, bias: np.ndarray | None, s: float, choices: Choices, chip: LoihiSpec
) -> tuple[LIF, dict[str, Any]]:
    """The neuron in integers, and what rounding has cost."""
    steps = s * (1 << STATE_SHIFT)  # state steps per unit
    du = round_decay(1 - need.current_lost, chip.current_decay, offset=1)
    dv = round_decay(1 - need.voltage_lost, chip.voltage_decay)
    facts: dict[str, Any] = {
        "current_error": _tau_error(need.current_lost, (du + 1) / FULL),
        "voltage_error": _tau_error(need.voltage_lost, dv / FULL),
    }
    fields: dict[str, Any] = {"du": du, "dv": dv}
    on_grid = _keeps_grid(need, chip)
    if bias is not None:
        mantissas, exponent = round_bias(bias * steps, chip)
        on_grid = on_grid and not np.any(mantissas * 2.0**exponent % (1 << STATE_SHIFT))
        fields["bias_mant"], fields["bias_exp"] = mantissas, exponent
        largest = float(np.max(np.abs(bias))) or 1.0
        facts["bias_error"] = float(
            np.max(np.abs(mantissas * 2.0**exponent / steps - bias)) / largest
        )
    vth = None
    if need.threshold is not None:
        vth = round_threshold(need.threshold * s, strict=need.strict, on_grid=on_grid)
        facts["threshold_steps"] = float(np.min(need.threshold * s))
        facts["vth_low"] = float(np.min(vth))
        relative = np.abs(vth / s - need.threshold) / need.threshold
        facts["threshold_error"] = 0.0 if on_grid else float(np.max(relative))
        fields["vth"] = vth
        facts["fires_later"] = not need.strict and not on_grid
    values = {
        field: _parameter(value, field in need.arrays or field == "bias_mant")
        for field, value in fields.items()
        if field != "bias_exp"
    }
    surrogate = choices.surrogate
    if surrogate is None and need.surrogate is not None:
        surrogate = InSteps(need.surrogate, steps)
    if surrogate is not None:
        values["surrogate"] = surrogate
    values.setdefault("vth", None)
    neuron = LIF(
        **values,
        bias_exp=fields.get("bias_exp", 0),
        refractory=need.refractory,
        graded=need.graded,
        reset_gradient=need.reset_gradient,
    )
    return neuron, facts


def _parameter(values: np.ndarray, array: bool) -> Any:
    """A parameter where the network had one, a constant where it had a constant."""
    values = np.asarray(values)
    return jnp.asarray(values, jnp.float32) if array or values.ndim else int(values)


def _tau_error(wanted: np.ndarray, lost: np.ndarray) -> float:
    """Largest relative error of a time constant -1 / ln(1 - lost)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        before, after = (-1 / np.log1p(-np.minimum(x, 1)) for x in (wanted, lost))
        relative = np.abs(after / before - 1)
    same = np.isclose(wanted, lost, rtol=0, atol=1e-12)
    return float(np.max(np.where(same, 0.0, np.where(np.isnan(relative), np.inf, relative))))


def _synapse_origin(
    part: Part, s: float, exponent: int, mantissas: np.ndarray, legal: MantissaRange
) -> SynapseOrigin:
    held = mantissas * 2.0**exponent / s
    norm = float(np.sqrt(np.sum(part.weight**2))) or 1.0
    wanted_steps = part.weight * (s / 2.0**exponent)
    off = np.abs(held - part.weight)
    low, high, step = legal
    return SynapseOrigin(
        name=part.name,
        kind=part.kind,
        made_of=tuple(part.made_of),
        rms_error=float(np.sqrt(np.sum(off**2))) / norm,
        largest_error=float(np.max(off, initial=0)),
        vanished=int(np.sum((part.weight != 0) & (mantissas == 0))),
        clipped=int(np.sum((wanted_steps > high + step / 2) | (wanted_steps < low - step / 2))),
        size=part.weight.size,
    )


def _assemble(
    network: Network, reading: Reading, made: list[Made], timing: str, chip: LoihiSpec
) -> tuple[Network, int]:
    """The mapped network, and how many steps later its output comes with the chip's timing."""
    layers: dict[str, Layer] = {**reading.kept}
    late: dict[str, int] = {}
    for one in made:
        layers.update(one.layers)
        late.update(
            {name: one.late for name, layer in one.layers.items() if isinstance(layer, Synapse)}
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
