"""A network of cores as a mapped network: for `map`, and for files that hold the same."""

from __future__ import annotations

from collections.abc import Iterable

from neurojax._network import Network
from neurojax.chips._mapped import MappedNetwork
from neurojax.chips.dynapcnn._origin import Origin
from neurojax.chips.dynapcnn._report import explain
from neurojax.chips.dynapcnn.routes import cores_of
from neurojax.chips.dynapcnn.spec import ChipSpec


def assemble(chip: ChipSpec, network: Network, origins: Iterable[Origin]) -> MappedNetwork:
    """A network of cores, with what is known of them, as a mapped network.

    Args:
        chip: The device.
        network: `Core` layers and what may be between them; see `routes`.
        origins: How each core came about, in any order. They are held in the order of the network.

    Raises:
        ValueError: A core without an origin, or an origin without a core.
    """
    by_name = {origin.name: origin for origin in origins}
    names = cores_of(network)
    if set(names) != set(by_name):
        odd = ", ".join(f"'{name}'" for name in sorted(set(names) ^ set(by_name)))
        raise ValueError(f"cores and origins differ: {odd}; give one origin for each core")
    return MappedNetwork(network, chip, tuple(by_name[name] for name in names), explain)
