"""Resonators against 64-bit integers and gradients of torch; conformance has the recordings."""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings, strategies as st

import neurojax as nj
from neurojax.chips.loihi import ShiftNorm
from neurojax.chips.loihi._phase import PhaseExponential
from neurojax.chips.loihi.adaptive_resonator import AdRF, AdRFIzhikevich
from neurojax.chips.loihi.resonator import RF, RFIzhikevich
from neurojax.converters.slayer import _zoo as slayer
from neurojax.surrogate import Sigmoid
from tests._interpreter import Interpreter
from tests.chips.loihi.zoo_oracle import Integers, real_spikes

STEPS, NEURONS = 12, 8
LARGEST = 1 << 24
KINDS = [RF, RFIzhikevich, AdRF, AdRFIzhikevich]


@eqx.filter_jit
def run(neuron, x, state=None):
    """x is [time, batch, 2, ...]."""
    net = nj.Sequential(x.shape[2:], n=neuron)
    parts = neuron.init(x.shape[2:])._fields
    return nj.simulate(net, x, state=state, probes=[f"n.{part}" for part in parts])


def starting(neuron, shape, values):
    """A run's state, for a batch of one, in which the neuron has these values."""
    state = nj.Sequential(shape, n=neuron).init(1)
    held = type(state.layers["n"])(**{name: jnp.float32(v) for name, v in values.items()})
    return eqx.tree_at(lambda s: s.layers["n"], state, held)


def adaptation(kind, **options):
    return options if kind in (AdRF, AdRFIzhikevich) else {}


def loss(g):
    return lambda neuron, x: jnp.sum(run(neuron, x).outputs * g)


# 64-bit integers

magnitudes = st.sampled_from([3, 100, 5000, 1 << 17, 1 << 22, LARGEST])


@st.composite
def rotations(draw):
    """Sine and cosine as the chip can hold them."""
    sin = draw(st.one_of(st.sampled_from([0, 1, 2896, 4096]), st.integers(0, 4096)))
    largest = math.isqrt(4096**2 - sin**2)
    return sin, draw(st.one_of(st.sampled_from([0, largest]), st.integers(0, largest)))


@pytest.mark.parametrize("bits", [None, 24])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@example((79, 4095), (0, 0), LARGEST, 0, 0, 175)  # a difference of two products has 25 bits
@given(
    rotations(),
    st.tuples(st.integers(0, 4096), st.integers(0, 4096)),
    magnitudes,
    st.integers(0, 1 << 17),
    st.integers(0, 1 << 12),
    st.integers(0, 2**32 - 1),
)
def test_every_bit(kind, bits, rotation, decays, size, threshold, step, seed):
    rng = np.random.default_rng(seed)
    size = size if bits is None else min(size, (1 << 23) - 1)
    threshold = threshold % (1 + size // 64) if threshold % 3 else threshold
    state = {name: rng.integers(-size, size + 1, (1, NEURONS)) for name in ("re", "im")}
    state |= adaptation(
        kind, **{name: rng.integers(0, size + 1, (1, NEURONS)) for name in ("b", "r")}
    )
    x = rng.integers(-size, size + 1, (STEPS, 1, 2, NEURONS)) // (STEPS if bits is None else 1)
    neuron = kind(
        sin_decay=jnp.float32(rotation[0] / 4096),
        cos_decay=jnp.float32(rotation[1] / 4096),
        threshold=jnp.float32(threshold / 64),
        bits=bits,
        **adaptation(
            kind,
            threshold_step=jnp.float32(step / 64),
            threshold_decay=jnp.float32(decays[0] / 4096),
            refractory_decay=jnp.float32(decays[1] / 4096),
        ),
    )
    first = starting(neuron, (2, NEURONS), {name: n / 4096 for name, n in state.items()})
    result = run(neuron, jnp.float32(x / 4096), first)
    parts = {"S": rotation[0], "C": rotation[1], "th0": 64 * threshold, "step": 64 * step}
    parts |= {"D_th": decays[0], "D_r": decays[1], "limit": bits and (1 << 23) - 1}
    expected = Integers(kind.__name__, parts, state).run(x.swapaxes(1, 2))
    exact = np.logical_and.accumulate(
        np.all([np.abs(expected[name]) <= LARGEST for name in state], axis=0)
    )
    assert bits is None or exact.all() or "b" in state
    for name in state:
        ours = np.asarray(result[f"n.{name}"], np.float64) * 4096
        assert ((ours == expected[name]) | ~exact).all(), name
    assert ((result.outputs == expected["spikes"]) | ~exact).all()


def test_limited_states_have_no_gradient_beyond_the_limit():
    neuron = RF(sin_decay=0.5, cos_decay=0.5, threshold=None, bits=16, scale=1)
    x = jnp.array([[[[0.0], [511.0]]], [[[0.0], [300.0]]]])  # im: 511, then 511 / 2 + 300
    assert run(neuron, x).outputs.ravel().tolist() == [511.0, 32767 / 64]
    slope = jax.jit(jax.grad(loss(jnp.array([0.0, 1.0]).reshape(2, 1, 1)), argnums=1))(neuron, x)
    assert (slope == 0).all()


# Sine and cosine on the grid


def slayers_clamp(sin, cos):
    """As slayer's `clamp` and `quantize`, with torch."""
    sin, cos = torch.tensor([4096 * sin]).float(), torch.tensor([4096 * cos]).float()
    gain = torch.sqrt(sin**2 + cos**2)
    smaller = gain.clamp(0, 4095) / gain
    sin, cos = (sin * smaller).clamp(1), (cos * smaller).clamp(0)
    return int(torch.round(sin)), int(torch.round(cos))


@settings(max_examples=50)
@given(st.floats(4, 1e5), st.floats(0, 0.999))
def test_from_period_rounds_as_slayer(period, decay):
    neuron = RF.from_period(period, decay)
    angle = 2 * math.pi / period
    sin, cos = (f(angle) * (1 - decay) for f in (math.sin, math.cos))
    n = neuron.integers()
    assert (n["sinDecay"], n["cosDecay"]) == slayers_clamp(sin, cos)
    learned = RF.from_period(np.array(period), np.array(decay)).integers()
    assert (learned["sinDecay"], learned["cosDecay"]) == (n["sinDecay"], n["cosDecay"])
    # The rounded ones are kept as they are, however near to the circle.
    again = RF(sin_decay=n["sinDecay"] / 4096, cos_decay=n["cosDecay"] / 4096)
    assert again.integers() == n


def test_period_and_decay_are_those_of_the_integers():
    neuron = RF.from_period(10.0, 0.05)
    assert math.isclose(neuron.period, 2 * math.pi / math.atan2(2287, 3148))
    assert math.isclose(neuron.decay, 1 - math.hypot(2287, 3148) / 4096)
    several = RF.from_period(jnp.array([5.0, 50.0]), 0.1)
    np.testing.assert_allclose(several.period, [5, 50], rtol=0.01)
    np.testing.assert_allclose(several.decay, 0.1, rtol=0.01)
    # A quarter of a turn without decay is on the circle of 4095, as in slayer.
    assert RF.from_period(4, 0.0).integers()["sinDecay"] == 4095


def test_what_leaves_the_circle_can_come_back():
    for sin, cos in ((1.2, 0.5), (-0.3, 0.5), (0.5, -0.2), (0.0, 0.0)):
        neuron = RF(sin_decay=jnp.float32(sin), cos_decay=jnp.float32(cos), threshold=None)
        held = neuron.prepare(None)
        assert 0 <= held.cos_decay <= 1
        assert math.hypot(held.sin_decay, held.cos_decay) < 1
        grad = jax.jit(jax.grad(loss(1.0)))(neuron, jnp.ones((3, 1, 2, 1)))
        assert np.isfinite(grad.sin_decay)
        assert grad.sin_decay != 0


# Gradients of the real-valued equations

FINE = 1024
"""A scale at which integers are near to real numbers."""


def phase_slopes(width, scale):
    """Of the spike at a phase, from the integral and the derivative of delta."""

    def slopes(above, im):
        delta = lambda u: torch.exp(-u.abs() / width) / (2 * width)  # noqa: E731
        below = torch.exp(-above.abs() / width) / 2
        integral = torch.where(above > 0, 1 - below, below)
        derivative = -torch.sign(im) / width * delta(im)
        return scale * delta(above) * delta(im), scale * integral * derivative

    return slopes


def sigmoid_slopes(above):
    q = torch.sigmoid(4 * above)
    return (4 * q * (1 - q),)


@pytest.mark.parametrize(
    ("kind", "reset"),
    [
        (RF, ""),
        (RFIzhikevich, "full"),
        (RFIzhikevich, "detached"),
        (AdRF, ""),
        (AdRFIzhikevich, ""),
    ],
)
def test_gradients_are_those_of_the_equations(kind, reset):
    rng = np.random.default_rng(3)
    x = np.round(rng.normal(0.0, 0.5, (40, 2, 2, NEURONS)) * 4096) / 4096
    g = rng.normal(size=(40, 2, NEURONS))
    parameters = {"sin_decay": 2287 / 4096, "cos_decay": 3148 / 4096, "threshold": 0.75}
    parameters |= adaptation(
        kind, threshold_step=0.125, threshold_decay=300 / 4096, refractory_decay=1500 / 4096
    )
    leaves = {
        name: torch.tensor(value, dtype=torch.double, requires_grad=True)
        for name, value in parameters.items()
    }
    given_x = torch.tensor(x, requires_grad=True)
    at_phase = kind in (RF, AdRF)
    slopes = phase_slopes(0.5 * 0.75, 2.0) if at_phase else sigmoid_slopes
    spikes = real_spikes(kind.__name__, given_x, leaves, slopes, reset=reset)
    (spikes * torch.tensor(g)).sum().backward()

    options = {"reset_gradient": reset} if reset else {}
    surrogate = PhaseExponential(0.5, 2.0) if at_phase else Sigmoid(4.0)
    neuron = kind(
        **{name: jnp.float32(value) for name, value in parameters.items()},
        scale=FINE,
        surrogate=surrogate,
        **options,
    )
    x = jnp.float32(x)
    assert (run(neuron, x).outputs == spikes.detach().numpy()).all()
    assert 10 < spikes.sum() < spikes.numel() / 2
    to_neuron, to_x = jax.jit(jax.grad(loss(g), argnums=(0, 1)))(neuron, x)
    expected = given_x.grad.numpy()
    np.testing.assert_allclose(to_x, expected, atol=2e-3 * np.abs(expected).max())
    for name, value in leaves.items():
        np.testing.assert_allclose(
            getattr(to_neuron, name), value.grad.numpy(), rtol=1e-2, err_msg=name
        )
    if kind is RF:  # forward mode too
        _, along = jax.jit(lambda x: jax.jvp(lambda x: loss(g)(neuron, x), (x,), (x,)))(x)
        np.testing.assert_allclose(along, np.sum(np.asarray(to_x) * np.asarray(x)), rtol=1e-3)


def test_finite_differences_of_the_rotation():
    """Without spikes it is smooth but for the rounding."""
    x = np.float32(np.round(np.random.default_rng(5).normal(size=(20, 1, 2, 3)) * 512) / 512)
    weight = np.random.default_rng(6).normal(size=(20, 1, 3))

    def value(sin, cos):
        neuron = RF(sin_decay=sin, cos_decay=cos, threshold=None, scale=FINE)
        return float(jnp.sum(run(neuron, jnp.asarray(x)).outputs * weight))

    sin, cos, h = 2000 / 4096, 3000 / 4096, 4 / 4096
    neuron = RF(sin_decay=jnp.float32(sin), cos_decay=jnp.float32(cos), threshold=None, scale=FINE)
    slope = jax.jit(jax.grad(loss(weight)))(neuron, jnp.asarray(x))
    by_sin = (value(sin + h, cos) - value(sin - h, cos)) / (2 * h)
    by_cos = (value(sin, cos + h) - value(sin, cos - h)) / (2 * h)
    np.testing.assert_allclose([slope.sin_decay, slope.cos_decay], [by_sin, by_cos], rtol=0.01)


def test_reset_that_the_gradient_does_not_see():
    """slayer's: the same as a neuron that is not reset, at the states of one that is."""
    x = jnp.float32(np.random.default_rng(0).normal(0.3, 0.6, (15, 1, 2, 4)))
    options = {"sin_decay": 0.5, "cos_decay": 0.75, "threshold": 0.5}
    neuron = RFIzhikevich(**options, reset_gradient="bypassed", reset_delay="before")
    shown = run(neuron, x)
    g = np.asarray(Sigmoid(4.0).derivative(shown["n.im"] - 0.5), np.float64)
    expected, to_re, to_im = np.zeros(x.shape), 0.0, 0.0
    for t in reversed(range(len(x))):
        to_re, to_im = 0.75 * to_re + 0.5 * to_im, -0.5 * to_re + 0.75 * to_im + g[t]
        expected[t, :, 0], expected[t, :, 1] = to_re, to_im
    for delay in ("before", False):
        same = dataclasses.replace(neuron, reset_delay=delay, surrogate=Sigmoid(4.0))
        to_x = jax.jit(jax.grad(loss(1.0), argnums=1))(same, x)
        np.testing.assert_allclose(to_x, expected, atol=1e-5 * np.abs(expected).max())
        assert (run(same, x).outputs == shown.outputs).all()


# What every layer can do


ADAPTING = {"threshold_step": 0.2, "threshold_decay": 0.1, "refractory_decay": 0.5}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_can_be_continued(kind):
    neuron = kind.from_period(10.0, 0.05, threshold=0.5, **adaptation(kind, **ADAPTING))
    x = jax.random.normal(jax.random.key(0), (20, 3, 2, 4))
    whole = run(neuron, x)
    assert whole.outputs.shape == (20, 3, 4)
    assert 0 < whole.outputs.sum() < whole.outputs.size
    first = run(neuron, x[:10])
    second = run(neuron, x[10:], first.state)
    assert (jnp.concatenate([first.outputs, second.outputs]) == whole.outputs).all()


def test_batch_norms_schedules_and_many_neurons_at_once():
    norm = ShiftNorm(jnp.array([0.1, 0.2, -0.1, 0.0]))

    def make(period):
        return AdRF.from_period(period, 0.05, threshold=0.5, real_norm=norm, **ADAPTING)

    x = jax.random.normal(jax.random.key(0), (20, 3, 2, 4))
    whole = run(make(10.0), x).outputs
    one = run(make(10.0), x[:, 1:2]).outputs
    assert (one == whole[:, 1:2]).all()
    shifted = jnp.stack([x[:, :, 0] - norm.offset, x[:, :, 1]], axis=2)
    plain = AdRF.from_period(10.0, 0.05, threshold=0.5, **ADAPTING)
    assert (run(plain, shifted).outputs == whole).all()
    net = nj.Sequential((2, 4), n=make(10.0))
    assert (nj.simulate(net, x, schedule="layer").outputs == whole).all()
    two = make(np.array([10.0, 6.0]))
    arrays = eqx.filter(two, eqx.is_array)
    axes = jax.tree.map(lambda leaf: 0 if leaf.shape == (2,) else None, arrays)
    both = eqx.filter_vmap(lambda n: run(n, x).outputs, in_axes=(axes,))(two)
    assert (both[0] == whole).all()
    assert (both[1] == run(make(6.0), x).outputs).all()


def test_parameters_of_channels():
    neuron = RF.from_period(np.array([4.0, 8.0]).reshape(2, 1, 1), 0.0, threshold=0.25)
    x = jnp.zeros((20, 1, 2, 2, 3, 3)).at[0, 0, 0].set(1.0)
    outputs = run(neuron, x).outputs
    assert outputs.shape == (20, 1, 2, 3, 3)
    assert outputs.sum((0, 1, 3, 4)).tolist() == [4 * 9, 2 * 9]


@pytest.mark.parametrize(
    ("options", "learned"),
    [({"bits": 12}, True), ({"graded": True}, False), ({"threshold": None, "scale": 1}, False)],
)
@pytest.mark.parametrize("kind", [*KINDS, "before"])
def test_its_equations_are_what_it_computes(kind, options, learned):
    if kind == "before":
        kind, options = RFIzhikevich, options | {"reset_delay": "before"}
    given = {"sin_decay": 0.5, "cos_decay": 0.75}
    given |= adaptation(kind, threshold_decay=0.1)
    if learned:
        given = {name: jnp.float32(value) for name, value in given.items()}
    steps = adaptation(kind, threshold_step=0.3, refractory_decay=0.75)
    neuron = kind(**({"threshold": 0.3} | given | steps | options))
    x = np.random.default_rng(0).integers(-40, 40, (30, 2, 4)) / 64
    held = neuron.prepare(None)
    fields = {name: np.float64(getattr(held, name)) for name in given}
    machine = Interpreter(fields, {n: np.zeros(4) for n in neuron.init((2, 4))._fields})
    machine.FUNCTIONS = {**Interpreter.FUNCTIONS, "trunc": np.trunc}
    ys = []
    for now in x:
        machine.fields |= {"x_re": now[0], "x_im": now[1]}
        ys.append(machine.step(neuron.equations(), now))
    result = run(neuron, jnp.float32(x[:, None]))
    assert (result.outputs[:, 0] == np.array(ys)).all()
    assert (result["n.re"][-1, 0] == machine.state["re"]).all()
    assert len(np.unique(ys)) > 1


def test_what_they_are_called():
    assert RF.from_period(10.0, 0.05).describe() == "RF period 10, decay 0.05"
    neuron = AdRF.from_period(np.array([5.0, 10.0]), 0.05, threshold=None)
    assert neuron.describe() == "AdRF period and decay learned, no spikes"


# Refusals


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sin_decay": 2287}, "sin_decay is 2287; it must be within 0..1"),
        ({"cos_decay": -0.5}, "cos_decay is -0.5"),
        ({"threshold": -1.0}, "threshold is -1; it must be >= 0, or None"),
        ({"scale": 0}, "scale is 0; it must be a number >= 1"),
        ({"bits": 32}, r"bits is 32; it must be within 2..25 \(24 in the chip\)"),
    ],
)
def test_refusals(kind, arguments, words):
    with pytest.raises(ValueError, match=f"{kind.__name__}: {words}"):
        kind(**({"sin_decay": 0.5, "cos_decay": 0.5} | arguments))


def test_more_refusals():
    with pytest.raises(ValueError, match="RF: period is 3; it must be at least 4 time steps"):
        RF.from_period(3, 0.1)
    with pytest.raises(ValueError, match=r"RF: decay is 1.5; it must be within 0..1"):
        RF.from_period(8, 1.5)
    with pytest.raises(ValueError, match="reset_gradient is 'none'"):
        RFIzhikevich.from_period(8, 0.1, reset_gradient="none")
    for kind in (RF, AdRF):
        with pytest.raises(TypeError, match="use a PhaseExponential"):
            kind.from_period(8, 0.1, surrogate=Sigmoid(4.0))
    with pytest.raises(TypeError, match="RF: imag_norm is 3; use a layer such as ShiftNorm"):
        RF.from_period(8, 0.1, imag_norm=3)
    with pytest.raises(ValueError, match=r"RF takes a complex input \(2, ...\)"):
        nj.Sequential((4,), n=RF.from_period(8, 0.1))
    with pytest.raises(ValueError, match=r"sin_decay has shape \(3,\), but there are \(4,\)"):
        nj.Sequential((2, 4), n=RF.from_period(np.full(3, 8.0), 0.1))
    with pytest.raises(ValueError, match="give period and decay, or else sin_decay"):
        slayer.rf_neuron(threshold=0.6, period=10.0, sin_decay=0.5)
