"""Events into a board and out of it, through samna's nodes.

Nothing here was tried on a board: the calls are those of sinabs, and the tests make them on objects
of the same shape.

References:
    sinabs 3.1.3, `DynapcnnNetwork.to` and `hw_forward`.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from neurojax.chips.dynapcnn import devices, from_records, to_records
from neurojax.hardware.dynapcnn.configuration import Configuration
from neurojax.hardware.dynapcnn.vendor import deploy, import_samna, to_samna

POLL = 0.1
"""Seconds between two looks for events; when one brings none, the run is over."""


class Board:
    """A board that holds a configuration and answers streams of events.

    Args:
        configuration: What is put on it.
        board: Which one, if there are several of the kind.
        slow_clock_hz: Frequency of the board's slow clock, which biases need.

    Raises:
        ImportError: samna is not there, or does not know the device.
        ValueError: samna refuses the configuration, or has no name for the board.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        board: int = 0,
        slow_clock_hz: float | None = None,
    ) -> None:
        self._module = devices[configuration.device].vendor_module.rpartition(".")[2]
        self._samna = import_samna()
        self._opened = deploy(configuration, board=board, slow_clock_hz=slow_clock_hz)
        # speck2e's node has the chip's name twice.
        events = f"{self._module}_event"
        kind = f"{events}_{self._module}_input" if self._module == "speck2e" else f"{events}_input"
        self._source = getattr(self._samna, f"BasicSourceNode_{kind}_event")()
        self._sink = getattr(self._samna, f"BasicSinkNode_{events}_output_event")()
        model = self._opened.get_model()
        self._graphs = [
            self._connected(self._source, model.get_sink_node()),
            self._connected(model.get_source_node(), self._sink),
        ]

    def _connected(self, first: Any, second: Any) -> Any:
        graph = self._samna.graph.EventFilterGraph()
        graph.sequential([first, second])
        graph.start()
        return graph

    def apply(self, configuration: Configuration) -> None:
        """Put another configuration of the same device on it."""
        self._opened.get_model().apply_configuration(to_samna(configuration))

    def run(self, events: Any) -> Any:
        """Send events in and wait for those that the monitors report.

        Args:
            events: A stream of `neurojax.chips.dynapcnn`, in order of time, or a list of samna's.

        Returns:
            The same kind, as it came; layers are numbers of cores.
        """
        records = events
        if isinstance(events, np.ndarray):
            records = to_records(events, getattr(self._samna, self._module).event.Spike)
        self._sink.get_events()  # what is left of another run
        watch = self._opened.get_stop_watch()
        watch.reset()
        watch.start()
        self._source.write(records)
        time.sleep(max((record.timestamp for record in records), default=0) * 1e-6)
        found: list[Any] = []
        while True:
            time.sleep(POLL)
            new = self._sink.get_events()
            if not new:
                break
            found += new
        watch.stop()
        return from_records(found) if isinstance(events, np.ndarray) else found

    def close(self) -> None:
        """Stop the nodes and give the board back."""
        for graph in self._graphs:
            graph.stop()
        self._samna.device.close_device(self._opened)
