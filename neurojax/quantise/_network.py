"""Quantisers in a network: put in, reported, made final; and the ranges that its values take."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from neurojax._arguments import check_network
from neurojax._graph import nearest
from neurojax._network import Network
from neurojax._progress import PatientBar
from neurojax._simulate import simulate
from neurojax._table import text_table
from neurojax.layers import Conv1d, Conv2d, Linear
from neurojax.quantise._grid import Grid, LearntGrid
from neurojax.quantise._layer import Quantised, Rule
from neurojax.quantise._observers import AbstractObserver, MinMax, Range
from neurojax.quantise._quantiser import Quantiser

Synapse = Linear | Conv1d | Conv2d


def quantise_weights(
    network: Network,
    quantiser: Quantiser | int = 8,
    *,
    bias: Quantiser | None = None,
    layers: Iterable[str] | None = None,
    learnt: bool = False,
) -> Network:
    """The network with its weights quantised once a run; see `Quantised`.

    Args:
        network: Any network; the synapses inside `Recurrent` layers are found too. Fold batch
            normalisation first (`fold_batch_norm`) if the chip will.
        quantiser: How; a number is a `Quantiser` of so many bits.
        bias: How biases are quantised; None: they are left alone.
        layers: Names of the layers to quantise; None: every Linear and Conv.
        learnt: Train the step of each layer's weights (`LearntGrid`) instead of following the
            largest weight; bits, rounding and gradient are the quantiser's.

    Raises:
        ValueError: Unknown names, a layer that is quantised already, or nothing to quantise.

    Example:
        >>> import jax, neurojax as nj
        >>> from neurojax.quantise import quantise_weights
        >>> net = nj.Sequential((4,), nj.Linear(4, 8, key=jax.random.key(0)), nj.LIF(tau=10.0))
        >>> print(quantise_weights(net, 4)["linear1"].describe())
        Linear 4->8, weight 4 bit
    """
    rule = Quantiser(quantiser) if isinstance(quantiser, int) else quantiser
    if learnt and (rule.per_channel or rule.power_of_two or rule.range != "max"):
        raise ValueError(
            "quantise_weights: learnt=True finds the step by training; leave out per_channel, "
            "power_of_two and range"
        )
    check_network("quantise_weights", network)
    names = list(network.names) if layers is None else list(layers)
    unknown = [name for name in names if name not in network]
    if unknown:
        raise ValueError(
            "\n".join(f"no layer '{name}'; {nearest(name, network.names)}" for name in unknown)
        )
    found = []

    def wrapped(node: Any) -> Any:
        if isinstance(node, Quantised):
            raise ValueError(
                "quantise_weights: the network is quantised already; start from the one it was "
                "made from, or `bake` it"
            )
        if not isinstance(node, Synapse):
            return node
        found.append(node)
        rules: dict[str, Rule] = {"weight": rule}
        if learnt:
            options = {"narrow": rule.narrow, "rounding": rule.rounding, "gradient": rule.gradient}
            rules["weight"] = LearntGrid.from_values(node.weight, bits=rule.bits, **options)
        if bias is not None and node.bias is not None:
            rules["bias"] = bias
        return Quantised(node, rules)

    stop = lambda node: isinstance(node, Synapse | Quantised)  # noqa: E731
    new = {name: jax.tree.map(wrapped, network[name], is_leaf=stop) for name in names}
    if not found:
        raise ValueError(
            "quantise_weights: no Linear, Conv1d or Conv2d in "
            + (", ".join(f"'{name}'" for name in names))
        )
    return network.replace(**new)


def bake(network: Network) -> Network:
    """The network with its quantised parameters in place of the real ones, ready for export.

    Grids that round at random can't be baked; every other run of the result computes what the
    quantised network does.
    """
    final = lambda node: node.baked() if _is_quantised(node) else node  # noqa: E731
    layers = {
        name: jax.tree.map(final, network[name], is_leaf=_is_quantised) for name in network.names
    }
    return network.replace(**layers)


class Entry(NamedTuple):
    """One quantised parameter, for the report."""

    name: str
    bits: int
    scale: str  # integers per unit
    used: int  # different integers
    error: float  # root mean square, relative to that of the values
    clipped: int
    size: int


@dataclasses.dataclass(frozen=True, repr=False)
class QuantisationReport:
    """What quantisation does to each parameter; printed as a table."""

    entries: tuple[Entry, ...]

    def __str__(self) -> str:
        rows = [
            [
                e.name,
                f"{e.bits}",
                e.scale,
                f"{e.used} of {2**e.bits}",
                f"{100 * e.error:.2g} %",
                f"{e.clipped} of {e.size:,}" if e.clipped else "",
            ]
            for e in self.entries
        ]
        header = ["parameter", "bits", "integers per unit", "integers used", "error", "clipped"]
        return text_table(header, rows, right=["bits", "error"])

    __repr__ = __str__


def quantisation_report(network: Network) -> QuantisationReport:
    """Scale, integers used, error and clipping of every quantised parameter of a network.

    Raises:
        ValueError: Nothing is quantised.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.quantise import quantisation_report, quantise_weights
        >>> net = nj.Sequential((3,), out=nj.Linear.from_weights(jnp.array([[1.0, 0.4, -0.6]])))
        >>> print(quantisation_report(quantise_weights(net, 3)))
        parameter   bits  integers per unit  integers used  error  clipped
        ----------  ----  -----------------  -------------  -----  -------
        out.weight     3  3                  3 of 8         7.6 %
    """
    entries = tuple(
        _entry(f"{path}.{field}", getattr(node.layer, field), rule)
        for path, node in _quantised_layers(network)
        for field, rule in node.rules.items()
    )
    if not entries:
        raise ValueError("nothing is quantised in this network; see quantise_weights")
    return QuantisationReport(entries)


def observe(
    network: Network,
    batches: Any,
    *,
    probes: Iterable[str] | None = None,
    observer: AbstractObserver | None = None,
    key: PRNGKeyArray | None = None,
    progress: bool | None = None,
) -> dict[str, Range]:
    """The ranges that outputs and states take while a network runs.

    Args:
        network: The network.
        batches: An input `[time, batch, ...]`, or an iterable of inputs.
        probes: Paths of what to observe (`"hidden"`, `"hidden.v"`); default: all layers' outputs.
        observer: Default: `MinMax()`. Its `axis` counts from the trace `[time, batch, ...]`.
        key: For networks that draw random numbers.
        progress: Whether to show a bar; None: on terminals and in notebooks, after two seconds.

    Returns:
        A range for each path.

    Raises:
        ValueError: There is no batch, or what `simulate` refuses.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.quantise import observe
        >>> net = nj.Sequential((1,), hidden=nj.LI(decay=0.5))
        >>> low, high = observe(net, jnp.ones((3, 1, 1)))["hidden"]
        >>> print(low, high)
        1.0 1.75
    """
    paths = list(network.names) if probes is None else list(probes)
    watch = MinMax() if observer is None else observer

    @jax.jit
    def seen(states: Any, inputs: Any, key: PRNGKeyArray | None) -> Any:
        run = simulate(network, inputs, probes=paths, key=key)
        before = {p: watch.init(run[p]) for p in paths} if states is None else states
        return {p: watch.update(before[p], run[p]) for p in paths}

    states = None
    single = isinstance(batches, jax.Array | np.ndarray | dict)
    batches = [batches] if single else batches
    total = len(batches) if hasattr(batches, "__len__") else None
    with PatientBar("observing batches", progress) as bar:
        for number, inputs in enumerate(batches):
            bar.step(number, total)
            at = None if key is None else jax.random.fold_in(key, number)
            states = seen(states, inputs, at)
    if states is None:
        raise ValueError("observe: there is no batch to run; give at least one input")
    return {path: watch.range(states[path]) for path in paths}


def _is_quantised(node: Any) -> bool:
    return isinstance(node, Quantised)


def _quantised_layers(network: Network) -> Iterator[tuple[str, Quantised]]:
    """Every `Quantised` of a network with its path, such as `hidden.synapse`."""
    for name in network.names:
        leaves = jax.tree_util.tree_leaves_with_path(network[name], is_leaf=_is_quantised)
        for path, node in leaves:
            if _is_quantised(node):
                yield f"{name}{jax.tree_util.keystr(path)}", node


def _entry(name: str, values: Array, rule: Rule) -> Entry:
    grid: Any = rule.grid(values) if isinstance(rule, Quantiser) else rule
    key = jax.random.key(0) if grid.rounding == "stochastic" else None
    integers = grid.integers(values, key=key)
    scale = 1 / grid.step if isinstance(grid, LearntGrid) else grid.scale
    least, most = float(np.min(np.asarray(scale))), float(np.max(np.asarray(scale)))
    low, high = grid.limits
    exact = np.asarray(values, np.float64) * np.asarray(scale, np.float64)
    if isinstance(grid, Grid):
        exact = exact + np.asarray(grid.zero, np.float64)
    beyond = (exact < low - 0.5) | (exact > high + 0.5)
    error = jnp.sqrt(jnp.mean((grid.real(integers) - values) ** 2))
    size = jnp.sqrt(jnp.mean(values**2))
    return Entry(
        name,
        grid.bits,
        f"{least:.6g}" if least == most else f"{least:.6g} to {most:.6g}",
        len(np.unique(np.asarray(integers))),
        float(error / size) if size > 0 else 0.0,
        int(beyond.sum()),
        values.size,
    )
