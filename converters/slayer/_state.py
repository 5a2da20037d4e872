"""Blocks of lava-dl's slayer from what they have saved, without lava-dl."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from neurojax._layer import Layer
from neurojax.chips.loihi.norm import ShiftNorm
from neurojax.chips.loihi.quantise import SCALE
from neurojax.converters.slayer._blocks import (
    affine,
    conv,
    conv_transpose,
    dense,
    input,
    recurrent,
)
from neurojax.converters.slayer._neurons import array, decay
from neurojax.converters.slayer._pools import pool, unpool
from neurojax.converters.slayer._reading import FAMILIES
from neurojax.converters.slayer._sigma_delta import sigma_delta_input, sigma_delta_output
from neurojax.converters.slayer._synapses import Block

BLOCKS: dict[str, Callable[..., Block]] = {
    "dense": dense,
    "conv": conv,
    "convT": conv_transpose,
    "pool": pool,
    "unpool": unpool,
    "affine": affine,
    "recurrent": recurrent,
    "input": input,
    "output": sigma_delta_output,
}
"""The blocks that `from_state_dict` knows."""


def from_state_dict(
    kind: str,
    state_dict: Mapping[str, Any],
    *,
    neuron: Mapping[str, Any] | None = None,
    family: str = "cuba",
    **options: Any,
) -> Block:
    """A block from what `block.state_dict()` holds and the arguments that it was made with.

    For networks that were trained with lava-dl and are read where it is not installed.

    Args:
        kind: `"dense"`, `"conv"`, `"convT"`, `"pool"`, `"unpool"`, `"affine"`, `"recurrent"`,
            `"input"`, or `"output"` of sigma-delta networks.
        state_dict: Arrays or tensors by name: `synapse.weight` (or `synapse.weight_g` and
            `weight_v`; of complex weights `synapse.real.weight`, ...), `neuron.current_decay`,
            `neuron.voltage_decay`, `delay.delay` (fixed; the option `delay=` with an array of JAX
            instead of it is learned), ...
        neuron: The neuron parameters, as slayer takes them. What the state dict holds of them
            counts; decays are constants unless `requires_grad` is True.
        family: The part of slayer that the block is from: `"cuba"`, `"alif"`, `"rf"`, `"rf_iz"`,
            `"adrf"`, `"adrf_iz"` or `"sigma_delta"`.
        **options: The block's own, such as `stride` or `delay_shift`: see `conv` and the others.

    Raises:
        ValueError: The kind, the family, or a name in the state dict, is unknown or missing.

    Example:
        >>> import numpy as np
        >>> from neurojax.converters import slayer
        >>> state = {"synapse.weight": np.ones((3, 2, 1, 1, 1), np.float32)}
        >>> params = {"threshold": 1.0, "current_decay": 0.5, "voltage_decay": 0.1}
        >>> list(slayer.from_state_dict("dense", state, neuron=params))
        ['synapse', 'neuron', 'delay']
    """
    for name, value, legal in (("kind", kind, BLOCKS), ("family", family, FAMILIES)):
        if value not in legal:
            raise ValueError(
                f"from_state_dict: {name} is {value!r}; it must be one of {list(legal)}"
            )
    left = {name: array(value) for name, value in state_dict.items()}
    for name in [n for n in left if n.endswith("_state")]:
        del left[name]  # of the last batch that was run
    spatial = kind in ("conv", "convT", "pool", "unpool")
    spatial = spatial or len(options.get("in_shape") or ()) >= 3
    made = None if neuron is None else _neuron_of(left, dict(neuron), family, spatial)
    sigma_delta = family == "sigma_delta"

    def take(name: str, *, needed: bool = True) -> Any:
        if needed and name not in left:
            raise ValueError(
                f"from_state_dict: {kind} needs {name!r}; the state dict has {list(state_dict)}"
            )
        return left.pop(name, None)

    def weights(synapse: str) -> tuple[Any, Any]:
        if any(name.startswith(f"{synapse}.real.") for name in left):
            real, imag = weights(f"{synapse}.real"), weights(f"{synapse}.imag")
            gain = None if real[1] is None else (real[1], imag[1])
            return (real[0], imag[0]), gain
        gain = take(f"{synapse}.weight_g", needed=False)
        return take(f"{synapse}.weight" if gain is None else f"{synapse}.weight_v"), gain

    make = BLOCKS[kind]
    if kind == "input":
        held = {name: take(name, needed=False) for name in ("weight", "bias")}
        numbers = {n: None if v is None else jnp.asarray(v.reshape(())) for n, v in held.items()}
        arguments: tuple[Any, ...] = (made,)
        options = numbers | options
        make = sigma_delta_input if sigma_delta else make
    elif made is None:
        raise ValueError(f"from_state_dict: {kind} needs neuron=, the parameters of its neuron")
    elif kind == "recurrent":
        weight, gain = weights("input_synapse")
        back, back_gain = weights("recurrent_synapse")
        arguments = (weight, back, made)
        options = {"gain": gain, "recurrent_gain": back_gain} | options
    else:
        weight, gain = weights("synapse")
        arguments = (weight, made)
        if kind not in ("pool", "unpool"):
            options = {"gain": gain} | options
        if "mask" in left:
            options["mask"] = take("mask")
    if sigma_delta and kind not in ("input", "output"):
        options = {"delay_shift": False} | options
    if "delay.delay" in left:
        options["delay"] = take("delay.delay")
    if left:
        raise ValueError(
            f"from_state_dict: {kind} does not know {list(left)}; take the parts of this "
            "block only, without the path in front"
        )
    return make(*arguments, **options)


def _neuron_of(left: dict[str, Any], params: dict[str, Any], family: str, spatial: bool) -> Layer:
    """The neuron from its parameters, with the decays and the norms that a state dict holds."""
    make, decays, norms = FAMILIES[family]
    learned = params.pop("requires_grad", False)
    ignored = ("dropout", "shared_param", "persistent_state", "log_init", "num_neurons")
    params = {name: value for name, value in params.items() if name not in ignored}
    for name in decays:
        if f"neuron.{name}" in left:
            params[name] = decay(left.pop(f"neuron.{name}"), learned=learned, spatial=spatial)
    if "sin_decay" in params:
        params = {name: value for name, value in params.items() if name not in ("period", "decay")}
    if "neuron.delta.threshold" in left:
        threshold = left.pop("neuron.delta.threshold")
        params["threshold"] = jnp.asarray(threshold) if learned else float(threshold.reshape(()))
    if family == "sigma_delta" and (bias := left.pop("neuron.bias", None)) is not None:
        # slayer has one, 0, that it doesn't use until a bias is set.
        params |= {"bias": jnp.asarray(bias)} if bias.any() else {}
    for name in norms:
        mean = left.pop(f"neuron.{name}.running_mean", None)
        var = left.pop(f"neuron.{name}.running_var", None)
        scale = int(params.get("scale", SCALE))
        params[name] = None if mean is None else ShiftNorm(mean, var, scale=scale)
    try:
        return make(**params)
    except TypeError as error:
        raise ValueError(f"neuron parameters: {error}") from None
