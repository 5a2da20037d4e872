"""Networks as PyTorch modules: `TorchLayer` holds what one layer holds, `TorchNetwork` runs them.

Nothing of JAX is left inside: a module is copied, moved, trained and saved like any other. It knows
what it was made of, so that a network can be made of it again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import torch

from neurojax._graph import nearest
from neurojax._layer import Constant, Layer
from neurojax._network import Network, check_finite
from neurojax.converters._torch_file import array_of
from neurojax.converters._torch_module.families import FAMILIES
from neurojax.converters._torch_module.layers import LAYERS
from neurojax.converters._torch_module.neurons import NEURONS
from neurojax.converters._torch_module.surrogates import DERIVATIVES
from neurojax.layers._inference import Switch
from neurojax.layers._weights import assemble
from neurojax.surrogate import Surrogate

Tensor = Any
PROGRAMS = LAYERS | NEURONS | FAMILIES


class TorchState(NamedTuple):
    """Everything a run needs to go on where another one stopped; batch first."""

    layers: dict[str, Any]  # state of each layer
    delayed: dict[str, Tensor]  # last output of each source of a recurrent edge

    def detach(self) -> TorchState:
        """The same numbers without their history, for truncated back-propagation through time."""
        return TorchState(_detached(self.layers), _detached(self.delayed))


class TorchRun(NamedTuple):
    """What a run returns."""

    outputs: Any  # [time, batch, ...]; a dict by name if the network has several outputs
    state: TorchState


class TorchLayer(torch.nn.Module):  # type: ignore[misc]
    """One layer: arrays as parameters, `buffers` and plain numbers as buffers, all by field."""

    def __init__(self, layer: Layer, in_shape: Any) -> None:
        super().__init__()
        self.kind = type(layer)
        self.in_shape = in_shape
        self.options: dict[str, Any] = {}
        self.constants: dict[str, float] = {}
        self.parts: list[str] = []  # what of the children is a part of this layer
        self.text = layer.describe().removeprefix(type(layer).__name__).strip(" ,")
        for field in dataclasses.fields(layer):
            value = getattr(layer, field.name)
            if isinstance(value, Switch):
                self.train(not value.flag)
            elif isinstance(value, Constant):
                # As float64: the number that was given, until it meets a tensor in a run.
                self.register_buffer(field.name, torch.tensor(float(value), dtype=torch.float64))
                self.constants[field.name] = float(value)
            elif eqx.is_array(value):
                self._hold(field.name, value, trained=field.name not in layer.buffers)
            elif isinstance(value, Layer):
                back = field.name == "synapse"  # of a feedback: it is given what the neurons give
                shape = layer.neuron.out_shape(in_shape) if back else in_shape  # type: ignore[attr-defined]
                self._add_part(field.name, TorchLayer(value, shape))
            elif isinstance(value, tuple) and any(isinstance(link, Layer) for link in value):
                links, shape = torch.nn.ModuleList(), in_shape
                for link in value:
                    links.append(TorchLayer(link, shape))
                    shape = link.out_shape(shape)
                self._add_part(field.name, links)
            else:
                self.options[field.name] = value

    def _add_part(self, name: str, module: Any) -> None:
        self.parts.append(name)
        self.add_module(name, module)

    def _hold(self, name: str, value: Any, *, trained: bool) -> None:
        tensor = tensor_of(np.asarray(value))
        if trained and tensor.is_floating_point():
            self.register_parameter(name, torch.nn.Parameter(tensor))
        else:
            self.register_buffer(name, tensor)

    def number(self, name: str) -> Any:
        """A constant as the number that it is: the one given, unless it has been changed."""
        held, given = self._buffers[name], self.constants[name]
        unchanged = float(held) == float(torch.tensor(given, dtype=held.dtype))
        return given if unchanged else float(held)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs for inputs `[time, batch, ...]`, from the initial state."""
        running = Running(self)
        state, outputs = running.init(inputs[0]), []
        for x in inputs:
            state, y = running.step(state, x)
            outputs.append(y)
        return torch.stack(outputs)

    def layer(self) -> Layer:
        """The layer with the values that the parameters have now."""
        fields = dict(self.options)
        for name in self.constants:
            fields[name] = Constant(self.number(name))
        for name, tensor in (*self._parameters.items(), *self._buffers.items()):
            if name not in self.constants:
                fields[name] = jnp.asarray(array_of(tensor))
        for name in self.parts:
            module = self._modules[name]
            links = module if isinstance(module, torch.nn.ModuleList) else None
            fields[name] = module.layer() if links is None else tuple(m.layer() for m in links)
        if "switch" in {field.name for field in dataclasses.fields(self.kind)}:
            fields["switch"] = Switch(not self.training)
        return assemble(self.kind, **fields)

    def _get_name(self) -> str:
        return self.kind.__name__

    def extra_repr(self) -> str:
        return self.text


class Running:
    """A layer in a run: its fields as numbers and tensors, time constants as factors a step."""

    def __init__(self, module: TorchLayer) -> None:
        self.program, self.in_shape = PROGRAMS[module.kind], module.in_shape
        self.many_inputs = module.kind.many_inputs
        constants = {name: module.number(name) for name in module.constants}
        tensors = dict(module._parameters) | dict(module._buffers)
        children = {
            name: [Running(one) for one in child]
            if isinstance(child := module._modules[name], torch.nn.ModuleList)
            else Running(child)
            for name in module.parts
        }
        held = tensors | constants | children | module.options
        self.fields = SimpleNamespace(**held, training=module.training)
        self.program.prepare(self.fields)

    def filled(self, like: Tensor) -> Any:
        """A function that makes a batch of one value; `like` says its size, type and device."""

        def make(value: Any) -> Tensor:
            value = torch.as_tensor(value, device=like.device).to(like.dtype)
            return value.expand(like.shape[0], *self.in_shape)

        make.like = like  # type: ignore[attr-defined]
        return make

    def init(self, like: Tensor) -> Any:
        """State before the first step."""
        return self.program.init(self.fields, self.filled(like))

    def step(self, state: Any, x: Any) -> tuple[Any, Tensor]:
        """One time step of a batch."""
        return self.program.step(self.fields, state, x)


class TorchNetwork(torch.nn.Module):  # type: ignore[misc]
    """A network in plain PyTorch. Made by `to_torch`.

    `module(inputs)` takes and returns `[time, batch, ...]`, from the initial state on;
    `module.run(inputs, state)` goes on from a state and returns outputs and state.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.graph = _with_layers(network, {})
        sources = {edge.source for edge in network.edges if edge.recurrent}
        self.delayed = {name: network.out_shape(name) for name in sorted(sources)}
        for name in network.names:
            self._add(name, TorchLayer(network[name], network.in_shape(name)))

    def _add(self, name: str, layer: TorchLayer) -> None:
        """Puts a layer where its name says: `a.b` is the child b of a."""
        parent: Any = self
        *path, last = name.split(".")
        for part in path:
            if part not in parent._modules:
                parent._modules[part] = torch.nn.Module()
            parent = parent._modules[part]
        if last in parent._modules:  # a plain module, made for layers that are called "a.b.c"
            layer._modules.update(parent._modules[last]._modules)
        # Not by add_module, which refuses names that a Module has itself, such as "type".
        parent._modules[last] = layer

    def torch_layer(self, name: str) -> TorchLayer:
        """The module of a layer."""
        module: Any = self
        for part in name.split("."):
            module = module._modules[part]
        return module

    def forward(self, inputs: Any, state: TorchState | None = None) -> Any:
        """Outputs for inputs `[time, batch, ...]` (a dict by name, if there are several)."""
        return self.run(inputs, state).outputs

    def run(self, inputs: Any, state: TorchState | None = None) -> TorchRun:
        """Outputs and state, from the initial state or another run's."""
        graph = self.graph
        sequences = _checked(graph, inputs)
        running = {name: Running(self.torch_layer(name)) for name in graph.names}
        incoming = {name: graph.incoming(name) for name in graph.names}
        first = next(iter(sequences.values()))
        if state is None:
            state = self._initial(running, first[0])
        states, delayed = dict(state.layers), dict(state.delayed)
        outputs: dict[str, list[Tensor]] = {name: [] for name in graph.outputs}
        for t in range(first.shape[0]):
            now = {name: sequence[t] for name, sequence in sequences.items()}
            for name in graph.names:
                values = [(delayed if e.recurrent else now)[e.source] for e in incoming[name]]
                x = tuple(values) if running[name].many_inputs else sum(values[1:], start=values[0])
                states[name], now[name] = running[name].step(states[name], x)
            delayed = {name: now[name] for name in delayed}
            for name in outputs:
                outputs[name].append(now[name])
        stacked = {name: torch.stack(values) for name, values in outputs.items()}
        single = stacked[graph.outputs[0]] if len(stacked) == 1 else stacked
        return TorchRun(single, TorchState(states, delayed))

    def _initial(self, running: Mapping[str, Running], like: Tensor) -> TorchState:
        zeros = {n: like.new_zeros(like.shape[0], *shape) for n, shape in self.delayed.items()}
        return TorchState({name: running[name].init(like) for name in running}, zeros)

    def network(self) -> Network:
        """The network with the values that the parameters have now."""
        layers = {name: self.torch_layer(name).layer() for name in self.graph.names}
        network = _with_layers(self.graph, layers)
        check_finite(network)
        return network


def problems(network: Network) -> list[str]:
    """What of a network has no counterpart here, one sentence each."""
    found = [text for name in network.names for text in _layer_problems(network.layers[name], name)]
    taken = set(network.names)
    for name in network.names:
        parts = name.split(".")
        if not all(parts):
            found.append(f"layer '{name}': a part of its name is empty; rename it")
        for k in range(1, len(parts)):
            above = ".".join(parts[:k])
            if above not in taken:
                continue
            if parts[k] in _fields(network.layers[above]):
                found.append(
                    f"layer '{name}': layer '{above}' has a part '{parts[k]}' of its own; rename "
                    "one of the two"
                )
    return found


def _fields(layer: Layer) -> set[str]:
    return {field.name for field in dataclasses.fields(layer)}


def _layer_problems(layer: Layer, name: str) -> list[str]:
    kind = type(layer)
    if kind not in PROGRAMS:
        if kind.__module__.startswith("neurojax.chips"):
            return [
                f"layer '{name}': {kind.__name__} is a layer of a chip, which PyTorch has no "
                "counterpart for; convert the network that was mapped onto the chip, or keep the "
                "module that it was imported from"
            ]
        if kind.__module__.startswith("neurojax.quantise"):
            remedy = _REMEDIES.get(kind.__name__, "replace it")
            return [f"layer '{name}': to_torch does not quantise; {remedy}"]
        known = nearest(kind.__name__, [k.__name__ for k in PROGRAMS])
        return [f"layer '{name}': to_torch does not know {kind.__name__}; {known}"]
    found = []
    for field in dataclasses.fields(layer):
        value = getattr(layer, field.name)
        if isinstance(value, Surrogate) and type(value) not in DERIVATIVES:
            found.append(
                f"layer '{name}': the surrogate {value!r} is none of neurojax.surrogate; "
                "replace it by one of these"
            )
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Layer):
                found += _layer_problems(part, f"{name}.{field.name}")
    return found


_REMEDIES = {
    "Quantised": "neurojax.quantise.bake(network) first, which puts the parameters on their grids",
    "FakeQuantise": "take the layer out, or replace it by an Identity",
}


def _with_layers(network: Network, layers: Mapping[str, Layer]) -> Network:
    """The same graph around other layers, without a check of shapes."""
    fields = {f.name: getattr(network, f.name) for f in dataclasses.fields(network)}
    return assemble(Network, **{**fields, "layers": dict(layers)})


def _checked(graph: Network, inputs: Any) -> dict[str, Tensor]:
    """Inputs by name, as floating-point tensors; ValueError if they don't fit the network."""
    named = dict(inputs) if isinstance(inputs, Mapping) else {next(iter(graph.inputs)): inputs}
    if set(named) != set(graph.inputs):
        raise ValueError(f"the network has inputs {list(graph.inputs)}, got {list(named)}")
    wrong = [
        f"input '{name}': expected [time, batch, {', '.join(map(str, shape))}], got shape "
        f"{tuple(named[name].shape)}"
        for name, shape in graph.inputs.items()
        if tuple(named[name].shape[2:]) != shape or named[name].ndim < 2
    ]
    sizes = {tuple(x.shape[:2]) for x in named.values()}
    if not wrong and (len(sizes) > 1 or 0 in next(iter(sizes))):
        wrong = [f"inputs must share one number of steps and samples >= 1, got {sorted(sizes)}"]
    if wrong:
        raise ValueError("\n".join(wrong))
    return {n: x if x.is_floating_point() else x.to(torch.float32) for n, x in named.items()}


def _detached(state: Any) -> Any:
    if torch.is_tensor(state):
        return state.detach()
    if isinstance(state, dict):
        return {name: _detached(value) for name, value in state.items()}
    if isinstance(state, tuple):
        return type(state)(*(_detached(value) for value in state))
    return state


def tensor_of(array: np.ndarray) -> Tensor:
    """A tensor with a copy of an array's numbers; bfloat16 travels as its bits."""
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(np.array(array))
