"""Neurons of SpikingJelly and neurojax as the CUBA neurons of slayer.

With the names and arguments of SpikingJelly's `lava_exchange`, whose public module is
`neurojax.converters.lava_exchange`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neurojax._layer import Layer, constants_to_floats
from neurojax._network import Sequential
from neurojax._simulate import simulate
from neurojax.chips.loihi.cuba import CUBA, CUBAState
from neurojax.chips.loihi.quantise import SCALE
from neurojax.converters._registry import convert
from neurojax.converters.slayer._neurons import array, cuba_neuron
from neurojax.neurons import IAF, LIF
from neurojax.neurons._neuron import AbstractNeuron

NEURONS = "IFNode, LIFNode(decay_input=False), CubaLIFNode, or neurojax's IAF, LIF and CUBA"


def to_lava_neuron_param_dict(sj_ms_neuron: Any) -> dict[str, Any]:
    """The arguments of `slayer.neuron.cuba.Neuron` that make it compute what a neuron computes.

    slayer's neuron spikes at v > threshold, where IFNode and LIFNode do at v >= threshold.

    Args:
        sj_ms_neuron: IFNode, LIFNode(decay_input=False), CubaLIFNode, or neurojax's IAF, LIF and
            CUBA, with a reset to zero. (SpikingJelly refuses CubaLIFNode here.)

    Raises:
        ValueError: The neuron can't be one of the chip: all reasons.
    """
    neuron = read_neuron(sj_ms_neuron)
    decays: dict[str, Any] = {"current_decay": 1.0, "voltage_decay": 0.0}
    norm = None
    if isinstance(neuron, CUBA):
        plain = constants_to_floats(neuron)
        decays = {name: getattr(plain, name) for name in decays}
        norm = neuron.norm
    else:
        problems = _not_on_the_chip(neuron)
        if problems:
            name = type(sj_ms_neuron).__name__
            raise ValueError(f"{name} can't be a neuron of Loihi: " + "; ".join(problems))
        if isinstance(neuron, LIF):
            decays["voltage_decay"] = _lost(neuron)
    scale = neuron.scale if isinstance(neuron, CUBA) else None
    return {
        "threshold": constants_to_floats(neuron).threshold,
        **decays,
        "tau_grad": 1,
        "scale_grad": 1,
        # SpikingJelly's name of it has this typing error.
        "scale": scale or getattr(sj_ms_neuron, "lava_s_cale", SCALE),
        "norm": norm,
        "dropout": None,
        "shared_param": True,
        "persistent_state": True,
        "requires_grad": any(eqx.is_array(value) for value in decays.values()),
        "graded_spike": False,
    }


def to_lava_neuron(sj_ms_neuron: Any) -> CUBA:
    """slayer's CUBA neuron for a neuron: see `to_lava_neuron_param_dict`. Gradients are slayer's.

    Example:
        >>> import neurojax as nj
        >>> from neurojax.converters import lava_exchange
        >>> lif = nj.LIF(tau=2.5, method="euler", reset="zero")
        >>> lava_exchange.to_lava_neuron(lif).integers()
        {'iDecay': 4096, 'vDecay': 1638, 'vThMant': 64}
    """
    params = to_lava_neuron_param_dict(sj_ms_neuron)
    ours = ("dropout", "shared_param", "persistent_state", "requires_grad")
    return cuba_neuron(**{name: value for name, value in params.items() if name not in ours})


def lava_neuron_forward(
    lava_neuron: CUBA, x_seq: Any, v: Any = 0.0
) -> tuple[Float[Array, "time ..."], Any]:
    """Run a neuron over a sequence, starting from a state.

    SpikingJelly loses v for any batch that is not of size 1, and never sets the current.

    Args:
        lava_neuron: See `to_lava_neuron`.
        x_seq: `[time, batch, ...]`, or `[time, features]` of one sample.
        v: The membrane to start from, of one time step or one number; or the whole state, a
            `CUBAState(v, i)`.

    Returns:
        The spikes, and where it stopped, in the form that `v` had: a membrane or a `CUBAState`.

    Example:
        >>> import neurojax as nj
        >>> from neurojax.converters import lava_exchange
        >>> neuron = lava_exchange.to_lava_neuron(nj.IAF(reset="zero"))
        >>> spikes, v = lava_exchange.lava_neuron_forward(neuron, [[0.5], [0.25]], v=0.75)
        >>> print(spikes.ravel(), v)
        [1. 0.] [0.25]
    """
    x = jnp.asarray(x_seq if isinstance(x_seq, Array) else array(x_seq), jnp.float32)
    if x.ndim < 2:
        raise ValueError(f"lava_neuron_forward: x_seq has shape {x.shape}; it needs time and batch")
    single = x.ndim == 2
    x = x[:, None] if single else x
    whole = isinstance(v, CUBAState)
    start = (v.v, v.i) if whole else (v, 0.0)
    network = Sequential(x.shape[2:], n=lava_neuron)
    state = network.init(x.shape[1])
    voltage, current = (_filled(part, x.shape[1:], single) for part in start)
    given = state.layers["n"]._replace(v=voltage, i=current)
    run = simulate(network, x, state=state._replace(layers={"n": given}))
    end: Any = run.state.layers["n"]
    spikes = run.outputs
    if single:
        spikes, end = spikes[:, 0], jax.tree.map(lambda part: part[0], end)
    return spikes, end if whole else end.v


def read_neuron(module: Any) -> IAF | LIF | CUBA:
    neuron: Any = module
    if not isinstance(module, Layer):
        try:
            layers = convert(module, (1,)).layers
        except LookupError:
            raise ValueError(f"{type(module).__name__} is not a neuron of {NEURONS}") from None
        (neuron,) = layers.values()
    if not isinstance(neuron, IAF | LIF | CUBA):
        raise ValueError(f"{type(module).__name__} is not a neuron of {NEURONS}")
    return neuron


def is_neuron(part: Any) -> bool:
    return isinstance(part, AbstractNeuron | CUBA) or hasattr(part, "v_threshold")


def _not_on_the_chip(neuron: IAF | LIF) -> list[str]:
    """What of a neuron Loihi has not."""
    # What is read elsewhere, or makes no difference to spikes that reset to zero.
    free = {"threshold", "tau", "decay", "dt", "method", "surrogate", "strict", "v_init"}
    free |= {"reset", "reset_value", "detach_reset", "detach_threshold", "normalize_input"}
    plain, problems = constants_to_floats(neuron), []
    if not (plain.reset == "zero" or (plain.reset == "value" and _equals(plain.reset_value, 0))):
        problems.append(f"its reset is {plain.reset!r}; the chip resets to 0 (v_reset=0.0)")
    if getattr(plain, "normalize_input", False):
        problems.append("its input is multiplied by 1 - decay; use decay_input=False")
    if plain.v_init is not None and not _equals(plain.v_init, 0):
        problems.append(f"its membrane starts from {plain.v_init}; the chip starts from 0")
    for field in dataclasses.fields(plain):
        value = getattr(plain, field.name)
        default = getattr(field.default, "value", field.default)
        if field.name in free or value is default or _equals(value, default):
            continue
        problems.append(f"it has {field.name}={value}; the chip has not")
    return problems


def _equals(value: Any, wanted: Any) -> bool:
    return not eqx.is_array(value) and value == wanted


def _lost(neuron: LIF) -> Any:
    """The part of the membrane that is lost in a time step."""
    plain = constants_to_floats(neuron)
    if plain.tau is not None and plain.method == "euler":
        return plain.dt / plain.tau
    return 1 - constants_to_floats(neuron.prepare(None)).decay


def _filled(part: Any, shape: tuple[int, ...], single: bool) -> Array:
    """A state of a batch, from a number or an array."""
    values = jnp.asarray(part if isinstance(part, Array) else array(part), jnp.float32)
    if single and values.ndim:
        values = values[None]
    if values.ndim and values.shape != shape:
        raise ValueError(
            f"lava_neuron_forward: v has shape {values.shape}, but one time step has {shape}"
        )
    return jnp.broadcast_to(values, shape)
