"""Rebuilding a network that was given to sinabs from its printed modules and raw parameters.

What is nested in Sequentials alone is a chain. Of any other module the text has no wiring; it is
then read from the destinations of the cores that sinabs made of it, and each core finds its weights
by their shape and direction.
"""

import ast
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import neurojax as nj
from neurojax.chips.dynapcnn import DVS
from neurojax.layers import Add, AvgPool2d, Flatten, SumPool2d
from tests.conformance._dynapcnn_case import (
    IGNORES,
    KILLS,
    MEANS,
    NO_EPS,
    ZERO,
    NotCovered,
    in_order,
    is_ignored,
    leaves,
)
from tests.conformance._dynapcnn_layers import (
    NEURONS,
    NORMS,
    POOLS,
    WEIGHTS,
    camera_of,
    layer_of,
)
from tests.conformance._torch_text import Module, parse

Arrays = Mapping[str, np.ndarray]
Leaf = tuple[str, Module]


class Recorded(NamedTuple):
    """A recorded network, rebuilt."""

    network: nj.Network
    neurons: dict[str, str]  # name of the layer of neurons, by the number of the core in sinabs
    options: dict[str, Any]  # what `map` has to be told
    expectation: str


class _Text(NamedTuple):
    """A recorded network as it is described."""

    entry: Mapping[str, Any]
    leaves: list[Leaf]
    raw: Arrays  # by names in torch
    written: Mapping[str, Any]  # of the camera, in a configuration

    def parameters(self, path: str) -> dict[str, np.ndarray]:
        """Raw parameters of one module."""
        start = f"{path}."
        return {key.removeprefix(start): v for key, v in self.raw.items() if key.startswith(start)}


def tree_of(entry: Mapping[str, Any]) -> Module:
    """The printed modules of a recorded network; a list of texts is a chain."""
    if "modules" not in entry:
        error = entry.get("error", "no description")
        raise NotCovered(f"nothing but the failure of sinabs was recorded: {error}")
    texts = entry["modules"]
    if not isinstance(texts, str):
        rows = "\n".join(f"({i}): {text}" for i, text in enumerate(texts))
        texts = f"Sequential(\n{rows}\n)"
    tree = parse(texts)
    spiking = [child for child in tree.children if child.name == "spiking_model"]
    return spiking[0] if spiking else tree


def rebuild(
    entry: Mapping[str, Any], arrays: Arrays, written: Mapping[str, Any] | None = None
) -> Recorded:
    """A recorded network.

    Args:
        entry: Its description.
        arrays: The arrays of the file.
        written: What sinabs wrote of the camera's block into a configuration of the same network:
            the printed modules don't say everything of it.
    """
    tree, prefix = tree_of(entry), f"{entry['name']}/raw/"
    raw = {key.removeprefix(prefix): v for key, v in arrays.items() if key.startswith(prefix)}
    text = _Text(entry, list(leaves(tree)), raw, written or {})
    build = _chain if _is_chain(tree) else _graph
    recorded = build(text, arrays)
    layers = [recorded.network[name] for name in recorded.network.names]
    told = [NO_EPS] * any(isinstance(layer, nj.BatchNorm) for layer in layers)
    told += [KILLS] * any(isinstance(layer, nj.IAF) and layer.v_min is None for layer in layers)
    told += [MEANS] * ("merge_factors" in recorded.options)
    options = {**recorded.options, **ast.literal_eval(entry.get("kwargs", "{}"))}
    return recorded._replace(options=options, expectation="; ".join(told))


def reason_to_refuse(entry: Mapping[str, Any]) -> str:
    """What sinabs accepts of a network although no chip computes it, or ""."""
    if any(info["threshold"] < 1 for info in entry.get("layers", {}).values()):
        return ZERO
    return IGNORES if any(is_ignored(module) for _, module in leaves(tree_of(entry))) else ""


def _is_chain(module: Module) -> bool:
    return module.kind == "Sequential" and all(
        _is_chain(child) for child in module.children if child.children and child.kind != "DVSLayer"
    )


def _camera_options(text: _Text) -> dict[str, Any]:
    """Whether sinabs was told to put a camera in front of a network that has none."""
    to_camera = "dvs" in text.entry.get("destination_map", {})
    if any(module.kind == "DVSLayer" for _, module in text.leaves):
        return {}
    if to_camera or "destinations" in text.written:
        return {"dvs_input": bool(text.written.get("pass_sensor_events", True))}
    return {}


# Chains


def _chain(text: _Text, arrays: Arrays) -> Recorded:
    entry = text.entry
    infos = entry.get("layers", {})
    keys = in_order(infos)
    layers: dict[str, nj.Layer] = dict(_front(text, arrays))
    neurons: dict[str, str] = {}
    for path, module in text.leaves[len(_front_leaves(text)) :]:
        name = f"{module.kind}_{path.replace('.', '_')}"
        info: Mapping[str, Any] = {}
        if module.kind in NEURONS:
            key = keys[len(neurons)] if len(neurons) < len(keys) else str(len(neurons))
            neurons[key], info = name, infos.get(key, {})
        layers[name] = layer_of(module, text.parameters(path), dict(info))
    network = nj.Sequential(tuple(entry["input_shape"]), **layers)
    return Recorded(network, neurons, _camera_options(text), "")


def _front_leaves(text: _Text) -> list[Leaf]:
    """What the camera's block is made of: a DVSLayer, or pools, a crop and flips."""
    kinds = (*POOLS, "Crop2d", "FlipDims", "Identity", "Dropout", "Dropout2d")
    if text.leaves and text.leaves[0][1].kind == "DVSLayer":
        return text.leaves[:1]
    front = list(itertools.takewhile(lambda leaf: leaf[1].kind in kinds, text.leaves))
    return front if any(module.kind in ("Crop2d", "FlipDims") for _, module in front) else []


def _front(text: _Text, arrays: Arrays) -> Iterator[tuple[str, nj.Layer]]:
    front = _front_leaves(text)
    if not front:
        return
    if front[0][1].kind == "DVSLayer":
        yield "camera", _camera(text, front[0][1], arrays)
        return
    sizes, factor = np.ones(2, int), 1.0
    parts: dict[str, Module] = {}
    for _, module in front:
        if module.kind in POOLS:
            size = np.broadcast_to(module.options["kernel_size"], 2)
            sizes *= size
            factor /= np.prod(size) if module.kind == "AvgPool2d" else 1
        parts[module.kind] = module
    pool = Module("pool_layer", "SumPool2d", (), {"kernel_size": tuple(sizes.tolist())}, ())
    crop = parts.get("Crop2d", Module("", "Crop2d", (), {}, ()))._replace(name="crop_layer")
    yield "camera", _camera(text, Module("", "DVSLayer", (), {}, (pool, crop)), arrays)
    if factor != 1:
        yield "average", nj.Scale(factor)


def _camera(text: _Text, module: Module, arrays: Arrays) -> DVS:
    """The camera's block. Its flips are in a configuration, or found in the recorded events."""
    entry, shape = text.entry, text.entry["input_shape"]
    if text.written:
        return camera_of(module, shape, text.written)
    name = entry["name"]
    seen = [key for key in arrays if key.startswith(f"{name}/out2/layerdvs_dest")]
    for flips in itertools.product((False, True), repeat=3):
        x, y, diagonal = flips
        block = camera_of(module, shape, {"mirror": {"x": x, "y": y}, "mirror_diagonal": diagonal})
        if not seen:
            break
        frames = zip(arrays[f"{name}/x"].astype(np.float32), arrays[seen[0]], strict=True)
        if all(np.array_equal(block.step(None, sent)[1], came) for sent, came in frames):
            return block
    raise NotCovered("the printed DVSLayer does not say how it flips, and nothing else does")


# Other graphs


class _Branch(NamedTuple):
    """One destination of a core."""

    source: str  # key of the core, or "dvs"
    target: str | None
    size: tuple[int, int]  # of the pooling
    average: int = 1  # area over which it takes the mean


def _graph(text: _Text, arrays: Arrays) -> Recorded:
    entry = text.entry
    if "destination_map" not in entry:
        raise NotCovered(f"of a {tree_of(entry).kind} the wiring was not recorded")
    keys, infos = in_order(entry["layers"]), entry["layers"]
    used = _modules_of_cores(text, arrays)
    layers: dict[str, nj.Layer] = {}
    edges: list[tuple[str, str]] = []
    neurons, entries, means = {}, {}, False
    branches = _branches(entry)
    for key in keys:
        into = [i for i, branch in enumerate(branches) if branch.target == key]
        areas, mixed = _averages([branches[i].size for i in into], infos[key].get("rescale") or 1)
        means |= mixed
        for i, area in zip(into, areas, strict=True):
            branches[i] = branches[i]._replace(average=area)
        parts = {f"{what} {key}": layer for what, layer in _core(text, used[key], infos[key])}
        if len(into) > 1:
            parts = {f"merge {key}": Add(), **parts}
        entries[key] = next(iter(parts))
        neurons[key] = list(parts)[-1]
        layers |= parts
        edges += itertools.pairwise(parts)
    for _, module in text.leaves:
        if module.kind == "DVSLayer":
            layers = {"camera": _camera(text, module, arrays), **layers}
            edges.insert(0, ("input", "camera"))
    camera = "camera" if "camera" in layers else "input"
    outputs = []
    for i, branch in enumerate(branches):
        name = camera if branch.source == "dvs" else neurons[branch.source]
        for what, pool in _pools(branch):
            pooled = f"{what} {branch.source} {i}"
            layers[pooled] = pool
            edges.append((name, pooled))
            name = pooled
        if branch.target is None:
            outputs.append(name)
        else:
            edges.append((name, entries[branch.target]))
    fed = {branch.target for branch in branches}
    edges += [("input", entries[key]) for key in keys if key not in fed]
    options = _camera_options(text) | ({"merge_factors": "mean"} if means else {})
    network = nj.Network(layers, edges, inputs=tuple(entry["input_shape"]), outputs=outputs)
    return Recorded(network, neurons, options, "")


def _branches(entry: Mapping[str, Any]) -> list[_Branch]:
    """Destinations in the order of the cores and of sinabs; the camera's are first."""
    found = []
    for key in ["dvs", *in_order(entry["layers"])]:
        pools = entry["layers"].get(key, {}).get("pool", [])
        for i, target in enumerate(entry["destination_map"].get(key, [])):
            size = np.broadcast_to(pools[i] if i < len(pools) else 1, 2).tolist()
            there = None if target < 0 else str(target)
            found.append(_Branch(key, there, (size[0], size[1])))
    return found


def _pools(branch: _Branch) -> Iterator[tuple[str, nj.Layer]]:
    """A mean over a part of the window, then the sum over the rest."""
    height, width = branch.size
    inner = next(
        (a, branch.average // a)
        for a in range(1, height + 1)
        if branch.average % a == 0 and height % a == 0 and width % (branch.average // a) == 0
    )
    if branch.average != 1:
        yield "mean", AvgPool2d(inner)
    rest = (height // inner[0], width // inner[1])
    if rest != (1, 1):
        yield "pool", SumPool2d(rest)


def _averages(sizes: Sequence[tuple[int, int]], rescale: float) -> tuple[list[int], bool]:
    """Over which part of each pool the mean is taken, so that the recorded factor comes out.

    Returns:
        The areas, and whether different factors met, of which sinabs took half the mean.
    """
    choices = []
    for height, width in sizes:
        areas = {a * b for a in _divisors(height) for b in _divisors(width)}
        # A pure mean or a pure sum first.
        pure = [height * width, 1]
        choices.append(list(dict.fromkeys([*pure, *sorted(areas)])))
    for areas in itertools.product(*choices):
        factors = {1 / area for area in areas}
        mean = np.round(np.mean(list(factors)) * 0.5, 2) if len(factors) > 1 else 0
        factor = next(iter(factors), 1.0) if len(factors) < 2 else mean
        if np.isclose(factor, rescale, rtol=1e-6, atol=0):
            return list(areas), len(factors) > 1
    raise NotCovered(f"no average pools give the factor {rescale} of a core")


def _divisors(n: int) -> list[int]:
    return [k for k in range(1, n + 1) if n % k == 0]


def _core(
    text: _Text, used: tuple[Leaf, Leaf | None, Leaf], info: Mapping[str, Any]
) -> Iterator[tuple[str, nj.Layer]]:
    (path, weights), norm, (at, neuron) = used
    if weights.kind == "Linear":
        yield "flatten", Flatten()
    yield "weights", layer_of(weights, text.parameters(path), {})
    if norm is not None:
        yield "norm", layer_of(norm[1], text.parameters(norm[0]), {})
    yield "neurons", layer_of(neuron, text.parameters(at), dict(info))


def _modules_of_cores(text: _Text, arrays: Arrays) -> dict[str, tuple[Leaf, Leaf | None, Leaf]]:
    """Weights, norm and neurons of each core. A module may hold more than it uses."""
    weights = [leaf for leaf in text.leaves if leaf[1].kind in WEIGHTS]
    neurons = _beside(weights, [leaf for leaf in text.leaves if leaf[1].kind in NEURONS], text)
    norms = _beside(weights, [leaf for leaf in text.leaves if leaf[1].kind in NORMS], text)
    free = list(range(len(weights)))
    found = {}
    for key in in_order(text.entry["layers"]):
        info = text.entry["layers"][key]
        written = arrays.get(f"{text.entry['name']}/q/{key}/weight")
        likeness = {i: _likeness(text, weights[i], info, written) for i in free}
        best = max(likeness, key=lambda i: likeness[i], default=None)
        if best is None or likeness[best] < 0:
            raise NotCovered(f"no printed module has the shape of core {key}")
        free.remove(best)
        neuron = neurons.get(best)
        if neuron is None:
            raise NotCovered(f"no neurons are printed behind '{weights[best][0]}'")
        found[key] = weights[best], norms.get(best), neuron
    return found


def _beside(weights: list[Leaf], others: list[Leaf], text: _Text) -> dict[int, Leaf]:
    """Which of the others belongs to which weights: they are as many, or printed behind them."""
    if len(others) == len(weights):
        return dict(enumerate(others))
    at = {path: i for i, (path, _) in enumerate(text.leaves)}
    found: dict[int, Leaf] = {}
    for leaf in others:
        before = [i for i, (path, _) in enumerate(weights) if at[path] < at[leaf[0]]]
        if before:
            found.setdefault(before[-1], leaf)
    return found


def _likeness(
    text: _Text, leaf: Leaf, info: Mapping[str, Any], written: np.ndarray | None
) -> float:
    """How well a module fits a core: -1 if its shape does not, else 0 to 1."""
    path, module = leaf
    channels, height, width = info["in_shape"]
    features = info["neuron_shape"][0]
    if module.kind == "Linear":
        shape = (module.options["out_features"], module.options["in_features"])
        fits = shape == (features, channels * height * width)
        fits &= tuple(info["kernel"]) == (height, width)
    else:
        option = module.options
        pair = lambda name, default: tuple(np.broadcast_to(option.get(name, default), 2))  # noqa: E731
        fits = (module.args[1], module.args[0]) == (features, channels)
        fits &= pair("kernel_size", 1) == tuple(info["kernel"])
        fits &= pair("stride", 1) == tuple(info["stride"])
        fits &= pair("padding", 0) == tuple(info["padding"])
    if not fits:
        return -1.0
    raw = text.parameters(path).get("weight")
    if raw is None or written is None:
        return 0.0
    # Norms and scales change the length of a feature's weights, not their direction.
    a, b = (w.reshape(features, -1).astype(np.float64) for w in (raw, written))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.mean(np.abs(np.sum(a * b, axis=1)) / np.maximum(lengths, 1e-30)))
