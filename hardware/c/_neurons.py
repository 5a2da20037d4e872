"""The C functions of neurons. The formulas are those of `neurojax.chips.mcu.neurons`."""

from __future__ import annotations

from typing import Any

from neurojax.chips.mcu import LIF
from neurojax.hardware.c._constants import Constants, enum
from neurojax.hardware.c._plan import Call
from neurojax.hardware.c._text import template


def neuron(call: Call, constants: Constants) -> tuple[str, dict[str, object]]:
    """The function of a population: its template, and what is filled in."""
    layer: Any = call.layer
    held = layer.integers()
    constants.scalar("threshold", held.threshold)
    hard = held.v_reset is not None
    if hard:
        constants.scalar("v_reset", held.v_reset)
    if held.rtau is not None:
        constants.scalar("rtau", held.rtau)
    write = _real_neuron if constants.number.real else _integer_neuron
    text, values = write(layer, hard)
    starts_at_reset = hard and layer.compat is None
    return text, values | {"v_start": "@name@_v_reset" if starts_at_reset else constants.literal(0)}


def _integer_neuron(layer: Any, hard: bool) -> tuple[str, dict[str, object]]:
    lines = []

    def let(name: str, function: str, *arguments: str) -> str:
        lines.append(f"const @long_t@ {name} = nj@long@_{function}({', '.join(arguments)});")
        return name

    rest = ""
    if isinstance(layer, LIF):
        leaking = "before"
        if hard:
            rest = (
                "const @long_t@ rest = nj@long@_scale(@name@_v_reset, MEMBRANE_Q - SUM_Q, ROUND);"
            )
            leaking = let("above_rest", "subtract", "before", "rest")
        if layer.decay_input:
            leaking = let("difference", "subtract", "charge", leaking)
        if layer.compat:
            product = let("product", "wrap", f"(uint32_t){leaking} * (uint32_t)@name@_rtau")
            share = let("share", "scale", product, "SUM_Q", "ROUND")
        else:
            share = let("share", "multiply", leaking, "@name@_rtau", "MEMBRANE_Q", "ROUND")
        if layer.decay_input:
            let("v", "add", "before", share)
        else:
            let("v", "add", let("left", "subtract", "before", share), "charge")
    else:
        let("v", "add", "before", "charge")
    reset = "@name@_v[i] = @name@_v_reset;"
    if not hard:
        reset = (
            "const @long_t@ after = nj@long@_subtract(v, threshold);\n\n"
            "@name@_v[i] = nj@long@_store@bits@(nj@long@_scale(after, SUM_Q - MEMBRANE_Q, ROUND));"
        )
    scales = {
        "MEMBRANE_Q": layer.format.weights_q,
        "INPUT_Q": layer.input_q,
        "SUM_Q": layer.sum_q,
    }
    return template("neuron_integer.c"), {
        "spike": int(layer.one),
        "scales": enum(scales, True),
        "rest": rest,
        "charge": "\n".join(lines),
        "reset": reset,
    }


def _real_neuron(layer: Any, hard: bool) -> tuple[str, dict[str, object]]:
    if isinstance(layer, LIF):
        above = "(before - @name@_v_reset)" if hard else "before"
        total = f"before - {above} * @name@_rtau + charge"
        if layer.decay_input:
            total = f"before + (charge - {above}) * @name@_rtau"
    else:
        total = "before + charge"
    return template("neuron_real.c"), {
        "charge": f"const float v = {total};",
        "reset": f"@name@_v[i] = {'@name@_v_reset' if hard else 'v - threshold'};",
    }
