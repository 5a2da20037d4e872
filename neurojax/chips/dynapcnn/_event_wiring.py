"""Events between the cores: pooled, shifted, merged, in the order in which the chip has them.

The order is that of the ways that events have come: which event of the input, by which route, as
which spike of a core, by which route, and so on. These numbers are the columns of a stream's
`order`, compared from the left. They are kept only if the network has a merge; in a chain, streams
stay in order by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from neurojax._layer import Shape
from neurojax._network import Network
from neurojax.chips.dynapcnn.dvs import DVS
from neurojax.chips.dynapcnn.dynamics import Core
from neurojax.chips.dynapcnn.events import CAMERA, EVENT
from neurojax.chips.dynapcnn.routes import dvs_of, routes

COLUMNS = ("x", "y", "t", "feature")


class Stream(NamedTuple):
    """Events, and where each of them is in the order of all."""

    events: np.ndarray
    order: np.ndarray  # (events, columns)


class Wiring:
    """The routes of a mapped network, for streams of events."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._ways = tuple(enumerate(routes(network)))
        ends = [(way.target, way.output) for _, way in self._ways]
        self._merges = len(set(ends)) < len(ends)

    def entering(self, events: np.ndarray) -> dict[str, Stream]:
        """What the input sends, and the DVS block if there is one."""
        name = next(iter(self._network.inputs))
        sent = {name: self._numbered(events, np.zeros((len(events), 0), np.int64))}
        camera = dvs_of(self._network)
        if camera is not None:
            layer, (events, order) = self._network[camera], sent[name]
            assert isinstance(layer, DVS)
            events, inside = _through_dvs(layer, events, self._network.in_shape(camera))
            sent[camera] = Stream(events, order[inside])
        return sent

    def spikes(self, spikes: np.ndarray, cause: np.ndarray, passing: np.ndarray) -> Stream:
        """What a core sends: some of its spikes, each with the order of its cause."""
        events, order = self._numbered(spikes, cause)
        return Stream(events[passing], order[passing])

    def into(self, core: str, sent: Mapping[str, Stream]) -> Stream:
        """What arrives at a core."""
        return self._arriving(core, None, sent)

    def out_of(self, output: str, sent: Mapping[str, Stream]) -> np.ndarray:
        """What arrives at an output of the network."""
        return self._arriving(None, output, sent).events

    def _numbered(self, events: np.ndarray, order: np.ndarray) -> Stream:
        return Stream(events, self._followed(order, np.arange(len(events))))

    def _followed(self, order: np.ndarray, by: np.ndarray | int) -> np.ndarray:
        """The order with one column more."""
        if not self._merges:
            return order
        return np.column_stack([order, np.broadcast_to(by, len(order))])

    def _arriving(
        self, target: str | None, output: str | None, sent: Mapping[str, Stream]
    ) -> Stream:
        streams = []
        for number, way in self._ways:
            if way.target != target or way.output != output:
                continue
            events, order = sent[way.source]
            _, height, width = self._map_of(way.source)
            events = events.copy()
            events["y"] //= way.pool
            events["x"] //= way.pool
            events["feature"] += way.feature_shift
            inside = (events["y"] < height // way.pool) & (events["x"] < width // way.pool)
            streams.append(Stream(events[inside], self._followed(order, number)[inside]))
        if len(streams) == 1:
            return streams[0]
        depth = max(stream.order.shape[1] for stream in streams)
        # No event's way is the beginning of another's, so the zeros are never compared.
        orders = [np.pad(s.order, ((0, 0), (0, depth - s.order.shape[1]))) for s in streams]
        events, order = np.concatenate([s.events for s in streams]), np.concatenate(orders)
        sorting = np.lexsort(order.T[::-1])
        return Stream(events[sorting], order[sorting])

    def _map_of(self, source: str) -> Shape:
        if source in self._network and isinstance(layer := self._network[source], Core):
            return layer.neuron_shape(self._network.in_shape(source))
        return as_map(self._network.out_shape(source))


def as_map(shape: Shape) -> Shape:
    """A vector is a map of one pixel."""
    return (*shape, 1, 1) if len(shape) == 1 else shape


def check_events(events: np.ndarray, shape: Shape, start: int) -> np.ndarray:
    """A stream for an input of this shape, from a time on."""
    given = getattr(events, "dtype", np.dtype(int)).names or ()
    missing = [name for name in COLUMNS if name not in given]
    if missing:
        raise ValueError(
            f"simulate_events: events have no column {missing[0]!r}; use make_events, "
            "raster_to_events or xytp_to_events"
        )
    stream = np.zeros(len(events), EVENT)
    for name in COLUMNS:
        stream[name] = events[name]
    for name, size in zip(("feature", "y", "x"), as_map(shape), strict=True):
        outside = (stream[name] < 0) | (stream[name] >= size)
        if outside.any():
            raise ValueError(
                f"simulate_events: an event has {name}={stream[name][outside][0]}; the input has "
                f"shape {shape}, so it must be 0 to {size - 1}"
            )
    if np.any(np.diff(stream["t"], prepend=start) < 0):
        raise ValueError(
            f"simulate_events: events are not in order of time, from {start} us on; sort them: "
            "events[np.argsort(events['t'], kind='stable')]"
        )
    return stream


def _through_dvs(layer: DVS, events: np.ndarray, in_shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Events after the DVS block, and which of those before they were."""
    _, height, width = in_shape
    height, width = height // layer.pool[0], width // layer.pool[1]
    (top, bottom), (left, right) = layer.crop or ((0, height), (0, width))
    feature, y, x = events["feature"], events["y"] // layer.pool[0], events["x"] // layer.pool[1]
    inside = (y >= top) & (y < bottom) & (x >= left) & (x < right)
    feature, y, x = feature[inside], y[inside] - top, x[inside] - left
    y = bottom - top - 1 - y if layer.flip_y else y
    x = right - left - 1 - x if layer.flip_x else x
    sent = events[inside]
    sent["feature"] = 0 if layer.merge_polarities else feature
    sent["y"], sent["x"] = (x, y) if layer.swap_xy else (y, x)
    sent["layer"] = CAMERA
    return sent, inside
