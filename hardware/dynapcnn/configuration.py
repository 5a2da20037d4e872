"""The configuration of a device: what the vendor's library is given, and what only we know.

The vendor's part holds plain numbers and nested lists under the attribute names of the vendor's
Python objects, so that a short loop can load it into one. Our part says what those objects have no
attribute for: the layers' names and scales, the spikes a neuron may send in one time step, what
lies between cores and outputs.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from neurojax._files import written_whole
from neurojax._network import Network, NetworkState
from neurojax.chips import MappedNetwork
from neurojax.chips.dynapcnn import ChipSpec, CoreState, assemble, devices, place
from neurojax.hardware.dynapcnn import _options
from neurojax.hardware.dynapcnn._format import FORMAT, VERSION
from neurojax.hardware.dynapcnn._graph import read_graph, write_graph
from neurojax.hardware.dynapcnn._validate import validate
from neurojax.hardware.dynapcnn._vendor import write_vendor

Modifier = Callable[[dict[str, Any]], dict[str, Any] | None]


@dataclass(frozen=True)
class Configuration:
    """A mapped network, placed on a device.

    Attributes:
        device: Name of the device.
        graph: What the vendor's part does not say about the network; part `network` of the file.
        vendor: What goes into the vendor's configuration object; see `vendor_fields`.
    """

    device: str
    graph: dict[str, Any]
    vendor: dict[str, Any]

    @cached_property
    def mapped(self) -> MappedNetwork:
        """The network that the configuration holds; it simulates as the one it came from."""
        network, origins = read_graph(self.graph, self.vendor["cnn_layers"])
        return assemble(devices[self.device], network, origins)

    @property
    def network(self) -> Network:
        """`mapped.network`: what `neurojax.simulate` takes."""
        return self.mapped.network

    @property
    def cores(self) -> dict[str, int]:
        """Core of each layer."""
        return {origin.name: origin.core for origin in self.mapped.origins}

    @property
    def monitored(self) -> tuple[str, ...]:
        """What the device reports: names of cores, and "dvs" for the camera's block."""
        cores = self.vendor["cnn_layers"]
        names = [name for name, number in self.cores.items() if cores[number]["monitor_enable"]]
        camera = self.vendor["dvs_layer"].get("monitor_enable", False)
        return tuple(names + [_options.CAMERA_NAME] * camera)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know about the events that the device will report."""
        names = {number: name for name, number in self.cores.items()}
        return tuple(_options.pooled_monitors(self.vendor, names))

    def state(self, batch: int = 1) -> NetworkState:
        """The state from which the device starts, for `neurojax.simulate`.

        Args:
            batch: Samples that run side by side.
        """
        state = self.network.init(batch)
        layers = dict(state.layers)
        for name, number in self.cores.items():
            before = layers[name]
            assert isinstance(before, CoreState)
            held = self.vendor["cnn_layers"][number]["neurons_initial_value"]
            v = jnp.asarray(np.array(held, np.float32).swapaxes(1, 2).reshape(before.v.shape[1:]))
            layers[name] = before._replace(v=jnp.broadcast_to(v, before.v.shape))
        return state._replace(layers=layers)

    def save(self, path: str | Path) -> None:
        """Write the configuration as JSON; an older file is replaced only when all is written.

        Raises:
            OSError: The file can't be written. Nothing is left behind.
        """
        text = json.dumps(self.as_json(), separators=(",", ":"), allow_nan=False)
        with written_whole(path) as part:
            part.write_text(text + "\n", encoding="utf-8")

    def as_json(self) -> dict[str, Any]:
        """The configuration as plain numbers, texts, lists and dictionaries."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "device": self.device,
            "network": self.graph,
            "vendor": self.vendor,
        }

    def __repr__(self) -> str:
        # No fields: the weights of a network fill screens.
        cores = ", ".join(f"{name} on {number}" for name, number in self.cores.items())
        return f"Configuration({self.device}: {cores})"


def configure(
    mapped: MappedNetwork,
    *,
    cores: str | Mapping[str, int] | None = None,
    monitor: str | int | Iterable[str | int] | None = None,
    readout: bool | str = False,
    readout_options: Mapping[str, Any] | None = None,
    initial: Mapping[str, Any] | None = None,
    decimate: Mapping[str, int] | None = None,
    balance: str | Iterable[str] = (),
    slow_clock: bool | int = False,
    dvs_filter: Mapping[str, Any] | None = None,
    modifier: Modifier | None = None,
) -> Configuration:
    """Place a mapped network on its device and write down the device's configuration.

    Args:
        mapped: What `neurojax.chips.dynapcnn.map` returned, trained or not.
        cores: The core of each layer by hand; memory and duplicates are checked. `"auto"` for a new
            matching. Default: as mapped.
        monitor: Names of the cores whose spikes the device reports; `"all"` of them; `"dvs"` for
            what the camera's block sends; -1 for all that feed outputs, which is the default. A
            monitor sees the spikes before pooling.
        readout: Send the spikes of the core that feeds the output to the read-out block; its name
            if there are several.
        readout_options: Fields of the read-out block, under the vendor's names, instead of the
            defaults: classes are features, an event as soon as a class spikes.
        initial: Membranes at the start, in steps of the chip, by name: `(f, h, w)`.
        decimate: Pass one spike of 2, 4, 8, 16, 32, 128, 256 or 512 of a core (Speck 2e and 2f).
        balance: Names of cores that drop events while they are busy, or `"all"` (2e and 2f).
        slow_clock: Biases act on the internal slow clock: True, or 14 to 17 for one tick in 2^14
            to 2^17 events of the camera (2e and 2f). Default: an external clock.
        dvs_filter: Fields of the camera's filter, under the vendor's names (2e and 2f).
        modifier: Is given the vendor's fields as a dictionary, to change them or return others.
            What follows from the network must stay as it is.

    Returns:
        The configuration. `configuration.notes` says what monitors don't show.

    Raises:
        MappingError: A placement that the device can't hold, with every reason.
        TypeError: Not a mapped network.
        ValueError: A network mapped onto another family, an unknown layer, a field that the device
            does not have, a read-out layer that needs `extend_readout_layer`, or values out of
            range.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips import dynapcnn
        >>> from neurojax.hardware.dynapcnn import configure
        >>> net = nj.Sequential((2, 8, 8), conv=nj.Conv2d.from_weights(jnp.ones((4, 2, 3, 3))),
        ...                     spikes=nj.IAF(v_min=-1.0))
        >>> configuration = configure(dynapcnn.map(net), cores={"spikes": 3})
        >>> configuration.vendor["cnn_layers"][3]["threshold_high"]
        127
    """
    if not isinstance(mapped, MappedNetwork):
        raise TypeError(
            f"configure takes what chips.dynapcnn.map returns, got {type(mapped).__name__}; map "
            "the network first"
        )
    chip = mapped.chip
    if not isinstance(chip, ChipSpec):
        raise ValueError(f"configure takes a network mapped by chips.dynapcnn.map, not {chip!r}")
    if devices.get(chip.name) != chip:
        raise ValueError(f"'{chip.name}' is no real device; map onto one of {', '.join(devices)}")
    as_mapped = {origin.name: origin.core for origin in mapped.origins}
    mapped = place(mapped, as_mapped if cores is None else cores)
    network, places = mapped.network, {origin.name: origin.core for origin in mapped.origins}
    source = _options.readout_core(network, readout)
    vendor = write_vendor(network, places, chip, readout=source)
    _options.set_monitors(vendor, network, places, monitor)
    _options.set_extras(
        vendor,
        places,
        chip,
        decimate=decimate,
        balance=balance,
        slow_clock=slow_clock,
        dvs_filter=dvs_filter,
    )
    _options.set_initial(vendor, network, places, initial)
    if source is not None:
        vendor["readout"] = _options.READOUT_DEFAULTS | dict(readout_options or {})
    elif readout_options is not None:
        raise ValueError("readout_options without readout; use readout=True")
    if modifier is not None:
        changed = modifier(vendor)
        vendor = vendor if changed is None else changed
    configuration = Configuration(chip.name, write_graph(mapped), vendor)
    validate(configuration.as_json(), chip)
    return configuration


def vendor_fields(configuration: Configuration) -> dict[str, Any]:
    """A copy of the vendor's part: plain numbers and lists under the vendor's attribute names.

    Attributes that are not in it keep the vendor's defaults.
    """
    return copy.deepcopy(configuration.vendor)
