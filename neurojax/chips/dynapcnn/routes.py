"""The wiring of a mapped network: which core's spikes go where, with which pooling.

What a mapped network holds between its cores is no computation of the chip but routing: a pooling
is an option of a destination, a sum is two sources with one destination, a concatenation is a shift
of the feature in an event's address. All of it is read off the network here, by whoever needs it,
and stored nowhere else.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from neurojax._layer import Layer
from neurojax._network import Network
from neurojax.chips.dynapcnn.dvs import DVS
from neurojax.chips.dynapcnn.dynamics import Core
from neurojax.layers import Add, Concat, Flatten, SumPool2d


class Route(NamedTuple):
    """The way of the spikes of one core, or of the input, to one destination.

    Attributes:
        source: Name of a core, of the DVS block, or of the network's input.
        target: Name of a core, or None where the way ends in an output of the network.
        pool: Size of the sum pooling on the way.
        via: Names of the layers on the way, in order.
        feature_shift: What is added to an event's feature: the place in a concatenation.
        merge: The last `Add` or `Concat` on the way.
        output: Name of the output, where `target` is None.
    """

    source: str
    target: str | None
    pool: int = 1
    via: tuple[str, ...] = ()
    feature_shift: int = 0
    merge: str | None = None
    output: str | None = None


def cores_of(network: Network) -> tuple[str, ...]:
    """Names of the cores of a mapped network, sources before their destinations."""
    return tuple(name for name in network.names if isinstance(network[name], Core))


def dvs_of(network: Network) -> str | None:
    """Name of the DVS block of a mapped network, or None."""
    return next((name for name in network.names if isinstance(network[name], DVS)), None)


def routes(network: Network) -> tuple[Route, ...]:
    """All ways between cores, from the inputs, and to the outputs.

    Args:
        network: The network of a `MappedNetwork`.

    Returns:
        The routes in the order of their sources (inputs first, then as the network runs them), of
        one source in the order of the edges. An output that also feeds layers has its own route,
        before the others.

    Raises:
        ValueError: A layer that is no part of a mapped network.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips import dynapcnn
        >>> net = nj.Sequential((2, 8, 8), conv=nj.Conv2d.from_weights(jnp.ones((4, 2, 3, 3))),
        ...                     spikes=nj.IAF(v_min=-1.0), pool=nj.SumPool2d(2))
        >>> for route in dynapcnn.routes(dynapcnn.map(net).network):
        ...     print(route.source, route.target, route.pool)
        input spikes 1
        spikes None 2
    """
    return find_routes(network, Core)


def find_routes(network: Network, core: type[Layer]) -> tuple[Route, ...]:
    """The routes of a network whose cores are of some class."""
    sources = [name for name in network.inputs if not _only_camera(network, name)]
    sources += [name for name in network.names if isinstance(network[name], core | DVS)]
    ways = (_onwards(network, core, name, Route(name, None)) for name in sources)
    return tuple(itertools.chain.from_iterable(ways))


def _only_camera(network: Network, name: str) -> bool:
    targets = [edge.target for edge in network.outgoing(name)]
    return bool(targets) and all(isinstance(network[target], DVS) for target in targets)


def _onwards(network: Network, core: type[Layer], name: str, way: Route) -> Iterator[Route]:
    """All ways on from a layer, of which `way` tells how it was reached."""
    if name in network.outputs:
        yield way._replace(output=name)
    for edge in network.outgoing(name):
        target = network[edge.target]
        if isinstance(target, core):
            yield way._replace(target=edge.target)
        elif not isinstance(target, DVS):
            through = _through(network, name, edge.target, way)
            yield from _onwards(network, core, edge.target, through)


def _through(network: Network, source: str, name: str, way: Route) -> Route:
    """The way after one more layer."""
    layer = network[name]
    way = way._replace(via=(*way.via, name))
    if isinstance(layer, SumPool2d):
        height, width = layer.kernel_size
        if height != width:
            raise ValueError(
                f"layer '{name}': pooling {height}x{width} between cores; it is square"
            )
        return way._replace(pool=way.pool * height)
    if isinstance(layer, Add):
        return way._replace(merge=name)
    if isinstance(layer, Concat):
        if layer.axis % len(network.out_shape(name)):
            raise ValueError(
                f"layer '{name}': it concatenates along axis {layer.axis}; a core shifts features"
            )
        names = [edge.source for edge in network.incoming(name)]
        before = names[: names.index(source)]
        shift = sum(network.out_shape(other)[0] for other in before)
        return way._replace(merge=name, feature_shift=way.feature_shift + shift)
    if isinstance(layer, Flatten):
        return way
    raise ValueError(
        f"layer '{name}': a {type(layer).__name__} is no part of a mapped network; "
        "use the network that chips.dynapcnn.map returns"
    )
