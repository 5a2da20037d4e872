"""slayer's other neurons: ALIF, resonators, sigma-delta. Arrays are `[batch, channels, time]`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

import neurojax as nj
from neurojax.chips.loihi.resonator import RFIzhikevich
from neurojax.chips.loihi.sigma_delta import Sigma
from neurojax.converters import slayer
from neurojax.converters.slayer._sigma_delta import delta, sigma_delta_neuron
from neurojax.converters.slayer._zoo import (
    adrf_iz_neuron,
    adrf_neuron,
    alif_neuron,
    rf_iz_neuron,
    rf_neuron,
)
from tests.conformance._lava_case import FLOAT, Case, evaluate, first, last
from tests.conformance._result import Result

RESONATORS = {
    "adrf_iz": adrf_iz_neuron,
    "adrf": adrf_neuron,
    "rf_iz": rf_iz_neuron,
    "rf": rf_neuron,
}


def alif(case: Case) -> Iterator[Result]:
    """`alif.Neuron`: current, membrane, threshold, refractory response, spikes."""
    learned = {"grad_cd": "current_decay", "grad_vd": "voltage_decay"}
    params = _options(case, [name for array, name in learned.items() if array in case])
    neuron = alif_neuron(**params)
    x = first(case["x"])
    losses = [{"outputs": first(case["g_spike"])}] if "g_spike" in case else []
    probes = ["n.i", "n.v", "n.b", "n.r"]
    got = evaluate(nj.Sequential(x.shape[2:], n=neuron), x, probes=probes, losses=losses)
    case.equal("current", last(got.run["n.i"]))
    case.equal("voltage", last(got.run["n.v"]))
    _adaptation(case, neuron, got.run)
    case.equal("spike", last(got.run.outputs))
    if losses:
        case.gradient("grad_x", last(got.to_x[0]))
        for array, decay in learned.items():
            if array in case:
                # The wrong sign, and 1 / 4096 is missing: theirs is to 4096 times the decay.
                case.gradient(array, -_flat(getattr(got.to_network[0]["n"], decay), case[array]))
    _device(case, neuron)
    yield from case.results("slayer_alif")


def resonator(case: Case) -> Iterator[Result]:
    """`rf`, `rf_iz`, `adrf` and `adrf_iz`: both parts, spikes, gradients."""
    kind = re.match(r"slayer_(adrf_iz|adrf|rf_iz|rf)", case.name)
    assert kind is not None
    device = case.about.get("device_params") or {}
    params = _options(case, ())
    params.setdefault("graded_spike", device.get("gradedSpike", "graded" in case.name))
    if "sin_decay" in case:  # what the module held, not rounded
        params.pop("period", None)
        params.pop("decay", None)
        for part in ("sin", "cos"):
            params[f"{part}_decay"] = slayer.decay(
                case[f"{part}_decay"], learned=f"grad_{part}" in case, spatial=False
            )
    neuron = RESONATORS[kind.group(1)](**params)
    shown = neuron
    if isinstance(neuron, RFIzhikevich):
        shown = dataclasses.replace(neuron, reset_delay="before", decay_gradient="slayer")
    x = np.stack([first(case["x_re"]), first(case["x_im"])], axis=2)
    adaptive = "threshold" in case
    probes = ["n.re", "n.im", *(("n.b", "n.r") if adaptive else ())]
    losses = [{"outputs": first(case["g_spike"])}] if "g_spike" in case else []
    got = evaluate(nj.Sequential(x.shape[2:], n=shown), x, probes=probes, losses=losses)
    case.equal("real", last(got.run["n.re"]))
    case.equal("imag", last(got.run["n.im"]))
    if adaptive:
        _adaptation(case, neuron, got.run)
    case.equal("spike", last(got.run.outputs))
    if losses:
        for part, array in enumerate(("grad_re", "grad_im")):
            case.gradient(array, last(got.to_x[0][:, :, part]))
        for array, name in (("grad_sin", "sin_decay"), ("grad_cos", "cos_decay")):
            if array in case:
                # Theirs is to 4096 times the decay, but lacks 1 / 4096.
                lacks = 1 if shown is neuron else 4096
                ours = _flat(getattr(got.to_network[0]["n"], name), case[array])
                case.gradient(array, ours / lacks)
    _device(case, neuron)
    yield from case.results(f"slayer_{kind.group(1)}")


def sigma_delta(case: Case) -> Iterator[Result]:
    """`sigma_delta.Neuron`: messages, with slayer's gradients."""
    options: dict[str, Any] = _options(case, ["threshold"] if "grad_th" in case else ())
    names = {"leaky": "leaky_relu"}
    options["activation"] = names.get(options.get("activation"), options.get("activation", "relu"))
    neuron = sigma_delta_neuron(**options)
    x = first(case["x"])
    losses = [{"outputs": first(case["g_y"])}] if "g_y" in case else []
    got = evaluate(nj.Sequential(x.shape[2:], n=neuron), x, losses=losses)
    case.equal("y", last(got.run.outputs))
    if losses:
        case.gradient("grad_x", last(got.to_x[0]))
        if "grad_th" in case:
            case.gradient("grad_th", _flat(got.to_network[0]["n"].threshold, case["grad_th"]))
    if "threshold_quantised" in case.about:
        held = np.float32(neuron.integers()["vThMant"] / case.param("scale", default=64))
        case.said("threshold", case.about["threshold_quantised"], held)
    yield from case.results("slayer_sdnn")


def delta_and_sigma(case: Case) -> Iterator[Result]:
    """`axon.Delta` and `axon.Sigma`, each of the input."""
    layer = delta(**_options(case, ["threshold"] if "grad_th" in case else ()))
    x = first(case["x"])
    losses = [{"outputs": first(case["g_y"])}] if "g_y" in case else []
    got = evaluate(nj.Sequential(x.shape[2:], delta=layer), x, losses=losses)
    case.equal("delta", last(got.run.outputs))
    if "sigma" in case:
        run = evaluate(nj.Sequential(x.shape[2:], sigma=Sigma()), x).run
        case.equal("sigma", last(run.outputs), rtol=FLOAT)
    if losses:
        case.gradient("grad_x", last(got.to_x[0]))
        if "grad_th" in case:
            case.gradient("grad_th", _flat(got.to_network[0]["delta"].threshold, case["grad_th"]))
    yield from case.results("slayer_delta_sigma")


def _options(case: Case, learned: Any) -> dict[str, Any]:
    """Parameters as slayer's constructors take them; those that are learned become arrays."""
    options = dict(case.params)
    for name in ("shared_param", "persistent_state", "requires_grad", "dropout"):
        options.pop(name, None)
    for name in learned:
        options[name] = jnp.float32(options[name])
    return options


def _flat(ours: Any, recorded: np.ndarray) -> np.ndarray:
    return np.reshape(ours, recorded.shape)


def _adaptation(case: Case, neuron: Any, run: nj.Run) -> None:
    """slayer shows both before the spike of the step, and the threshold with its base."""
    held, spikes = neuron.prepare(None), np.asarray(run.outputs) != 0
    base, step = np.float32(held.threshold), np.float32(held.threshold_step)
    threshold = np.asarray(run["n.b"]) + base - step * spikes
    case.equal("threshold", last(threshold))
    case.equal("refractory", last(run["n.r"] - 2 * threshold * spikes))


def _device(case: Case, neuron: Any) -> None:
    """What the description says the chip would hold."""
    known: Mapping[str, Any] = {"refDelay": 1, "gradedSpike": neuron.graded} | neuron.integers()
    for entry, value in (case.about.get("device_params") or {}).items():
        if entry != "type":
            case.said(entry, value, np.reshape(known[entry], np.shape(value)))
