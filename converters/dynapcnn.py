"""`DynapcnnNetwork`: sinabs' class for DYNAP-CNN and Speck, over the mapping and the configuration.

Nothing is computed here: a model becomes a network, `neurojax.chips.dynapcnn.map` puts it on the
chip, `neurojax.simulate` runs it, and `neurojax.hardware.dynapcnn.configure` writes it down.

References:
    sinabs 2.0.0 and 3.1.3, `sinabs.backend.dynapcnn.DynapcnnNetwork`.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from neurojax._network import Network
from neurojax.chips import MappedNetwork, MappingError
from neurojax.chips.dynapcnn import (
    DVS,
    ChipSpec,
    Core,
    CoreSpec,
    cores_of,
    dvs_of,
    map as map_network,
    memory_of,
    parse_device,
    spec,
)
from neurojax.converters._dynapcnn_simulation import Simulation
from neurojax.converters._dynapcnn_source import read_source
from neurojax.hardware.dynapcnn import Board, Configuration, configure

DEVICE = "speck2fmodule"
"""Where nothing else is said."""


class DynapcnnNetwork:
    """A spiking model on a chip of the DYNAP-CNN family, used as in sinabs.

    Layers have numbers, in the order in which spikes pass them: 0 is the first core's, whether
    there is a DVSLayer in front of it or not.

    Args:
        snn: A module of torch with sinabs' layers, a `sinabs.Network`, or a network of neurojax.
        input_shape: (features, height, width) of the input; a DVSLayer or a network knows it.
        dvs_input: Whether events of the chip's own camera come in: True puts a DVS block in front
            where there is none. None leaves the model's own as it is.
        discretize: Compute with the chip's integers. False: with the model's real numbers, for
            comparisons; a configuration has the integers all the same.
        batch_size: Samples that share the first axis of an input with the time steps, as sinabs'
            squeezing layers have it. Default: what those layers say, or 1.
        num_timesteps: The time steps, instead of the samples.
        **options: More options of `neurojax.chips.dynapcnn.map`, such as `bias_bits=16`.

    Attributes:
        network: What is simulated, for training and probes too; with `discretize=False` the model.
        mapped: The mapping that `network` is part of; `mapped.report()` explains it.
        configuration: What the last `make_config` or `to` returned, or None.

    Raises:
        MappingError: No chip of the family can hold such a layer, with every reason. Whether the
            layers fit a device is asked by `is_compatible_with` and `make_config`.
        ValueError: The model can't be read, or its input's shape is not known.

    Example:
        >>> import jax.numpy as jnp, numpy as np, neurojax as nj
        >>> from neurojax.converters.dynapcnn import DynapcnnNetwork
        >>> net = nj.Sequential((1, 4, 4), conv=nj.Conv2d.from_weights(jnp.ones((2, 1, 3, 3))),
        ...                     spikes=nj.IAF(v_min=-1.0, max_spikes=None))
        >>> chip = DynapcnnNetwork(net)
        >>> chip(np.ones((5, 1, 4, 4))).shape  # five time steps
        (5, 2, 2, 2)
        >>> chip.make_config(device="speck2fmodule").cores, chip.find_chip_layer(0)
        ({'spikes': 0}, 0)
    """

    def __init__(
        self,
        snn: Any,
        input_shape: Sequence[int] | None = None,
        dvs_input: bool | None = False,
        discretize: bool = True,
        *,
        batch_size: int | None = None,
        num_timesteps: int | None = None,
        **options: Any,
    ) -> None:
        self._source, batch, steps = read_source(snn, input_shape, batch_size, num_timesteps)
        self._options = {"dvs_input": dvs_input, **options}
        self.discretize = discretize
        self.mapped: MappedNetwork = self._map(_any_device(len(self._source.names)))
        self.configuration: Configuration | None = None
        self._simulation = Simulation(
            self.mapped.network, None if discretize else self._source, batch, steps
        )
        self._board: Board | None = None

    def _map(self, device: str | ChipSpec) -> MappedNetwork:
        return map_network(self._source, device=device, **self._options)

    # What it is made of.

    @property
    def network(self) -> Network:
        """What is simulated."""
        return self.mapped.network if self.discretize else self._source

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Name in `network` of each layer; its position is the layer's number."""
        return cores_of(self.mapped.network)

    @property
    def dynapcnn_layers(self) -> dict[int, Core]:
        """The cores by number."""
        return {i: self._core(name) for i, name in enumerate(self.layer_names)}

    def _core(self, name: str) -> Core:
        core = self.mapped.network[name]
        assert isinstance(core, Core)
        return core

    @property
    def dvs_layer(self) -> DVS | None:
        """The block in front of the cores, if there is one."""
        name = dvs_of(self.mapped.network)
        layer = None if name is None else self.mapped.network[name]
        return layer if isinstance(layer, DVS) else None

    def has_dvs_layer(self) -> bool:
        """Whether there is a DVS block in front of the cores."""
        return self.dvs_layer is not None

    @property
    def layer_destination_map(self) -> dict[int | str, list[int]]:
        """Where each layer's spikes go; -1, -2, ... are outputs of the network."""
        ways = self._simulation.ways
        return {source: list(ends) for source, ends in ways.items() if source != "input"}

    @property
    def exit_layer_ids(self) -> list[int | str]:
        """Numbers of the layers whose spikes are an output."""
        return [i for i, ends in self.layer_destination_map.items() if min(ends, default=0) < 0]

    def memory_summary(self) -> dict[str, dict[int, int]]:
        """Words of kernel, neuron and bias memory that each layer takes, by its number."""
        network = self.mapped.network
        words = []
        for name in self.layer_names:
            core = self._core(name)
            neurons = core.neuron_shape(network.in_shape(name))
            words.append(memory_of(core.weight.shape, neurons, bias=core.bias is not None))
        return {
            kind: {i: getattr(memory, kind) for i, memory in enumerate(words)}
            for kind in ("kernel", "neuron", "bias")
        }

    # Simulation.

    def __call__(self, x: Any, return_complete: bool = False) -> Any:
        """Same as `forward`."""
        return self.forward(x, return_complete)

    def forward(self, x: Any, return_complete: bool = False) -> Any:
        """Run the network on; membranes stay from call to call.

        Args:
            x: `[batch * time, features, height, width]`, the steps of one sample after each other,
                as sinabs' squeezing layers take it: a tensor of torch or an array. On a board:
                events, as `neurojax.chips.dynapcnn.raster_to_events` makes them, or a list of
                samna's.
            return_complete: Return what every layer sends.

        Returns:
            The output, `[batch * time, ...]` with the shape that the model's own outputs have, of
            the same kind as `x`. With several outputs, or `return_complete`, a dict: by number of
            the layer, then of the destination; -1, -2, ... are outputs. Gradients don't pass to
            torch: train `network`. On a board: the events that its monitors report.

        Raises:
            ValueError: The first axis is no multiple of the samples or steps.
        """
        if self._board is not None:
            return self._board.run(x)
        return self._simulation.run(self.network, x, return_complete)

    def reset_states(self, randomize: bool = False, *, seed: int = 0) -> None:
        """Set all membranes to zero, or to random values below the threshold.

        Args:
            randomize: Draw them: whole numbers between the lower bound and the threshold, or real
                ones between 0 and 1 with `discretize=False`, as sinabs. Not on a board.
            seed: Of the random numbers.
        """
        if self._board is not None:
            if randomize or self.configuration is None:
                raise ValueError(
                    "reset_states: on a board membranes are set to zero, not at random"
                )
            self._board.apply(self.configuration)
            return
        self._simulation.reset(self.network, randomize=randomize, seed=seed)

    # The chip.

    def is_compatible_with(self, device_type: str) -> bool:
        """Whether a device can hold the network; an unknown device raises a ValueError."""
        try:
            self._map(spec(device_type))
        except MappingError:
            return False
        return True

    def make_config(
        self,
        chip_layers_ordering: str | Sequence[int] | Mapping[int, int] = "auto",
        device: str = DEVICE,
        monitor_layers: str | Sequence[int | str] | None = None,
        config_modifier: Callable[..., Any] | None = None,
        *,
        layer2core_map: str | Mapping[int, int] | None = None,
    ) -> Configuration:
        """The configuration of a device; `.vendor` is what the vendor's library takes.

        Args:
            chip_layers_ordering: `"auto"`, the core of each layer in their order, or
            device: Name of the device.
            monitor_layers: Numbers or names of the layers whose spikes are reported, `"dvs"` for
                the camera's, -1 for all that are outputs; `"all"`. None: -1.
            config_modifier: Called with the vendor's part, returns what is to be used.
            layer2core_map: sinabs 3's name for a dict of cores by number of the layer.

        Raises:
            MappingError: The device can't hold the network so, with every reason.
            ValueError: An unknown device or layer.
        """
        chosen = chip_layers_ordering if layer2core_map is None else layer2core_map
        name, _ = parse_device(device)
        placed = self._map(spec(name)).with_network(self.mapped.network)
        options: dict[str, Any] = {"monitor": self._watched(monitor_layers)}
        if config_modifier is not None:
            options["modifier"] = config_modifier
        self.configuration = configure(placed, cores=self._places(chosen), **options)
        return self.configuration

    def _places(self, chosen: str | Sequence[int] | Mapping[int, int]) -> str | dict[str, int]:
        if isinstance(chosen, str):
            return chosen
        names = self.layer_names
        numbers = dict(chosen) if isinstance(chosen, Mapping) else dict(enumerate(chosen))
        if set(numbers) != set(range(len(names))):
            raise ValueError(
                f"make_config: cores for layers {sorted(numbers)}; the network has layers "
                f"0 to {len(names) - 1}, and each needs a core"
            )
        return {names[i]: core for i, core in numbers.items()}

    def _watched(self, layers: str | Iterable[int | str] | None) -> Any:
        """As `configure` takes it: names instead of numbers."""
        if layers is None or layers == "all":
            return layers
        names = self.layer_names
        watched: list[int | str] = []
        for layer in [layers] if isinstance(layers, str) else layers:
            if isinstance(layer, str) or layer == -1:
                watched.append("dvs" if str(layer).lower() == "dvs" else layer)
            elif 0 <= layer < len(names):
                watched.append(names[layer])
            else:
                raise ValueError(
                    f"make_config: no layer {layer} to monitor; there are 0 to {len(names) - 1}, "
                    "-1 for the outputs and 'dvs'"
                )
        return watched

    def to(
        self,
        device: Any = "cpu",
        monitor_layers: str | Sequence[int | str] | None = None,
        config_modifier: Callable[..., Any] | None = None,
        slow_clk_frequency: float | None = None,
        chip_layers_ordering: str | Sequence[int] | Mapping[int, int] = "auto",
        *,
        layer2core_map: str | Mapping[int, int] | None = None,
    ) -> DynapcnnNetwork:
        """Put the network on a board, through samna; or back into the simulation.

        Args:
            device: Name of a device, `"name:index"`; `"cpu"` or `"cuda"` simulate, where jax does.
            monitor_layers: As for `make_config`.
            config_modifier: As for `make_config`.
            slow_clk_frequency: Of the board's slow clock, which biases need, in Hz.
            chip_layers_ordering: As for `make_config`.
            layer2core_map: As for `make_config`.

        Returns:
            This network.

        Raises:
            ImportError: samna is not there.
            ValueError: samna refuses the configuration, or an unknown device.
        """
        if self._board is not None:
            self._board.close()
            self._board = None
        if str(device).partition(":")[0] in ("cpu", "cuda", "mps"):
            return self
        placed = self.make_config(
            chip_layers_ordering,
            device,
            monitor_layers,
            config_modifier,
            layer2core_map=layer2core_map,
        )
        _, index = parse_device(device)
        self._board = Board(placed, board=index, slow_clock_hz=slow_clk_frequency)
        return self

    @property
    def is_deployed_on_dynapcnn_device(self) -> bool:
        """Whether it runs on a board."""
        return self._board is not None

    @property
    def layer2core_map(self) -> dict[int, int] | None:
        """Core of each layer by number, once `make_config` has placed them."""
        if self.configuration is None:
            return None
        cores = self.configuration.cores
        return {i: cores[name] for i, name in enumerate(self.layer_names)}

    @property
    def chip_layers_ordering(self) -> list[int] | None:
        """Core of each layer in their order, once `make_config` has placed them."""
        found = self.layer2core_map
        return None if found is None else list(found.values())

    def find_chip_layer(self, layer: int) -> int:
        """Core of a layer; -1 is the last.

        Raises:
            ValueError: The layers have no cores yet.
            IndexError: There is no such layer.
        """
        cores = self.chip_layers_ordering
        if cores is None:
            raise ValueError("find_chip_layer: the layers have no cores yet; call make_config")
        if not -len(cores) <= layer < len(cores):
            raise IndexError(f"find_chip_layer: no layer {layer}; there are 0 to {len(cores) - 1}")
        return cores[layer]

    def __repr__(self) -> str:
        layers = [
            f"{i}: '{name}'" + ("" if (c := self.layer2core_map) is None else f" on core {c[i]}")
            for i, name in enumerate(self.layer_names)
        ]
        return f"DynapcnnNetwork({', '.join(layers)})"


class DynapcnnCompatibleNetwork(DynapcnnNetwork):
    """Former name of `DynapcnnNetwork`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            "DynapcnnCompatibleNetwork is now called DynapcnnNetwork",
            DeprecationWarning,
            stacklevel=2,
        )
        super().__init__(*args, **kwargs)


def _any_device(layers: int) -> ChipSpec:
    """A chip that holds whatever the family computes: placing comes with a device's name."""
    large, words = 1 << 20, 1 << 50
    return dataclasses.replace(
        spec(DEVICE),
        name="any device",
        cores=(CoreSpec(words, words, words),) * layers,
        max_input_size=large,
        max_neuron_size=large,
        max_features=large,
        max_kernel=large,
        max_padding=large,
        strides=tuple(range(1, 129)),
        poolings=tuple(range(1, 129)),
        destinations=max(layers, 2),
    )
