"""Lava's processes: neurons and synapses in fixed point, and some in floats.

Arrays are `[neurons, time]`; there is one sample.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

import neurojax as nj
from neurojax.chips.loihi import weights
from neurojax.chips.loihi.atrlif import ATRLIF
from neurojax.chips.loihi.delay_dense import DelayDense
from neurojax.chips.loihi.float import FloatLIF
from neurojax.chips.loihi.lif import LIF
from neurojax.chips.loihi.resonator import RF, RFIzhikevich
from neurojax.chips.loihi.sigma_delta import Delta, Sigma, SigmaDelta
from neurojax.chips.loihi.synapse import Synapse, conv as lava_conv, dense as lava_dense
from tests.conformance._lava_case import FLOAT, Case, evaluate
from tests.conformance._result import NotCovered, Result, compare

CARRIER = 1 << 24
"""Integers beyond are not exact in a float32."""


def _in(x: np.ndarray) -> np.ndarray:
    """`[*shape, time]` to `[time, 1, *shape]`."""
    return np.moveaxis(x, -1, 0)[:, None]


def _out(y: Any) -> np.ndarray:
    return np.moveaxis(np.asarray(y)[:, 0], 0, -1)


def _run(layers: dict[str, nj.Layer], x: np.ndarray, probes: Any = (), state: Any = None) -> nj.Run:
    if np.abs(x).max(initial=0) > CARRIER:
        raise NotCovered("inputs beyond 2^24 can't be carried by float32")
    return evaluate(nj.Sequential(x.shape[2:], **layers), x, probes=probes, state=state).run


# Neurons


def lif(case: Case) -> Iterator[Result]:
    """`LIF`, `LIFReset`, `TernaryLIF` and `LIFRefractory`: u, v and spikes after each step."""
    floats = case["a_in"].dtype.kind == "f"
    neuron = _float_lif(case) if floats else _lif(case)
    x = _in(case["a_in"])
    probes = ["n.u", "n.v"]
    network = nj.Sequential(x.shape[2:], n=neuron)
    state = network.init(1, jnp.float32)
    start = {name: case[f"{name}0"] for name in ("u", "v") if f"{name}0" in case}
    if start:
        held = state.layers["n"]._replace(
            **{name: jnp.asarray(value, jnp.float32)[None] for name, value in start.items()}
        )
        state = state._replace(layers=dict(state.layers) | {"n": held})
    run = _run({"n": neuron}, x, probes, state)
    exact = {"rtol": FLOAT} if floats else {}
    for array, value in (("u", run["n.u"]), ("v", run["n.v"])):
        case.equal(array, _out(value), **exact)
    case.equal("s" if "s" in case else "out", _out(run.outputs))
    if "refractory_period_end" in case:
        _refractory_end(case)
    yield from case.results("lava_lif" + ("_float" if floats else ""))


def _array(value: Any) -> Any:
    return np.asarray(value, np.float32) if np.ndim(value) else value


def _lif(case: Case) -> LIF:
    names = {"vth_hi": "vth"}
    names |= {n: n for n in ("du", "dv", "vth", "vth_lo", "bias_mant", "bias_exp")}
    return LIF(**_renamed(case, names | {n: n for n in ("reset_interval", "reset_offset")}))


def _float_lif(case: Case) -> FloatLIF:
    names = {"vth_hi": "vth", "bias_mant": "bias", "refractory_period": "refractory"}
    options = _renamed(case, names | {n: n for n in ("du", "dv", "vth", "vth_lo", "bias_exp")})
    options.pop("bias_exp", None)  # Lava ignores it
    if "refractory" in options:
        # Lava counts the steps behind the spike, the chip that of the spike, too.
        options["refractory"] += 1
    return FloatLIF(**options)


def _renamed(case: Case, names: Mapping[str, str]) -> dict[str, Any]:
    """The parameters under our names; one that is not known must not be passed over."""
    unknown = case.params.keys() - names.keys()
    if unknown:
        raise ValueError(f"parameters of LIF that are not known: {', '.join(sorted(unknown))}")
    return {names[name]: _array(value) for name, value in case.params.items()}


def _refractory_end(case: Case) -> None:
    """Lava keeps the time step to which a membrane is frozen; ours the number of steps left."""
    period, spikes = case.param("refractory_period"), case["out"] != 0
    steps = np.arange(1, spikes.shape[-1] + 1)
    ends = np.maximum.accumulate(np.where(spikes, steps + period, 0), axis=-1)
    case.equal("refractory_period_end", ends)


def atrlif(case: Case) -> Iterator[Result]:
    """`ATRLIF` in floats."""
    names = {
        "delta_i": "current_decay",
        "delta_v": "voltage_decay",
        "delta_theta": "threshold_decay",
        "delta_r": "refractory_decay",
        "theta_0": "threshold",
        "theta_step": "threshold_step",
        "bias_mant": "bias",
    }
    options = {names[name]: _array(value) for name, value in case.params.items()}
    run = _run({"n": ATRLIF(**options)}, _in(case["a_in"]), ["n.i", "n.v", "n.b", "n.r"])
    threshold = np.asarray(case.param("theta_0"), np.float64)
    traces = {"i": run["n.i"], "v": run["n.v"], "r": run["n.r"]}
    for name, value in traces.items():
        case.equal(name, _out(value), rtol=FLOAT)
    case.equal("theta", _out(run["n.b"]) + threshold.reshape(-1, 1), rtol=FLOAT)
    case.equal("out", _out(run.outputs))
    yield from case.results("lava_atrlif")


def sigma_delta(case: Case) -> Iterator[Result]:
    """`Sigma`, `Delta` and `SigmaDelta`: integers in, messages out."""
    found = re.match(r"lava_(sigmadelta|sigma|delta)(?:_(relu|unit))?", case.name)
    assert found is not None
    kind, activation = found.groups()
    params = dict(case.params)
    options: dict[str, Any] = {"threshold": params.pop("vth", None)}
    if kind == "sigma":
        options = {"scale": None}
    if kind == "sigmadelta":
        mode = params.pop("act_mode", None)
        modes = {0: "unit", "unit": "unit", 1: "relu", "relu": "relu"}
        options["activation"] = activation or modes[mode.lower() if isinstance(mode, str) else mode]
    options |= {name: _array(value) for name, value in params.items()}
    layer = {"sigma": Sigma, "delta": Delta, "sigmadelta": SigmaDelta}[kind](**options)
    run = _run({"n": layer}, _in(case["a_in"]))
    case.equal("s", _out(run.outputs))
    yield from case.results(f"lava_{kind}")


def resonator(case: Case) -> Iterator[Result]:
    """`RF` and `RF_IZ` in fixed point: real and imaginary part, spikes."""
    said, period = case.about.get("vars") or {}, case.param("period", default=None)
    bits, state_exp = case.param("decay_bits", default=12), case.param("state_exp", default=6)
    if (bits, state_exp) != (12, 6):
        raise NotCovered("resonators with other than 12 bits of decays and 6 of the state")
    parts = {}
    for name, function in (("sin", np.sin), ("cos", np.cos)):
        # Lava cuts, slayer rounds.
        gain = (1 - case.param("alpha")) * function(2 * np.pi / period)
        parts[f"{name}_decay"] = int(gain * 4096)
        case.said(f"{name}_decay", said.get(f"{name}_decay", int(gain * 4096)), int(gain * 4096))
    vth = case.param("vth")
    case.said("vth", said.get("vth", vth << state_exp), vth << state_exp)
    kind = RFIzhikevich if "_iz" in case.name else RF
    decays = {name: value / 4096 for name, value in parts.items()}
    neuron = kind(**decays, threshold=float(vth), scale=1, bits=24)
    x = np.stack([_in(case["xr"]), _in(case["xi"])], axis=2)
    run = _run({"n": neuron}, x, ["n.re", "n.im"])
    case.equal("real", _out(run["n.re"]) * 64)
    case.equal("imag", _out(run["n.im"]) * 64)
    case.equal("s", _out(run.outputs))
    yield from case.results("lava_rf")


# Synapses. What they give is sent one step later.

ROUNDED = "sums beyond 2^24 are rounded to float32 here, and compared so"


def _sums(case: Case, got: np.ndarray) -> None:
    if np.abs(case["a_out"]).max(initial=0) > CARRIER:
        case.expect(ROUNDED)
    case.outcomes.append(compare("a_out", case["a_out"].astype(np.float32), got))


def _late(layer: nj.Layer) -> dict[str, nj.Layer]:
    return {"synapse": layer, "buffer": nj.layers.Delay(1)}


def dense(case: Case) -> Iterator[Result]:
    """`Dense`: clipped, cut, summed, shifted."""
    layer = lava_dense(
        case["w"],
        num_weight_bits=case.param("num_weight_bits", default=8),
        weight_exp=case.param("weight_exp", default=0),
        num_message_bits=case.param("num_message_bits", default=0),
        sign_mode=case.param("sign_mode", default=None),
    )
    if "w_eff" in case:
        case.equal("w_eff", layer.integers())
    _sums(case, _out(_run(_late(layer), _in(case["s_in"])).outputs))
    yield from case.results("lava_dense")


def delay_dense(case: Case) -> Iterator[Result]:
    """`DelayDense`: a delay at each synapse."""
    mantissas = weights.truncate_weights(
        weights.clip_weights(case["w"]), case.param("num_weight_bits", default=8)
    )
    layer = DelayDense(jnp.asarray(mantissas, jnp.float32), case["delays"])
    options = {
        "exponent": case.param("weight_exp", default=0),
        "bits": case.param("num_weight_bits", default=8),
        "sign": weights.sign_mode(case["w"]),
    }
    run = _run(_late(Synapse(layer, **options)), _in(case["s_in"]))
    _sums(case, _out(run.outputs))
    yield from case.results("lava_delaydense")


def convolution(case: Case) -> Iterator[Result]:
    """`Conv`: a true convolution of images `[width, height, channels]`."""
    s = case["s_in"]
    if "input_shape" in case.params:
        case.said("input_shape", list(case.params["input_shape"]), list(s.shape[:-1]))
    names = ("stride", "padding", "dilation", "groups", "num_message_bits")
    options = {name: case.params[name] for name in names if name in case.params}
    layer = lava_conv(case["w"], **options)
    x = _in(s.transpose(2, 1, 0, 3))
    run = _run(_late(layer), x)
    _sums(case, _out(run.outputs).transpose(2, 1, 0, 3))
    yield from case.results("lava_conv")


def weight_bits(case: Case) -> Iterator[Result]:
    """`optimize_weight_bits` of netx and of Lava, `truncate_weights` and `clip_weights`."""
    said = case.about.get("results") or {}
    for name in sorted(case.arrays):
        if re.search(r"_(nx|wu|wu_l2|trunc\d)$", name):
            continue
        w = case[name]
        kinds = {"nx": ("netx", -256, False), "wu": ("weightutils", -255, False)}
        kinds["wu_l2"] = ("", -255, True)
        for suffix, (peer, limit, loihi2) in kinds.items():
            if f"{name}_{suffix}" not in case:
                continue
            ours = weights.optimise_weight_bits(w, inhibitory_limit=limit, loihi2=loihi2)
            case.equal(f"{name}_{suffix}", ours.weight)
            for entry, value in (said.get(name, {}).get(peer) or {}).items():
                case.said(f"{name} {peer} {entry}", value, _of(ours, entry, value))
        for bits in range(1, 9):
            if f"{name}_trunc{bits}" in case:
                cut = weights.truncate_weights(weights.clip_weights(w), bits)
                case.equal(f"{name}_trunc{bits}", cut)
    yield from case.results("lava_weightutils")


def _of(ours: weights.OptimisedWeights, entry: str, recorded: Any) -> Any:
    if entry == "num_weight_bits":
        return ours.bits
    if entry in ("weight_exp", "weight_exponent"):
        return ours.exponent
    if entry == "sign_mode":
        return (
            ours.sign.upper() if isinstance(recorded, str) else 1 + weights.MODES.index(ours.sign)
        )
    raise ValueError(f"results have an entry that is not known: {entry}")
