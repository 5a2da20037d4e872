"""A network from a list of slayer blocks."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from neurojax._graph import Edge
from neurojax._layer import Layer, Shape
from neurojax._network import Network, Provenance
from neurojax.converters._registry import Converted, convert, converter_of, kind_of, nearest_kind


def from_blocks(
    blocks: Iterable[Any] | Mapping[str, Any], *, input_shape: Shape, name: str = "blocks"
) -> Network:
    """A network that computes what slayer blocks compute one after the other.

    lava-dl's networks keep their blocks in a `torch.nn.ModuleList` that `forward` goes through;
    this takes it as it is. slayer's inputs are `[batch, channels, ..., time]`; the network's are
    `[time, batch, channels, ...]`: `jnp.moveaxis(x, -1, 0)`, and `jnp.moveaxis(y, 0, -1)` back.

    Args:
        blocks: Blocks in order, or by name: modules of slayer, or what `dense` and its neighbours
            made. Modules of other libraries that are known may be among them, if they make no
            difference between axes.
        input_shape: Shape of the input, without time and batch.
        name: What the names of layers begin with: `blocks.0.neuron`.

    Raises:
        ValueError: Blocks are not known, or not supported; one message with all of them.

    Example:
        A model with `self.blocks = torch.nn.ModuleList([...])` of lava-dl:

            network = slayer.from_blocks(model.blocks, input_shape=(2, 34, 34))
            outputs = nj.simulate(network, jnp.moveaxis(events, -1, 0)).outputs
    """
    named = blocks.items() if hasattr(blocks, "items") else enumerate(blocks)
    layers: dict[str, Layer] = {}
    provenance: dict[str, Provenance] = {}
    problems: list[str] = []
    shape: Shape | None = tuple(input_shape)
    for key, block in named:
        path, made = f"{name}.{key}", isinstance(block, Mapping)
        source = "slayer" if made else kind_of(type(block))
        if not made and converter_of(block) is None:
            near = nearest_kind(block)
            problems.append(
                f"{path}: {source} is not known" + (f"; nearest: {near}" if near else "")
            )
            shape = None
        if shape is None:  # what comes in is not known any more
            continue
        try:
            converted = Converted(block) if made else convert(block, shape)
            for part, layer in converted.layers.items():
                label = f"{path}.{part}" if part else path
                layers[label], shape = layer, layer.out_shape(shape)
                provenance[label] = Provenance(source, path, converted.notes)
        except ValueError as error:
            problems.append(f"{path}: {error}")
            shape = None
    if problems or not layers:
        raise ValueError("\n".join(problems) or "from_blocks: there are no blocks")
    chain = ["input", *layers]
    return Network(
        layers,
        [Edge(a, b) for a, b in itertools.pairwise(chain)],
        inputs=tuple(input_shape),
        outputs=[chain[-1]],
        provenance=provenance,
    )
