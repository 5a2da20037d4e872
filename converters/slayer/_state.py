"""Blocks of lava-dl's slayer from what they have saved, without lava-dl."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from neurojax.chips.loihi.cuba import CUBA
from neurojax.chips.loihi.norm import ShiftNorm
from neurojax.chips.loihi.quantise import SCALE
from neurojax.converters.slayer._blocks import Block, affine, conv, dense, input, pool, recurrent
from neurojax.converters.slayer._neurons import array, cuba_neuron, decay

BLOCKS: dict[str, Callable[..., Block]] = {
    "dense": dense,
    "conv": conv,
    "pool": pool,
    "affine": affine,
    "recurrent": recurrent,
    "input": input,
}
"""The blocks that `from_state_dict` knows."""


def from_state_dict(
    kind: str,
    state_dict: Mapping[str, Any],
    *,
    neuron: Mapping[str, Any] | None = None,
    **options: Any,
) -> Block:
    """A block from what `block.state_dict()` holds and the arguments that it was made with.

    For networks that were trained with lava-dl and are read where it is not installed.

    Args:
        kind: `"dense"`, `"conv"`, `"pool"`, `"affine"`, `"recurrent"` or `"input"`.
        state_dict: Arrays or tensors by name: `synapse.weight` (or `synapse.weight_g` and
            `weight_v`), `neuron.current_decay`, `neuron.voltage_decay`, `delay.delay`, ...
        neuron: The neuron parameters, as slayer takes them. The decays of the state dict count;
            they are constants unless `requires_grad` is True.
        **options: The block's own, such as `stride` or `delay_shift`: see `conv` and the others.

    Raises:
        ValueError: The kind, or a name in the state dict, is unknown or missing.

    Example:
        >>> import numpy as np
        >>> from neurojax.converters import slayer
        >>> state = {"synapse.weight": np.ones((3, 2, 1, 1, 1), np.float32)}
        >>> params = {"threshold": 1.0, "current_decay": 0.5, "voltage_decay": 0.1}
        >>> list(slayer.from_state_dict("dense", state, neuron=params))
        ['synapse', 'neuron', 'delay']
    """
    if kind not in BLOCKS:
        raise ValueError(f"from_state_dict: kind is {kind!r}; it must be one of {list(BLOCKS)}")
    left = {name: array(value) for name, value in state_dict.items()}
    for name in [n for n in left if n.endswith(("current_state", "voltage_state", "spike_state"))]:
        del left[name]  # of the last batch that was run
    spatial = kind in ("conv", "pool") or len(options.get("in_shape") or ()) == 3
    made = None if neuron is None else _neuron_of(left, dict(neuron), spatial)

    def take(name: str, *, needed: bool = True) -> Any:
        if needed and name not in left:
            raise ValueError(
                f"from_state_dict: {kind} needs {name!r}; the state dict has {list(state_dict)}"
            )
        return left.pop(name, None)

    def weights(synapse: str) -> tuple[Any, Any]:
        gain = take(f"{synapse}.weight_g", needed=False)
        return take(f"{synapse}.weight" if gain is None else f"{synapse}.weight_v"), gain

    if kind == "input":
        weight, bias = take("weight", needed=False), take("bias", needed=False)
        arguments: tuple[Any, ...] = (made,)
        options = {"weight": weight, "bias": bias} | options
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
        if kind != "pool":
            options = {"gain": gain} | options
        if "mask" in left:
            options["mask"] = take("mask")
    if "delay.delay" in left:
        options["delay"] = take("delay.delay")
    if left:
        raise ValueError(
            f"from_state_dict: {kind} does not know {list(left)}; take the parts of this "
            "block only, without the path in front"
        )
    return BLOCKS[kind](*arguments, **options)


def _neuron_of(left: dict[str, Any], params: dict[str, Any], spatial: bool) -> CUBA:
    """The neuron from its parameters, with the decays and the norm that a state dict holds."""
    learned = params.pop("requires_grad", False)
    ignored = ("dropout", "shared_param", "persistent_state")
    params = {name: value for name, value in params.items() if name not in ignored}
    for name in ("current_decay", "voltage_decay"):
        if f"neuron.{name}" in left:
            params[name] = decay(left.pop(f"neuron.{name}"), learned=learned, spatial=spatial)
    mean = left.pop("neuron.norm.running_mean", None)
    var = left.pop("neuron.norm.running_var", None)
    params["norm"] = (
        None if mean is None else ShiftNorm(mean, var, scale=int(params.get("scale", SCALE)))
    )
    try:
        return cuba_neuron(**params)
    except TypeError as error:
        raise ValueError(f"neuron parameters: {error}") from None
