"""What each core of a chip is used for, as plain data: for pictures and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from neurojax.chips._mapped import MappedNetwork
from neurojax.chips.dynapcnn.memory import Memory, core_memory
from neurojax.chips.dynapcnn.routes import Route, routes


def core_use(mapped: MappedNetwork) -> list[dict[str, Any]]:
    """One entry for each core of the chip, idle ones included; `plot.placement` draws it.

    Args:
        mapped: What `chips.dynapcnn.map` returned.

    Returns:
        Dicts with `core`, `layer` (None for an idle core), the words `kernel_used`,
        `kernel_available` and the same for `neuron` and `bias`, the `destinations` of the spikes
        (numbers of cores) and the sum `pooling` on the way to each, the `inputs` of the network
        that feed the core, and for each of its `outputs` the pooling on the way there.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips import dynapcnn
        >>> net = nj.Sequential((2, 8, 8), conv=nj.Conv2d.from_weights(jnp.ones((4, 2, 3, 3))),
        ...                     spikes=nj.IAF(v_min=-1.0))
        >>> first, *others = dynapcnn.core_use(dynapcnn.map(net))
        >>> first["layer"], first["neuron_used"], first["neuron_available"], len(others)
        ('spikes', 256, 65536, 8)
    """
    core_of = {origin.name: origin.core for origin in mapped.origins}
    layer_on = {core: name for name, core in core_of.items()}
    ways = routes(mapped.network)
    return [
        _use(mapped, number, layer_on.get(number), core_of, ways)
        for number in range(len(mapped.chip.cores))
    ]


def _use(
    mapped: MappedNetwork,
    number: int,
    layer: str | None,
    core_of: Mapping[str, int],
    ways: Sequence[Route],
) -> dict[str, Any]:
    """The entry of one core."""
    room = mapped.chip.cores[number]
    used = Memory(0, 0, 0) if layer is None else core_memory(mapped.network, layer)
    own = [way for way in ways if way.source == layer]
    sent = [way for way in own if way.target is not None]
    ends = [way for way in own if way.target is None]
    fed = [way for way in ways if way.target == layer and way.source not in core_of]
    return {
        "core": number,
        "layer": layer,
        **{f"{kind}_used": getattr(used, kind) for kind in Memory._fields},
        **{f"{kind}_available": getattr(room, f"{kind}_words") for kind in Memory._fields},
        "destinations": tuple(core_of[cast(str, way.target)] for way in sent),
        "pooling": tuple(way.pool for way in (sent or ends)),
        "inputs": tuple(way.source for way in fed) if layer is not None else (),
        "outputs": tuple(way.pool for way in ends),
    }
