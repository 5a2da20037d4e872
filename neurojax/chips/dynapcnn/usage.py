"""What each core of a chip is used for, as plain data: for pictures and tables."""

from __future__ import annotations

from typing import Any

from neurojax.chips._mapped import MappedNetwork


def core_use(mapped: MappedNetwork) -> list[dict[str, Any]]:
    """One entry for each core of the chip, idle ones included; `plot.placement` draws it.

    Args:
        mapped: What `chips.dynapcnn.map` returned.

    Returns:
        Dicts with `core`, `layer` (None for an idle core), the words `kernel_used`,
        `kernel_available` and the same for `neuron` and `bias`, the `destinations` of the spikes
        (numbers of cores) and the sum `pooling` on the way to each.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips import dynapcnn
        >>> net = nj.Sequential((2, 8, 8), conv=nj.Conv2d.from_weights(jnp.ones((4, 2, 3, 3))),
        ...                     spikes=nj.IAF(v_min=-1.0))
        >>> first, *others = dynapcnn.core_use(dynapcnn.map(net))
        >>> first["layer"], first["neuron_used"], first["neuron_available"], len(others)
        ('spikes', 256, 65536, 8)
    """
    rows = mapped.report().rows
    targets = [row["core"] for row in rows[1:]]
    on_core = {}
    for i, row in enumerate(rows):
        on_core[row["core"]] = {
            "layer": row["layer"],
            **{f"{kind}_used": row[f"{kind}_words"] for kind in ("kernel", "neuron", "bias")},
            "destinations": tuple(targets[i : i + 1]),
            "pooling": row["pool"],
        }
    idle = {"layer": None, "destinations": (), "pooling": ()}
    return [
        {
            "core": number,
            **{f"{k}_available": getattr(core, f"{k}_words") for k in ("kernel", "neuron", "bias")},
            **on_core.get(number, {**idle, "kernel_used": 0, "neuron_used": 0, "bias_used": 0}),
        }
        for number, core in enumerate(mapped.chip.cores)
    ]
