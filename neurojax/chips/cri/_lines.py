"""What CRI's neurons compute, in words and symbols, for the card of a network.

`wrap` keeps the membrane's bits with sign; the rest is as in `neurojax.neurons`.
"""

from __future__ import annotations

from typing import Any

from neurojax.chips.cri._options import NO_LEAK
from neurojax.fixed_point import integer_range


def lines_of(neuron: Any) -> tuple[str, ...]:
    """Of a `Neuron` whose options are the same for all; none with noise, with refractory periods,
    or if it computes as one of hs_api's simulators."""
    leak = NO_LEAK if neuron.leak is None else neuron.leak
    alike = all(isinstance(option, float | int) for option in (leak, neuron.refractory))
    alike &= isinstance(neuron.model, str) and isinstance(neuron.reset, str)
    if not alike or neuron.refractory or neuron.order != "hardware" or neuron.noise_form:
        return ()
    theta = f"{neuron.theta:.17g}" if isinstance(neuron.theta, float | int) else "theta"
    lines = [f"spikes: s <- [v {'>' if neuron.fires_above else '>='} {theta}]"]
    if neuron.model == "ANN":
        lines.append("no memory: kept <- 0")
    elif neuron.model == "LIF" and (leak < NO_LEAK or neuron.leak_bias):
        lines.append(f"leak: kept <- v - floor(v / {2.0 ** int(leak):.0f})")
    else:
        lines.append("no leak: kept <- v")
    after = "0" if neuron.reset == "zero" else f"v - {theta}"
    lines.append(f"reset: kept <- {after} where s > 0")
    low, high = integer_range(neuron.bits)
    total = "wrap(kept + x)"
    if neuron.overflow == "saturate":
        total = f"max(-{-low}, min({high}, kept + x))"
    return (*lines, f"input: v <- {total}", "output: y <- s")
