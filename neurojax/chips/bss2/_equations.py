"""What a neuron of the chip computes in a step, in words and symbols, for `neurojax.describe`.

Time constants are in steps; w is the adaptation current.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx

from neurojax._layer import Layer


def lines_of(neuron: Layer) -> tuple[str, ...]:
    """The lines of a prepared neuron, carried out one after the other."""
    q = _Symbols(neuron)
    slope, a, b = (q.optional(name) for name in ("exponential_slope", "a", "b"))
    leak = q.optional("leak") if getattr(neuron, "leaky", True) else None
    fires = q.optional("threshold") is not None
    drive = "i" if q["gain"] == "1" else f"{q['gain']} i"
    drive = drive if a is None and b is None else f"({drive} - w)"
    v = f"v + {drive} / {q['c_mem']}"
    if leak is not None:
        v += f" - {_above('v', leak)} / {q['tau_mem']}"
    if slope is not None:
        start = _above("v", q["exponential_threshold"])
        v += f" + {slope} exp({start} / {slope}) / {q['tau_mem']}"
    lines = [f"membrane: v <- {v}", f"synaptic current: i <- i - i / {q['tau_syn']} + x"]
    if not fires:
        return (*lines, *_bounded(q), "output: y <- v")
    pause = q.optional("refractory_time")
    pause = None if pause == "0" else pause
    lines.append(f"spikes: s <- [v > {q['threshold']}]")
    masked = pause is not None and not getattr(neuron, "adapt_while_refractory", False)
    heard = "s" if not masked else "s (1 - [refractory > 0])"
    if a is not None or b is not None:
        w = f"w - w / {q['tau_adap']}"
        w += "" if a is None else f" + {a} {_above('v', q['leak'])} / {q['tau_adap']}"
        w += "" if b is None else f" + {b} {heard}"
        lines.append(f"adaptation: w <- {w}")
    reset = q.plain("reset")
    lines += [f"reset: v <- {reset} where s > 0", *_bounded(q)]
    if pause is not None:
        lines += [
            f"refractory period: v <- {reset} where refractory > 0",
            "no spikes in it: s <- 0 where refractory > 0",
            "steps left of it: refractory <- max(refractory - 1, 0)",
            f"it begins: refractory <- {pause} where s > 0",
        ]
    return (*lines, "output: y <- s")


class _Symbols:
    """The fields of a neuron as they stand in formulas."""

    def __init__(self, neuron: Any) -> None:
        self.neuron = neuron

    def plain(self, name: str) -> str:
        """A number, or the name of a parameter."""
        value = getattr(self.neuron, name)
        return name if eqx.is_array(value) else f"{float(value):.7g}"

    def __getitem__(self, name: str) -> str:
        text = self.plain(name)
        return f"({text})" if text.startswith("-") else text

    def optional(self, name: str) -> str | None:
        """The same, or None if the neuron has no such term."""
        return None if getattr(self.neuron, name, None) is None else self[name]


def _above(v: str, level: str) -> str:
    if level.startswith("("):  # a negative number
        return f"({v} + {level[2:-1]})"
    return v if level == "0" else f"({v} - {level})"


def _bounded(q: _Symbols) -> list[str]:
    low = q.optional("v_min")
    return [] if low is None else [f"lower bound: v <- max(v, {low})"]
