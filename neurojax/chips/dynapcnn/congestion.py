"""How much a core has to do: synaptic operations a second, against the limit that it can take.

A core takes its events one by one, and each costs the neurons that it reaches. Events that come
faster than a core works wait, and with them the whole chip. How many operations a second that takes
has not been published, so the limit is yours to give: what you have seen your chip bear.

Of N events a second, each into C_out features through a kernel of kx x ky with strides sx, sy:

    operations a second = N C_out kx ky / (sx sy)

which is the mean over events that are not near a border, where they reach fewer. A run in time
steps knows counts only and is estimated so; a run of events counts exactly.

References:
    SynSense, sinabs documentation, "FAQ: how to estimate the bandwidth of the chip".
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from jaxtyping import ArrayLike, Num

from neurojax._graph import nearest
from neurojax._network import Network
from neurojax._probe import Probe
from neurojax._simulate import Run
from neurojax.chips._mapped import MappedNetwork
from neurojax.chips.dynapcnn.dynamics import Core
from neurojax.chips.dynapcnn.event_driven import EventRun
from neurojax.chips.dynapcnn.routes import cores_of, routes


def synops_probes(mapped: MappedNetwork | Network) -> tuple[Probe, ...]:
    """What a run in time steps must record for `synops`: the sums of what each source sends.

    Args:
        mapped: What `chips.dynapcnn.map` returned, or its network.
    """
    network = _network(mapped)
    sources = dict.fromkeys(way.source for way in routes(network) if way.target is not None)
    return tuple(Probe(name, reduce="sum") for name in sources if name in network)


def synops(
    mapped: MappedNetwork | Network,
    run: Run | EventRun,
    *,
    inputs: Num[ArrayLike, "time batch *shape"] | None = None,
    dt: float | None = None,
    limit: float | None = None,
) -> dict[str, float]:
    """Synaptic operations a second of each core, over the length of a run.

    Args:
        mapped: What `chips.dynapcnn.map` returned, or its network.
        run: Of `simulate_events`, counted exactly; or of `simulate` with the probes of
            `synops_probes`, by the formula above, for the sample of the batch that makes most.
        inputs: What a run in time steps was given.
        dt: Length of a time step of it, in seconds.
        limit: Operations a second that a core can take; cores above are warned of. None, the
            default: no limit, because none is published.

    Returns:
        A number for each core, by name.

    Raises:
        ValueError: A run without the probes, without `inputs` or `dt`, or of no length.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips import dynapcnn
        >>> net = nj.Sequential((2, 8, 8), a=dynapcnn.Core(jnp.ones((4, 2, 3, 3)), threshold=5))
        >>> x = jnp.ones((10, 1, 2, 8, 8))  # 1280 events in 10 ms
        >>> run = nj.simulate(net, x, probes=dynapcnn.synops_probes(net))
        >>> dynapcnn.synops(net, run, inputs=x, dt=1e-3)
        {'a': 4608000.0}
    """
    network = _network(mapped)
    if isinstance(run, EventRun):
        if run.elapsed <= 0:
            raise ValueError(
                "synops: the run has no length; give simulate_events a duration in microseconds"
            )
        rates = {name: count * 1e6 / run.elapsed for name, count in run.synops.items()}
    else:
        rates = _estimated(network, run, inputs, dt)
    over = {name: rate for name, rate in rates.items() if limit is not None and rate > limit}
    if over:
        said = ", ".join(f"'{name}' {rate:.3g}" for name, rate in over.items())
        warnings.warn(
            f"congestion: more than {limit:.3g} synaptic operations a second in {said}; send fewer "
            "events, raise thresholds, or use larger strides, smaller kernels or fewer features",
            stacklevel=2,
        )
    return rates


def _estimated(network: Network, run: Run, inputs: Any, dt: float | None) -> dict[str, float]:
    if inputs is None or dt is None or dt <= 0:
        raise ValueError(
            "synops: a run in time steps needs `inputs`, which made it, and `dt`, the length of a "
            "time step in seconds"
        )
    x = np.asarray(inputs, np.float64)
    entry = next(iter(network.inputs))
    sent = {entry: x.reshape(len(x), x.shape[1], -1).sum((0, 2))}
    for probe in synops_probes(network):
        if probe.name not in run.traces:
            raise ValueError(
                f"synops: the run has no probe '{probe.name}'; {nearest(probe.name, run.traces)}; "
                "simulate with probes=synops_probes(mapped)"
            )
        sums = np.asarray(run.traces[probe.name], np.float64)
        sent[probe.path] = sums.reshape(len(sums), -1).sum(1)
    rates = dict.fromkeys(cores_of(network), 0.0)
    for name in rates:
        core = network[name]
        assert isinstance(core, Core)
        arriving = sum(sent[way.source] for way in routes(network) if way.target == name)
        features, _, *kernel = core.weight.shape
        reached = features * np.prod(kernel) / np.prod(core.stride)
        rates[name] = float(np.max(arriving) * reached / (len(x) * dt))
    return rates


def _network(mapped: MappedNetwork | Network) -> Network:
    return mapped.network if isinstance(mapped, MappedNetwork) else mapped
