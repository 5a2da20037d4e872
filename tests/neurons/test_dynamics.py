"""Every option of every neuron, to the bit, against the equations written out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax import neurons
from tests.neurons import _oracle as oracle

STEPS, NEURONS = 8, 3
KINDS = ("IAF", "LIF", "CubaIAF", "CubaLIF", "AdaptiveLIF")

# Dyadic numbers with few bits: every value of a run is exact in float32, so == means something, and
# the membrane potential often hits the threshold.
halves = st.integers(-8, 12).map(lambda n: n / 4)
factors = st.sampled_from([0.0, 0.5, 0.25, 1.0])


def _maybe_array(values):
    each = st.lists(values, min_size=NEURONS, max_size=NEURONS)
    return st.one_of(values, each.map(lambda v: np.array(v)))


@st.composite
def cases(draw):
    kind = draw(st.sampled_from(KINDS))
    max_spikes = draw(st.sampled_from([1, 1, 2, None]))
    reset = draw(st.sampled_from(["subtract", "zero", "value", "none"]))
    refractory = draw(st.sampled_from([None, None, 0, 1, 2.5]))
    o = {
        "threshold": draw(_maybe_array(st.sampled_from([0.5, 0.75, 1.0, 2.0]))),
        "gain": draw(_maybe_array(st.sampled_from([0.5, 1.0]))),
        "reset": reset,
        "reset_value": 0.0,
        "reset_delay": draw(st.sampled_from([False, False, True, "before"])),
        "strict": max_spikes == 1 and draw(st.booleans()),
        "max_spikes": max_spikes,
        "refractory": refractory,
        "v_min": draw(_maybe_array(st.sampled_from([-1.0, 0.25]))) if draw(st.booleans()) else None,
    }
    if reset == "value" or refractory is not None:
        o["reset_value"] = draw(_maybe_array(st.sampled_from([-0.5, 0.25])))
    if kind in ("LIF", "CubaLIF", "AdaptiveLIF"):
        o["decay"] = draw(_maybe_array(factors))
        o["v_rest"] = draw(_maybe_array(st.sampled_from([0.0, -0.25, 0.5])))
    if kind.startswith("Cuba"):
        o["decay_syn"] = draw(_maybe_array(factors))
        o["order"] = draw(st.sampled_from(["new", "old", "jump_then_decay", "decay_input"]))
    if kind == "AdaptiveLIF":
        o["decay_adapt"] = draw(st.sampled_from([0.5, 0.75]))
        o["adaptation"] = draw(st.sampled_from([0.5, 2.0]))
    x = draw(st.lists(halves, min_size=STEPS * NEURONS, max_size=STEPS * NEURONS))
    return kind, o, np.array(x).reshape(STEPS, NEURONS)


def _neuron(kind, options):
    to_jax = lambda v: jnp.asarray(v, jnp.float32) if isinstance(v, np.ndarray) else v  # noqa: E731
    return getattr(neurons, kind)(**{k: to_jax(v) for k, v in options.items()})


@given(cases())
@settings(max_examples=40)
def test_equals_the_equations(case):
    kind, options, x = case
    net = nj.Sequential((NEURONS,), n=_neuron(kind, options))
    names = {"v": "n.v"} | ({"i": "n.i"} if kind.startswith("Cuba") else {})
    names |= {"b": "n.b"} if kind == "AdaptiveLIF" else {}
    run = nj.simulate(net, jnp.asarray(x[:, None], jnp.float32), probes=names.values())
    expected = oracle.simulate(kind, x, options)
    np.testing.assert_array_equal(run.outputs[:, 0], expected["s"])
    for name, probe in names.items():
        np.testing.assert_array_equal(run[probe][:, 0], expected[name], err_msg=name)


@given(cases(), st.sampled_from([False, True, "before", "compensated"]), st.booleans())
@settings(max_examples=15)
def test_no_option_gives_nan(case, reset_delay, flag):
    kind, options, x = case
    options |= {"reset_delay": reset_delay, "detach_reset": flag, "winner_take_all": not flag}
    net = nj.Sequential((NEURONS,), n=_neuron(kind, options))
    inputs = 100 * jnp.asarray(x[:, None], jnp.float32)

    def loss(net, inputs):
        run = nj.simulate(net, inputs, probes=["n.v"])
        return run.outputs.sum() + run["n.v"].sum()

    value, gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(net, inputs)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves((value, gradients)))


@pytest.mark.parametrize("strict, spikes", [(False, [0, 1, 1]), (True, [0, 0, 1])])
def test_tie_at_the_threshold(strict, spikes):
    x = jnp.array([[[np.nextafter(np.float32(0.7), np.float32(0)), 0.7, 0.7000001]]])
    run = nj.simulate(nj.Sequential((3,), neurons.IAF(threshold=0.7, strict=strict)), x)
    np.testing.assert_array_equal(run.outputs[0, 0], spikes)


def test_compensated_reset_needs_another_threshold():
    """snnTorch's reset_delay=False: 2.5 - 1 is still above 1, so the next spike needs 2."""
    x = jnp.array([2.5, 0.25, 0.5, 0.0]).reshape(4, 1, 1)
    for delay, spikes, v in (
        (False, [1, 1, 1, 0], [1.5, 0.75, 0.25, 0.25]),
        ("compensated", [1, 0, 1, 0], [1.5, 1.75, 1.25, 1.25]),
    ):
        net = nj.Sequential((1,), n=neurons.IAF(strict=True, reset_delay=delay))
        run = nj.simulate(net, x, probes=["n.v"])
        np.testing.assert_array_equal(run.outputs.ravel(), spikes)
        np.testing.assert_array_equal(run["n.v"].ravel(), v)


def test_winner_takes_all():
    x = jnp.array([[[1.5, 2.0, 2.0, 0.5]], [[1.0, 0.0, 0.0, 0.0]]])
    net = nj.Sequential((4,), n=neurons.IAF(winner_take_all=True))
    run = nj.simulate(net, x, probes=["n.v"])
    np.testing.assert_array_equal(run.outputs[:, 0], [[0, 1, 0, 0], [1, 0, 0, 0]])
    np.testing.assert_array_equal(run["n.v"][0, 0], [1.5, 1.0, 2.0, 0.5])


def test_amplitude_scales_the_output_and_not_the_reset():
    net = nj.Sequential((1,), n=neurons.IAF(amplitude=2.5))
    run = nj.simulate(net, jnp.full((2, 1, 1), 1.25), probes=["n.v"])
    np.testing.assert_array_equal(run.outputs.ravel(), [2.5, 2.5])
    np.testing.assert_array_equal(run["n.v"].ravel(), [0.25, 0.5])


@pytest.mark.parametrize("period", [0.0, 1.0, 3.0, 3.5, 5.0])
@pytest.mark.parametrize("dt", [1.0, 1e-6])
def test_refractory_period_is_that_of_hxtorch(period, dt):
    """Its counter holds a fraction of steps; ours whole steps."""
    x = np.random.default_rng(0).normal(0.8, 1.0, (40, 4)).astype(np.float32)
    neuron = neurons.IAF(
        refractory=period * dt, dt=dt, reset="value", reset_value=-0.25, strict=True
    )
    net = nj.Sequential((4,), n=neuron)
    run = nj.simulate(net, jnp.asarray(x[:, None]), probes=["n.v"])
    v, left = np.full(4, -0.25, np.float32), np.zeros(4)
    for t in range(len(x)):
        v = v + x[t]
        z = v > 1
        v = np.where(z, np.float32(-0.25), v)
        masked = left > 0
        v = np.where(masked, np.float32(-0.25), v)
        z = z & ~masked
        left = np.where(z, period, np.maximum(left - masked, 0))
        np.testing.assert_array_equal(run.outputs[t, 0], z)
        np.testing.assert_array_equal(run["n.v"][t, 0], v)


def test_time_constants_become_decays():
    one = jnp.ones((1, 1, 1))
    for options, decay in (
        ({"tau": 20.0}, np.exp(-1 / 20)),
        ({"tau": 20e-3, "dt": 1e-3}, np.exp(-1 / 20)),
        ({"tau": 20.0, "method": "euler"}, 0.95),
        ({"decay": 0.3}, 0.3),
    ):
        net = nj.Sequential((1,), n=neurons.LI(v_init=1.0, **options))
        run = nj.simulate(net, 0 * one)
        np.testing.assert_allclose(run.outputs.ravel(), decay, rtol=1e-6)
        net = nj.Sequential((1,), n=neurons.LI(normalize_input=True, gain=3.0, **options))
        run = nj.simulate(net, one)
        np.testing.assert_allclose(run.outputs.ravel(), 3 * (1 - decay), rtol=1e-6)


def test_state_starts_where_it_should():
    start = lambda neuron: neuron.init((2,)).v.tolist()  # noqa: E731
    assert start(neurons.LIF(tau=9.0, v_rest=0.5)) == [0.5, 0.5]
    assert start(neurons.LIF(tau=9.0, v_rest=0.5, v_init=-0.25)) == [-0.25, -0.25]
    assert start(neurons.IAF(reset="value", reset_value=0.25)) == [0.25, 0.25]
    assert start(neurons.IAF()) == [0.0, 0.0]
    assert start(neurons.CubaLI(tau=9.0, tau_syn=9.0, v_init=jnp.array([0.5, 1]))) == [0.5, 1.0]


def test_parameters_of_channels_and_of_chips():
    x = jnp.ones((4, 2, 3, 5, 5))
    threshold = jnp.array([1.0, 2.0, 4.0]).reshape(3, 1, 1)
    outputs = nj.simulate(nj.Sequential((3, 5, 5), neurons.IAF(threshold=threshold)), x).outputs
    np.testing.assert_array_equal(outputs.sum((0, 3, 4))[0], [100, 50, 25])

    net = nj.Sequential((1,), n=neurons.IAF(threshold=jnp.array(1.0)))
    chips = jax.tree.map(lambda leaf: leaf * jnp.array([1.0, 2.0, 4.0]), net)
    run = jax.vmap(lambda net: nj.simulate(net, jnp.ones((4, 1, 1))).outputs.sum())(chips)
    np.testing.assert_array_equal(run, [4, 2, 1])


def test_bfloat16():
    neuron = neurons.CubaLIF(tau=jnp.array(10.0), tau_syn=5.0, refractory=2)
    net = nj.Sequential((2,), n=neuron).astype(jnp.bfloat16)
    run = nj.simulate(net, jnp.ones((5, 1, 2), jnp.bfloat16), probes=["n.v", "n.i"])
    assert run.outputs.dtype == run["n.v"].dtype == run["n.i"].dtype == jnp.bfloat16


@pytest.mark.parametrize(
    "kind, options, message",
    [
        ("LIF", {}, "give either tau .* or decay .* not neither"),
        ("LIF", {"tau": 9.0, "decay": 0.5}, "not both"),
        ("LIF", {"tau": -1.0}, "LIF: tau is -1; it must be > 0"),
        ("LIF", {"decay": 1.5}, "decay is 1.5; it must be >= -1 and <= 1"),
        ("LIF", {"tau": 0.5, "method": "euler"}, "use a smaller dt, or method='exact'"),
        ("LIF", {"tau": 9.0, "method": "rk4"}, "'exact', 'euler'"),
        ("LIF", {"tau": 9.0, "reset": "soft"}, "reset is 'soft'; it must be one of 'subtract'"),
        ("LIF", {"tau": 9.0, "reset_value": 0.3}, "use reset='value'"),
        ("LIF", {"tau": 9.0, "reset_delay": 1}, "reset_delay is 1"),
        ("IAF", {"max_spikes": 0}, "max_spikes is 0"),
        ("IAF", {"max_spikes": None, "strict": True}, "strict=True needs max_spikes=1"),
        ("IAF", {"max_spikes": None, "threshold": 0.0}, "threshold is 0; it must be > 0"),
        ("IAF", {"refractory": -1}, "refractory is -1"),
        ("CubaLIF", {"tau": 9.0}, "tau_syn .* or decay_syn"),
        ("CubaIAF", {"tau_syn": 9.0, "order": "first"}, "'jump_then_decay'"),
        ("AdaptiveLIF", {"tau": 9.0}, "tau_adapt .* or decay_adapt"),
        ("Alpha", {"decay": 0.5, "decay_fast": 0.75}, "must decay faster"),
        ("Alpha", {"decay": 0.5, "decay_fast": 0.25, "v_min": 0.0}, "v_min and v_init"),
    ],
)
def test_bad_values_are_refused(kind, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(neurons, kind)(**options)


def test_bad_types_are_refused():
    with pytest.raises(TypeError, match="threshold is 'high'; give a number"):
        neurons.IAF(threshold="high")
    with pytest.raises(TypeError, match=r"surrogate is 'atan'; use an object"):
        neurons.IAF(surrogate="atan")
    with pytest.raises(ValueError, match=r"layer 'n': LIF: tau has shape \(4,\), but there are"):
        nj.Sequential((3,), n=neurons.LIF(tau=jnp.ones(4)))
