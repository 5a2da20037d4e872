"""The scales of all layers as a text file, `<model>_activations_range.txt` of Qualia.

One line a layer with weights or neurons, in the order of the model, twelve fields with commas:

    name,input_bits,activation_bits,weights_bits,bias_bits,
    input_q,activation_q,weights_q,bias_q,input_round,activation_round,weights_round

`None` stands for what a layer does not have. The model's input takes the `input_` fields of the
first line. Layers that are not listed compute with the format of the layer before.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from neurojax._files import written_whole
from neurojax.chips._mapped import MappedNetwork
from neurojax.chips.mcu._code_layer import CodeLayer
from neurojax.chips.mcu.spec import ROUNDINGS, Format, Number


class LayerRange(NamedTuple):
    """A line of the file, without the name."""

    input_bits: int | None
    activation_bits: int | None
    weights_bits: int | None
    bias_bits: int | None
    input_q: int
    activation_q: int
    weights_q: int | None
    bias_q: int | None
    input_round: str
    activation_round: str
    weights_round: str

    def format(self, number: Number) -> Format:
        """The scales of the layer."""
        return Format(
            number,
            0 if self.weights_q is None else self.weights_q,
            self.bias_q,
            self.activation_q,
            self.weights_round,
            self.activation_round,
        )

    def widths(self) -> set[int]:
        """Every width that is given."""
        return {bits for bits in self[:4] if bits is not None}


NUMBERS = LayerRange._fields[:8]


def read_ranges(path: str | Path) -> dict[str, LayerRange]:
    """Read the scales of a model's layers.

    Args:
        path: A file as above.

    Returns:
        By layer, in the order of the file.

    Raises:
        ValueError: A line is not as it should be; all of them are listed.
    """
    ranges: dict[str, LayerRange] = {}
    problems = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        name, *fields = (field.strip() for field in line.split(","))
        try:
            if name in ranges:
                raise ValueError(f"layer '{name}' has a line already")
            ranges[name] = _parsed(fields)
        except ValueError as error:
            problems.append(f"line {number}: {error}")
    if not ranges and not problems:
        problems.append("no line; one is needed for each layer with weights or neurons")
    if problems:
        raise ValueError("\n".join(f"{path}: {problem}" for problem in problems))
    return ranges


def _parsed(fields: list[str]) -> LayerRange:
    if len(fields) != len(LayerRange._fields):
        raise ValueError(f"{len(fields) + 1} fields; they are name,{','.join(LayerRange._fields)}")
    values: dict[str, int | str | None] = {}
    for key, text in zip(LayerRange._fields, fields, strict=True):
        if key in NUMBERS:
            try:
                values[key] = None if text == "None" else int(text)
            except ValueError:
                raise ValueError(f"{key} is '{text}'; it must be an integer or None") from None
        else:
            values[key] = "floor" if text == "None" else text
            if values[key] not in ROUNDINGS:
                raise ValueError(f"{key} is '{text}'; it must be {' or '.join(ROUNDINGS)} or None")
    for key in ("input_q", "activation_q"):
        if values[key] is None:
            raise ValueError(f"{key} is None; it must be an integer")
    return LayerRange(**values)  # type: ignore[arg-type]


def ranges_of(mapped: MappedNetwork) -> dict[str, LayerRange]:
    """The scales of a mapped network's layers, as a file of them would be read.

    Raises:
        ValueError: Its numbers are floats, which have no scales.
    """
    network = mapped.network
    found: dict[str, LayerRange] = {}
    for name in network.names:
        layer = network[name]
        if not isinstance(layer, CodeLayer) or name == "quantise":
            continue
        form = layer.format
        if form.number.real:
            raise ValueError("mcu.ranges_of: floats have no scales; map with int16 or int8")
        qs = getattr(layer, "input_qs", None) or (getattr(layer, "input_q", 0),)
        held = layer.parametric
        before = network["quantise"].format if not found else form  # type: ignore[attr-defined]
        bits = form.number.bits
        biased = getattr(layer, "bias", None) is not None
        found[name] = LayerRange(
            bits,
            bits,
            bits if held else None,
            bits if biased else None,
            qs[0],
            form.output_q,
            form.weights_q if held else None,
            form.bias_q,
            before.output_round,
            form.output_round,
            form.weights_round,
        )
    return found


def write_ranges(path: str | Path, ranges: MappedNetwork | Mapping[str, LayerRange]) -> None:
    """Write the scales of a model's layers; `read_ranges` returns them.

    Args:
        path: The file, by custom `<model>_activations_range.txt`.
        ranges: By layer, or a mapped network, whose are written.
    """
    lines = ranges_of(ranges) if isinstance(ranges, MappedNetwork) else ranges
    text = "".join(f"{name},{','.join(map(str, line))}\n" for name, line in lines.items())
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")
