"""The layers of a network one after the other, if it is a chain."""

from __future__ import annotations

from neurojax._network import Network
from neurojax.chips._mapped import Problem


def order_of(network: Network, problems: list[Problem]) -> list[str]:
    """Names from input to output; problems for everything that makes it no chain."""
    count = len(problems)
    if len(network.inputs) > 1:
        names = ", ".join(f"'{name}'" for name in network.inputs)
        problems.append(
            Problem(
                "network",
                f"it has {len(network.inputs)} inputs ({names})",
                "a chain with one input can be mapped so far",
                "concatenate the inputs along the features before they enter the network",
            )
        )
    for edge in network.edges:
        if edge.recurrent:
            problems.append(
                Problem(
                    edge.target,
                    f"it receives the recurrent edge {edge}",
                    "loops may dead-lock the chip and are not routed",
                    "remove the edge, or unroll it into layers",
                )
            )
    for name in [*network.inputs, *network.names]:
        targets = [edge.target for edge in network.outgoing(name) if not edge.recurrent]
        if len(targets) > 1:
            problems.append(
                Problem(
                    name if name in network else "network",
                    f"'{name}' feeds {len(targets)} layers ({', '.join(targets)})",
                    "branches are not routed yet; a chain can be mapped (the chip itself can "
                    "send a core's spikes to two cores)",
                    "make the network a chain",
                )
            )
    for name in network.names:
        sources = [edge.source for edge in network.incoming(name) if not edge.recurrent]
        if len(sources) > 1:
            problems.append(
                Problem(
                    name,
                    f"it has {len(sources)} inputs ({', '.join(sources)})",
                    "merges are not routed yet; a chain can be mapped",
                    "make the network a chain",
                )
            )
    last = network.names[-1]
    if network.outputs != (last,):
        outputs = ", ".join(f"'{name}'" for name in network.outputs)
        problems.append(
            Problem(
                "network",
                f"its outputs are {outputs}",
                f"only the end of the chain, '{last}', can be the output so far",
                "read other layers with probes, or with the monitor of their cores",
            )
        )
    return [] if len(problems) > count else list(network.names)
