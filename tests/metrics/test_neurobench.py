"""NeuroBench's metrics against what neurobench itself measured, and against torch."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax import metrics, quantise
from neurojax.chips import bss2, cri, dynapcnn, loihi, mcu
from neurojax.chips.cri._links import BiasAxons
from neurojax.chips.cri.crossbar import Crossbar
from neurojax.converters.snntorch import leaky
from neurojax.metrics import neurobench

NAMES = ("mlp", "conv2d", "conv1d")


@pytest.fixture(scope="module")
def recorded(golden):
    cases = json.loads((golden / "neurobench/metrics.json").read_text())["cases"]
    return cases, np.load(golden / "neurobench/metrics.npz")


def built(name, held):
    """The networks that were recorded, from their weights."""
    weight = lambda i: held[f"{name}/{i}.weight"]  # noqa: E731
    bias = lambda i: held[f"{name}/{i}.bias"]  # noqa: E731
    if name == "mlp":
        return nj.Sequential(
            (6,),
            a=nj.Linear.from_weights(weight(0), bias(0)),
            s=leaky(beta=0.9, threshold=0.6),
            b=nj.Linear.from_weights(weight(2)),
            t=leaky(beta=0.8, threshold=0.3, reset_mechanism="zero"),
        )
    if name == "conv2d":
        return nj.Sequential(
            (2, 8, 7),
            a=nj.Conv2d.from_weights(weight(0), bias(0), stride=2, padding=1, groups=2),
            s=leaky(beta=0.9, threshold=0.6),
            pool=nj.AvgPool2d(2),
            b=nj.Conv2d.from_weights(weight(3), bias(3), padding=1, dilation=2),
            t=leaky(beta=0.5, threshold=0.2),
            flat=nj.Flatten(),
            c=nj.Linear.from_weights(weight(6), bias(6)),
            u=leaky(beta=0.9, threshold=0.6),
        )
    return nj.Sequential(
        (2, 9),
        a=nj.Conv1d.from_weights(weight(0), bias(0), stride=2, padding=2),
        relu=nj.ReLU(),
        b=nj.Conv1d.from_weights(weight(2), groups=4, bias=bias(2)),
        s=leaky(beta=0.9, threshold=0.6),
    )


@pytest.mark.parametrize("name", NAMES)
def test_metrics_of_neurobench(recorded, name):
    case, held = recorded[0][name], recorded[1]
    net = built(name, held)
    x = np.swapaxes(held[f"{name}/x"], 0, 1).astype(np.float32)
    assert np.array_equal(nj.simulate(net, x).outputs, np.swapaxes(held[f"{name}/y"], 0, 1))

    static = case["static"]
    assert neurobench.parameter_count(net) == static["ParameterCount"]
    assert neurobench.connection_sparsity(net) == static["ConnectionSparsity"]
    # snnTorch keeps constants of its neurons and their membranes in arrays.
    assert neurobench.footprint(net) == case["parameter_bytes"] < static["Footprint"]

    found = neurobench.workload(net, x, batch_size=case["batch_size"])
    theirs, ours = case["workload"], found.asdict()
    assert ours["SynapticOperations"] == theirs["SynapticOperations"]
    assert ours["MembraneUpdates"] == theirs["MembraneUpdates"]
    # Theirs is that of a batch; the last one of the three has one sample.
    by_batch = np.average(theirs["ActivationSparsity"], weights=[2, 2, 1])
    assert ours["ActivationSparsity"] == pytest.approx(by_batch, rel=1e-12)
    activity = metrics.count_spikes(net, x)
    assert neurobench.activation_sparsity(net, activity) == ours["ActivationSparsity"]
    # Operations are events, whatever they are called.
    events = metrics.synaptic_events(net, activity)
    for layer, operations in found.operations_by_layer.items():
        macs, acs, dense = operations
        assert (macs + acs) * 5 == pytest.approx(events[layer].effective)
        assert dense * 5 == events[layer].dense


def test_recurrent_layers_step_by_step():
    """A graded recurrent edge and a recurrent layer, with plain NumPy."""
    keys = jax.random.split(jax.random.key(0), 4)
    net = nj.Network(
        {
            "a": nj.Linear(3, 4, key=keys[0]),
            "s": nj.IAF(threshold=0.3, max_spikes=None),
            "back": nj.Linear(4, 4, key=keys[1]),
            "again": nj.Recurrent(nj.LIF(tau=3.0, threshold=0.3), nj.Linear(4, 4, key=keys[2])),
        },
        [("input", "a"), ("a", "s"), ("s", "back", True), ("back", "s"), ("s", "again")],
        inputs=(3,),
    )
    x = jax.random.normal(keys[3], (8, 2, 3))
    run = nj.simulate(net, x, probes=["s", "s.v", "again", "again.neuron.v"])
    s, again = np.asarray(run["s"]), np.asarray(run["again"])
    assert s.max() > 1

    def operations(values):
        macs = acs = 0
        for now in values:
            count = int((now != 0).sum()) * 4
            if np.isin(now, (-1, 0, 1)).all():
                acs += count
            else:
                macs += count
        return macs / 2, acs / 2, 8 * 16.0

    found = neurobench.workload(net, x)
    late = lambda values: np.concatenate([np.zeros_like(values[:1]), values[:-1]])  # noqa: E731
    assert found.operations_by_layer["back"] == operations(late(s))
    assert found.operations_by_layer["again.synapse"] == operations(late(again))
    assert found.operations_by_layer["a"] == (8 * 12, 0, 8 * 12)
    assert found.synaptic_operations.dense == 2 * 8 * 16 + 8 * 12
    for name, path in (("s", "s.v"), ("again", "again.neuron.v")):
        v = np.asarray(run[path])
        assert found.updates_by_layer[name] == (v[0].size + (v[1:] != v[:-1]).sum()) / 2
    assert found.membrane_updates == sum(found.updates_by_layer.values())
    assert found.samples == 2


def test_chips_and_batches():
    """Crossbars, axons of the host, cores: operations are effective events."""
    rng = np.random.default_rng(0)
    matrices = [rng.integers(-9, 9, shape) * 1.0 for shape in ((3, 4), (4, 4))]
    chip = Crossbar(*matrices, neuron=cri.Neuron(theta=9, model="IF"))
    net = nj.Sequential((3,), chip=chip, bias=BiasAxons(np.array([1.0, 2.0, 0.0, 3.0]), start=1))
    x = (rng.random((6, 5, 3)) < 0.5).astype(np.float32)
    found = neurobench.workload(net, [x[:, :3], x[:, 3:]])
    events = metrics.synaptic_events(net, metrics.count_spikes(net, x))
    assert set(events) == {"chip.axon", "chip.recurrent", "bias"}
    for key, event in events.items():
        assert found.operations_by_layer[key].effective_acs * 5 == pytest.approx(event.effective)
        assert found.operations_by_layer[key].effective_macs == 0
    with pytest.raises(ValueError, match="time steps"):
        neurobench.workload(net, [x, x[:2]])
    with pytest.raises(ValueError, match="no batches"):
        neurobench.workload(net, [])


FORMAT = mcu.Format(mcu.number_of("int16"), 0, None, 0, "floor", "floor")
W = np.array([[0.2, 4.0, -3.0], [0.0, 7.0, 30.0]])
SPARSITY = {
    "float": (nj.Linear.from_weights(W), 1 / 6),
    "loihi": (loihi.Synapse(nj.Linear.from_weights(W)), 2 / 6),
    "cri": (cri.Synapse(nj.Linear.from_weights(W)), 2 / 6),
    "bss2": (bss2.Synapse(nj.Linear.from_weights(W)), 2 / 6),
    "sparse": (bss2.SparseLinear.from_weights(W, [[1, 1, 0], [1, 0, 0]]), 1 / 3),
    "dynapcnn": (dynapcnn.Core(W[:, :, None, None], threshold=5, flat=True), 2 / 6),
    "mcu": (mcu.Dense(W, format=FORMAT), 2 / 6),
    "complex": (loihi.ComplexSynapse(*2 * [nj.Linear.from_weights(W)]), 2 / 12),
    "chain": (nj.Chain(a=nj.BatchNorm(3), b=nj.Linear.from_weights(W)), 1 / 6),
    "crossbar": (Crossbar(W, neuron=cri.Neuron(theta=9)), 2 / 6),
    "quantised": (
        quantise.Quantised(nj.Linear.from_weights(W), {"weight": quantise.Quantiser(bits=2)}),
        5 / 6,
    ),
}


@pytest.mark.parametrize("name", SPARSITY)
def test_weights_are_those_that_the_chip_stores(name):
    layer, expected = SPARSITY[name]
    net = nj.Sequential((W.shape[0 if name == "crossbar" else 1],), layer)
    assert neurobench.connection_sparsity(net) == round(expected, 4)


def test_bytes_and_parameters():
    net = nj.Sequential(
        (3,), a=nj.Linear(3, 5, bias=True, key=jax.random.key(0)), n=nj.BatchNorm(5), s=nj.IAF()
    )
    assert neurobench.parameter_count(net) == 15 + 5 + 10
    assert neurobench.footprint(net) == 4 * (15 + 5 + 10 + 10)  # running mean and variance, too
    assert neurobench.footprint(net.astype(jnp.bfloat16)) == 2 * 40
    with pytest.raises(ValueError, match="no weights"):
        neurobench.connection_sparsity(nj.Sequential((3,), nj.IAF()))


def test_nothing_to_measure():
    net = nj.Sequential((3,), nj.Identity())
    found = neurobench.workload(net, np.ones((2, 1, 3), np.float32))
    assert found.asdict() == {
        "ActivationSparsity": 0.0,
        "SynapticOperations": {"Effective_MACs": 0.0, "Effective_ACs": 0.0, "Dense": 0.0},
        "MembraneUpdates": 0.0,
    }
