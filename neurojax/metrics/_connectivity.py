"""Who is connected with whom in a layer: a rule for each type of layer, which users can add to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Int

from neurojax._layer import Layer, Shape


class Connections(NamedTuple):
    """Synapses of a layer that have one kind of source.

    `source` is `"input"`: what comes into the layer; `"output"`: what the layer puts out, in the
    same step; `"output before"`: what it put out in the step before; or `"always"`: a source that
    is active in every step from step `since` on.
    """

    fan_out: Int[np.ndarray, "*sources"]  # int64: targets of each source
    effective: Int[np.ndarray, "*sources"]  # int64: those whose weight is not zero
    source: str = "input"
    since: int = 0


Rule = Callable[[Any, Shape], Mapping[str, Connections]]
"""`rule(layer, in_shape)`: connections by name within the layer; `""` is the layer itself."""

_RULES: dict[type[Layer], Rule | None] = {}


def register_connectivity(kind: type[Layer], rule: Rule | None) -> None:
    """Say how the synapses of a type of layer, and of its sub-types, are counted.

    Args:
        kind: The type.
        rule: A function of the layer and its input shape, without time and batch, that returns
            `Connections` by name; the name is `""` where a layer has only one. None: the layer has
            no synapses.

    Example:
        >>> import numpy as np, jax.numpy as jnp, neurojax as nj
        >>> from neurojax import metrics
        >>> class Ring(nj.Layer):  # every neuron to the next one
        ...     weight: jnp.ndarray
        ...     def step(self, state, x, *, key=None):
        ...         return state, jnp.roll(self.weight * x, 1)
        ...     def out_shape(self, in_shape):
        ...         return in_shape
        >>> def rule(layer, in_shape):
        ...     one = np.ones(in_shape, np.int64)
        ...     return {"": metrics.Connections(one, one * (np.asarray(layer.weight) != 0))}
        >>> metrics.register_connectivity(Ring, rule)
        >>> net = nj.Sequential((3,), ring=Ring(jnp.array([1.0, 0.0, 2.0])))
        >>> activity = metrics.count_spikes(net, jnp.ones((10, 1, 3)))
        >>> metrics.synaptic_events(net, activity)["ring"].events
        30
    """
    check_registered("register_connectivity", kind, rule, none=True)
    _RULES[kind] = rule


def check_registered(name: str, kind: Any, function: Any, *, none: bool = False) -> None:
    """Raise TypeError unless `kind` is a type of layer, and `function` can be called."""
    if not (isinstance(kind, type) and issubclass(kind, Layer)):
        raise TypeError(f"{name} takes a type of layer first, such as nj.Linear, got {kind!r}")
    if not callable(function) and not (none and function is None):
        raise TypeError(
            f"{name} takes a function{' or None' if none else ''} for {kind.__name__}, got "
            f"{function!r}"
        )


def connections(layer: Layer, in_shape: Shape) -> dict[str, Connections]:
    """The synapses of a layer, by name within it; empty if it has none.

    Layers of unknown type have none if they have no arrays, or only such as hold one number a
    neuron or channel, like the time constants of a neuron model. Layers that are made of a
    `neuron` and a `synapse` are taken apart.

    Raises:
        TypeError: A layer with weights, or what may be such, is of unknown type.
        ValueError: The layer has synapses whose activity is not known from outside.
    """
    for kind in type(layer).__mro__:
        if kind in _RULES:
            rule = _RULES[kind]
            found = {} if rule is None else rule(layer, in_shape)
            if not isinstance(found, Mapping) or not all(
                isinstance(part, Connections) for part in found.values()
            ):
                raise TypeError(
                    f"the connectivity registered for {kind.__name__} returned a "
                    f"{type(found).__name__}; it must be a dict of Connections by name, such as "
                    "{'': metrics.Connections(fan_out, effective)}"
                )
            return dict(found)
    neuron, synapse = getattr(layer, "neuron", None), getattr(layer, "synapse", None)
    if isinstance(neuron, Layer) and isinstance(synapse, Layer):
        return of_feedback(neuron, synapse, in_shape)
    if isinstance(neuron, Layer):
        return connections(neuron, in_shape)
    if suspect := _suspect(layer, in_shape):
        raise TypeError(
            f"{type(layer).__name__} has {suspect}, and how its synapses are counted is not known; "
            "say it once with metrics.register_connectivity(the type, a rule), or None for a layer "
            "without synapses"
        )
    return {}


def of_feedback(neuron: Layer, synapse: Layer, in_shape: Shape) -> dict[str, Connections]:
    """Of neurons whose output comes back through a synapse in the step after."""
    if connections(neuron, in_shape):
        raise ValueError(
            f"its neurons, {neuron.describe()}, have synapses of their own, and how many of them "
            "its input and its feedback reach together can't be told from their activity; build it "
            "of named layers with a recurrent edge"
        )
    found = connections(synapse, neuron.out_shape(in_shape))
    if any(part.source not in ("input", "always") for part in found.values()):
        raise ValueError("its synapse has a feedback of its own; build it of named layers")
    return {
        _joined("synapse", name): part._replace(
            source="output before" if part.source == "input" else part.source
        )
        for name, part in found.items()
    }


def of_parts(parts: Mapping[str, tuple[Layer, Shape]]) -> dict[str, Connections]:
    """Of layers within a layer that all take its input, by their names."""
    return {
        _joined(name, inner): found
        for name, (layer, in_shape) in parts.items()
        for inner, found in connections(layer, in_shape).items()
    }


def with_weight(layer: Any) -> Layer:
    """The layer in `layer.synapse` with the weights that are used, `layer.weight`."""
    used: Layer = eqx.tree_at(lambda synapse: synapse.weight, layer.synapse, layer.weight)
    return used


def _joined(name: str, inner: str) -> str:
    return f"{name}.{inner}" if inner else name


def _suspect(layer: Layer, in_shape: Any) -> str | None:
    """An array that may be weights, in words; None if there is none."""
    shapes = in_shape if layer.many_inputs else (in_shape,)
    shapes = [tuple(shape) for shape in (*shapes, layer.out_shape(in_shape))]
    for path, leaf in jax.tree_util.tree_leaves_with_path(layer):
        if not eqx.is_inexact_array(leaf):
            continue
        name = jax.tree_util.keystr(path).lstrip(".")
        of_neurons = any(_one_a_neuron(leaf.shape, shape) for shape in shapes)
        if not of_neurons or "weight" in name or "kernel" in name:
            return f"an array '{name}' of shape {leaf.shape}"
    return None


def _one_a_neuron(array: Shape, shape: Shape) -> bool:
    """Whether an array of that shape holds one number, or one a channel, or one a neuron."""
    size, channels = math.prod(array), shape[0] if shape else 1
    return size == 1 or array == shape or (size == channels and max(array) == channels)
