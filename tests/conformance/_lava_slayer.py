"""lava-dl's slayer: its neurons and its blocks. Its arrays are `[batch, channels, ..., time]`."""

from __future__ import annotations

import dataclasses
import functools as ft
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import neurojax as nj
from neurojax.chips.loihi import CUBA, ShiftNorm, quantise_8bit
from neurojax.converters import slayer
from tests.conformance._lava_case import (
    FLOAT,
    Case,
    evaluate,
    first,
    first_that_fits,
    in_words,
    last,
    windows,
)
from tests.conformance._result import Result

# Neurons


def cuba(case: Case) -> Iterator[Result]:
    """`cuba.Neuron`: current, membrane before the reset and spikes; a second call goes on."""
    spatial = case["x"].ndim > 3
    neuron = _neuron(
        case, current_decay=_held(case, "cd", spatial), voltage_decay=_held(case, "vd", spatial)
    )
    x = first(case["x"])
    network = nj.Sequential(x.shape[2:], n=_as_there(neuron))
    losses = [{"outputs": first(case["g_spike"])}] if "g_spike" in case else []
    got = evaluate(network, x, probes=["n.i", "n.v"], losses=losses)
    _traces(case, got.run)
    if "x2" in case:  # goes on from the state that the first call left
        again = evaluate(network, first(case["x2"]), probes=["n.i", "n.v"], state=got.run.state)
        _traces(case, again.run, "2")
    held = got.run.state.layers["n"]
    kept = {
        "current_state": held.i,
        "voltage_state": jnp.where(got.run.outputs[-1] != 0, 0, held.v),
    }
    for array, value in kept.items():
        if array in case:
            case.equal(array, value)
    if losses and "grad_x" in case:
        case.gradient("grad_x", last(got.to_x[0]))
        _decay_gradients(
            case, got.to_network[0]["n"], {"current_decay": "grad_cd", "voltage_decay": "grad_vd"}
        )
    _device(case, neuron)
    yield from case.results("slayer_cuba")


def _held(case: Case, array: str, spatial: bool) -> Any:
    """A decay that the module held; drawn at random if decays are not shared."""
    learned = case.param("rg", "requires_grad", default=False)
    return slayer.decay(case[array], learned=learned, spatial=spatial)


def _neuron(case: Case, **changes: Any) -> CUBA:
    options = {
        "threshold": case.param("th", "threshold"),
        "scale": case.param("scale", default=64),
        "tau_grad": case.param("tau_grad", default=1),
        "scale_grad": case.param("scale_grad", default=1),
        "graded_spike": case.param("graded", "graded_spike", default=False),
    }
    return slayer.cuba_neuron(**(options | changes))


def _as_there(neuron: CUBA) -> CUBA:
    """slayer shows the membrane before the reset, and has gradients of its own to decays."""
    return dataclasses.replace(neuron, reset_delay="before", decay_gradient="slayer")


def _traces(case: Case, run: nj.Run, suffix: str = "") -> None:
    values = {"current": run["n.i"], "voltage": run["n.v"], "spike": run.outputs}
    for name, value in values.items():
        case.equal(f"{name}{suffix}", last(value))


def _decay_gradients(case: Case, to_neuron: Any, arrays: Mapping[str, str]) -> None:
    for decay, array in arrays.items():
        if array in case:
            # Theirs is to 4096 times the decay.
            ours = np.asarray(getattr(to_neuron, decay)) / 4096
            case.gradient(array, ours.reshape(case[array].shape))


def _device(case: Case, neuron: CUBA) -> None:
    """What the description says the chip would hold."""
    said, held = case.about, neuron.integers()
    if "threshold_quantised" in said:
        case.said("threshold", said["threshold_quantised"], neuron.prepare(None).threshold)
    if "v_th_mant" in said:
        case.said("v_th_mant", said["v_th_mant"], held["vThMant"])
    known = held | {"type": "CUBA", "refDelay": 1, "gradedSpike": neuron.graded}
    known |= {"weight_exponent": 0}
    if "weight_exponent" in said:
        case.said("weight_exponent", said["weight_exponent"], 0)
    for entry, value in (said.get("device_params") or {}).items():
        if entry not in known:
            raise ValueError(f"device_params has an entry that is not known: {entry}")
        ours = known[entry]
        if not isinstance(value, str):
            ours = np.reshape(ours, np.shape(value))
        case.said(entry, value, ours)


def normalised(case: Case) -> Iterator[Result]:
    """`cuba.Neuron(norm=...)`: a call in training, then one in evaluation."""
    call = case.about.get("call", "")
    found = re.search(r"Neuron\(\s*([\d.]+),\s*([\d.]+),\s*([\d.]+)", call)
    if found is None:
        raise ValueError(f"the call does not say threshold and decays: {call!r}")
    threshold, current, voltage = (float(number) for number in found.groups())
    norm = ShiftNorm(case["running_mean"], case.get("running_var"))
    case.equal("bias", -quantise_8bit(norm.mean, descale=True))
    if "weight_exp" in case:
        case.equal("weight_exp", norm.exponent)
    neuron = _as_there(
        slayer.cuba_neuron(threshold=threshold, current_decay=current, voltage_decay=voltage)
    )
    x = first(case["x"])
    network = nj.Sequential(x.shape[2:], n=dataclasses.replace(neuron, norm=norm))
    run = evaluate(network, x, probes=["n.i", "n.v"]).run
    shown = jax.vmap(jax.vmap(lambda i: norm.step(None, i)[1]))(run["n.i"])
    _stages(case, "eval", shown, run)
    if "current_train" in case:
        # The statistics are those of the whole sequence: first all currents, then all membranes.
        empty = ShiftNorm(jnp.zeros_like(norm.mean), None if norm.var is None else jnp.zeros(1))
        shown, learned = empty.trained(run["n.i"], axis=2)
        behind = nj.Sequential(x.shape[2:], n=dataclasses.replace(neuron, current_decay=1.0))
        _stages(case, "train", shown, evaluate(behind, shown, probes=["n.v"]).run)
        for name in ("mean", "var"):
            if f"running_{name}" in case:
                case.equal(f"running_{name}", getattr(learned, name), rtol=FLOAT)
    yield from case.results("slayer_cuba_norm")


def _stages(case: Case, phase: str, currents: jax.Array, run: nj.Run) -> None:
    values = {"current": currents, "voltage": run["n.v"], "spike": run.outputs}
    for name, value in values.items():
        if f"{name}_{phase}" in case:
            case.equal(f"{name}_{phase}", last(value))


# Blocks

STACKED = "slayer pools channels stacked on each other, so that windows mix them"
KINDS = ("dense", "convT", "conv", "pool", "unpool", "affine", "recurrent", "input")


def block(case: Case) -> Iterator[Result]:
    """A block of CUBA neurons from its state dict, with the gradients to its parameters."""
    found = re.search(rf"cuba_({'|'.join(KINDS)})", f"{case.about.get('call', '')} {case.name}")
    if found is None:
        raise ValueError(f"neither the call nor the name says what block it is: {case.about}")
    first_that_fits(case, _ways(case, found.group(1)))
    yield from case.results(f"block_cuba {found.group(1)}")


def _ways(case: Case, kind: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """The options of the block that its name and its shapes leave open."""
    said = f"{case.about.get('call', '')} {case.name}"
    shifts = [False, True] if "noshift" in said or kind == "affine" else [True, False]
    (_, *in_shape, _), (_, *out_shape, _) = case["x"].shape, case["y"].shape
    options: list[dict[str, Any]] = [{}]
    if kind in ("conv", "convT"):
        kernel, transposed = case["param.synapse.weight"].shape, kind == "convT"
        channels = out_shape[0] if transposed else in_shape[0]
        found = windows(in_shape[1:], kernel[2:4], out_shape[1:], transposed=transposed)
        options = [option | {"groups": channels // kernel[1]} for option in found]
    if kind == "pool":
        options = _pools(in_shape, case["param.synapse.weight"].shape[2:4], out_shape)
    if kind == "unpool":
        kernel = case["param.synapse.weight"].shape
        options += windows(in_shape[1:], kernel[2:4], out_shape[1:], transposed=True)
    if kind == "affine":
        options = [{"dynamics": d} for d in ((False, True) if "nodyn" in said else (True, False))]
    if kind == "recurrent":
        options = [{"gradient": "through_feedback_only"}]
    for shift, option in itertools.product(shifts, options):
        if kind != "affine":
            option = option | {"delay_shift": shift}
        yield in_words(option), ft.partial(_block, case, kind, option)


def _pools(
    in_shape: Sequence[int], kernel: Sequence[int], out_shape: Sequence[int]
) -> list[dict[str, Any]]:
    """Windows of each channel, whose sizes are filled up; then those over stacked channels."""
    (channels, *sizes), (_, *outs) = in_shape, out_shape
    filled = [size + -size % length for size, length in zip(sizes, kernel, strict=True)]
    rows, columns = (size + size % length for size, length in zip(sizes, kernel, strict=True))
    apart: list[dict[str, Any]] = [{}, *windows(filled, kernel, outs)]
    tall, tall_out = (channels * rows, columns), (channels * outs[0], outs[1])
    stacked = [{"stacked_channels": True} | way for way in windows(tall, kernel, tall_out)]
    return apart + stacked


def _block(case: Case, kind: str, options: dict[str, Any]) -> None:
    state = {
        name.removeprefix("param."): case[name] for name in case.arrays if name.startswith("param.")
    }
    if kind == "pool":
        options = {"in_shape": case["x"].shape[1:-1]} | options
    if "grad.delay.delay" in case:
        options = options | {"delay": jnp.asarray(state.pop("delay.delay"))}
    layers = slayer.from_state_dict(kind, state, neuron=case.params, **options)
    if isinstance(layers.get("neuron"), CUBA):
        layers["neuron"] = _as_there(layers["neuron"])
    x = first(case["x"])
    shape = ft.reduce(lambda shape, layer: layer.out_shape(shape), layers.values(), x.shape[2:])
    if shape != case["y"].shape[1:-1]:
        case.outcomes.append((np.inf, f"y has shape {case['y'].shape}, here {shape} at each step"))
        return
    network = nj.Sequential(x.shape[2:], **layers)
    losses = [{"outputs": first(case["g_y"])}] if "g_y" in case else []
    got = evaluate(network, x, losses=losses)
    case.equal("y", last(got.run.outputs))
    if options.get("stacked_channels"):
        case.expect(STACKED)
    if losses:
        _gradients(case, got.to_network[0], got.to_x[0])


def _gradients(case: Case, to_network: Any, to_x: Any) -> None:
    if "grad_x" in case:
        case.gradient("grad_x", last(to_x))
    readers: dict[str, Callable[[], Any]] = {
        "synapse.weight": lambda: to_network["synapse"].layer.weight,
        "synapse.weight_v": lambda: to_network["synapse"].layer.weight,
        "synapse.weight_g": lambda: to_network["synapse"].rules["weight"].gain,
        "input_synapse.weight": lambda: to_network["synapse"].layer.weight,
        "recurrent_synapse.weight": lambda: to_network["neuron"].synapse.layer.weight,
        "weight": lambda: to_network["transform"].weight,
        "bias": lambda: to_network["transform"].bias,
        "delay.delay": lambda: to_network["delay"].delays,
    }
    for name in sorted(case.arrays):
        if not name.startswith("grad."):
            continue
        parameter = name.removeprefix("grad.")
        if parameter in readers:
            case.gradient(name, np.reshape(readers[parameter](), case[name].shape))
        elif parameter.startswith("neuron."):
            neuron = to_network["neuron"]
            while hasattr(neuron, "neuron"):  # within feedback
                neuron = neuron.neuron
            _decay_gradients(case, neuron, {parameter.removeprefix("neuron."): name})


def without_neurons(case: Case) -> Iterator[Result]:
    """Blocks that only move or merge values."""
    x = first(case["x"])
    for name in sorted(case.arrays.keys() - {"x"}):
        if name == "flatten":
            case.equal(
                name, last(evaluate(nj.Sequential(x.shape[2:], nj.Flatten()), x).run.outputs)
            )
        elif name == "average":
            layers = slayer.average(case[name].shape[1], in_shape=x.shape[2:])
            ours = evaluate(nj.Sequential(x.shape[2:], **layers), x).run.outputs
            case.equal(name, last(ours), rtol=FLOAT)
        elif name.startswith("timedecimation"):
            factor = int(name.removeprefix("timedecimation"))
            case.equal(name, last(slayer.time_decimation(x, factor)), rtol=FLOAT)
    yield from case.results("block_misc")
