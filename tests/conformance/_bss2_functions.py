"""What hxtorch has besides neurons: surrogate, injection, weights, encoders, decoders, data."""

import functools as ft
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import neurojax as nj
from neurojax import datasets, decode, encode
from neurojax.chips import bss2
from neurojax.surrogate import spike
from tests.conformance._bss2_case import EXACT, GRADIENT, TRACE, Case, Masked, cases, result_of
from tests.conformance._result import Result, attempt

Pairs = dict[str, tuple[Any, Any, float]]

TRUNCATED = "hxtorch truncates the step of the bias, 35e-6 / 5e-6 to 6"
HALVES = "hxtorch rounds t / dt in float32, where it may fall on the other side of a half"


def run(directory: Path) -> Iterator[Result]:
    """Every case of a function."""
    for case in cases(directory, "bss2 hxtorch.spiking"):
        compare = comparison(case)
        if compare is not None:
            yield from attempt(case.group, case.name, ft.partial(_results, compare, case))


def _results(compare: Callable[[Case], Pairs | Result], case: Case) -> list[Result]:
    found = compare(case)
    return [found if isinstance(found, Result) else result_of(case, found)]


def comparison(case: Case) -> Callable[[Case], Pairs | Result] | None:
    """How a case is compared, by what its description and its arrays are."""
    by_description = {
        "start_weight": exponential_clamp,
        "t_early": coordinates,
        "epsilon": pixels,
        "bin_width": spike_times,
        "rng": yin_yang,
    }
    for word, compare in by_description.items():
        if word in case.about:
            return compare
    if "cadc_time_shift" in case.about or case.has("W1") or case.has("membrane"):
        return None
    by_arrays: list[tuple[tuple[str, ...], Callable[[Case], Pairs | Result]]] = [
        (("z", "cot", "gx"), superspike),
        (("a", "b", "y"), injection),
        (("W", "mask", "y"), sparse),
        (("transformed", "exc", "inh_abs"), rows),
        (("w", "y", "y2"), saturating),
        (("x", "mask", "y"), dropout),
        (("max", "sum", "mean"), decoders),
        (("p", "c"), yin_yang_class),
        (("x", "gx"), maximum),
    ]
    return next((compare for names, compare in by_arrays if case.has(*names)), None)


def pulled(function: Callable[..., Any], cotangent: Any, *arguments: Any) -> tuple[Any, Any]:
    """The value of a function, and what a cotangent becomes at its arguments."""
    value, pull = jax.vjp(function, *map(jnp.asarray, arguments))
    return value, pull(jnp.asarray(cotangent))


def product(x: jax.Array, weight: jax.Array) -> jax.Array:
    """x W^T."""
    return jnp.matmul(x, weight.T, precision=jax.lax.Precision.HIGHEST)


def superspike(case: Case) -> Pairs:
    a = case.arrays
    surrogate = nj.surrogate.SuperSpike(case.about["alpha"])
    z, (to_x,) = pulled(lambda x: spike(x, surrogate, strict=True), a["cot"], a["x"])
    return {"z": (z, a["z"], EXACT), "gx": (to_x, a["gx"], TRACE)}


def injection(case: Case) -> Pairs:
    a = case.arrays
    y, (to_a, to_b) = pulled(nj.inject, a["cot"], a["a"], a["b"])
    # hxtorch has None for the measured side.
    no_gradient = np.zeros_like(to_b)
    return {
        "y": (y, a["y"], EXACT),
        "ga": (to_a, a["ga"], EXACT),
        "gb": (to_b, a.get("gb", no_gradient), EXACT),
    }


def sparse(case: Case) -> Pairs:
    a = case.arrays
    there = jnp.asarray(a["mask"] != 0)
    y, pull = jax.vjp(lambda x, w: product(x, bss2.linear_sparse(w, there)), a["x"], a["W"])
    layer = bss2.SparseLinear.from_weights(a["W"], there)
    pairs = {
        "y": (y, a["y"], TRACE),
        "y of the layer": (jax.vmap(lambda x: layer.step(None, x)[1])(a["x"]), a["y"], TRACE),
    }
    if "cot" in a:
        gradients = dict(zip(("gx", "gW"), pull(jnp.asarray(a["cot"])), strict=True))
        pairs |= {name: (g, a[name], GRADIENT) for name, g in gradients.items() if name in a}
    return pairs


def exponential_clamp(case: Case) -> Pairs:
    a, about = case.arrays, case.about

    def y(x: jax.Array, weight: jax.Array) -> jax.Array:
        limited = bss2.linear_exponential_clamp(
            weight, cap=about["cap"], start=about["start_weight"], quantise=about["quantize"]
        )
        return product(x, limited)

    found, (to_x, to_w) = pulled(y, a["cot"], a["x"], a["W"])
    return {
        "y": (found, a["y"], TRACE),
        "gx": (to_x, a["gx"], GRADIENT),
        "gW": (to_w, a["gW"], GRADIENT),
    }


def rows(case: Case) -> Pairs:
    a = case.arrays
    limited = bss2.linear_saturating(jnp.asarray(a["w"]))
    pairs = {"transformed": (limited, a["transformed"], EXACT)}
    for prefix, rounding in (("", "nearest"), ("seed_", "truncate")):
        if f"{prefix}exc" in a:
            excitatory, inhibitory = bss2.split_signs(limited, rounding=rounding)
            pairs[f"{prefix}exc"] = (excitatory, a[f"{prefix}exc"], EXACT)
            pairs[f"{prefix}inh_abs"] = (inhibitory, a[f"{prefix}inh_abs"], EXACT)
    return pairs


def saturating(case: Case) -> Pairs:
    a, scale = case.arrays, case.about["scale"]
    low, high = float(a["y2"].min()), float(a["y2"].max())
    limited = bss2.linear_saturating(a["w"], scale, low=low, high=high)
    return {
        "y": (bss2.linear_saturating(a["w"], scale), a["y"], TRACE),
        "y2": (limited, a["y2"], TRACE),
    }


def dropout(case: Case) -> Pairs:
    a = case.arrays
    layer = Masked(0.5, jnp.asarray(a["mask"] != 0))
    return {"y": (layer.step(None, jnp.asarray(a["x"]))[1], a["y"], EXACT)}


def coordinates(case: Case) -> Result:
    a, about = case.arrays, case.about
    t_bias, dt = about["t_bias"], about["dt"]
    expectation = ""
    if t_bias is not None and int(t_bias / dt) != round(t_bias / dt):
        t_bias, expectation = int(t_bias / dt) * dt, TRUNCATED
    ours = encode.coordinates_to_spikes(
        a["x"],
        steps=about["seq_length"],
        t_early=about["t_early"],
        t_late=about["t_late"],
        dt=dt,
        t_bias=t_bias,
    )
    differ = np.argwhere((np.asarray(ours) != a["y"]).any(axis=0))
    if len(differ) and all(_at_half(case, tuple(at)) for at in differ):
        return Result(case.group, case.name, True, 0.0, "", HALVES)
    return result_of(case, {"y": (ours, a["y"], EXACT)}, expectation)


def _at_half(case: Case, at: tuple[int, ...]) -> bool:
    """Whether the time of a coordinate lies half way between two steps, within rounding."""
    about, x = case.about, case.arrays["x"]
    if at[-1] >= x.shape[-1]:
        return False
    early, late = about["t_early"], about["t_late"]
    step = (early + float(x[at]) * (late - early)) / about["dt"]
    return abs(step - np.floor(step) - 0.5) < 1e-5 * max(1.0, step)


def pixels(case: Case) -> Pairs:
    about = case.about
    options = {name: about[name] for name in ("tau", "threshold", "t_max")}
    times = encode.pixels_to_spike_times(case.arrays["x"], eps=about["epsilon"], **options)
    return {"y": (times, case.arrays["y"], TRACE)}


def spike_times(case: Case) -> Pairs:
    raster = encode.spike_times_to_raster(
        case.arrays["t"],
        steps=case.about["size"],
        dt=case.about["bin_width"],
        rounding="floor",
    )
    return {"y": (raster, case.arrays["y"], EXACT)}


def decoders(case: Case) -> Pairs:
    a = case.arrays
    return {
        "max": (decode.max_over_time(a["x"]), a["max"], EXACT),
        "sum": (decode.sum_over_time(a["x"]), a["sum"], TRACE),
        "mean": (decode.mean_over_time(a["x"]), a["mean"], TRACE),
    }


def maximum(case: Case) -> Pairs:
    a = case.arrays
    cotangent = a.get("cot", np.ones(a["x"].shape[1:], np.float32))
    _, (to_x,) = pulled(decode.max_over_time, cotangent, a["x"])
    return {"gx": (to_x, a["gx"], TRACE)}


def _radii(case: Case) -> dict[str, float]:
    return {name: case.about[name] for name in ("r_small", "r_big") if name in case.about}


def yin_yang(case: Case) -> Pairs:
    a, about = case.arrays, case.about
    data = datasets.yin_yang(about["size"], seed=about["seed"], **_radii(case))
    return {"x": (data.inputs, a["x"], TRACE), "y": (data.labels, a["y"], EXACT)}


def yin_yang_class(case: Case) -> Pairs:
    p = case.arrays["p"]
    found = datasets.yin_yang_class(p[:, 0], p[:, 1], **_radii(case))
    return {"c": (found, case.arrays["c"], EXACT)}
