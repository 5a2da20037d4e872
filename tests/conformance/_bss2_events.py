"""jaxsnn: event-driven networks, closed forms of first spikes, its neurons in time steps, data.

Which loss the gradients of networks are of is not described; it is one factor an output times the
first spike of each, summed over the batch. The factors are found by least squares, and all
gradients must agree with them. (A gradient has many more numbers than there are outputs.)
"""

import functools as ft
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import neurojax as nj
from neurojax.chips import bss2
from neurojax.chips.bss2 import events
from neurojax.chips.bss2.events._circuit import Circuit, first_crossing, flow
from neurojax.datasets import yin_yang_class
from tests.conformance._bss2_case import EXACT, GRADIENT, TRACE, Case, cases, loss_terms, result_of
from tests.conformance._result import QUICK, Result, attempt


def run(directory: Path) -> Iterator[Result]:
    """Every case of a form that is known."""
    for case in cases(directory, "bss2 jaxsnn"):
        compare = comparison(case)
        if compare is not None:
            yield from attempt(case.group, case.name, ft.partial(_one, compare, case))


def _one(compare: Callable[[Case], Result], case: Case) -> list[Result]:
    return [compare(case)]


def comparison(case: Case) -> Callable[[Case], Result] | None:
    """How a case is compared, by what its description and its arrays are."""
    forms: list[tuple[tuple[str, ...], Callable[[Case], Result]]] = [
        (("in_time", "in_idx", "W1"), compare_network),
        (("V", "I", "t", "gV", "gI"), compare_first_spike),
        (("V", "I", "t", "V1", "I1"), compare_flow),
        (("x", "W", "spikes"), compare_neuron),
        (("x", "W", "membrane"), compare_neuron),
        (("x", "z", "g"), compare_surrogate),
        (("coords", "classes"), compare_data),
        (("p", "c"), compare_classes),
        (("x", "time", "idx"), compare_encoding),
        (("first", "target"), compare_losses),
    ]
    for names, compare in forms:
        if case.has(*names):
            return compare
    if "seq_length" in case.about:
        return compare_raster
    return compare_targets if "correct" in case.about else None


def compare_network(case: Case) -> Result:
    """Two layers from event to event: one after the other, each with the room that jaxsnn had."""
    arrays, about = case.arrays, case.about
    options = {"tau_mem": about["tau_mem"], "tau_syn": about["tau_syn"]}
    options |= {"threshold": about["v_th"], "reset": about["v_reset"]}
    options |= {"leak": about.get("v_leak", 0.0)}
    gradient = "eventprop" if "eventprop" in case.name else "analytical"
    count = arrays["first"].shape[-1]

    @jax.jit
    def differentiate(weights: Any, train: events.Spikes) -> Any:
        def layers(weights: Any) -> Any:
            runs, arriving = [], train
            for k, weight in enumerate(weights, 1):
                network = nj.Sequential(
                    (len(weight),),
                    s=nj.Linear.from_weights(weight.T),
                    n=bss2.LIF(**options),
                )
                room = arrays[f"t{k}"].shape[-1]
                run = events.simulate(
                    network, arriving, t_max=about["t_max"], max_events=room, gradient=gradient
                )
                runs.append(run)
                arriving = run.outputs
            return events.first_spike(arriving, count), runs

        first, back, runs = jax.vjp(layers, weights, has_aux=True)
        units = jnp.broadcast_to(jnp.eye(count)[:, None], (count, *first.shape))
        return first, runs, jax.vmap(back)(units)[0]

    names = [f"W{k}" for k in range(1, 10) if f"W{k}" in arrays]
    weights = [jnp.asarray(arrays[name]) for name in names]
    train = events.spikes(arrays["in_time"], arrays["in_idx"])
    first, runs, by_output = differentiate(weights, train)
    pairs = {"first": (first, arrays["first"], TRACE)}
    arriving = train
    for k, run in enumerate(runs, 1):
        for name, value in joined(arriving, run.outputs, f"{k}", about["t_max"]).items():
            recorded = arrays[name]
            pairs[name] = (
                value[:, : recorded.shape[1]],
                recorded,
                TRACE if "t" in name[0] else 0.0,
            )
        arriving = run.outputs
    # jaxsnn's EventProp leaves the leak out of its jumps.
    defect = gradient == "eventprop" and options["leak"] != 0
    if not defect:
        flat = np.concatenate([arrays[f"g{name}"].ravel() for name in names]).astype(float)
        basis = [np.asarray(g, float).reshape(count, -1) for g in by_output]
        factors = np.linalg.lstsq(np.concatenate(basis, axis=1).T, flat, rcond=None)[0]
        for name, g in zip(names, by_output, strict=True):
            ours = np.tensordot(factors, np.asarray(g, float), 1)
            pairs[f"g{name}"] = (ours, arrays[f"g{name}"], GRADIENT)
    return result_of(case, pairs, "jaxsnn's EventProp is right for a leak of 0 only" * defect)


def joined(
    arriving: events.Spikes, own: events.Spikes, suffix: str, t_max: float
) -> dict[str, np.ndarray]:
    """Spikes that came in and own ones in one list, as jaxsnn keeps them."""
    time = np.concatenate([arriving.time, own.time], axis=1)
    index = np.concatenate([arriving.index, own.index], axis=1)
    internal = np.concatenate(
        [np.zeros(arriving.time.shape, bool), np.ones(own.time.shape, bool)], axis=1
    )
    order = np.argsort(time, axis=1, kind="stable")
    time, index, internal = (np.take_along_axis(x, order, 1) for x in (time, index, internal))
    there = time < t_max
    return {
        f"t{suffix}": np.where(there, time, np.float32(t_max)),
        f"i{suffix}": np.where(there, index, -1),
        f"int{suffix}": there & internal,
    }


def circuit_of(about: dict[str, Any], size: int) -> Circuit:
    """The neurons of a closed form."""
    rate = 1 / about["tau_mem"]
    numbers = (
        rate,
        1 / about["tau_syn"],
        rate,
        about.get("v_leak", 0.0),
        about.get("v_th", 1.0),
        0.0,
    )
    return Circuit(*(jnp.full(size, x) for x in numbers))


@ft.partial(jax.jit, static_argnames="double", compiler_options=QUICK)
def first_spikes(circuit: Circuit, v: Any, i: Any, t_max: Any, *, double: bool) -> Any:
    """Times and their derivatives."""
    wait, back = jax.vjp(
        lambda v, i: first_crossing(circuit, v, i, 0.0, t_max, double=double), v, i
    )
    return wait, back(jnp.ones_like(wait))


def compare_first_spike(case: Case) -> Result:
    """When a membrane reaches its threshold."""
    arrays, about = case.arrays, case.about
    double = bool(np.isclose(about["tau_mem"], 2 * about["tau_syn"], rtol=1e-6))
    circuit = circuit_of(about, len(arrays["V"]))
    v, i = jnp.asarray(arrays["V"]), jnp.asarray(arrays["I"])
    wait, (by_v, by_i) = first_spikes(circuit, v, i, about["t_max"], double=double)
    wait = np.where(np.isfinite(wait), wait, np.float32(about["t_max"]))
    pairs = {
        "t": (wait, arrays["t"], TRACE),
        "gV": (by_v, arrays["gV"], GRADIENT),
        "gI": (by_i, arrays["gI"], GRADIENT),
    }
    return result_of(case, pairs)


def compare_flow(case: Case) -> Result:
    """Membrane and current between events."""
    arrays = case.arrays
    circuit = circuit_of(case.about, len(arrays["V"]))
    v, i = flow(circuit, *(jnp.asarray(arrays[k], jnp.float32) for k in ("V", "I", "t")))
    return result_of(case, {"V1": (v, arrays["V1"], TRACE), "I1": (i, arrays["I1"], TRACE)})


def compare_neuron(case: Case) -> Result:
    """jaxsnn's LIF and LI in time steps: gradients pass the reset, an LI's current jumps first."""
    arrays, about = case.arrays, case.about
    options = {"method": "euler", "tau": about["tau_mem"], "gain": about["dt"] / about["tau_mem"]}
    options |= {name: about[name] for name in ("tau_syn", "dt")} | {
        "v_rest": about["v_leak"],
        "v_init": 0.0,
    }
    fires = "spikes" in arrays
    if fires:
        neuron: nj.Layer = nj.CubaLIF(
            order="old",
            threshold=about["v_th"],
            reset="value",
            reset_value=about["v_reset"],
            strict=True,
            surrogate=nj.surrogate.SuperSpike(about["alpha"]),
            **options,
        )
    else:
        neuron = nj.CubaLI(order="jump_then_decay", **options)
    paths = {"spikes": "n", "membrane": "n.v", "current": "n.i"}

    @ft.partial(jax.jit, compiler_options=QUICK)
    def differentiate(weight: Any, x: Any) -> Any:
        def loss(weight: Any, x: Any) -> Any:
            network = nj.Sequential(x.shape[2:], s=nj.Linear.from_weights(weight.T), n=neuron)
            run = nj.simulate(network, x, probes=list(paths.values()))
            traces = {what: run[path][:, 0] for what, path in paths.items()}
            terms = [(what, arrays[c]) for what, c in loss_terms(case)]
            return sum(jnp.sum(traces[what] * c) for what, c in terms), traces

        return jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(weight, x)

    (_, traces), (to_w, to_x) = differentiate(jnp.asarray(arrays["W"]), arrays["x"][:, None])
    pairs = {
        what: (traces[what], arrays[what], EXACT if what == "spikes" else TRACE)
        for what in paths
        if what in arrays
    }
    gradients = {"gW": to_w, "gx": to_x[:, 0]}
    pairs |= {what: (g, arrays[what], GRADIENT) for what, g in gradients.items() if what in arrays}
    return result_of(case, pairs)


def compare_surrogate(case: Case) -> Result:
    """Its spike is 1/2 at 0, where neurons would have half a spike."""
    x, z = case.arrays["x"], case.arrays["z"]
    surrogate = nj.surrogate.SuperSpike(case.about["alpha"])
    ours = np.where(x == 0, 0.5, nj.surrogate.spike(x, surrogate, strict=True))
    pairs = {"z": (ours, z, EXACT), "g": (surrogate.derivative(x), case.arrays["g"], TRACE)}
    return result_of(
        case, pairs, "jaxsnn gives half a spike at the threshold" * bool((x == 0).any())
    )


def compare_data(case: Case) -> Result:
    """Its Yin-Yang samples, from the classes of ours and its random stream."""
    about, size = case.about, case.about["size"]
    draw, shuffle = jax.random.split(jax.random.PRNGKey(about["prngkey"]))
    points = np.asarray(jax.random.uniform(draw, (size * 10 + 100, 2)))
    inside = np.hypot(points[:, 0] - 0.5, points[:, 1] - 0.5) < 0.5
    classes = np.where(inside, yin_yang_class(points[:, 0], points[:, 1]), -1)
    counts = [size // 3, size // 3, size - 2 * (size // 3)]
    chosen = np.concatenate([np.flatnonzero(classes == k)[:n] for k, n in enumerate(counts)])
    chosen = np.asarray(jax.random.permutation(shuffle, jnp.asarray(chosen)))
    coords = points[chosen]
    if about["mirror"]:
        coords = np.concatenate([coords, 1 - coords], axis=1)
    if about["bias_spike"] is not None:
        bias = np.full((size, 1), about["bias_spike"], np.float32)
        coords = np.concatenate([coords, bias], axis=1)
    pairs = {
        "coords": (coords, case.arrays["coords"], TRACE),
        "classes": (classes[chosen], case.arrays["classes"], EXACT),
    }
    return result_of(case, pairs)


def compare_classes(case: Case) -> Result:
    """Yin, yang or dot, and 10 more outside the disc."""
    x, y = case.arrays["p"].T
    r = case.about["r_big"]
    ours = yin_yang_class(x, y, r_small=case.about["r_small"], r_big=r)
    outside = np.sqrt((x - r) ** 2 + (y - r) ** 2) >= r
    return result_of(case, {"c": (ours + 10 * outside, case.arrays["c"], EXACT)})


def compare_encoding(case: Case) -> Result:
    """Numbers as spike times."""
    about, arrays = case.about, case.arrays
    train = events.encode(
        arrays["x"],
        t_late=about["t_late"],
        copies=about["duplication"] or 1,
        copy_neurons=about["duplicate_neurons"],
    )
    pairs = {
        "idx": (train.index, arrays["idx"], EXACT),
        "time": (train.time, arrays["time"], TRACE),
    }
    return result_of(case, pairs)


def compare_raster(case: Case) -> Result:
    """Numbers as spikes in time steps."""
    about, arrays = case.about, case.arrays
    raster = nj.encode.spike_times_to_raster(
        arrays["x"] * np.float32(about["t_late"]), steps=about["seq_length"], dt=about["dt"]
    )
    return result_of(case, {"y": (raster, arrays["y"], EXACT)})


def compare_targets(case: Case) -> Result:
    """Labels as times; the labels are in the recorded times."""
    about, y = case.about, case.arrays["y"]
    ours = events.target_times(
        y.argmin(-1) if about["correct"] < about["wrong"] else y.argmax(-1),
        about["n_classes"],
        correct=about["correct"],
        wrong=about["wrong"],
    )
    return result_of(case, {"y": (ours, y, TRACE)})


def compare_losses(case: Case) -> Result:
    """Losses of first spikes; our ttfs has the other sign."""
    arrays, tau = case.arrays, case.about["tau_mem"]
    first, target = jnp.asarray(arrays["first"]), jnp.asarray(arrays["target"])
    ours = {
        "target_time": events.target_time_loss(first, target, tau=tau),
        "ttfs": -events.ttfs_loss(first, jnp.argmin(target, axis=-1), tau=tau),
        "mse": events.mse_loss(first, target, tau=tau),
    }
    pairs = {name: (value, arrays[name], TRACE) for name, value in ours.items() if name in arrays}
    return result_of(case, pairs, "jaxsnn's ttfs loss rewards the right neuron for being the last")
