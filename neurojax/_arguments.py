"""What `simulate` is given: inputs, state, keys and probes, checked against the network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from neurojax._graph import nearest
from neurojax._network import Network, NetworkState
from neurojax._probe import Probe, Target
from neurojax._schedule import Measured
from neurojax._table import shape_text


def check_network(what: str, value: object) -> None:
    """Raise TypeError unless it is a network; the message says how to come to one."""
    if isinstance(value, Network):
        return
    remedy = "nj.Network and nj.Sequential make one"
    if isinstance(getattr(value, "network", None), Network):
        remedy = "it is its field `network` that is one"
    elif any(cls.__module__.startswith("torch.nn") for cls in type(value).__mro__):
        remedy = "neurojax.converters.from_torch(module, ...) makes one of a torch module"
    raise TypeError(f"{what} takes a Network, got {type(value).__name__}; {remedy}")


def check_inputs(network: Network, inputs: Any) -> dict[str, Array]:
    """The inputs by name, in floating point; refuses shapes that don't fit the network."""
    shapes = network.inputs
    if not isinstance(inputs, Mapping):
        if len(shapes) > 1:
            raise ValueError(f"the network has inputs {sorted(shapes)}; pass a dict of arrays")
        inputs = {next(iter(shapes)): inputs}
    if set(inputs) != set(shapes):
        raise ValueError(f"inputs {sorted(inputs)} given, but the network takes {sorted(shapes)}")
    named = {}
    for name, array in inputs.items():
        shape = shapes[name]
        if array.ndim != len(shape) + 2 or array.shape[2:] != shape:
            raise ValueError(
                f"input '{name}' has shape {array.shape}, but must be [time, batch, "
                f"{', '.join(map(str, shape))}]: time first, batch second, then "
                f"{shape_text(shape)}" + _batch_hint(array.shape, shape)
            )
        if array.shape[0] == 0:
            raise ValueError(f"input '{name}' has no time steps (shape {array.shape})")
        if array.shape[1] == 0:
            raise ValueError(f"input '{name}' has an empty batch (shape {array.shape})")
        if not jnp.issubdtype(array.dtype, jnp.floating):
            array = array.astype(jnp.float32)
        named[name] = array
    if len({array.shape[:2] for array in named.values()}) > 1:
        found = {name: array.shape[:2] for name, array in named.items()}
        raise ValueError(f"the inputs differ in [time, batch]: {found}")
    return named


def _batch_hint(found: tuple[int, ...], shape: tuple[int, ...]) -> str:
    if found[1:] == shape:
        return "; for a single sample add a batch axis: inputs[:, None]"
    return ""


def check_options(schedule: str, unroll: int) -> None:
    """Refuse what is no schedule or no number of steps."""
    if schedule not in ("auto", "step", "layer"):
        raise ValueError(f"schedule={schedule!r} must be 'auto', 'step' or 'layer'")
    if not isinstance(unroll, int) or unroll < 1:
        raise ValueError(f"unroll={unroll!r} must be an integer >= 1")


def check_key(network: Network, key: PRNGKeyArray | None) -> None:
    """Refuse a missing key, naming the layers that need one."""
    random = [name for name in network.names if network[name].needs_key]
    if random and key is None:
        layers = ", ".join(f"'{name}' ({type(network[name]).__name__})" for name in random)
        raise ValueError(
            f"these layers draw random numbers: {layers}; pass simulate(..., "
            "key=jax.random.key(0)), or switch dropout off with "
            "equinox.nn.inference_mode(network)"
        )


def check_state(network: Network, state: NetworkState, batch: int) -> None:
    """Refuse a state of another network or another batch size."""
    expected = jax.eval_shape(lambda: network.init(batch))
    if set(state.layers) != set(expected.layers):
        raise ValueError(
            f"the state holds layers {sorted(state.layers)}, but the network has "
            f"{sorted(expected.layers)}; start from network.init(batch)"
        )
    for name in network.names:
        found = [np.shape(leaf) for leaf in jax.tree.leaves(state.layers[name])]
        shapes = [leaf.shape for leaf in jax.tree.leaves(expected.layers[name])]
        if found != shapes:
            raise ValueError(
                f"state of layer '{name}' has shapes {found}, but the batch of the inputs is "
                f"{batch} and needs {shapes}; start from network.init(batch) or keep the batch size"
            )


def resolve_probes(network: Network, probes: Iterable[Probe | str]) -> tuple[Target, ...]:
    """Probes with their layers and fields looked up; all unknown ones are reported at once."""
    targets: list[Target] = []
    problems = []
    for probe in probes:
        probe = Probe(probe) if isinstance(probe, str) else probe
        layer, field = _split_path(network, probe.path)
        if layer is None:
            problems.append(
                f"probe '{probe.path}': no such layer; {nearest(probe.path, network.names)}"
            )
            continue
        if field == ("output",):
            field = ()
        known = state_fields(network[layer].init(network.in_shape(layer)))
        if field and ".".join(field) not in known:
            problems.append(f"probe '{probe.path}': {_no_field(layer, field, known)}")
            continue
        target = Target(probe, layer, field)
        if probe.name in {t.probe.name for t in targets}:
            problems.append(f"probe '{probe.name}' is given more than once")
        targets.append(target)
    if problems:
        raise ValueError("\n".join(problems))
    return tuple(targets)


def resolve_measured(
    network: Network, measured: Mapping[str, Array], steps: int, batch: int
) -> dict[Measured, Array]:
    """Measured series with their layers and fields looked up; all that is wrong at once."""
    series, problems = {}, []
    for path, values in measured.items():
        layer, field = _split_path(network, path)
        if layer is None:
            problems.append(f"measured '{path}': no such layer; {nearest(path, network.names)}")
            continue
        state = network[layer].init(network.in_shape(layer))
        shapes = dict(zip(state_fields(state), map(np.shape, jax.tree.leaves(state)), strict=True))
        shapes[""] = network.out_shape(layer)
        if ".".join(field) not in shapes:
            problems.append(f"measured '{path}': {_no_field(layer, field, [*shapes][:-1])}")
            continue
        expected = (steps, batch, *shapes[".".join(field)])
        if np.shape(values) != expected:
            problems.append(
                f"measured '{path}' has shape {np.shape(values)}, but must be {expected}: time "
                "and batch as the inputs, then that of the layer; cut both to the steps measured"
            )
            continue
        series[Measured(layer, ".".join(field))] = values
    if problems:
        raise ValueError("\n".join(problems))
    return series


def _no_field(layer: str, field: tuple[str, ...], known: list[str]) -> str:
    hint = nearest(".".join(field), known) if known else "it has no state, only an output"
    return f"layer '{layer}' has no such field; {hint}"


def _split_path(network: Network, path: str) -> tuple[str | None, tuple[str, ...]]:
    """Layer name (which may contain dots) and field path; the longest layer name wins."""
    parts = path.split(".")
    for n in range(len(parts), 0, -1):
        if ".".join(parts[:n]) in network:
            return ".".join(parts[:n]), tuple(parts[n:])
    return None, ()


def state_fields(state: Any) -> list[str]:
    """Paths of the arrays in a layer's state, as probes name them."""
    paths = jax.tree_util.tree_leaves_with_path(state)
    return [jax.tree_util.keystr(path).lstrip(".") for path, _ in paths]
