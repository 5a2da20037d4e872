"""The fields of a configuration file: one table for our part, one for the vendor's.

Names and ranges of the vendor's part are those of its Python objects. Fields of Speck 2e and 2f
that other devices don't have, and the kill bits of the older ones, are in the tables of those
devices only.

References:
    SynSense, "Speck Dev Kit Datasheet", chapter 3; samna's reference of the configuration classes.
"""

from __future__ import annotations

from typing import Any

from neurojax.chips.dynapcnn import DECIMATIONS, READOUT, ChipSpec, devices
from neurojax.fixed_point import integer_range
from neurojax.hardware._rules import (
    OBJECT,
    POSITIVE,
    SURROGATE,
    TEXT,
    TRUTH,
    AnyRule,
    Each,
    Fields,
    Kinds,
    Named,
    Optional,
    OrEmpty,
    Tensor,
    integer,
    list_of,
    maybe,
    one_of,
    schema_of,
)

FORMAT = "neurojax.dynapcnn"
VERSION = 2

_SIZE = integer(1, 1 << 16)
_COUNT = integer(0, 1 << 40)


def has_extras(chip: ChipSpec) -> bool:
    """Speck 2e and 2f, whose configuration has decimators, balancers and a filter of the camera."""
    return chip.vendor_module in ("samna.speck2e", "samna.speck2f")


def file_rules(chip: ChipSpec) -> Fields:
    """Everything in a file for a device."""
    return {
        "format": one_of(FORMAT),
        "version": one_of(VERSION),
        "device": TEXT,
        "network": {
            "inputs": Named(list_of(_SIZE)),
            "outputs": list_of(TEXT),
            "edges": Each(list_of(TEXT, 2)),
            "layers": Each(Kinds(_layer_rules(chip))),
        },
        "vendor": vendor_rules(chip),
    }


def _layer_rules(chip: ChipSpec) -> dict[str, Fields]:
    """An entry of `network.layers`, by its kind."""
    core = {
        "made_of": list_of(TEXT),
        "scale": POSITIVE,
        "rescale": POSITIVE,
        "core": integer(0, len(chip.cores) - 1),
        "vanished": _COUNT,
        "notes": list_of(TEXT),
        "flat": TRUTH,
        "has_bias": TRUTH,
        "bias_bits": integer(chip.weight_bits, chip.bias_bits),
        "max_spikes": maybe(integer(1, 1 << 24)),
        "detach_reset": TRUTH,
        "surrogate": maybe(SURROGATE),
        "surrogate_scale": POSITIVE,
        "overflow": maybe(one_of("saturate", "wrap")),
        "count_overflow": TRUTH,
        "leak_every": maybe(integer(1, 1 << 31)),
    }
    window = integer(1, chip.max_input_size)
    crop = list_of(list_of(integer(0, chip.dvs_size), 2), 2)
    dvs = {
        "pool": list_of(one_of(*chip.poolings), 2),
        "crop": maybe(crop),
        "merge_polarities": TRUTH,
        "flip_x": TRUTH,
        "flip_y": TRUTH,
        "swap_xy": TRUTH,
        "pixel_array": TRUTH,
    }
    kinds: dict[str, dict[str, Any]] = {
        "Core": core,
        "SumPool2d": {"kernel_size": list_of(window, 2)},
        "Add": {},
        "Concat": {"axis": integer(-3, 2)},
        "Flatten": {},
        "DVS": dvs,
    }
    return {kind: {"name": TEXT} | fields for kind, fields in kinds.items()}


def vendor_rules(chip: ChipSpec) -> Fields:
    """The vendor's part: what its configuration object is given."""
    core: Any = OrEmpty(core_rules(chip))
    fields: dict[str, Any] = {
        "dvs_layer": _dvs_rules(chip),
        "cnn_layers": Each(core, len(chip.cores)),
        "readout": Optional(_READOUT),
    }
    if has_extras(chip):
        fields["dvs_filter"] = Optional(_DVS_FILTER)
        fields["factory_config"] = Optional(OBJECT)
    return fields


def core_rules(chip: ChipSpec) -> Fields:
    """Fields of a core in use."""
    low, high = integer_range(chip.state_bits)
    size_in, size_out = integer(1, chip.max_input_size), integer(1, chip.max_neuron_size)
    features = integer(1, chip.max_features)
    padding, stride = integer(0, chip.max_padding), one_of(*chip.strides)
    destination = {
        "layer": one_of(*range(len(chip.cores)), READOUT),
        "enable": TRUTH,
        "pooling": one_of(*chip.poolings),
        "feature_shift": Optional(integer(0, chip.max_features)),
    }
    fields: dict[str, Any] = {
        "dimensions": {
            "input_shape": {"size": {"x": size_in, "y": size_in}, "feature_count": features},
            "output_shape": {"size": {"x": size_out, "y": size_out}, "feature_count": features},
            "padding": {"x": padding, "y": padding},
            "stride": {"x": stride, "y": stride},
            "kernel_size": integer(1, chip.max_kernel),
        },
        "destinations": Optional(Each(OrEmpty(destination), chip.destinations)),
        "weights": Tensor(4, *integer_range(chip.weight_bits)),
        "biases": Tensor(1, *integer_range(chip.bias_bits)),
        "neurons_initial_value": Tensor(3, low, high),
        "threshold_high": integer(1, high),
        "threshold_low": integer(low, high),
        "return_to_zero": TRUTH,
        "monitor_enable": TRUTH,
        "leak_enable": TRUTH,
    }
    if chip.kill_bits:
        fields |= {
            "weights_kill_bit": Tensor(4, None),
            "biases_kill_bit": Tensor(1, None),
            "neurons_value_kill_bit": Tensor(3, None),
        }
    if has_extras(chip):
        fields |= {
            "input_congestion_balancer_enable": Optional(TRUTH),
            "output_decimator_enable": Optional(TRUTH),
            "output_decimator_interval": Optional(integer(0, len(DECIMATIONS) - 1)),
            "leak_internal_slow_clk_enable": Optional(TRUTH),
        }
    return fields


def _dvs_rules(chip: ChipSpec) -> Fields:
    pixel = integer(0, chip.dvs_size - 1)
    destination = {
        "layer": integer(0, len(chip.cores) - 1),
        "enable": TRUTH,
        "feature_shift": Optional(integer(0, chip.max_features)),
    }
    fields: dict[str, AnyRule] = {
        "merge": TRUTH,
        "mirror": {"x": TRUTH, "y": TRUTH},
        "mirror_diagonal": TRUTH,
        "origin": {"x": pixel, "y": pixel},
        "cut": {"x": pixel, "y": pixel},
        "pooling": {"x": one_of(*chip.poolings), "y": one_of(*chip.poolings)},
        "destinations": Each(OrEmpty(destination), chip.destinations),
        "monitor_enable": TRUTH,
        "raw_monitor_enable": TRUTH,
        "on_channel": TRUTH,
        "off_channel": TRUTH,
    }
    return {"pass_sensor_events": TRUTH} | {name: Optional(rule) for name, rule in fields.items()}


_READOUT: Fields = {
    "enable": TRUTH,
    "internal_slow_clk": Optional(TRUTH),
    "low_pass_filter32_not16": Optional(TRUTH),
    "low_pass_filter_disable": Optional(TRUTH),
    "monitor_enable": Optional(TRUTH),
    "output_mode_sel": Optional(integer(0, 3)),
    "output_neuron_num": Optional(integer(0, 15)),
    "override_threshold_max": Optional(TRUTH),
    "readout_configuration_sel": Optional(integer(0, 3)),
    "readout_pin_monitor_enable": Optional(TRUTH),
    "threshold": Optional(integer(0, (1 << 16) - 1)),
}

_DVS_FILTER: Fields = {
    "enable": TRUTH,
    "filter_size": Optional({"x": integer(0, 15), "y": integer(0, 15)}),
    "hot_pixel_filter_enable": Optional(TRUTH),
    "internal_slow_clk": Optional(TRUTH),
    "low_pass_mode_enable": Optional(TRUTH),
    "threshold": Optional(integer(0, (1 << 16) - 1)),
}

SLOW_CLOCK_DIVIDERS = range(14, 18)
"""The slow clock ticks once in 2^14 to 2^17 events of the camera."""


def schema() -> dict[str, Any]:
    """The JSON schema of configuration files, for tools that check or complete them.

    It says what each field may hold. What fields ask of one another (sizes that follow from the
    network, destinations that follow from its edges) only `load` checks.

    Example:
        >>> from neurojax.hardware.dynapcnn import schema
        >>> schema()["properties"]["version"]
        {'enum': [2]}
    """
    families: dict[str, tuple[list[str], dict[str, Any]]] = {}
    for chip in devices.values():
        rules = schema_of(file_rules(chip))
        names, _ = families.setdefault(repr(rules["properties"]), ([], rules["properties"]))
        names.append(chip.name)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of a DYNAP-CNN or Speck, written by neurojax",
        "type": "object",
        "required": ["format", "version", "device", "network", "vendor"],
        "additionalProperties": False,
        "properties": {
            "format": {"enum": [FORMAT]},
            "version": {"enum": [VERSION]},
            "device": {"enum": list(devices)},
            "network": {"type": "object"},
            "vendor": {"type": "object"},
        },
        "allOf": [
            {
                "if": {"properties": {"device": {"enum": names}}},
                "then": {"properties": {part: properties[part] for part in ("network", "vendor")}},
            }
            for names, properties in families.values()
        ],
    }
