"""Neurons of other simulators as neurons of the chip."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import equinox as eqx

from neurojax._layer import Layer, constants_to_floats
from neurojax.chips._mapped import Problem
from neurojax.chips.bss2._integrator import AbstractCircuit
from neurojax.chips.bss2.lif import IAF, LI, LIF
from neurojax.neurons._leak import decay_factor
from neurojax.neurons._neuron import AbstractNeuron
from neurojax.neurons.cuba import CubaIAF, CubaLI, CubaLIF

KINDS = (CubaLIF, CubaIAF, CubaLI)
DRIVE = 10e-6
"""Seconds in which the chip's membrane without leak rises by a constant current: any will do."""


def to_circuit(
    name: str, neuron: AbstractNeuron, dt: float, problems: list[Problem], notes: list[str]
) -> Layer | None:
    """A neuron of the chip that computes the same, or None and what is in the way.

    Args:
        name: Of the layer.
        neuron: The neuron.
        dt: Duration of a time step in seconds.
        problems: Gets what is in the way.
        notes: Gets what is different.
    """
    if isinstance(neuron, AbstractCircuit):
        if not eqx.is_array(neuron.dt) and abs(float(neuron.dt) / dt - 1) < 1e-6:
            return neuron
        found = "an array" if eqx.is_array(neuron.dt) else f"{neuron.dt:g} s"
        problems.append(
            Problem(
                name,
                f"its dt is {found}",
                f"all neurons share one time step, here {dt:g} s",
                f"give it dt={dt:g}, or pass its dt to map(dt=)",
            )
        )
        return None
    if not isinstance(neuron, KINDS):
        problems.append(
            Problem(
                name,
                f"a {type(neuron).__name__} neuron",
                "a neuron of the chip has a synaptic current that decays, and one membrane",
                'use bss2.LIF, LI, IAF or AELIF, or CubaLIF, CubaLI or CubaIAF with order="old"',
            )
        )
        return None
    found_problems = list(_problems(name, neuron))
    problems += found_problems
    if found_problems:
        return None
    if getattr(neuron, "strict", True) is False:
        notes.append(f"'{name}': fires at v > threshold, not at v >= threshold: differs in ties")
    return _converted(constants_to_floats(neuron), dt)


def _converted(neuron: Any, dt: float) -> Layer:
    kept = decay_factor(neuron.tau_syn, neuron.decay_syn, neuron.dt, neuron.method)
    # Euler's method leaves 1 - dt/tau in a step, so any decay has a time constant for it.
    common = {"tau_syn": dt / (1 - kept), "dt": dt, "v_init": neuron.v_init}
    if isinstance(neuron, CubaIAF):
        reset = 0.0 if neuron.reset == "zero" else neuron.reset_value
        return IAF(
            tau_mem=DRIVE,
            gain=neuron.gain * (DRIVE / dt),
            threshold=neuron.threshold,
            reset=reset,
            refractory_time=_pause(neuron, dt),
            surrogate=neuron.surrogate,
            # Where v begins: a value to reset to is where CubaIAF does, "zero" is 0 either way.
            generation="seed",
            **common,
        )
    left = decay_factor(neuron.tau, neuron.decay, neuron.dt, neuron.method)
    gain = neuron.gain if neuron.normalize_input else neuron.gain / (1 - left)
    common |= {"tau_mem": dt / (1 - left), "leak": neuron.v_rest, "gain": gain}
    if isinstance(neuron, CubaLI):
        return LI(**common)
    return LIF(
        threshold=neuron.threshold,
        reset=0.0 if neuron.reset == "zero" else neuron.reset_value,
        refractory_time=_pause(neuron, dt),
        surrogate=neuron.surrogate,
        **common,
    )


def _pause(neuron: Any, dt: float) -> Any:
    return 0.0 if neuron.refractory is None else neuron.refractory * (dt / neuron.dt)


def _problems(name: str, neuron: Any) -> Iterator[Problem]:
    if neuron.order != "old":
        yield Problem(
            name,
            f'order is "{neuron.order}"',
            "on the chip, the input of a step moves the membrane in the next one",
            'set order="old" and train on: its spikes come a step later',
        )
    if neuron.v_min is not None:
        yield Problem(
            name, f"v_min is {neuron.v_min}", "a membrane has no lower bound", "leave it out"
        )
    for tau, decay in (("tau", "decay"), ("tau_syn", "decay_syn")):
        value = getattr(neuron, decay, None)
        if value is not None and not eqx.is_array(value) and not 0 <= float(value) < 1:
            yield Problem(
                name,
                f"{decay} is {value:g}",
                "membranes and currents decay with a time constant",
                f"give {tau}, or a {decay} within 0..1",
            )
    if isinstance(neuron, CubaLI):
        return
    legal = "a spike sets the membrane to a value, once in a step"
    if neuron.reset not in ("zero", "value"):
        remedy = 'set reset="zero" and train on'
        yield Problem(name, f'reset is "{neuron.reset}"', legal, remedy)
    if neuron.reset_delay is not False:
        found = f"reset_delay is {neuron.reset_delay!r}"
        yield Problem(name, found, "a reset is at once", "set reset_delay=False and train on")
    if neuron.max_spikes != 1:
        found = f"max_spikes is {neuron.max_spikes}"
        yield Problem(name, found, legal, "set max_spikes=1 and train on")
    for option, plain in (("amplitude", None), ("winner_take_all", False)):
        if getattr(neuron, option) is not plain:
            found = f"{option} is {getattr(neuron, option)}"
            yield Problem(name, found, "a spike is a spike", "leave it out")
