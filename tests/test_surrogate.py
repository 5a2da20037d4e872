"""Spikes and surrogates against recordings of four libraries and closed forms."""

import dataclasses
import doctest
import inspect
import json
import math
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import neurojax.surrogate as sg
from neurojax.surrogate import _registry, _spike

PAGE = Path(__file__).parents[1] / "docs" / "surrogates.md"
CLASSES = [getattr(sg, name) for name in sg.names() if "." not in name]
ALL = [make() for make in CLASSES]
IDS = [type(s).__name__ for s in ALL]
EXTREMES = np.float32([-1e6, -1e3, -1.0, -0.5, -1e-6, -0.0, 0.0, 1e-6, 0.5, 1.0, 1e3, 1e6])


# Recordings


def recorded(golden, kind):
    folder = golden / "torch_neurons"
    index = json.loads((folder / "index.json").read_text())
    for library, cases in index["cases"].items():
        arrays = np.load(folder / f"{library}.npz")
        for name, case in cases.items():
            if name.startswith(kind):
                yield library, name, case, {k: arrays[f"{name}/{k}"] for k in case["arrays"]}


def recorded_surrogate(library, case):
    params = dict(case["params"])
    if library == "sinabs":  # the call is written out, the only parameter is the threshold
        return sg.by_name(f"sinabs.{case['call']}")
    name = params.pop("method", case["call"])
    return sg.by_name(f"{library}.{name}", **params)


def test_recorded_surrogates(golden):
    seen = {}
    for library, name, case, arrays in recorded(golden, "surrogate_"):
        surrogate = recorded_surrogate(library, case)
        threshold = case["params"].get("threshold", 1.0) if library == "sinabs" else 1.0
        u = arrays["x"] if "x" in arrays else arrays["v"] - np.float32(threshold)
        slope = jax.grad(lambda u, s=surrogate, t=threshold: sg.spike(u, s, threshold=t))
        g = jax.jit(jax.vmap(slope))(u)
        np.testing.assert_allclose(
            g, arrays["g"], rtol=1e-6, atol=2e-6, err_msg=f"{library}: {name}"
        )
        if "y" in arrays:
            strict = library in ("snntorch", "norse")
            np.testing.assert_array_equal(sg.spike(u, surrogate, strict=strict), arrays["y"])
        seen[library] = seen.get(library, 0) + 1
    assert seen.keys() == {"spikingjelly", "snntorch", "norse", "sinabs"}


def test_recorded_spike_functions_of_sinabs(golden):
    seen = set()
    for _, name, case, arrays in recorded(golden, "spikefn_"):
        call, _, limit = case["call"].rstrip(")").partition("(")
        threshold, v = case["params"]["threshold"], arrays["v"]
        if call == "SingleSpike":
            s = sg.spike(v - np.float32(threshold), sg.Exponential())
        else:
            s = sg.multi_spike(
                v, threshold, sg.Exponential(), max_spikes=int(limit) if limit else None
            )
        np.testing.assert_array_equal(s, arrays["s"], err_msg=name)
        seen.add(call)
    assert seen == {"SingleSpike", "MultiSpike", "MaxSpike"}


def test_every_recorded_name_is_a_preset_with_the_recorded_defaults(golden):
    for library, _, case, _ in recorded(golden, "surrogate_"):
        if library == "spikingjelly":  # recorded with the library's defaults, written out
            assert recorded_surrogate(library, case) == sg.by_name(f"{library}.{case['call']}")


# Closed forms

# The smooth step of which g is the derivative, in float64; C is an odd-looking parameter.
C = 1.7
ANTIDERIVATIVES = [
    (sg.SuperSpike(C), lambda u: u / (1 + C * abs(u))),
    (sg.FastSigmoid(C), lambda u: u / (1 + C * abs(u))),
    (sg.SoftSign(C), lambda u: 0.5 * C * u / (1 + C * abs(u))),
    (sg.Sigmoid(C), lambda u: scipy.special.expit(C * u)),
    (sg.ATan(C), lambda u: np.arctan(math.pi / 2 * C * u) / math.pi),
    (sg.Tanh(C), lambda u: np.tanh(C * u) / C),
    (sg.Circ(C), lambda u: C * u / np.sqrt(C**2 + u**2)),
    (sg.Erf(C), lambda u: scipy.special.erf(C * u) / 2),
    (sg.Gaussian(0.2, C, 3.0), lambda u: 3 * scipy.special.ndtr((u - 0.2) / C)),
    (
        sg.MultiGaussian(0.1, C, 0.2, 4.0),
        lambda u: (
            1.2 * scipy.special.ndtr((u - 0.1) / C)
            - 0.2 * scipy.special.ndtr((u - C) / (4 * C))
            - 0.2 * scipy.special.ndtr((u + C) / (4 * C))
        ),
    ),
    (sg.Exponential(C, 2.0), lambda u: 2 * np.sign(u) * (1 - np.exp(-abs(u) / C))),
    (sg.PiecewiseExponential(C), lambda u: 0.5 * np.sign(u) * (1 - np.exp(-C * abs(u)))),
    (sg.NonzeroSignLogAbs(C), lambda u: np.sign(u) * np.log1p(C * abs(u))),
    (
        sg.QPseudoSpike(C),
        lambda u: 0.5 * np.sign(u) * (1 - (1 + 2 * abs(u) / (C - 1)) ** (1 - C)),
    ),
    (sg.Triangle(C, 0.3), lambda u: 0.3 * np.clip(u, -C, C) * (1 - abs(np.clip(u, -C, C)) / C / 2)),
    (
        sg.PiecewiseQuadratic(C),
        lambda u: np.where(abs(u) < 1 / C, C * u - C**2 / 2 * u * abs(u), 0.5 * np.sign(u)),
    ),
    (sg.Boxcar(C, 0.3), lambda u: 0.3 * np.clip(u, -C / 2, C / 2)),
    (sg.Rect(C), lambda u: C * np.clip(u, -0.5 / C, 0.5 / C)),
    (
        sg.PiecewiseLeakyReLU(C, 0.1),
        lambda u: 0.1 * u + (0.5 / C - 0.1) * np.clip(u, -C, C),
    ),
    (sg.LeakyKReLU(0.2, C), lambda u: np.where(u < 0, 0.2 * u, C * u)),
    (
        sg.LogTailedReLU(0.2),
        lambda u: np.where(u < 0, 0.2 * u, np.where(u < 1, u, 1 + np.log(np.maximum(u, 1)))),
    ),
    (
        sg.S2NN(C, 1.2),
        lambda u: np.where(
            u < 0, scipy.special.expit(C * u), 0.5 + 1.2 * np.log1p(np.maximum(u, 0))
        ),
    ),
    (
        sg.SquareWaveFourier(3, 5.0),
        lambda u: sum(2 / math.pi * np.sin(k * 2 * math.pi * u / 5) / k for k in (1, 3, 5)),
    ),
]


@pytest.mark.parametrize(
    ("surrogate", "step"), ANTIDERIVATIVES, ids=[type(s).__name__ for s, _ in ANTIDERIVATIVES]
)
def test_derivative_of_a_closed_form(surrogate, step):
    # An odd number of points, off the kinks at 0, 1, C and their like.
    u = np.linspace(-3.0123, 3.0456, 301)
    h = 1e-6
    slope = (step(u + h) - step(u - h)) / (2 * h)
    g = jax.jit(surrogate.derivative)(u.astype(np.float32))
    np.testing.assert_allclose(g, slope, rtol=2e-5, atol=2e-6)


def test_widths_relative_to_the_threshold():
    v, threshold, width = np.float32([0.4, 1.2, 3.0]), 1.4, 0.3
    u = v - np.float32(threshold)
    w = width * threshold
    expected = np.exp(-abs(u) / w) / w
    np.testing.assert_allclose(sg.Exponential(width).derivative(u, threshold), expected, rtol=1e-5)
    expected = (v >= threshold - 0.5) / threshold
    np.testing.assert_allclose(sg.Heaviside(0.5).derivative(u, threshold), expected, rtol=1e-6)
    # lava-dl slayer: tau = tau_grad th 100, rho = scale_grad 0.1 / (2 tau) exp(-|v - th| / tau)
    tau = 0.02 * threshold * 100
    rho = 3 * 0.1 / (2 * tau) * np.exp(-abs(u) / tau)
    slayer = sg.by_name("slayer.exponential", tau_grad=0.02, scale_grad=3)
    np.testing.assert_allclose(slayer.derivative(u, threshold), rho, rtol=1e-5)


def test_the_periodic_bumps_repeat_with_the_threshold():
    threshold = 0.8
    v = np.float32(threshold) * np.float32([1, 2, 3, 4])
    g = sg.PeriodicExponential().derivative(v - np.float32(threshold), threshold)
    np.testing.assert_allclose(g, 1.0, rtol=1e-4)
    between = sg.PeriodicExponential().derivative(np.float32(0.5 * 0.8 - 1e-4), threshold)
    np.testing.assert_allclose(between, math.exp(-0.8 / 0.5), rtol=1e-2)


# Numbers


@pytest.mark.parametrize("surrogate", ALL, ids=IDS)
def test_finite_to_the_second_derivative_at_extremes_and_ties(surrogate):
    both = jax.jit(lambda u: (surrogate.derivative(u), jax.vmap(jax.grad(surrogate.derivative))(u)))
    g, second = both(EXTREMES)
    assert g.dtype == jnp.float32 and np.isfinite(g).all()
    assert np.isfinite(second).all()
    np.testing.assert_array_equal(g[5], g[6])  # both zeros are one tie


@pytest.mark.parametrize("surrogate", ALL, ids=IDS)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_16_bit_floats_are_rounded_once(surrogate, dtype):
    u = np.linspace(-3, 3, 61).astype(dtype)

    @jax.jit
    def values(u, wide):
        fired = jax.jvp(lambda u: sg.spike(u, surrogate), (u,), (jnp.ones_like(u),))
        return surrogate.derivative(u), surrogate.derivative(wide), *fired

    g, expected, s, slope = (np.asarray(a) for a in values(u, np.asarray(u, np.float32)))
    assert g.dtype == s.dtype == slope.dtype == dtype
    np.testing.assert_array_equal(g, expected.astype(dtype))
    np.testing.assert_array_equal(s, np.asarray(u, np.float32) >= 0)


def test_the_spike_is_exact_at_ties():
    tiny = np.finfo(np.float32).tiny
    u = np.float32([-1, -tiny, -0.0, 0.0, tiny, 1, np.inf, -np.inf, np.nan])
    for wrapper in (lambda f: f, jax.jit):
        loose = wrapper(lambda u: sg.spike(u, sg.ATan()))(u)
        np.testing.assert_array_equal(loose, [0, 0, 1, 1, 1, 1, 1, 0, 0])
        strict = wrapper(lambda u: sg.spike(u, sg.ATan(), strict=True))(u)
        np.testing.assert_array_equal(strict, [0, 0, 0, 0, 1, 1, 1, 0, 0])
    ints = sg.spike(jnp.array([-1, 0, 1]), sg.ATan())
    assert ints.dtype == jnp.int32
    np.testing.assert_array_equal(ints, [0, 1, 1])


# Transformations


@pytest.mark.parametrize("surrogate", ALL, ids=IDS)
def test_forward_mode_is_reverse_mode(surrogate):
    u, weights = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)

    def loss(u):
        return (weights * sg.spike(u, surrogate) ** 2).sum() + sg.spike(u, surrogate).sum()

    @jax.jit
    def derivatives(u):
        return jax.jacfwd(loss)(u), jax.grad(loss)(u), surrogate.derivative(u)

    forward, reverse, g = derivatives(u)
    np.testing.assert_allclose(forward, reverse, rtol=1e-6, atol=1e-7)
    expected = (2 * weights * (u >= 0) + 1) * g
    np.testing.assert_allclose(reverse, expected, rtol=1e-6, atol=1e-7)


def test_second_derivatives_in_every_nesting():
    surrogate = sg.Sigmoid(3.0)
    u = jnp.array([-0.4, 0.1, 0.7])
    direction = jnp.array([1.0, -2.0, 0.5])

    def loss(u):
        return (u**2 * sg.spike(u, surrogate)).sum()

    s = scipy.special.expit(3.0 * np.asarray(u, np.float64))
    g1, g2 = 3 * s * (1 - s), 9 * s * (1 - s) * (1 - 2 * s)
    un = np.asarray(u, np.float64)
    diagonal = 2 * (un >= 0) + 4 * un * g1 + un**2 * g2
    forward_of_reverse = jax.jvp(jax.grad(loss), (u,), (direction,))[1]
    reverse_of_reverse = jax.grad(lambda u: jax.grad(loss)(u) @ direction)(u)
    reverse_of_forward = jax.grad(lambda u: jax.jvp(loss, (u,), (direction,))[1])(u)
    for product in (forward_of_reverse, reverse_of_reverse, reverse_of_forward):
        np.testing.assert_allclose(product, diagonal * direction, rtol=1e-5, atol=1e-6)


def test_in_scan_vmap_and_jit_as_by_hand():
    surrogate, decay, n = sg.SuperSpike(5.0), 0.9, 12
    xs = np.random.default_rng(3).uniform(0, 0.6, (n, 4)).astype(np.float32)

    def run(xs):
        def step(v, x):
            v = decay * v + x
            s = sg.spike(v - 1, surrogate)
            return v - s, s

        return jax.lax.scan(step, 0.0, xs)[1].sum()

    grads = jax.jit(jax.vmap(jax.grad(run), in_axes=1, out_axes=1))(xs)
    # Back-propagation through time, written out in float64.
    x, v = xs.astype(np.float64), np.zeros(4)
    g = []
    for t in range(n):
        v = decay * v + x[t]
        g.append(1 / (5 * abs(v - 1) + 1) ** 2)
        v = v - (v >= 1)
    expected, carried = np.zeros_like(x), np.zeros(4)
    for t in reversed(range(n)):
        expected[t] = carried * (1 - g[t]) + g[t]
        carried = decay * expected[t]
    np.testing.assert_allclose(grads, expected, rtol=1e-4)


# Several spikes


@pytest.mark.parametrize("threshold", [0.1, 0.7, 1.0, 1.3, 3.0])
def test_multi_spike_counts_exactly_in_every_transformation(threshold):
    """XLA replaces a division by a constant; a multiple of the threshold must not lose a spike."""
    thr = np.float32(threshold)
    rng = np.random.default_rng(0)
    multiples = rng.integers(1, 60, 500).astype(np.float32) * thr
    v = np.concatenate([rng.uniform(-5, 50, 500).astype(np.float32), multiples])
    expected = np.where(v > 0, np.trunc(v / thr), 0)

    def count(v):
        return sg.multi_spike(v, threshold, sg.Exponential())

    def scanned(v):
        return jax.lax.scan(lambda c, x: (c, count(x)), 0, v)[1]

    grid = v.reshape(20, 50)
    for function in (count, jax.jit(count), jax.vmap(count), jax.jit(jax.vmap(count))):
        np.testing.assert_array_equal(function(v), expected)
    for function in (scanned, jax.jit(jax.vmap(scanned)), jax.vmap(jax.vmap(count))):
        np.testing.assert_array_equal(np.ravel(function(grid)), expected)
    thresholds = jnp.full(v.shape, thr)
    np.testing.assert_array_equal(sg.multi_spike(v, thresholds, sg.ATan()), expected)


def test_gradient_of_multi_spike():
    v = jnp.array([-1.0, 0.6, 1.5, 3.2, 9.0])
    threshold, surrogate = 0.8, sg.Exponential(0.5)
    for limit, level in ((None, [1, 1, 1.875, 4, 11.25]), (3, [1, 1, 1.875, 3, 3])):

        def total(v, t, limit=limit):
            return sg.multi_spike(v, t, surrogate, max_spikes=limit)

        w = 0.5 * threshold
        g = np.exp(-np.abs(np.asarray(v) - threshold) / w) / w
        to_v, to_threshold = jax.vmap(jax.grad(total, (0, 1)), (0, None))(v, threshold)
        np.testing.assert_allclose(to_v, g, rtol=1e-5)
        np.testing.assert_allclose(to_threshold, -g * level, rtol=1e-5)
        np.testing.assert_allclose(jax.vmap(jax.grad(total), (0, None))(v, threshold), g, rtol=1e-5)
        forward = jax.jacfwd(lambda t, f=total: f(v, t))(threshold)
        np.testing.assert_allclose(forward, -g * level, rtol=1e-5)


def test_a_limit_of_one_has_the_threshold_gradient_of_a_single_spike():
    v = jnp.linspace(-1, 4, 21)

    def single(t):
        return sg.spike(v - t, sg.ATan())

    def multi(t):
        return sg.multi_spike(v, t, sg.ATan(), max_spikes=1)

    np.testing.assert_allclose(jax.jacfwd(multi)(0.9), jax.jacfwd(single)(0.9), rtol=1e-6)


# Objects, names, errors


@pytest.mark.parametrize("surrogate", ALL, ids=IDS)
def test_surrogates_are_values(surrogate):
    again = type(surrogate)()
    assert surrogate == again and hash(surrogate) == hash(again) and repr(surrogate) == repr(again)
    assert sg.by_name(repr(surrogate)) == surrogate
    assert sum(surrogate == other for other in ALL) == 1
    assert surrogate.__doc__ and "g" in surrogate.__doc__ and "References" in surrogate.__doc__


def test_equal_surrogates_are_compiled_once():
    compiled = jax.jit(lambda u, s: sg.spike(u, s), static_argnums=1)
    for surrogate in (sg.ATan(2), sg.ATan(2.0), sg.by_name("atan"), sg.ATan(np.float32(2))):
        compiled(1.0, surrogate)
    assert compiled._cache_size() == 1


@pytest.mark.parametrize("name", sg.names())
def test_every_name_makes_a_surrogate_with_its_defaults(name):
    surrogate = sg.by_name(name)
    assert isinstance(surrogate, sg.Surrogate)
    parameters = inspect.signature(_registry._MAKERS[name]).parameters
    assert sg.by_name(name.upper().replace("_", "-")) == surrogate
    assert sg.by_name(name, **{p.name: p.default for p in parameters.values()}) == surrogate


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: sg.by_name("fastsigmoit"), ValueError, "nearest first: FastSigmoid"),
        (lambda: sg.by_name("Lava"), ValueError, "no surrogate 'Lava'.*SuperSpike.*norse.circ"),
        (lambda: sg.by_name("atan", beta=2), TypeError, "ATan takes .*alpha.*beta"),
        (lambda: sg.by_name("atan(2)", alpha=2), TypeError, "give no others"),
        (lambda: sg.by_name("atan(two)"), ValueError, "cannot read 'atan\\(two\\)'"),
        (lambda: sg.by_name("atan(2"), ValueError, "cannot read"),
        (lambda: sg.ATan(0), ValueError, "ATan: alpha is 0; it must be greater than 0"),
        (lambda: sg.Gaussian(mean=float("nan")), ValueError, "Gaussian: mean is nan"),
        (lambda: sg.Boxcar(width="wide"), TypeError, "Boxcar: width is 'wide'"),
        (lambda: jax.jit(lambda a: sg.ATan(a).derivative(1.0))(2.0), TypeError, "fixed Python"),
        (lambda: sg.QPseudoSpike(1.0), ValueError, "greater than 1"),
        (lambda: sg.SquareWaveFourier(1.5), ValueError, "terms is 1.5"),
        (lambda: sg.ATan().derivative(jnp.array([1])), TypeError, "u has type int32"),
        (lambda: sg.spike(1.0, sg.ATan), TypeError, "such as surrogate.ATan"),
        (lambda: sg.spike(1.0, "atan"), TypeError, "by_name"),
        (lambda: sg.multi_spike(jnp.array([1]), 1.0, sg.ATan()), TypeError, "v has type int32"),
        (lambda: sg.multi_spike(1.0, 0.0, sg.ATan()), ValueError, "threshold is 0"),
        (lambda: sg.multi_spike(1.0, 1.0, sg.ATan(), max_spikes=0), ValueError, "max_spikes is 0"),
    ],
)
def test_errors_name_the_argument_and_the_remedy(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_examples_in_the_docstrings_and_on_the_page():
    for module in (_spike, _registry):
        assert doctest.testmod(module).failed == 0
    result = doctest.testfile(str(PAGE), module_relative=False)
    assert result.attempted > 0 and result.failed == 0


@pytest.mark.parametrize("surrogate", ALL, ids=IDS)
def test_the_page_has_every_surrogate_with_its_defaults(surrogate):
    rows = [
        r for r in PAGE.read_text().splitlines() if r.startswith(f"| `{type(surrogate).__name__}`")
    ]
    assert len(rows) == 1
    defaults = rows[0].replace("\\|", "").split("|")[3]
    for field in dataclasses.fields(surrogate):
        # "lobe_height h 0.15": a symbol may stand between the name and the number
        assert re.search(rf"\b{field.name} (\w )?{field.default:g}\b", defaults), field.name
