"""The read-out block: which of at most 15 classes spikes most, for a microcontroller behind.

The block counts the spikes of the core that feeds it over the ticks of the slow clock, and shows
the index of the most active class, 1 to 15, on four pins; 0 stands for none. On Speck 2e and 2f a
fault of the silicon spreads the classes: feature 4 (n - 1) of the core arrives as class n. So a
core that feeds the block there has three idle features between two classes.

References:
    SynSense, "Speck Dev Kit Datasheet", 3.2.5; sinabs documentation, "Chip Errata";
    sinabs 3.1.3, `sinabs.backend.dynapcnn.utils.extend_readout_layer`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from neurojax._layer import Layer
from neurojax._network import Network
from neurojax.chips.dynapcnn.dynamics import Core
from neurojax.chips.dynapcnn.spec import ChipSpec
from neurojax.layers import Conv2d, Linear

CLASSES = 15
"""Classes that the block tells apart, besides none."""

SPREAD = 4
"""Features from one class to the next on Speck 2e and 2f."""

_WEIGHTS = (Linear, Conv2d, Core)


def readout_spread(chip: ChipSpec) -> int:
    """Features from one class to the next: 4 on Speck 2e and 2f, else 1."""
    return SPREAD if chip.vendor_module in ("samna.speck2e", "samna.speck2f") else 1


def extend_readout_layer(network: Network, *, output: str | None = None) -> Network:
    """Three idle features between two classes, as the read-out block of Speck 2e and 2f needs.

    Feature i of the last weights becomes feature 4 i of (f - 1) 4 + 1; weights and biases of the
    features between are zero. Works before mapping and on a mapped network.

    Args:
        network: A network that ends in Linear, Conv2d or a core, with neurons, norms and pools
            behind.
        output: Name of the output, if there are several.

    Returns:
        The network with the wider end.

    Raises:
        ValueError: No such output, more than 15 classes, or no weights on the way to it.

    Example:
        >>> import jax, neurojax as nj
        >>> from neurojax.chips import dynapcnn
        >>> net = nj.Sequential((4,), out=nj.Linear(4, 3, key=jax.random.key(0)), digits=nj.IAF())
        >>> dynapcnn.extend_readout_layer(net).out_shape("digits")
        (9,)
    """
    if output is None:
        if len(network.outputs) != 1:
            raise ValueError(
                f"extend_readout_layer: the network has outputs {', '.join(network.outputs)}; "
                "say which one with `output`"
            )
        (output,) = network.outputs
    elif output not in network.outputs:
        raise ValueError(
            f"extend_readout_layer: '{output}' is no output; outputs: {', '.join(network.outputs)}"
        )
    behind, name = [], output
    while not isinstance(network[name], _WEIGHTS):
        behind.append(name)
        sources = [edge.source for edge in network.incoming(name)]
        if len(sources) != 1 or sources[0] not in network:
            raise ValueError(
                f"extend_readout_layer: no Linear, Conv2d or core leads to '{output}' without a "
                f"merge (looked back to '{name}')"
            )
        (name,) = sources
    last = network[name]
    assert isinstance(last, _WEIGHTS)
    features = last.weight.shape[0]
    if features > CLASSES:
        raise ValueError(
            f"extend_readout_layer: layer '{name}' has {features} features; the read-out block "
            f"tells {CLASSES} classes apart"
        )
    bias = None if last.bias is None else _spread(last.bias)
    wider: dict[str, Layer] = {
        name: dataclasses.replace(last, weight=_spread(last.weight), bias=bias)
        if isinstance(last, Core)
        else eqx.tree_at(
            lambda layer: (layer.weight, layer.bias),
            last,
            (_spread(last.weight), bias),
            is_leaf=lambda x: x is None,
        )
    }
    for other in behind:  # parameters of each feature: the idle ones take those of their class
        wider[other] = jax.tree.map(lambda leaf: _repeat(leaf, features), network[other])
    return network.replace(**wider)


def _spread(values: Array) -> Array:
    """Row i in row 4 i, zeros between."""
    features = values.shape[0]
    wide = jnp.zeros(((features - 1) * SPREAD + 1, *values.shape[1:]), values.dtype)
    return wide.at[::SPREAD].set(values)


def _repeat(leaf: Any, features: int) -> Any:
    if not eqx.is_array(leaf) or leaf.ndim == 0 or leaf.shape[0] != features:
        return leaf
    return jnp.repeat(leaf, SPREAD, 0)[: (features - 1) * SPREAD + 1]


def classes_of_features(features: Any, *, spread: int = SPREAD) -> Int[np.ndarray, " n"]:
    """Class of each spike of the core that feeds the block, from 0; -1 for an idle feature.

    Args:
        features: Features of events of that core, as its monitor shows them.
        spread: `readout_spread(chip)`.

    Example:
        >>> from neurojax.chips.dynapcnn import classes_of_features
        >>> classes_of_features([0, 4, 5, 36]).tolist()
        [0, 1, -1, 9]
    """
    features = np.asarray(features, np.int64)
    return np.where(features % spread == 0, features // spread, -1)


def classes_of_readout(values: Any) -> Int[np.ndarray, " n"]:
    """Class of each event of the read-out block, from 0; -1 for none.

    Args:
        values: `index` of the vendor's `ReadoutPinValue` events, or `value` of its `ReadoutValue`
            events, whose bits 16 to 19 hold the index. An index alone is less than 16.

    Example:
        >>> from neurojax.chips.dynapcnn import classes_of_readout
        >>> classes_of_readout([0, 1, 10, (1 << 20) | (3 << 16) | 8]).tolist()
        [-1, 0, 9, 2]
    """
    values = np.asarray(values, np.int64)
    return np.where(values > CLASSES, (values >> 16) & 0xF, values) - 1
