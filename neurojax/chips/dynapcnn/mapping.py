"""From a network of real numbers to the cores of a chip.

Average pools become sum pools, their factor moves into the weights that follow; pools of the input
become the camera's block; Linear layers become convolutions whose kernel is the incoming map; batch
norm is folded into the weights; dropout and flatten go. Then each layer is discretised with a scale
of its own, checked and placed.

References:
    sinabs 3.1.3, `sinabs.backend.dynapcnn` (the order of the steps and their arithmetic).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, cast

import jax.numpy as jnp
import numpy as np

from neurojax._graph import topological_order
from neurojax._layer import Constant, Layer
from neurojax._network import Network
from neurojax.chips._checks import mappable
from neurojax.chips._mapped import MappedNetwork, MappingError, Problem
from neurojax.chips._surrogate import InSteps
from neurojax.chips.dynapcnn._assemble import assemble
from neurojax.chips.dynapcnn._blocks import Block
from neurojax.chips.dynapcnn._checks import (
    check_finite,
    check_neurons,
    check_weights,
    gain_of,
    scalar,
)
from neurojax.chips.dynapcnn._origin import Origin, provenance_of
from neurojax.chips.dynapcnn._plan import Plan
from neurojax.chips.dynapcnn._read import read
from neurojax.chips.dynapcnn._signal import resolve
from neurojax.chips.dynapcnn._weights import core_weights
from neurojax.chips.dynapcnn._wiring import check_wiring
from neurojax.chips.dynapcnn.discretise import Discretised, discretise
from neurojax.chips.dynapcnn.dynamics import Core
from neurojax.chips.dynapcnn.memory import Memory, memory_of
from neurojax.chips.dynapcnn.placement import assign
from neurojax.chips.dynapcnn.spec import LAST_THRESHOLD_LOW, ChipSpec, spec
from neurojax.layers import Conv2d
from neurojax.surrogate import Surrogate


class Options(NamedTuple):
    """Choices of the caller."""

    bias_bits: int
    peer_lower_bound: bool
    max_spikes: Any
    surrogate: Surrogate | None
    merge_factors: str | None
    silicon: dict[str, Any]  # options of a core of the same names


def map(
    network: Network,
    *,
    device: str | ChipSpec = "speck2fmodule",
    bias_bits: int = 8,
    peer_lower_bound: bool = False,
    max_spikes: int | str | None = "as trained",
    surrogate: Surrogate | None = None,
    dvs_input: bool | None = None,
    merge_factors: Literal["mean", "harmonic"] | None = None,
    cores: str | Mapping[str, int] = "auto",
    overflow: Literal["saturate", "wrap"] | None = None,
    count_overflow: bool = False,
    leak_every: int | None = None,
) -> MappedNetwork:
    """Map a network onto a chip of the DYNAP-CNN family.

    Args:
        network: Linear or Conv2d, BatchNorm, IAF (or a LIF with decay 1), average or sum pooling,
            with branches to at most two layers, sums, concatenated features and several outputs;
            Flatten, Dropout, Identity and a Scale by one factor may be anywhere. Poolings of the
            input, or a `DVS` layer there, are the camera's block. Call it outside of `jit`: the
            parameters must be known.
        device: Name of the device, `"name:index"`, or a `ChipSpec`.
        bias_bits: Width of the biases. 8 as sinabs; 16 as the chip, which keeps the resolution of
            the weights where biases are large.
        peer_lower_bound: The membrane's lower bound as sinabs treats it. Without a bound, -32768
            in real units takes part in the scale, and most weights become zero; a bound of 0 stays
            0, at which the chips misbehave. By default a missing bound is left out of the scale and
            a bound that rounds to 0 is written as -1.
        max_spikes: Spikes of a neuron in one time step, instead of what the network's neurons say.
            None: as many as there are thresholds in the membrane, which comes nearest to a chip
            that fires once for each incoming event.
        surrogate: Derivative of the spikes, in the chip's steps. Default: that of each layer of
            the network, scaled with the layer.
        dvs_input: True: the input is the event camera, so that there is a `DVS` block and its
            pixels are on. False: the pixels are off. None: as the network's `DVS` layer says.
        merge_factors: What becomes of the factors where averages over windows of different sizes
            are added up, which no chip can do exactly: None refuses; `"mean"` and `"harmonic"` are
            sinabs' `rescale_method_1` and `_2`, half of that mean of the factors.
        cores: `"auto"`, or the number of the core of each layer, by the names of the neurons.
        overflow: What a membrane above 32767 does, see `Core`.
        count_overflow: Count how often that happens, see `Core`.
        leak_every: Time steps from one addition of the bias to the next, see `Core`.

    Returns:
        The network as the chip computes it: a `Core` for all that one core does, `SumPool2d`,
        `Add` and `Concat` for what is done on the way (see `routes`), a `DVS` at most at the input.
        Layers are named after the neurons and the pools that they were made from, and have their
        shapes: outputs and probes compare directly.

    Raises:
        MappingError: With every reason at once, each with the layer, the value found, what the
            chip can do, and what to change.
        TypeError: It is called within `jit`, or with something else than a network.
        ValueError: The device is unknown, or an option is out of range.

    Example:
        >>> import jax, neurojax as nj
        >>> from neurojax.chips import dynapcnn
        >>> a, b = jax.random.split(jax.random.key(0))
        >>> net = nj.Sequential((1, 8, 8),
        ...     conv=nj.Conv2d(1, 4, 3, key=a), spikes=nj.IAF(v_min=-1.0), pool=nj.AvgPool2d(2),
        ...     flat=nj.Flatten(), out=nj.Linear(36, 10, key=b), digits=nj.IAF(v_min=-1.0))
        >>> mapped = dynapcnn.map(net, device="speck2fmodule")
        >>> mapped.network.names
        ('spikes', 'pool', 'digits')
        >>> mapped.network["digits"].weight.shape
        (10, 4, 3, 3)
    """
    network = mappable("dynapcnn.map", network)
    if merge_factors not in (None, "mean", "harmonic"):
        raise ValueError(f"merge_factors={merge_factors!r}; use 'mean', 'harmonic' or None")
    chip = spec(device)
    silicon = {"overflow": overflow, "count_overflow": count_overflow, "leak_every": leak_every}
    options = Options(bias_bits, peer_lower_bound, max_spikes, surrogate, merge_factors, silicon)
    problems: list[Problem] = []
    plan = read(network, chip, problems, dvs_input=dvs_input)
    check_wiring(plan, chip, problems)
    made = {block.name: _map_block(block, chip, options, problems) for block in plan.blocks}
    order = [name for name in _order(plan) if name in made]
    memories = {block.name: _memory(block) for block in plan.blocks}
    numbers = assign(order, [memories[name] for name in order], chip, cores, problems)
    if problems:
        raise MappingError(chip.name, problems)
    origins, layers = [], dict(plan.layers)
    for name, number in zip(order, numbers, strict=True):
        core = made[name]
        assert core is not None and number is not None  # else there was a problem
        origins.append(core[0]._replace(core=number))
        layers[name] = core[1]
    if origins:  # the camera alone has no core
        origins[-1] = origins[-1]._replace(notes=(*origins[-1].notes, *plan.notes))
    known = provenance_of(network.provenance, origins, plan.made_of, chip.name)
    wired = Network(
        cast(dict[str, Layer], layers),
        plan.edges,
        inputs=plan.inputs,
        outputs=plan.outputs,
        provenance=known,
    )
    return assemble(chip, wired, origins)


def _order(plan: Plan) -> list[str]:
    """Names as the mapped network will order them; cores are placed in this order."""
    placed = topological_order(list(plan.layers), plan.edges)
    return [*placed, *(block.name for block in plan.blocks if block.name not in placed)]


def _map_block(
    block: Block, chip: ChipSpec, options: Options, problems: list[Problem]
) -> tuple[Origin, Core] | None:
    """A block as a core, or None with at least one problem."""
    count = len(problems)
    problems.extend(check_weights(block, chip))
    notes: list[str] = []
    gain = gain_of(block, problems)
    rescale = resolve(block.rescale, options.merge_factors)
    if rescale is None:
        found = sorted({factor for some in block.rescale for factor in some})
        problems.append(
            Problem(
                block.weights_name,
                "a sum of averages over windows of different sizes: their factors are "
                + " and ".join(f"{factor:.6g}" for factor in found),
                "the chip adds up spikes, and one factor goes into the weights behind",
                "use equal poolings, or SumPool2d; merge_factors='mean' does what sinabs does",
            )
        )
        rescale = np.ones(len(block.rescale))
    weight, bias = core_weights(block, gain, rescale, notes)
    problems.extend(check_finite("weights", weight, block.weights_name))
    problems.extend(check_finite("bias", bias, block.weights_name))
    if block.neuron is None:
        return None
    problems.extend(check_neurons(block))
    threshold = scalar("threshold", block.neuron.threshold, block, problems)
    v_min = block.neuron.v_min
    if v_min is not None:
        v_min = scalar("v_min", v_min, block, problems)
    if threshold is not None and threshold <= 0:
        problems.append(
            Problem(block.name, f"threshold {threshold:g}", "thresholds are > 0", "raise it")
        )
    if v_min is not None and v_min > 0 and not options.peer_lower_bound:
        problems.append(
            Problem(
                block.name,
                f"v_min {v_min:g}",
                "the lower bound of the membrane is below 0, where it starts",
                "use a negative v_min, or None",
            )
        )
    if len(problems) > count or threshold is None:
        return None
    try:
        held = discretise(
            weight,
            threshold,
            v_min,
            bias=bias,
            bias_bits=options.bias_bits,
            peer_lower_bound=options.peer_lower_bound,
        )
    except ValueError as error:
        problems.append(Problem(block.name, "its numbers can't be scaled", str(error), "rescale"))
        return None
    held = _check_discretised(block, held, threshold, options, notes, problems)
    if len(problems) > count:
        return None
    vanished = int(np.sum((weight != 0) & (held.weight == 0)))
    origin = Origin(
        name=block.name,
        made_of=tuple(block.made_of),
        scale=held.scale,
        rescale=float(rescale.mean()),
        vanished=vanished,
        notes=tuple(notes),
    )
    return origin, _core(block, held, options)


def _check_discretised(
    block: Block,
    held: Discretised,
    threshold: float,
    options: Options,
    notes: list[str],
    problems: list[Problem],
) -> Discretised:
    """Refuses a threshold of zero; lowers a lower bound of zero."""
    if held.threshold < 1:
        problems.append(
            Problem(
                block.name,
                f"threshold {threshold:g} becomes {held.threshold} at the scale {held.scale:.4g} "
                "that its largest weight or bias allows",
                "a threshold is at least 1",
                f"raise the threshold to {1 / held.scale:.4g} or more, or shrink the weights",
            )
        )
    if held.v_min >= 0 and not options.peer_lower_bound:
        notes.append(
            f"the lower bound of '{block.name}' would be {held.v_min}, at which the chips "
            f"misbehave; it is {LAST_THRESHOLD_LOW}"
        )
        return held._replace(v_min=LAST_THRESHOLD_LOW)
    return held


def _core(block: Block, held: Discretised, options: Options) -> Core:
    neuron = block.neuron
    assert neuron is not None
    conv = block.weights if isinstance(block.weights, Conv2d) else None
    surrogate = options.surrogate or InSteps(neuron.surrogate, held.scale)
    return Core(
        jnp.asarray(held.weight),
        None if held.bias is None else jnp.asarray(held.bias),
        threshold=_like(neuron.threshold, held.threshold),
        v_min=_like(neuron.v_min, held.v_min),
        stride=1 if conv is None else conv.stride,
        padding=0 if conv is None else [before for before, _ in conv.padding],
        reset="subtract" if neuron.reset == "subtract" else "zero",
        max_spikes=neuron.max_spikes if options.max_spikes == "as trained" else options.max_spikes,
        detach_reset=neuron.detach_reset,
        bias_bits=options.bias_bits,
        surrogate=surrogate,
        flat=block.flat,
        **options.silicon,
    )


def _like(original: Any, value: int) -> Any:
    """A constant where the network had one, a parameter where it had a parameter."""
    return value if original is None or isinstance(original, Constant) else jnp.float32(value)


def _memory(block: Block) -> Memory:
    layer = block.weights
    shape = layer.weight.shape[:1] + block.in_shape if block.flat else layer.weight.shape
    has_bias = layer.bias is not None or block.norm is not None
    return memory_of(shape, block.neuron_shape, bias=has_bias)
