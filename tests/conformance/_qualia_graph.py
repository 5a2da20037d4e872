"""The networks of recorded code, built from what the recordings say of them.

A case has the generator's graph (types, shapes, connections) and the description that the network
was made from; where the graph is missing, the description is a chain. Geometry is that of the code:
it knows no dilation and no padding of pools, and mixes up the axes of kernels that are not square.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

import neurojax as nj
from tests.conformance._result import NotCovered

KINDS = {
    "fc": "dense",
    "linear": "dense",
    "globalsumpool": "sum",
    "globalsumpool1d": "sum",
    "globalsumpool2d": "sum",
    "bn": "batchnorm",
    "plif": "lif",
    "parametriclif": "lif",
}
"""Kinds of the descriptions by the names that the graph has for them."""
RECTIFIERS = {"relu": nj.ReLU, "relu6": nj.ReLU6}
PASSING = ("if", "lif", "relu", "relu6", "dropout", "identity")
"""Kinds whose values lie as those of the layer before."""


class Node(NamedTuple):
    """A layer as a recording describes it."""

    name: str
    kind: str
    sources: tuple[str, ...]
    given: Mapping[str, Any]

    def option(self, default: Any, *names: str) -> Any:
        """The first of some fields that is there; one number for a list of one."""
        value = next((self.given[n] for n in names if self.given.get(n) is not None), default)
        return value[0] if isinstance(value, list) and len(value) == 1 else value


def nodes_of(case: Mapping[str, Any]) -> dict[str, Node]:
    """The layers of a case, in the order in which they compute."""
    spec = case.get("spec", [])
    described = {part["name"]: part for part in spec}
    nodes: dict[str, Node] = {}
    graph = case.get("graph")
    if graph is None:
        graph = [{"name": "input", "type": "input"}]
        graph += [{**p, "type": p["kind"], "innodes": [a["name"]]} for a, p in _pairs(graph, spec)]
    for part in graph:
        name = part["name"]
        given = {**described.get(name, {}), **part}
        kind = _kind(part["type"], given)
        nodes[name] = Node(name, kind, tuple(part.get("innodes", ())), given)
        activation = str(given.get("activation") or "").rpartition(".")[2].lower()
        if activation in RECTIFIERS:
            _behind(nodes, name, Node(f"{name}_{activation}", activation, (name,), {}))
    for before, part in _pairs([{"name": "input"}], spec):  # what the generator has fused
        kind = _kind(part["kind"], part)
        if part["name"] not in nodes and kind in RECTIFIERS:
            _behind(nodes, before["name"], Node(part["name"], kind, (before["name"],), part))
    return nodes


def _pairs(first: list[Any], spec: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip([*first, *spec], spec, strict=False))


def _behind(nodes: dict[str, Node], before: str, new: Node) -> None:
    """Put a node behind another; what took that one's values takes the new one's."""
    for name, node in nodes.items():
        sources = tuple(new.name if source == before else source for source in node.sources)
        nodes[name] = node._replace(sources=sources)
    nodes[new.name] = new


def _kind(text: str, given: Mapping[str, Any]) -> str:
    """`TMaxPooling2DLayer` and `maxpool2d` are both `maxpool2d`."""
    kind = re.sub(r"^T(?=[A-Z])|Layer$", "", text).lower().replace("pooling", "pool")
    kind = re.sub(r"^batchnorm.*", "batchnorm", kind)
    if kind == "neuron":
        kind = given["n"].lower().removesuffix("node")
    return KINDS.get(kind, kind)


def flattened(nodes: Mapping[str, Node], name: str) -> str | None:
    """The Flatten whose values a layer passes on, if it does."""
    while name in nodes and nodes[name].kind in PASSING:
        name = nodes[name].sources[0]
    return name if name in nodes and nodes[name].kind == "flatten" else None


def network_of(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> nj.Network:
    """The recorded network, channels first, with the parameters before quantisation."""
    nodes = nodes_of(case)
    shapes = {"input": (case["input_shape"][-1], *case["input_shape"][:-1])}
    layers: dict[str, nj.Layer] = {}
    edges: list[tuple[str, str]] = []
    ends = {"input": "input"}
    waiting = [node for node in nodes.values() if node.kind != "input"]
    while waiting:
        node = next((n for n in waiting if all(s in shapes for s in n.sources)), None)
        if node is None:
            raise NotCovered(f"layers that wait for each other: {[n.name for n in waiting]}")
        waiting.remove(node)
        prefix = f"float/{node.name}/"
        own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        before = shapes[node.sources[0]]
        image = flattened(nodes, node.sources[0])
        image_shape = None if image is None else shapes[nodes[image].sources[0]]
        layer = _layer(node, own, before, image_shape)
        layers[node.name] = layer
        edges += [(ends[source], node.name) for source in node.sources]
        many = [shapes[source] for source in node.sources]
        shape = layer.out_shape(many if layer.many_inputs else before)  # type: ignore[arg-type]
        ends[node.name] = node.name
        if node.kind == "sum":
            ends[node.name] = f"{node.name}_flat"
            layers[ends[node.name]] = nj.Flatten()
            edges.append((node.name, ends[node.name]))
            shape = shape[:1]
        shapes[node.name] = shape
    used = {source for source, _ in edges}
    outputs = [name for name in layers if name not in used]
    return nj.Network(layers, edges, inputs=shapes["input"], outputs=outputs)


def _layer(
    node: Node, own: dict[str, np.ndarray], before: tuple[int, ...], image: tuple[int, ...] | None
) -> nj.Layer:
    kind = node.kind
    if kind == "dense":
        weight = own["kernel"]
        if image is not None and len(image) > 1:
            weight = flat_channels_first(weight, image)
        return nj.Linear.from_weights(weight, own.get("bias"))
    if kind in ("conv1d", "conv2d"):
        return (nj.Conv1d if kind == "conv1d" else nj.Conv2d).from_weights(
            np.moveaxis(as_indexed(own["kernel"]), -1, 1),
            own.get("bias"),
            stride=node.option(1, "strides", "s"),
            padding=_padding(node, kind),
            groups=node.option(1, "groups", "g"),
        )
    if kind in ("if", "lif"):
        return _neuron(node, own)
    if kind == "batchnorm":
        zeros = np.zeros_like(own["kernel"])
        return nj.BatchNorm.from_weights(
            own["kernel"], own["bias"], zeros, zeros + np.float32(1), eps=1e-30, inference=True
        )
    if kind in RECTIFIERS:
        return RECTIFIERS[kind]()
    if kind == "add":
        return nj.Add()
    if kind == "flatten":
        return nj.Flatten()
    if kind in ("dropout", "identity"):
        return nj.Identity()
    if kind == "sum":
        return (nj.SumPool1d if len(before) == 2 else nj.SumPool2d)(before[1:])
    pools = {"maxpool1d": nj.MaxPool1d, "maxpool2d": nj.MaxPool2d}
    pools |= {"avgpool1d": nj.AvgPool1d, "avgpool2d": nj.AvgPool2d}
    if kind in pools:
        size = node.option(None, "pool_size", "k")
        return pools[kind](size, stride=node.option(size, "strides", "s"))
    if kind.startswith("adaptiveavgpool") and (size := node.option(None, "pool_size")):
        return (nj.AvgPool1d if len(before) == 2 else nj.AvgPool2d)(size)
    raise NotCovered(f"a layer of kind '{kind}'")


def _padding(node: Node, kind: str) -> Any:
    """`[left, right]` of a sequence, `((top, bottom), (left, right))` of an image."""
    if "type" not in node.given or "padding" not in node.given:
        return node.option(0, "p", "padding")
    pads = node.given["padding"]
    if isinstance(pads, int):
        return pads
    return [tuple(pads)] if kind == "conv1d" else [tuple(np.broadcast_to(p, 2)) for p in pads]


def as_indexed(kernel: np.ndarray) -> np.ndarray:
    """A kernel as the code reads it: where it is not square, with the length of a column for that
    of a row, and on into the memory behind."""
    if kernel.ndim != 4 or kernel.shape[1] == kernel.shape[2]:
        return kernel
    filters, height, width, channels = kernel.shape
    flat = np.concatenate([kernel.reshape(-1, channels), np.zeros((height**2, channels), "f4")])
    rows, columns = np.mgrid[:height, :width]
    at = np.arange(filters)[:, None, None] * height * width + rows * height + columns
    return flat[at].astype(kernel.dtype)


def _neuron(node: Node, own: dict[str, np.ndarray]) -> nj.Layer:
    numbers = {key: float(value) for key, value in own.items()}
    options: dict[str, Any] = {"threshold": numbers["v_threshold"]}
    hard = "v_reset" in numbers and not node.given.get("soft_reset", 0)
    if hard:
        options |= {"reset": "value", "reset_value": numbers["v_reset"]}
    if node.kind == "if":
        return nj.IAF(**options)
    return nj.LIF(
        decay=1 - numbers["reciprocal_tau"],
        normalize_input=bool(node.given.get("decay_input", True)),
        v_rest=numbers["v_reset"] if hard else 0.0,
        **options,
    )


def flat_channels_first(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Flat values, channels last, in the order of channels first; `shape` is (C, ...)."""
    order = np.arange(math.prod(shape)).reshape(*shape[1:], shape[0])
    return values[..., np.moveaxis(order, -1, 0).ravel()]
