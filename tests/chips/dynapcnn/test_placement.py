"""Memory figures and placement against counting, and against scipy."""

import numpy as np
from hypothesis import given, strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from neurojax.chips.dynapcnn import candidates, devices, match, memory_of

tables = st.lists(
    st.lists(st.integers(0, 8), max_size=9).map(lambda cores: sorted(set(cores))), max_size=11
)


@given(tables)
def test_matching_is_maximum_and_valid(table):
    cores = match(table)
    used = [core for core in cores if core is not None]
    assert len(set(used)) == len(used)
    assert all(core is None or core in row for core, row in zip(cores, table, strict=True))
    graph = np.zeros((len(table), 9))
    for i, row in enumerate(table):
        graph[i, row] = 1
    best = maximum_bipartite_matching(csr_array(graph), perm_type="column") if table else []
    assert len(used) == sum(core >= 0 for core in best)


@given(*[st.integers(1, 16)] * 2, *[st.integers(1, 70)] * 4)
def test_memory_counts_addressable_words(kh, kw, features, channels, height, width):
    """Rounded sizes are what fields of whole bits can address."""

    def addressable(n):
        return next(2**bits for bits in range(20) if 2**bits >= n)

    memory = memory_of((features, channels, kh, kw), (features, height, width), bias=True)
    assert memory.kernel == channels * addressable(kh * kw) * addressable(features)
    assert memory.neuron == features * addressable(height) * addressable(width)
    assert memory.bias == features
    without = memory_of((features, channels, kh, kw), (features, height, width), bias=False)
    assert without == memory._replace(bias=0)


def test_a_bias_needs_bias_memory_on_the_small_chips():
    weight, neurons = (4, 2, 3, 3), (4, 8, 8)
    memories = [memory_of(weight, neurons, bias=False), memory_of(weight, neurons, bias=True)]
    assert candidates(memories, devices["speck2cmini"]) == [[0, 1, 2, 3, 4], [3, 4]]
    assert candidates(memories, devices["speck2fmodule"]) == [list(range(9))] * 2
