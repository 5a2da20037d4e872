"""Attention of AND neurons: a block as of Spikformer, against its direct evaluation."""

import numpy as np
import pytest
import torch

from neurojax.chips.cri.attention import attention, joined, matrix_product
from neurojax.chips.cri.description import CRINetwork
from neurojax.chips.cri.models import IF_neuron
from tests.converters._live import peer

TOKENS, HEADS, DIM = 3, 2, 2  # DIM a head
WIDTH = HEADS * DIM


def keys(name, *shape):
    return np.array([f"{name}{n}" for n in range(np.prod(shape))], object).reshape(shape)


def dense(sources, targets, weight):
    """Synapses of a Linear that each token passes: weight [out, in]."""
    return {
        source: [(targets[t, o], int(weight[o, i])) for o in range(len(weight))]
        for t in range(len(sources))
        for i, source in enumerate(sources[t])
    }


def test_spikformer_block():
    """q, k, v, two heads of attention, neurons, projection, neurons: SpikingJelly's frames."""
    rng = np.random.default_rng(0)
    weights = {name: rng.integers(-3, 9, (WIDTH, WIDTH)) for name in "qkvp"}
    thresholds = {"q": 7, "k": 6, "v": 7, "attn": 5, "p": 6}
    scale = 2
    x = (rng.random((12, TOKENS, WIDTH)) < 0.5).astype(np.float32)

    node = peer("spikingjelly.activation_based.neuron").IFNode
    cells = {name: node(v_threshold=float(theta)) for name, theta in thresholds.items()}
    heads = lambda m: m.reshape(TOKENS, HEADS, DIM).transpose(0, 1)  # noqa: E731
    wanted = []
    for frame in x:
        lin = {n: torch.tensor(w, dtype=torch.float32) for n, w in weights.items()}
        q, k, v = (heads(cells[n](torch.tensor(frame) @ lin[n].T)) for n in "qkv")
        product = scale * (q @ k.transpose(1, 2)) @ v
        attended = cells["attn"](product.transpose(0, 1).reshape(TOKENS, WIDTH))
        wanted.append(cells["p"](attended @ lin["p"].T).numpy())
    wanted = np.array(wanted)
    assert 0.05 < wanted.mean() < 0.95

    at = {name: keys(name, TOKENS, WIDTH) for name in ("x", "q", "k", "v", "attn", "p")}
    model = {name: IF_neuron(theta - 1) for name, theta in thresholds.items()}
    neurons = {key: ([], model[n]) for n in ("q", "k", "v") for key in at[n].ravel()}
    inner = dense(at["attn"], at["p"], weights["p"])
    neurons |= {key: (inner[key], model["attn"]) for key in at["attn"].ravel()}
    neurons |= {key: ([], model["p"]) for key in at["p"].ravel()}
    columns = [slice(head * DIM, (head + 1) * DIM) for head in range(HEADS)]
    parts = [
        attention(
            *(at[n][:, c] for n in ("q", "k", "v", "attn")), weight=scale, name=f"and{c.start}"
        )
        for c in columns
    ]
    axons = {}
    for name in "qkv":
        for key, pairs in dense(at["x"], at[name], weights[name]).items():
            axons.setdefault(key, []).extend(pairs)
    network = CRINetwork(axons, joined(neurons, *parts), list(at["p"].ravel()))
    assert len(network.connections) == 5 * TOKENS * WIDTH + HEADS * TOKENS**2 * DIM**2

    late = 4  # q, k, v; AND; attention; projection
    steps = [list(at["x"][frame > 0]) for frame in x] + [[]] * late
    found = np.zeros((len(steps), TOKENS * WIDTH))
    for t, fired in enumerate(network.run(steps)):
        found[t, [int(key[1:]) for key in fired]] = 1
    np.testing.assert_array_equal(found[late:].reshape(wanted.shape), wanted)


def test_product_of_two_matrices():
    """Counts into a target's membrane; without targets, whether there is any."""
    rng = np.random.default_rng(1)
    x, y = (rng.random((2, 3)) < 0.6), (rng.random((3, 4)) < 0.6)
    kx, ky, kt = keys("x", 2, 3), keys("y", 3, 4), keys("t", 2, 4)
    relay = IF_neuron(0)
    sources = {key: ([], relay) for key in [*kx.ravel(), *ky.ravel()]}
    targets = {key: ([], IF_neuron(1000)) for key in kt.ravel()}
    counts = matrix_product(kx, ky, kt, weight=7, name="and")
    any_of = matrix_product(kx, ky, name="or")
    # Rows, columns, terms: c + w i + w d r.
    assert counts.synapses["x4"][:2] == [("and.13", 1), ("and.16", 1)]
    axons = {f"a{key}": [(key, 1)] for key in sources}
    connections = joined(sources | targets, counts, any_of)
    network = CRINetwork(axons, connections, list(any_of.outputs.ravel()))
    active = [f"a{key}" for key in [*kx[x], *ky[y]]]
    spikes = network.run([active, [], [], []])
    product = x.astype(int) @ y.astype(int)
    membranes = network.read_membrane(kt.ravel())
    np.testing.assert_array_equal(np.reshape(list(membranes.values()), (2, 4)), 7 * product)
    assert spikes[3] == list(any_of.outputs[product > 0])
    assert spikes[:3] == [[], [], []]


def test_what_does_not_fit():
    kx, ky = keys("x", 2, 3), keys("y", 2, 3)
    with pytest.raises(ValueError, match="don't fit"):
        matrix_product(kx, ky, name="and")
    with pytest.raises(ValueError, match="don't fit"):
        attention(kx, ky.T, kx, kx, name="and")
    with pytest.raises(ValueError, match="targets have shape"):
        attention(kx, ky, ky, ky.T, name="and")
    with pytest.raises(ValueError, match="targets have shape"):
        matrix_product(kx, ky.T, kx, name="and")
    gates = matrix_product(kx, ky.T, name="and")
    with pytest.raises(ValueError, match="no neuron"):
        joined({}, gates)
    with pytest.raises(ValueError, match="exist already"):
        joined({"and.0": ([], IF_neuron(1))}, gates)
