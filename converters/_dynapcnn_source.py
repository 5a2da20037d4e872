"""What `DynapcnnNetwork` is given, as a network, and how samples and steps share an axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx

from neurojax._layer import Shape
from neurojax._network import Network
from neurojax.chips._unchain import unchained
from neurojax.converters._registry import kind_of
from neurojax.converters.torch import from_torch


class Source(NamedTuple):
    """A network before the chip.

    Attributes:
        network: The network, in real numbers, for inference, without chains.
        batch_size: Samples that share the first axis with the time steps, or None.
        num_timesteps: Time steps that share it with the samples, or None.
    """

    network: Network
    batch_size: int | None
    num_timesteps: int | None


def read_source(
    snn: Any, input_shape: Sequence[int] | None, batch_size: int | None, num_timesteps: int | None
) -> Source:
    """Read a module of torch, or take a network as it is."""
    shape = None if input_shape is None else tuple(int(n) for n in input_shape)
    if shape is not None and (len(shape) != 3 or min(shape) < 1):
        raise ValueError(
            f"DynapcnnNetwork: input_shape={shape}; it must be (features, height, width)"
        )
    if isinstance(snn, Network):
        shapes = list(snn.inputs.values())
        if len(shapes) != 1:
            raise ValueError(
                f"DynapcnnNetwork: the network has {len(shapes)} inputs; a chip has one"
            )
        if shape is not None and math.prod(shape) != math.prod(shapes[0]):
            raise ValueError(
                f"DynapcnnNetwork: input_shape={shape}, but the network takes {shapes[0]}; leave "
                "input_shape out"
            )
        return Source(unchained(eqx.nn.inference_mode(snn)), batch_size, num_timesteps)
    snn = getattr(snn, "spiking_model", snn)  # sinabs.Network
    modules = list(snn.modules()) if hasattr(snn, "modules") else []
    shape = _with_camera(modules, shape)
    if shape is None:
        raise ValueError(
            "DynapcnnNetwork: the model has no DVSLayer that says its input's shape; give "
            "input_shape=(features, height, width)"
        )
    batch = _said(modules, "batch_size", batch_size)
    steps = _said(modules, "num_timesteps", num_timesteps)
    return Source(unchained(from_torch(snn, input_shape=shape)), batch, steps)


def _with_camera(modules: list[Any], shape: Shape | None) -> Shape | None:
    """The input's shape, as a DVSLayer of the model knows it."""
    for module in modules:
        if kind_of(type(module)) == "sinabs.DVSLayer":
            known = tuple(int(n) for n in module.input_shape)
            if shape is not None and shape != known:
                raise ValueError(
                    f"DynapcnnNetwork: input_shape={shape}, but the DVSLayer takes {known}; make "
                    "them equal, or leave input_shape out"
                )
            return known
    return shape


def _said(modules: list[Any], name: str, given: int | None) -> int | None:
    """A number that sinabs' squeezing layers hold, and all alike."""
    found = {
        int(value)
        for module in modules
        if kind_of(type(module)).startswith("sinabs.")
        and isinstance(value := getattr(module, name, None), int)
        and value > 0
    }
    found |= set() if given is None else {given}
    if len(found) > 1:
        values = ", ".join(map(str, sorted(found)))
        raise ValueError(
            f"DynapcnnNetwork: {name} is {values} in different layers; give all the same one"
        )
    return next(iter(found), None)
