"""Products of spike matrices on a crossbar, for attention: AND neurons.

A crossbar multiplies spikes with weights, not with spikes. But a product of spikes is an AND, and a
memoryless neuron whose threshold only all of its inputs together exceed computes it. So each term
of a matrix product takes a neuron, and their sum is taken by the synapses behind them:

    (q k^T v)[r, i] = sum over j, c of q[r, c] AND k[j, c] AND v[j, i]

Spiking attention has no softmax, so this is all of it, with its counts. Terms are many: tokens^2
dim^2 a head. `matrix_product` of two matrices with OR neurons is hs_api's idea of it, which takes
fewer neurons in two stages, and loses the counts.

References:
    Z. Zhou et al., "Spikformer: when spiking neural network meets transformer", ICLR 2023, eq. 4-6;
    hs_api, `converter.py` (`_matrix_mul_cri`, whose numbering this has).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np

from neurojax.chips.cri.models import ANN_neuron, NeuronModel

Key = Hashable
Synapses = dict[Key, list[tuple[Key, int]]]


class Gates(NamedTuple):
    """A part of a network.

    Attributes:
        synapses: To be added to those of the sources, by source.
        neurons: New ones, as `CRINetwork` takes them.
        outputs: Keys of the OR neurons, `[rows, columns]`; None where the sum goes to neurons that
            exist.
    """

    synapses: Synapses
    neurons: dict[Key, tuple[list[tuple[Key, int]], NeuronModel]]
    outputs: np.ndarray | None = None


def attention(q: Any, k: Any, v: Any, targets: Any, *, weight: int = 1, name: str) -> Gates:
    """One head of spiking attention: (q k^T v) times a weight, into neurons.

    The targets get it two steps after the spikes of q, k and v are found.

    Args:
        q, k, v: Keys of neurons that spike in the same step, `[tokens, dim]`.
        targets: Keys of the neurons that integrate, `[tokens, dim]`.
        weight: Of every term.
        name: Of the new neurons: `"name.0"`, `"name.1"`, ...

    Raises:
        ValueError: Shapes that don't fit.

    Example:
        >>> import numpy as np
        >>> from neurojax.chips.cri import attention
        >>> keys = np.array([[["q"]], [["k"]], [["v"]], [["out"]]])
        >>> gates = attention(*keys, weight=3, name="and")
        >>> gates.synapses
        {'q': [('and.0', 1)], 'k': [('and.0', 1)], 'v': [('and.0', 1)]}
        >>> gates.neurons["and.0"][0], gates.neurons["and.0"][1].threshold
        ([('out', 3)], 2)
    """
    q, k, v, targets = (np.asarray(keys, object) for keys in (q, k, v, targets))
    if q.ndim != 2 or k.shape[1:] != q.shape[1:] or v.shape[:1] != k.shape[:1]:
        raise ValueError(f"attention: q {q.shape}, k {k.shape} and v {v.shape} don't fit")
    if targets.shape != (q.shape[0], v.shape[-1]):
        raise ValueError(
            f"attention: targets have shape {targets.shape}, not {(q.shape[0], v.shape[-1])}"
        )
    r, i, j, c = np.indices((q.shape[0], v.shape[1], k.shape[0], q.shape[1])).reshape(4, -1)
    return _all_of([q[r, c], k[j, c], v[j, i]], targets[r, i], weight, name)


def matrix_product(x: Any, y: Any, targets: Any = None, *, weight: int = 1, name: str) -> Gates:
    """x y of spike matrices: AND neurons, and behind them either targets or OR neurons.

    Args:
        x: Keys `[rows, inner]`.
        y: Keys `[inner, columns]`.
        targets: Keys `[rows, columns]` of neurons that get the number of terms times `weight`.
            None: new OR neurons, which spike if any term did.
        weight: Of every term.
        name: Of the new neurons: `"name.0"`, ... in the order of rows, columns, terms; OR neurons
            are `"name.any.0"`, ... by row.

    Raises:
        ValueError: Shapes that don't fit.
    """
    x, y = np.asarray(x, object), np.asarray(y, object)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[0]:
        raise ValueError(f"matrix_product: shapes {x.shape} and {y.shape} don't fit")
    shape = (x.shape[0], y.shape[1])
    made = targets is None
    if made:
        count = shape[0] * shape[1]
        targets = np.array([f"{name}.any.{n}" for n in range(count)], object).reshape(shape)
    targets = np.asarray(targets, object)
    if targets.shape != shape:
        raise ValueError(f"matrix_product: targets have shape {targets.shape}, not {shape}")
    r, i, c = np.indices((*shape, x.shape[1])).reshape(3, -1)
    gates = _all_of([x[r, c], y[c, i]], targets[r, i], 1 if made else weight, name)
    if not made:
        return gates
    either = ANN_neuron(0)
    neurons = gates.neurons | {key: ([], either) for key in targets.ravel()}
    return gates._replace(neurons=neurons, outputs=targets)


def joined(network: Mapping[Key, Any], *parts: Gates) -> dict[Key, Any]:
    """The `connections` of a network with parts added.

    Args:
        network: `{neuron: (synapses, model)}`.
        *parts: What `attention` or `matrix_product` returned; their sources are in the network or
            in an earlier part.

    Raises:
        ValueError: A name that is there twice, or a source that is no neuron.
    """
    whole = {key: (list(synapses), model) for key, (synapses, model) in network.items()}
    for part in parts:
        again = sorted(str(key) for key in part.neurons if key in whole)
        if again:
            raise ValueError(f"neurons {again[:5]} exist already; choose another name")
        whole.update({key: (list(pairs), model) for key, (pairs, model) in part.neurons.items()})
        for key, pairs in part.synapses.items():
            if key not in whole:
                raise ValueError(f"the product takes spikes of {key!r}, which is no neuron")
            whole[key][0].extend(pairs)
    return whole


def _all_of(sources: list[np.ndarray], targets: np.ndarray, weight: int, name: str) -> Gates:
    """A memoryless neuron for each entry, which spikes if all of its sources do."""
    every = ANN_neuron(len(sources) - 1)
    keys = [f"{name}.{n}" for n in range(len(targets))]
    synapses: Synapses = {}
    for entries in sources:
        for source, key in zip(entries, keys, strict=True):
            synapses.setdefault(source, []).append((key, 1))
    neurons: dict[Key, tuple[list[tuple[Key, int]], NeuronModel]] = {
        key: ([(target, weight)], every) for key, target in zip(keys, targets, strict=True)
    }
    return Gates(synapses, neurons)
