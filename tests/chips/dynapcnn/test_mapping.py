"""Mapping: what becomes of the layers of a network, and the report of it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neurojax as nj
from neurojax.chips.dynapcnn import Core, discretise, map as map_network
from neurojax.layers import (
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dropout,
    Flatten,
    Identity,
    Linear,
    SumPool2d,
)
from neurojax.neurons import IAF
from neurojax.surrogate import Exponential, Sigmoid


def random_weight(rng, *shape):
    return (rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32) * 2


def small_net(seed=0, **options):
    rng = np.random.default_rng(seed)
    options = {"v_min": -1.0, "max_spikes": None} | options
    return nj.Sequential(
        (2, 12, 12),
        conv=Conv2d.from_weights(random_weight(rng, 4, 2, 3, 3), padding=1),
        spikes=IAF(**options),
        drop=Dropout(0.5),
        pool=AvgPool2d(2),
        conv2=Conv2d.from_weights(random_weight(rng, 6, 4, 3, 3), random_weight(rng, 6) / 9),
        spikes2=IAF(**options),
        pool2=AvgPool2d(2),
        pool3=SumPool2d(2),
        flat=Flatten(),
        out=Linear.from_weights(random_weight(rng, 5, 6)),
        digits=IAF(**options),
    )


def spikes_in(steps=8, batch=2, shape=(2, 12, 12), rate=0.5, seed=1):
    return np.random.default_rng(seed).poisson(rate, (steps, batch, *shape)).astype(np.float32)


def test_names_and_shapes_are_those_of_the_network():
    net = small_net()
    mapped = map_network(net)
    assert mapped.network.names == ("spikes", "pool", "spikes2", "pool3", "digits")
    assert mapped.network.inputs == net.inputs
    for name in mapped.network.names:
        assert mapped.network.out_shape(name) == net.out_shape(name)
    assert mapped.network["pool3"].kernel_size == (4, 4)
    assert [o.made_of for o in mapped.origins] == [
        ("conv", "spikes"),
        ("conv2", "spikes2"),
        ("out", "digits"),
    ]
    assert [o.rescale for o in mapped.origins] == [1.0, 0.25, 0.25]


def test_scales_recover_real_values():
    net = small_net()
    mapped = map_network(net)
    for origin, (weights, factor) in zip(
        mapped.origins, [("conv", 1), ("conv2", 1 / 4), ("out", 1 / 4)], strict=True
    ):
        core = mapped.network[origin.name]
        real = np.asarray(net[weights].weight).reshape(core.weight.shape) * factor
        assert np.max(np.abs(core.weight / origin.scale - real)) <= 0.5001 / origin.scale
        assert abs(float(core.threshold) / origin.scale - 1.0) <= 0.5001 / origin.scale


def test_a_flatten_at_the_end_stays():
    net = nj.Sequential(
        (2, 8, 8),
        conv=Conv2d.from_weights(np.ones((3, 2, 3, 3), np.float32)),
        spikes=IAF(v_min=-1.0),
        pool=AvgPool2d(2),
        flat=Flatten(),
        nothing=Identity(),
    )
    mapped = map_network(net)
    assert mapped.network.names == ("spikes", "pool", "flat")
    x = spikes_in(shape=(2, 8, 8))
    assert nj.simulate(mapped.network, x).outputs.shape == (8, 2, 27)
    text = str(mapped.report())
    assert "'flat' shapes the output for you; it takes no core" in text
    assert "4 times the average" in text


def test_dropout_between_flatten_and_linear():
    rng = np.random.default_rng(0)
    w, out = random_weight(rng, 3, 2, 3, 3), random_weight(rng, 4, 27)
    common = {"conv": Conv2d.from_weights(w), "spikes": IAF(), "flat": Flatten()}
    end = {"out": Linear.from_weights(out), "digits": IAF()}
    plain = map_network(nj.Sequential((2, 5, 5), **common, **end))
    dropped = map_network(nj.Sequential((2, 5, 5), **common, drop=Dropout(0.3), **end))
    assert eqx.tree_equal(plain.network, dropped.network)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("eps", [1e-5, 0.1, 0.0])
def test_batch_norm_is_folded_with_its_eps(bias, eps):
    rng = np.random.default_rng(5)
    w, b = random_weight(rng, 4, 2, 3, 3), rng.normal(size=4).astype(np.float32)
    gamma, beta, mean = rng.normal(size=(3, 4)).astype(np.float32)
    var = rng.uniform(0.2, 2, 4).astype(np.float32)
    norm = BatchNorm.from_weights(gamma, beta, mean, var, eps=eps)
    conv = Conv2d.from_weights(w, b if bias else None)
    mapped = map_network(nj.Sequential((2, 8, 8), conv=conv, norm=norm, spikes=IAF(v_min=-1.0)))
    factor = gamma.astype(np.float64) / np.sqrt(var.astype(np.float64) + eps)
    folded = (w * factor[:, None, None, None]).astype(np.float32)
    shift = (beta + ((b if bias else 0) - mean) * factor).astype(np.float32)
    expected = discretise(folded, 1.0, -1.0, bias=shift)
    core = mapped.network["spikes"]
    # the last bit of a float32 may turn a rounding
    assert np.max(np.abs(core.weight - expected.weight)) <= 1
    assert np.mean(core.weight != expected.weight) < 0.05
    assert np.max(np.abs(core.bias - expected.bias)) <= 1
    assert mapped.origins[0].scale == pytest.approx(expected.scale, rel=1e-5)
    assert "'norm' is folded into 'conv'" in str(mapped.report())


def test_input_gain_goes_into_the_weights():
    w = random_weight(np.random.default_rng(0), 3, 2, 3, 3)
    gain = jnp.array([1.0, 2.0, 0.5]).reshape(3, 1, 1)
    with_gain = nj.Sequential(
        (2, 6, 6), conv=Conv2d.from_weights(w), spikes=IAF(gain=gain, v_min=-1.0)
    )
    without = nj.Sequential(
        (2, 6, 6), conv=Conv2d.from_weights(w * np.asarray(gain)[..., None]), spikes=IAF(v_min=-1.0)
    )
    a, b = map_network(with_gain), map_network(without)
    np.testing.assert_array_equal(a.network["spikes"].weight, b.network["spikes"].weight)


def test_lower_bounds():
    """None stays out of the scale; 0 becomes -1; the peer's ways are an option."""
    core = lambda v_min, **o: map_network(small_net(v_min=v_min), **o).network["spikes"]  # noqa: E731
    scale = lambda v_min, **o: map_network(small_net(v_min=v_min), **o).origins[0].scale  # noqa: E731
    assert core(None).integers().v_min == -32768
    assert scale(None) == scale(-1.0) > 100
    assert core(0.0).integers().v_min == -1
    assert core(-1e-4).integers().v_min == -1
    assert "would be 0, at which the chips misbehave" in str(map_network(small_net(v_min=0.0)))
    assert core(0.0, peer_lower_bound=True).integers().v_min == 0
    weight = np.full((1, 1, 1, 1), 40.0, np.float32)
    big = nj.Sequential((1, 1, 1), conv=Conv2d.from_weights(weight), spikes=IAF(threshold=90.0))
    assert map_network(big).origins[0].scale > 3
    assert map_network(big, peer_lower_bound=True).origins[0].scale == 1


def test_options():
    net = small_net()
    assert map_network(net, max_spikes=1).network["spikes"].max_spikes == 1
    assert map_network(net).network["spikes"].max_spikes is None
    chosen = map_network(net, surrogate=Exponential(width=0.7)).network["spikes"]
    assert chosen.surrogate == Exponential(width=0.7)
    silicon = map_network(net, overflow="wrap", count_overflow=True, leak_every=3).network["digits"]
    assert (silicon.overflow, silicon.count_overflow, silicon.leak_every) == ("wrap", True, 3)
    assert map_network(net, bias_bits=16).network["spikes2"].bias_bits == 16
    with pytest.raises(ValueError, match="bias_bits=4"):
        map_network(net, bias_bits=4)


def test_report():
    report = map_network(small_net()).report()
    rows = report.rows
    assert [row["layer"] for row in rows] == ["spikes", "spikes2", "digits"]
    assert [row["core"] for row in rows] == [0, 1, 2]
    assert [row["kernel_words"] for row in rows] == [128, 512, 48]
    assert [row["neuron_words"] for row in rows] == [1024, 96, 5]
    assert all(row["weight_bits"] == 8 for row in rows)
    assert all(row["exact_counts"] > 1000 for row in rows)
    text = str(report)
    for piece in (
        "3 of 9 cores of speck2fmodule",
        "conv2 + spikes2",
        "digits /4",
        "the factor 0.25 of the average pooling before 'conv2' is in its weights",
        "without an effect on the chip, dropped: 'drop', 'flat'",
        "a real value is an integer divided by its layer's scale",
    ):
        assert piece in text, text
    assert max(map(len, text.splitlines())) < 160


def test_report_names_what_pooling_leaves_over():
    conv = Conv2d.from_weights(np.ones((1, 1, 1, 1), np.float32))
    net = nj.Sequential((1, 7, 8), conv=conv, spikes=IAF(v_min=-1.0), pool=SumPool2d(2))
    assert "'spikes': pooling 2 leaves rows or columns of 7x8 over" in str(map_network(net))


def test_report_after_training_shows_what_saturates():
    mapped = map_network(small_net())
    trained = eqx.tree_at(lambda n: n["spikes"].weight, mapped.network, replace_fn=lambda w: w * 2)
    after = mapped.with_network(trained)
    assert after.report().rows[0]["saturated"] > 0
    assert "out of range and held at -128..127" in str(after)
    assert mapped.report().rows[0]["saturated"] == 0
    with pytest.raises(ValueError, match="map the other network"):
        mapped.with_network(small_net())


def test_gradients_are_those_of_the_network_in_steps():
    """Weights that are whole steps: mapping changes nothing but the unit."""
    rng = np.random.default_rng(2)
    w = rng.integers(-60, 120, (3, 2, 3, 3)).astype(np.float32)
    w[0, 0, 0, 0] = 127
    b = np.array([5, -9, 0], np.float32)
    net = nj.Sequential(
        (2, 6, 6),
        conv=Conv2d.from_weights(w / 4, b / 4),
        spikes=IAF(threshold=jnp.float32(50.0), v_min=-10.0, surrogate=Sigmoid(alpha=0.3)),
    )
    mapped = map_network(net)
    (origin,) = mapped.origins
    assert origin.scale == 4 and np.array_equal(mapped.network["spikes"].weight, w)
    x = spikes_in(shape=(2, 6, 6))
    target = rng.normal(size=(8, 2, 3, 4, 4)).astype(np.float32)

    def loss(network):
        return ((nj.simulate(network, x).outputs - target) ** 2).mean()

    real, steps = eqx.filter_grad(loss)(net), eqx.filter_grad(loss)(mapped.network)
    assert loss(net) == loss(mapped.network)
    np.testing.assert_allclose(
        steps["spikes"].weight * 4, real["conv"].weight, rtol=1e-4, atol=1e-7
    )
    np.testing.assert_allclose(steps["spikes"].bias * 4, real["conv"].bias, rtol=1e-4, atol=1e-7)
    assert np.all(real["conv"].bias != 0)
    np.testing.assert_allclose(
        steps["spikes"].threshold * 4, real["spikes"].threshold, rtol=1e-4, atol=1e-7
    )


def patterns(seed, count):
    """Noisy copies of eight patterns on 4x4 pixels, and a second feature map that is silent."""
    rng = np.random.default_rng(seed)
    prototypes = np.random.default_rng(7).random((8, 16)) < 0.5
    labels = rng.integers(0, 8, count)
    pixels = prototypes[labels] ^ (rng.random((count, 16)) < 0.12)
    image = np.zeros((count, 2, 4, 4), np.float32)
    image[:, 0] = pixels.reshape(-1, 4, 4)
    return np.broadcast_to(image, (6, *image.shape)), labels


def test_fine_tuning_through_the_mapped_network_raises_its_accuracy():
    x, labels = patterns(0, 128)
    x_test, labels_test = patterns(1, 256)
    features = x[0, :, 0].reshape(128, 16)
    solution, *_ = np.linalg.lstsq(features, np.eye(8)[labels], rcond=None)
    weight = np.zeros((8, 2, 16), np.float32)
    weight[:, 0] = solution.T
    weight[:, 1, 0] = 40.0  # sees no spikes, but sets the scale
    net = nj.Sequential(
        (2, 4, 4),
        flat=Flatten(),
        out=Linear.from_weights(weight.reshape(8, 32)),
        digits=IAF(threshold=0.25, v_min=-4.0, max_spikes=None),
    )

    def accuracy(network):
        counts = nj.simulate(network, x_test).outputs.sum(0)
        return float(np.mean(np.argmax(counts, -1) == labels_test))

    mapped = map_network(net)

    def loss(network):
        counts = nj.simulate(network, x).outputs.sum(0)
        return optax.softmax_cross_entropy_with_integer_labels(counts, jnp.asarray(labels)).mean()

    # steps of the chip: rates are in units of 1 / scale
    optimiser = optax.adam(0.1)
    network = mapped.network
    state = optimiser.init(eqx.filter(network, eqx.is_inexact_array))

    @eqx.filter_jit
    def update(network, state):
        gradient = eqx.filter_grad(loss)(network)
        change, state = optimiser.update(gradient, state)
        return eqx.apply_updates(network, change), state

    for _ in range(40):
        network, state = update(network, state)
    before, after = accuracy(mapped.network), accuracy(network)
    assert accuracy(net) > 0.9
    assert before < accuracy(net) - 0.2
    assert after > before + 0.1
    held = network["digits"].integers()
    assert held.weight.min() >= -128 and held.weight.max() <= 127


def test_a_core_of_the_network_is_a_layer():
    core = map_network(small_net()).network["spikes"]
    assert isinstance(core, Core) and core.describe() == "core 2->4, 3x3, padding 1x1"


def test_schedules_pieces_and_chips_side_by_side():
    """A mapped network is a network: schedules, continuing from a state, vmap over chips."""
    network = map_network(small_net()).network
    x = spikes_in()
    whole = nj.simulate(network, x, schedule="step")
    np.testing.assert_array_equal(nj.simulate(network, x, schedule="layer").outputs, whole.outputs)
    first = nj.simulate(network, x[:4])
    second = nj.simulate(network, x[4:], state=first.state)
    np.testing.assert_array_equal(np.concatenate([first.outputs, second.outputs]), whole.outputs)
    shifts = jnp.array([0.0, 3.0])
    chips = eqx.filter_vmap(
        lambda d: nj.simulate(jax.tree.map(lambda w: w + d, network), x).outputs
    )(shifts)
    np.testing.assert_array_equal(chips[0], whole.outputs)
    assert np.any(chips[1] != chips[0])
