"""Neurons, surrogates and spike functions recorded from SpikingJelly, snnTorch, Norse and sinabs.

`index.json` lists the cases of each library with the call and its parameters; the arrays
`<case>/<array>` are in `<library>.npz`. What kind of case it is shows in its arrays. Spikes must be
equal; states and gradients agree within 2e-4, parameter gradients relative to their size.
"""

from __future__ import annotations

import functools as ft
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import neurojax as nj
from neurojax.surrogate import multi_spike, spike
from tests.conformance import _torch_models as models
from tests.conformance._result import QUICK, Result, attempt, compare
from tests.conformance._torch_models import Numbers, Peer

TOLERANCE = 2e-4
# A diverging run reaches values of which 2e-4 is less than float32 resolves.
CLOSE = {"atol": TOLERANCE, "rtol": 1e-5}

WEIGHTS = ("w_in", "w_rec", "b_rec", "V")
STRICT = {"spikingjelly": False, "snntorch": True, "norse": True, "sinabs": False}

Case = Mapping[str, Any]
Arrays = dict[str, np.ndarray]
Outcome = tuple[float, str]


def run(directory: Path) -> Iterator[Result]:
    """Compares all cases of a directory."""
    index = json.loads((directory / "index.json").read_text(encoding="utf-8"))
    for library, cases in index["cases"].items():
        yield from attempt(library, "all", ft.partial(_library, directory, library, cases))


def _library(directory: Path, library: str, cases: Mapping[str, Case]) -> Iterator[Result]:
    by_case: dict[str, Arrays] = {}
    if cases:
        with np.load(directory / f"{library}.npz") as stored:
            for key in stored.files:
                name, _, array = key.rpartition("/")
                by_case.setdefault(name, {})[array] = stored[key]
    for name, case in cases.items():
        group = f"{library} {case.get('call')}"
        if name in by_case:
            yield from attempt(group, name, ft.partial(_case, library, name, case, by_case[name]))
        else:
            yield Result(group, name, False, np.inf, f"there are no arrays in {library}.npz")


def _case(library: str, name: str, case: Case, arrays: Arrays) -> Iterator[Result]:
    peer, numbers = _read(library, case, arrays)
    params = case.get("params", {})
    overflow = any(np.isnan(array).any() for array in arrays.values()) and models.overflow(peer)
    expectation = overflow or ""
    if "gx" in arrays:
        group, defect = peer.name, models.defect(peer)
        expectation = "; ".join(filter(None, [defect, expectation]))
        outcomes = _neuron(peer, numbers, case, arrays, finite=not overflow)
    elif "g" in arrays:
        group, outcomes = "surrogates", _surrogate(peer, arrays, params, finite=not overflow)
    elif "v_after" in arrays:
        group, outcomes = "resets", _membrane_reset(peer, arrays, params)
        expectation = models.defect(_with_reset(peer, params))
    else:
        group, outcomes = "spike functions", _spike_function(peer, arrays, params)
    difference = next((text for _, text in outcomes if text), "")
    error = max(error for error, _ in outcomes)
    yield Result(f"{library} {group}", name, not difference, error, difference, expectation)


def _read(library: str, case: Case, arrays: Arrays) -> tuple[Peer, dict[str, np.ndarray]]:
    """The recorded neuron, and its numbers: parameters and stored weights."""
    found = re.match(r"(?:\w+\.)*(\w+)", case["call"])
    name = found.group(1) if found else case["call"]
    numbers, options = {}, {}
    for key, value in case.get("params", {}).items():
        # The parameters of a surrogate are part of what is compiled, not numbers that flow in.
        if isinstance(value, bool | str) or value is None or (library, key) == ("norse", "alpha"):
            options[key] = value
        else:
            numbers[key] = np.asarray(value, np.float32)
    numbers |= {key: arrays[key] for key in WEIGHTS if key in arrays}
    return Peer(library, name, tuple(sorted(options.items())), case["call"]), numbers


def _gradient(
    name: str, recorded: np.ndarray, got: jax.Array, *, finite: bool, **tolerance: float
) -> Outcome:
    """Compares a gradient; unless recordings are `finite`, only where they hold a number."""
    if not finite and recorded.shape == got.shape:
        recorded = np.where(np.isnan(recorded) & np.isfinite(got), got, recorded)
    return compare(name, recorded, got, **tolerance)


def _neuron(
    peer: Peer, numbers: Numbers, case: Case, arrays: Arrays, *, finite: bool
) -> list[Outcome]:
    """Spikes, states and gradients of one run."""
    wanted = {}  # array -> number
    note, by_name = case.get("note") or "", {key.lower(): key for key in numbers}
    for array, number in re.findall(r"(gparam\d+)\s*=\s*dL/d(\w+)", note):
        if array in arrays and number.lower() in by_name:
            wanted[array] = by_name[number.lower()]
    unnamed = [key for key in arrays if key.startswith("gparam") and key not in wanted]
    if unnamed:
        raise ValueError(f"the note does not say which number {', '.join(unnamed)} is by: {note!r}")
    learned = {key: numbers[key] for key in wanted.values()}
    fixed = {key: value for key, value in numbers.items() if key not in learned}
    weights = {key: arrays[key] for key in ("ws", "wv") if key in arrays}
    got = _values_and_gradients(
        peer, _arrays(learned), _arrays(fixed), jnp.asarray(arrays["x"]), _arrays(weights)
    )
    spiking = models.spiking(peer)
    exact = {} if spiking else CLOSE
    outcomes = [compare("spikes" if spiking else "output", arrays["s"], got.pop("s"), **exact)]
    mine = got.pop("gx")
    outcomes.append(_gradient("input gradient gx", arrays["gx"], mine, finite=finite, **CLOSE))
    for array, key in wanted.items():
        mine = got.pop(f"gradient of {key}")
        text = f"gradient {array} by {key}"
        relative = {"atol": TOLERANCE, "rtol": TOLERANCE}
        outcomes.append(_gradient(text, arrays[array], mine, finite=finite, **relative))
    known = {"x", "s", "gx", *wanted, *weights, *WEIGHTS}
    for array in arrays.keys() - known - got.keys():
        outcomes.append((np.inf, f"recorded array '{array}' has no counterpart"))
    for array in sorted(arrays.keys() & got.keys()):
        outcomes.append(compare(array, arrays[array], got[array], **CLOSE))
    return outcomes


def _arrays(numbers: Numbers) -> dict[str, jax.Array]:
    return {key: jnp.asarray(value) for key, value in numbers.items()}


# Nearly all the time goes into compiling, once for every kind of neuron.
@ft.partial(jax.jit, static_argnames="peer", compiler_options=QUICK)
def _values_and_gradients(
    peer: Peer, learned: Numbers, fixed: Numbers, x: jax.Array, weights: Mapping[str, jax.Array]
) -> dict[str, jax.Array]:
    """Compiled once for all cases that differ in their numbers only."""

    def loss(learned: Numbers, x: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        model = models.build(peer, {**learned, **fixed}, x.shape[2:])
        probes = sorted({probe for probe, _ in model.states.values()})
        run = nj.simulate(model.network, x, probes=probes, schedule="step")
        values = {name: convert(run[probe]) for name, (probe, convert) in model.states.items()}
        values["s"] = run.outputs
        # L = sum(ws s) + sum(wv v), as far as the case has these weights.
        total = sum((w * values[name[1:]]).sum() for name, w in weights.items())
        return jnp.asarray(total), values

    gradients, values = jax.grad(loss, argnums=(0, 1), has_aux=True)(learned, x)
    named = {f"gradient of {key}": gradient for key, gradient in gradients[0].items()}
    return values | named | {"gx": gradients[1]}


def _surrogate(
    peer: Peer, arrays: Arrays, params: Mapping[str, Any], *, finite: bool
) -> list[Outcome]:
    """A table of spikes and derivatives: by u = v - threshold (`x`), or by v."""
    params = dict(params)
    threshold = params.pop("threshold", None)
    if "method" in params:
        surrogate = models.by_name(f"norse.{params.pop('method')}", **params)
    elif "(" in peer.call:
        surrogate = models.by_name(f"{peer.library}.{peer.call}")
    else:
        surrogate = models.by_name(f"{peer.library}.{peer.call}", **params)
    if "v" in arrays:
        threshold = 1.0 if threshold is None else threshold
        u = jnp.asarray(arrays["v"]) - threshold
        return [compare("g", arrays["g"], surrogate.derivative(u, threshold), atol=TOLERANCE)]
    # The derivative the way a network gets it, through the spike.
    fire = lambda u: spike(u, surrogate, strict=STRICT[peer.library])  # noqa: E731
    y, pull = jax.vjp(fire, jnp.asarray(arrays["x"]))
    (g,) = pull(jnp.ones_like(y))
    slope = _gradient("g", arrays["g"], g, finite=finite, atol=TOLERANCE)
    return [compare("spikes", arrays["y"], y), slope]


def _count(v: jax.Array, text: str, threshold: float) -> jax.Array:
    limit = models.max_spikes(text)
    surrogate = models.by_name("sinabs.SingleExponential")
    if limit == 1:
        return spike(v - threshold, surrogate)
    return multi_spike(v, threshold, surrogate, max_spikes=limit)


def _spike_function(peer: Peer, arrays: Arrays, params: Mapping[str, Any]) -> list[Outcome]:
    got = _count(jnp.asarray(arrays["v"]), peer.call, params.get("threshold", 1.0))
    return [compare("spikes", arrays["s"], got)]


def _with_reset(peer: Peer, params: Mapping[str, Any]) -> Peer:
    value = params.get("reset_value", models.membrane_reset_value(peer.call))
    return peer._replace(options=(("reset_fn", f"MembraneReset({value})"),))


def _membrane_reset(peer: Peer, arrays: Arrays, params: Mapping[str, Any]) -> list[Outcome]:
    """What sinabs does, which is a reset to zero and a value added to every neuron."""
    v = jnp.asarray(arrays["v"])
    spikes = _count(v, params.get("spike_fn", "MultiSpike"), params.get("threshold", 1.0))
    value = params.get("reset_value", models.membrane_reset_value(peer.call))
    got = jnp.where(spikes == 0, v, 0) + value
    return [compare("v_after", arrays["v_after"], got, atol=TOLERANCE)]
