"""Scales of all layers, from a file's lines or from what a network's values are on given inputs.

A range of largest magnitude m is held with q = bits - 1 - (floor(log2(m)) + 1), the finest grid of
a power of two that holds it, which is the rule of Qualia's quantiser. On top of it, unless
`compat="qualia"`: spikes that are not averaged have q = 0, since nothing finer is needed; weights,
biases and membranes get as many fewer bits as keep the sums that were seen away from wrapping, with
one bit to spare; and membranes that go far below the threshold saturate, rather than leave it less
than half of its bits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from neurojax._graph import Edge, nearest
from neurojax._layer import Layer, Shape
from neurojax._network import Network
from neurojax._probe import Probe
from neurojax._simulate import simulate
from neurojax.chips._mapped import Problem
from neurojax.chips.mcu._parts import Part, Plan
from neurojax.chips.mcu.affine import Affine
from neurojax.chips.mcu.neurons import Neuron
from neurojax.chips.mcu.pool import Pool
from neurojax.chips.mcu.ranges import LayerRange
from neurojax.chips.mcu.spec import NUMBERS, Format, Number
from neurojax.layers import ReLU, ReLU6

BEFORE = "{} before its activation"


class Scales(NamedTuple):
    """The formats of all parts, and of the input."""

    input: Format
    parts: dict[str, Format]


def same(plan: Plan, form: Format) -> Scales:
    """One format for all: floats."""
    return Scales(form, dict.fromkeys(plan.parts, form))


def listed(
    plan: Plan, ranges: Mapping[str, LayerRange], number: Number, problems: list[Problem]
) -> Scales:
    """The formats that a file gives; layers without a line take that of the layer before."""
    known = {name for part in plan.parts.values() for name in (part.name, *part.made_of)}
    for name, line in ranges.items():
        if name not in known:
            hint = nearest(name, plan.parts)
            problems.append(Problem(name, "ranges, but no such layer", hint, "rename one of them"))
        if line.widths() - {number.bits}:
            widths = " and ".join(f"{bits} bits" for bits in sorted(line.widths()))
            legal = f"all numbers of {number.name} have {number.bits}"
            remedy = "map with the quantize of these widths"
            problems.append(Problem(name, f"ranges of {widths}", legal, remedy))
    if not ranges:
        problems.append(Problem("network", "no ranges", "layers need scales", "calibrate"))
        return same(plan, Format(number))
    first = next(iter(ranges.values()))
    into = Format(number, output_q=first.input_q, output_round=first.input_round)
    found: dict[str, Format] = {}
    for name, part in plan.parts.items():
        own = next((ranges[n] for n in (name, *part.made_of) if n in ranges), None)
        if own is None and part.kind in ("affine", "neuron"):
            legal, remedy = "layers with parameters have scales of their own", "add a line"
            problems.append(Problem(name, "no line in the ranges", legal, remedy))
        elif own is not None and own.weights_q is None and part.kind in ("affine", "neuron"):
            legal, remedy = "parameters have a scale of their own", "give weights_q"
            problems.append(Problem(name, "ranges with weights_q None", legal, remedy))
        source = part.sources[0]
        found[name] = found.get(source, into) if own is None else own.format(number)
    return Scales(into, found)


def calibrated(
    plan: Plan, in_shape: Shape, inputs: Any, number: Number, rounding: str, *, plain: bool
) -> Scales:
    """Formats that hold what the values of the network are on given inputs.

    Args:
        plan: The parts.
        in_shape: Shape of the network's input.
        inputs: `[time, batch, *in_shape]`.
        number: What the scales are for.
        rounding: Of everything.
        plain: The rule alone, without care for sums.
    """
    seen = _extremes(plan, in_shape, inputs)
    into = Format(number, output_q=scale_for(seen[plan.input], number), output_round=rounding)
    found: dict[str, Format] = {}
    for name, part in plan.parts.items():
        form = Format(number, weights_round=rounding, output_round=rounding)
        before = [found.get(source, into).output_q for source in part.sources]
        if part.kind == "move":
            found[name] = form._replace(output_q=before[0])
            continue
        # Only its parameters are looked at; the scales are not known yet, so none are checked.
        layer = part.make(Format(NUMBERS["float32"]), tuple(before), None)
        room = None if plain else number.long_bits - 2
        if isinstance(layer, Affine):
            found[name] = _affine(layer, form, seen, part, before[0], room)
        elif isinstance(layer, Neuron):
            largest = 1.0 if plain or _averaged(plan, name) else 0.0
            form = _neuron(layer, form, seen, part, before[0], room)
            q = scale_for(largest, number) if largest else 0
            found[name] = form._replace(output_q=q)
        else:
            found[name] = form._replace(output_q=scale_for(seen[name], number))
    return Scales(into, found)


def scale_for(largest: float, number: Number) -> int:
    """q of the finest grid that holds ±largest; 0 for a range of nothing."""
    return number.bits - 1 - exponent(largest) if largest > 0 else 0


def exponent(largest: float) -> int:
    """floor(log2(largest)) + 1."""
    return math.frexp(largest)[1]


def _affine(
    layer: Affine,
    form: Format,
    seen: Mapping[str, float],
    part: Part,
    input_q: int,
    room: int | None,
) -> Format:
    number = form.number
    weights_q = scale_for(_largest(layer.weight), number)
    bias_q = None if layer.bias is None else scale_for(_largest(layer.bias), number)
    if room is not None:
        sums = seen[BEFORE.format(part.name) if part.activation else part.name]
        most = room - exponent(sums) - input_q
        if weights_q > most:
            fewer = weights_q - most
            wider = "; long_width=32 avoids it" if number.long_bits < 32 else ""
            part.notes.append(
                f"'{part.name}': weights have {fewer} bit{'s' * (fewer > 1)} less than they could, "
                f"so that sums fit into {number.long_bits} bits{wider}"
            )
        weights_q = min(weights_q, most)
        bias_q = None if bias_q is None else min(bias_q, most)
    output_q = scale_for(seen[part.name], number)
    return form._replace(weights_q=weights_q, bias_q=bias_q, output_q=output_q)


def _neuron(
    layer: Neuron,
    form: Format,
    seen: Mapping[str, float],
    part: Part,
    input_q: int,
    room: int | None,
) -> Format:
    number = form.number
    held = max(_largest(value) for value in layer.parameters().values() if value is not None)
    membrane = seen[f"{part.name}.v"]
    q = scale_for(max(membrane, held), number)
    if room is not None:
        least = scale_for(held, number) - number.bits // 2
        if q < least:
            part.notes.append(
                f"'{part.name}': its membrane reaches {membrane:.3g}, but saturates at "
                f"{math.ldexp(1, number.bits - 1 - least):.3g}, so that its parameters, up to "
                f"{held:.3g}, keep half of their bits"
            )
            q, membrane = least, math.ldexp(1, number.bits - 1 - least)
        sums = 2 * membrane + seen[part.sources[0]] + held
        q = min(q, max(room - exponent(sums), input_q))
    return form._replace(weights_q=q)


def _averaged(plan: Plan, name: str) -> bool:
    """Whether values of a part are averaged before anything else is done with them."""
    for part in plan.parts.values():
        if name in part.sources and part.kind == "move":
            layer = part.make(Format(NUMBERS["float32"]), (0,), None)
            averages = isinstance(layer, Pool) and layer.kind == "average"
            if averages or _averaged(plan, part.name):
                return True
    return False


def _largest(values: Any) -> float:
    return float(np.max(np.abs(np.asarray(values, np.float32)), initial=0.0))


def _extremes(plan: Plan, in_shape: Shape, inputs: Any) -> dict[str, float]:
    """Largest magnitudes: of all layers' values, of membranes, and of the input."""
    form = Format(NUMBERS["float32"])
    layers: dict[str, Layer] = {}
    edges: list[Edge] = []
    paths: list[str] = []
    for name, part in plan.parts.items():
        qs = (0,) * len(part.sources)
        split = part.activation is not None and part.kind == "affine"
        whole = BEFORE.format(name) if split else name
        layers[whole] = part.make(form, qs, None if split else part.activation)
        edges += [Edge(source, whole) for source in part.sources]
        paths.append(whole)
        if split:
            layers[name] = ReLU() if part.activation == "relu" else ReLU6()
            edges.append(Edge(whole, name))
            paths.append(name)
        if part.kind == "neuron":
            paths.append(f"{name}.v")
    network = Network(layers, edges, inputs={plan.input: in_shape}, outputs=[plan.output])
    both = [Probe(path, reduce=end, neurons=end) for path in paths for end in ("max", "min")]

    # Not within a `jit` of our own: `simulate` compiles a network once, for all number formats.
    traces = simulate(network, jnp.asarray(inputs), probes=both).traces
    found = {plan.input: _largest(inputs)}
    for probe in both:
        largest = np.abs(np.asarray(traces[probe.name])).max()
        found[probe.path] = float(np.maximum(found.get(probe.path, 0.0), largest))  # keeps NaN
    wrong = [path for path, value in found.items() if not math.isfinite(value)]
    if wrong:
        raise ValueError(
            f"mcu.map: on the calibration, values of '{wrong[0]}' are NaN or infinite; calibrate "
            "with finite inputs, and check the parameters of that layer"
        )
    return found
