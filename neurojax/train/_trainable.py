"""Which arrays of a network gradients may change."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import equinox as eqx
import jax

from neurojax._graph import nearest
from neurojax._layer import Layer
from neurojax._network import Network

Trainable = Iterable[str] | Callable[[str], bool] | None


def trainable_mask(network: Network, trainable: Trainable = None) -> Network:
    """A network of True and False: which of its leaves an optimiser changes.

    Args:
        network: The network.
        trainable: None: every floating-point array except the `buffers` of its layers. Names of
            layers or of their fields (`["hidden", "out.weight"]`): only these. A function of a
            field's path (`lambda path: path.endswith("weight")`): those it returns True for.
            Buffers are never trained.

    Raises:
        ValueError: Unknown names, or nothing to train.
    """
    paths = {path for path, _ in parameters(network)}
    if trainable is None:
        chosen = paths
    elif callable(trainable):
        chosen = {path for path in paths if trainable(path)}
    else:
        names = [trainable] if isinstance(trainable, str) else list(trainable)
        known = [*network.names, *sorted(paths)]
        within = {
            name: {p for p in paths if p == name or p.startswith(f"{name}.")} for name in names
        }
        empty = [name for name, found in within.items() if not found]
        if empty:
            raise ValueError(
                "\n".join(f"trainable: '{n}' has no parameters; {nearest(n, known)}" for n in empty)
            )
        chosen = set().union(*within.values())
    if not chosen:
        raise ValueError(
            "there is nothing to train: the network has no floating-point arrays"
            if not paths
            else "there is nothing to train: `trainable` chooses none of "
            + ", ".join(sorted(paths))
        )
    mask = jax.tree.map(lambda _: False, network)
    layers = {
        name: jax.tree_util.tree_map_with_path(
            lambda path, leaf, name=name: (
                eqx.is_inexact_array(leaf) and field_name(name, path) in chosen
            ),
            network.layers[name],
        )
        for name in network.layers
    }
    return eqx.tree_at(lambda net: net.layers, mask, layers)


def parameters(network: Network) -> list[tuple[str, Any]]:
    """`("layer.field", array)` of everything that may be trained."""
    found = []
    for name in network.names:
        layer = network.layers[name]
        for path, leaf in jax.tree_util.tree_leaves_with_path(layer):
            if eqx.is_inexact_array(leaf) and not _is_buffer(layer, path):
                found.append((field_name(name, path), leaf))
    return found


def field_name(layer: str, path: tuple[Any, ...]) -> str:
    """How people write a leaf of a layer: `"hidden.weight"`, `"block.parts[0].bias"`."""
    return f"{layer}{jax.tree_util.keystr(path)}"


def _is_buffer(node: Any, path: tuple[Any, ...]) -> bool:
    """True if the path goes through a field that its layer declares as a buffer."""
    for entry in path:
        if isinstance(entry, jax.tree_util.GetAttrKey):
            if isinstance(node, Layer) and entry.name in node.buffers:
                return True
            node = getattr(node, entry.name)
        elif isinstance(entry, jax.tree_util.SequenceKey):
            node = node[entry.idx]
        elif isinstance(entry, jax.tree_util.DictKey):
            node = node[entry.key]
        else:  # a custom pytree: its children have no names to walk along
            return False
    return False
