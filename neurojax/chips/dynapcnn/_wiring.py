"""Can the chip send the spikes where they go? The rules of destinations, one problem each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import equinox as eqx

from neurojax._layer import Layer, Shape
from neurojax._network import Network
from neurojax.chips._mapped import Problem
from neurojax.chips.dynapcnn._blocks import Block
from neurojax.chips.dynapcnn._plan import Plan
from neurojax.chips.dynapcnn.routes import Route, find_routes
from neurojax.chips.dynapcnn.spec import ChipSpec
from neurojax.layers import SumPool2d


class Stand(Layer):
    """A core whose numbers don't matter."""

    shape: Shape = eqx.field(static=True)

    def out_shape(self, in_shape: Shape) -> Shape:
        return self.shape


def check_wiring(plan: Plan, chip: ChipSpec, problems: list[Problem]) -> None:
    """Problems with the ways between cores, as far as other problems let them be seen."""
    layers = {name: _stand(layer) for name, layer in plan.layers.items()}
    try:
        network = Network(layers, plan.edges, inputs=plan.inputs, outputs=plan.outputs)
        ways = find_routes(network, Stand)
    except ValueError:
        if problems:  # shapes don't fit, because of one of them
            return
        raise
    problems += _check(ways, network, chip)


def _stand(layer: Layer | Block) -> Layer:
    if not isinstance(layer, Block):
        return layer
    return Stand(layer.neuron_shape[:1] if layer.flat else layer.neuron_shape)


def _check(ways: tuple[Route, ...], network: Network, chip: ChipSpec) -> Iterator[Problem]:
    targets: dict[str, list[str]] = {}
    for way in ways:
        if way.target is not None:
            merged = f" through {way.merge}" if way.merge else ""
            targets.setdefault(way.source, []).append(way.target + merged)
    for source, names in targets.items():
        # The host can send an event to as many cores as it likes.
        if source not in network.inputs and len(names) > chip.destinations:
            yield Problem(
                source,
                f"its spikes go to {len(names)} layers ({', '.join(names)})",
                f"a core has {chip.destinations} destinations",
                "branch further down, or compute it twice, on two cores",
            )
    for way in ways:
        core = isinstance(network[way.source], Stand) if way.source in network else False
        if not core and way.pool > 1:
            yield Problem(
                way.via[-1],
                f"it pools the input behind '{way.merge}'",
                "the input is pooled before it goes to a core, for all of them alike",
                "pool the input and the spikes before they merge",
            )
        elif (
            way.target is not None
            and way.pool not in chip.poolings
            and _sizes(way, network) <= set(chip.poolings)
        ):
            yield Problem(
                ", ".join(way.via),
                f"pooling over {way.pool}x{way.pool} in all, from '{way.source}' to '{way.target}'",
                f"a destination pools over at most {max(chip.poolings)}x{max(chip.poolings)}",
                "pool less, or use a stride in the convolution",
            )
        if not core and way.source in network and way.feature_shift and way.target is not None:
            yield Problem(
                way.merge or way.target,
                "the camera's events come after other features",
                "only the spikes of cores can be shifted to other features",
                "let the input come first in the concatenation",
            )


def _sizes(way: Route, network: Network) -> set[int]:
    """Sizes of the single pools on a way: what is wrong with one of them has been said."""
    pools = [network[name] for name in way.via if isinstance(network[name], SumPool2d)]
    return {size for pool in pools for size in cast(SumPool2d, pool).kernel_size}
