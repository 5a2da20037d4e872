"""Options of a configuration that the network says nothing about: monitors, first membranes, the
decimator, the slow clock, the camera's filter, the read-out block.

References:
    SynSense, "Speck Dev Kit Datasheet", 3.2; sinabs 3.1.3, `DynapcnnNetwork.make_config` (which
    layers a monitor means).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from neurojax._graph import nearest
from neurojax._network import Network
from neurojax.chips.dynapcnn import DECIMATIONS, ChipSpec, Core, cores_of, dvs_of, routes
from neurojax.hardware.dynapcnn._format import SLOW_CLOCK_DIVIDERS, has_extras

ALL_CORES = "all"
CAMERA_NAME = "dvs"

READOUT_DEFAULTS = {
    "enable": True,
    "readout_configuration_sel": 3,
    "output_mode_sel": 1,
    "low_pass_filter_disable": True,
    "threshold": 1,
    "monitor_enable": False,
    "readout_pin_monitor_enable": True,
}
"""Classes are features, an event as soon as a class spikes: what the vendor's examples set."""


def exits(network: Network) -> tuple[str, ...]:
    """Cores whose spikes are an output of the network."""
    ends = _ends(network)
    return tuple(name for name in cores_of(network) if name in ends)


def _ends(network: Network) -> set[str]:
    """Cores, or the camera's block, that feed outputs."""
    return {route.source for route in routes(network) if route.target is None}


def set_monitors(
    vendor: dict[str, Any],
    network: Network,
    places: Mapping[str, int],
    monitor: str | int | Iterable[str | int] | None,
) -> None:
    """Which cores report their spikes, and whether the camera's block does."""
    names, camera = cores_of(network), dvs_of(network)
    if monitor is None:
        monitor = [-1]
    elif monitor == ALL_CORES:
        monitor = names
    elif isinstance(monitor, str | int):
        monitor = [monitor]
    for name in monitor:
        if name == -1:
            watched: Iterable[str] = exits(network)
            if camera in _ends(network):
                vendor["dvs_layer"]["monitor_enable"] = True
        elif name in names:
            watched = [str(name)]
        elif isinstance(name, str) and (name.lower() == CAMERA_NAME or name == camera):
            if camera is None:
                raise ValueError(
                    f"monitor: '{name}', but the network does not use the camera's block; map it "
                    "with dvs_input=True"
                )
            vendor["dvs_layer"]["monitor_enable"] = True
            watched = []
        else:
            hint = nearest(str(name), [*names, CAMERA_NAME])
            raise ValueError(
                f"monitor: no core '{name}'; {hint} (-1 are the cores that feed outputs)"
            )
        for core in watched:
            vendor["cnn_layers"][places[core]]["monitor_enable"] = True


def set_extras(
    vendor: dict[str, Any],
    places: Mapping[str, int],
    chip: ChipSpec,
    *,
    decimate: Mapping[str, int] | None,
    balance: str | Iterable[str],
    slow_clock: bool | int,
    dvs_filter: Mapping[str, Any] | None,
) -> None:
    """Fields that only Speck 2e and 2f have."""
    asked = {
        "decimate": bool(decimate),
        "balance": bool(balance),
        "slow_clock": slow_clock is not False,
        "dvs_filter": dvs_filter is not None,
    }
    if any(asked.values()) and not has_extras(chip):
        names = ", ".join(name for name, wanted in asked.items() if wanted)
        raise ValueError(
            f"{names}: the configuration of {chip.name} has no such fields; leave it out, or map "
            "onto a Speck 2e or 2f"
        )
    cores = vendor["cnn_layers"]
    for name, number in _placed("decimate", decimate or (), places):
        interval = (decimate or {})[name]
        if interval not in DECIMATIONS:
            raise ValueError(
                f"decimate: layer '{name}' passes 1 spike of {interval!r}; the decimator passes 1 "
                f"of {', '.join(map(str, DECIMATIONS))}"
            )
        cores[number]["output_decimator_enable"] = True
        cores[number]["output_decimator_interval"] = DECIMATIONS.index(interval)
    balanced = (
        places if balance == ALL_CORES else [balance] if isinstance(balance, str) else balance
    )
    for _, number in _placed("balance", filter(None, balanced), places):
        cores[number]["input_congestion_balancer_enable"] = True
    if slow_clock is not False:
        for core in cores:
            if core.get("leak_enable"):
                core["leak_internal_slow_clk_enable"] = True
        if slow_clock is not True:
            if slow_clock not in SLOW_CLOCK_DIVIDERS:
                low, high = SLOW_CLOCK_DIVIDERS[0], SLOW_CLOCK_DIVIDERS[-1]
                raise ValueError(
                    f"slow_clock={slow_clock!r} must be True, or {low} to {high}: one tick in "
                    "2^slow_clock events of the camera"
                )
            vendor["factory_config"] = {"internal_slow_clk_divider": int(slow_clock)}
    if dvs_filter is not None:
        vendor["dvs_filter"] = {"enable": True} | dict(dvs_filter)


def set_initial(
    vendor: dict[str, Any],
    network: Network,
    places: Mapping[str, int],
    initial: Mapping[str, Any] | None,
) -> None:
    """The membranes at the start."""
    for name, number in _placed("initial", initial or (), places):
        core = network[name]
        assert isinstance(core, Core)
        v = np.asarray((initial or {})[name])
        shape = core.neuron_shape(network.in_shape(name))
        if v.shape not in (shape, core.out_shape(network.in_shape(name))):
            raise ValueError(
                f"initial: layer '{name}' has neurons {shape}, got membranes of shape {v.shape}"
            )
        if not np.all(v == np.rint(v)):
            raise ValueError(
                f"initial: membranes of layer '{name}' must be integers, in steps of the chip; "
                "multiply real values by the layer's scale and round"
            )
        v = v.reshape(shape).astype(np.int64)
        vendor["cnn_layers"][number]["neurons_initial_value"] = v.swapaxes(1, 2).tolist()


def readout_core(network: Network, readout: bool | str) -> str | None:
    """Name of the core that feeds the read-out block, or None."""
    if readout is False:
        return None
    ends = exits(network)
    if readout is True:
        if len(ends) != 1:
            raise ValueError(
                f"readout=True: {len(ends)} cores feed outputs ({', '.join(ends)}); name one"
            )
        return ends[0]
    if readout not in ends:
        raise ValueError(f"readout: no core '{readout}' feeds an output; {nearest(readout, ends)}")
    return readout


def pooled_monitors(vendor: Mapping[str, Any], names: Mapping[int, str]) -> Iterator[str]:
    """A sentence for each monitor that shows other events than the next layer gets."""
    for number, core in enumerate(vendor["cnn_layers"]):
        pools = {target["pooling"] for target in core.get("destinations", ()) if target}
        if core.get("monitor_enable") and pools - {1}:
            sizes = " and ".join(map(str, sorted(pools)))
            yield (
                f"the monitor of '{names[number]}' shows its spikes before the pooling ({sizes}) "
                "of their destinations"
            )
    pooling = vendor["dvs_layer"].get("pooling", {})
    if vendor["dvs_layer"].get("monitor_enable") and set(pooling.values()) - {1}:
        yield "the monitor of the camera's block shows its events before pooling"


def _placed(
    what: str, names: Iterable[str], places: Mapping[str, int]
) -> Iterator[tuple[str, int]]:
    for name in names:
        if name not in places:
            raise ValueError(f"{what}: no core '{name}'; {nearest(name, places)}")
        yield name, places[name]
