"""Networks on CRI: every frame against recursions in NumPy and torch, scales, refusals, reports."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import neurojax as nj
from neurojax.chips._mapped import MappingError
from neurojax.chips.cri._links import BiasAxons, OneToOne
from neurojax.chips.cri.mapping import depths, latency, map as map_network, run
from neurojax.chips.cri.neuron import Neuron
from neurojax.chips.cri.synapse import Synapse


def whole(rng, *shape, largest=6):
    return rng.integers(-largest, largest + 1, shape).astype(np.float32)


def spikes(rng, *shape, rate=0.4):
    return (rng.random(shape) < rate).astype(np.float32)


class Cells:
    """Neurons of SpikingJelly's kind in float64: leak, input, v >= threshold, reset to 0."""

    def __init__(self, threshold, decay=1.0):
        self.threshold, self.decay, self.v = threshold, decay, 0.0

    def __call__(self, x):
        self.v = self.decay * self.v + x
        fired = self.v >= self.threshold
        self.v = torch.where(fired, 0.0, self.v)
        return fired.double()


def frames(step, x):
    return torch.stack([step(torch.tensor(frame, dtype=torch.float64)) for frame in x]).numpy()


def tensor(x):
    return torch.tensor(np.asarray(x, np.float64))


def test_geometry_on_every_frame():
    """Uneven padding, strides, dilation, groups, biases and all pools."""
    rng = np.random.default_rng(0)
    w1, b1 = whole(rng, 4, 2, 3, 2), whole(rng, 4, largest=2)
    w2, w3, b3 = whole(rng, 6, 2, 2, 2), whole(rng, 5, 6), whole(rng, 5, largest=3)
    net = nj.Sequential(
        (2, 9, 7),
        conv=nj.Conv2d.from_weights(w1, b1, stride=(1, 2), padding=((2, 1), (0, 1))),
        first=nj.IAF(threshold=7.0, reset="zero"),
        largest=nj.MaxPool2d((2, 3), stride=(2, 1), padding=(1, 0)),
        dilated=nj.Conv2d.from_weights(w2, groups=2, dilation=(3, 1)),
        mean=nj.AvgPool2d((2, 1)),
        second=nj.IAF(threshold=4.0, reset="zero"),
        flat=nj.Flatten(),
        fc=nj.Linear.from_weights(w3, b3),
        out=nj.IAF(threshold=9.0, reset="zero"),
    )
    cells = [Cells(7.0), Cells(4.0), Cells(9.0)]

    def step(x):
        x = F.conv2d(F.pad(x, (0, 1, 2, 1)), tensor(w1), tensor(b1), stride=(1, 2))
        x = F.max_pool2d(cells[0](x), (2, 3), stride=(2, 1), padding=(1, 0))
        x = F.avg_pool2d(F.conv2d(x, tensor(w2), groups=2, dilation=(3, 1)), (2, 1))
        return cells[2](F.linear(cells[1](x).flatten(1), tensor(w3), tensor(b3)))

    x = spikes(rng, 9, 3, 2, 9, 7)
    mapped = map_network(net)
    assert latency(mapped) == 4
    wanted = frames(step, x)
    assert 0.1 < wanted.mean() < 0.9
    np.testing.assert_array_equal(run(mapped, x), wanted)
    # The average's factor is in threshold and scale; all stays whole.
    assert {row["limited_by"] for row in mapped.report().rows} == {"nothing: exact"}
    assert mapped.network["second"].theta == 7


def test_branches_wait_for_each_other():
    """Skipped layers, also behind a convolution with a bias, and a bare sum in front of neurons."""
    rng = np.random.default_rng(1)
    w = {name: whole(rng, 3, 3, 3, 3, largest=3) for name in "abcd"}
    bias = whole(rng, 3, largest=2)
    conv = lambda k, b=None: nj.Conv2d.from_weights(w[k], b, padding=1)  # noqa: E731
    neuron = lambda t: nj.IAF(threshold=t, reset="zero")  # noqa: E731
    layers = {
        "a": conv("a"),
        "sa": neuron(3.0),
        "b": conv("b"),
        "sb": neuron(2.0),
        "c": conv("c"),
        "d": conv("d", bias),
        "both": nj.Add(),
        "sc": neuron(4.0),
        "sd": neuron(1.5),
    }
    edges = [
        ("input", "a"),
        ("a", "sa"),
        ("sa", "b"),
        ("b", "sb"),
        ("sb", "c"),
        ("sa", "d"),
        ("c", "both"),
        ("d", "both"),
        ("both", "sc"),
        ("sc", "sd"),
        ("sb", "sd"),
        ("input", "sd"),
    ]
    net = nj.Network(layers, edges, inputs=(3, 5, 5))
    cells = [Cells(t) for t in (3.0, 2.0, 4.0, 1.5)]

    def step(x):
        sa = cells[0](F.conv2d(x, tensor(w["a"]), padding=1))
        sb = cells[1](F.conv2d(sa, tensor(w["b"]), padding=1))
        c = F.conv2d(sb, tensor(w["c"]), padding=1)
        d = F.conv2d(sa, tensor(w["d"]), tensor(bias), padding=1)
        return cells[3](cells[2](c + d) + sb + x)

    x = spikes(rng, 8, 2, 3, 5, 5)
    mapped = map_network(net)
    np.testing.assert_array_equal(run(mapped, x), frames(step, x))
    assert latency(mapped) == 4
    assert mapped.network["d_bias"].start == 2  # not 1: it waits, too
    assert depths(mapped.network)["d"] == depths(mapped.network)["c"] == 2
    assert "relays" in str(mapped.report())


def test_a_pool_in_front_of_a_residual_block():
    """What skips the block is late; what enters it is not."""
    rng = np.random.default_rng(4)
    w1, w2 = whole(rng, 2, 2, 3, 3), whole(rng, 3, 2 * 2 * 2)
    neuron = lambda t: nj.IAF(threshold=t, reset="zero")  # noqa: E731
    layers = {
        "in": nj.Conv2d.from_weights(np.full((2, 1, 1, 1), 2, np.float32)),
        "first": neuron(2.0),
        "mean": nj.AvgPool2d(2),
        "conv": nj.Conv2d.from_weights(w1, padding=1),
        "second": neuron(2.0),
        "sum": nj.Add(),
        "flat": nj.Flatten(),
        "fc": nj.Linear.from_weights(w2),
        "out": neuron(3.0),
    }
    chain = ["input", "in", "first", "mean", "conv", "second", "sum", "flat", "fc", "out"]
    edges = [*itertools.pairwise(chain), ("mean", "sum")]
    with pytest.raises(MappingError, match="several factors"):
        map_network(nj.Network(layers, edges, inputs=(1, 4, 4)))
    layers["mean"] = nj.SumPool2d(2)
    mapped = map_network(nj.Network(layers, edges, inputs=(1, 4, 4)))
    cells = [Cells(t) for t in (2.0, 2.0, 3.0)]

    def step(x):
        x = 4 * F.avg_pool2d(cells[0](2 * x.expand(-1, 2, -1, -1)), 2)
        x = x + cells[1](F.conv2d(x, tensor(w1), padding=1))
        return cells[2](F.linear(x.flatten(1), tensor(w2)))

    x = spikes(rng, 8, 2, 1, 4, 4)
    wanted = frames(step, x)
    assert 0.05 < wanted.mean() < 0.95
    np.testing.assert_array_equal(run(mapped, x), wanted)
    assert "mean_late" in mapped.network.names


def test_leak_and_refractory_period():
    """Membranes that halve: multiples of 2^steps stay whole, so that the chip never rounds."""
    rng = np.random.default_rng(2)
    weight = (whole(rng, 6, 10) * 2.0**8).astype(np.float32)
    fc = nj.Linear.from_weights(weight)
    x = spikes(rng, 8, 4, 10)
    options = {"reset": "zero", "threshold": 5.0 * 2**8}
    for neuron in (
        nj.LIF(decay=0.5, **options),
        nj.LIF(decay=0.5, refractory=2, **options),
        nj.LIF(decay=0.5, reset_delay=True, **options),
        nj.LIF(decay=0.5, reset_delay="before", strict=True, **options),
        nj.LIF(decay=0.5, normalize_input=True, **options),
        nj.IAF(reset="subtract", threshold=5.0 * 2**8, strict=True),
        nj.LIF(decay=0.0, **options),
    ):
        net = nj.Sequential((10,), fc=fc, n=neuron)
        wanted = np.asarray(nj.simulate(net, x).outputs)
        assert 0.05 < wanted.mean() < 0.9
        mapped = map_network(net)
        np.testing.assert_array_equal(run(mapped, x), wanted, err_msg=repr(neuron))
    assert mapped.network["n"].model == "ANN"


@pytest.mark.parametrize(
    ("tau", "leak"), [(2.0, 1), (4.0, 2), (16.0, 4), (10.0, 3), (1000.0, 10), (1.0, None)]
)
def test_leaks(tau, leak):
    net = nj.Sequential(
        (1,),
        fc=nj.Linear.from_weights(jnp.ones((1, 1))),
        n=nj.LIF(tau=tau, method="euler", reset="zero"),
    )
    mapped = map_network(net)
    neuron = mapped.network["n"]
    assert (neuron.model, neuron.leak) == (("ANN", 0) if leak is None else ("LIF", leak))
    (row,) = mapped.report().rows
    if leak is not None:
        assert row["decay_error"] == pytest.approx(abs(2.0**-leak - 1 / tau) * tau)
    assert ("changed what is lost" in str(mapped.report())) == (row["decay_error"] > 0.01)


def simple(weight, neuron=None, bias=None):
    weight = np.asarray(weight, np.float32)
    fc = nj.Linear.from_weights(weight, bias)
    neuron = nj.IAF(reset="zero") if neuron is None else neuron
    return nj.Sequential((weight.shape[1],), fc=fc, n=neuron)


def test_thresholds():
    """V >= t is V > ceil(t) - 1 for integers, whatever t is."""
    for threshold, strict, theta in (
        (3.0, False, 2),
        (3.5, False, 3),
        (3.0, True, 3),
        (3.5, True, 3),
    ):
        neuron = nj.IAF(threshold=threshold, reset="zero", strict=strict)
        assert map_network(simple([[2.0]], neuron)).network["n"].theta == theta
        peer = map_network(simple([[2.0]], neuron), strict=False).network["n"]
        assert (peer.theta, peer.strict) == (theta + 1, False)
    subtracting = map_network(simple([[2.0]], nj.IAF(threshold=3.0)))
    assert subtracting.network["n"].theta == 3
    assert "differs in ties" in str(subtracting.report())
    by_tau = nj.LIF(tau=jnp.array([2.0, 4.0]), method="euler", normalize_input=True, reset="zero")
    mapped = map_network(simple(np.ones((2, 1)), by_tau), scale=1.0)
    assert (mapped.report().rows[0]["theta"], mapped.report().rows[0]["leak"]) == ("1..3", "1..2")
    each = map_network(
        simple(np.ones((2, 1)), nj.IAF(threshold=jnp.array([1.0, 2.0]), reset="zero"))
    )
    assert each.network["n"].theta.tolist() == [0.0, 1.0]
    assert eqx.is_inexact_array(each.network["n"].theta)  # is trained, as before


def test_scales():
    row = lambda net, **options: map_network(net, **options).report().rows[0]  # noqa: E731
    exact = row(simple([[0.375, -1.0]]))
    assert (exact["scale"], exact["weights"], exact["rms_error"]) == (8, "-8..3", 0)
    free = row(simple([[0.1, 0.3]]))
    assert free["limited_by"] == "16-bit weights" and free["weights"].endswith("..32767")
    assert 0 < free["rms_error"] < 2e-5
    many = row(simple(np.full((1, 2000), 0.1)))
    assert many["limited_by"] == "exact sums" and many["worst_sum"] <= 2**24
    given = row(simple([[0.1, 0.3]]), scale=10.0)
    assert (given["weights"], given["limited_by"]) == ("1..3", "given")
    clipped = row(simple([[0.1, 0.3]]), scale={"n": 1e6})
    assert clipped["clipped"] == 2
    assert "CLIPPED" in str(map_network(simple([[0.1, 0.3]]), scale=1e6).report())
    vanished = map_network(simple([[0.01, 1.0]]), scale=10)
    assert vanished.report().rows[0]["vanished"] == 1
    with pytest.raises(ValueError, match="scale of 'nn'"):
        map_network(simple([[1.0]]), scale={"nn": 1.0})
    with pytest.raises(ValueError, match="number > 0"):
        map_network(simple([[1.0]]), scale=-1.0)


def test_rounding_is_small_where_weights_are_on_no_grid():
    """A trained-like network: spikes agree but for few ties, rates agree closely."""
    rng = np.random.default_rng(5)
    keys = jax.random.split(jax.random.key(0), 2)
    net = nj.Sequential(
        (64,),
        a=nj.Linear(64, 32, key=keys[0]),
        sa=nj.IAF(threshold=0.3, reset="zero"),
        b=nj.Linear(32, 10, key=keys[1]),
        sb=nj.LIF(decay=0.875, threshold=0.3, reset="zero"),
    )
    x = spikes(rng, 40, 8, 64)
    wanted, got = np.asarray(nj.simulate(net, x).outputs), np.asarray(run(map_network(net), x))
    assert np.mean(wanted != got) < 2e-3
    assert wanted.mean() > 0.02


def test_the_leak_rounds_little_where_weights_are_on_a_grid():
    """In steps of the grid, eighths here, a membrane would lose up to half of one in a step."""
    rng = np.random.default_rng(7)
    a, b = whole(rng, 30, 12, largest=8) / 8, whole(rng, 5, 30, largest=8) / 8
    net = nj.Sequential(
        (12,),
        a=nj.Linear.from_weights(a),
        sa=nj.LIF(decay=0.875, threshold=2.0, reset="zero"),
        b=nj.Linear.from_weights(b),
        sb=nj.LIF(decay=0.875, threshold=1.0, reset="zero"),
    )
    mapped = map_network(net)
    assert all(row["rms_error"] == 0 for row in mapped.report().rows)
    x = spikes(rng, 100, 4, 12)
    wanted = np.asarray(nj.simulate(net, x).outputs)
    assert wanted.mean() > 0.02
    assert np.mean(wanted != run(mapped, x)) < 1e-3
    # In steps of the grid the decay is lost in the rounding.
    assert np.mean(wanted != run(map_network(net, scale=8.0), x)) > 0.02


def test_biases_wait_for_the_first_input():
    """A bias alone drives the second layer: without the wait it would fire early."""
    net = nj.Sequential(
        (1,),
        a=nj.Linear.from_weights(jnp.array([[1.0]])),
        sa=nj.IAF(threshold=1.0, reset="zero"),
        b=nj.Linear.from_weights(jnp.array([[0.0]]), jnp.array([1.0])),
        sb=nj.IAF(threshold=3.0, reset="zero"),
    )
    mapped = map_network(net)
    assert isinstance(mapped.network["b_bias"], BiasAxons) and mapped.network["b_bias"].start == 1
    outputs = nj.simulate(mapped.network, jnp.zeros((8, 1, 1))).outputs.ravel()
    assert outputs.tolist() == [0, 0, 0, 0, 1, 0, 0, 1]
    assert run(mapped, jnp.zeros((6, 1, 1))).ravel().tolist() == [0, 0, 1, 0, 0, 1]


def test_everything_that_is_refused():
    keys = jax.random.split(jax.random.key(0), 4)
    net = nj.Sequential(
        (2, 6, 6),
        conv=nj.Conv2d(2, 3, 3, padding=1, key=keys[0]),
        early=nj.MaxPool2d(2),
        s1=nj.IAF(v_min=-1.0, max_spikes=None),
        border=nj.AvgPool2d(2, padding=1, count_padding=False),
        flat=nj.Flatten(),
        wrong=nj.LIF(decay=0.5, v_rest=0.25, reset="none", refractory=9),
        leaky=nj.LI(tau=3.0),
    )
    with pytest.raises(MappingError) as caught:
        map_network(net)
    text = str(caught.value)
    for words in (
        "'early': a maximum of what is no single spikes",
        "'s1': a lower bound v_min",
        "'s1': max_spikes=None",
        "'wrong': v_rest 0.25",
        "'wrong': reset='none'",
        "'leaky': a LI",
    ):
        assert words in text, words
    refused = {
        "a threshold of 0": simple([[1.0]], nj.IAF(reset="zero", threshold=0.0)),
        "weights behind weights": nj.Sequential(
            (2,), a=nj.Linear(2, 2, key=keys[1]), b=nj.Linear(2, 2, key=keys[2]), n=nj.IAF()
        ),
        "no spikes of neurons": nj.Sequential((2,), a=nj.Linear(2, 2, key=keys[1])),
        "refractory period of 8 steps": simple([[1.0]], nj.IAF(refractory=8)),
        "differs at the border": nj.Sequential(
            (1, 3, 3), p=nj.AvgPool2d(2, padding=1, count_padding=False), n=nj.IAF()
        ),
        "batch norm goes into weights": nj.Sequential(
            (2,), bn=nj.BatchNorm(2), a=nj.Linear(2, 2, key=keys[1]), n=nj.IAF()
        ),
        "recurrent edge": nj.Network(
            {"a": nj.Linear(2, 2, key=keys[1]), "n": nj.IAF(), "r": nj.Linear(2, 2, key=keys[2])},
            [("input", "a"), ("a", "n"), ("r", "n"), nj.Edge("n", "r", recurrent=True)],
            inputs=(2,),
            outputs=["n"],
        ),
    }
    for words, wrong in refused.items():
        with pytest.raises(MappingError, match=words):
            map_network(wrong)
    large = simple(np.full((1, 1100), 1.0))
    with pytest.raises(MappingError, match="sums='unlimited'"):
        map_network(large, scale=30000)
    assert "33,000,000" in str(map_network(large, scale=30000, sums="unlimited").report())
    with pytest.raises(TypeError, match="from_torch"):
        map_network(torch.nn.Linear(2, 2))
    with pytest.raises(TypeError, match=r"cri\.map is called within jit"):
        eqx.filter_jit(map_network)(large)


def test_training_on_the_chip():
    """Gradients reach weights, biases and thresholds; what runs stays on the grid."""
    rng = np.random.default_rng(6)
    net = simple(
        whole(rng, 3, 5), nj.IAF(threshold=jnp.full(3, 4.0), reset="zero"), np.ones(3, np.float32)
    )
    mapped = map_network(net)
    x = spikes(rng, 6, 4, 5)

    @eqx.filter_value_and_grad
    def loss(network):
        return jnp.mean((nj.simulate(network, x).outputs.sum(axis=0) - 1.0) ** 2)

    value, gradient = loss(mapped.network)
    for leaf in (
        gradient["fc"].synapse.weight,
        gradient["fc_bias"].weight,
        gradient["n"].theta,
    ):
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 0
    trained = eqx.apply_updates(mapped.network, jax.tree.map(lambda g: -3.7 * g, gradient))
    assert not np.array_equal(trained["fc"].synapse.weight, np.rint(trained["fc"].synapse.weight))
    ready = trained.prepare(None)
    for weight in (ready["fc"].synapse.weight, ready["fc_bias"].weight):
        np.testing.assert_array_equal(weight, np.rint(weight))
    assert np.isfinite(value)
    again = mapped.with_network(trained).report().rows[0]
    assert again["layer"] == "fc"


def test_links():
    assert OneToOne(3).step(None, jnp.array([1.0, 0.0]))[1].tolist() == [3.0, 0.0]
    with pytest.raises(ValueError, match="2 axons"):
        BiasAxons(jnp.ones(2), start=0).out_shape((3, 1))
    assert isinstance(map_network(simple([[1.0]])).network["fc"], Synapse)
    assert isinstance(map_network(simple([[1.0]])).network["n"], Neuron)
