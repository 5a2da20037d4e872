"""Conversion to spikes: its limit, its rate of convergence, and SpikingJelly's own converter."""

import itertools

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

import neurojax as nj
from neurojax.converters import ann_to_snn
from neurojax.converters.torch import from_torch
from tests.converters._live import peer

FAST = hypothesis.settings(max_examples=8)


def mean_outputs(network, x, steps):
    """Mean output over time for an input that is the same in each of the steps."""
    inputs = jnp.broadcast_to(x, (steps, *x.shape))
    run = nj.simulate(network, inputs, probes=[nj.Probe(network.outputs[0], reduce="mean")])
    return run.traces[f"{network.outputs[0]}:mean"]


def random_mlp(key, widths, bias=True):
    layers = {}
    for i, (a, b) in enumerate(itertools.pairwise(widths)):
        layers[f"fc{i}"] = nj.Linear(a, b, bias=bias, key=jax.random.fold_in(key, i))
        if i < len(widths) - 2:
            layers[f"relu{i}"] = nj.ReLU()
    return nj.Sequential((widths[0],), **layers)


@FAST
@hypothesis.given(
    a=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=5), steps=st.integers(1, 60)
)
def test_one_layer_is_right_to_half_a_spike(a, steps):
    """With half a threshold at the start, a neuron rounds to the nearest number of spikes."""
    x = jnp.asarray([a])
    ann = nj.Sequential((len(a),), same=nj.Linear.from_weights(jnp.eye(len(a))), rate=nj.ReLU())
    snn = ann_to_snn(ann, jnp.ones((1, len(a))), percent=100)
    error = np.abs(mean_outputs(snn, x, steps) - x)
    assert error.max() <= 0.5 / steps + 1e-5


@pytest.mark.parametrize("percent", [100, 99.9])
def test_the_error_falls_with_the_number_of_steps(percent):
    ann = random_mlp(jax.random.key(0), (12, 24, 16, 5))
    x = jax.random.uniform(jax.random.key(1), (64, 12))
    exact = nj.simulate(ann, x[None]).outputs[0]
    snn = ann_to_snn(ann, x, percent=percent)
    error = {
        steps: float(np.abs(mean_outputs(snn, x, steps) - exact).mean()) for steps in (16, 256)
    }
    # 16 times the steps, a sixteenth of the error, as far as nothing is cut off.
    assert error[256] < error[16] / (10 if percent == 100 else 4)
    assert error[256] < 0.01 * float(np.abs(exact).mean()) + 0.01


def residual_network(key):
    keys = jax.random.split(key, 4)
    layers = {
        "conv1": nj.Conv2d(2, 6, 3, padding=1, bias=True, key=keys[0]),
        "norm": nj.BatchNorm(6),
        "relu1": nj.ReLU(),
        "conv2": nj.Conv2d(6, 6, 3, padding=1, key=keys[1]),
        "add": nj.Add(),
        "relu2": nj.ReLU(),
        "pool": nj.AvgPool2d(2),
        "flat": nj.Flatten(),
        "out": nj.Linear(6 * 4 * 4, 4, bias=True, key=keys[2]),
    }
    names = ["input", *layers]
    edges = [*itertools.pairwise(names), ("relu1", "add")]
    return nj.Network(layers, edges, inputs=(2, 8, 8), outputs=["out"])


@pytest.mark.parametrize("readout", ["values", "spikes"])
def test_residual_convolutions_converge(readout):
    ann = eqx.nn.inference_mode(residual_network(jax.random.key(3)))
    x = jax.random.uniform(jax.random.key(1), (4, 2, 8, 8))
    exact = nj.simulate(ann, x[None]).outputs[0]
    snn = ann_to_snn(ann, x, percent=100, readout=readout)
    mean = mean_outputs(snn, x, 300)
    if readout == "values":
        np.testing.assert_allclose(mean, exact, atol=0.02)
    else:
        np.testing.assert_allclose(mean, np.maximum(exact, 0) / exact.max(), atol=0.05)
    assert "stands for the activation" in snn.provenance["relu1"].notes[-1]


def test_agrees_with_the_converter_of_spikingjelly():
    """Its rate coding scales activations around the neurons, where we scale the weights."""
    ann2snn = peer("spikingjelly.activation_based.ann2snn")
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 15), nn.ReLU())
    module.append(nn.Linear(15, 4)).eval()
    x, steps = torch.rand(50, 10), 32
    recipe = ann2snn.RateCodingRecipe([(x, x)], mode="Max")
    theirs = ann2snn.FXConverter(recipe).convert(module)
    scales = [float(m.scale) for n, m in theirs.named_modules() if n.endswith("scaler1")]

    snn = ann_to_snn(from_torch(module, x), x.numpy(), percent=100, v_init=0.0)
    notes = [snn.provenance[name].notes[-1] for name in ("1", "3")]
    lambdas = [float(note.rpartition(" ")[2]) for note in notes]
    np.testing.assert_allclose(lambdas, scales, rtol=1e-5)

    with torch.no_grad():
        outputs = torch.stack([theirs(x) for _ in range(steps)]).numpy()
    ours = nj.simulate(snn, jnp.broadcast_to(x.numpy(), (steps, 50, 10))).outputs
    # Rounding moves a spike by a step now and then.
    assert np.isclose(ours, outputs, atol=1e-4).mean() > 0.98
    np.testing.assert_allclose(ours.mean(0), outputs.mean(0), atol=3 * max(lambdas) / steps)


def test_digits_keep_their_accuracy():
    train, test = nj.datasets.digits()
    ann = nj.Sequential(
        (1, 8, 8),
        nj.Flatten(),
        nj.Linear(64, 48, bias=True, key=jax.random.key(0)),
        nj.ReLU(),
        nj.Linear(48, 10, bias=True, key=jax.random.key(1)),
    )
    key = jax.random.key(2)
    ann = nj.train.fit(ann, train, key=key, epochs=20, steps=1, progress=False).network
    before = nj.train.evaluate(ann, test, steps=1)["accuracy"]
    after = nj.train.evaluate(ann_to_snn(ann, train.inputs), test, steps=64)["accuracy"]
    assert before > 0.93
    assert abs(before - after) < 0.01


@pytest.mark.parametrize(
    ("layers", "options", "message"),
    [
        ({"pool": nj.MaxPool2d(2), "relu": nj.ReLU()}, {}, "layer 'pool': MaxPool2d 2"),
        ({"lif": nj.LIF(tau=2.0), "relu": nj.ReLU()}, {}, "layer 'lif': LIF tau 2 has no counter"),
        ({"pad": nj.Pad([(1, 1)], value=1.0), "r": nj.ReLU()}, {}, "'pad': pads with 1"),
        ({"flat": nj.Flatten()}, {}, "the network has no ReLU"),
        ({"relu": nj.ReLU()}, {"percent": 0}, "percent is 0"),
        ({"relu": nj.ReLU()}, {"v_init": 1.0}, "v_init is 1.0"),
        ({"relu": nj.ReLU()}, {"readout": "rate"}, "readout is 'rate'"),
        ({"relu": nj.ReLU()}, {"samples": np.zeros((3, 2))}, "samples have shape (3, 2)"),
    ],
)
def test_refusals(layers, options, message):
    network = nj.Sequential((2, 4, 4), **layers)
    samples = options.pop("samples", np.zeros((3, 2, 4, 4)))
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        ann_to_snn(network, samples, **options)


def test_max_pools_can_become_averages():
    network = nj.Sequential((1, 4, 4), relu=nj.ReLU(), pool=nj.MaxPool2d(2))
    snn = ann_to_snn(network, np.ones((2, 1, 4, 4)), max_pool="average")
    assert isinstance(snn["pool"], nj.AvgPool2d)
