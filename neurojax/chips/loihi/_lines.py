"""What Lava's neurons compute, in words and symbols, for the card of a network.

`trunc` cuts towards zero, `wrap` keeps 24 bits with sign, `power` is a power; the rest is as in
`neurojax.neurons`.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx

from neurojax._layer import constants_to_floats
from neurojax.chips.loihi.spec import FULL, LARGEST_STATE


def lif_lines(lif: Any, *, per_weight: int, per_unit: int) -> tuple[str, ...]:
    """Of `LIF`, whose steps a weight step and a unit are given."""
    lines = []
    if lif.reset_interval is not None:
        lines += [
            "reset after an interval, current: u <- 0 where 1 > restart",
            "and membrane: v <- 0 where 1 > restart",
            *["and silence: left <- 0 where 1 > restart"] * (lif.refractory > 1),
            f"steps to the next reset: restart <- [1 > restart] {lif.reset_interval} + restart - 1",
        ]
    keep_u = "(4095 - du)" if eqx.is_array(lif.du) else f"{FULL - 1 - lif.du:.0f}"
    keep_v = "(4096 - dv)" if eqx.is_array(lif.dv) else f"{FULL - lif.dv:.0f}"
    drive = _plus("u", _bias(lif))
    if lif.shift:
        drive = f"trunc(({drive}) {2.0**-lif.shift:g})"
    v = f"trunc({keep_v} v / {FULL}) + {drive}"
    lines += [
        f"current: u <- wrap(trunc({keep_u} u / {FULL}) + trunc({per_weight} x))",
        f"membrane: v <- max(-{LARGEST_STATE}, min({LARGEST_STATE}, {v}))",
    ]
    output = f"v / {per_unit}" if lif.graded else "v"
    return (*lines, *_spike_lines(lif, per_weight, output))


def float_lines(lif: Any) -> tuple[str, ...]:
    """Of `FloatLIF`."""
    keep_u, keep_v = (
        f"(1 - {name})" if eqx.is_array(value) else f"{1 - value:.7g}"
        for name, value in (("du", lif.du), ("dv", lif.dv))
    )
    bias = "bias" if eqx.is_array(lif.bias) else f"{float(lif.bias):.7g}"
    return (
        f"current: u <- {keep_u} u + x",
        f"membrane: v <- {_plus(f'{keep_v} v + u', bias)}",
        *_spike_lines(lif, 1, "v"),
    )


def _spike_lines(lif: Any, per_weight: int, output: str) -> list[str]:
    lines = []
    if lif.refractory > 1:
        lines += [
            "silent after a spike: v <- 0 where left > 0",
            "steps of silence left: left <- max(left - 1, 0)",
        ]
    if lif.vth is None:
        return [*lines, f"output: y <- {output}"]
    spikes, where = f"[v > {_threshold(lif, 'vth', per_weight)}]", "s > 0"
    if lif.vth_lo is not None:
        spikes = f"{spikes} - [{_threshold(lif, 'vth_lo', per_weight)} > v]"
        where = "s s > 0"
    lines += [
        f"spikes: s <- {spikes}",
        f"output: y <- {'s' if output == 'v' else f's {output}'}",
        f"reset: v <- 0 where {where}",
    ]
    if lif.refractory > 1:
        lines.append(f"begin of a silence: left <- {lif.refractory - 1} where {where}")
    return lines


def _threshold(lif: Any, name: str, per_weight: int) -> str:
    value = getattr(lif, name)
    if eqx.is_array(value):
        return name if per_weight == 1 else f"{per_weight} {name}"
    return f"{per_weight * value:.9g}"


def _bias(lif: Any) -> str:
    if eqx.is_array(lif.bias_exp):
        mant = "bias_mant" if eqx.is_array(lif.bias_mant) else f"{lif.bias_mant:.0f}"
        return f"floor({mant} power(2, bias_exp))"
    if eqx.is_array(lif.bias_mant):
        return f"floor({2.0**lif.bias_exp:.9g} bias_mant)"
    return f"{constants_to_floats(lif).bias():.0f}"


def _plus(a: str, b: str) -> str:
    if b == "0":
        return a
    return f"{a} - {b[1:]}" if b.startswith("-") else f"{a} + {b}"
