"""What all layers that multiply share: parameters, transforms, noise, counts.

References:
    hxtorch (3bfc7aa), `hxtorch.perceptron.nn.MACLayer`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, TypedDict

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from neurojax._layer import Layer, Shape, State
from neurojax._network import Network
from neurojax.chips.bss2.perceptron._multiply import How, Saturation, check_options
from neurojax.chips.bss2.perceptron.initialise import (
    default_num_sends,
    first_bias,
    first_weight,
    spread,
)
from neurojax.chips.bss2.perceptron.mock import MOCK, MockParameter
from neurojax.chips.bss2.perceptron.transforms import clamp_weight
from neurojax.layers._weights import as_weight

Transform = Callable[[Array], Array] | None


class Options(TypedDict, total=False):
    """Options of every layer that multiplies.

    Attributes:
        mock: Gain and noise of the chip; not trained.
        input_transform: Applied to the input, after padding: None, `scale_input`, ...
        weight_transform: Applied to the weights: `clamp_weight`, `scale_weight`, None, ...
        out_of_range: `"error"` or `"saturate"`, as in `mac`.
        count: Whether the layer's state counts what is limited: probes `"name.inputs"`,
            `"name.weights"`, `"name.tiles"` and `"name.outputs"`, since the start of the run.
    """

    mock: MockParameter
    input_transform: Transform
    weight_transform: Transform
    out_of_range: str
    count: bool


class MACLayer(Layer):
    """A layer that multiplies with weights `(out, in, *kernel)` on the chip."""

    buffers: ClassVar[tuple[str, ...]] = ("mock",)

    weight: Float[Array, "out in *kernel"]
    bias: Float[Array, " out"] | None
    mock: MockParameter
    num_sends: int = eqx.field(static=True)
    input_transform: Transform = eqx.field(static=True)
    weight_transform: Transform = eqx.field(static=True)
    out_of_range: str = eqx.field(static=True)
    count: bool = eqx.field(static=True)

    @property
    def needs_key(self) -> bool:
        return self.mock.noisy

    def init(self, in_shape: Shape) -> Saturation | None:
        del in_shape
        return Saturation.none() if self.count else None

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        weight = self.weight
        if self.weight_transform is not None:
            weight = self.weight_transform(weight)
        x = self.padded(x)
        if self.input_transform is not None:
            x = self.input_transform(x)
        how: How = {
            "num_sends": self.num_sends,
            "mock": self.mock,
            "key": key,
            "out_of_range": self.out_of_range,
            "what": type(self).__name__,
        }
        y, counts = self.product(x, weight, how)
        return (state.plus(counts) if self.count else state), y

    def padded(self, x: Array) -> Array:
        """The input with its padding."""
        return x

    def product(self, x: Array, weight: Array, how: How) -> tuple[Array, Saturation]:
        """The output, from input and weights as they are sent; `how` is for `multiply`."""
        raise NotImplementedError

    def describe(self) -> str:
        sends = f"{self.num_sends} send" + ("s" if self.num_sends > 1 else "")
        bias = "" if self.bias is None else ", bias"
        return f"perceptron.{type(self).__name__} {self._size()}, {sends}{bias}"

    def _size(self) -> str:
        """Features, kernel and so on, for `describe`."""
        raise NotImplementedError


def mac_fields(
    name: str,
    weight: Any,
    bias: Any,
    num_sends: int,
    ndim: int,
    *,
    mock: MockParameter = MOCK,
    input_transform: Transform = None,
    weight_transform: Transform = clamp_weight,
    out_of_range: str = "error",
    count: bool = False,
    **unknown: Any,
) -> dict[str, Any]:
    """The fields of a `MACLayer` with kernels of `ndim` axes, checked; `name` is for messages."""
    if unknown:
        raise TypeError(
            f"{name} has no option {', '.join(unknown)}; besides its sizes it has "
            f"{', '.join(Options.__annotations__)} (hxtorch has neither dilation nor groups)"
        )
    weight = as_weight(weight)
    bias = None if bias is None else as_weight(bias)
    check_options(name, num_sends, out_of_range)
    if weight.ndim != ndim + 2:
        raise ValueError(f"{name}: weight must have {ndim + 2} axes, got shape {weight.shape}")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(
            f"{name}: bias has shape {bias.shape}, but the weight {weight.shape} has "
            f"{weight.shape[0]} outputs"
        )
    check_mock(name, mock)
    for what, transform in (("input", input_transform), ("weight", weight_transform)):
        if transform is not None and not callable(transform):
            raise TypeError(
                f"{name}: {what}_transform is {transform!r}; give a function of an array, or None"
            )
    return {
        "weight": weight,
        "bias": bias,
        "num_sends": num_sends,
        "mock": mock,
        "input_transform": input_transform,
        "weight_transform": weight_transform,
        "out_of_range": out_of_range,
        "count": bool(count),
    }


def check_mock(name: str, mock: Any) -> None:
    """Raise TypeError unless it is a `MockParameter`."""
    if not isinstance(mock, MockParameter):
        raise TypeError(f"{name}: mock is {mock!r}; give a perceptron.MockParameter")


def drawn_fields(
    name: str,
    key: PRNGKeyArray,
    shape: tuple[int, ...],
    *,
    bias: bool,
    num_sends: int | None,
    weight_mean: float,
    relu_shift: int,
    options: Options,
) -> dict[str, Any]:
    """The fields of a `MACLayer` with random parameters."""
    fan_in = math.prod(shape[1:])
    mock = options.get("mock", MOCK)
    check_mock(name, mock)
    gain = float(np.mean(np.asarray(mock.gain)))
    if num_sends is None:
        num_sends = default_num_sends(fan_in, gain=gain, relu_shift=relu_shift)
    check_options(name, num_sends, "error")
    std = spread(fan_in, gain, relu_shift)
    weight_key, bias_key = jax.random.split(key)
    return mac_fields(
        name,
        first_weight(weight_key, shape, std / num_sends, weight_mean),
        first_bias(bias_key, shape[0], std) if bias else None,
        num_sends,
        len(shape) - 2,
        **options,
    )


def with_mock(
    network: Network,
    *,
    gain: float | Array | None = None,
    noise_std: float | Array | None = None,
) -> Network:
    """The network on another chip: with another gain or noise in all layers that multiply.

    Args:
        network: The network.
        gain, noise_std: As in `MockParameter`; None: as they are in each layer.

    Returns:
        A network of the same weights.

    Example:
        >>> import jax, neurojax as nj
        >>> from neurojax.chips.bss2 import perceptron as hagen
        >>> net = nj.Sequential((4,), a=hagen.Linear(4, 3, key=jax.random.key(0)))
        >>> hagen.with_mock(net, noise_std=0.0)["a"].mock
        MockParameter(noise_std=0.0, gain=0.002)
    """
    layers: dict[str, Layer] = {}
    for name in network.names:
        layer = network[name]
        if isinstance(layer, MACLayer):
            mock = MockParameter(
                noise_std=layer.mock.noise_std if noise_std is None else noise_std,
                gain=layer.mock.gain if gain is None else gain,
            )
            layers[name] = eqx.tree_at(lambda layer: layer.mock, layer, mock)
    return network.replace(**layers)
