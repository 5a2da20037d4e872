"""Counted activity against NumPy on full traces, and against recorded counters of a peer."""

import json
import tracemalloc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax import datasets, metrics
from neurojax.chips import dynapcnn
from neurojax.metrics import _counter

KEYS = jax.random.split(jax.random.key(0), 8)


def traces(net, inputs, **options):
    """What every layer put out, and every input, `[time, batch, ...]`."""
    run = nj.simulate(net, inputs, probes=net.names, **options)
    named = inputs if isinstance(inputs, dict) else {next(iter(net.inputs)): inputs}
    return {name: np.asarray(x, np.float64) for name, x in {**named, **run.traces}.items()}


def check(activity, expected):
    """Every field of every layer, from full traces."""
    assert set(activity.outputs) == set(expected)
    for name, trace in expected.items():
        layer, axes = activity[name], tuple(range(2, trace.ndim))
        assert np.array_equal(layer.nonzero, (trace != 0).sum(axes).T), name
        assert np.array_equal(layer.neurons, (trace != 0).sum((0, 1)))
        assert np.array_equal(layer.last, (trace[-1] != 0).sum(0))
        for sums in (layer.nonzero, layer.neurons, layer.last):
            assert sums.dtype == np.int64
        np.testing.assert_allclose(layer.total, trace.sum(axes).T, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(layer.sums, trace.sum((0, 1)), rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(layer.last_sums, trace[-1].sum(0), rtol=1e-5, atol=1e-4)
        assert layer.size == trace[0, 0].size
        assert layer.binary == np.isin(trace, (0, 1)).all()
        assert layer.rate == pytest.approx((trace != 0).mean())
        assert layer.count == pytest.approx((trace != 0).sum() / trace.shape[1])
        assert (layer.samples, layer.steps) == trace.shape[1::-1]


def images():
    """Graded inputs, some of them negative; pools that give fractions; several spikes at once."""
    net = nj.Sequential(
        (2, 6, 6),
        conv=nj.Conv2d(2, 3, 3, padding=1, bias=True, key=KEYS[0]),
        spikes=nj.IAF(max_spikes=None, threshold=0.3),
        pool=nj.AvgPool2d(2),
        late=nj.Delay(2),
        flat=nj.Flatten(),
        out=nj.Linear(27, 4, key=KEYS[1]),
        readout=nj.LI(tau=3.0),
    )
    return net, jax.random.randint(KEYS[2], (6, 5, 2, 6, 6), -1, 3)


def loops():
    """Two inputs, added edges, a recurrent edge and a recurrent layer."""
    net = nj.Network(
        {
            "a": nj.Linear(3, 5, key=KEYS[3]),
            "b": nj.Linear(4, 5, key=KEYS[4]),
            "sum": nj.Add(),
            "hidden": nj.LIF(tau=4.0, threshold=0.3),
            "back": nj.Linear(5, 5, key=KEYS[5]),
            "again": nj.Recurrent(nj.LIF(tau=2.0, threshold=0.2), nj.Linear(5, 5, key=KEYS[6])),
        },
        [
            ("x", "a"),
            ("y", "b"),
            ("a", "sum"),
            ("b", "sum"),
            ("sum", "hidden"),
            ("hidden", "back", True),
            ("back", "hidden"),
            ("hidden", "again"),
        ],
        inputs={"x": (3,), "y": (4,)},
        outputs=["again"],
    )
    x = jax.random.bernoulli(KEYS[6], 0.6, (6, 5, 3)).astype(jnp.float32)
    return net, {"x": x, "y": jax.random.normal(KEYS[7], (6, 5, 4))}


@pytest.mark.parametrize("network", [images, loops])
@pytest.mark.parametrize("batch_size", [None, 2])
def test_every_layer_and_input_is_counted(network, batch_size):
    net, inputs = network()
    activity = metrics.count_spikes(net, inputs, batch_size=batch_size)
    assert (activity.steps, activity.samples) == (6, 5)
    check(activity, traces(net, inputs))
    assert [name for name in activity.outputs] == [*net.inputs, *net.names]


def test_spikes_are_those_of_spiking_layers_each_once():
    net, inputs = images()
    activity = metrics.count_spikes(net, inputs)
    trace = traces(net, inputs)["spikes"]
    assert trace.max() > 1
    assert activity.spiking == activity.counting == ("spikes",)
    assert activity.spikes() == activity.spikes("spikes") == trace.sum()
    assert activity.spikes("input") == (np.asarray(inputs) != 0).sum()


HALVES = slice(0, 2), slice(2, 5)


def test_a_data_set_is_counted_batch_by_batch():
    net, inputs = images()
    whole = metrics.count_spikes(net, inputs)
    labels = np.zeros(5)
    parts = [
        (inputs[:, :2], labels[:2]),
        (inputs[:, 2:4], labels[2:4]),
        (inputs[:, 4:], labels[4:]),
    ]
    for batches in (parts, iter([x for x, _ in parts])):
        check(metrics.count_spikes(net, batches), traces(net, inputs))
    check(metrics.count_spikes(net, [inputs[:, :0], inputs]), traces(net, inputs))
    halves = [metrics.count_spikes(net, inputs[:, part], batch_size=2) for part in HALVES]
    check(halves[0] + halves[1], traces(net, inputs))
    assert str(halves[0] + halves[1]) == str(whole)


class Traced(nj.Layer):
    """Tells how often it has been traced."""

    count: list = eqx.field(static=True)

    def step(self, state, x, *, key=None):
        self.count.append(1)
        return state, x

    def out_shape(self, in_shape):
        return in_shape


def test_nothing_is_compiled_for_a_short_last_batch():
    class Count(list):
        __hash__ = object.__hash__
        __eq__ = object.__eq__

    count = Count()
    net = nj.Sequential((3,), Traced(count), nj.IAF())
    x = np.ones((4, 7, 3), np.float32)
    metrics.count_spikes(net, x[:, :2])
    once = len(count)
    activity = metrics.count_spikes(net, x, batch_size=2)
    assert len(count) == once
    assert activity["iaf1"].nonzero.shape == (7, 4)
    assert activity["iaf1"].events == 7 * 4 * 3


def test_silent_layers_and_single_values():
    net = nj.Sequential((1,), nj.Linear.from_weights(jnp.zeros((2, 1))), quiet=nj.IAF())
    layer = metrics.count_spikes(net, jnp.ones((3, 2, 1)))["quiet"]
    assert (layer.rate, layer.count, layer.events, layer.binary) == (0, 0, 0, True)


@pytest.mark.parametrize("value, binary", [(1.0, True), (0.0, True), (0.5, False), (-1.0, False)])
def test_binary_means_exactly_zero_or_one(value, binary):
    net = nj.Sequential((2,), nj.Identity())
    x = jnp.zeros((3, 2, 2)).at[1, 1, 1].set(value)
    layer = metrics.count_spikes(net, x)["identity1"]
    assert layer.binary == binary
    assert layer.events == (value != 0)


def test_what_fills_a_batch_does_not_count():
    """Not even for the question of whether all values are binary."""
    net = nj.Sequential((1,), nj.Identity())
    x = jnp.ones((2, 3, 1)).at[:, 2].set(0.5)
    assert not metrics.count_spikes(net, x, batch_size=2)["identity1"].binary
    assert metrics.count_spikes(net, [x[:, :2], x[:, :1]])["identity1"].events == 6


def test_bfloat16_is_counted_exactly():
    net = nj.Sequential((300,), nj.Identity()).astype(jnp.bfloat16)
    activity = metrics.count_spikes(net, jnp.ones((400, 1, 300), jnp.bfloat16))
    assert activity["identity1"].events == 400 * 300
    assert activity["identity1"].total.sum() == 400 * 300
    assert (activity["identity1"].sums == 400).all()
    assert activity["identity1"].binary


def test_keys_and_inference_mode():
    """Dropout is off; the first batch draws what a run with this key draws."""
    net = nj.Sequential((50,), nj.Dropout(0.5), neurons=nj.IAF())
    x = jnp.ones((3, 2, 50))
    assert metrics.count_spikes(net, x)["neurons"].events == 300

    class Noise(nj.Layer):
        needs_key = True

        def step(self, state, x, *, key=None):
            return state, jax.random.bernoulli(key, 0.5, x.shape).astype(x.dtype)

        def out_shape(self, in_shape):
            return in_shape

    net, key = nj.Sequential((50,), noise=Noise()), jax.random.key(3)
    check(metrics.count_spikes(net, x, key=key), traces(net, x, key=key))
    apart = metrics.count_spikes(net, x, key=key, batch_size=1)
    assert apart["noise"].nonzero[0].tolist() != apart["noise"].nonzero[1].tolist()
    with pytest.raises(ValueError, match="key"):
        metrics.count_spikes(net, x)


def test_a_mapped_network_is_counted():
    net = nj.Sequential((1, 4, 4), nj.Conv2d(1, 2, 3, key=KEYS[0]), nj.IAF(max_spikes=None))
    mapped = dynapcnn.map(net)
    x = jax.random.randint(KEYS[1], (4, 2, 1, 4, 4), 0, 3).astype(jnp.float32)
    activity = metrics.count_spikes(mapped, x)
    check(activity, traces(mapped.network, x))
    assert activity.spiking


def test_only_some_layers():
    net = nj.Sequential((2,), pool=nj.Identity(), spikes=nj.IAF())
    activity = metrics.count_spikes(net, jnp.ones((2, 1, 2)), layers=["spikes", "input"])
    assert set(activity.outputs) == {"spikes", "input"}
    with pytest.raises(KeyError, match="no activity of 'pool' was counted"):
        activity["pool"]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda net, x: metrics.count_spikes(net, []), "there are no batches"),
        (lambda net, x: metrics.count_spikes(net, x[:, :0]), "there are no batches"),
        (lambda net, x: metrics.count_spikes(net, x, batch_size=0), "batch_size=0"),
        (
            lambda net, x: metrics.count_spikes(net, x, layers=["spike"]),
            "no layer or input 'spike'",
        ),
        (lambda net, x: metrics.count_spikes(net, x, layers=[]), "layers is empty"),
        (lambda net, x: metrics.count_spikes(net, [x, x[:4]]), "the same number of time steps"),
        (lambda net, x: metrics.count_spikes(net, x[..., 0]), "has shape"),
        (lambda net, x: metrics.count_spikes(net, (x, np.zeros(5))), "batches are"),
        (lambda net, x: metrics.count_spikes(net, {"x": x}), "the inputs input, but a batch has x"),
    ],
)
def test_what_cannot_be_counted_is_refused(call, message):
    net, inputs = nj.Sequential((2, 6, 6), spikes=nj.IAF()), images()[1]
    with pytest.raises(ValueError, match=message):
        call(net, inputs)


def test_types_that_cannot_be_counted_are_refused():
    net, inputs = nj.Sequential((2, 6, 6), conv=nj.Identity(), out=nj.Flatten()), images()[1]
    with pytest.raises(TypeError, match="no time axis"):
        metrics.count_spikes(net, datasets.Dataset(np.zeros((2, 3)), np.zeros(2)))
    with pytest.raises(TypeError, match="count_spikes takes a Network"):
        metrics.count_spikes("net", inputs)
    one, other = (metrics.count_spikes(net, inputs[:n]) for n in (2, 3))
    with pytest.raises(ValueError, match="can't be merged"):
        one + other
    with pytest.raises(ValueError, match="can't be merged"):
        one["conv"] + one["out"]
    with pytest.raises(TypeError):
        one + 1


def test_parameters_that_are_no_numbers_are_refused():
    net = nj.Sequential((1,), nj.Identity(), nj.Linear.from_weights(jnp.ones((1, 1))))
    broken = eqx.tree_at(lambda n: n["linear1"].weight, net, jnp.full((1, 1), jnp.nan))
    with pytest.raises(ValueError, match="NaN"):
        metrics.count_spikes(broken, jnp.ones((1, 1, 1)))


def test_a_bar_is_shown(capsys):
    net, inputs = nj.Sequential((2, 6, 6), nj.Identity()), images()[1]
    metrics.count_spikes(net, inputs, batch_size=3, progress=True)
    assert "counting" in capsys.readouterr().err
    metrics.count_spikes(net, inputs, batch_size=3, progress=False)
    assert capsys.readouterr().err == ""


def test_counters_of_a_peer(golden):
    """qualia-plugin-snn's hooks on a residual network of torch and SpikingJelly modules."""
    case = json.loads((golden / "qualia/spike_counters.json").read_text())["case"]
    held = np.load(golden / "qualia/spike_counters.npz")

    def conv(name, **options):
        return nj.Conv2d.from_weights(held[f"{name}.weight"], held[f"{name}.bias"], **options)

    threshold = case["spec"][1]["vth"]
    net = nj.Network(
        {
            **{"c1": conv("c1", padding=1), "c2": conv("c2", padding=1)},
            **{"c3": conv("c3", padding=1, stride=2), "add": nj.Add(), "fl": nj.Flatten()},
            **{name: nj.IAF(threshold=threshold) for name in ("n1", "n2", "n3")},
            "fc": nj.Linear.from_weights(held["fc.weight"], held["fc.bias"]),
        },
        [
            *[("input", "c1"), ("c1", "n1"), ("n1", "c2"), ("c2", "n2"), ("n1", "add")],
            *[("n2", "add"), ("add", "c3"), ("c3", "n3"), ("n3", "fl"), ("fl", "fc")],
        ],
        inputs=(3, 6, 6),
    )
    steps = case["timesteps"]
    x = np.broadcast_to(np.moveaxis(held["x"], -1, 1), (steps, 6, 3, 6, 6))
    for name, spikes in nj.simulate(net, x, probes=["n1", "n2", "n3"]).traces.items():
        assert np.array_equal(spikes, held[f"spikes/{name}"])
    activity = metrics.count_spikes(net, x, batch_size=case["batch_size"])
    for name in net.names:
        recorded = case["raw_counters"]["outputs"][name]
        ours = activity[name]
        assert ours.events == recorded["spike_count"], name
        assert ours.size * ours.samples * steps == recorded["size"]
        assert ours.binary == recorded["binary"]
        assert ours.samples * steps == recorded["sample_count"]
        assert ours.total.sum() == pytest.approx(recorded["tensor_sum"], rel=1e-5)
    recorded = case["raw_counters"]["inputs"]["c1"]
    assert activity["input"].events == recorded["spike_count"]
    assert activity["input"].total.sum() == pytest.approx(recorded["tensor_sum"], rel=1e-5)


def test_inputs_are_counted_in_their_own_type():
    """Events of single bytes are not blown up to numbers of eight."""
    x = np.zeros((100, 20, 1000), np.uint8)
    x[3, 4, 5:25] = 1
    tracemalloc.start()
    counted = _counter._of_input(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * x.nbytes
    assert (counted.events, counted.total[4, 3], counted.binary) == (20, 20.0, True)
