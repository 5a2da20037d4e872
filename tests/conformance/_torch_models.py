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
from neurojax import neurons
from neurojax.converters import norse, snntorch
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


class Elementwise(nj.Layer):
    """y = weight x, one weight for all or one each."""

    weight: jax.Array

    def step(self, state: Any, x: jax.Array, *, key: Any = None) -> tuple[Any, jax.Array]:
        return state, self.weight * x

    def out_shape(self, in_shape: tuple[int, ...]) -> tuple[int, ...]:
        return in_shape


class MembraneReset(nj.Layer):
    """A neuron with sinabs' MembraneReset(value): after each step, the value is added to all v.

    The lower bound comes after that, so it belongs here and not to the neuron.
    """

    neuron: nj.Layer
    value: float
    v_min: jax.Array | None

    def init(self, in_shape: tuple[int, ...]) -> Any:
        return self.neuron.init(in_shape)

    def prepare(self, key: Any) -> MembraneReset:
        return MembraneReset(self.neuron.prepare(key), self.value, self.v_min)

    def step(self, state: Any, x: jax.Array, *, key: Any = None) -> tuple[Any, jax.Array]:
        state, spikes = self.neuron.step(state, x, key=key)
        v = state.v + self.value
        if self.v_min is not None:
            v = jnp.where(v > self.v_min, v, self.v_min)
        return state._replace(v=v), spikes

    def out_shape(self, in_shape: tuple[int, ...]) -> tuple[int, ...]:
        return self.neuron.out_shape(in_shape)


class FilteredState(NamedTuple):
    """State of a neuron behind a synapse."""

    synapse: Any
    neuron: Any


class Filtered(nj.Layer):
    """A neuron behind a synapse, which also filters what comes back to it."""

    synapse: nj.Layer
    neuron: nj.Layer

    def init(self, in_shape: tuple[int, ...]) -> FilteredState:
        return FilteredState(self.synapse.init(in_shape), self.neuron.init(in_shape))

    def prepare(self, key: Any) -> Filtered:
        return Filtered(self.synapse.prepare(key), self.neuron.prepare(key))

    def step(
        self, state: FilteredState, x: jax.Array, *, key: Any = None
    ) -> tuple[FilteredState, jax.Array]:
        synapse, x = self.synapse.step(state.synapse, x, key=key)
        neuron, spikes = self.neuron.step(state.neuron, x, key=key)
        return FilteredState(synapse, neuron), spikes

    def out_shape(self, in_shape: tuple[int, ...]) -> tuple[int, ...]:
        return self.neuron.out_shape(in_shape)


# What the libraries take for a parameter that a call leaves out.
DEFAULTS: dict[str, dict[str, float]] = {
    "spikingjelly": {"v_threshold": 1.0, "v_reset": 0.0, "tau": 2.0, "init_tau": 2.0},
    "snntorch": {"threshold": 1.0},
    "norse": {},  # the functions have them
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
    inner = "neuron.neuron" if isinstance(neuron, Recurrent) else "neuron"
    states = {name: (f"{inner}.{field}", _same) for name, field in aliases.items()}
    return Model(nj.Sequential(in_shape, **before, neuron=neuron), states)


def _recurrent(neuron: nj.Layer, n: Numbers) -> Recurrent:
    """The neuron with the recorded feedback: a matrix, or one weight a neuron."""
    if "w_rec" in n:
        return Recurrent(neuron, Linear.from_weights(n["w_rec"], n.get("b_rec")))
    return Recurrent(neuron, Elementwise(n["V"]))


def _spikingjelly(peer: Peer, n: Numbers, in_shape: tuple[int, ...]) -> Model:
    cuba = peer.name == "CUBALIFNode"
    options: dict[str, Any] = {
        "threshold": n["v_threshold"],
        "detach_reset": peer.option("detach_reset", False),
        "surrogate": peer.surrogate("Rect" if cuba else "Sigmoid"),
    }
    rest = jnp.zeros(())
    if "v_reset" in n:
        rest = n["v_reset"]
        options |= {"reset": "value", "reset_value": rest}
    if peer.name == "IFNode":
        return _model(in_shape, neurons.IAF(**options), {"v": "v"})
    if cuba:
        neuron = neurons.CubaLIF(decay=n["v_decay"], decay_syn=n["c_decay"], v_init=rest, **options)
        return _model(in_shape, neuron, {"v": "v", "c": "i"})
    options |= {"v_rest": rest}
    normalize = peer.option("decay_input", True)
    if peer.name == "LIFNode":
        neuron = neurons.LIF(tau=n["tau"], method="euler", normalize_input=normalize, **options)
        return _model(in_shape, neuron, {"v": "v"})
    if peer.name == "ParametricLIFNode":
        w = n["w"] if "w" in n else -jnp.log(n["init_tau"] - 1)
        neuron = neurons.LIF(decay=jax.nn.sigmoid(-w), normalize_input=normalize, **options)
        return _model(in_shape, neuron, {"v": "v"})
    raise ValueError(f"no model of SpikingJelly's {peer.name}")


def _snntorch(peer: Peer, n: Numbers, in_shape: tuple[int, ...]) -> Model:
    kind = peer.name.lower()
    options: dict[str, Any] = {"surrogate": peer.surrogate("atan"), "threshold": n["threshold"]}
    options |= {key: n[key] for key in ("alpha", "beta", "graded_spikes_factor") if key in n}
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
    neuron = function(**{key: value for key, value in given.items() if key in known})
    without_current = ("LIFBoxCell", "LIBoxCell", "IAFCell")
    aliases = {"v": "v"} if peer.name in without_current else {"v": "v", "i": "i"}
    return _model(in_shape, neuron, aliases, **before)


def _sinabs(peer: Peer, n: Numbers, in_shape: tuple[int, ...]) -> Model:
    kind = peer.name.removesuffix("Recurrent")
    normalize = peer.option("norm_input", kind != "IAF")
    bound = {"v_min": n["min_v_mem"]} if "min_v_mem" in n else {}
    leak = {"tau": n["tau_mem"], "normalize_input": normalize} if kind != "IAF" else {}
    if kind == "ExpLeak":
        neuron: nj.Layer = neurons.LI(**leak, **bound)
        neuron = _recurrent(neuron, n) if peer.name.endswith("Recurrent") else neuron
        return _model(in_shape, neuron, {"v": "v"})

    default_spikes = "SingleSpike" if kind == "ALIF" else "MultiSpike"
    reset = peer.option("reset_fn", "MembraneSubtract()")
    offset = membrane_reset_value(reset)
    spiking: dict[str, Any] = {
        "threshold": n["spike_threshold"],
        "max_spikes": max_spikes(peer.option("spike_fn", default_spikes)),
        "detach_threshold": True,
        "surrogate": peer.surrogate("SingleExponential"),
    }
    if reset.startswith("MembraneReset"):
        # Which neurons spiked is a truth value there: no gradient passes.
        spiking |= {"reset": "zero", "detach_reset": True}
    elif reset not in ("MembraneSubtract()", "MembraneSubtract"):
        raise ValueError(f"no model of sinabs' {reset}")
    if not offset:
        spiking |= bound
    synapse_of_alif: nj.Layer | None = None
    states = {"v": "v"}
    if kind == "ALIF":
        if "tau_syn" in n:
            # It keeps the normalised current, so that 1 - decay acts on the current again and
            # again: a filter with this decay, and no normalisation behind it.
            decay = jnp.exp(-1 / n["tau_syn"])
            if normalize:
                decay = decay * (1 - jnp.exp(-1 / n["tau_mem"]))
            synapse_of_alif = neurons.LI(decay=decay, gain=decay)
            leak["normalize_input"] = False
        neuron = neurons.AdaptiveLIF(
            **leak, tau_adapt=n["tau_adapt"], adaptation=n["adapt_scale"], **spiking
        )
        states |= {"b": "b", "spike_threshold": "b"}
    elif kind in ("LIF", "IAF"):
        synapse = {"tau_syn": n["tau_syn"], "order": "decay_input"} if "tau_syn" in n else {}
        families = {
            ("LIF", False): neurons.LIF,
            ("LIF", True): neurons.CubaLIF,
            ("IAF", False): neurons.IAF,
            ("IAF", True): neurons.CubaIAF,
        }
        neuron = families[kind, bool(synapse)](**leak, **synapse, **spiking)
        states |= {"i_syn": "i"} if synapse else {}
    else:
        raise ValueError(f"no model of sinabs' {peer.name}")
    if offset:
        neuron = MembraneReset(neuron, offset, n.get("min_v_mem"))
    if synapse_of_alif is not None:
        neuron = Filtered(synapse_of_alif, neuron)
        states = {name: f"neuron.{field}" for name, field in states.items()} | {
            "i_syn": "synapse.v"
        }
    if peer.name.endswith("Recurrent"):
        neuron = _recurrent(neuron, n)
    model = _model(in_shape, neuron, states)
    if kind == "ALIF":
        probe, _ = model.states["b"]
        threshold = lambda b: n["spike_threshold"] + n["adapt_scale"] * b  # noqa: E731
        model.states["spike_threshold"] = (probe, threshold)
    return model
