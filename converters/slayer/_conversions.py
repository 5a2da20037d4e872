"""Modules of torch and SpikingJelly, and layers of neurojax, as blocks of slayer.

With the names and arguments of SpikingJelly's `lava_exchange`, whose public module is
`neurojax.converters.lava_exchange`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neurojax._layer import Layer, constants_to_floats
from neurojax._network import Network, Sequential
from neurojax._simulate import simulate
from neurojax.chips.loihi.cuba import CUBA, CUBAState
from neurojax.chips.loihi.quantise import SCALE
from neurojax.converters import _torch_layers as torch_layers
from neurojax.converters._registry import convert, kind_of
from neurojax.converters.slayer._blocks import Block, conv, dense
from neurojax.converters.slayer._neurons import array, cuba_neuron
from neurojax.layers import AvgPool2d, Conv2d, Flatten, Linear, SumPool2d
from neurojax.neurons import IAF, LIF
from neurojax.neurons._neuron import AbstractNeuron

L = TypeVar("L", bound=Layer)

AVERAGES = ("next_weights", "threshold")
NEURONS = "IFNode, LIFNode(decay_input=False), CubaLIFNode, or neurojax's IAF, LIF and CUBA"


# Neurons


def to_lava_neuron_param_dict(sj_ms_neuron: Any) -> dict[str, Any]:
    """The arguments of `slayer.neuron.cuba.Neuron` that make it compute what a neuron computes.

    slayer's neuron spikes at v > threshold, where IFNode and LIFNode do at v >= threshold.

    Args:
        sj_ms_neuron: IFNode, LIFNode(decay_input=False), CubaLIFNode, or neurojax's IAF, LIF and
            CUBA, with a reset to zero. (SpikingJelly refuses CubaLIFNode here.)

    Raises:
        ValueError: The neuron can't be one of the chip: all reasons.
    """
    neuron = _neuron(sj_ms_neuron)
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
    start = v if whole else CUBAState(v, 0.0)
    network = Sequential(x.shape[2:], n=lava_neuron)
    state = network.init(x.shape[1])
    filled = {name: _filled(getattr(start, name), x.shape[1:], single) for name in ("v", "i")}
    given = state.layers["n"]._replace(**filled)
    run = simulate(network, x, state=state._replace(layers={"n": given}))
    end: Any = run.state.layers["n"]
    spikes = run.outputs
    if single:
        spikes, end = spikes[:, 0], jax.tree.map(lambda part: part[0], end)
    return spikes, end if whole else end.v


# Synapses


def linear_to_lava_synapse_dense(fc: Any) -> Linear:
    """A `torch.nn.Linear` without bias (or a `nj.Linear`) as a synapse, with full precision."""
    return _synapse(fc, Linear, "Linear")


def conv2d_to_lava_synapse_conv(conv2d_nn: Any) -> Conv2d:
    """A `torch.nn.Conv2d` without bias (or a `nj.Conv2d`) as a synapse, with full precision."""
    return _synapse(conv2d_nn, Conv2d, "Conv2d")


def avgpool2d_to_lava_synapse_pool(pool2d_nn: Any) -> SumPool2d:
    """The *sum* over the windows of an average pool: multiply by 1 / (height * width) elsewhere.

    `to_lava_blocks` does it in the weights behind. Where windows don't fill the input, the rest is
    left out, as by `torch.nn.AvgPool2d`; slayer appends zeros.
    """
    pool = _synapse(pool2d_nn, AvgPool2d, "AvgPool2d")
    return SumPool2d(pool.kernel_size, stride=pool.stride, padding=pool.padding)


# Blocks


def to_lava_block_dense(fc: Any, sj_ms_neuron: Any, quantize_to_8bit: bool = True) -> Block:
    """`slayer.block.cuba.Dense` of a Linear and a neuron, without its delay of one step.

    Args:
        fc: See `linear_to_lava_synapse_dense`.
        sj_ms_neuron: See `to_lava_neuron_param_dict`.
        quantize_to_8bit: False keeps the weights as they are.

    Returns:
        `synapse` and `neuron`.
    """
    synapse = linear_to_lava_synapse_dense(fc)
    neuron = to_lava_neuron(sj_ms_neuron)
    return dense(synapse.weight, neuron, quantise=quantize_to_8bit, delay_shift=False)


def to_lava_block_conv(conv2d_nn: Any, sj_ms_neuron: Any, quantize_to_8bit: bool = True) -> Block:
    """`slayer.block.cuba.Conv` of a Conv2d and a neuron: see `to_lava_block_dense`."""
    synapse = conv2d_to_lava_synapse_conv(conv2d_nn)
    if any(before != after for before, after in synapse.padding):
        raise ValueError(
            f"{synapse.describe()}: slayer's convolutions have the same padding on both sides"
        )
    return conv(
        synapse.weight,
        to_lava_neuron(sj_ms_neuron),
        stride=synapse.stride,
        padding=[before for before, _ in synapse.padding],
        dilation=synapse.dilation,
        groups=synapse.groups,
        quantise=quantize_to_8bit,
        delay_shift=False,
    )


def to_lava_block_pool(pool2d_nn: Any, sj_ms_neuron: Any, quantize_to_8bit: bool = True) -> Block:
    """`slayer.block.cuba.Pool` of an AvgPool2d and a neuron: *sums*, see `to_lava_blocks`.

    The weights are 1, which 8 bits hold: `quantize_to_8bit` makes no difference.
    """
    del quantize_to_8bit
    synapse = avgpool2d_to_lava_synapse_pool(pool2d_nn)
    return {"synapse": synapse, "neuron": to_lava_neuron(sj_ms_neuron)}


def to_lava_block_flatten(flatten_nn: Any) -> Block:
    """`slayer.block.cuba.Flatten` of a Flatten of everything behind the batch."""
    if not isinstance(flatten_nn, Flatten):
        _check_torch(flatten_nn, "Flatten")
        if flatten_nn.start_dim != 1 or flatten_nn.end_dim != -1:
            raise ValueError(
                f"Flatten: start_dim={flatten_nn.start_dim}, end_dim={flatten_nn.end_dim}; slayer "
                "flattens everything behind the batch, so they must be 1 and -1"
            )
    return {"flatten": Flatten()}


def to_lava_blocks(net: Iterable[Any] | Network, *, average: str = "next_weights") -> list[Block]:
    """Blocks of a list of layers and neurons, in pairs, and of Flatten.

    Pools of the chip sum, so that the 1 / (height * width) of an average has to go elsewhere.
    `"next_weights"`, which SpikingJelly means to do, puts it into a copy of the next weights: exact
    for a pool without neurons of its own; behind neurons it keeps the *rates*, as long as they
    don't saturate. `"threshold"` puts it into the neurons of the pool: the same spikes as with the
    average, if the neurons don't leak. Weights behind several pools take all their factors.

    SpikingJelly fails for any network with a pool, would change the caller's weights, and refuses
    `CubaLIFNode`.

    Args:
        net: Linear, Conv2d and AvgPool2d, each with a neuron behind it (an AvgPool2d may be
            without), and Flatten: of torch, SpikingJelly or neurojax. A list, a
            `torch.nn.Sequential`, or a `nj.Sequential`.
        average: See above.

    Returns:
        The blocks, for `slayer.from_blocks`.

    Raises:
        ValueError: Something else is in the list, a neuron is missing, or there are no weights
            behind a pool; it names the place.
    """
    if average not in AVERAGES:
        raise ValueError(f"to_lava_blocks: average is {average!r}; use one of {AVERAGES}")
    parts = [net[name] for name in net.names] if isinstance(net, Network) else list(net)
    blocks: list[Block] = []
    factor, at = 1.0, 0
    while at < len(parts):
        part = parts[at]
        neuron = parts[at + 1] if at + 1 < len(parts) and _is_neuron(parts[at + 1]) else None
        try:
            made = _one_block(part, neuron, factor, average)
        except ValueError as error:
            raise ValueError(f"to_lava_blocks: [{at}]: {error}") from None
        blocks.append(made.block)
        factor = made.factor
        at += 1 if neuron is None else 2
    if factor != 1:
        raise ValueError(
            "to_lava_blocks: there are no weights behind the last pool to take up its average; "
            "use average='threshold', or add a Linear"
        )
    return blocks


class _Made(NamedTuple):
    block: Block
    factor: float  # of the next weights


def _one_block(part: Any, neuron: Any, factor: float, average: str) -> _Made:
    if _is(part, Flatten, "Flatten"):
        if neuron is not None:
            raise ValueError("Flatten is followed by a neuron; put a Linear or Conv2d between them")
        return _Made(to_lava_block_flatten(part), factor)
    if _is(part, AvgPool2d, "AvgPool2d"):
        pool = avgpool2d_to_lava_synapse_pool(part)
        area = math.prod(pool.kernel_size)
        if neuron is None:
            return _Made({"synapse": pool}, factor / area)
        block: dict[str, Any] = to_lava_block_pool(part, neuron)
        if average == "next_weights":
            return _Made(block, factor / area)
        threshold = constants_to_floats(block["neuron"]).threshold
        higher = dataclasses.replace(block["neuron"], threshold=threshold * area)
        return _Made(block | {"neuron": higher}, factor)
    if not (_is(part, Linear, "Linear") or _is(part, Conv2d, "Conv2d")):
        raise ValueError(
            f"{type(part).__name__} is no part of a block; take Linear, Conv2d, AvgPool2d and "
            "Flatten, and one neuron behind each of the first two"
        )
    if neuron is None:
        raise ValueError(f"{type(part).__name__} needs a neuron behind it: {NEURONS}")
    flat = _is(part, Linear, "Linear")
    synapse: Any = linear_to_lava_synapse_dense(part) if flat else conv2d_to_lava_synapse_conv(part)
    scaled = eqx.tree_at(lambda layer: layer.weight, synapse, synapse.weight * factor)
    make = to_lava_block_dense if flat else to_lava_block_conv
    return _Made(make(scaled, neuron), 1.0)


# What is what


def _is(part: Any, ours: type[Layer], name: str) -> bool:
    return isinstance(part, ours) or _is_torch(part, name)


def _is_torch(part: Any, name: str) -> bool:
    return any(kind_of(cls) == f"torch.{name}" for cls in type(part).__mro__)


def _check_torch(part: Any, name: str) -> None:
    if not _is_torch(part, name):
        raise ValueError(f"expected a {name} of torch or neurojax, got {part!r}")


def _is_neuron(part: Any) -> bool:
    return isinstance(part, AbstractNeuron | CUBA) or hasattr(part, "v_threshold")


def _synapse(module: Any, ours: type[L], name: str) -> L:
    """A layer without bias, from one of torch or neurojax."""
    layer: Any = module
    if not isinstance(module, ours):
        _check_torch(module, name)
        if getattr(module, "ceil_mode", False) or getattr(module, "divisor_override", None):
            raise ValueError("AvgPool2d: ceil_mode and divisor_override are not supported")
        read = {
            "Linear": (torch_layers.linear, (1,)),
            "Conv2d": (torch_layers.convolution, (1, 1, 1)),
            "AvgPool2d": (torch_layers.average_pool, (1, 1, 1)),
        }
        function, shape = read[name]
        layer = function(module, shape)
    if getattr(layer, "bias", None) is not None:
        raise ValueError(
            f"{name} has a bias, which Loihi's synapses have not; make it with bias=False"
        )
    if isinstance(layer, AvgPool2d) and not layer.count_padding and any(map(any, layer.padding)):
        raise ValueError("AvgPool2d: means that don't count the padding are no multiple of sums")
    return layer


def _neuron(module: Any) -> IAF | LIF | CUBA:
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
