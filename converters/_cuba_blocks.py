"""The CUBA neurons and blocks of lava-dl's slayer and of SpikingJelly, from plain numbers.

A block is a synapse with 8-bit weights, a neuron, and a delay. Each function gives the layers of
one block by name, for `nj.Sequential(in_shape, **block)` or `Converted(block)`. Weights may have
slayer's shapes, with a time axis of length 1 behind the others.

slayer's arrays are `[batch, channels, ..., time]`, ours `[time, batch, channels, ...]`:
`jnp.moveaxis(x, -1, 0)` there, `jnp.moveaxis(y, 0, -1)` back.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from neurojax._layer import Layer, Shape
from neurojax.chips.loihi.cuba import CUBA
from neurojax.chips.loihi.norm import ShiftNorm
from neurojax.chips.loihi.quantise import LARGEST, SCALE, Quantised, QuantisedInput, quantise_8bit
from neurojax.chips.loihi.spec import DECAY_BITS, LARGEST_AXONAL_DELAY
from neurojax.layers.chain import Chain
from neurojax.layers.convolution import Conv2d
from neurojax.layers.delay import Delay
from neurojax.layers.linear import Linear
from neurojax.layers.pooling import AvgPool1d, SumPool2d
from neurojax.layers.recurrent import Recurrent
from neurojax.layers.shape import Flatten, Reshape, Scale
from neurojax.surrogate import Exponential, Sigmoid, Surrogate

Block = dict[str, Layer]
Number = float | Array

SPIKINGJELLY_LARGEST = 255
"""SpikingJelly limits 8-bit weights to 255 steps, one more than the chip has."""

EPSILON = 0.01
"""What is added to thresholds, in steps of the state, so that >= is the chip's >."""


def cuba_neuron(
    *,
    threshold: float,
    current_decay: Number,
    voltage_decay: Number,
    tau_grad: float = 1.0,
    scale_grad: float = 1.0,
    scale: float = SCALE,
    norm: Layer | None = None,
    graded_spike: bool = False,
) -> CUBA:
    """`slayer.neuron.cuba.Neuron`, from the arguments that it takes.

    Forward it computes the same integers. Backward, as there, gradients ignore the reset; the
    gradient to a decay is the true one (slayer's has the wrong sign and lacks a factor 1 / 4096).

    Args:
        threshold: Cut to a multiple of 1 / scale.
        current_decay, voltage_decay: Within 0..1; an array is learned.
        tau_grad, scale_grad: Width (times 100 thresholds) and height (times 0.1) of the surrogate.
        scale: Weight steps per unit.
        norm: What the current passes on its way to the membrane, such as `ShiftNorm`.
        graded_spike: A spike has the value of the membrane.

    Raises:
        ValueError: A number is out of its range.

    References:
        lava-dl, `slayer/neuron/cuba.py`; S. B. Shrestha and G. Orchard, "SLAYER: spike layer error
        reassignment in time", NeurIPS 2018, https://arxiv.org/abs/1810.08646.

    Example:
        >>> from neurojax.converters import slayer
        >>> n = slayer.cuba_neuron(threshold=0.7, current_decay=0.25, voltage_decay=0.03)
        >>> n.integers()
        {'iDecay': 1024, 'vDecay': 123, 'vThMant': 44}
    """
    width = 100.0 * tau_grad
    height = 0.05 * scale_grad
    if graded_spike:
        # Exponential has height / (width threshold) at its peak; a graded spike is to have 0.1.
        height *= 2 * width * int(threshold * int(scale)) / int(scale)
    return CUBA(
        current_decay=current_decay,
        voltage_decay=voltage_decay,
        threshold=threshold,
        scale=scale,
        epsilon=EPSILON / int(scale * 64),
        norm=norm,
        graded=graded_spike,
        reset_gradient="bypassed",
        surrogate=Exponential(width=width, scale=height),
    )


def cuba_lif_node(
    *,
    current_decay: Number,
    voltage_decay: Number,
    v_threshold: float = 1.0,
    scale: float = SCALE,
    surrogate: Surrogate = Sigmoid(4.0),
    norm: Layer | None = None,
    detach_reset: bool = False,
) -> CUBA:
    """SpikingJelly's `lava_exchange.CubaLIFNode`, from the arguments that it takes.

    Unlike slayer's neuron it does not quantise the threshold, makes integers of its states anew in
    each step, and keeps the normalised current. Decays are in units of 1 here, of 1 / 4096 there:
    gradients to them are 4096 times as large.

    Args:
        current_decay, voltage_decay: Within 0..1; an array is learned.
        v_threshold: Threshold.
        scale: Weight steps per unit.
        surrogate: Derivative of the spikes.
        norm: What the current passes, such as `ShiftNorm`.
        detach_reset: No gradient to the spike through the reset.

    Raises:
        ValueError: A number is out of its range.

    References:
        SpikingJelly 2.0, `activation_based/lava_exchange.py`.
    """
    return CUBA(
        current_decay=current_decay,
        voltage_decay=voltage_decay,
        threshold=v_threshold,
        scale=scale,
        quantise_threshold=False,
        epsilon=EPSILON / int(scale * 64),
        requantise=True,
        norm=norm,
        norm_feedback=True,
        reset_gradient="detached" if detach_reset else "full",
        surrogate=surrogate,
    )


def dense(
    weight: Any,
    neuron: CUBA,
    *,
    gain: Any = None,
    mask: Any = None,
    quantise: bool = True,
    delay_shift: bool = True,
    delay: Any = None,
    in_shape: Shape | None = None,
) -> Block:
    """`slayer.block.cuba.Dense`.

    Args:
        weight: `(out, in)`, or `(out, in, height, width)` over images; the unquantised one.
        neuron: See `cuba_neuron`.
        gain: The `weight_g` of a block with `weight_norm=True` (`weight` is then its `weight_v`).
        mask: 0 where there is no synapse.
        quantise: Whether weights are used with 8 bits (`pre_hook_fx` is not None).
        delay_shift: Whether the output comes one time step late.
        delay: Axonal delays, one number or one a channel: whole steps of what is given count, 0 to
            62. They are not trained here.
        in_shape: Shape of one sample at one step; needed if it is `(features, 1, 1)`.

    Returns:
        `synapse`, `neuron` and, if there is one, `delay`.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.converters import slayer
        >>> neuron = slayer.cuba_neuron(threshold=1.0, current_decay=0.5, voltage_decay=0.1)
        >>> block = slayer.dense(jnp.ones((3, 2)), neuron)
        >>> print(nj.simulate(nj.Sequential((2,), **block), jnp.ones((3, 1, 2))).outputs[:, 0, 0])
        [0. 1. 1.]
    """
    kernel = _kernel(weight)
    flat = kernel.shape[2:] in ((), (1, 1)) and (in_shape is None or len(in_shape) == 1)
    if flat:
        synapse: Layer = Linear.from_weights(kernel.reshape(kernel.shape[:2]))
    else:
        synapse = Conv2d.from_weights(
            kernel.reshape(*kernel.shape[:2], *(kernel.shape[2:] or (1, 1)))
        )
    synapse = _synapse(synapse, neuron, quantise, gain=gain, mask=mask)
    return {"synapse": synapse, "neuron": neuron, **_delays(delay_shift, delay)}


def conv(
    weight: Any,
    neuron: CUBA,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    gain: Any = None,
    quantise: bool = True,
    delay_shift: bool = True,
    delay: Any = None,
) -> Block:
    """`slayer.block.cuba.Conv`: see `dense`, and `neurojax.Conv2d` for the window."""
    synapse = Conv2d.from_weights(
        _kernel(weight),
        stride=_spatial(stride),
        padding=_spatial(padding),
        dilation=_spatial(dilation),
        groups=groups,
    )
    quantised = _synapse(synapse, neuron, quantise, gain=gain)
    return {"synapse": quantised, "neuron": neuron, **_delays(delay_shift, delay)}


def pool(
    weight: Any,
    neuron: CUBA,
    *,
    in_shape: Shape,
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    quantise: bool = True,
    delay_shift: bool = True,
    delay: Any = None,
) -> Block:
    """`slayer.block.cuba.Pool`: the sum over windows of each channel, times a weight.

    Sizes that are no multiple of the window get zeros at the end. slayer pools the channels stacked
    on each other, so that with a stride other than the window, or with padding, its windows reach
    into the next channel; and it appends the wrong number of zeros to windows larger than 2. Both
    are not copied.

    Args:
        weight: `(1, 1, height, width)`: the window, with the weight in each place.
        neuron: See `cuba_neuron`.
        in_shape: `(channels, height, width)`.
        stride: Default: the window.
        padding, dilation: As in `conv`.
        quantise, delay_shift, delay: As in `dense`.
    """
    kernel = _kernel(weight)
    window = kernel.shape[2:]
    steps = window if stride is None else _pair(stride)
    pads = [
        (p, p + -size % length)
        for p, size, length in zip(_pair(padding), in_shape[1:], window, strict=True)
    ]
    values = quantise_8bit(kernel, scale=neuron.w_scale) if quantise else kernel
    if _pair(dilation) == (1, 1) and len(np.unique(kernel)) == 1:
        synapse: Layer = Chain(
            sum=SumPool2d(window, stride=steps, padding=pads),
            weight=Scale(float(np.asarray(values).flat[0])),
        )
    else:
        synapse = Conv2d.from_weights(
            jnp.tile(values, (in_shape[0], 1, 1, 1)),
            stride=steps,
            padding=pads,
            dilation=_pair(dilation),
            groups=in_shape[0],
        )
    return {"synapse": synapse, "neuron": neuron, **_delays(delay_shift, delay)}


def affine(
    weight: Any,
    neuron: CUBA,
    *,
    gain: Any = None,
    mask: Any = None,
    quantise: bool = True,
    dynamics: bool = True,
    in_shape: Shape | None = None,
) -> Block:
    """`slayer.block.cuba.Affine`: a read-out without spikes; its output is the membrane.

    Args:
        weight, neuron, gain, mask, quantise, in_shape: As in `dense`.
        dynamics: False: the output is what the synapse gives.
    """
    block = dense(
        weight,
        dataclasses.replace(neuron, threshold=None),
        gain=gain,
        mask=mask,
        quantise=quantise,
        delay_shift=False,
        in_shape=in_shape,
    )
    return block if dynamics else {"synapse": block["synapse"]}


def recurrent(
    weight: Any,
    recurrent_weight: Any,
    neuron: CUBA,
    *,
    gain: Any = None,
    recurrent_gain: Any = None,
    quantise: bool = True,
    delay_shift: bool = True,
    delay: Any = None,
) -> Block:
    """`slayer.block.cuba.Recurrent`: s[t] = neuron(W x[t] + R s[t - 1]).

    slayer runs its neuron once a step there, which makes integers of the states anew and keeps the
    normalised current (`CUBA(requantise=True, norm_feedback=True)`), and back-propagates through
    the spikes only; here gradients go through the states, too.

    Args:
        weight: W, `(out, in)`.
        recurrent_weight: R, `(out, out)`.
        gain, recurrent_gain: Their `weight_g`, if they are normalised.
        neuron, quantise, delay_shift, delay: As in `dense`.
    """
    neuron = dataclasses.replace(neuron, requantise=True, norm_feedback=True)
    into = dense(weight, neuron, gain=gain, quantise=quantise)["synapse"]
    back = dense(recurrent_weight, neuron, gain=recurrent_gain, quantise=quantise)["synapse"]
    return {"synapse": into, "neuron": Recurrent(neuron, back), **_delays(delay_shift, delay)}


def input(
    neuron: CUBA | None = None,
    *,
    weight: Number | None = None,
    bias: Number | None = None,
    delay_shift: bool = True,
) -> Block:
    """`slayer.block.cuba.Input`: values become currents with 8 bits, then spikes.

    Args:
        neuron: See `cuba_neuron`; None: the input is handed on.
        weight, bias: One number each, an array is learned.
        delay_shift: As in `dense`.
    """
    block: Block = {}
    if neuron is not None:
        block["transform"] = QuantisedInput(weight=weight, bias=bias, scale=neuron.w_scale)
        block["neuron"] = neuron
    return block | _delays(delay_shift, None)


def average(num_outputs: int, *, in_shape: Shape) -> Block:
    """`slayer.block.cuba.Average`: means of groups of neighbouring neurons.

    Args:
        num_outputs: Number of groups.
        in_shape: Shape of one sample at one step.
    """
    size, rest = divmod(math.prod(in_shape), num_outputs)
    if rest:
        raise ValueError(
            f"Average: {in_shape} can't be split into {num_outputs} groups of one size"
        )
    return {
        "groups": Reshape((num_outputs, size)),
        "mean": AvgPool1d(size),
        "flatten": Flatten(),
    }


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
    left = {name: _array(value) for name, value in state_dict.items()}
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


def decay(steps: Any, *, learned: bool, spatial: bool) -> Number:
    """A decay in units of 1 from what slayer and SpikingJelly store, multiples of 1 / 4096.

    Args:
        steps: 0 to 4096, not rounded; one value, or one a channel.
        learned: Whether one value is a parameter, too.
        spatial: Whether there are axes behind the channels.
    """
    value = np.clip(np.asarray(steps, np.float32), 0, 1 << DECAY_BITS) / (1 << DECAY_BITS)
    if value.size == 1 and not learned:
        return float(value.reshape(()))
    return jnp.asarray(value.reshape(-1, 1, 1) if spatial and value.size > 1 else value)


def _array(value: Any) -> np.ndarray:
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value, np.float32)


def _kernel(weight: Any) -> Array:
    """A weight without the axis of time; 8-bit weights are even, so nothing else is lost."""
    kernel = jnp.asarray(weight if isinstance(weight, Array) else _array(weight))
    if kernel.ndim == 5 and kernel.shape[-1] == 1:
        return kernel[..., 0]
    if kernel.ndim not in (2, 4):
        raise ValueError(
            f"a weight has shape {kernel.shape}; it must be (out, in) or (out, in, height, width), "
            "with or without a last axis of length 1"
        )
    return kernel


def _spatial(value: int | Sequence[int]) -> int | Sequence[int]:
    """An option of two spatial axes, from one of three axes of which time is the last."""
    return value if isinstance(value, int) else tuple(value)[:2]


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    first = _spatial(value)
    return (first, first) if isinstance(first, int) else (first[0], first[1])


def _synapse(synapse: Layer, neuron: CUBA, quantise: bool, **options: Any) -> Layer:
    if quantise:
        return Quantised(synapse, scale=neuron.w_scale, largest=LARGEST, **options)
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ValueError(f"{given[0]} needs quantise=True; multiply it into the weight")
    return synapse


def _delays(delay_shift: bool, delay: Any) -> Block:
    """One layer for the step that a block takes and the axonal delays behind it."""
    steps = np.zeros(1) if delay is None else np.floor(_array(delay)).reshape(-1)
    steps = np.clip(steps, 0, LARGEST_AXONAL_DELAY).astype(int) + int(delay_shift)
    if not steps.any():
        return {}
    return {"delay": Delay(int(steps[0]) if steps.size == 1 else steps)}
