"""The layers of a file from a network on the chip: the reverse of `_build`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurojax._layer import Layer
from neurojax._network import Network
from neurojax.chips.loihi.complex_synapse import ComplexSynapse
from neurojax.chips.loihi.input import Input
from neurojax.chips.loihi.lif import LIF
from neurojax.chips.loihi.pool import PerChannel
from neurojax.chips.loihi.quantise import SCALE
from neurojax.chips.loihi.sigma_delta import Delta, Sigma, SigmaDelta
from neurojax.chips.loihi.spec import LARGEST_AXONAL_DELAY
from neurojax.chips.loihi.synapse import Synapse
from neurojax.hardware.loihi._neurons import IN_UNITS, ZOO, fields_of, is_shifted
from neurojax.hardware.loihi._weights import ILLEGAL, effective, fitting
from neurojax.hardware.loihi.records import LayerRecord, same, stop
from neurojax.layers import (
    AvgPool1d,
    Chain,
    Concat,
    Conv2d,
    Delay,
    Flatten,
    Identity,
    Linear,
    Recurrent,
    Reshape,
    Scale,
)
from neurojax.layers.transposed import ConvTranspose2d


@dataclass
class _Open:
    """A layer of the file that is being put together."""

    kind: str
    fields: dict[str, Any]
    is_synapse: bool = False
    neuron: dict[str, Any] | None = None
    in_units: bool = False  # graded spikes in the user's unit, as those of LIF are
    names: list[str] = field(default_factory=list)  # of layers without delays
    delays: dict[str, Any] = field(default_factory=dict)  # behind it, by name: steps
    shift: str = ""  # a delay that was taken out, because the timing says it


class _Problems(list[str]):
    def add(self, name: str, text: str) -> None:
        self.extend(f"layer '{name}': {line}" for line in text.splitlines())


def describe(
    network: Network, timing: str | None = None, *, round_biases: bool = False
) -> tuple[tuple[LayerRecord, ...], str]:
    """The layers of a file that say what a network is, and its timing.

    Args:
        network: Layers of the chip with concrete parameters, as `chips.loihi.map` and `load` make
            them.
        timing: See `configure`.
        round_biases: See `configure`.

    Raises:
        ValueError: All that a file can't say, with the names of the layers.
    """
    network = network.prepare(None)
    problems = _Problems()
    opened = _walk(network, problems, round_biases=round_biases)
    _check_graded(opened, problems)
    stop(problems)
    timing = _without_shifts(opened, timing, problems)
    _set_delays(network, opened, problems)
    _check_concat(network, opened, timing, problems)
    stop(problems)
    records: list[LayerRecord] = []
    for part in opened[1:]:
        if part.neuron is not None and part.neuron.get("sigma_output", False):
            # Without effect; slayer's layers share their parameters, and it writes them all.
            before = [r.neuron["vThMant"] for r in records if r.neuron is not None]
            part.neuron["vThMant"] = before[-1] if before else np.int64(0)
        records.append(LayerRecord(part.kind, part.fields, part.neuron))
    return tuple(records), timing


def _walk(network: Network, problems: _Problems, *, round_biases: bool) -> list[_Open]:
    """One entry a layer of the file; the first one stands for the input."""
    (before, *more), outputs = network.inputs, network.outputs
    if more:
        problems.append(f"there are {len(more) + 1} inputs; a .net file has one")
    opened = [_Open("", {}, names=[before])]
    for name in network.names:
        layer, edges = network[name], network.incoming(name)
        sources = [edge.source for edge in edges]
        if any(edge.recurrent for edge in edges):
            problems.add(name, "it has a recurrent edge; use nj.Recurrent(neuron, synapse)")
        elif isinstance(layer, Concat):
            shape = network.out_shape(name)
            if layer.axis % len(shape):
                problems.add(name, f"axis is {layer.axis}; a .net file puts channels together: 0")
            fields = {"shape": np.array(shape, np.int64), "layers": tuple(sources)}
            opened.append(_Open("concat", fields, names=[name]))
        elif sources != [before]:
            found = " and ".join(f"'{source}'" for source in sources)
            problems.add(
                name,
                f"it takes {found}; in a .net file a layer takes the one before, '{before}', and "
                "only Concat others",
            )
        else:
            _add(network, name, layer, opened, problems, round_biases=round_biases)
        before = name
    if outputs != (before,):
        found = ", ".join(f"'{name}'" for name in outputs)
        problems.append(f"the outputs are {found}; a .net file has one: its last layer, '{before}'")
    _needs_neuron(opened, problems)
    return opened


def _needs_neuron(opened: list[_Open], problems: _Problems) -> None:
    last = opened[-1]
    if last.is_synapse and last.neuron is None and last.names:
        problems.add(last.names[-1], "there are no neurons behind it; add some, such as loihi.LIF")


def _add(
    network: Network,
    name: str,
    layer: Layer,
    opened: list[_Open],
    problems: _Problems,
    *,
    round_biases: bool,
) -> None:
    last = opened[-1]
    in_shape, out_shape = network.in_shape(name), network.out_shape(name)
    if isinstance(layer, Delay):
        if last.is_synapse and last.neuron is None:
            problems.add(name, "a delay between synapse and neurons; put it behind the neurons")
        last.delays[name] = layer.steps
        return
    if isinstance(layer, Identity) and len(opened) > 1:
        last.names.append(name)
        return
    begins = isinstance(layer, Identity | Input | Synapse | ComplexSynapse)
    flat = isinstance(layer, Flatten) or (isinstance(layer, Reshape) and len(out_shape) == 1)
    if begins or flat or isinstance(layer, Chain):
        _needs_neuron(opened, problems)
    if isinstance(layer, Identity):
        opened.append(_Open("input", {"shape": _sizes(in_shape)}, names=[name]))
    elif isinstance(layer, Input):
        opened.append(_Open("input", _input(layer, in_shape), True, names=[name]))
    elif flat:
        fields = {"shape": _sizes([out_shape[0], 1, 1])}
        opened.append(_Open("flatten", fields, names=[name]))
    elif isinstance(layer, Chain) and _is_average(layer):
        opened.append(_Open("average", {"shape": _sizes(out_shape)}, names=[name]))
    elif isinstance(layer, Synapse | ComplexSynapse):
        shape = out_shape[1:] if isinstance(layer, ComplexSynapse) else out_shape
        kind, fields = _synapse(name, layer, problems)
        fields = {"shape": _sizes(shape)} | fields
        opened.append(_Open(kind, fields, True, names=[name]))
    elif last.is_synapse and last.neuron is None:
        last.names.append(name)
        _neuron(name, layer, last, out_shape[0], problems, round_biases=round_biases)
    elif isinstance(layer, Scale) and last.neuron is not None and last.neuron["type"] in ZOO:
        last.names.append(name)
        last.in_units = isinstance(layer.factor, float) and layer.factor == IN_UNITS
    elif isinstance(layer, LIF | Delta | Sigma | SigmaDelta):
        problems.add(name, "there is no synapse in front of it; use Synapse, or loihi.Input first")
    else:
        problems.add(
            name,
            f"{layer.describe()}: no layer of a .net file; map the network with chips.loihi.map",
        )


def _sizes(shape: Sequence[int]) -> np.ndarray:
    return np.array(shape, np.int64)


def _is_average(layer: Chain) -> bool:
    types = [type(part) for part in layer.layers]
    if types != [Reshape, AvgPool1d, Flatten]:
        return False
    reshape: Any = layer.layers[0]
    mean: Any = layer.layers[1]
    return len(reshape.shape) == 2 and tuple(mean.kernel_size) == reshape.shape[1:]


def _input(layer: Input, shape: Sequence[int]) -> dict[str, Any]:
    held = layer.integers()
    fields: dict[str, Any] = {"shape": _sizes(shape)}
    if held["weight"] != 64:
        fields["weight"] = np.array([held["weight"]], np.float32)
    if held["bias"]:
        fields["bias"] = np.array([held["bias"]], np.float32)
    return fields


def _synapse(
    name: str, layer: Synapse | ComplexSynapse, problems: _Problems
) -> tuple[str, dict[str, Any]]:
    given = [layer] if isinstance(layer, Synapse) else [layer.real, layer.imag]
    names = ["weight"] if len(given) == 1 else ["weight/real", "weight/imag"]
    parts = [part for part in given if isinstance(part, Synapse)]
    windows = [_window(part.synapse) for part in parts]
    kind, fields = windows[0] if windows else ("", {})
    alike = len(parts) == len(given) and all(same(window, windows[0]) for window in windows)
    if not kind or not alike:
        problems.add(
            name,
            f"{layer.describe()}: no layer of a .net file; there are dense, conv, convT, pool "
            "and unpool ones, over images or vectors, with the same padding at both ends",
        )
        return "", {}
    for key, part in zip(names, parts, strict=True):
        fields[key] = _weights(name, part, problems)
    if kind == "dense":
        outputs, inputs = fields[names[0]].shape
        fields |= {"inFeatures": np.int64(inputs), "outFeatures": np.int64(outputs)}
    return kind, fields


def _weights(name: str, synapse: Synapse, problems: _Problems) -> np.ndarray:
    values = effective(synapse)
    if values is None:
        problems.add(
            name,
            f"its sums are divided by 2^{-synapse.exponent} and cut, which a .net file, that holds "
            "mantissa times 2^exponent, can't say; map with exponent=0",
        )
        return np.zeros(synapse.integers().shape, np.float32)
    if fitting(values) is None:
        problems.add(
            name,
            f"weights of {values.min()}..{values.max()} steps (mantissas times "
            f"2^{synapse.exponent}) are more than netx can turn into mantissas again: {ILLEGAL}; "
            "map with exponent=0",
        )
    return values.astype(np.float32)


def _window(layer: Any) -> tuple[str, dict[str, Any]]:
    """Type of a layer in the file, and the fields about its window; "" if there is none."""
    pooled = isinstance(layer, PerChannel)
    if isinstance(layer, Linear):
        return "dense", {}
    inner: Any = layer.synapse if isinstance(layer, PerChannel) else layer
    if not isinstance(inner, Conv2d | ConvTranspose2d):
        return "", {}
    at_end = [after - before for before, after in inner.padding]
    if any(more < 0 or (more and not pooled) for more in at_end):
        return "", {}
    fields = {
        "kernelSize": _sizes(inner.kernel_size),
        "stride": _sizes(inner.stride),
        "padding": _sizes([before for before, _ in inner.padding]),
        "dilation": _sizes(inner.dilation),
    }
    transposed = isinstance(inner, ConvTranspose2d)
    if pooled:
        return "unpool" if transposed else "pool", fields
    channels = {
        "inChannels": np.int64(inner.in_channels),
        "outChannels": np.int64(inner.out_channels),
        "groups": np.int64(inner.groups),
    }
    return "convT" if transposed else "conv", fields | channels


def _check_graded(opened: list[_Open], problems: _Problems) -> None:
    for part in opened:
        neuron = part.neuron
        if neuron is None or neuron["type"] not in ZOO:
            continue
        if bool(neuron["gradedSpike"]) != part.in_units:
            problems.add(
                part.names[-1],
                f"graded spikes of {neuron['type']} neurons are weight steps here, and units in a "
                f"file: put nj.layers.Scale(1 / {SCALE}) behind them, and behind no others",
            )


def _neuron(
    name: str,
    layer: Layer,
    last: _Open,
    channels: int,
    problems: _Problems,
    *,
    round_biases: bool,
) -> None:
    neuron = layer
    if isinstance(layer, Recurrent):
        neuron, back = layer.neuron, layer.synapse
        if last.kind != "dense" or not isinstance(back, Synapse):
            problems.add(name, "recurrent neurons need a dense Synapse in front and in the loop")
        elif not isinstance(back.synapse, Linear):
            problems.add(name, f"{back.describe()} in the loop; a .net file has Linear there")
        else:
            last.kind = "dense_rec"
            last.fields["weight_rec"] = _weights(name, back, problems)
    try:
        last.neuron, bias = fields_of(
            neuron,
            channels,
            recurrent=isinstance(layer, Recurrent),
            round_biases=round_biases,
        )
    except ValueError as error:
        problems.add(name, str(error))
        last.neuron, bias = {"type": "", "vThMant": 0}, None
    if bias is not None:
        if last.kind == "input":
            problems.add(name, "a bias of neurons that the host feeds; give it to the Input")
        last.fields["bias"] = bias


def _without_shifts(opened: list[_Open], wanted: str | None, problems: _Problems) -> str:
    """Take out the delays of one step that stand for the chip's or slayer's timing."""
    in_front = [
        before.delays
        for before, part in itertools.pairwise(opened)
        if part.is_synapse and part.kind != "input"
    ]
    behind = [part.delays for part in opened if is_shifted(part.neuron)]
    fits = {
        timing: places
        for timing, places in (("chip", in_front), ("slayer", behind))
        if wanted in (None, timing)
        and (places or wanted)
        and all(delays and _has_step(list(delays.values())[-1], timing) for delays in places)
    }
    if fits:  # both, if the host's input has neurons: then the one that leaves no such delay
        timing = max(fits, key=lambda name: len(fits[name]))
        for delays in fits[timing]:
            name, steps = delays.popitem()
            if steps > 1:
                delays[name] = steps - 1
            else:
                part = next(part for part in opened if part.delays is delays)
                part.shift = name
        return timing
    if wanted not in (None, "aligned"):
        where = {"chip": "in front of every synapse", "slayer": "behind every neuron that spikes"}
        said = where.get(wanted, "'aligned', 'chip' and 'slayer' are known")
        problems.append(f"timing is {wanted!r}, but there is no Delay(1) {said}")
    return "aligned"


def _has_step(steps: Any, timing: str) -> bool:
    # `chips.loihi.map` adds the chip's step to a delay that must be there anyway.
    return isinstance(steps, int) and (steps == 1 or (timing == "chip" and steps > 1))


def _set_delays(network: Network, opened: list[_Open], problems: _Problems) -> None:
    """The delays that are left are axonal ones: of the neurons before them."""
    for place, part in enumerate(opened):
        if not part.delays:
            continue
        name = next(iter(part.delays))
        target = part
        if part.neuron is None and place and part.kind == "flatten":
            target = opened[place - 1]
            if any(not isinstance(steps, int) for steps in part.delays.values()):
                problems.add(name, "delays behind a Flatten; put them in front of it")
                continue
        if target.neuron is None or target.kind == "input":
            problems.add(
                name,
                "there are no neurons with synapses in front of this delay; if it is slayer's step "
                "behind every neuron, say so: configure(..., timing='slayer')",
            )
            continue
        channels = network.out_shape(target.names[-1])[0]
        total = sum(np.broadcast_to(np.asarray(s), (channels,)) for s in part.delays.values())
        total = total + np.asarray(target.fields.get("delay", np.zeros(channels)), np.int64)
        if total.max() > LARGEST_AXONAL_DELAY:
            problems.add(
                name, f"{total.max()} steps; the chip has delays of up to {LARGEST_AXONAL_DELAY}"
            )
        target.fields["delay"] = total.astype(np.float32)


def _check_concat(network: Network, opened: list[_Open], timing: str, problems: _Problems) -> None:
    """Numbers of the layers that are put together, instead of their names."""
    ends = [  # where a layer of the file hands its output on
        part.shift if part.shift and timing == "slayer" else ["", *part.names, *part.delays][-1]
        for part in opened
    ]
    index = {
        name: i - 1
        for i, part in enumerate(opened)
        for name in [*part.names, *part.delays, part.shift]
    }
    for part in opened:
        if part.kind != "concat":
            continue
        numbers = []
        for source in part.fields["layers"]:
            if index[source] < 0:
                problems.add(part.names[0], "it takes the network's input, which has no number")
            elif source != ends[index[source] + 1]:
                end = ends[index[source] + 1]
                problems.add(
                    part.names[0],
                    f"it takes '{source}', but in a file with timing '{timing}' the layer ends at "
                    f"'{end}'; take that, or give configure another timing",
                )
            numbers.append(index[source])
        part.fields["layers"] = np.array(numbers, np.int64)
