"""Modules that other modules hold and call by themselves, such as the feedback of a population."""

from __future__ import annotations

from typing import Any

from neurojax._layer import Layer, Shape
from neurojax.converters._registry import convert, kind_of, nearest_kind
from neurojax.layers.chain import Chain
from neurojax.layers.shape import Identity


def nested(module: Any, in_shape: Shape, where: str) -> tuple[Layer, tuple[str, ...]]:
    """A module, or a `torch.nn.Sequential` of modules, as one layer.

    Args:
        module: The inner module.
        in_shape: Shape of its input, one sample at one step.
        where: What the outer module calls it, for messages and notes.

    Returns:
        The layer, and the notes of its conversion.

    Raises:
        ValueError: A module has no converter; the message says which and what is nearest.
    """
    layers: list[Layer] = []
    notes: list[str] = []
    for path, part in _parts(module, where):
        try:
            converted = convert(part, in_shape)
        except LookupError:
            near = nearest_kind(part)
            hint = f"; the nearest that is known is {near}" if near else ""
            raise ValueError(f"{path}: {kind_of(type(part))} has no converter{hint}") from None
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        notes += [f"{path}: {note}" for note in converted.notes]
        for layer in converted.layers.values():
            layers.append(layer)
            in_shape = layer.out_shape(in_shape)
    if len(layers) < 2:
        return (layers[0] if layers else Identity()), tuple(notes)
    kinds = [type(layer).__name__.lower() for layer in layers]
    numbers = [kinds[:n].count(kind) + 1 for n, kind in enumerate(kinds)]
    names = [f"{k}{n}" if kinds.count(k) > 1 else k for k, n in zip(kinds, numbers, strict=True)]
    return Chain(**dict(zip(names, layers, strict=True))), tuple(notes)


def _parts(module: Any, path: str) -> list[tuple[str, Any]]:
    if kind_of(type(module)) != "torch.Sequential":
        return [(path, module)]
    children = [(f"{path}.{name}", child) for name, child in module.named_children()]
    return [part for name, child in children for part in _parts(child, name)]
