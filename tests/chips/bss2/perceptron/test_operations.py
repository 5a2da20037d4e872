"""Products, sums and activations, against integers of 64 bits."""

import functools as ft

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

from neurojax.chips.bss2 import perceptron as hagen
from tests.chips.bss2.perceptron import oracle

QUIET = hagen.MockParameter(noise_std=0.0)
GAINS = (0.002, 0.0031, 0.01, 0.5)


@ft.partial(jax.jit, static_argnames="num_sends")
def mac(x, w, gain, num_sends):
    return hagen.mac(x, w, num_sends=num_sends, mock=hagen.MockParameter(0.0, gain))


def draw(seed, batch, rows, columns):
    """Inputs and weights with fractions, ties and the ends of their ranges among them."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-1, 63, (batch, rows)) / 2
    w = rng.integers(-126, 127, (rows, columns)) / 2
    if seed % 3 == 0:  # sums that leave the range of one tile
        w = np.abs(w)
    return x.astype(np.float32), w.astype(np.float32)


# One tile, a tile and a row, three tiles, and more than are products of their own.
@pytest.mark.parametrize(("rows", "num_sends"), [(128, 1), (129, 3), (300, 2), (1100, 1)])
def test_product_is_the_integer_one(rows, num_sends):
    @given(st.integers(0, 2**31), st.sampled_from(GAINS))
    def compare(seed, gain):
        x, w = draw(seed, 5, rows, 4)
        scale = np.float32(num_sends) * np.float32(gain)
        expected = oracle.product(x, w, scale)
        np.testing.assert_array_equal(mac(x, w, jnp.float32(gain), num_sends), expected)

    compare()


def test_constant_gain_is_multiplied_in_double():
    # float32(7 * 0.0031) is not float32(7) * float32(0.0031)
    gain = next(
        g
        for g in np.arange(0.001, 0.1, 0.0001).tolist()
        if np.float32(7 * g) != np.float32(7) * np.float32(g)
    )
    x, w = draw(1, 400, 90, 3)
    y = hagen.mac(x, w, num_sends=7, mock=hagen.MockParameter(0.0, gain))
    np.testing.assert_array_equal(y, oracle.product(x, w, np.float32(7 * gain)))


def test_largest_sums_are_exact():
    x, w = np.full((1, 128), 31.0, np.float32), np.full((128, 2), 63.0, np.float32)
    w[0, 1] = 62.0
    # 2^-11 of 249984 and 249953: they differ after the floor only if the sum is exact.
    got = mac(x, w, jnp.float32(2.0**-11), 1)
    assert got.tolist() == [[122.0, 122.0]]
    one_less = np.float32(1 / 249984 * 100)
    assert mac(x, w, jnp.float32(one_less), 1).tolist() == oracle.product(x, w, one_less).tolist()
    assert oracle.product(x, w, one_less).tolist() == [[100, 99]]


def test_the_same_however_it_is_called():
    x, w = draw(3, 6, 300, 4)
    together = hagen.mac(x, w, mock=QUIET)
    np.testing.assert_array_equal(mac(x, w, jnp.float32(0.002), 1), together)
    one = jax.jit(jax.vmap(lambda x: hagen.mac(x, jnp.asarray(w), mock=QUIET)))
    np.testing.assert_array_equal(one(x), together)
    np.testing.assert_array_equal(hagen.mac(x[2], w, mock=QUIET), together[2])


def test_derivative_is_that_of_the_plain_product():
    x, w = draw(6, 3, 140, 2)  # all outputs are at the limit
    x[0, 0] = 0.4
    y, pull = jax.vjp(lambda x, w: mac(x, w, jnp.float32(0.01), 2), x, w)
    assert (np.asarray(y) == 127).all()
    ct = np.random.default_rng(0).normal(size=y.shape).astype(np.float32)
    gx, gw = pull(ct)
    np.testing.assert_allclose(gx, 0.02 * ct @ w.T, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gw, 0.02 * x.T @ ct, rtol=1e-5, atol=1e-5)
    _, tangent = jax.jvp(lambda x: mac(x, w, jnp.float32(0.01), 2), (x,), (np.ones_like(x),))
    np.testing.assert_allclose(tangent, 0.02 * np.ones_like(x) @ w, rtol=1e-5)


def test_ranges_hold_for_rounded_numbers():
    x, w = jnp.full((1, 2), 31.5), jnp.full((2, 1), 63.4)
    assert hagen.mac(x - 0.1, w, mock=QUIET).item() == np.floor(2 * 31 * 63 * np.float32(0.002))
    assert hagen.mac(jnp.full((1, 2), -0.5), w, mock=QUIET).item() == 0
    with pytest.raises(ValueError, match=r"inputs go from 31.5 to 31.5, but .* is 0..31"):
        hagen.mac(x, w, mock=QUIET)
    with pytest.raises(ValueError, match=r"inputs go from -0.6 to 0, .*scale_input"):
        hagen.mac(jnp.array([-0.6, 0.0]), w, mock=QUIET)
    with pytest.raises(ValueError, match=r"weights go from 63.6 to 63.6, but .* is -63..63"):
        hagen.mac(x - 1, w + 0.2, mock=QUIET)
    with pytest.raises(ValueError, match="nothing to multiply"):
        hagen.mac(jnp.ones((3, 0)), jnp.ones((0, 2)), mock=QUIET)


def test_range_errors_of_compiled_functions():
    @eqx.filter_jit
    def compiled(x, w):
        return hagen.mac(x, w, mock=QUIET)

    assert compiled(jnp.ones((1, 2)), jnp.ones((2, 1))).item() == 0
    with pytest.raises(RuntimeError, match=r"the range of inputs is 0..31"):
        compiled(jnp.full((1, 2), 32.0), jnp.ones((2, 1)))


def test_saturation_is_counted():
    x = jnp.array([[40.0, 31.0], [-3.0, 2.0]])
    w = jnp.array([[70.0, -10.0], [63.0, -90.0]])
    y, counts = hagen.mac_counted(
        x, w, mock=hagen.MockParameter(0.0, 0.05), out_of_range="saturate"
    )
    assert y.tolist() == [[127.0, -114.0], [6.0, -7.0]]
    assert [int(n) for n in counts] == [2, 2, 1, 0]
    # Two tiles at 127 each, limited once more as a sum.
    x, w = jnp.full((1, 256), 31.0), jnp.full((256, 1), 63.0)
    y, counts = hagen.mac_counted(x, w, mock=QUIET)
    assert y.item() == 127 and [int(n) for n in counts] == [0, 0, 2, 1]


def test_noise_is_drawn_for_each_tile_and_rounded_down():
    n = 20000
    mock = hagen.MockParameter(noise_std=3.0, gain=0.01)
    x = np.zeros((n, 300), np.float32)
    x[:, :20] = 31
    w = np.zeros((300, 1), np.float32)
    w[:20] = 5  # exactly 31.0
    y = np.asarray(hagen.mac(x, w, mock=mock, key=jax.random.key(0)))
    variance = 3 * (9 + 1 / 12)
    assert abs(y.mean() - (31 - 3 / 2)) < 5 * np.sqrt(variance / n)
    assert abs(y.var() / variance - 1) < 5 * np.sqrt(2 / n)
    np.testing.assert_array_equal(y, hagen.mac(x, w, mock=mock, key=jax.random.key(0)))
    assert not np.array_equal(y, hagen.mac(x, w, mock=mock, key=jax.random.key(1)))
    with pytest.raises(ValueError, match=r"draws noise .*key=jax.random.key\(0\)"):
        hagen.mac(x, w, mock=mock)


def test_chips_by_vmap():
    x, w = draw(5, 4, 100, 3)
    gains = jnp.array([0.001, 0.002, 0.004])
    mocks = jax.vmap(lambda gain: hagen.MockParameter(noise_std=0.0, gain=gain))(gains)
    y = jax.vmap(lambda mock: hagen.mac(x, w, mock=mock))(mocks)
    for each, gain in zip(y, gains, strict=True):
        np.testing.assert_array_equal(each, oracle.product(x, w, gain))
    columns = hagen.mac(x, w, mock=hagen.MockParameter(0.0, gains))
    np.testing.assert_array_equal(columns[:, 1], y[1, :, 1])


def test_activations_of_every_output():
    x = np.arange(-200, 201)
    fractions = (x + 0.75).astype(np.float32)
    np.testing.assert_array_equal(hagen.relu(fractions), np.clip(x, 0, 127))
    for shift in (0, 1, 2, 5):
        expected = np.minimum(np.clip(x, 0, 127) >> shift, 31)
        np.testing.assert_array_equal(hagen.converting_relu(fractions, shift=shift), expected)
    gradient = jax.grad(lambda x: hagen.converting_relu(x, shift=2).sum())(fractions)
    np.testing.assert_array_equal(gradient, np.where(fractions > 0, 0.25, 0))
    with pytest.raises(ValueError, match="shift is -1"):
        hagen.converting_relu(fractions, shift=-1)


def test_sums_of_all_outputs():
    x = np.arange(-130, 131, 7)
    expected = np.clip(np.clip(x, -128, 127)[:, None] + np.clip(x, -128, 127), -128, 127)
    got = hagen.add((x + 0.5).astype(np.float32)[:, None], x.astype(np.float32))
    np.testing.assert_array_equal(got, expected)


def test_shapes():
    x, w = jnp.ones((2, 3, 6)), jnp.ones((6, 5))
    for left, right in ((x, w), (x, w[:, 0]), (x[0, 0], w), (x[0, 0], w[:, 0])):
        got = hagen.matmul(left, right, mock=QUIET)
        assert got.shape == jnp.matmul(left, right).shape
    for left, right in ((x, w), (x[0, 0], w[:, 0])):
        with pytest.raises(ValueError, match="mac takes x"):
            hagen.mac(left, right, mock=QUIET)
    with pytest.raises(ValueError, match=r"6 inputs .* for 5 rows"):
        hagen.matmul(x, w.T, mock=QUIET)
    with pytest.raises(ValueError, match="matmul takes"):
        hagen.matmul(x, w[None], mock=QUIET)


@pytest.mark.parametrize("gain", [0.0, -1.0, 1.5, np.nan])
def test_mock_parameters_out_of_range(gain):
    with pytest.raises(ValueError, match="it must be > 0 and <= 1"):
        hagen.MockParameter(gain=gain)
    with pytest.raises(ValueError, match="it must be >= 0"):
        hagen.MockParameter(noise_std=-1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"num_sends": 0}, "num_sends is 0"), ({"out_of_range": "wrap"}, "out_of_range is 'wrap'")],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        hagen.mac(jnp.ones(2), jnp.ones((2, 2)), mock=QUIET, **options)
