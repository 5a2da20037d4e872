"""simulate: inputs, probes, keys, state; the schedules have a file of their own."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj


class CountState(NamedTuple):
    total: jax.Array


class Count(nj.Layer):
    """Adds up its input; the output is the total modulo 3."""

    def init(self, in_shape):
        return CountState(jnp.zeros(in_shape))

    def step(self, state, x, *, key=None):
        total = state.total + x
        return CountState(total), total % 3

    def out_shape(self, in_shape):
        return in_shape


class Noise(nj.Layer):
    """Replaces its input by uniform noise."""

    needs_key = True

    def step(self, state, x, *, key=None):
        return None, jax.random.uniform(key, x.shape)

    def out_shape(self, in_shape):
        return in_shape


class Offset(nj.Layer):
    """Adds an offset that is drawn once a run, as a chip's mismatch is."""

    offset: jax.Array | None = None
    needs_key = True

    def prepare(self, key):
        return eqx.tree_at(
            lambda layer: layer.offset, self, jax.random.normal(key), is_leaf=lambda x: x is None
        )

    def step(self, state, x, *, key=None):
        return None, x + self.offset

    def out_shape(self, in_shape):
        return in_shape


@pytest.fixture
def net():
    return nj.Sequential((2,), first=Count(), second=Count())


@pytest.fixture
def x():
    return jnp.asarray(np.random.default_rng(0).integers(0, 3, (7, 3, 2)), jnp.float32)


def reference(x):
    """Both counters, by NumPy."""
    first = np.cumsum(np.asarray(x, np.int64), axis=0)
    second = np.cumsum(first % 3, axis=0)
    return first, second


@pytest.mark.parametrize("schedule", ["step", "layer", "auto"])
def test_outputs_and_every_kind_of_probe(net, x, schedule):
    first, second = reference(x)
    fields = [
        nj.Probe("first.total", reduce) for reduce in (None, "last", "sum", "mean", "max", "min")
    ]
    run = nj.simulate(net, x, schedule=schedule, probes=[*fields, nj.Probe("first", "count")])
    np.testing.assert_array_equal(run.outputs, second % 3)
    np.testing.assert_array_equal(run["first.total"], first)
    np.testing.assert_array_equal(run["first.total:last"], first[-1])
    np.testing.assert_array_equal(run["first.total:sum"], first.sum(0))
    np.testing.assert_allclose(run["first.total:mean"], first.mean(0), rtol=1e-6)
    np.testing.assert_array_equal(run["first.total:max"], first.max(0))
    np.testing.assert_array_equal(run["first.total:min"], first.min(0))
    np.testing.assert_array_equal(run["first:count"], (first % 3 != 0).sum(0))
    assert run["first:count"].dtype == jnp.int32


@pytest.mark.parametrize("schedule", ["step", "layer"])
@pytest.mark.parametrize("every", [2, 3, 10])
@pytest.mark.parametrize("checkpoint", [None, 2, (4, 3)])
def test_every_kth_step(net, x, schedule, every, checkpoint):
    first, _ = reference(x)
    probes = [
        nj.Probe("first.total", reduce, every) for reduce in (None, "sum", "mean", "last", "count")
    ]
    run = nj.simulate(net, x, schedule=schedule, checkpoint=checkpoint, probes=probes)
    kept = first[::every]
    np.testing.assert_array_equal(run["first.total"], kept)
    np.testing.assert_array_equal(run["first.total:sum"], kept.sum(0))
    np.testing.assert_allclose(run["first.total:mean"], kept.mean(0), rtol=1e-6)
    np.testing.assert_array_equal(run["first.total:last"], kept[-1])
    np.testing.assert_array_equal(run["first.total:count"], (kept != 0).sum(0))


def test_continuing_equals_one_long_run(net, x):
    whole = nj.simulate(net, x)
    a = nj.simulate(net, x[:3])
    b = nj.simulate(net, x[3:], state=a.state)
    np.testing.assert_array_equal(jnp.concatenate([a.outputs, b.outputs]), whole.outputs)
    assert int(b.state.steps) == 7
    jax.tree.map(np.testing.assert_array_equal, b.state, whole.state)


@pytest.mark.parametrize("schedule", ["step", "layer"])
def test_same_key_same_noise_in_pieces_and_under_jit(x, schedule):
    net = nj.Sequential((2,), noise=Noise(), offset=Offset())
    key = jax.random.key(3)
    whole = nj.simulate(net, x, key=key, schedule="step")
    other = nj.simulate(net, x, key=key, schedule=schedule, checkpoint=2)
    np.testing.assert_array_equal(whole.outputs, other.outputs)
    a = nj.simulate(net, x[:4], key=key, schedule=schedule)
    b = nj.simulate(net, x[4:], key=key, state=a.state, schedule=schedule)
    np.testing.assert_array_equal(jnp.concatenate([a.outputs, b.outputs]), whole.outputs)
    jitted = jax.jit(lambda net, x: nj.simulate(net, x, key=key, schedule=schedule).outputs)
    np.testing.assert_array_equal(jitted(net, x), whole.outputs)
    assert not np.array_equal(nj.simulate(net, x, key=jax.random.key(4)).outputs, whole.outputs)


def test_noise_differs_by_step_sample_and_layer(x):
    net = nj.Network(
        {"a": Noise(), "b": Noise()},
        [("input", "a"), ("input", "b")],
        inputs=(2,),
        outputs=["a", "b"],
    )
    run = nj.simulate(net, x, key=jax.random.key(0))
    values = np.concatenate([run.outputs["a"].ravel(), run.outputs["b"].ravel()])
    assert len(np.unique(values)) == values.size


def test_a_new_layer_does_not_change_the_noise_of_the_others(x):
    key = jax.random.key(0)
    alone = nj.simulate(nj.Sequential((2,), noise=Noise()), x, key=key).outputs
    more = nj.simulate(nj.Sequential((2,), first=Count(), noise=Noise()), x, key=key).outputs
    np.testing.assert_array_equal(alone, more)


def test_mismatch_is_drawn_per_chip_under_vmap(x):
    net = nj.Sequential((2,), offset=Offset())
    keys = jax.random.split(jax.random.key(0), 4)
    chips = jax.vmap(lambda key: nj.simulate(net, x, key=key).outputs)(keys)
    offsets = np.asarray(chips) - np.asarray(x)
    assert np.ptp(offsets, axis=(1, 2, 3)).max() < 1e-6
    assert len(np.unique(offsets[:, 0, 0, 0])) == 4


def test_integers_become_float32(net):
    run = nj.simulate(net, np.ones((2, 1, 2), np.uint8))
    assert run.outputs.dtype == jnp.float32


def test_layer_names_with_dots_can_be_probed(x):
    net = nj.Network({"r.lif": Count()}, [("input", "r.lif")], inputs=(2,))
    run = nj.simulate(net, x, probes=["r.lif.total", "r.lif", "r.lif.output"][:2])
    np.testing.assert_array_equal(run["r.lif.total"], reference(x)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: dict(inputs=x[:, 0]), "add a batch axis: inputs[:, None]"),
        (lambda x: dict(inputs=x[..., 0]), "must be [time, batch, 2]"),
        (lambda x: dict(inputs=x[:0]), "no time steps"),
        (lambda x: dict(inputs=x[:, :0]), "empty batch"),
        (lambda x: dict(inputs={"inptu": x}), "the network takes ['input']"),
        (lambda x: dict(probes=["frist.total"]), "no such layer"),
        (lambda x: dict(probes=["first.v"]), "has no such field; known names: 'total'"),
        (lambda x: dict(probes=["first", "first"]), "given more than once"),
        (lambda x: dict(schedule="steps"), "must be 'auto', 'step' or 'layer'"),
        (lambda x: dict(unroll=0), "unroll=0 must be"),
        (lambda x: dict(checkpoint=0), "checkpoint=0 must be"),
        (lambda x: dict(checkpoint=(2, 5)), "must become shorter"),
    ],
)
def test_bad_arguments_are_refused_in_words(net, x, change, message):
    arguments = {"inputs": x} | change(x)
    inputs = arguments.pop("inputs")
    with pytest.raises(ValueError) as error:
        nj.simulate(net, inputs, **arguments)
    assert message in str(error.value)


def test_several_unknown_probes_are_reported_together(net, x):
    with pytest.raises(ValueError) as error:
        nj.simulate(net, x, probes=["first.v", "third"])
    assert "first.v" in str(error.value)
    assert "third" in str(error.value)


@pytest.mark.parametrize(("reduce", "every"), [("median", 1), (None, 0), (None, 1.5)])
def test_bad_probes(reduce, every):
    with pytest.raises(ValueError, match=r"probe 'a\.b'"):
        nj.Probe("a.b", reduce, every)


def test_missing_key_names_the_layers(x):
    net = nj.Sequential((2,), a=Noise(), b=Count())
    with pytest.raises(ValueError, match=r"'a' \(Noise\)"):
        nj.simulate(net, x)


def test_state_of_another_batch_size_is_refused(net, x):
    run = nj.simulate(net, x)
    with pytest.raises(ValueError, match="but the batch of the inputs is 1"):
        nj.simulate(net, x[:, :1], state=run.state)


def test_state_of_another_network_is_refused(net, x):
    other = nj.simulate(nj.Sequential((2,), third=Count()), x)
    with pytest.raises(ValueError, match="the state holds layers \\['third'\\]"):
        nj.simulate(net, x, state=other.state)
    wider = nj.simulate(nj.Sequential((5,), first=Count(), second=Count()), jnp.ones((1, 3, 5)))
    with pytest.raises(ValueError, match="state of layer 'first' has shapes"):
        nj.simulate(net, x, state=wider.state)


def test_unknown_trace_is_refused(net, x):
    run = nj.simulate(net, x, probes=["first.total"])
    with pytest.raises(KeyError, match=r"did you mean 'first\.total'"):
        run["first.totl"]


def test_mixed_types_are_refused_before_compiling():
    class Mixed(nj.Layer):
        def init(self, in_shape):
            return jnp.zeros(in_shape)

        def step(self, state, x, *, key=None):
            return state + x * jnp.ones((), jnp.float32), x

        def out_shape(self, in_shape):
            return in_shape

    net = nj.Sequential((2,), mixed=Mixed())
    with pytest.raises(
        ValueError, match="layer 'mixed': its state is bfloat16 but becomes float32"
    ):
        nj.simulate(net, jnp.ones((2, 1, 2), jnp.bfloat16))
