"""The names of SpikingJelly's `lava_exchange`, for neurojax: what ports from it by one import.

Arguments have SpikingJelly's names. Where it takes modules of torch and SpikingJelly, these take
them, and layers of neurojax. They give layers of neurojax, and blocks: dictionaries of layers by
name, for `nj.Sequential(in_shape, **block)`; `slayer.from_blocks` makes a network of several.
Neither lava-dl nor SpikingJelly is needed.

What SpikingJelly does wrong is right here, and its docstring says what: `CubaLIFNode` and pools are
accepted everywhere, nothing of the caller's is changed, states that are given are used.

Example:
    >>> import numpy as np, neurojax as nj
    >>> from neurojax.converters import lava_exchange, slayer
    >>> fc = nj.Linear.from_weights(np.full((1, 4), 0.25, np.float32))
    >>> blocks = lava_exchange.to_lava_blocks([fc, nj.IAF(reset="zero")])
    >>> network = slayer.from_blocks(blocks, input_shape=(4,))
    >>> print(nj.simulate(network, np.ones((3, 1, 4), np.float32)).outputs.ravel())
    [0. 1. 0.]

References:
    SpikingJelly 2.0, `activation_based/lava_exchange.py`.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from neurojax._layer import Layer
from neurojax.chips.loihi.cuba import CUBA
from neurojax.chips.loihi.norm import ShiftNorm
from neurojax.chips.loihi.quantise import SCALE
from neurojax.converters.slayer._containers import container
from neurojax.converters.slayer._exchange_blocks import (
    avgpool2d_to_lava_synapse_pool as avgpool2d_to_lava_synapse_pool,
    check_no_bias as check_no_bias,
    conv2d_to_lava_synapse_conv as conv2d_to_lava_synapse_conv,
    is_kind,
    linear_to_lava_synapse_dense as linear_to_lava_synapse_dense,
    to_lava_block_conv as to_lava_block_conv,
    to_lava_block_dense as to_lava_block_dense,
    to_lava_block_flatten as to_lava_block_flatten,
    to_lava_block_pool as to_lava_block_pool,
    to_lava_blocks as to_lava_blocks,
)
from neurojax.converters.slayer._exchange_neurons import (
    lava_neuron_forward as lava_neuron_forward,
    read_neuron,
    to_lava_neuron as to_lava_neuron,
    to_lava_neuron_param_dict as to_lava_neuron_param_dict,
)
from neurojax.converters.slayer._neurons import Number, array, cuba_lif_node
from neurojax.converters.slayer._numbers import (
    LeakyIntegratorStep as LeakyIntegratorStep,
    lava_cuba_lif_step as lava_cuba_lif_step,
    quantize_8b as quantize_8b,
    quantize_8bit as quantize_8bit,
    right_shift_to_zero as right_shift_to_zero,
    step_quantize as step_quantize,
)
from neurojax.converters.slayer._pools import sum_pool
from neurojax.converters.slayer._reading import surrogate_of
from neurojax.converters.slayer._synapses import SPIKINGJELLY_LARGEST, Block, Ints
from neurojax.layers import Conv2d, Flatten, Linear
from neurojax.surrogate import Sigmoid

# Arrays


def TNX_to_NXT(x_seq: Any) -> Any:
    """`[time, batch, ...]` to slayer's `[batch, ..., time]`; arrays of NumPy, JAX or torch."""
    return x_seq.movedim(0, -1) if hasattr(x_seq, "movedim") else jnp.moveaxis(x_seq, 0, -1)


def NXT_to_TNX(x_seq: Any) -> Any:
    """slayer's `[batch, ..., time]` to `[time, batch, ...]`."""
    return x_seq.movedim(-1, 0) if hasattr(x_seq, "movedim") else jnp.moveaxis(x_seq, -1, 0)


# Checks


def check_instance(m: Any, instance: type | tuple[type, ...]) -> None:
    """Raise ValueError unless `m` is an instance of a class."""
    if not isinstance(m, instance):
        raise ValueError(f"expected an instance of {instance}, but got {m!r}")


# Neurons


def CubaLIFNode(
    current_decay: Any,
    voltage_decay: Any,
    v_threshold: float = 1.0,
    v_reset: float = 0.0,
    scale: float = SCALE,
    requires_grad: bool = False,
    surrogate_function: Any = Sigmoid(4.0),
    norm: ShiftNorm | None = None,
    detach_reset: bool = False,
    step_mode: str = "s",
    store_v_seq: bool = False,
    store_i_seq: bool = False,
) -> CUBA:
    """SpikingJelly's `CubaLIFNode`: the same spikes, states and gradients.

    Decays are in units of 1, also as parameters, where SpikingJelly's are 0 to 4096: gradients are
    4096 times as large. They may be one a neuron, and learned in a first layer, which fail there.

    Args:
        current_decay, voltage_decay: Within 0..1.
        v_threshold: Threshold.
        v_reset: 0.0, nothing else.
        scale: Weight steps per unit.
        requires_grad: Whether the decays are parameters.
        surrogate_function: One of `neurojax.surrogate`, or SpikingJelly's of the same name.
        norm: See `BatchNorm2d`. Its mean is used with 8 bits of this scale.
        detach_reset: No gradient to the spike through the reset.
        step_mode: Makes no difference: `nj.simulate` loops over time.
        store_v_seq, store_i_seq: False. States are recorded by the run, see Raises.

    Raises:
        ValueError: v_reset is not 0, or a store flag is set: record `probes=["name.v"]` and
            `probes=["name.i"]` in `nj.simulate`.

    Example:
        >>> import numpy as np, neurojax as nj
        >>> from neurojax.converters import lava_exchange
        >>> net = nj.Sequential((1,), n=lava_exchange.CubaLIFNode(1.0, 0.0))
        >>> run = nj.simulate(net, np.full((3, 1, 1), 0.75, np.float32), probes=["n.v", "n.i"])
        >>> print(run["n.v"].ravel(), run.outputs.ravel())
        [0.75 0.   0.75] [0. 1. 0.]
    """
    if v_reset != 0.0:
        raise ValueError(f"CubaLIFNode: v_reset is {v_reset!r}; the chip resets to 0.0 only")
    if step_mode not in ("s", "m"):
        raise ValueError(f"CubaLIFNode: step_mode is {step_mode!r}; it must be 's' or 'm'")
    for flag, state in ((store_v_seq, "v"), (store_i_seq, "i")):
        if flag:
            raise ValueError(
                f"CubaLIFNode: store_{state}_seq=True: runs record states, with "
                f'probes=["name.{state}"] in nj.simulate; leave it out'
            )
    if norm is not None:
        norm = ShiftNorm(
            norm.mean,
            norm.var,
            eps=norm.eps,
            exponent_bits=norm.exponent_bits,
            scale=int(scale),
            largest=SPIKINGJELLY_LARGEST,
            momentum=norm.momentum,
            inference=bool(norm.inference),
        )
    return cuba_lif_node(
        current_decay=_decay(current_decay, requires_grad),
        voltage_decay=_decay(voltage_decay, requires_grad),
        v_threshold=v_threshold,
        scale=scale,
        surrogate=surrogate_of(surrogate_function)[0],
        norm=norm,
        detach_reset=detach_reset,
    )


def BatchNorm2d(
    num_features: int,
    eps: float = 1e-5,
    momentum: float = 0.1,
    track_running_stats: bool = True,
    weight_exp_bits: int = 3,
    pre_hook_fx: Any = None,
) -> ShiftNorm:
    """SpikingJelly's `BatchNorm2d` with a standard deviation that is a power of two, in training.

    `equinox.nn.inference_mode(network)` switches it to the running statistics, which start at 0.

    Args:
        num_features: Number of channels.
        eps: Added to the variance.
        momentum: Weight of the newest statistics.
        track_running_stats: True, nothing else: without, SpikingJelly normalises by zeros.
        weight_exp_bits: Largest power of two, to both sides.
        pre_hook_fx: What the mean passes: None, or `quantize_8b` for 8 bits of 1 / 64.
    """
    if not track_running_stats:
        raise ValueError("BatchNorm2d: track_running_stats=False normalises by zeros; use True")
    if pre_hook_fx is not None and pre_hook_fx is not quantize_8b:
        raise ValueError(
            f"BatchNorm2d: pre_hook_fx is {pre_hook_fx!r}; use None or lava_exchange.quantize_8b"
        )
    return ShiftNorm(
        jnp.zeros(num_features),
        jnp.zeros(1),
        eps=eps,
        exponent_bits=weight_exp_bits,
        scale=None if pre_hook_fx is None else SCALE,
        momentum=momentum,
        inference=False,
    )


# Synapses and blocks


def SumPool2d(
    kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0, dilation: Ints = 1
) -> Layer:
    """Sums over windows, exactly.

    Args:
        kernel_size: Of the windows.
        stride: Default: their size (SpikingJelly fails without one).
        padding: Zeros around the input.
        dilation: Distance of the points of a window.
    """
    return sum_pool(kernel_size, stride=stride, padding=padding, dilation=dilation)


def BlockContainer(synapse: Any, neu: Any = None, step_mode: str = "s") -> Block:
    """A synapse with 8-bit weights and a `CubaLIFNode`; its neuron spikes as SpikingJelly's.

    For what `BlockContainer.to_lava_block()` exports, use `to_lava_block_dense` and its neighbours.

    Args:
        synapse: Linear or Conv2d without bias, of torch or neurojax, what `SumPool2d` gives, or
            Flatten (without neuron).
        neu: A neuron: IFNode and LIFNode become a CubaLIFNode, with its surrogate.
        step_mode: Makes no difference: `nj.simulate` loops over time.

    Returns:
        `synapse` and `neuron`, or `flatten`.
    """
    if step_mode not in ("s", "m"):
        raise ValueError(f"BlockContainer: step_mode is {step_mode!r}; it must be 's' or 'm'")
    if is_kind(synapse, Flatten, "Flatten"):
        if neu is not None:
            raise ValueError("BlockContainer: Flatten has no neuron; give None")
        return to_lava_block_flatten(synapse)
    if neu is None:
        raise ValueError("BlockContainer: give a neuron, which only Flatten is without")
    neuron = read_neuron(neu)
    if not isinstance(neuron, CUBA):
        params = to_lava_neuron_param_dict(neu)
        neuron = CubaLIFNode(
            params["current_decay"],
            params["voltage_decay"],
            v_threshold=params["threshold"],
            scale=params["scale"],
            requires_grad=params["requires_grad"],
            surrogate_function=neuron.surrogate,
        )
    if is_kind(synapse, Linear, "Linear"):
        return container(linear_to_lava_synapse_dense(synapse).weight, neuron)
    if is_kind(synapse, Conv2d, "Conv2d"):
        layer = conv2d_to_lava_synapse_conv(synapse)
        return container(
            layer.weight,
            neuron,
            stride=layer.stride,
            padding=layer.padding,  # type: ignore[arg-type]
            dilation=layer.dilation,
            groups=layer.groups,
        )
    if not isinstance(synapse, Layer):
        raise ValueError(
            f"BlockContainer: {type(synapse).__name__} is no synapse; use Linear, Conv2d, "
            "lava_exchange.SumPool2d or Flatten"
        )
    return {"synapse": synapse, "neuron": neuron}


def _decay(value: Any, learned: bool) -> Number:
    values = array(value)
    if values.size == 1 and not learned:
        # One that is not learned is a constant: its float32 value.
        return float(values.reshape(()))
    return jnp.asarray(values)
