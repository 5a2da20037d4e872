"""Products of spikes: which spikes each term of a sum of products takes.

The crossbar multiplies spikes with weights. A product of spikes is an AND, which a memoryless
neuron computes whose threshold only all of its inputs together exceed. So each term of a matrix
product takes a neuron, and the synapses behind it add them up, with their counts. A product of
products is one of three spikes: (q k^T) v takes no neurons for q k^T.

References:
    hs_api, `converter.py` (`_matrix_mul_cri`), for the AND neurons.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from neurojax._layer import Layer, Shape
from neurojax.layers import Flatten, Permute, Reshape, Slice

MOST_TERMS = 1 << 26
"""So many neurons need gigabytes to be described."""


class Terms(NamedTuple):
    """A product of spikes that has no neurons yet.

    Attributes:
        name: Of the layer that multiplies.
        sources: For each factor the name of the layer whose spikes it takes.
        taken: For each factor which of its source's values, flattened: `[*shape, terms]`.
    """

    name: str
    sources: tuple[str, ...]
    taken: tuple[np.ndarray, ...]

    @property
    def number(self) -> int:
        """Terms of one sum."""
        return self.taken[0].shape[-1]


def single(name: str, shape: Shape) -> Terms:
    """Spikes as products of one factor."""
    index = np.arange(np.prod(shape, dtype=int), dtype=np.int32)
    return Terms("", (name,), (index.reshape(*shape, 1),))


def terms_of_product(a: Terms, b: Terms) -> int:
    """How many terms `product` would have."""
    (*_, rows, inner, _), (*before, _, columns, _) = a.taken[0].shape, b.taken[0].shape
    heads = np.broadcast_shapes(a.taken[0].shape[:-3], tuple(before))
    return int(np.prod([*heads, rows, columns, inner, a.number, b.number], dtype=np.int64))


def product(name: str, a: Terms, b: Terms) -> Terms:
    """The matrix product of `(..., n, k)` and `(..., k, m)`."""
    # [..., n, 1, k, terms of a, 1] and [..., 1, m, k, 1, terms of b]
    left = [np.expand_dims(taken, (-4, -1)) for taken in a.taken]
    right = [np.expand_dims(np.swapaxes(taken, -3, -2), (-5, -2)) for taken in b.taken]
    shape = np.broadcast_shapes(left[0].shape, right[0].shape)
    taken = [np.broadcast_to(i, shape).reshape(*shape[:-3], -1) for i in (*left, *right)]
    return Terms(name, (*a.sources, *b.sources), tuple(taken))


def moved(terms: Terms, layer: Layer) -> Terms:
    """Terms behind a layer that moves values or drops some."""

    def move(taken: np.ndarray) -> np.ndarray:
        if isinstance(layer, Permute):
            return taken.transpose(*layer.axes, taken.ndim - 1)
        if isinstance(layer, Slice):
            axis = layer.axis % (taken.ndim - 1)
            return taken[(*(slice(None),) * axis, slice(layer.start, layer.stop))]
        assert isinstance(layer, Flatten | Reshape)
        return taken.reshape(*layer.out_shape(taken.shape[:-1]), taken.shape[-1])

    return terms._replace(taken=tuple(move(taken) for taken in terms.taken))
