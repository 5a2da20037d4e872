"""The vendor's part of a configuration, derived from the mapped network: dimensions, tensors,
destinations, the camera's block.

Weights are `[f][c][x][y]`, x first. Fields that are not written keep the vendor's defaults.

References:
    sinabs 3.1.3, `sinabs.backend.dynapcnn.chips.dynapcnn.DynapcnnConfigBuilder`; 2.0.0 for the
    kill bits, which are in the order `[f][c][y][x]` there, and so kill the mirrored weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from neurojax._layer import Shape
from neurojax._network import Network
from neurojax.chips.dynapcnn import DVS, READOUT, ChipSpec, Core, cores_of, dvs_of, routes


def write_vendor(
    network: Network, places: Mapping[str, int], chip: ChipSpec, *, readout: str | None = None
) -> dict[str, Any]:
    """The vendor's fields, nothing monitored, all membranes 0.

    Args:
        network: The network of a `MappedNetwork`.
        places: Core of each layer.
        chip: The device.
        readout: Name of the core that feeds the read-out block.

    Raises:
        ValueError: More destinations than a core has.
    """
    layers: list[dict[str, Any]] = [{} for _ in chip.cores]
    for name in cores_of(network):
        core = network[name]
        assert isinstance(core, Core)
        fields = _write_core(core, _as_map(network.in_shape(name)), kill_bits=chip.kill_bits)
        targets = list(_destinations(network, name, places, readout))
        if len(targets) > chip.destinations:
            to = ", ".join(str(target["layer"]) for target in targets)
            raise ValueError(
                f"layer '{name}': its spikes go to {len(targets)} destinations ({to}); a core of "
                f"{chip.name} has {chip.destinations}"
            )
        if targets:
            fields["destinations"] = _filled(targets, chip)
        layers[places[name]] = fields
    return {"dvs_layer": _write_dvs(network, places, chip), "cnn_layers": layers}


def _write_core(core: Core, in_shape: Shape, *, kill_bits: bool) -> dict[str, Any]:
    held = core.integers()
    neurons = core.neuron_shape(in_shape)
    weight = held.weight.swapaxes(2, 3)
    bias = np.zeros(len(weight), np.int64) if held.bias is None else held.bias
    by_xy = (neurons[0], neurons[2], neurons[1])
    fields: dict[str, Any] = {
        "dimensions": {
            "input_shape": _shape(in_shape),
            "output_shape": _shape(neurons),  # before pooling
            "padding": {"x": core.padding[1], "y": core.padding[0]},
            "stride": {"x": core.stride[1], "y": core.stride[0]},
            "kernel_size": held.weight.shape[2],
        },
        "weights": weight.tolist(),
        "biases": bias.tolist(),
        "neurons_initial_value": np.zeros(by_xy, int).tolist(),
        "threshold_high": held.threshold,
        "threshold_low": held.v_min,
        "return_to_zero": core.reset == "zero",
        "monitor_enable": False,
        "leak_enable": bool(np.any(bias)),
    }
    if kill_bits:
        fields |= {
            "weights_kill_bit": (weight == 0).tolist(),
            "biases_kill_bit": (bias == 0).tolist(),
            "neurons_value_kill_bit": np.zeros(by_xy, bool).tolist(),
        }
    return fields


def _destinations(
    network: Network, name: str, places: Mapping[str, int], readout: str | None
) -> Iterator[dict[str, Any]]:
    """Where the spikes of a core go."""
    out = False
    for route in routes(network):
        if route.source != name:
            continue
        # An output takes no destination: monitors see the spikes of every core.
        if route.target is None and (name != readout or out):
            continue
        out |= route.target is None
        layer = READOUT if route.target is None else places[route.target]
        fields = {"layer": layer, "enable": True, "pooling": route.pool}
        yield fields | ({"feature_shift": route.feature_shift} if route.feature_shift else {})


def _write_dvs(network: Network, places: Mapping[str, int], chip: ChipSpec) -> dict[str, Any]:
    name = dvs_of(network)
    if name is None:
        return {"pass_sensor_events": False}
    dvs = network[name]
    assert isinstance(dvs, DVS)
    _, height, width = network.in_shape(name)
    high, wide = height // dvs.pool[0], width // dvs.pool[1]
    (top, bottom), (left, right) = dvs.crop or ((0, high), (0, wide))
    targets = []
    for route in routes(network):
        if route.source == name and route.target is not None:
            if route.pool != 1:
                raise ValueError(
                    f"layer '{name}': a pooling of {route.pool} behind it; its destinations have "
                    "none, so pool in the DVS layer"
                )
            shift = {"feature_shift": route.feature_shift} if route.feature_shift else {}
            targets.append({"layer": places[route.target], "enable": True} | shift)
    fields = {
        "merge": dvs.merge_polarities,
        "mirror": {"x": dvs.flip_x, "y": dvs.flip_y},
        "mirror_diagonal": dvs.swap_xy,
        "origin": {"x": left, "y": top},
        "cut": {"x": right - 1, "y": bottom - 1},  # the last pixel that is kept
        "pooling": {"x": dvs.pool[1], "y": dvs.pool[0]},
        "pass_sensor_events": dvs.pixel_array,
    }
    if len(targets) > chip.destinations:
        raise ValueError(
            f"layer '{name}': its events go to {len(targets)} cores; the camera's block of "
            f"{chip.name} has {chip.destinations} destinations"
        )
    return fields | ({"destinations": _filled(targets, chip)} if targets else {})


def _filled(targets: list[dict[str, Any]], chip: ChipSpec) -> list[dict[str, Any]]:
    return targets + [{} for _ in range(chip.destinations - len(targets))]


def readout_source(vendor: Mapping[str, Any]) -> list[int]:
    """Numbers of the cores that feed the read-out block."""
    return [
        number
        for number, core in enumerate(vendor["cnn_layers"])
        if any(target.get("layer") == READOUT for target in core.get("destinations", ()))
    ]


def _as_map(shape: Shape) -> Shape:
    return (shape[0], 1, 1) if len(shape) == 1 else shape


def _shape(shape: Shape) -> dict[str, Any]:
    return {"size": {"x": shape[2], "y": shape[1]}, "feature_count": shape[0]}
