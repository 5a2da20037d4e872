"""Objects of the shape of samna's: attributes of fixed names, and lists that can only be indexed.

The names are those of samna's public reference. Not even reading an attribute is possible that the
class does not have, as with the vendor's objects.
"""

_CORE = [
    "biases",
    "dimensions",
    "leak_enable",
    "monitor_enable",
    "neurons_initial_value",
    "return_to_zero",
    "threshold_high",
    "threshold_low",
    "weights",
]
_CORE_2E = [
    "input_congestion_balancer_enable",
    "output_decimator_enable",
    "output_decimator_interval",
    "leak_internal_slow_clk_enable",
]
_KILL_BITS = ["weights_kill_bit", "biases_kill_bit", "neurons_value_kill_bit"]
_DESTINATION = ["layer", "enable", "pooling", "feature_shift"]
_CAMERA = [
    "cut",
    "merge",
    "mirror",
    "mirror_diagonal",
    "monitor_enable",
    "off_channel",
    "on_channel",
    "origin",
    "pass_sensor_events",
    "pooling",
    "raw_monitor_enable",
]
_READOUT = [
    "enable",
    "internal_slow_clk",
    "low_pass_filter32_not16",
    "low_pass_filter_disable",
    "monitor_enable",
    "output_mode_sel",
    "output_neuron_num",
    "override_threshold_max",
    "readout_configuration_sel",
    "readout_pin_monitor_enable",
    "threshold",
]
_FILTER = [
    "enable",
    "filter_size",
    "hot_pixel_filter_enable",
    "internal_slow_clk",
    "low_pass_mode_enable",
    "threshold",
]


class Indexed:
    """A list with nothing but an index, and bounds."""

    def __init__(self, make, count):
        self._entries = [make() for _ in range(count)]

    def __getitem__(self, index):
        if not 0 <= index < len(self._entries):
            raise IndexError(index)
        return self._entries[index]

    def plain(self):
        return [entry.plain() for entry in self._entries]


class Recorder:
    """Remembers what is written to it under the names it knows."""

    def __init__(self, values, **objects):
        object.__setattr__(self, "_known", set(values))
        object.__setattr__(self, "_objects", objects)
        object.__setattr__(self, "_written", {})

    def __getattr__(self, name):
        if name in self._objects:
            return self._objects[name]
        raise AttributeError(f"no attribute '{name}'")

    def __setattr__(self, name, value):
        if name not in self._known:
            raise AttributeError(f"no attribute '{name}'")
        self._written[name] = value

    def plain(self):
        """What was written, as nested dictionaries; objects that nothing was written to are left
        out, those in lists are empty."""
        written = {name: made.plain() for name, made in self._objects.items()}
        return self._written | {
            name: value
            for name, value in written.items()
            if (any(value) if isinstance(value, list) else value)
        }


def configuration_object(device):
    """An empty configuration of a device."""
    late = device.startswith(("speck2e", "speck2f"))
    old = device in ("dynapcnndevkit", "speck2b", "speck2btiny")
    destinations = lambda: Indexed(lambda: Recorder(_DESTINATION), 2)  # noqa: E731
    names = _CORE + _CORE_2E * late + _KILL_BITS * old
    core = lambda: Recorder(names, destinations=destinations())  # noqa: E731
    parts = {
        "cnn_layers": Indexed(core, 5 if device.endswith("mini") else 9),
        "dvs_layer": Recorder(_CAMERA, destinations=destinations()),
        "readout": Recorder(_READOUT),
    }
    if late:
        parts["dvs_filter"] = Recorder(_FILTER)
        parts["factory_config"] = Recorder(["internal_slow_clk_divider", "io_sel"])
    return Recorder([], **parts)
