"""SpikingJelly's `lava_exchange`: 8-bit weights, CUBA neurons, its norm, its conversions."""

from __future__ import annotations

import functools as ft
import re
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import neurojax as nj
from neurojax import fixed_point
from neurojax.chips.loihi import CUBA, ShiftNorm, quantise_8bit
from neurojax.chips.loihi.quantise import quantise_hook, step_quantise
from neurojax.converters import slayer
from neurojax.surrogate import by_name
from tests.conformance._lava_case import (
    FLOAT,
    Case,
    evaluate,
    first_that_fits,
    in_words,
    windows,
)
from tests.conformance._result import Result

LIMIT = "from torch 2.15 on a clamp has no gradient at its limits; here it has"
EPSILON = "SpikingJelly loses its epsilon at large thresholds, and equality spikes"


# Weights


def quantize(case: Case) -> Iterator[Result]:
    """`quantize_8b`, slayer's `quantize_8bit` and what goes with them: functions of numbers."""
    for name in sorted(case.arrays):
        if re.fullmatch(r"x_[\d.]+", name):
            _eight_bits(case, name.removeprefix("x_"))
    if "step_x" in case:
        _steps(case)
    if "rsz_x" in case:
        _shifts(case)
    yield from case.results("quantize")


def _eight_bits(case: Case, text: str) -> None:
    x, scale = jnp.asarray(case[f"x_{text}"]), float(text)
    for peer, largest in (("sj", 255), ("sl", 254)):
        rounded = f"{peer}_q8_{text}"
        if rounded not in case:
            continue
        ours = lambda x, **more: quantise_8bit(x, scale=scale, largest=largest, **more)  # noqa: B023, E731
        case.equal(rounded, jax.jit(ours)(x))
        if f"{peer}_q8_descale_{text}" in case:
            case.equal(f"{peer}_q8_descale_{text}", ours(x, descale=True))
        if f"{peer}_q8_grad_{text}" in case:
            slope = np.array(jax.grad(lambda x: ours(x).sum())(x))  # noqa: B023
            recorded = case[f"{peer}_q8_grad_{text}"]
            limits = np.float32([-256 / scale, largest / scale])
            at_limit = np.isin(case[rounded], limits) & (recorded == 0) & (slope == 1)
            if at_limit.any():
                case.expect(LIMIT)
            case.equal(f"{peer}_q8_grad_{text}", np.where(at_limit, 0, slope))
    for name in sorted(case.arrays):
        hook = re.fullmatch(rf"sl_hook(\d+)_{re.escape(text)}", name)
        if hook:
            case.equal(name, quantise_hook(x, scale=scale, num_bits=int(hook.group(1))))


def _steps(case: Case) -> None:
    x = jnp.asarray(case["step_x"])
    for name in sorted(case.arrays):
        kind, _, step = name.partition("_")
        if kind in ("step", "slround", "slfloor") and step != "x":
            case.equal(name, step_quantise(x, step=float(step), floor=kind == "slfloor"))


def _shifts(case: Case) -> None:
    x = case["rsz_x"]
    small = np.abs(x) < 1 << 31
    for name in sorted(case.arrays):
        found = re.fullmatch(r"rsz_(?:sl_)?(\d+)", name)
        if found:
            # Wider numbers are no numbers of the chip, and JAX has 32 bits.
            bits = int(found.group(1))
            ours = fixed_point.shift_right(
                jnp.asarray(x[small], jnp.int32), bits, rounding="truncate"
            )
            recorded = case[name].astype(np.int64)
            case.equal(name, _placed(recorded, small, ours))


def _placed(recorded: np.ndarray, where: np.ndarray, ours: Any) -> np.ndarray:
    """What was recorded, and ours where there is a value of ours."""
    values = recorded.copy()
    values[where] = np.asarray(ours)
    return values


# Neurons


def cuba(case: Case) -> Iterator[Result]:
    """`CubaLIFNode`, run twice without a reset in between, with its gradients."""
    x = _with_neurons(case["x"])
    learned = case.param("rg", "requires_grad", default=False)
    decays = {
        name: _decay(case.param(short, name), learned)
        for short, name in (("cd", "current_decay"), ("vd", "voltage_decay"))
    }
    for short, name in (("cd", "current_decay"), ("vd", "voltage_decay")):
        if f"{short}_buf" in case:
            case.equal(f"{short}_buf", np.clip(np.float32(case.param(short, name)) * 4096, 0, 4096))
    norms = {"mean0", "var0", "mean1", "var1"} & case.arrays.keys()
    norm = _norm(case) if norms else None
    neuron = slayer.cuba_lif_node(
        **decays,
        v_threshold=case.param("v_threshold", "th", default=1.0),
        scale=case.param("scale", default=64),
        surrogate=by_name(f"spikingjelly.{case.param('surrogate', default='Sigmoid(alpha=4)')}"),
        detach_reset=case.param("detach", "detach_reset", default=False),
        norm=norm,
    )
    _run(case, neuron, x)
    yield from case.results("sj_cuba_norm" if norms else "sj_cuba")


def _decay(value: Any, learned: bool) -> Any:
    return jnp.asarray(value, jnp.float32) if learned or np.ndim(value) else float(value)


def _with_neurons(x: np.ndarray) -> np.ndarray:
    """`[time, batch]` gets an axis for its one neuron."""
    return x[..., None] if x.ndim == 2 else x


def _run(case: Case, neuron: CUBA, x: np.ndarray) -> None:
    losses, gradients = [], []
    for weights, name, suffix in (("g_spike", "outputs", ""), ("g_v", "n.v", "_from_v")):
        if weights in case:
            losses.append({name: _with_neurons(case[weights])})
            gradients.append(suffix)
    network = nj.Sequential(x.shape[2:], n=neuron)
    got = evaluate(network, x, probes=["n.v", "n.i"], losses=losses)
    run, shape = got.run, case["x"].shape
    case.equal("spike", run.outputs.reshape(shape))
    for array, trace in (("v_seq", "n.v"), ("i_seq", "n.i")):
        if array in case:
            case.equal(array, run[trace].reshape(shape))
    if neuron.norm is not None:
        _statistics(case, network.absorb(run.state)["n"].norm)
    for suffix, to_network, to_x in zip(gradients, got.to_network, got.to_x, strict=True):
        if f"grad_x{suffix}" in case:
            case.gradient(f"grad_x{suffix}", to_x.reshape(shape))
        for decay, short in (("current_decay", "cd"), ("voltage_decay", "vd")):
            if f"grad_{short}{suffix}" in case:
                # Theirs is to 4096 times the decay.
                slope = np.asarray(getattr(to_network["n"], decay)) / 4096
                # A sum of products of a gradient and a state.
                state = case["i_seq" if short == "cd" else "v_seq"]
                terms = float(np.abs(case[f"grad_x{suffix}"][1:] * state[:-1]).sum()) / 4096
                _decay_gradient(
                    case, f"grad_{short}{suffix}", case.param(short, decay), slope, terms
                )
    if {"spike_second_call", "v_second_call", "i_second_call"} & case.arrays.keys():
        again = evaluate(network, x, probes=["n.v", "n.i"], state=run.state).run
        values = {"spike": again.outputs, "v": again["n.v"], "i": again["n.i"]}
        for name, value in values.items():
            if f"{name}_second_call" in case:
                case.equal(f"{name}_second_call", value.reshape(shape))


def _decay_gradient(case: Case, array: str, decay: float, slope: np.ndarray, terms: float) -> None:
    if np.ndim(decay) == 0 and decay in (0, 1) and not np.any(case[array]):
        case.expect(LIMIT)
    else:
        case.gradient(array, slope, terms=terms)


def equality(case: Case) -> Iterator[Result]:
    """A membrane that meets its threshold: no spike, unless float32 loses the epsilon."""
    call = case.about.get("call", "")
    found = re.search(r"CubaLIFNode\(\s*([\d.]+),\s*([\d.]+)\s*\)(?:\D*scale\s*=?\s*(\d+))?", call)
    if found is None:
        raise ValueError(f"the call does not say the decays: {call!r}")
    current, voltage, scale = found.groups()
    for name in sorted(case.arrays):
        inputs = re.fullmatch(r"x(_th([\d.]+))?", name)
        if inputs is None:
            continue
        suffix, threshold = inputs.group(1) or "", float(inputs.group(2) or 1)
        neuron = slayer.cuba_lif_node(
            current_decay=float(current),
            voltage_decay=float(voltage),
            v_threshold=threshold,
            scale=int(scale or 64),
        )
        x = case[name]
        run = evaluate(nj.Sequential((1,), n=neuron), x[..., None], probes=["n.v"]).run
        case.equal(f"spike{suffix}", run.outputs[..., 0])
        membrane = f"v{suffix}" if suffix else "v_seq"
        if membrane in case:
            case.equal(membrane, run["n.v"][..., 0])
        if threshold * 64 * int(scale or 64) >= 1 << 18:
            case.expect(EPSILON)
    yield from case.results("sj_cuba_equality")


# Norms


def _norm(case: Case) -> ShiftNorm:
    return ShiftNorm(
        case["mean0"],
        case["var0"],
        eps=case.param("eps", default=1e-5),
        exponent_bits=case.param("weight_exp_bits", default=3),
        scale=case.param("scale", default=64),
        largest=255,
        momentum=case.param("momentum", default=0.1),
        inference=not case.param("training", default=False),
    )


def _statistics(case: Case, norm: ShiftNorm) -> None:
    """What a norm has learned; in evaluation it learns nothing."""
    for name in ("mean", "var"):
        if f"{name}1" in case:
            case.equal(f"{name}1", getattr(norm, name), rtol=FLOAT)


def norm(case: Case) -> Iterator[Result]:
    """`BatchNorm2d` without neurons: one call in training from empty statistics, then one after."""
    x = case["x"]
    empty = ShiftNorm(np.zeros(x.shape[1]), np.zeros(1), scale=None, inference=False)
    network = nj.Sequential(x.shape[1:], norm=empty)
    run = evaluate(network, x[None]).run
    case.equal("y", run.outputs[0], rtol=FLOAT)
    _statistics(case, network.absorb(run.state)["norm"])
    held = ShiftNorm(case["mean1"], case["var1"], scale=None)
    case.equal("y_eval", jax.vmap(lambda x: held.step(None, x)[1])(x))
    yield from case.results("sj_bn")


# Conversions


def conversions(case: Case) -> Iterator[Result]:
    """Synapses, blocks with IF and LIF neurons, sum pools and containers."""
    tau = re.search(r"LIFNode\(tau=([\d.]+)", case.about.get("what", ""))
    decays = re.search(r"CubaLIFNode\(([\d.]+),\s*([\d.]+)\)", case.about.get("what", ""))
    neurons = {"if": (1.0, 0.0), "lif": (1.0, 1 / float(tau.group(1)) if tau else 0.5)}
    dense, kernel, image = case["fc_w"], case["cv_w"], case["x_cv"]
    for name, shape in (("dense", dense.shape), ("conv", kernel.shape)):
        if f"{name}_wshape" in case:
            case.equal(f"{name}_wshape", (*shape, 1, 1, 1)[:5])
    if "dense" in case:
        case.equal("dense", case["x_fc"] @ dense.T, rtol=FLOAT)
    _sum_pools(case, image)
    _pools(case, image, neurons)
    _convolutions(case, image, kernel, neurons)
    for name in sorted(case.arrays):
        found = re.fullmatch(r"blk_dense_(\w+)_q([01])", name)
        if found:
            neuron = _converted(*neurons[found.group(1)])
            block = slayer.dense(dense, neuron, quantise=found.group(2) == "1", delay_shift=False)
            case.equal(name, _outputs(block, case["x_fc"]))
    if "container_dense" in case:
        current, voltage = (float(d) for d in decays.groups()) if decays else (0.3, 0.2)
        node = slayer.cuba_lif_node(current_decay=current, voltage_decay=voltage)
        case.equal("container_dense", _outputs(slayer.container(dense, node), case["x_fc"]))
        if "container_dense_lava" in case:
            block = slayer.dense(dense, _converted(current, voltage), delay_shift=False)
            case.equal("container_dense_lava", _outputs(block, case["x_fc"]))
    yield from case.results("sj_convert")


def _converted(current_decay: float, voltage_decay: float) -> CUBA:
    return slayer.cuba_neuron(
        threshold=1.0, current_decay=current_decay, voltage_decay=voltage_decay
    )


def _outputs(block: dict[str, nj.Layer], x: np.ndarray) -> np.ndarray:
    return evaluate(nj.Sequential(x.shape[2:], **block), x).run.outputs


def _sum_pools(case: Case, image: np.ndarray) -> None:
    x = image[0]
    for name in sorted(case.arrays):
        found = re.fullmatch(r"sumpool_(\d)(\d)(\d)(\d)", name)
        if found:
            kernel, stride, padding, dilation = (int(n) for n in found.groups())
            layer = slayer.sum_pool(
                (kernel, kernel),
                in_shape=x.shape[1:],
                stride=stride,
                padding=padding,
                dilation=dilation,
            )
            case.equal(name, jax.vmap(lambda x: layer.step(None, x)[1])(x), rtol=FLOAT)  # noqa: B023


def _pools(case: Case, image: np.ndarray, neurons: Any) -> None:
    """The window of the pool shows in the weight and in the shapes."""
    if "pool_wshape" not in case:
        return
    window = tuple(int(n) for n in case["pool_wshape"][2:4])
    ones, in_shape = np.ones((1, 1, *window), np.float32), image.shape[2:]
    if "pool" in case:
        layer = slayer.sum_pool(window, in_shape=in_shape)
        case.equal("pool", jax.vmap(jax.vmap(lambda x: layer.step(None, x)[1]))(image), rtol=FLOAT)
    for name in sorted(case.arrays):
        found = re.fullmatch(r"blk_pool_(\w+)_q([01])", name)
        if found:
            neuron, quantise = _converted(*neurons[found.group(1)]), found.group(2) == "1"
            block = slayer.pool(
                ones, neuron, in_shape=in_shape, quantise=quantise, delay_shift=False
            )
            case.equal(name, _outputs(block, image))


def _convolutions(case: Case, image: np.ndarray, kernel: np.ndarray, neurons: Any) -> None:
    if "conv" not in case:
        return
    groups = image.shape[2] // kernel.shape[1]
    found: list[dict[str, Any]] = []

    def compared(options: dict[str, Any]) -> None:
        layer = nj.Conv2d.from_weights(jnp.asarray(kernel), groups=groups, **options)
        ours = jax.vmap(jax.vmap(lambda x: layer.step(None, x)[1]))(image)
        case.equal("conv", ours, rtol=FLOAT)
        found[:] = [options]

    shapes = windows(image.shape[-2:], kernel.shape[-2:], case["conv"].shape[-2:])
    first_that_fits(case, ((in_words(o), ft.partial(compared, o)) for o in shapes))
    for name in sorted(case.arrays):
        block = re.fullmatch(r"blk_conv_(\w+)_q([01])", name)
        if block:
            neuron, quantise = _converted(*neurons[block.group(1)]), block.group(2) == "1"
            options = found[0] | {"groups": groups, "quantise": quantise, "delay_shift": False}
            layers = slayer.conv(kernel, neuron, **options)
            case.equal(name, _outputs(layers, image))
