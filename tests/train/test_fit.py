"""`fit`: it learns, repeats itself, goes on where it stopped, and says what is wrong."""

import json
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

import neurojax as nj
from neurojax import datasets, train
from neurojax.neurons import LIF
from neurojax.train import _loop

KEY = jax.random.key(7)


class NoiseState(NamedTuple):
    mean: jax.Array


class NoisyMean(nj.Layer):
    """Noise in training only, and a running mean of its input: all that makes training special."""

    mean: jax.Array
    inference: bool = False
    buffers: ClassVar[tuple[str, ...]] = ("mean",)

    def init(self, in_shape):
        return NoiseState(self.mean)

    def step(self, state, x, *, key=None):
        if self.inference:
            return state, x - self.mean
        mean = 0.9 * state.mean + 0.1 * jax.lax.pmean(x, nj.BATCH_AXIS)
        # The key's own bits: drawing numbers in a loop takes a second to compile.
        phase = jax.random.key_data(key).astype(jnp.float32).sum() / 2.0**20
        noise = jnp.sin(phase + jnp.arange(x.size, dtype=x.dtype).reshape(x.shape))
        return NoiseState(mean), x - self.mean + 0.1 * noise

    def out_shape(self, in_shape):
        return in_shape

    @property
    def needs_key(self):
        return not self.inference

    def absorb(self, state):
        return eqx.tree_at(lambda layer: layer.mean, self, state.mean[0])


def network(key=0, hidden=24):
    a, b = jax.random.split(jax.random.key(key))
    return nj.Sequential(
        (4,),
        first=nj.Linear(4, hidden, key=a),
        noise=NoisyMean(jnp.zeros(hidden)),
        spikes=LIF(tau=5.0),
        out=nj.Linear(hidden, 3, key=b),
    )


DATA = datasets.yin_yang(100, seed=1)
VALIDATION = datasets.yin_yang(37, seed=2)
OPTIONS = {
    "steps": 6,
    "batch_size": 16,
    "key": KEY,
    "validation": VALIDATION,
    "keep_best": False,
    "optimiser": optax.adam(1e-2),
}

QUICK = OPTIONS | {"validation": None}  # compiles one function less


def same(a, b):
    """True if all leaves are equal to the last bit."""
    flat_a, flat_b = (jax.tree.leaves(eqx.filter(tree, eqx.is_array)) for tree in (a, b))
    return len(flat_a) == len(flat_b) and all(
        np.array_equal(np.asarray(x), np.asarray(y))
        for x, y in zip(flat_a, flat_b, strict=True)
        if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    )


def columns(history):
    return {name: values for name, values in history.items() if name != "seconds"}


@pytest.fixture(scope="module")
def four_epochs():
    return train.fit(network(), DATA, epochs=4, **OPTIONS)


def test_learns_real_digits():
    a, b = jax.random.split(jax.random.key(0))
    net = nj.Sequential(
        (1, 8, 8),
        nj.Flatten(),
        hidden=nj.Linear(64, 64, key=a),
        spikes=LIF(tau=10.0),
        out=nj.Linear(64, 10, key=b),
        votes=LIF(tau=10.0),
    )
    training, test = datasets.digits()
    fitted = train.fit(
        net, training, steps=10, epochs=6, validation=test, key=KEY, optimiser=optax.adam(5e-3)
    )
    assert fitted.history["val_accuracy"][0] < max(fitted.history["val_accuracy"])
    result = train.evaluate(fitted.network, test, steps=10)
    assert result["accuracy"] > 0.93
    # The network of the best epoch, not of the last.
    assert result["loss"] == pytest.approx(min(fitted.history["val_loss"]), rel=1e-5)
    assert set(result["spikes"]) == {"spikes", "votes"}
    classes = train.predict(fitted.network, test.inputs, steps=10)
    assert np.mean(classes == test.labels) == pytest.approx(result["accuracy"])


def test_equals_torch_on_softmax_regression():
    # One linear layer for one step under full-batch gradient descent, where no order matters.
    inputs = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 3, 30)
    layer = nj.Linear(5, 3, bias=True, key=KEY)
    weight = torch.tensor(np.asarray(layer.weight), requires_grad=True)
    bias = torch.tensor(np.asarray(layer.bias), requires_grad=True)
    descent = torch.optim.SGD([weight, bias], lr=0.5, momentum=0.9)
    expected = []
    for _ in range(5):
        descent.zero_grad()
        scores = torch.tensor(inputs) @ weight.T + bias
        loss = torch.nn.functional.cross_entropy(scores, torch.tensor(labels))
        loss.backward()
        descent.step()
        expected.append(float(loss.detach()))
    fitted = train.fit(
        nj.Sequential((5,), out=layer), (inputs, labels), steps=1, epochs=5, batch_size=30, key=KEY,
        optimiser=optax.sgd(0.5, momentum=0.9),
    )  # fmt: skip
    np.testing.assert_allclose(fitted.history["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(fitted.network["out"].weight, weight.detach(), atol=2e-6)
    np.testing.assert_allclose(fitted.network["out"].bias, bias.detach(), atol=2e-6)


def test_same_key_same_bits(four_epochs):
    again = train.fit(network(), DATA, epochs=4, **OPTIONS)
    assert same(again.network, four_epochs.network)
    assert columns(again.history) == columns(four_epochs.history)
    other = train.fit(network(), DATA, epochs=1, **QUICK | {"key": jax.random.key(8)})
    assert not same(other.network, four_epochs.network)


def test_resume_equals_an_uninterrupted_run(four_epochs):
    half = train.fit(network(), DATA, epochs=2, **OPTIONS)
    # The parameters come from `resume`: another start makes no difference.
    whole = train.fit(network(key=5), DATA, epochs=4, resume=half, **OPTIONS)
    assert same(whole.network, four_epochs.network)
    assert same(whole.state.optimiser, four_epochs.state.optimiser)
    assert columns(whole.history) == columns(four_epochs.history)
    assert len(half.history["loss"]) == 2


# In the first epoch of six steps; after the second.
@pytest.mark.parametrize("stop", [2, 12])
def test_interrupt_returns_what_was_learnt_and_resumes(four_epochs, monkeypatch, stop):
    original, drawn = _loop.batches, []

    def interrupted(*args, **kwargs):
        for batch in original(*args, **kwargs):
            if len(drawn) == stop:
                raise KeyboardInterrupt
            drawn.append(None)
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(_loop, "batches", interrupted)
        part = train.fit(network(), DATA, epochs=4, **OPTIONS)
    assert part.stopped == "interrupted"
    assert len(part.history["loss"]) == stop // 6
    assert len(part.state.records) == stop % 6
    assert not same(part.network, network())
    whole = train.fit(network(), DATA, epochs=4, resume=part, **OPTIONS)
    assert same(whole.network, four_epochs.network)
    assert columns(whole.history) == columns(four_epochs.history)


def test_interrupt_in_a_callback(four_epochs):
    def interrupt(fitted):
        if len(fitted.history["loss"]) == 2:
            raise KeyboardInterrupt

    part = train.fit(network(), DATA, epochs=4, callbacks=[interrupt], **OPTIONS)
    assert part.stopped == "interrupted"
    whole = train.fit(network(), DATA, epochs=4, resume=part, **OPTIONS)
    assert same(whole.network, four_epochs.network)


def test_history_is_json(four_epochs):
    history = json.loads(json.dumps(four_epochs.history))
    names = ["loss", "accuracy", "val_loss", "val_accuracy", "seconds"]
    assert list(history) == names
    assert all(len(history[name]) == 4 for name in names)
    assert all(isinstance(value, float) for values in history.values() for value in values)


def test_printing_shows_the_last_numbers_and_one_network(four_epochs):
    text = repr(four_epochs)
    assert text.startswith("Fit of 4 epochs, stopped by: epochs")
    assert f"val_loss {four_epochs.history['val_loss'][-1]:.4g}" in text
    assert text.endswith(str(four_epochs.network))
    assert text.count("layers,") == 1  # the last line of a network's table


def test_buffers_learn_without_gradients(four_epochs):
    before, after = network(), four_epochs.network
    assert not np.array_equal(before["noise"].mean, after["noise"].mean)
    frozen = train.fit(network(), DATA, epochs=1, **QUICK | {"optimiser": optax.sgd(0.0)})
    assert np.array_equal(frozen.network["out"].weight, before["out"].weight)
    assert not np.array_equal(frozen.network["noise"].mean, before["noise"].mean)
    assert after["noise"].inference
    assert not four_epochs.state.network["noise"].inference
    assert not train.trainable_mask(before)["noise"].mean


def test_validation_counts_every_sample_once():
    net = network()
    results = [
        train.evaluate(net, VALIDATION, steps=6, batch_size=size) for size in (1, 5, 37, 100)
    ]
    quiet = eqx.nn.inference_mode(net)
    inputs = jnp.broadcast_to(VALIDATION.inputs, (6, *VALIDATION.inputs.shape))
    scores = np.asarray(nj.simulate(quiet, inputs).outputs.sum(0), np.float64)
    right = np.mean(scores.argmax(-1) == VALIDATION.labels)
    own = scores[np.arange(37), VALIDATION.labels]
    loss = np.mean(np.log(np.exp(scores).sum(-1)) - own)
    spikes = np.asarray(nj.simulate(quiet, inputs, probes=["spikes"])["spikes"])
    for result in results:
        assert result["accuracy"] == right
        assert result["loss"] == pytest.approx(loss, rel=1e-5)
        assert result["spikes"] == {"spikes": spikes.sum() / 37}


def test_compiles_once():
    traced = []

    def encode(inputs, key):
        traced.append(inputs.shape)
        return jnp.broadcast_to(inputs, (6, *inputs.shape))

    after_epoch = []
    options = {name: value for name, value in OPTIONS.items() if name != "steps"}
    train.fit(
        network(), DATA, epochs=3, encode=encode, **options,
        callbacks=[lambda fitted: after_epoch.append(list(traced))],
    )  # fmt: skip
    # Two checks of shapes, one training step, one evaluation; nothing after the first epoch.
    assert after_epoch[0] == [(1, 4), (1, 4), (16, 4), (16, 4)]
    assert after_epoch[2] == after_epoch[0]


def test_early_stopping_keeps_the_best_epoch():
    stopping = train.EarlyStopping(patience=2, metric="val_accuracy", min_delta=0.5)
    networks = []
    fitted = train.fit(
        network(), DATA, epochs=50, early_stopping=stopping,
        callbacks=[lambda fit: networks.append(fit.network)], **OPTIONS | {"keep_best": True},
    )  # fmt: skip
    assert fitted.stopped == "early stopping"
    assert len(fitted.history["loss"]) == 3  # 0.5 can be gained once at most, so never twice
    best = int(np.argmax(fitted.history["val_accuracy"]))
    assert same(fitted.network, networks[best])


@pytest.mark.parametrize(
    ("values", "done"),
    [([3, 2, 1], False), ([1, 2], False), ([1, 2, 2], True), ([1, 0.95, 0.92], True),
     ([1, 2, 0.5, 2], False), ([np.nan, np.nan, 1.0], False), ([1, np.nan, np.nan], True),
     ([], False)],
)  # fmt: skip
def test_patience(values, done):
    assert train.EarlyStopping(patience=2, min_delta=0.1).done(values) is done


def test_callback_ends_training():
    fitted = train.fit(network(), DATA, epochs=5, callbacks=[lambda fit: True], **QUICK)
    assert fitted.stopped == "callback"
    assert len(fitted.history["loss"]) == 1


def test_trainable_names():
    before = network()
    fitted = train.fit(before, DATA, epochs=1, trainable=["out"], **QUICK)
    assert np.array_equal(fitted.network["first"].weight, before["first"].weight)
    assert not np.array_equal(fitted.network["out"].weight, before["out"].weight)
    mask = train.trainable_mask(before, lambda path: path == "first.weight")
    assert mask["first"].weight
    assert not mask["out"].weight


def test_regularise_lowers_activity():
    def spikes(penalty):
        fitted = train.fit(
            network(), DATA, epochs=5, probes=[nj.Probe("spikes", "sum")],
            regularise=lambda run: penalty * run["spikes:sum"].mean(), **QUICK,
        )  # fmt: skip
        assert list(fitted.history)[:3] == ["loss", "accuracy", "penalty"]
        return train.evaluate(fitted.network, DATA, steps=6)["spikes"]["spikes"]

    assert spikes(3.0) < 0.7 * spikes(0.0)


def test_samples_with_a_time_axis():
    inputs = np.repeat(np.asarray(DATA.inputs)[:, None], 6, axis=1)
    moved = train.fit(network(), (inputs, DATA.labels), epochs=1, **QUICK | {"steps": None})
    direct = train.fit(network(), DATA, epochs=1, **QUICK)
    assert same(moved.network, direct.network)


def test_not_finite_keeps_the_last_good_network():
    inputs = np.array(DATA.inputs)
    inputs[40] = np.nan
    with pytest.raises(train.NotFiniteError, match=r"epoch 1, step \d: .*; 4 values of the inputs"):
        train.fit(network(), (inputs, DATA.labels), epochs=2, **QUICK)

    with pytest.raises(train.NotFiniteError, match="lower the learning rate") as caught:
        train.fit(network(), DATA, epochs=2, **QUICK | {"optimiser": optax.sgd(1e38)})
    fitted = caught.value.fit
    assert fitted.stopped == "not finite"
    nj.simulate(fitted.network, jnp.ones((3, 1, 4)))  # would refuse parameters that are not finite
    assert np.isfinite(np.asarray(fitted.state.network["out"].weight)).all()


def test_progress_goes_to_standard_error(capsys):
    train.fit(network(), DATA, epochs=2, progress=True, **OPTIONS)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "epoch 2/2" in shown.err
    assert "│ val " in shown.err
    train.fit(network(), DATA, epochs=1, **QUICK)  # standard error is no terminal here
    assert capsys.readouterr().err == ""


BAD_LABELS = (DATA.inputs, DATA.labels + 1)
REFUSALS = {
    "epochs": ({"epochs": 0}, "epochs=0 must be at least 1"),
    "batch": ({"batch_size": 0}, "batch_size=0 must be at least 1"),
    "labels": ({"data": BAD_LABELS}, "labels go from 1 to 3, but the network has 3 outputs"),
    "float labels": ({"data": (DATA.inputs, DATA.labels * 0.5)}, "class indices"),
    "empty": ({"data": (DATA.inputs[:0], DATA.labels[:0])}, "data has no samples"),
    "no time": ({"steps": None}, "have no time axis; pass steps="),
    "both": ({"encode": lambda x, key: x}, "not both"),
    "shape": ({"data": (DATA.inputs[:, :3], DATA.labels)}, "input 'input' has shape"),
    "loss": ({"loss": "mse"}, "loss='mse' is unknown"),
    "mean loss": (
        {"loss": lambda y, labels: y.mean()},
        "'loss' gives shape \\(\\), but must give one value a sample",
    ),
    "metric": ({"metrics": ["f1"]}, "metric 'f1' is unknown"),
    "decode": ({"decode": "median"}, "decode='median' is unknown"),
    "trainable": ({"trainable": ["ou"]}, "trainable: 'ou' has no parameters; did you mean 'out'"),
    "nothing": ({"trainable": lambda path: False}, "nothing to train: `trainable` chooses none"),
    "column": (
        {"validation": None, "early_stopping": train.EarlyStopping(patience=1)},
        "history has no 'val_loss'.*pass validation=",
    ),
    "best": ({"keep_best": "val_los"}, "keep_best: the history has no 'val_los'"),
    "probe": ({"probes": ["hiden"]}, "no such layer"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    change, message = REFUSALS[name]
    arguments = {"data": DATA, "epochs": 1, **OPTIONS, **change}
    with pytest.raises(ValueError, match=message):
        train.fit(network(), **arguments)


def test_refuses_data_that_is_none():
    with pytest.raises(TypeError, match="data must be a Dataset or \\(inputs"):
        train.fit(network(), np.zeros((3, 4)), **OPTIONS)


def test_refuses_to_resume_another_run(four_epochs):
    with pytest.raises(ValueError, match="another key") as caught:
        train.fit(
            network(hidden=8), DATA, epochs=5, resume=four_epochs,
            **OPTIONS | {"key": jax.random.key(0), "validation": None, "optimiser": optax.sgd(0.1)},
        )  # fmt: skip
    for part in ("another structure", "optimiser", "columns"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"patience": 0}, "patience=0"), ({"min_delta": -1}, "min_delta=-1"), ({"mode": "up"}, "mode"),
     ({"metric": "seconds"}, "doesn't say whether more is better")],
)  # fmt: skip
def test_early_stopping_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        train.EarlyStopping(**options)
