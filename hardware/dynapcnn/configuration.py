"""The configuration of a device: what the vendor's library is given, and what only we know.

The vendor's part holds plain numbers and nested lists under the attribute names of the vendor's
Python objects, so that a short loop can load it into one. Weights are `[f][c][x][y]`, x first. Our
part says what those objects have no attribute for: the layers' names and scales, the spikes a
neuron may send in one time step, the pooling behind the last layer.

References:
    sinabs 3.1.3, `sinabs.backend.dynapcnn.chips.dynapcnn.DynapcnnConfigBuilder`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neurojax._files import written_whole
from neurojax._graph import nearest
from neurojax._layer import Shape
from neurojax._network import Network
from neurojax.chips import MappedNetwork, MappingError, Problem
from neurojax.chips.dynapcnn import (
    ChipSpec,
    Core,
    InSteps,
    Memory,
    Origin,
    assemble,
    devices,
    fits,
    memory_of,
)
from neurojax.surrogate import Surrogate, by_name

SCHEMA = "neurojax.dynapcnn"
VERSION = 1


class LayerInfo(NamedTuple):
    """What the vendor's part does not say about a core."""

    origin: Origin  # name, place, scale, pooling
    flat: bool
    has_bias: bool
    bias_bits: int
    max_spikes: int | None
    detach_reset: bool
    surrogate: str | None  # as `surrogate.by_name` reads it; None for one of the user's own
    surrogate_scale: float


@dataclass(frozen=True)
class Configuration:
    """A mapped network, placed on a device.

    Attributes:
        device: Name of the device.
        input_name: Name of the network's input.
        input_shape: Its shape.
        layers: The cores in the order of the network, with their place.
        flatten: Name of a Flatten that shapes the output, or None.
        vendor: What goes into the vendor's configuration object; see `vendor_fields`.
    """

    device: str
    input_name: str
    input_shape: Shape
    layers: tuple[LayerInfo, ...]
    flatten: str | None
    vendor: dict[str, Any]

    @cached_property
    def mapped(self) -> MappedNetwork:
        """The network that the configuration holds; it simulates as the one it came from."""
        cnn_layers = self.vendor["cnn_layers"]
        cores = [
            (info.origin, _read_core(info, cnn_layers[info.origin.core])) for info in self.layers
        ]
        inputs = {self.input_name: self.input_shape}
        return assemble(devices[self.device], inputs, cores, flatten=self.flatten)

    @property
    def network(self) -> Network:
        """`mapped.network`: what `neurojax.simulate` takes."""
        return self.mapped.network

    @property
    def cores(self) -> dict[str, int]:
        """Core of each layer."""
        return {info.origin.name: info.origin.core for info in self.layers}

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
        layers = []
        for info in self.layers:
            fields = info.origin._asdict() | info._asdict()
            del fields["origin"]
            layers.append(fields)
        return {
            "format": SCHEMA,
            "version": VERSION,
            "device": self.device,
            "network": {
                "input": {"name": self.input_name, "shape": list(self.input_shape)},
                "flatten": self.flatten,
                "layers": layers,
            },
            "vendor": self.vendor,
        }


def configure(
    mapped: MappedNetwork,
    *,
    cores: str | Mapping[str, int] = "auto",
    monitor: str | Iterable[str] | None = None,
) -> Configuration:
    """Place a mapped network on its device and write down the device's configuration.

    Args:
        mapped: What `neurojax.chips.dynapcnn.map` returned, trained or not.
        cores: `"auto"`, or the core of each layer by hand; memory and duplicates are checked.
        monitor: Names of the layers whose spikes the device reports, or `"all"`. Default: the last
            one. A monitor sees the spikes before pooling.

    Raises:
        MappingError: A placement by hand that the device can't hold, with every reason.
        ValueError: Not a mapped network of this family, an unknown layer, or a device whose
            configuration can't be written yet.

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
    chip = mapped.chip
    if not isinstance(chip, ChipSpec):
        raise ValueError(f"configure takes a network mapped by chips.dynapcnn.map, not {chip!r}")
    if devices.get(chip.name) != chip:
        raise ValueError(f"'{chip.name}' is no real device; map onto one of {', '.join(devices)}")
    if chip.kill_bits:
        raise ValueError(
            f"the configuration of {chip.name} also marks zero weights, which is not written yet; "
            "map onto a Speck 2e or 2f"
        )
    network, origins = mapped.network, mapped.origins
    names = [origin.name for origin in origins]
    places = _places(mapped, cores)
    watched = _watched(names, monitor)
    layers: list[dict[str, Any]] = [{} for _ in chip.cores]
    infos = []
    for i, origin in enumerate(origins):
        core = network[origin.name]
        assert isinstance(core, Core)
        target = places[names[i + 1]] if i + 1 < len(names) else None
        fields = _write_core(core, _map_shape(network.in_shape(origin.name)), target, origin.pool)
        fields["monitor_enable"] = origin.name in watched
        layers[places[origin.name]] = fields
        infos.append(_info(origin._replace(core=places[origin.name]), core))
    (input_name, input_shape), *_ = network.inputs.items()
    last = network.names[-1]
    ours = {name for o in origins for name in (o.name, o.pool_name)}
    return Configuration(
        device=chip.name,
        input_name=input_name,
        input_shape=input_shape,
        layers=tuple(infos),
        flatten=None if last in ours else last,
        vendor={"dvs_layer": {"pass_sensor_events": False}, "cnn_layers": layers},
    )


def vendor_fields(configuration: Configuration) -> dict[str, Any]:
    """A copy of the vendor's part: plain numbers and lists under the vendor's attribute names.

    Attributes that are not in it keep the vendor's defaults.
    """
    return copy.deepcopy(configuration.vendor)


def _places(mapped: MappedNetwork, cores: str | Mapping[str, int]) -> dict[str, int]:
    chip, names = mapped.chip, [origin.name for origin in mapped.origins]
    if isinstance(cores, str):
        if cores != "auto":
            raise ValueError(f"cores={cores!r} must be 'auto' or a core for each layer")
        return {origin.name: origin.core for origin in mapped.origins}
    problems = [
        Problem(name, "no such layer", nearest(name, names), "correct the name")
        for name in cores
        if name not in names
    ]
    owner: dict[int, str] = {}
    for name in names:
        number = cores.get(name)
        legal = f"{chip.name} has cores 0 to {len(chip.cores) - 1}"
        if number is None:
            problems.append(Problem(name, "it has no core", legal, "add it to `cores`"))
        elif number not in range(len(chip.cores)):
            problems.append(Problem(name, f"core {number}", legal, "use one of those"))
        elif number in owner:
            problems.append(
                Problem(
                    name,
                    f"core {number}, which holds layer '{owner[number]}'",
                    "a core holds one layer",
                    "choose another core",
                )
            )
        else:
            owner[number] = name
            problems += _misfits(name, number, _memory_of(mapped.network, name), chip)
    if problems:
        raise MappingError(chip.name, problems)
    return {name: int(cores[name]) for name in names}


def _misfits(name: str, number: int, memory: Memory, chip: ChipSpec) -> list[Problem]:
    core = chip.cores[number]
    if fits(memory, core):
        return []
    need = f"{memory.kernel:,}/{memory.neuron:,}/{memory.bias:,}"
    have = f"{core.kernel_words:,}/{core.neuron_words:,}/{core.bias_words:,}"
    return [
        Problem(
            name,
            f"it takes {need} words (kernel/neuron/bias)",
            f"core {number} has {have}",
            "choose a larger core, or cores='auto'",
        )
    ]


def _memory_of(network: Network, name: str) -> Memory:
    core = network[name]
    assert isinstance(core, Core)
    neurons = core.neuron_shape(network.in_shape(name))
    return memory_of(core.weight.shape, neurons, bias=core.bias is not None)


def _watched(names: list[str], monitor: str | Iterable[str] | None) -> set[str]:
    if monitor is None:
        return {names[-1]}
    if isinstance(monitor, str):
        monitor = names if monitor == "all" else [monitor]
    watched = set(monitor)
    for name in sorted(watched):
        if name not in names:
            raise ValueError(f"monitor: no layer '{name}'; {nearest(name, names)}")
    return watched


def _map_shape(shape: Shape) -> Shape:
    return (shape[0], 1, 1) if len(shape) == 1 else shape


def _write_core(core: Core, in_shape: Shape, target: int | None, pool: int) -> dict[str, Any]:
    """The vendor's fields of one core."""
    held = core.integers()
    neurons = core.neuron_shape(in_shape)
    fields: dict[str, Any] = {
        "dimensions": {
            "input_shape": _shape(in_shape),
            "output_shape": _shape(neurons),  # before pooling
            "padding": {"x": core.padding[1], "y": core.padding[0]},
            "stride": {"x": core.stride[1], "y": core.stride[0]},
            "kernel_size": held.weight.shape[2],
        },
        "weights": held.weight.swapaxes(2, 3).tolist(),
        "biases": [0] * len(held.weight) if held.bias is None else held.bias.tolist(),
        "neurons_initial_value": np.zeros(neurons, int).swapaxes(1, 2).tolist(),
        "threshold_high": held.threshold,
        "threshold_low": held.v_min,
        "return_to_zero": core.reset == "zero",
        "leak_enable": held.bias is not None and bool(np.any(held.bias)),
    }
    if target is not None:
        fields["destinations"] = [{"layer": target, "enable": True, "pooling": pool}, {}]
    return fields


def _shape(shape: Shape) -> dict[str, Any]:
    return {"size": {"x": shape[2], "y": shape[1]}, "feature_count": shape[0]}


def _info(origin: Origin, core: Core) -> LayerInfo:
    surrogate = core.surrogate
    inner: Surrogate = surrogate
    scale = 1.0
    if isinstance(surrogate, InSteps):
        inner, scale = surrogate.inner, surrogate.scale
    return LayerInfo(
        origin=origin,
        flat=core.flat,
        has_bias=core.bias is not None,
        bias_bits=core.bias_bits,
        max_spikes=core.max_spikes,
        detach_reset=core.detach_reset,
        surrogate=_text_of(inner),
        surrogate_scale=scale,
    )


def _text_of(surrogate: Any) -> str | None:
    """Text from which the same surrogate can be made again, or None."""
    try:
        return repr(surrogate) if by_name(repr(surrogate)) == surrogate else None
    except (ValueError, TypeError):
        return None


def _read_core(info: LayerInfo, fields: Mapping[str, Any]) -> Core:
    """A core from the two parts of a configuration."""
    dimensions = fields["dimensions"]
    surrogate = None if info.surrogate is None else by_name(info.surrogate)
    if surrogate is not None and info.surrogate_scale != 1:
        surrogate = InSteps(surrogate, info.surrogate_scale)
    return Core(
        np.asarray(fields["weights"], np.float32).swapaxes(2, 3),
        np.asarray(fields["biases"], np.float32) if info.has_bias else None,
        threshold=fields["threshold_high"],
        v_min=fields["threshold_low"],
        stride=(dimensions["stride"]["y"], dimensions["stride"]["x"]),
        padding=(dimensions["padding"]["y"], dimensions["padding"]["x"]),
        reset="zero" if fields["return_to_zero"] else "subtract",
        max_spikes=info.max_spikes,
        detach_reset=info.detach_reset,
        bias_bits=info.bias_bits,
        surrogate=surrogate,
        flat=info.flat,
    )
