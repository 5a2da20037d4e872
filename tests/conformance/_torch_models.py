"""A neuron of SpikingJelly, snnTorch, Norse or sinabs as a network of ours.

The tables say which options of our neurons give which of theirs. Where a library has a defect that
a recording shows, the model says so in `defect`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import neurojax as nj
from neurojax.converters import norse, sinabs, snntorch, spikingjelly
from neurojax.converters.sinabs._layers import Feedback
from neurojax.layers import Linear
from neurojax.layers.recurrent import Recurrent
from neurojax.surrogate import Surrogate, by_name


class Peer(NamedTuple):
    """A recorded neuron, without its numbers: what the structure of our network depends on."""

    library: str
    name: str  # of the class
    options: tuple[tuple[str, Any], ...]  # texts, truth values, None
    call: str

    def option(self, name: str, default: Any) -> Any:
        return dict(self.options).get(name, default)

    def surrogate(self, default: str) -> Surrogate:
        # "Sigmoid(alpha=4.0) (library default)": what follows the call is a remark.
        text = str(self.option("surrogate", default))
        found = re.match(r"\w+\s*(\([^()]*\))?", text)
        assert found, f"can't read the surrogate {text!r}"
        return by_name(f"{self.library}.{found.group().strip()}")


class Model(NamedTuple):
    """Our network for a recorded neuron."""

    network: nj.Network
    states: dict[str, tuple[str, Callable[[jax.Array], jax.Array]]]  # array -> probe, conversion


Numbers = Mapping[str, jax.Array]


# What the libraries take for a parameter that a call leaves out.
DEFAULTS: dict[str, dict[str, float]] = {
    "spikingjelly": {"v_threshold": 1.0, "v_reset": 0.0, "tau": 2.0, "init_tau": 2.0},
    "snntorch": {"threshold": 1.0},
    "norse": {},  # read from the functions
    "sinabs": {"spike_threshold": 1.0, "adapt_scale": 1.8},
}


def spiking(peer: Peer) -> bool:
    """Whether the output of the neuron is spikes, not its membrane potential."""
    return peer.name.removesuffix("Recurrent") not in ("LICell", "LIBoxCell", "ExpLeak")


def build(peer: Peer, n: Numbers, in_shape: tuple[int, ...]) -> Model:
    """The model of a recorded neuron with its numbers."""
    makers = {
        "spikingjelly": _spikingjelly,
        "snntorch": _snntorch,
        "norse": _norse,
        "sinabs": _sinabs,
    }
    if peer.library not in makers:
        raise ValueError(f"no library '{peer.library}'; known: {', '.join(makers)}")
    given = dict(peer.options) | dict(n)
    defaults = {k: jnp.float32(v) for k, v in DEFAULTS[peer.library].items() if k not in given}
    return makers[peer.library](peer, defaults | dict(n), in_shape)


def defect(peer: Peer) -> str:
    """The documented defect of the library that a case shows, or ""."""
    ignored = peer.name == "RSynaptic" and not peer.option("reset_delay", True)
    if ignored and peer.option("reset_mechanism", "subtract") != "none":
        return "snnTorch's RSynaptic ignores reset_delay=False"
    if peer.library == "sinabs" and membrane_reset_value(peer.option("reset_fn", "")):
        return "sinabs' MembraneReset adds its value to every neuron"
    return ""


def overflow(peer: Peer) -> str:
    """The cause of recorded gradients of nan, or ""."""
    surrogate = str(peer.option("surrogate", peer.name))
    if peer.library == "snntorch" and surrogate.startswith("sigmoid"):
        return "snnTorch's sigmoid surrogate overflows far below the threshold: gradients of nan"
    return ""


def membrane_reset_value(text: str) -> float:
    """0.4 of "MembraneReset(0.4)"; 0 for another reset."""
    found = re.match(r"MembraneReset\(\s*(?:reset_value=)?([^()]*)\)", text or "")
    return float(found.group(1) or 0) if found else 0.0


def max_spikes(text: str) -> int | None:
    """1 of "SingleSpike", 2 of "MaxSpike(2)", None (no limit) of "MultiSpike"."""
    if text.startswith("SingleSpike"):
        return 1
    if text.startswith("MultiSpike"):
        return None
    found = re.match(r"MaxSpike\(\s*(?:\w+=)?(\d+)\s*\)", text)
    if not found:
        raise ValueError(f"can't read the spike function {text!r}")
    return int(found.group(1))


def _same(x: jax.Array) -> jax.Array:
    return x


def _model(
    in_shape: tuple[int, ...], neuron: nj.Layer, aliases: Mapping[str, str], **before: nj.Layer
) -> Model:
    """Layers before the neuron, the neuron, and which state is recorded under which name."""
    inner = "neuron.neuron" if isinstance(neuron, Recurrent | Feedback) else "neuron"
    states = {name: (f"{inner}.{field}", _same) for name, field in aliases.items()}
    return Model(nj.Sequential(in_shape, **before, neuron=neuron), states)


def _spikingjelly(peer: Peer, n: Numbers, in_shape: tuple[int, ...]) -> Model:
    cuba = peer.name == "CUBALIFNode"
    options: dict[str, Any] = {
        "v_threshold": n["v_threshold"],
        "v_reset": n.get("v_reset"),
        "detach_reset": peer.option("detach_reset", False),
        "surrogate": peer.surrogate("Rect" if cuba else "Sigmoid"),
    }
    if cuba:
        options |= {"c_decay": n["c_decay"], "v_decay": n["v_decay"]}
        return _model(in_shape, spikingjelly.cuba_lif_node(**options), {"v": "v", "c": "i"})
    if peer.name == "IFNode":
        return _model(in_shape, spikingjelly.if_node(**options), {"v": "v"})
    options["decay_input"] = peer.option("decay_input", True)
    if peer.name == "LIFNode":
        return _model(in_shape, spikingjelly.lif_node(tau=n["tau"], **options), {"v": "v"})
    if peer.name == "ParametricLIFNode":
        w = n["w"] if "w" in n else -jnp.log(n["init_tau"] - 1)
        return _model(in_shape, spikingjelly.parametric_lif_node(w=w, **options), {"v": "v"})
    raise ValueError(f"no model of SpikingJelly's {peer.name}")


def _snntorch(peer: Peer, n: Numbers, in_shape: tuple[int, ...]) -> Model:
    kind = peer.name.lower()
    options: dict[str, Any] = {"surrogate": peer.surrogate("atan"), "threshold": n["threshold"]}
    options |= {
        key: n[key]
        for key in ("alpha", "beta", "graded_spikes_factor", "R", "C", "time_step")
        if key in n
    }
    given = dict(peer.options)
    options |= {key: given[key] for key in ("reset_mechanism", "inhibition") if key in given}
    if kind.startswith("r"):
        linear = "w_rec" in n
        options["recurrent"] = Linear.from_weights(n["w_rec"], n.get("b_rec")) if linear else n["V"]
    if kind in ("leaky", "rleaky", "synaptic"):
        options["reset_delay"] = peer.option("reset_delay", True)
    aliases = {"v": "v", "syn": "i"} if kind.endswith("synaptic") else {"v": "v"}
    if kind == "alpha":
        aliases |= {"syn_exc": "excitatory", "syn_inh": "inhibitory"}
    return _model(in_shape, getattr(snntorch, kind)(**options), aliases)


def _norse(peer: Peer, n: Numbers, in_shape: tuple[int, ...]) -> Model:
    functions: dict[str, Callable[..., nj.Layer]] = {
        "LIFCell": norse.lif,
        "LIFRecurrentCell": norse.lif_recurrent,
        "LIFBoxCell": norse.lif_box,
        "IAFCell": norse.iaf,
        "LICell": norse.li,
        "LIBoxCell": norse.li_box,
    }
    given = dict(peer.options) | dict(n)
    if "reset_subtract" in peer.call:
        given["reset_method"] = "reset_subtract"
    before = {}
    if "w_rec" in n:
        given["recurrent_weights"] = n["w_rec"]
        before["input_weights"] = Linear.from_weights(n["w_in"])
    # A record has more than the call needed: the time step of an IAFCell, say.
    function = functions[peer.name]
    known = inspect.signature(function).parameters
    # A number that the record leaves out flows in like the others, which it is compared with.
    usual = {
        key: jnp.float32(p.default)
        for key, p in known.items()
        if isinstance(p.default, float) and key != "alpha"
    }
    taken = {key: value for key, value in given.items() if key in known}
    neuron = function(**usual | taken)
    without_current = ("LIFBoxCell", "LIBoxCell", "IAFCell")
    aliases = {"v": "v"} if peer.name in without_current else {"v": "v", "i": "i"}
    return _model(in_shape, neuron, aliases, **before)


def _sinabs_reset(text: str) -> dict[str, Any]:
    """Options of "MembraneSubtract()", "MembraneSubtract(0.5)", "MembraneReset(0.4)"."""
    if text.startswith("MembraneReset"):
        return {"reset": "value", "reset_value": membrane_reset_value(text)}
    found = re.fullmatch(r"MembraneSubtract(?:\(\s*(?:subtract_value=)?([^()]*)\))?", text.strip())
    if not found:
        raise ValueError(f"no model of sinabs' {text}")
    amount = found.group(1) or "None"
    return {"reset": "subtract", "reset_value": None if amount == "None" else float(amount)}


def _sinabs(peer: Peer, n: Numbers, in_shape: tuple[int, ...]) -> Model:
    kind = peer.name.removesuffix("Recurrent").lower()
    makers = {"iaf": sinabs.iaf, "lif": sinabs.lif, "alif": sinabs.alif, "expleak": sinabs.exp_leak}
    if kind not in makers:
        raise ValueError(f"no model of sinabs' {peer.name}")
    names = ("tau_mem", "tau_syn", "tau_adapt", "adapt_scale", "min_v_mem", "spike_threshold")
    taken = inspect.signature(makers[kind]).parameters
    options: dict[str, Any] = {name: n[name] for name in names if name in n and name in taken}
    given = dict(peer.options)
    if "norm_input" in given and kind != "iaf":
        options["norm_input"] = given["norm_input"]
    if "spike_fn" in given:
        options["max_spikes"] = max_spikes(given["spike_fn"])
    if kind != "expleak":
        options |= _sinabs_reset(given.get("reset_fn", "MembraneSubtract()"))
    if kind != "expleak":
        options["surrogate"] = peer.surrogate("SingleExponential")
    neuron = makers[kind](**options)
    if peer.name.endswith("Recurrent"):
        feedback = Linear.from_weights(n["w_rec"], n.get("b_rec"))
        neuron = sinabs.recurrent(neuron, feedback)
    states = {"v": "v"} | ({"i_syn": "i"} if "tau_syn" in n else {})
    model = _model(in_shape, neuron, states | ({"b": "b"} if kind == "alif" else {}))
    if kind == "alif":
        threshold = lambda b: n["spike_threshold"] + n["adapt_scale"] * b  # noqa: E731
        model.states["spike_threshold"] = (model.states["b"][0], threshold)
    return model
