"""From a network of real numbers to the arithmetic of generated C code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from neurojax._arguments import check_inputs
from neurojax._graph import Edge
from neurojax._layer import Layer
from neurojax._network import Network, Provenance
from neurojax.chips._checks import mappable
from neurojax.chips._mapped import MappedNetwork, MappingError, Problem
from neurojax.chips.mcu import _scales
from neurojax.chips.mcu._code_layer import CodeLayer
from neurojax.chips.mcu._parts import Plan
from neurojax.chips.mcu._reading import QUANTISE, read
from neurojax.chips.mcu.merge import Quantise
from neurojax.chips.mcu.ranges import LayerRange, read_ranges
from neurojax.chips.mcu.report import Origin, explain
from neurojax.chips.mcu.spec import COMPATS, ROUNDINGS, Format, Number, Spec, number_of


def map(
    network: Network,
    *,
    quantize: str = "int16",
    long_width: int | None = None,
    calibration: Any = None,
    ranges: Mapping[str, LayerRange] | str | Path | None = None,
    rounding: str = "floor",
    fold_batch_norm: bool = True,
    compat: str | None = None,
) -> MappedNetwork:
    """Map a network onto a microcontroller: the arithmetic of the C code that will run there.

    Args:
        network: Linear, convolutions, pools, sums, batch norm, ReLU, IAF and LIF, without feedback,
            one input and one output. Call it outside of `jit`.
        quantize: `"float32"`, or fixed point: `"int16"` (sums of 32 bits) or `"int8"` (16 bits).
        long_width: Other width of the sums, 8, 16 or 32 bits.
        calibration: Inputs `[time, batch, *in_shape]` that are typical: each layer gets the finest
            scale that holds its values on them. Not needed for floats.
        ranges: Instead: the scales, by layer or as a file of Qualia (`read_ranges`).
        rounding: `"floor"`, or `"nearest"` with halves going up; what calibrated layers do.
        fold_batch_norm: Batch norms go into the weights before them, where all can. Else they stay.
        compat: `"qualia"`: neurons start at 0 and leak as in Qualia's code, and calibration is its
            rule alone, without care for sums that wrap.

    Returns:
        The network in integers. Its first layer, `"quantise"`, makes integers of real inputs; the
        others have the names of the layers that they were made from, and their shapes. The output
        is an integer; divided by 2^q it is a real number, see `values`.

    Raises:
        MappingError: With every reason at once, each with the layer, the value found, what the
            code can do, and what to change.
        TypeError: It is called within `jit`, or with something else than a network.
        ValueError: An option is out of range, or there is nothing to take scales from.

    References:
        P.-E. Novac et al., "Quantization and deployment of deep neural networks on
        microcontrollers", Sensors 21(9), 2021 (Qualia's number format and code).

    Example:
        >>> import jax, jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips import mcu
        >>> net = nj.Sequential((2,), fc=nj.Linear.from_weights(jnp.array([[0.5, -0.25]])),
        ...                     spikes=nj.LIF(tau=2.0, method="euler"))
        >>> mapped = mcu.map(net, quantize="int8", calibration=jnp.ones((10, 1, 2)))
        >>> mapped.network.names, mapped.network["fc"].integers().weight.tolist()
        (('quantise', 'fc', 'spikes'), [[64, -32]])
    """
    network = mappable("mcu.map", network)
    number = number_of(quantize, long_width)
    if rounding not in ROUNDINGS:
        raise ValueError(f"mcu.map: rounding is {rounding!r}; use one of {', '.join(ROUNDINGS)}")
    if compat not in COMPATS:
        raise ValueError(f"mcu.map: compat is {compat!r}; use None or 'qualia'")
    if not number.real and (calibration is None) == (ranges is None):
        raise ValueError(
            f"mcu.map: {quantize} needs scales; give "
            + ("either " if ranges is not None else "")
            + "calibration (typical inputs) or ranges (a file of Qualia, or scales by layer)"
            + (", not both" if ranges is not None else "")
        )
    chip = Spec(number, compat)
    problems: list[Problem] = []
    plan = read(network, problems, fold=fold_batch_norm, compat=compat)
    if problems:
        raise MappingError(chip.name, problems)
    scales = _choose(network, plan, number, calibration, ranges, rounding, compat, problems)
    mapped = _assemble(network, plan, scales, problems)
    if problems or mapped is None:
        raise MappingError(chip.name, problems)
    return MappedNetwork(mapped, chip, _origins(plan), explain)


def values(
    mapped: MappedNetwork, outputs: Float[Array, "*shape"], layer: str | None = None
) -> Float[Array, "*shape"]:
    """Real numbers that a layer's integers stand for: integers / 2^q.

    Args:
        mapped: What `map` returned.
        outputs: Integers, such as the outputs of a run.
        layer: Name of the layer that they are from; default: the output.
    """
    network = mapped.network
    name = network.outputs[0] if layer is None else layer
    while not isinstance(network[name], CodeLayer):
        name = network.incoming(name)[0].source
    form = network[name].format  # type: ignore[attr-defined]
    return outputs if form.number.real else outputs * 2.0**-form.output_q


def _choose(
    network: Network,
    plan: Plan,
    number: Number,
    calibration: Any,
    ranges: Mapping[str, LayerRange] | str | Path | None,
    rounding: str,
    compat: str | None,
    problems: list[Problem],
) -> _scales.Scales:
    if number.real:
        return _scales.same(plan, Format(number))
    if ranges is not None:
        lines = ranges if isinstance(ranges, Mapping) else read_ranges(ranges)
        other = [name for name, line in lines.items() if not isinstance(line, LayerRange)]
        if other:
            raise TypeError(
                f"mcu.map: ranges of layer '{other[0]}' are a {type(lines[other[0]]).__name__}; "
                "they must be a LayerRange, see read_ranges"
            )
        return _scales.listed(plan, lines, number, problems)
    inputs = check_inputs(network, _as_floats(calibration))[plan.input]
    in_shape = network.inputs[plan.input]
    plain = compat == "qualia"
    return _scales.calibrated(plan, in_shape, inputs, number, rounding, plain=plain)


def _as_floats(calibration: Any) -> Any:
    """Inputs in single precision, whatever they were."""
    if isinstance(calibration, Mapping):
        return {name: _as_floats(values) for name, values in calibration.items()}
    try:
        return np.asarray(calibration, np.float32)
    except (TypeError, ValueError):
        raise TypeError(
            f"mcu.map: calibration is a {type(calibration).__name__}; it must be one array "
            "[time, batch, *shape] of typical inputs"
        ) from None


def _assemble(
    network: Network, plan: Plan, scales: _scales.Scales, problems: list[Problem]
) -> Network | None:
    """The layers with their formats; what can't be made is a problem."""
    layers: dict[str, Layer] = {QUANTISE: Quantise(format=scales.input)}
    edges = [Edge(plan.input, QUANTISE)]
    for name, part in plan.parts.items():
        formats = [scales.parts.get(source, scales.input) for source in part.sources]
        try:
            layers[name] = part.make(
                scales.parts[name], tuple(form.output_q for form in formats), part.activation
            )
        except ValueError as error:
            legal = f"that is no scale for sums of {formats[0].number.long_bits} bits"
            remedy = "use wider numbers (quantize, long_width), or give ranges with other scales"
            problems.append(Problem(name, str(error), legal, remedy))
        sources = (QUANTISE if source == plan.input else source for source in part.sources)
        edges += [Edge(source, name) for source in sources]
    if problems:
        return None
    provenance = {
        name: Provenance(known.source, known.name, (*known.notes, "mapped onto C code"))
        for name, known in network.provenance.items()
        if name in layers
    }
    return Network(
        layers, edges, inputs=network.inputs, outputs=[plan.output], provenance=provenance
    )


def _origins(plan: Plan) -> tuple[Origin, ...]:
    """How the layers came about, the input first, which also holds what is about all of them."""
    first = Origin(QUANTISE, (), tuple(plan.notes))
    return (
        first,
        *(Origin(p.name, tuple(p.made_of), tuple(p.notes)) for p in plan.parts.values()),
    )
