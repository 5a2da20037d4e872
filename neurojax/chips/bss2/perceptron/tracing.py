"""Inference traces: what a network does on the chip, in a file that does it again.

A trace holds whole weights, gain and noise, and the order of the operations; and the inputs and
outputs of an example, without noise, with which a replay can be checked. Names of layers are kept,
so that a replay with the same key draws the noise that the network drew.

References:
    hxtorch (3bfc7aa), `hxtorch.perceptron.InferenceTracer` and `inference_trace`.
"""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from neurojax._files import written_whole
from neurojax._layer import Layer
from neurojax._network import Network, Sequential
from neurojax._simulate import simulate
from neurojax.chips.bss2.perceptron.activations import ArgMax, ConvertingReLU, ReLU
from neurojax.chips.bss2.perceptron.conv_layers import Conv1d, Conv2d, ExpandedConv1d
from neurojax.chips.bss2.perceptron.linear import Linear
from neurojax.chips.bss2.perceptron.mac_layer import MACLayer, with_mock
from neurojax.chips.bss2.perceptron.mock import WEIGHT, MockParameter
from neurojax.chips.bss2.perceptron.transforms import scale_batch, scale_input
from neurojax.layers.shape import Flatten

FORMAT, VERSION = "neurojax.bss2.perceptron.trace", 1

TRANSFORMS: dict[str, Any] = {"scale_input": scale_input, "scale_batch": scale_batch}
"""Transforms of inputs that a file can name."""

OPTIONS: dict[type[Layer], tuple[str, ...]] = {
    Linear: ("num_sends", "avg", "out_of_range"),
    Conv1d: ("num_sends", "stride", "padding", "padding_mode", "out_of_range"),
    Conv2d: ("num_sends", "stride", "padding", "padding_mode", "out_of_range"),
    ExpandedConv1d: (
        "num_sends", "stride", "padding", "padding_mode", "num_expansions", "out_of_range",
    ),
    ReLU: (),
    ConvertingReLU: ("shift",),
    ArgMax: (),
    Flatten: (),
}  # fmt: skip
"""Layers that a file can hold, and their options."""


KINDS = {cls.__name__: cls for cls in OPTIONS}


@dataclass(frozen=True)
class InferenceTrace:
    """A chain of operations that can be replayed.

    Attributes:
        network: The chain, with whole weights.
        inputs: The example, `[batch, ...]`.
        outputs: What the chain makes of it without noise, `[batch, ...]`.
    """

    network: Network
    inputs: np.ndarray
    outputs: np.ndarray

    @property
    def operations(self) -> tuple[str, ...]:
        """What the chip does, in order, in hxtorch's words."""
        found: list[str] = []
        for name in self.network.names:
            layer = self.network[name]
            if isinstance(layer, MACLayer):
                found.append("mac")
                if isinstance(layer, Linear) and layer.bias is not None:
                    found.append("add")
            elif not isinstance(layer, Flatten):
                names = {ReLU: "relu", ConvertingReLU: "converting_relu", ArgMax: "argmax"}
                found.append(names[type(layer)])
        return tuple(found)

    def run(self, inputs: Any, *, key: PRNGKeyArray | None = None) -> Float[Array, "batch ..."]:
        """Replay: the outputs for other inputs.

        Args:
            inputs: `[batch, ...]`, or one sample.
            key: Source of the noise; needed if there is any.

        Returns:
            `[batch, ...]`, or the output of the sample.
        """
        inputs = jnp.asarray(inputs)
        single = inputs.shape == next(iter(self.network.inputs.values()))
        outputs = _outputs(self.network, inputs[None] if single else inputs, key)
        return outputs[0] if single else outputs

    def check(self) -> None:
        """Raise ValueError unless a replay of the example gives the recorded outputs."""
        found = np.asarray(_outputs(with_mock(self.network, noise_std=0.0), self.inputs, None))
        different = int(np.sum(found != self.outputs))
        if different:
            raise ValueError(
                f"the trace's example gives {different} of {found.size} outputs other than those "
                "recorded: the file has been changed, or another version wrote it"
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trace to a file (npz); it appears whole or not at all."""
        arrays = {"example/inputs": self.inputs, "example/outputs": self.outputs}
        layers = []
        for name in self.network.names:
            about, mine = _written(self.network[name])
            layers.append({"name": name, **about})
            arrays |= {f"{name}/{field}": array for field, array in mine.items()}
        shape = next(iter(self.network.inputs.values()))
        description = {"format": FORMAT, "version": VERSION, "input": shape, "layers": layers}
        text = np.frombuffer(json.dumps(description).encode(), np.uint8)
        with written_whole(path) as part, part.open("wb") as file:
            np.savez_compressed(file, description=text, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> InferenceTrace:
        """Read a trace from a file.

        Args:
            path: A file that `save` wrote.

        Raises:
            ValueError: What is wrong with the file, and where.
        """
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = dict(stored)
            description = json.loads(arrays.pop("description").tobytes())
            if (description["format"], description["version"]) != (FORMAT, VERSION):
                raise ValueError(
                    f"it is {description['format']} {description['version']}, not {FORMAT} "
                    f"{VERSION}"
                )
            layers = {
                about["name"]: _read(
                    about,
                    {
                        key.removeprefix(f"{about['name']}/"): array
                        for key, array in arrays.items()
                        if key.startswith(f"{about['name']}/")
                    },
                )
                for about in description["layers"]
            }
            network = Sequential(tuple(description["input"]), **layers)
            return cls(network, arrays["example/inputs"], arrays["example/outputs"])
        except (ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
            said = f"there is no {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"{os.fspath(path)} is no inference trace: {said}") from error


def trace(network: Network, example: Any) -> InferenceTrace:
    """Trace what a network does on the chip.

    Args:
        network: A chain of layers of the perceptron mode, and Flatten.
        example: Inputs, `[batch, ...]`; they are run once, without noise.

    Returns:
        The trace; `save` writes it, `InferenceTrace.load` reads it.

    Raises:
        ValueError: The network is no chain, or has other layers: all of them are named. Inputs that
            are out of range.

    References:
        hxtorch (3bfc7aa), `hxtorch.perceptron.InferenceTracer`, which likewise takes nothing but
        chains: each operation must get just what the one before gave.

    Example:
        >>> import jax, jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.bss2 import perceptron as hagen
        >>> net = nj.Sequential((4,), a=hagen.Linear(4, 3, key=jax.random.key(0)),
        ...                     b=hagen.ConvertingReLU(), c=hagen.ArgMax())
        >>> traced = hagen.trace(net, jnp.full((2, 4), 15.0))
        >>> traced.operations
        ('mac', 'converting_relu', 'argmax')
    """
    problems = _problems(network)
    if problems:
        raise ValueError("\n".join(problems))
    layers = {name: _frozen(network[name]) for name in network.names}
    chain = Sequential(next(iter(network.inputs.values())), **layers)
    inputs = np.asarray(example)
    outputs = _outputs(with_mock(chain, noise_std=0.0), inputs, None)
    return InferenceTrace(chain, inputs, np.asarray(outputs))


def _outputs(network: Network, inputs: Any, key: PRNGKeyArray | None) -> Array:
    return simulate(network, jnp.asarray(inputs)[None], key=key).outputs[0]


def _problems(network: Network) -> list[str]:
    """Why a network can't be traced."""
    problems = []
    if len(network.inputs) > 1:
        problems.append(f"the network has inputs {sorted(network.inputs)}; a trace has one")
    if len(network.outputs) > 1:
        problems.append(f"the network has outputs {list(network.outputs)}; a trace has one")
    for name in (*network.inputs, *network.names):
        targets = [edge.target for edge in network.outgoing(name)]
        if len(targets) > 1:
            problems.append(f"'{name}' feeds {targets}; in a trace it feeds one layer")
        if targets and name in network.outputs:
            problems.append(
                f"'{name}' is an output and feeds {targets}; a trace ends in its output"
            )
    for name in network.names:
        layer, sources = network[name], [edge.source for edge in network.incoming(name)]
        if len(sources) != 1:
            problems.append(f"layer '{name}' is fed by {sources}; in a trace by one layer")
        problems += [
            f"layer '{name}' gets the output of '{edge.source}' a step late; a trace has no steps"
            for edge in network.incoming(name)
            if edge.recurrent
        ]
        if type(layer) not in OPTIONS:
            problems.append(
                f"layer '{name}' is {type(layer).__name__}; a trace holds only "
                f"{', '.join(sorted(KINDS))}"
            )
        elif isinstance(layer, MACLayer) and layer.input_transform not in (
            None,
            *TRANSFORMS.values(),
        ):
            problems.append(
                f"layer '{name}': input_transform is {layer.input_transform}; a file can name only "
                f"{', '.join(sorted(TRANSFORMS))}"
            )
    return problems


def _frozen(layer: Layer) -> Layer:
    """The layer with the weights as the chip has them."""
    if not isinstance(layer, MACLayer):
        return layer
    weight = (
        layer.weight if layer.weight_transform is None else layer.weight_transform(layer.weight)
    )
    whole = jnp.round(weight)
    if layer.out_of_range == "saturate":
        whole = jnp.clip(whole, *WEIGHT)
    options: dict[str, Any] = {name: getattr(layer, name) for name in OPTIONS[type(layer)]}
    return type(layer).from_weights(  # type: ignore[attr-defined, no-any-return]
        whole,
        layer.bias,
        mock=layer.mock,
        input_transform=layer.input_transform,
        weight_transform=None,
        **options,
    )


def _written(layer: Layer) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A layer as JSON and arrays."""
    options = {name: getattr(layer, name) for name in OPTIONS[type(layer)]}
    about: dict[str, Any] = {"layer": type(layer).__name__, "options": options}
    arrays: dict[str, np.ndarray] = {}
    if not isinstance(layer, MACLayer):
        return about, arrays
    arrays["weight"] = np.asarray(layer.weight).astype(np.int8)
    if layer.bias is not None:
        arrays["bias"] = np.asarray(layer.bias)
    names = {transform: name for name, transform in TRANSFORMS.items()}
    about["input_transform"] = names.get(layer.input_transform)
    about["mock"] = {}
    for name in ("gain", "noise_std"):
        value = getattr(layer.mock, name)
        if isinstance(value, float):
            about["mock"][name] = value
        else:
            arrays[name] = np.asarray(value)
    return about, arrays


def _read(about: dict[str, Any], arrays: dict[str, np.ndarray]) -> Layer:
    """The layer that `_written` wrote."""
    name, kind = about["name"], about["layer"]
    if kind not in KINDS:
        raise ValueError(f"layer '{name}' is {kind}; known are {', '.join(sorted(KINDS))}")
    try:
        options = {key: _tuples(value) for key, value in about["options"].items()}
        if not issubclass(KINDS[kind], MACLayer):
            return KINDS[kind](**options)
        transform = about["input_transform"]
        mock = {n: about["mock"].get(n, arrays.get(n)) for n in ("gain", "noise_std")}
        return KINDS[kind].from_weights(  # type: ignore[attr-defined, no-any-return]
            arrays["weight"].astype(np.float32),
            arrays.get("bias"),
            mock=MockParameter(**mock),
            input_transform=None if transform is None else TRANSFORMS[transform],
            weight_transform=None,
            **options,
        )
    except KeyError as error:
        raise ValueError(f"layer '{name}' has no {error}") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"layer '{name}': {error}") from error


def _tuples(value: Any) -> Any:
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value
