"""The one network type: named layers and directed edges.

Importers make a `Network`, chips rewrite it, exporters read it. It is a pytree: `jax.grad`,
`jax.vmap`, `jax.jit`, optax and checkpoints work on it directly.
"""

from __future__ import annotations

import itertools
import weakref
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from neurojax._graph import (
    Edge,
    check_names,
    infer_shapes,
    nearest,
    stages,
    topological_order,
)
from neurojax._layer import Layer, Shape, State, constants_to_floats
from neurojax._table import shape_text, text_table


class NetworkState(NamedTuple):
    """Everything a run needs to go on where another one stopped."""

    layers: dict[str, State]  # state of each layer, batch first
    delayed: dict[str, Array]  # last output of each source of a recurrent edge
    steps: Int[Array, ""]  # time steps since the beginning: random draws depend on it


class Provenance(NamedTuple):
    """Where a layer of an imported network came from."""

    source: str  # what it was there, such as "snntorch.Leaky"
    name: str = ""  # its name there
    notes: tuple[str, ...] = ()  # what the import decided, one sentence each


class Network(eqx.Module):
    """Named layers, directed edges, several inputs and outputs.

    Several edges into one layer are added up, unless the layer takes a tuple (`Concat`). A
    recurrent edge delivers its source's output of the step before; every cycle needs one.

    Args:
        layers: Layers by name.
        edges: `Edge(source, target, recurrent=False)`, or tuples of the same.
        inputs: Shape of the input without time and batch, or `{name: shape}` for several. A
            single input is called `"input"`.
        outputs: Names of the layers whose output a run returns; default: the layers that feed
            no other layer within the step.
        provenance: Where layers came from, by name; importers say it, `describe` prints it.

    Raises:
        ValueError: Unknown names, missing edges, a cycle without a recurrent edge, shapes that
            don't fit, parameters that are not finite. All findings of a kind at once.

    Example:
        >>> import jax, neurojax as nj
        >>> net = nj.Network(
        ...     {"in": nj.Linear(4, 8, key=jax.random.key(0)), "spikes": nj.LIF(tau=10.0),
        ...      "back": nj.Linear(8, 8, key=jax.random.key(1))},
        ...     [("input", "in"), ("in", "spikes"), ("back", "spikes"),
        ...      nj.Edge("spikes", "back", recurrent=True)],
        ...     inputs=(4,), outputs=["spikes"])
        >>> net.out_shape("spikes")
        (8,)
    """

    layers: dict[str, Layer]
    edges: tuple[Edge, ...] = eqx.field(static=True)
    outputs: tuple[str, ...] = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    stages: tuple[tuple[str, ...], ...] = eqx.field(static=True)
    _inputs: tuple[tuple[str, Shape], ...] = eqx.field(static=True)
    _shapes: tuple[tuple[str, Any, Shape], ...] = eqx.field(static=True)
    _provenance: tuple[tuple[str, Provenance], ...] = eqx.field(static=True)

    def __init__(
        self,
        layers: Mapping[str, Layer],
        edges: Iterable[Edge | tuple[str, str] | tuple[str, str, bool]],
        *,
        inputs: Shape | Mapping[str, Shape],
        outputs: Sequence[str] | None = None,
        provenance: Mapping[str, Provenance] | None = None,
    ) -> None:
        named = dict(inputs) if isinstance(inputs, Mapping) else {"input": inputs}
        named = {name: _as_shape(name, shape) for name, shape in named.items()}
        all_edges = tuple(Edge(*edge) for edge in edges)
        if outputs is None:
            feeding = {edge.source for edge in all_edges if not edge.recurrent}
            outputs = [name for name in layers if name not in feeding]
        elif not outputs:
            raise ValueError("the network has no output; name at least one layer in `outputs`")
        provenance = provenance or {}
        problems = check_names(layers, named, all_edges, outputs)
        problems += [
            f"provenance of '{name}': no such layer; {nearest(name, layers)}"
            for name in provenance
            if name not in layers
        ]
        if problems:
            raise ValueError("\n".join(problems))
        self.layers = dict(layers)
        self.edges = all_edges
        self.outputs = tuple(outputs)
        # The order of `layers` does not survive a pytree round trip (dict keys get sorted).
        self.names = topological_order(list(layers), all_edges)
        self.stages = stages(self.names, all_edges)
        self._inputs = tuple(named.items())
        self._provenance = tuple(
            (name, provenance[name]) for name in self.names if name in provenance
        )
        into, out = infer_shapes(layers, named, all_edges, self.names)
        self._shapes = tuple((name, into[name], out[name]) for name in self.names)
        check_finite(self)

    def __getitem__(self, name: str) -> Layer:
        if name not in self.layers:
            raise KeyError(f"no layer '{name}'; {nearest(name, self.names)}")
        return self.layers[name]

    def __contains__(self, name: object) -> bool:
        return name in self.layers

    def __len__(self) -> int:
        return len(self.layers)

    @property
    def inputs(self) -> dict[str, Shape]:
        """Shape of each input, without time and batch."""
        return dict(self._inputs)

    @property
    def provenance(self) -> dict[str, Provenance]:
        """Where imported layers came from; layers that were made here are missing."""
        return dict(self._provenance)

    def in_shape(self, name: str) -> Shape:
        """Input shape of a layer (a tuple of shapes, if the layer takes many inputs)."""
        self[name]
        return next(into for layer, into, _ in self._shapes if layer == name)

    def out_shape(self, name: str) -> Shape:
        """Output shape of a layer or an input."""
        if name in self.inputs:
            return self.inputs[name]
        self[name]
        return next(out for layer, _, out in self._shapes if layer == name)

    def incoming(self, name: str) -> tuple[Edge, ...]:
        """Edges into a layer, in the order in which they were given."""
        return tuple(edge for edge in self.edges if edge.target == name)

    def outgoing(self, name: str) -> tuple[Edge, ...]:
        """Edges out of a layer or input."""
        return tuple(edge for edge in self.edges if edge.source == name)

    def replace(self, **layers: Layer) -> Network:
        """The same graph with some layers exchanged; checked like a new network.

        The new layers keep the provenance of those whose place they take.
        """
        for name in layers:
            self[name]
        merged = {name: layers.get(name, self.layers[name]) for name in self.names}
        return Network(
            merged, self.edges, inputs=self.inputs, outputs=self.outputs, provenance=self.provenance
        )

    def astype(self, dtype: Any) -> Network:
        """The network with every floating-point parameter cast to `dtype` (say, bfloat16)."""
        return jax.tree.map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, self)

    def init(self, batch: int, dtype: Any = jnp.float32) -> NetworkState:
        """State before the first step, for a batch. Floating-point state takes `dtype`."""

        def batched(leaf: Array) -> Array:
            leaf = jnp.asarray(leaf)
            if jnp.issubdtype(leaf.dtype, jnp.floating):
                leaf = leaf.astype(dtype)
            return jnp.broadcast_to(leaf, (batch, *leaf.shape))

        layers = {n: jax.tree.map(batched, self[n].init(self.in_shape(n))) for n in self.names}
        sources = {edge.source for edge in self.edges if edge.recurrent}
        delayed = {
            name: jnp.zeros((batch, *self.out_shape(name)), dtype) for name in sorted(sources)
        }
        return NetworkState(layers, delayed, jnp.zeros((), jnp.int32))

    def prepare(self, key: PRNGKeyArray | None) -> Network:
        """The network as a run uses it: every layer's `prepare`, constants as plain floats."""
        layers = {
            name: self[name].prepare(None if key is None else layer_keys(key, name)[0])
            for name in self.names
        }
        return eqx.tree_at(lambda net: net.layers, self, constants_to_floats(layers))

    def absorb(self, state: NetworkState) -> Network:
        """The network with what a training run learnt besides gradients (see `Layer.absorb`)."""
        layers = {name: self[name].absorb(state.layers[name]) for name in self.names}
        return eqx.tree_at(lambda net: net.layers, self, layers)

    def __str__(self) -> str:
        """A table of the layers, their inputs, shapes and parameters."""
        rows = [[name, "input", "", shape_text(shape), ""] for name, shape in self._inputs]
        total = 0
        for name in self.names:
            count = sum(x.size for x in jax.tree.leaves(self[name]) if eqx.is_inexact_array(x))
            total += count
            sources = [("~" if e.recurrent else "") + e.source for e in self.incoming(name)]
            marked = f"{name} (output)" if name in self.outputs else name
            rows.append(
                [
                    marked,
                    self[name].describe(),
                    " + ".join(sources),
                    shape_text(self.out_shape(name)),
                    f"{count:,}" if count else "",
                ]
            )
        table = text_table(
            ["layer", "what", "from", "shape", "parameters"], rows, right=["parameters"]
        )
        note = "; ~ is the step before" if any(e.recurrent for e in self.edges) else ""
        return f"{table}\n{len(self)} layers, {total:,} parameters{note}"

    __repr__ = __str__


def Sequential(input_shape: Shape, *layers: Layer, **named_layers: Layer) -> Network:
    """A chain of layers as a `Network`.

    Args:
        input_shape: Shape of the input, without time and batch.
        *layers: Layers that get names made of their class and a number (`conv2d1`, `iaf1`).
        **named_layers: Layers with names of your choice, after the unnamed ones.

    Raises:
        ValueError: No layers, or whatever `Network` refuses.

    Example:
        >>> import jax, neurojax as nj
        >>> net = nj.Sequential((4,), hidden=nj.Linear(4, 8, key=jax.random.key(0)),
        ...                     spikes=nj.LIF(tau=10.0))
        >>> net.names
        ('hidden', 'spikes')
    """
    named: dict[str, Layer] = {}
    for layer in layers:
        kind = type(layer).__name__.lower()
        number = 1
        while f"{kind}{number}" in named:
            number += 1
        named[f"{kind}{number}"] = layer
    for name, layer in named_layers.items():
        if name in named:
            raise ValueError(f"layer '{name}': this name is taken by an unnamed layer; rename it")
        named[name] = layer
    if not named:
        raise ValueError("Sequential needs at least one layer")
    chain = ["input", *named]
    edges = [Edge(a, b) for a, b in itertools.pairwise(chain)]
    return Network(named, edges, inputs=input_shape, outputs=[chain[-1]])


def layer_keys(key: PRNGKeyArray, name: str) -> tuple[PRNGKeyArray, PRNGKeyArray]:
    """Keys of a layer for `prepare` and for the steps. They depend on the layer's name only, so
    that adding a layer does not change what the others draw."""
    prepare, steps = jax.random.split(jax.random.fold_in(key, zlib.crc32(name.encode())))
    return prepare, steps


# Arrays never change, so each is looked at once in its life and not in every run.
_known_finite: weakref.WeakValueDictionary[int, Array] = weakref.WeakValueDictionary()


def check_finite(network: Network) -> None:
    """Raise ValueError naming every parameter that holds NaN or infinity (traced ones pass)."""
    if all(_is_finite(leaf) for leaf in jax.tree.leaves(network.layers)):
        return
    problems = []
    for name in network.names:
        for path, leaf in jax.tree_util.tree_leaves_with_path(network.layers[name]):
            if not _is_finite(leaf):
                bad = int(np.sum(~np.isfinite(np.asarray(leaf, np.float32))))
                field = jax.tree_util.keystr(path).lstrip(".")
                problems.append(
                    f"layer '{name}': {field} holds {bad} of {leaf.size} values that are NaN or "
                    "infinite; reload the parameters, or lower the learning rate that made them"
                )
    raise ValueError("\n".join(problems))


def _is_finite(leaf: Any) -> bool:
    """Whether a leaf holds finite numbers, as far as one can know: traced ones and such as hold no
    floating-point numbers do."""
    if _known_finite.get(id(leaf)) is leaf:
        return True
    if isinstance(leaf, jax.core.Tracer) or not eqx.is_inexact_array(leaf):
        return True
    if isinstance(leaf, jax.Array):
        on_host = next(iter(leaf.devices())).platform == "cpu"
        # Where an array is far from the host, the answer is what should travel.
        finite = bool(np.isfinite(np.asarray(leaf)).all() if on_host else jnp.isfinite(leaf).all())
        if finite:
            _known_finite[id(leaf)] = leaf
        return finite
    return bool(np.isfinite(leaf).all())


def _as_shape(name: str, shape: Any) -> Shape:
    dims = (shape,) if isinstance(shape, int) else tuple(shape)
    if not all(isinstance(n, int | np.integer) and n > 0 for n in dims):
        raise ValueError(f"input '{name}': shape {shape} must be positive integers")
    return tuple(int(n) for n in dims)
