"""What a neuron computes in one step, in words and symbols, with its numbers.

A line is `words: name <- formula`, lines are carried out one after the other. x is the input, y the
output, s the spikes; v, i and b are the state. In a formula, things side by side are multiplied,
`[v >= 1]` is 1 where that holds and else 0, and `... where s > 0` changes nothing elsewhere. A
number is a number; a parameter, which may differ from neuron to neuron, is a name.

The tests carry the lines out and compare with the neuron, so that they can't say anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx

from neurojax._layer import Layer, constants_to_floats
from neurojax.neurons._leak import decay_factor
from neurojax.neurons.adaptive import AdaptiveLIF
from neurojax.neurons.alpha import Alpha
from neurojax.neurons.cuba import CubaIAF, CubaLI, CubaLIF
from neurojax.neurons.iaf import IAF
from neurojax.neurons.li import LI
from neurojax.neurons.lif import LIF

Lines = list[str]


def equations_of(layer: Layer) -> tuple[str, ...]:
    """The lines of a layer: what it says itself, else those of the neurons of this package."""
    if lines := layer.equations():
        return lines
    # A subclass may compute something else.
    write = _WRITERS.get(type(layer))
    return () if write is None else tuple(write(_Symbols(layer)))


class _Symbols:
    """The fields of a neuron as they stand in formulas, and the lines that define some of them."""

    def __init__(self, neuron: Layer) -> None:
        self.neuron: Any = constants_to_floats(neuron)
        self.lines: Lines = []

    def __getattr__(self, name: str) -> str:
        return _symbol(name, getattr(self.neuron, name))

    def option(self, name: str) -> Any:
        """An option, None where the neuron does not have it."""
        return getattr(self.neuron, name, None)

    def decay(self, name: str, tau: str, words: str) -> str:
        """The factor a step of a decay that was given as such or as a time constant."""
        n = self.neuron
        method = getattr(n, "method", "exact")
        factor = decay_factor(getattr(n, tau), getattr(n, name), n.dt, method)
        if getattr(n, tau) is not None and eqx.is_array(factor):
            ratio = f"{self.dt} / {_symbol(tau, getattr(n, tau))}"
            formula = f"exp(-{ratio})" if method == "exact" else f"1 - {ratio}"
            self.lines.append(f"{words}: {name} <- {formula}")
        return _symbol(name, factor)

    def gain_of(self, decay: str) -> str:
        """What the input is multiplied with."""
        n = self.neuron
        if not self.option("normalize_input"):
            return self.gain
        if not (eqx.is_array(n.gain) or decay == "decay"):
            factor = decay_factor(n.tau, n.decay, n.dt, n.method)
            return _symbol("gain", n.gain * (1 - factor))
        self.lines.append(f"gain of the input: gain <- {_times(self.gain, f'(1 - {decay})')}")
        return "gain"


def _symbol(name: str, value: Any) -> str:
    return name if eqx.is_array(value) else f"{float(value):.7g}"


def _times(factor: str, what: str) -> str:
    return what if factor == "1" else f"{factor} {what}"


def _plus(a: str, b: str) -> str:
    if b == "0":
        return a
    return f"{a} - {b[1:]}" if b.startswith("-") else f"{a} + {b}"


def _minus(a: str, b: str) -> str:
    if b == "0":
        return a
    return f"{a} + {b[1:]}" if b.startswith("-") else f"{a} - {b}"


# Leak and input


def _leak(p: _Symbols, drive: str) -> Lines:
    decay = p.decay("decay", "tau", "decay of the membrane a step")
    gain = p.gain_of(decay)
    if p.v_rest == "0":
        left = _times(decay, "v")
    elif decay == "1":
        left = "v"
    else:
        above_rest = f"({_minus('v', p.v_rest)})"
        left = f"{p.v_rest} + {_times(decay, above_rest)}"
    return [f"leak and input: v <- {_plus(left, _times(gain, drive))}"]


def _integrate(p: _Symbols, drive: str) -> Lines:
    return [f"input: v <- {_plus('v', _times(p.gain, drive))}"]


def _synapse(p: _Symbols) -> tuple[Lines, str]:
    """The synaptic current, and what drives the membrane."""
    decay = p.decay("decay_syn", "tau_syn", "decay of the current a step")
    order = p.option("order")
    if order in ("new", "old"):
        lines = [f"synaptic current: i <- {_times(decay, 'i')} + x"]
        if order == "new":
            return lines, "i"
        return ["current of the step before: drive <- i", *lines], "drive"
    lines = [f"synaptic current: i <- {_times(decay, '(i + x)')}"]
    if order == "decay_input":
        return lines, "i"
    return ["current before it decays: drive <- i + x", *lines], "drive"


# Spike and reset


def _count(p: _Symbols, threshold: str) -> str:
    most = p.option("max_spikes")
    if most == 1:
        return f"[v {'>' if p.option('strict') else '>='} {threshold}]"
    ratio = "v" if threshold == "1" else f"v / {threshold}"
    whole = f"max(floor({ratio}), 0)"
    return whole if most is None else f"min({whole}, {most})"


def _event(p: _Symbols, threshold: str) -> str:
    """What the reset acts on: every spike if it subtracts, else whether there was one."""
    once = p.option("max_spikes") == 1 or p.option("reset") in ("subtract", "none")
    return _count(p, threshold) if once else f"[v >= {threshold}]"


def _reset(p: _Symbols, events: str, threshold: str, words: str) -> Lines:
    reset = p.option("reset")
    if reset == "none":
        return []
    words += ", no gradient" if p.option("detach_reset") else ""
    if reset == "subtract":
        spent = _times(threshold, events) if _is_number(threshold) else f"{events} {threshold}"
        return [f"{words}: v <- {_minus('v', spent)}"]
    value = "0" if reset == "zero" else p.reset_value
    if "(" in events:  # may be negative
        kept = f"(1 - {events}) v"
        return [f"{words}: v <- {kept if value == '0' else f'{kept} + {events} ({value})'}"]
    return [f"{words}: v <- {value} where {events} > 0"]


def _is_number(symbol: str) -> bool:
    return not symbol[-1].isalpha()


def _before(p: _Symbols, threshold: str) -> tuple[Lines, Lines]:
    """Lines of a late reset that come before leak and input, and those right after."""
    delay = p.option("reset_delay")
    if delay is False:
        return [], []
    late = [f"spikes of the step before: late <- {_event(p, threshold)}"]
    words = "reset, one step late"
    if delay == "before":
        return late + _reset(p, "late", threshold, words), []
    return late, _reset(p, "late", threshold, words)


def _after(p: _Symbols, threshold: str) -> Lines:
    """Lines from the spike on."""
    lines = [f"spikes: s <- {_count(p, threshold)}"]
    events = "s"
    if _event(p, threshold) != _count(p, threshold):
        lines.append(f"neurons that spike: e <- {_event(p, threshold)}")
        events = "e"
    if p.option("winner_take_all"):
        winner = f"winner({_minus('v', threshold)})"
        lines.append(f"only the neuron furthest above its threshold: first <- {winner}")
        lines += [
            f"only that one spikes: {name} <- {name} first" for name in dict.fromkeys(("s", events))
        ]
    if p.option("reset_delay") is False:
        lines += _reset(p, events, threshold, "reset")
    elif p.option("reset_delay") == "compensated":
        words = "reset, brought forward from the next step"
        lines += _reset(p, f"({events} - late)", threshold, words)
    period = p.option("refractory")
    if period is not None:
        steps = "steps" if eqx.is_array(period) else f"{p.neuron.resolved()['refractory']:g}"
        if eqx.is_array(period):
            lines.append(f"refractory period in steps: steps <- ceil(refractory / {p.dt})")
        lines += [
            "silent after a spike: s <- 0 where left > 0",
            f"and held: v <- {p.reset_value} where left > 0",
            "steps of silence left: left <- max(left - 1, 0)",
            f"begin of a silence: left <- {steps} where s > 0",
        ]
    if p.option("amplitude") is not None:
        lines.append(f"worth of a spike: s <- {_times(p.amplitude, 's')}")
    return lines + _bound(p)


def _bound(p: _Symbols) -> Lines:
    return [] if p.option("v_min") is None else [f"lower bound: v <- max(v, {p.v_min})"]


# The neurons


def _spiking(integrate: Callable[[_Symbols, str], Lines]) -> Callable[[_Symbols], Lines]:
    def write(p: _Symbols) -> Lines:
        before, between = _before(p, p.threshold)
        synapse, drive = _synapse(p) if isinstance(p.neuron, CubaLIF | CubaIAF) else ([], "x")
        lines = before + synapse + integrate(p, drive) + between + _after(p, p.threshold)
        return p.lines + lines + ["output: y <- s"]

    return write


def _integrator(p: _Symbols) -> Lines:
    synapse, drive = _synapse(p) if isinstance(p.neuron, CubaLI) else ([], "x")
    lines = synapse + _leak(p, drive)
    return p.lines + lines + ["output: y <- v"] + _bound(p)


def _adaptive(p: _Symbols) -> Lines:
    raised = f"threshold of this step: T <- {_plus(p.threshold, _times(p.adaptation, 'b'))}"
    before, between = _before(p, "T")
    lines = [raised] + before + _leak(p, "x") + between + _after(p, "T")
    decay = p.decay("decay_adapt", "tau_adapt", "decay of the adaptation a step")
    lines.append(f"adaptation: b <- {_times(decay, 'b')} + (1 - {decay}) s")
    return p.lines + lines + ["output: y <- s"]


def _alpha(p: _Symbols) -> Lines:
    slow = p.decay("decay", "tau", "decay of the slow current a step")
    fast = p.decay("decay_fast", "tau_fast", "decay of the fast current a step")
    neuron = p.neuron
    if neuron.scale is not None:
        scale = p.scale
    elif slow == "decay" or fast == "decay_fast":
        p.lines.append(f"scale: scale <- log({slow}) / (log({fast}) - log({slow})) + 1")
        scale = "scale"
    else:
        scale = _symbol("scale", neuron.resolved()["scale"])
    drive = _times(p.gain, "x")
    lines = [
        f"spikes of the step before: late <- [v > {p.threshold}]",
        "fast current of the step before: old <- inhibitory",
        f"slow current: excitatory <- {_plus(_times(slow, 'excitatory'), drive)}",
        f"fast current: inhibitory <- {_minus(_times(fast, 'inhibitory'), drive)}",
        f"potential: v <- {scale} (excitatory + inhibitory)",
    ]
    words = "reset, one step late, no gradient"
    if p.option("reset") == "zero":
        lines += [f"{words}: {u} <- 0 where late > 0" for u in ("excitatory", "inhibitory", "v")]
    elif p.option("reset") == "subtract":
        spent = _times(p.threshold, "late")
        lines += [
            f"{words}: excitatory <- {_minus('excitatory', spent)}",
            f"{words}: inhibitory <- 0 where late > 0",
            f"{words}: v <- v + late old",
        ]
    return p.lines + lines + [f"spikes: s <- [v > {p.threshold}]", "output: y <- s"]


_WRITERS: dict[type[Layer], Callable[[_Symbols], Lines]] = {
    IAF: _spiking(_integrate),
    LIF: _spiking(_leak),
    CubaIAF: _spiking(_integrate),
    CubaLIF: _spiking(_leak),
    LI: _integrator,
    CubaLI: _integrator,
    AdaptiveLIF: _adaptive,
    Alpha: _alpha,
}
