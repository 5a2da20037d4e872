"""SpikingJelly and snnTorch models on CRI, with the names and arguments of hs_api's converter.

Underneath is the ordinary path: `from_torch`, `chips.cri.mapping.map`, `describe_network`. What
hs_api does wrong is right here: thresholds belong to their own layer, biases last until the input
has come through, no time step is lost, leaks and biases are exact, models may have any `forward`.
`compat="main"` brings all of that back, to compare with it.

Example:
    >>> import numpy as np, torch
    >>> from spikingjelly.activation_based import neuron
    >>> from neurojax.converters.cri import CRI_Converter
    >>> fc = torch.nn.Linear(2, 1, bias=False)
    >>> _ = torch.nn.init.constant_(fc.weight, 3.0)
    >>> model = torch.nn.Sequential(fc, neuron.IFNode(v_threshold=6.0))
    >>> converter = CRI_Converter(4, 0, 0, (2,), 6, 0)
    >>> converter.layer_converter(model)
    >>> converter.axon_dict
    {'a0': [('0', 3)], 'a1': [('0', 3)]}
    >>> inputs = converter.input_converter(np.ones((1, 2)))
    >>> converter.run_CRI_sw(inputs, converter.network)
    [[4]]

References:
    hs_api, `converter.py`, https://github.com/Integrated-Systems-Neuroengineering/hs_api
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from neurojax._network import Network
from neurojax.chips._mapped import MappedNetwork
from neurojax.chips.cri.description import CRINetwork
from neurojax.chips.cri.mapping import map as map_network
from neurojax.chips.cri.unroll import Block, describe_network, unroll
from neurojax.converters import _cri_models as models
from neurojax.converters._cri_inputs import ENCODINGS, encoded
from neurojax.converters._cri_quantise import (
    COMPATIBLE,
    BN_Folder as BN_Folder,
    Quantize_Network as Quantize_Network,
    isSNNLayer as isSNNLayer,
    weight_quantization as weight_quantization,
    whole_weights,
)
from neurojax.converters.torch import from_torch
from neurojax.layers import Conv1d, Conv2d, Linear, fold_batch_norm

BACKENDS = ("spikingjelly", "snntorch")
Inputs = Sequence[Sequence[Sequence[str]]]
"""For each sample and step the active axons."""


class CRI_Converter:
    """Converts torch models and their inputs, and runs them.

    Args:
        num_steps: Time steps of an input.
        input_layer: Number of the first layer to convert, counting modules without children (and
            neurons) from 0; earlier ones are left out.
        output_layer: Number of the last layer with weights; what comes behind its neurons is left
            out. -1: the last one.
        input_shape: Of one sample in one step, where the converted part begins.
        v_threshold: hs_api's argument; thresholds are those of the model's neurons.
        embed_dim: hs_api's argument, of transformers, whose shapes the model says; it is kept as an
            attribute.
        backend: "spikingjelly" or "snntorch"; modules are known by themselves.
        dvs: Whether inputs have a time axis: `[batch, time, ...]`.
        converted_model_pth: Folder for `save_model`.
        snn_layers: hs_api's argument; it is counted.
        encoding: Of inputs without time: "binary": what is not 0 spikes in every step. "rate": at
            random, with the value (0 to 1) as probability, by `key`. "latency": once, the larger
            the value the earlier.
        key: Of the encoding "rate".
        compat: "main": as hs_api does it, defects included.

    Attributes:
        axon_dict, neuron_dict, output_neurons: The network, as `CRINetwork` takes it.
        network: The same as a `CRINetwork`.
        mapped: The same as layers, see `neurojax.chips.cri.mapping.map` (with sums="unlimited");
            `mapped.report()`.
        bias_dict: For each layer the numbers of its bias axons, `(first, end)`, or (-1, -1).
        snn_layers: Populations on the way from input to output.
        total_axonSyn, total_neuronSyn, max_fan: Synapses, and the most that a source has.
    """

    HIGH_SYNAPSE_WEIGHT = 1e6
    NULL_NEURON = -1
    NULL_INDICIES = (-1, -1)
    PERTUBATION = 0
    LEAK_LIF = 63

    def __init__(
        self,
        num_steps: int,
        input_layer: int,
        output_layer: int,
        input_shape: Sequence[int],
        v_threshold: float | None = None,
        embed_dim: int = 0,
        backend: str = "spikingjelly",
        dvs: bool = False,
        converted_model_pth: str | os.PathLike[str] = "./converted_model",
        *,
        snn_layers: int | None = None,
        encoding: str = "binary",
        key: PRNGKeyArray | None = None,
        compat: str | None = None,
    ) -> None:
        if isinstance(input_shape, int):
            raise TypeError(
                f"CRI_Converter: input_shape is {input_shape!r}; it must be a shape. If this is "
                "hs_api's snn_layers, leave it out: layers are counted"
            )
        for what, value, legal in (
            ("backend", backend, BACKENDS),
            ("encoding", encoding, ENCODINGS),
            ("compat", compat, COMPATIBLE),
        ):
            if value not in legal:
                raise ValueError(f"CRI_Converter: {what} is {value!r}; it must be in {legal}")
        if num_steps < 1:
            raise ValueError(f"CRI_Converter: num_steps is {num_steps!r}; it must be >= 1")
        self.num_steps, self.input_layer, self.output_layer = num_steps, input_layer, output_layer
        self.input_shape = tuple(input_shape)
        self.v_threshold, self.embed_dim, self.backend = v_threshold, embed_dim, backend
        self.dvs, self.converted_model_pth = dvs, converted_model_pth
        self.encoding, self.compat = encoding, compat
        self._key = key
        self.snn_layers = snn_layers or 0
        self.axon_dict: dict[Any, list[tuple[Any, int]]] = {}
        self.neuron_dict: dict[Any, tuple[list[tuple[Any, int]], Any]] = {}
        self.output_neurons: list[Any] = []
        self.bias_dict: dict[int, tuple[int, int]] = {}
        self.layer_index = self.axon_offset = self.neuron_offset = self.bias_start_idx = 0
        self.total_axonSyn = self.total_neuronSyn = self.max_fan = 0
        self.curr_input: Any = None
        self.q = self.k = self.v = None  # hs_api's; each product takes its factors from the model
        self.mapped: MappedNetwork | None = None
        self._network: CRINetwork | None = None
        self._biases: tuple[Block, ...] = ()

    @property
    def network(self) -> CRINetwork:
        """The converted network."""
        if self._network is None:
            raise ValueError("CRI_Converter: nothing is converted yet; call layer_converter(model)")
        return self._network

    def layer_converter(self, model: Any) -> None:
        """Convert a torch model, or a `Network`.

        Raises:
            MappingError: Something does not fit the chip, with every reason.
            ValueError: The model can't be imported, or not cut where input_layer and output_layer
                say.
        """
        if isinstance(model, Network):
            network = model
        else:
            part = models.between(model, self.input_layer, self.output_layer)
            network = from_torch(part, input_shape=self.input_shape)
            self.layer_index = len(models.leaves(model))
        network, scale = self._on_grid(fold_batch_norm(network))
        self.mapped = map_network(network, scale=scale, sums="unlimited")
        unrolled = unroll(self.mapped)
        self._network = describe_network(self.mapped, compat=self.compat, unrolled=unrolled)
        self.axon_dict = self._network.axons
        self.neuron_dict = self._network.connections
        self.output_neurons = list(self._network.outputs)
        self._biases = unrolled.biases
        self.snn_layers = unrolled.latency
        self._count(sum(block.size for block in unrolled.inputs))

    def _on_grid(self, network: Network) -> tuple[Network, dict[str, float] | None]:
        """The network, whole weights if it has been quantised, and the scales to map it with."""
        cut = self.compat is not None
        new = {}
        for name in network.names:
            layer = network[name]
            if not isinstance(layer, Linear | Conv1d | Conv2d):
                continue
            weight = whole_weights(np.asarray(layer.weight), cut=cut)
            bias = None if layer.bias is None else whole_weights(np.asarray(layer.bias), cut=cut)
            if weight is None or (bias is None) != (layer.bias is None):
                return network, None
            whole = (jnp.asarray(weight), None if bias is None else jnp.asarray(bias))
            new[name] = eqx.tree_at(
                lambda s: (s.weight, s.bias), layer, whole, is_leaf=lambda node: node is None
            )
        scales = {name: 1.0 for name in network.names if models.is_unscaled(network, name)}
        return network.replace(**new), scales

    def _count(self, inputs: int) -> None:
        self.bias_dict = {}
        for layer in range(self.snn_layers):
            ends = [block.numbers for block in self._biases if block.start == layer]
            self.bias_dict[layer] = (
                (min(n.start for n in ends), max(n.stop for n in ends))
                if ends
                else self.NULL_INDICIES
            )
        self.bias_start_idx = inputs
        self.axon_offset, self.neuron_offset = len(self.axon_dict), len(self.neuron_dict)
        self.curr_input = np.asarray([int(name) for name in self.output_neurons])
        fans = [len(synapses) for synapses in self.axon_dict.values()]
        others = [len(synapses) for synapses, _ in self.neuron_dict.values()]
        self.total_axonSyn, self.total_neuronSyn = sum(fans), sum(others)
        self.max_fan = max([*fans, *others], default=0)

    # Inputs

    def input_converter(self, x: Any) -> list[list[list[str]]]:
        """The active axons for each sample and step, those of biases included.

        Args:
            x: Tensor or array `[batch, *input_shape]`, or `[batch, time, *input_shape]` with
                `dvs=True`; what is not 0 is a spike (see `encoding`).

        Raises:
            ValueError: Nothing is converted yet; or x has another shape, or values beyond 0..1.
        """
        if self._network is None and self.compat is None:
            raise ValueError(
                "CRI_Converter: inputs include the axons of the biases, which are not known yet; "
                "call layer_converter(model) before input_converter(x)"
            )
        spikes = encoded(
            x,
            self.input_shape,
            steps=self.num_steps,
            dvs=self.dvs,
            encoding=self.encoding,
            key=self._key,
            by_second_axis=self.compat is not None,
        )
        biases = [self._active_biases(t, spikes.shape[1]) for t in range(spikes.shape[1])]
        return [
            [
                [f"a{i}" for i in np.flatnonzero(step)] + biases[t]
                for t, step in enumerate(sample.reshape(len(sample), -1))
            ]
            for sample in spikes
        ]

    def _active_biases(self, step: int, steps: int) -> list[str]:
        """Bias axons in a step: a layer's from the first input that reaches it to the last."""
        return [
            f"a{number}"
            for block in self._biases
            if block.start <= step < steps + block.start
            for number in block.numbers
        ]

    def _with_flush(self, sample: Sequence[Sequence[str]]) -> list[list[str]]:
        """Steps of a sample, and those in which its last inputs come through."""
        steps = len(sample)
        after = range(steps, steps + self.snn_layers)
        if self.compat is not None:
            return [*map(list, sample), *([] for _ in after)]
        return [*map(list, sample), *(self._active_biases(t, steps) for t in after)]

    def _counted(self, steps: int) -> range:
        """Steps whose spikes count, of a sample of so many steps."""
        late = self.snn_layers
        # hs_api loses the first of them if it comes with the flush.
        first = late + (self.compat is not None and steps <= late)
        return range(first, steps + late)

    # Runs

    def run_CRI_sw(
        self, inputList: Inputs, softwareNetwork: Any = None, outputPotential: bool = False
    ) -> Any:
        """Runs samples in the simulator.

        Args:
            inputList: From `input_converter`.
            softwareNetwork: A `CRINetwork`; default: `network`.
            outputPotential: Also return the membranes.

        Returns:
            For each sample the number of spikes of each output neuron: the prediction is the index
            of the largest. With `outputPotential` a pair of that and, for each sample and each
            counted step, the membranes of the output neurons after it.
        """
        network: Any = self.network if softwareNetwork is None else softwareNetwork
        counts, potentials = [], []
        for sample in inputList:
            steps = self._with_flush(sample)
            counted = self._counted(len(sample))
            network.reset()
            if outputPotential:
                answers = [network.step(axons, membranePotential=True) for axons in steps]
                spikes = [fired for _, fired in answers]
                membranes = [dict(found) for found, _ in answers]
                potentials.append(
                    [[membranes[t][key] for key in self.output_neurons] for t in counted]
                )
            else:
                spikes = network.run(steps)
            counts.append(self._sum(spikes[t] for t in counted))
        return (counts, potentials) if outputPotential else counts

    def run_CRI_hw(
        self, inputList: Inputs, hardwareNetwork: Any, outputPotential: bool = False, *, device: Any
    ) -> Any:
        """Runs samples on a device.

        Args:
            inputList: From `input_converter`; all samples have as many steps.
            hardwareNetwork: What `neurojax.hardware.cri.configure(network)` returns.
            outputPotential: Also return the membranes.
            device: `neurojax.hardware.cri.BridgeDevice()` for the machine, or `SimulatedDevice()`.

        Returns:
            What `run_CRI_sw` returns.
        """
        if len({len(sample) for sample in inputList}) > 1:
            raise ValueError("run_CRI_hw: samples differ in their number of steps")
        if not hasattr(hardwareNetwork, "axon_keys"):
            raise TypeError(
                f"run_CRI_hw: hardwareNetwork is a {type(hardwareNetwork).__name__}; pass "
                "neurojax.hardware.cri.configure(network)"
            )
        samples = [hardwareNetwork.events(self._with_flush(sample)) for sample in inputList]
        active = np.stack(samples, axis=1)
        seen = device.run(hardwareNetwork, active, membranes=outputPotential)
        counted = self._counted(len(inputList[0]))
        where = {key: i for i, key in enumerate(hardwareNetwork.output_keys)}
        order = [where[key] for key in self.output_neurons]
        counts = seen.spikes[counted.start : counted.stop].sum(axis=0)[:, order].tolist()
        if not outputPotential:
            return counts
        place = {key: i for i, key in enumerate(hardwareNetwork.neuron_keys)}
        columns = [place[key] for key in self.output_neurons]
        membranes = seen.membranes[counted.start : counted.stop][:, :, columns]
        return counts, np.swapaxes(membranes, 0, 1).tolist()

    def _sum(self, spikes: Any) -> list[int]:
        place = {key: i for i, key in enumerate(self.output_neurons)}
        counts = [0] * len(place)
        for fired in spikes:
            for key in fired:
                counts[place[key]] += 1
        return counts

    def save_model(self) -> str:
        """Writes `network.json` into the folder `converted_model_pth`; returns its path."""
        os.makedirs(self.converted_model_pth, exist_ok=True)
        path = os.path.join(self.converted_model_pth, "network.json")
        self.network.save(path)
        return path
