"""Synapses against Lava's recordings and oracles in int64: equal integers."""

import json
import re

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings

import neurojax as nj
from neurojax.chips.loihi.complex_synapse import ComplexSynapse
from neurojax.chips.loihi.delay_dense import DelayDense
from neurojax.chips.loihi.quantise import quantised
from neurojax.chips.loihi.synapse import Synapse, conv, dense
from neurojax.chips.loihi.weights import MODES, legal_weights
from tests.conftest import GOLDEN

LAVA = GOLDEN / "lava"
META = json.loads((LAVA / "META_lava.json").read_text())


def recorded(name):
    with np.load(LAVA / f"{name}.npz") as file:
        return META[name].get("params", {}), dict(file)


def run(layer, x, probes=(), **options):
    """Outputs for messages `[time, *in_shape]`, of one sample."""
    net = nj.Sequential(x.shape[1:], fc=layer)
    x = jnp.asarray(x, jnp.float32)[:, None]
    return np.asarray(nj.simulate(net, x, probes=probes, **options).outputs)[:, 0]


def late(y):
    """Lava's output comes one step later."""
    return np.concatenate([np.zeros_like(y[:1]), y[:-1]])


# Lava


@pytest.mark.parametrize("name", [name for name in META if name.startswith("lava_dense_")])
def test_lavas_dense(name):
    params, z = recorded(name)
    layer = dense(z["w"], **params)
    assert (layer.integers() == z["w_eff"]).all()
    assert (late(run(layer, z["s_in"].T)) == z["a_out"].T).all()
    # Legal mantissas are left alone, so a mapping can be run again and again.
    again = dense(z["w_eff"], **params, sign_mode=layer.sign)
    assert (again.integers() == z["w_eff"]).all()
    sign = "exc" if "exc" in name else "inh" if "inh" in name else "mixed"
    assert layer.sign.startswith(sign)


def test_lavas_dense_with_delays():
    _, z = recorded("lava_delaydense")
    layer = dense(z["w"], delays=z["delays"])
    for schedule in ("step", "layer"):
        y = run(layer, z["s_in"].T, schedule=schedule)
        assert (late(y) == z["a_out"].T).all()


@pytest.mark.parametrize("lava_layout", [True, False])
def test_lavas_conv(lava_layout):
    params, z = recorded("lava_conv")
    options = {n: params[n] for n in ("stride", "padding", "dilation")}
    w = z["w"]
    if not lava_layout:  # (out, width, height, in), turned around, to (out, in, height, width)
        w = w[:, ::-1, ::-1].transpose(0, 3, 2, 1)
        options = {n: value[::-1] for n, value in options.items()}
    layer = conv(w, **options, lava_layout=lava_layout)
    y = run(layer, z["s_in"].transpose(3, 2, 1, 0))
    assert (late(y) == z["a_out"].transpose(3, 2, 1, 0)).all()


# Oracles


def wrapped(x, bits):
    return (x + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)


@st.composite
def dense_cases(draw):
    sign = draw(st.sampled_from(MODES))
    bits = draw(st.sampled_from([1, 2, 4, 6, 8, None]))
    message = draw(st.sampled_from([None, 0, 8, 16, 24]))
    exponent = draw(st.integers(-8, 7))
    accumulator = draw(st.sampled_from([None, 24, 12]))
    legal = legal_weights(bits, sign)
    w = draw(hnp.arrays(np.int64, (4, 6), elements=st.sampled_from(legal.tolist())))
    largest = (1 << message) - 1 if message else 1
    x = draw(hnp.arrays(np.int64, (3, 6), elements=st.integers(-largest, largest)))
    return (
        w,
        x,
        {
            "bits": bits,
            "sign": sign,
            "message_bits": message,
            "exponent": exponent,
            "accumulator_bits": accumulator,
        },
    )


@settings(max_examples=40)
@given(case=dense_cases())
def test_dense_against_int64(case):
    w, x, options = case
    total = ((x != 0) if options["message_bits"] == 0 else x) @ w.T
    if options["accumulator_bits"]:
        total = wrapped(total, options["accumulator_bits"])
    else:
        total = wrapped(total, 32)
    exponent = options["exponent"]
    exact = wrapped(total << exponent, 32) if exponent > 0 else total >> -exponent
    assume(np.abs(exact).max() <= 1 << 24)  # what a float carries
    layer = Synapse(nj.Linear.from_weights(w), **options)
    assert (layer.integers() == w).all()
    assert (run(layer, x) == exact).all()


@settings(max_examples=15)
@given(
    x=hnp.arrays(np.int64, (2, 2, 5, 4), elements=st.integers(-(2**17), 2**17)),
    w=hnp.arrays(np.int64, (4, 1, 3, 2), elements=st.sampled_from(legal_weights().tolist())),
    transform=st.sampled_from([(1, 0), (2, 1)]),
)
def test_conv_of_wide_messages_against_int64(x, w, transform):
    """18 bits times 8 bits: three pieces, put together in int32 and wrapped to 24 bits."""
    stride, padding = transform
    padded = np.pad(x, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 2), (2, 3))
    windows = windows[:, :, ::stride, ::stride]
    exact = np.stack(
        [np.einsum("thwij,ij->thw", windows[:, o // 2], w[o, 0]) for o in range(4)], axis=1
    )
    layer = Synapse(
        nj.Conv2d.from_weights(w, stride=stride, padding=padding, groups=2),
        message_bits=18,
        accumulator_bits=24,
    )
    assert layer.fan_in == 6
    assert (run(layer, x) == wrapped(exact, 24)).all()


@settings(max_examples=20)
@given(  # few lengths, as each is compiled
    data=st.data(), longest=st.sampled_from([0, 1, 7, 63]), steps=st.sampled_from([1, 5, 12])
)
def test_delays_against_int64(data, longest, steps):
    delays = data.draw(hnp.arrays(np.int64, (3, 4), elements=st.integers(0, longest)))
    w = data.draw(hnp.arrays(np.int64, (3, 4), elements=st.integers(-256, 255)))
    x = data.draw(hnp.arrays(np.int64, (12, 4), elements=st.integers(-1, 1)))
    exact = np.zeros((12, 3), np.int64)
    for t in range(12):
        for o in range(3):
            for i in range(4):
                if t >= delays[o, i]:
                    exact[t, o] += w[o, i] * x[t - delays[o, i], i]
    net = nj.Sequential((4,), fc=DelayDense(w, delays))
    x = jnp.asarray(x, jnp.float32)[:, None]
    first = nj.simulate(net, x[:steps])
    assert (first.outputs[:, 0] == exact[:steps]).all()
    if steps < 12:  # the state holds all that is on its way
        rest = nj.simulate(net, x[steps:], state=first.state)
        assert (rest.outputs[:, 0] == exact[steps:]).all()


# The edge of what float32 adds exactly


def test_sums_at_the_edge_of_float32():
    """2^16 synapses of -256 sum up to 2^24, which is still exact; messages then have no width."""
    w = np.full((1, 1 << 16), -256)
    w[0, 0] = -254
    x = np.ones((1, 1 << 16))
    assert run(Synapse(nj.Linear.from_weights(w)), x) == -(2**24) + 2
    with pytest.raises(ValueError, match=r"65,537 synapses a neuron.*each with at most 65,536"):
        run(Synapse(nj.Linear.from_weights(np.zeros((1, (1 << 16) + 1)))), np.ones((1, 65537)))
    with pytest.raises(ValueError, match=r"65,536 synapses a neuron.*each with at most 32,768"):
        run(Synapse(nj.Linear.from_weights(w), message_bits=1), x)


def test_a_product_that_float32_would_round():
    """A sum beyond 2^24: one product is wrong, two pieces are right."""
    w, x = np.full((1, 3), 254), np.full((1, 3), 65535)
    exact = int((w * x).sum())
    assert exact > 2**24 and exact % 4  # not a float32
    wide = Synapse(nj.Linear.from_weights(w), message_bits=16, exponent=-2)
    narrow = Synapse(nj.Linear.from_weights(w), exponent=-2)
    assert run(wide, x) == exact >> 2
    assert run(narrow, x) != exact >> 2


def test_delays_of_wide_messages_are_refused():
    layer = dense(np.ones((2, 3), int), delays=np.ones((2, 3), int), num_message_bits=16)
    with pytest.raises(ValueError, match="put a Delay in front of Linear layers"):
        run(layer, np.ones((1, 3)))


# Training


def test_gradients_pass_rounding_limits_and_shift():
    raw = jnp.array([[3.2, -300.0, 400.0]])
    layer = Synapse(nj.Linear.from_weights(raw), exponent=-2)
    assert layer.integers().tolist() == [[4, -256, 254]]
    x = jnp.array([1.0, 2.0, 3.0])
    net = nj.Sequential((3,), fc=layer)

    def loss(net, x):
        return nj.simulate(net, x[None, None]).outputs.sum()

    to_net, to_x = jax.jit(jax.grad(loss, argnums=(0, 1)))(net, x)
    assert to_net["fc"].synapse.weight.tolist() == [[0.25, 0.5, 0.75]]
    assert to_x.tolist() == [1.0, -64.0, 63.5]
    _, along = jax.jit(lambda x: jax.jvp(lambda x: loss(net, x), (x,), (x,)))(x)
    assert along == 1 - 128 + 190.5


@pytest.mark.parametrize("message_bits", [0, 8, 20])
def test_gradients_do_not_depend_on_the_width_of_messages(message_bits):
    w, x = jnp.array([[4.0, -6.0], [8.0, 2.0]]), jnp.array([[[1.0, 3.0]]])
    g = jnp.array([1.0, -2.0])

    def slopes(bits):
        net = nj.Sequential((2,), fc=Synapse(nj.Linear.from_weights(w), message_bits=bits))
        loss = lambda net, x: (nj.simulate(net, x).outputs[0, 0] * g).sum()  # noqa: E731
        return jax.jit(jax.grad(loss, argnums=(0, 1)))(net, x)

    (to_net, to_x), (net, x_) = slopes(message_bits), slopes(None)
    ones = jnp.array([[1.0, 1.0], [-2.0, -2.0]])
    assert (to_x == x_).all()
    expected = ones if message_bits == 0 else net["fc"].synapse.weight
    assert (to_net["fc"].synapse.weight == expected).all()


def test_gradients_through_delays():
    delays = np.array([[0, 1, 3], [2, 2, 0]])
    w = jax.random.normal(jax.random.key(0), (2, 3))
    x = jax.random.normal(jax.random.key(1), (6, 1, 3))
    g = np.asarray(jax.random.normal(jax.random.key(2), (6, 1, 2)))
    net = nj.Sequential((3,), fc=DelayDense(w, delays))
    to_net, to_x = jax.jit(
        jax.grad(lambda net, x: (nj.simulate(net, x).outputs * g).sum(), argnums=(0, 1))
    )(net, x)
    to_w, exact_x = np.zeros((2, 3)), np.zeros((6, 1, 3))
    for o in range(2):
        for i in range(3):
            d = delays[o, i]
            to_w[o, i] = (g[d:, 0, o] * np.asarray(x)[: 6 - d, 0, i]).sum()
            exact_x[: 6 - d, 0, i] += g[d:, 0, o] * float(w[o, i])
    np.testing.assert_allclose(to_net["fc"].weight, to_w, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(to_x, exact_x, rtol=1e-5, atol=1e-6)
    assert not to_net["fc"].delays.any()


def test_trained_synapses_stay_on_the_grid():
    """Many chips at once: each has its own weights, all of them legal."""
    net = nj.Sequential((3,), fc=Synapse(nj.Linear(3, 2, key=jax.random.key(0)), bits=4))
    weights = jax.random.uniform(jax.random.key(1), (5, 2, 3), minval=-400, maxval=400)

    def one(w):
        layer = Synapse(nj.Linear.from_weights(w), bits=4)
        return nj.simulate(net.replace(fc=layer), jnp.eye(3)[:, None]).outputs[:, 0].T

    assert np.isin(jax.vmap(one)(weights), legal_weights(4)).all()


# Complex weights


def test_complex_synapse():
    rng = np.random.default_rng(0)
    real, imag = rng.integers(-128, 127, (2, 4, 3)) * 2
    x = rng.integers(0, 2, (5, 3))
    layer = ComplexSynapse(dense(real), dense(imag, weight_exp=1))
    y = run(layer, x)
    assert (y == np.stack([x @ real.T, 2 * (x @ imag.T)], axis=1)).all()
    parts = [quantised(nj.Linear.from_weights(w / 64)) for w in (real, imag)]
    assert (run(ComplexSynapse(*parts), x) * 64 == np.stack([x @ real.T, x @ imag.T], 1)).all()
    delayed = ComplexSynapse(dense(real, delays=np.full((4, 3), 2)), dense(imag))
    y = run(delayed, x)
    assert (y[2:, 0] == x[:-2] @ real.T).all() and (y[:, 1] == x @ imag.T).all()
    assert layer.describe() == "Complex Linear 3->4, 8 bit"


# Refusals


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda fc: Synapse(fc, exponent=8), "exponent is 8; it must be an integer within -8..7"),
        (lambda fc: Synapse(fc, exponent=0.5), "exponent is 0.5"),
        (lambda fc: Synapse(fc, bits=9), "bits is 9; a synapse has 1..8 bits"),
        (lambda fc: Synapse(fc, sign="any"), "sign is 'any'; use one of 'mixed'"),
        (lambda fc: Synapse(fc, accumulator_bits=25), "accumulator_bits is 25"),
        (lambda fc: Synapse(fc, message_bits=-1), "message_bits is -1"),
        (lambda fc: dense(np.array([[0.5]])), "weight must hold integers"),
        (lambda fc: conv(np.full((1, 1, 1, 1), 300)), "weights are 300..300; the chip has -256"),
        (lambda fc: conv(np.ones((2, 2))), "it must have 4 axes"),
        (lambda fc: DelayDense(np.ones((1, 2)), [[0, 64]]), "a delay is 64; delays are integers"),
        (lambda fc: DelayDense(np.ones((1, 2)), [0, 1]), "delays have shape (2,), the weight"),
        (
            lambda fc: nj.Sequential((2,), ComplexSynapse(fc, nj.Linear.from_weights([[1.0, 2]]))),
            "real gives (3,), imag (1,)",
        ),
        (
            lambda fc: Synapse(nj.Linear(2, 3, bias=True, key=jax.random.key(0))),
            "has a bias, which Loihi's synapses have not",
        ),
    ],
)
def test_refusals(make, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        make(nj.Linear(2, 3, key=jax.random.key(0)))


def test_layers_without_weights_are_refused():
    with pytest.raises(TypeError, match="Synapse: Flatten has no weight"):
        Synapse(nj.Flatten())
    with pytest.raises(TypeError, match="ComplexSynapse: imag is None; use a layer"):
        ComplexSynapse(nj.Flatten(), None)
