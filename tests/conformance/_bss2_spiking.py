"""hxtorch's model neurons of two generations, EventProp, and a network with dropout.

Numbers are passed as arrays, so that the cases of a form share one compiled function; that
constants do the same is tested elsewhere.
"""

import functools as ft
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import neurojax as nj
from neurojax.chips import bss2
from tests.conformance._bss2_case import (
    EXACT,
    GRADIENT,
    TRACE,
    Case,
    Masked,
    cases,
    loss_terms,
    result_of,
)
from tests.conformance._result import QUICK, Result, attempt

PATHS = {"spikes": "n", "membrane": "n.v", "current": "n.i", "adaptation": "n.w"}
"""Recorded traces, and the probes that they are."""
MEASURED = {"hw_spikes": "n", "hw_cadc": "n.v", "hw_adaptation": "n.w"}


def run(directory: Path) -> Iterator[Result]:
    """Every case of a neuron or a network of them."""
    known = {case.name: case for case in cases(directory, "bss2 hxtorch.spiking")}
    shared = next((c.about for c in known.values() if c.has("W1") and "tau_syn" in c.about), {})
    for case in cases(directory, "bss2 hxtorch.spiking"):
        compare = comparison(case, shared)
        if compare is not None:
            yield from attempt(case.group, case.name, ft.partial(_one, compare, case))


def _one(compare: Callable[[Case], Result], case: Case) -> list[Result]:
    return [compare(case)]


def comparison(case: Case, shared: dict[str, Any]) -> Callable[[Case], Result] | None:
    """How a case is compared, by what its description and its arrays are.

    Args:
        case: The case.
        shared: Description of the file's EventProp network, for cases that do not repeat it.
    """
    if "flags" in case.about:
        return lambda case: compare_neuron(case, neuron_of_flags(case))
    if "function" in case.about:
        return lambda case: compare_neuron(case, neuron_of_function(case))
    if "tau_mem_exp" in case.about:
        return lambda case: compare_neuron(case, neuron_of_exponentials(case))
    if case.has("W1", "mask"):
        return compare_network
    if case.has("W1"):
        return lambda case: compare_eventprop(case, shared | case.about)
    return None


def number(value: Any) -> Any:
    """A recorded number, or one a neuron, as an array."""
    return jnp.asarray(np.asarray(value, np.float32))


def neuron_of_flags(case: Case) -> nj.Layer:
    """The neuron of hxtorch's one integrator, by the terms that are switched on."""
    flags, params = case.about["flags"], case.about["params"]
    get = {k: number(v) for k, v in params.items() if isinstance(v, float | int | list)}
    leak_rate = get.get("g_l", number(1.0))
    timing = {
        "tau_syn": get["tau_syn"],
        "c_mem": get["c_mem"],
        "tau_mem": get["c_mem"] / leak_rate,
        "dt": case.about["dt"],
    }
    adds = [flags[f] for f in ("exponential", "subthreshold_adaptation")]
    adds.append(flags["spike_triggered_adaptation"])
    if not flags["fire"] and not any(adds) and flags["leaky"]:
        return bss2.LI(leak=get["leak"], **timing)
    firing = timing | {
        "threshold": get["threshold"] if flags["fire"] else number(np.inf),
        "reset": get["reset"],
        "surrogate": nj.surrogate.SuperSpike(params["alpha"]),
        "refractory_time": get["refractory_time"] if flags["refractory"] else 0.0,
    }
    if not any(adds) and flags["leaky"]:
        return bss2.LIF(leak=get["leak"], **firing)
    if not any(adds):
        return bss2.IAF(**firing)
    return bss2.AELIF(
        leak=get["leak"],
        leaky=flags["leaky"],
        exponential_slope=get["exp_slope"] if adds[0] else None,
        exponential_threshold=get["exp_threshold"],
        a=get["subthreshold_adaptation_strength"] if adds[1] else None,
        b=get["spike_triggered_adaptation_increment"] if adds[2] else None,
        tau_adap=get["tau_adap"],
        adapt_while_refractory=True,
        **firing,
    )


def neuron_of_function(case: Case) -> nj.Layer:
    """The neuron of one of the functions of 2023."""
    params = case.about["params"]
    get = {k: number(v) for k, v in params.items() if isinstance(v, float | int | list)}
    kind = case.about["function"]
    timing = {
        "tau_mem": 1 / get["tau_mem_inv"],
        "tau_syn": 1 / get["tau_syn_inv"],
        "dt": case.about["dt"],
    }
    if kind == "cuba_li_integration":
        return bss2.LI(leak=get["v_leak"], **timing)
    firing = timing | {
        "threshold": get["v_th"],
        "reset": get["v_reset"],
        "surrogate": nj.surrogate.SuperSpike(params["alpha"]),
    }
    if kind == "cuba_lif_integration":
        return bss2.LIF(leak=get["v_leak"], **firing)
    if kind == "cuba_iaf_integration":
        return bss2.IAF(generation="seed", **firing)
    if kind == "cuba_refractory_iaf_integration":
        return bss2.IAF(generation="seed", refractory_time=get["tau_ref"], **firing)
    raise ValueError(f"there is no neuron for the function {kind}")


def neuron_of_exponentials(case: Case) -> nj.Layer:
    """The neuron of the integrators with exact decays; their time constants are in steps."""
    about = case.about
    timing = {
        "leak": number(about["leak"]),
        "tau_mem": number(-1 / math.log(about["tau_mem_exp"])),
        "tau_syn": number(-1 / math.log(about["tau_syn_exp"])),
        "dt": 1.0,
        "method": "exact",
    }
    if "threshold" not in about:
        return bss2.LI(**timing)
    return bss2.LIF(
        threshold=number(about["threshold"]),
        reset=number(about["reset"]),
        surrogate=nj.surrogate.SuperSpike(about["alpha"]),
        **timing,
    )


@ft.partial(eqx.filter_jit, compiler_options=QUICK)
def differentiate(
    neuron: nj.Layer,
    weight: jax.Array | None,
    x: jax.Array,
    cotangents: dict[str, jax.Array],
    probes: tuple[str, ...],
    measured: dict[str, jax.Array],
) -> tuple[Any, Any]:
    """Traces, and the gradients of the recorded loss by weights and input."""

    def loss(arguments: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        weight, x = arguments
        synapse = {} if weight is None else {"s": nj.Linear.from_weights(weight)}
        network = nj.Sequential(x.shape[2:], **synapse, n=neuron)
        run = nj.simulate(network, x, probes=probes, measured=measured)
        traces = {probe: run[probe] for probe in probes}
        return sum(jnp.sum(traces[p] * c) for p, c in cotangents.items()), traces

    (_, traces), gradients = jax.value_and_grad(loss, has_aux=True)((weight, x))
    return traces, gradients


def compare_neuron(case: Case, neuron: nj.Layer) -> Result:
    """A neuron behind a weight matrix: traces, and gradients of the recorded loss."""
    arrays = case.arrays
    steps = min(len(arrays[name]) for name in ("x", *MEASURED) if name in arrays)
    # hxtorch goes as far as the shortest measurement.
    cut = {name: a[:steps] if a.ndim == 3 else a for name, a in arrays.items()}
    traces, (to_w, to_x) = differentiate(
        neuron,
        jnp.asarray(cut["W"]) if "W" in cut else None,
        jnp.asarray(cut["x"]),
        {PATHS[what]: cut[cotangent] for what, cotangent in loss_terms(case)},
        tuple(PATHS[what] for what in PATHS if what in cut),
        {path: cut[name] for name, path in MEASURED.items() if name in cut},
    )
    pairs = {
        what: (traces[path], cut[what], EXACT if what == "spikes" else TRACE)
        for what, path in PATHS.items()
        if what in cut
    }
    gradients = {"gW": to_w, "gx": to_x}
    pairs |= {what: (g, cut[what], GRADIENT) for what, g in gradients.items() if what in cut}
    return result_of(case, pairs)


def compare_eventprop(case: Case, about: dict[str, Any]) -> Result:
    """Layers of EventProp, one or more; the current is recorded before it takes its input in."""
    arrays = case.arrays
    count = sum(f"W{k}" in arrays for k in range(1, 10))
    names = [str(k) for k in range(1, count + 1)]
    plain = count == 1 and "z" in arrays
    recorded = {"" if plain else name: f"n{name}" for name in names}
    options = {k: about[k] for k in ("leak", "reset", "threshold", "tau_syn", "tau_mem", "dt")}
    measured = {
        MEASURED[what].replace("n", f"n{names[0]}", 1): arrays[what]
        for what in MEASURED
        if what in arrays
    }
    cotangents = {
        path: arrays[f"cot_z{name}"] for name, path in recorded.items() if f"cot_z{name}" in arrays
    }
    probes = [f"{path}{field}" for path in recorded.values() for field in ("", ".v", ".i")]

    @ft.partial(jax.jit, compiler_options=QUICK)
    def differentiate(weights: list[jax.Array], x: jax.Array) -> tuple[Any, Any]:
        def loss(arguments: Any) -> tuple[jax.Array, Any]:
            weights, x = arguments
            layers: dict[str, nj.Layer] = {}
            for name, weight in zip(names, weights, strict=True):
                layers[f"s{name}"] = bss2.EventPropLinear.from_weights(weight)
                layers[f"n{name}"] = bss2.EventPropLIF(**options)
            network = nj.Sequential(x.shape[2:], **layers)
            run = nj.simulate(network, x, probes=probes, measured=measured)
            return sum(jnp.sum(run[p] * c) for p, c in cotangents.items()), run.traces

        (_, traces), gradients = jax.value_and_grad(loss, has_aux=True)((weights, x))
        return traces, gradients

    traces, (to_w, to_x) = differentiate(
        [jnp.asarray(arrays[f"W{name}"]) for name in names], jnp.asarray(arrays["x"])
    )
    pairs = {}
    for name, path in recorded.items():
        pairs[f"z{name}"] = (traces[path], arrays[f"z{name}"], EXACT)
        if f"v{name}" in arrays:
            pairs[f"v{name}"] = (traces[f"{path}.v"], arrays[f"v{name}"], TRACE)
        if f"i{name}" in arrays:
            pairs[f"i{name}"] = (traces[f"{path}.i"][:-1], arrays[f"i{name}"][1:], TRACE)
    for name, g in zip(names, to_w, strict=True):
        if f"gW{name}" in arrays:
            pairs[f"gW{name}"] = (g, arrays[f"gW{name}"], GRADIENT)
    if "gx" in arrays:
        pairs["gx"] = (to_x, arrays["gx"], GRADIENT)
    return result_of(case, pairs)


def compare_network(case: Case) -> Result:
    """Synapse, LIF, batch dropout, synapse, LI, as hxtorch's experiment runs them."""
    arrays, about = case.arrays, case.about
    timing = {name: about[name] for name in ("tau_mem", "tau_syn", "c_mem") if name in about}
    hidden = bss2.LIF(
        threshold=about["threshold"],
        refractory_time=about["refractory_time"],
        surrogate=nj.surrogate.SuperSpike(about["alpha"]),
        **timing,
    )
    paths = {"z": "n1", "zd": "drop", "v1": "n1.v", "y": "n2.v", "i2": "n2.i"}

    @ft.partial(jax.jit, compiler_options=QUICK)
    def differentiate(weights: Any) -> tuple[Any, Any]:
        def loss(weights: Any) -> tuple[jax.Array, Any]:
            network = nj.Sequential(
                arrays["x"].shape[2:],
                s1=nj.Linear.from_weights(weights[0]),
                n1=hidden,
                drop=Masked(about["dropout"], jnp.asarray(arrays["mask"] != 0)),
                s2=nj.Linear.from_weights(weights[1]),
                n2=bss2.LI(**timing),
            )
            key = jax.random.key(0)
            run = nj.simulate(network, arrays["x"], probes=list(paths.values()), key=key)
            return jnp.sum(run.outputs * arrays["cot"]), run.traces

        (_, traces), gradients = jax.value_and_grad(loss, has_aux=True)(weights)
        return traces, gradients

    traces, gradients = differentiate((jnp.asarray(arrays["W1"]), jnp.asarray(arrays["W2"])))
    pairs = {
        what: (traces[path], arrays[what], EXACT if what in ("z", "zd") else TRACE)
        for what, path in paths.items()
        if what in arrays
    }
    pairs |= {f"gW{k + 1}": (g, arrays[f"gW{k + 1}"], GRADIENT) for k, g in enumerate(gradients)}
    return result_of(case, pairs)
