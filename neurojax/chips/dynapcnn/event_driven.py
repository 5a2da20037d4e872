"""The chip as it runs: event by event, without time steps.

An event adds its weights to the neurons that it reaches. Each of them at or above the threshold
then fires, once, however far above it is; is reset, and bounded from below; what is left above the
threshold waits for the next event that reaches the neuron. Spikes are events of the next cores:
coordinates are divided by the pooling, the place in a concatenation is added to the feature.

The order is depth first: all that follows from an event comes before the next event. Of an event's
spikes that by row, column and feature is taken first, and of its destinations the one whose route
comes first in `routes`. The chip's own order between parallel paths is not deterministic; within a
chain of cores there is but the order of an event's spikes to choose. Spikes have the time of the
event that caused them.

On the slow clock the bias ("leak") is added to all neurons, and saturates at the lower bound.
Whether it can make a neuron fire is not documented: here the neuron fires with the next event that
reaches it. Also not documented, and a choice of ours: an event reaches a neuron even if its weight
is zero, and pixels that pooling leaves over go nowhere.

**Where time steps give the same.** With integers w, without a bias, with sums below 32768:

1. If every 0 <= w <= threshold, the reset subtracts and `max_spikes=None`, then spikes of a time
   step and membranes at its end are equal, for any network and whatever the order of the events:
   a neuron that has got sum w has fired floor(sum w / threshold) times, either way.
2. For any w <= threshold: in a core that no more than one event arrives at in each time step.

Otherwise they differ: where a weight is above the threshold, a membrane stays above it; where an
inhibitory event comes after the neuron has fired, the sum of a step would have kept it silent; and
the lower bound cuts every partial sum, not only the last.

References:
    SynSense, "Speck Dev Kit Datasheet" and sinabs documentation, FAQ (one spike an event, slow
    clock, decimator); B. Bond and L. Levine, "Abelian networks I", SIAM J. Discrete Math. 30, 2016
    (networks in which the order of events has no effect).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

import jax
import numpy as np

from neurojax._graph import nearest
from neurojax._network import Network
from neurojax.chips._mapped import MappedNetwork
from neurojax.chips.dynapcnn._event_core import EventCore
from neurojax.chips.dynapcnn._event_wiring import Wiring, as_map, check_events
from neurojax.chips.dynapcnn.dynamics import Core
from neurojax.chips.dynapcnn.routes import cores_of
from neurojax.chips.dynapcnn.spec import LAST_THRESHOLD_LOW

DECIMATIONS = (2, 4, 8, 16, 32, 128, 256, 512)
"""What `output_decimator_interval` 0 to 7 stands for: one spike of so many passes. There is no 64.
[sinabs documentation; speck2e and speck2f]"""


class EventState(NamedTuple):
    """Where a run of events stopped."""

    time: int  # in microseconds; events that follow are not earlier
    v: dict[str, np.ndarray]  # membranes (f, h, w) of each core
    waiting: dict[str, int]  # spikes since the last that a decimator let pass


class EventRun(NamedTuple):
    """What a run of events gave.

    Attributes:
        streams: Spikes of each core, before pooling and decimation, as a monitor shows them; under
            the input's and the DVS block's name what they send. `layer` is the core's number.
        outputs: Events at each output of the network, as maps: a Flatten has no effect on them.
        membranes: Of each core at the end, (features, height, width), integers.
        arrived: Number of events that arrived at each core.
        synops: Synaptic operations of each core: neurons that its events reached, one by one.
        overflowed: Sums above 32767 in each core.
        elapsed: Length of this run in microseconds.
        state: Pass it on to go on from here.
    """

    streams: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    membranes: dict[str, np.ndarray]
    arrived: dict[str, int]
    synops: dict[str, int]
    overflowed: dict[str, int]
    elapsed: int
    state: EventState


def simulate_events(
    mapped: MappedNetwork | Network,
    events: np.ndarray,
    *,
    leak_hz: float | None = None,
    decimate: Mapping[str, int] | None = None,
    duration: int | None = None,
    state: EventState | None = None,
) -> EventRun:
    """Run a mapped network on a stream of events, one event at a time.

    Runs on the CPU: each event needs the one before it. No gradients.

    Args:
        mapped: What `chips.dynapcnn.map` returned, or its network. `max_spikes` and `leak_every`
            of its cores belong to time steps, and have no effect.
        events: A stream as of `make_events` or `raster_to_events`, in order of time, with the
            coordinates of the network's input; `layer` is not looked at.
        leak_hz: Ticks of the slow clock a second, the k-th at k / leak_hz, before the events of
            that time. Needed if a core has a bias; 0 for a clock that stands.
        decimate: For cores by name, n: only every n-th spike goes to destinations and outputs.
        duration: Length of the run in microseconds from time 0, for the ticks after the last event
            and for rates. Default: up to the last event.
        state: Where to start: `EventRun.state` of an earlier run, whose events came before.

    Raises:
        ValueError: Events out of order or outside of the input, a layer that is no part of a mapped
            network, biases without a clock, a decimation that the chip hasn't got.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips import dynapcnn
        >>> core = dynapcnn.Core(jnp.full((1, 1, 1, 1), 25.0), threshold=10)
        >>> net = nj.Sequential((1, 4, 4), core=core, pool=nj.SumPool2d(2))
        >>> run = dynapcnn.simulate_events(net, dynapcnn.make_events(x=[3, 3], y=0, t=[5, 9]))
        >>> run.outputs["pool"]["x"].tolist(), run.membranes["core"][0, 0].tolist()
        ([1, 1], [0, 0, 0, 30])
    """
    network = mapped.network if isinstance(mapped, MappedNetwork) else mapped
    if len(network.inputs) != 1:
        raise ValueError(
            f"simulate_events: the network has {len(network.inputs)} inputs; events go to one"
        )
    start = EventState(0, {}, {}) if state is None else state
    events = check_events(events, next(iter(network.inputs.values())), start.time)
    stop = int(events["t"].max(initial=start.time)) if duration is None else duration
    if stop < events["t"].max(initial=start.time):
        raise ValueError(
            f"simulate_events: duration={duration} us, but the run or its last event is at "
            f"{events['t'].max(initial=start.time)} us; use at least that"
        )
    numbers = {name: i for i, name in enumerate(cores_of(network))}
    if isinstance(mapped, MappedNetwork):
        numbers = {origin.name: origin.core for origin in mapped.origins}
    # An event needs the one before it, which leaves an accelerator nothing to do at once.
    with jax.default_device(_cpu()):
        cores = {name: _event_core(network, name) for name in cores_of(network)}
        _check_options(cores, leak_hz, decimate or {})
        _warn_of_bounds(cores)
        return _run(network, cores, numbers, events, start, stop, leak_hz or 0, decimate or {})


def _run(
    network: Network,
    cores: Mapping[str, EventCore],
    numbers: Mapping[str, int],
    events: np.ndarray,
    start: EventState,
    stop: int,
    leak_hz: float,
    decimate: Mapping[str, int],
) -> EventRun:
    wiring = Wiring(network)
    sent = wiring.entering(events)
    end = EventState(stop, {}, {})
    run = EventRun({}, {}, end.v, {}, {}, {}, stop - start.time, end)
    run.streams.update({name: stream.events for name, stream in sent.items()})
    for name, core in cores.items():
        stream, order = wiring.into(name, sent)
        times = np.concatenate([[start.time], stream["t"], [stop]])
        v = start.v.get(name, np.zeros(core.map_shape, np.int64))
        found = core.run(v, stream, np.diff(_ticks(times, leak_hz)))
        spikes = stream[found.cause]
        spikes["feature"], spikes["y"], spikes["x"] = found.feature, found.y, found.x
        spikes["layer"] = numbers[name]
        run.streams[name], run.membranes[name] = spikes, found.v
        run.arrived[name], run.overflowed[name] = len(stream), found.overflowed
        run.synops[name] = core.updates(stream)
        passing = np.ones(len(spikes), bool)
        if name in decimate:
            waiting = start.waiting.get(name, 0)
            passing = (waiting + 1 + np.arange(len(spikes))) % decimate[name] == 0
            end.waiting[name] = (waiting + len(spikes)) % decimate[name]
        sent[name] = wiring.spikes(spikes, order[found.cause], passing)
    run.outputs.update({name: wiring.out_of(name, sent) for name in network.outputs})
    return run


def _cpu() -> jax.Device | None:
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS leaves it out: then wherever JAX computes
        return None


def _event_core(network: Network, name: str) -> EventCore:
    core = network[name]
    assert isinstance(core, Core)
    return EventCore(core, as_map(network.in_shape(name)))


def _ticks(times: np.ndarray, hz: float) -> np.ndarray:
    """Ticks of the slow clock up to these times in microseconds: tick k comes at k / hz seconds."""
    rate = Fraction(float(hz)).limit_denominator(10**6) / 10**6
    return times * rate.numerator // rate.denominator


def _check_options(
    cores: Mapping[str, EventCore], leak_hz: float | None, decimate: Mapping[str, int]
) -> None:
    leaking = [name for name, core in cores.items() if core.leaks]
    if leak_hz is None and leaking:
        raise ValueError(
            f"simulate_events: {', '.join(map(repr, leaking))} have a bias, which acts on the slow "
            "clock; give its ticks a second as leak_hz (0: the clock stands)"
        )
    if leak_hz is not None and not 0 <= leak_hz < math.inf:  # refuses NaN, too
        raise ValueError(f"simulate_events: leak_hz={leak_hz}; use 0 or more ticks a second")
    for name, n in decimate.items():
        if name not in cores:
            raise ValueError(f"simulate_events: decimate: no core '{name}'; {nearest(name, cores)}")
        if n not in DECIMATIONS:
            raise ValueError(
                f"simulate_events: decimate: core '{name}' passes 1 of {n} spikes; the chip has "
                f"{', '.join(map(str, DECIMATIONS))}"
            )


def _warn_of_bounds(cores: Mapping[str, EventCore]) -> None:
    low = [name for name, core in cores.items() if core.v_min > LAST_THRESHOLD_LOW]
    if low:
        warnings.warn(
            f"simulate_events: cores {', '.join(map(repr, low))} have a lower bound above "
            f"{LAST_THRESHOLD_LOW}, at which the chips misbehave in a way that is not documented; "
            "the simulation takes the bound at its word",
            stacklevel=3,
        )
