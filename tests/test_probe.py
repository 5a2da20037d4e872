"""Probes over the neurons of a layer, against NumPy on full traces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax._probe import NEURON_REDUCTIONS

NEURONS = {
    "count": lambda v: (v != 0).sum((2, 3, 4)),
    "graded": lambda v: (~np.isin(v, (0, 1))).sum((2, 3, 4)),
    "sum": lambda v: v.sum((2, 3, 4)),
    "mean": lambda v: v.mean((2, 3, 4)),
    "max": lambda v: v.max((2, 3, 4)),
    "min": lambda v: v.min((2, 3, 4)),
}
TIME = {
    None: lambda v: v,
    "last": lambda v: v[-1],
    "sum": lambda v: v.sum(0),
    "mean": lambda v: v.mean(0),
    "count": lambda v: (v != 0).sum(0),
    "max": lambda v: v.max(0),
    "min": lambda v: v.min(0),
}


@pytest.fixture(scope="module")
def net():
    """Spike counts in one layer, and the graded synapse before it; each can be probed."""
    return nj.Sequential(
        (2, 4, 4),
        conv=nj.Conv2d(2, 3, 3, key=jax.random.key(0)),
        neurons=nj.IAF(max_spikes=None, threshold=0.2),
    )


@pytest.fixture(scope="module")
def x():
    return jax.random.randint(jax.random.key(1), (7, 2, 2, 4, 4), -1, 3).astype(jnp.float32)


def test_every_reduction_is_known():
    assert set(NEURONS) == set(NEURON_REDUCTIONS)


@pytest.mark.parametrize("schedule", ["step", "layer"])
@pytest.mark.parametrize("path", ["neurons", "neurons.v", "conv"])
def test_neurons_are_reduced_in_each_step(net, x, path, schedule):
    probes = [
        nj.Probe(path, reduce, every, neurons)
        for neurons in NEURONS
        for reduce, every in [*((name, 1) for name in TIME), (None, 3)]
        if (reduce, every) != (None, 3) or neurons == "count"
    ]
    # A thinned trace and a full one have one name; the thinned one runs by itself.
    full = [probe for probe in probes if probe.every == 1]
    run = nj.simulate(net, x, probes=[path, *full], schedule=schedule, checkpoint=3)
    trace = np.asarray(run[path])
    for probe in full:
        expected = TIME[probe.reduce](NEURONS[probe.neurons](trace))
        assert run[probe.name].shape == expected.shape
        np.testing.assert_allclose(run[probe.name], expected, rtol=1e-5, atol=1e-6)
        if probe.neurons in ("count", "graded") and probe.reduce != "mean":
            assert np.array_equal(run[probe.name], expected)
            assert run[probe.name].dtype == jnp.int32
    thin = nj.simulate(net, x, probes=[p for p in probes if p.every == 3], schedule=schedule)
    assert np.array_equal(thin[f"{path}[count]"], NEURONS["count"](trace)[::3])


def test_bfloat16_sums_of_many_neurons_are_float32():
    net = nj.Sequential((1000,), nj.Identity())
    probes = [nj.Probe("identity1", neurons="sum"), nj.Probe("identity1", neurons="mean")]
    run = nj.simulate(net, jnp.ones((2, 1, 1000), jnp.bfloat16), probes=probes)
    assert run["identity1[sum]"].dtype == jnp.float32
    assert (run["identity1[sum]"] == 1000).all()
    assert (run["identity1[mean]"] == 1).all()


def test_the_trace_is_not_kept():
    """Memory of the compiled run does not grow with neurons times steps."""
    net = nj.Sequential((1, 1000), neurons=nj.IAF(), out=nj.SumPool1d(1000))
    x = jnp.zeros((400, 1, 1, 1000))
    sizes = []
    for probes in (["neurons"], [nj.Probe("neurons", neurons="count")]):
        run = jax.jit(lambda x, p=probes: nj.simulate(net, x, probes=p, schedule="step").traces)
        sizes.append(run.lower(x).compile().memory_analysis().output_size_in_bytes)
    assert sizes[0] > 200 * sizes[1]


def test_gradients_pass_through_a_sum_over_neurons(net, x):
    def loss(weight, probe, total):
        probed = nj.simulate(
            nj.Network(
                {**net.layers, "conv": nj.Conv2d.from_weights(weight)},
                net.edges,
                inputs=net.inputs,
            ),
            x,
            probes=[probe],
        )[probe.name]
        return total(probed)

    weight = net["conv"].weight
    ours = jax.grad(loss)(weight, nj.Probe("neurons", "sum", neurons="sum"), jnp.sum)
    full = jax.grad(loss)(weight, nj.Probe("neurons"), jnp.sum)
    np.testing.assert_allclose(ours, full, rtol=1e-4, atol=1e-4)


def test_unknown_reductions_are_refused():
    with pytest.raises(ValueError, match=r"probe 'a': unknown reduction neurons='last'"):
        nj.Probe("a", neurons="last")


def test_names_tell_the_reductions_apart():
    names = [
        nj.Probe("a.v", reduce, neurons=neurons).name
        for reduce in TIME
        for neurons in (None, *NEURONS)
    ]
    assert len(set(names)) == len(names)
    assert "a.v[count]:max" in names
