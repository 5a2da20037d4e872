"""What the mappings of several chips check in the same way."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from neurojax._arguments import check_network
from neurojax._graph import nearest
from neurojax._network import Network
from neurojax.chips._mapped import Problem
from neurojax.chips._unchain import unchained
from neurojax.layers.fold import fold_batch_norm


def mappable(who: str, network: Network) -> Network:
    """The network to be mapped, without chains of layers in one.

    Raises:
        TypeError: It is no network, or its parameters have no values, as within `jit`.
    """
    check_network(who, network)
    network = unchained(network)
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(network)):
        raise TypeError(
            f"{who} is called within jit, grad or vmap, where parameters have no values; map "
            "outside, and simulate, differentiate or vmap over mapped.network"
        )
    return network


def folded(network: Network, problems: list[Problem], *, legal: str, remedy: str) -> Network:
    """The network with its batch norms in the weights before them.

    Args:
        network: Any.
        problems: Gets one for each batch norm that can't be folded; the network then stays as it
            is, so that reading it finds what else is wrong.
        legal: What the chip makes of batch norm.
        remedy: What to change.
    """
    try:
        return fold_batch_norm(network)
    except ValueError as error:
        for line in str(error).splitlines():
            name, _, found = line.removeprefix("layer '").partition("': ")
            problems.append(Problem(name, found, legal, remedy))
        return network


def check_finite(what: str, values: np.ndarray | None, name: str) -> Iterator[Problem]:
    """A problem if any value is NaN or infinite."""
    bad = 0 if values is None else int(np.sum(~np.isfinite(values)))
    if values is not None and bad:
        yield Problem(
            name,
            f"{bad} of {values.size} values of the {what} are NaN or infinite",
            "parameters are finite numbers",
            "reload them, or lower the learning rate that made them",
        )


def check_scale(who: str, network: Network, scale: Any, *, example: int) -> None:
    """Raise ValueError unless `scale` is None, a number > 0, or such numbers by layer's name."""
    given = dict(scale) if isinstance(scale, Mapping) else {} if scale is None else {"": scale}
    for name, value in given.items():
        if name and name not in network:
            raise ValueError(f"{who}: scale of '{name}': {nearest(name, network.names)}")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value < math.inf:
            raise ValueError(
                f"{who}: scale is {value!r}; it must be a number > 0, such as {example}"
            )
