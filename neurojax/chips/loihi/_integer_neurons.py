"""Neurons in integers: decays, threshold and bias, and what rounding them has cost."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from neurojax._layer import Layer
from neurojax.chips._surrogate import InSteps
from neurojax.chips.loihi._demand import keeps_grid
from neurojax.chips.loihi._phase import PhaseExponential
from neurojax.chips.loihi._resonator import AbstractResonator
from neurojax.chips.loihi._wanted import Wanted
from neurojax.chips.loihi.lif import LIF
from neurojax.chips.loihi.scales import round_bias, round_decay, round_threshold
from neurojax.chips.loihi.spec import FULL, STATE_BITS, STATE_SHIFT, LoihiSpec
from neurojax.surrogate import Surrogate


def zoo_in_integers(neuron: Any, s: float, need: Wanted, chosen: Surrogate | None) -> Layer:
    """A neuron of the zoo that counts in weight steps, s per unit."""
    assert need.surrogate is not None
    steps = {
        field: getattr(neuron, field) * s
        for field in neuron.thresholds
        if getattr(neuron, field) is not None
    }
    surrogate: Surrogate = InSteps(need.surrogate, s)
    if isinstance(need.surrogate, PhaseExponential):  # it has two derivatives, and says how
        surrogate = dataclasses.replace(need.surrogate, scale=need.surrogate.scale * s)
    if isinstance(neuron, AbstractResonator):
        steps["bits"] = STATE_BITS
    return dataclasses.replace(neuron, scale=1, surrogate=chosen or surrogate, **steps)


def lif_in_integers(
    need: Wanted, bias: np.ndarray | None, s: float, chosen: Surrogate | None, chip: LoihiSpec
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
    on_grid = keeps_grid(need, chip)
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
        fields["vth"] = np.maximum(vth, 0)  # one below 0 is refused by the caller
        facts["fires_later"] = not need.strict and not on_grid
    if need.threshold_low is not None:
        fields["vth_lo"] = -round_threshold(-need.threshold_low * s, strict=True, on_grid=on_grid)
    values = {
        field: _parameter(value, field in need.arrays)
        for field, value in fields.items()
        if field != "bias_exp"
    }
    surrogate = chosen
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
