"""One printed module of torch or sinabs as a layer of ours."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import neurojax as nj
from neurojax.chips.dynapcnn import DVS
from neurojax.layers import (
    Add,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dropout,
    Flatten,
    Identity,
    Linear,
    MaxPool2d,
    ReLU,
    SumPool2d,
)
from neurojax.neurons import IAF, LIF
from tests.conformance._dynapcnn_case import NotCovered
from tests.conformance._torch_models import max_spikes
from tests.conformance._torch_text import Module

WEIGHTS = ("Conv2d", "Linear")
NORMS = ("BatchNorm2d", "BatchNorm1d")
NEURONS = ("IAFSqueeze", "IAF", "LIFSqueeze", "LIF")
POOLS = ("AvgPool2d", "SumPool2d")
RESETS = {"MembraneSubtract": "subtract", "MembraneReset": "zero"}


def layer_of(module: Module, raw: dict[str, np.ndarray], info: dict[str, Any]) -> nj.Layer:
    """One printed module as a layer.

    Args:
        module: The module.
        raw: Its parameters, by their names in torch. Those that were not recorded become ones.
        info: What was recorded of the core that it belongs to, for neurons.
    """
    option = module.options
    if option.get("padding_mode", "zeros") != "zeros":
        raise NotCovered(f"padding_mode={option['padding_mode']} is not covered")
    match module.kind:
        case "Conv2d":
            out, into = module.args[1], module.args[0]
            shape = (out, into // option.get("groups", 1), *option["kernel_size"])
            return Conv2d.from_weights(
                raw.get("weight", np.ones(shape, np.float32)),
                _bias(out, raw, option),
                stride=option.get("stride", 1),
                padding=option.get("padding", 0),
                dilation=option.get("dilation", 1),
                groups=option.get("groups", 1),
            )
        case "Linear":
            shape = (option["out_features"], option["in_features"])
            weight = raw.get("weight", np.ones(shape, np.float32))
            return Linear.from_weights(weight, _bias(shape[0], raw, option))
        case "BatchNorm2d" | "BatchNorm1d":
            # Without its eps: sinabs leaves it out when it folds.
            statistics = raw["running_mean"], raw["running_var"]
            return BatchNorm.from_weights(raw.get("weight"), raw.get("bias"), *statistics, eps=0.0)
        case "IAFSqueeze" | "IAF":
            return IAF(**_neurons(option, raw, info))
        case "LIFSqueeze" | "LIF":
            return LIF(tau=float(option["tau_mem"]), **_neurons(option, raw, info))
        case "AvgPool2d" | "SumPool2d" | "MaxPool2d":
            if option.get("ceil_mode", False):
                raise NotCovered("ceil_mode=True is not covered")
            kinds = {"AvgPool2d": AvgPool2d, "SumPool2d": SumPool2d, "MaxPool2d": MaxPool2d}
            return kinds[module.kind](
                option["kernel_size"],
                stride=option.get("stride"),
                padding=option.get("padding", 0),
            )
        case "Flatten":
            return Flatten()
        case "Dropout" | "Dropout2d":
            return Dropout(option.get("p", 0.5), inference=True)
        case "Identity":
            return Identity()
        case "ReLU":
            return ReLU()
        case "Merge":
            return Add()
    raise NotCovered(f"{module.kind} is not covered")


def _bias(features: int, raw: dict[str, np.ndarray], option: dict[str, Any]) -> np.ndarray | None:
    ones = np.ones(features, np.float32)
    return raw.get("bias", ones if option.get("bias", True) else None)


def _neurons(
    option: dict[str, Any], raw: dict[str, np.ndarray], info: dict[str, Any]
) -> dict[str, Any]:
    """The options of neurons. How they fire and reset is not printed."""
    mode, reset = info.get("spike_fn", "MultiSpike"), info.get("reset_fn", "MembraneSubtract")
    if reset not in RESETS:
        raise NotCovered(f"neurons with {reset} are not covered")
    try:
        limit = max_spikes(mode)
    except ValueError as error:
        raise NotCovered(str(error)) from error
    threshold = raw.get("spike_threshold", option.get("spike_threshold", 1.0))
    v_min = raw.get("min_v_mem", option.get("min_v_mem"))
    return {
        "threshold": float(threshold),
        "v_min": None if v_min is None else float(v_min),
        "max_spikes": limit,
        "reset": RESETS[reset],
    }


def camera_of(module: Module, in_shape: Sequence[int], written: Mapping[str, Any]) -> DVS:
    """The block of the camera from a printed DVSLayer.

    Args:
        module: The printed module, which says nothing of flips and polarities.
        in_shape: Shape of the network's input.
        written: What sinabs wrote of it into a configuration, which says the rest.
    """
    parts = {child.name: child for child in module.children}
    pool = np.broadcast_to(parts["pool_layer"].options["kernel_size"], 2).tolist()
    height, width = (size // n for size, n in zip(in_shape[1:], pool, strict=True))
    crop = parts["crop_layer"].args or None
    if crop == ((0, height), (0, width)):  # printed where nothing is cut, too
        crop = None
    mirror = written.get("mirror", {"x": False, "y": False})
    return DVS(
        pool=pool,
        crop=crop,
        merge_polarities=in_shape[0] == 1,
        flip_x=mirror["x"],
        flip_y=mirror["y"],
        swap_xy=written.get("mirror_diagonal", False),
        pixel_array=written.get("pass_sensor_events", False),
    )
