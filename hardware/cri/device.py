"""Devices that run a configuration: a simulated one, and the machine through its host software.

A device has one method, `run(configuration, inputs) -> Observables`.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool, Int, Shaped

from neurojax.chips.cri.noise import OFF
from neurojax.chips.cri.spec import MODELS
from neurojax.hardware.cri._machine import Core
from neurojax.hardware.cri.configuration import Configuration


class Observables(NamedTuple):
    """What a device measures."""

    spikes: Bool[np.ndarray, "time batch outputs"]
    """Of the configuration's outputs, by index."""
    membranes: Int[np.ndarray, "time batch neurons"] | None
    """Of all neurons at the end of each step, if asked for."""
    rows: Int[np.ndarray, "time batch"] | None
    """Accesses to memory; of a simulated device: rows of synapses that were read."""
    cycles: Int[np.ndarray, "time batch"] | None
    """Of the clock, that each step took; a simulated device has no clock."""


class Device(Protocol):
    """What runs configurations."""

    def run(
        self,
        configuration: Configuration,
        inputs: Shaped[np.ndarray, "time batch axons"],
        *,
        membranes: bool = False,
    ) -> Observables:
        """Run every sample from membranes of 0 on.

        Args:
            configuration: From `configure` or `load`.
            inputs: Axons that are not 0 are active.
            membranes: Also read the membranes after each step, which takes its time.
        """
        ...


class SimulatedDevice:
    """The machine in NumPy, from the words of the configuration.

    Args:
        seed: Of the noise of neurons that have some, in the form of the hardware. None: there must
            be no noise.

    Example:
        >>> from neurojax.chips.cri import CRINetwork, LIF_neuron
        >>> from neurojax.hardware.cri import SimulatedDevice, configure
        >>> lif = LIF_neuron(threshold=2)
        >>> neurons = {"a": ([("b", 3)], lif), "b": ([], lif)}
        >>> network = CRINetwork({"in": [("a", 3)]}, neurons, ["b"])
        >>> configuration = configure(network)
        >>> events = configuration.events([["in"], [], []])
        >>> SimulatedDevice().run(configuration, events[:, None]).spikes.ravel().tolist()
        [False, False, True]
    """

    def __init__(self, *, seed: int | None = None) -> None:
        self.seed = seed

    def run(
        self,
        configuration: Configuration,
        inputs: Shaped[np.ndarray, "time batch axons"],
        *,
        membranes: bool = False,
    ) -> Observables:
        """Run every sample from membranes of 0 on; see `Device`."""
        active = _active(configuration, inputs)
        time, batch, _ = active.shape
        noise = None if self.seed is None else np.random.default_rng(self.seed)
        if noise is None and _noisy(configuration):
            raise ValueError("neurons have noise (shift > -16): SimulatedDevice(seed=...)")
        cores = [Core(c, configuration.options, batch, noise) for c in configuration.cores]
        count = len(configuration.neuron_keys)
        spikes = np.zeros((time, batch, len(configuration.outputs)), bool)
        rows = np.zeros((time, batch), np.int64)
        v = np.zeros((time, batch, count), np.int64) if membranes else None
        for step in range(time):
            fired = [core.fire() for core in cores]
            every = np.zeros((batch, count), bool)
            for core, part in zip(cores, fired, strict=True):
                every[:, core.numbers] = part[:, core.real]
            for core, part in zip(cores, fired, strict=True):
                events = np.concatenate(
                    [active[step][:, core.axons], every[:, core.relays]], axis=1
                )
                rows[step] += core.integrate(events, part)
                if v is not None:
                    v[step][:, core.numbers] = core.v[:, core.real]
            spikes[step] = every[:, configuration.outputs]
        return Observables(spikes, v, rows, None)


def _noisy(configuration: Configuration) -> bool:
    types = [kind for core in configuration.cores for kind in core.image.types]
    return any(kind.model == MODELS["LIF"] and kind.shift > OFF["hardware"] for kind in types)


def _active(configuration: Configuration, inputs: Any) -> Bool[np.ndarray, "time batch axons"]:
    array = np.asarray(inputs)
    count = len(configuration.axon_keys)
    if array.ndim != 3 or array.shape[2] != count:
        raise ValueError(
            f"inputs have shape {array.shape}; they must be [time, batch, {count} axons] (of lists "
            "of keys: configuration.events(lists)[:, None])"
        )
    return array != 0


class BridgeDevice:
    """The machine, through hs_api and hs_bridge on its host.

    hs_api compiles the network itself, for the bitstream that it knows; so what it loads is the
    network of the configuration, not its image. hs_bridge is not on PyPI.

    Raises:
        ImportError: hs_api or hs_bridge are not there. (When a configuration is run, not before.)
    """

    def __init__(self) -> None:
        self._loaded: tuple[Configuration, Any] | None = None

    def run(
        self,
        configuration: Configuration,
        inputs: Shaped[np.ndarray, "time batch axons"],
        *,
        membranes: bool = False,
    ) -> Observables:
        """Run every sample from membranes of 0 on; see `Device`.

        Raises:
            ImportError: hs_api or hs_bridge are not there.
            ValueError: More than one core, which hs_api does not load.
        """
        active = _active(configuration, inputs)
        if len(configuration.cores) > 1:
            raise ValueError(
                f"the network is on {len(configuration.cores)} cores; hs_api loads one: "
                "configure(network, cores=1), or use a SimulatedDevice"
            )
        network, clear = self._load(configuration)
        time, batch, _ = active.shape
        index = {key: i for i, key in enumerate(configuration.output_keys)}
        place = {key: i for i, key in enumerate(configuration.neuron_keys)}
        spikes = np.zeros((time, batch, len(index)), bool)
        v = np.zeros((time, batch, len(place)), np.int64) if membranes else None
        cycles, accesses = np.zeros((2, time, batch), np.int64)
        for sample in range(batch):
            # Whole blocks: neurons of a second model lie behind the padding of the first.
            clear(len(configuration.cores[0].neurons), False, 0)
            for step in range(time):
                keys = [configuration.axon_keys[i] for i in np.flatnonzero(active[step, sample])]
                answer = network.step(keys, membranePotential=membranes)
                if v is not None:
                    potentials, answer = answer
                    for key, value in potentials:
                        if key in place:  # not of padding
                            v[step, sample, place[key]] = _signed(int(value))
                fired, cycles[step, sample], accesses[step, sample] = answer
                spikes[step, sample, [index[key] for key in fired]] = True
        return Observables(spikes, v, accesses, cycles)

    def _load(self, configuration: Configuration) -> tuple[Any, Any]:
        try:
            controller = importlib.import_module("hs_bridge.FPGA_Execution.fpga_controller")
            api = importlib.import_module("hs_api.api")
        except ImportError as error:
            raise ImportError(
                f"{error}. The machine is reached through hs_api and hs_bridge, which its hosts "
                "have and PyPI has not; SimulatedDevice() runs configurations without them"
            ) from error
        if self._loaded is None or self._loaded[0] is not configuration:
            arguments = configuration.network.to_hs_api() | {"target": "CRI"}
            if "config" not in inspect.signature(api.CRI_network).parameters:  # later versions
                del arguments["config"]
            self._loaded = (configuration, api.CRI_network(**arguments))
        return self._loaded[1], controller.clear


def _signed(value: int) -> int:
    """The machine's membranes come as unsigned numbers of 35 bits."""
    return value - (1 << 35) if value >= 1 << 34 else value
