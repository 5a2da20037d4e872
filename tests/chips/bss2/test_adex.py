"""AELIF: against an oracle in plain NumPy, and its gradients against torch's."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.chips import bss2
from tests._interpreter import Interpreter
from tests.chips.bss2.adex_oracle import check

STEPS, NEURONS = 30, 6


@eqx.filter_jit
def traced(neuron, x):
    fields = ["v", "i"]
    fields += ["w"] if getattr(neuron, "adapts", False) else []
    fields += ["refractory"] if neuron.pauses else []
    network = nj.Sequential(x.shape[1:], n=neuron)
    run = nj.simulate(network, x[:, None], probes=[f"n.{name}" for name in fields])
    traces = {name: run[f"n.{name}"][:, 0] for name in fields} | {"z": run.outputs[:, 0]}
    return traces, network["n"].init(x.shape[1:]).v


def numbers(low, high):
    return st.lists(st.floats(low, high, width=32), min_size=NEURONS, max_size=NEURONS).map(
        lambda values: np.array(values, np.float32)
    )


# What is switched on: exponential, adaptation by v, by spikes, refractory period, leak.
FORMS = [(1, 1, 1, 1, 1), (0, 1, 0, 0, 1), (0, 0, 1, 1, 0), (1, 0, 0, 0, 1)]


@settings(max_examples=6)
@given(data=st.data())
@pytest.mark.parametrize("form", FORMS)
def test_as_the_oracle(form, data):
    exponential, by_v, by_spikes, pauses, leaky = map(bool, form)
    draw = lambda low, high: data.draw(numbers(low, high))  # noqa: E731
    p = {
        "leak": draw(-0.25, 0.25),
        "reset": draw(-0.5, 0.25),
        "threshold": draw(0.5, 1.5),
        "tau_mem": draw(3, 20) * np.float32(1e-6),
        "tau_syn": draw(2, 20) * np.float32(1e-6),
        "c_mem": draw(2, 20) * np.float32(1e-6),
        "tau_adap": draw(5, 50) * np.float32(1e-6),
        "dt": 1e-6,
        "leaky": leaky,
    }
    seed = data.draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    x = (random.random((STEPS, NEURONS)) < 0.4) * random.normal(0.8, 0.8, (STEPS, NEURONS))
    x = x.astype(np.float32)
    optional = {}
    if exponential:
        p |= {"slope": draw(0.125, 0.375), "v_t": draw(0.5, 1.0)}
        optional |= {"exponential_slope": p["slope"], "exponential_threshold": p["v_t"]}
    if by_v:
        optional["a"] = p["a"] = draw(-0.5, 0.5)
    if by_spikes:
        optional["b"] = p["b"] = draw(0, 0.5)
    if pauses:
        steps = st.sampled_from([0, 0.5, 1, 2, 2.5, 4.25])
        drawn = data.draw(st.lists(steps, min_size=NEURONS, max_size=NEURONS))
        optional["refractory_time"] = p["refractory_time"] = np.float32(drawn) * np.float32(1e-6)
    absent = {name: None for name in ("exponential_slope", "a", "b") if name not in optional}
    names = ("leak", "reset", "threshold", "tau_mem", "tau_syn", "c_mem", "tau_adap", "leaky")
    neuron = bss2.AELIF(**{name: p[name] for name in names}, **optional, **absent)
    traces, first = traced(neuron, x)
    traces = {name: np.asarray(trace) for name, trace in traces.items()}
    assert check(traces, x, p, np.asarray(first), pauses=pauses) < 1e-5


def test_without_its_terms_it_is_a_lif():
    x = jax.random.normal(jax.random.key(0), (STEPS, NEURONS)) + 0.4
    options = {"tau_mem": 6e-6, "reset": -0.2, "leak": 0.1, "refractory_time": 2e-6}
    plain = bss2.AELIF(exponential_slope=None, a=None, b=None, **options)
    ours, theirs = traced(plain, x)[0], traced(bss2.LIF(**options), x)[0]
    assert theirs["z"].sum() > 5
    for name, trace in theirs.items():
        np.testing.assert_array_equal(ours[name], trace)


def test_a_far_overshoot_stays_a_number():
    # (v - V_T) / D = 3000: the exponential of that is no float32.
    neuron = bss2.AELIF(exponential_slope=0.01, exponential_threshold=0.8)
    x = jnp.zeros((5, NEURONS)).at[0].set(300.0)

    def total(x):
        traces, _ = traced(neuron, x)
        return traces["z"].sum() + traces["v"].sum(), traces

    (_, traces), slope = jax.value_and_grad(total, has_aux=True)(x)
    assert traces["z"][1:].any() and jnp.isfinite(traces["v"]).all()
    assert jnp.isfinite(slope).all()


def test_adaptation_during_the_refractory_period():
    # A second large input lifts the resting membrane over the threshold while it is silent.
    x = jnp.zeros((6, 1)).at[:3].set(30.0)
    options = {"refractory_time": 4e-6, "a": None, "b": 1.0, "tau_adap": 1.0}
    once, _ = traced(bss2.AELIF(exponential_slope=None, **options), x)
    more, _ = traced(bss2.AELIF(exponential_slope=None, adapt_while_refractory=True, **options), x)
    assert once["z"].sum() == more["z"].sum() == 1
    assert once["w"][-1] == pytest.approx(1, abs=1e-3) and more["w"][-1] > 2


@pytest.mark.parametrize(
    "neuron",
    [
        bss2.AELIF(refractory_time=2e-6, leak=-0.1, reset=-0.3, threshold=1.2),
        bss2.AELIF(
            refractory_time=jnp.full(NEURONS, 2e-6), adapt_while_refractory=True, a=None, gain=1.5
        ),
        bss2.AELIF(leaky=False, b=None, exponential_slope=None, reset=jnp.full(NEURONS, -0.2)),
        bss2.LIF(tau_mem=jnp.linspace(4e-6, 9e-6, NEURONS), v_min=-0.1),
        bss2.IAF(c_mem=4e-6, method="exact", reset=-0.1, generation="seed"),
        bss2.LI(leak=0.2, gain=3.0),
    ],
    ids=lambda neuron: neuron.name,
)
def test_its_equations_are_what_it_computes(neuron):
    x = np.random.default_rng(5).normal(0.3, 1.0, (STEPS, NEURONS)).astype(np.float32)
    network = nj.Sequential(x.shape[1:], n=neuron)
    expected = nj.simulate(network, x[:, None]).outputs[:, 0]
    prepared, first = neuron.prepare(None), neuron.init(x.shape[1:])
    state = {k: np.asarray(v, np.float64) for k, v in first._asdict().items() if v is not None}
    machine = Interpreter({k: v for k, v in vars(prepared).items() if eqx.is_array(v)}, state)
    ys = np.array([machine.step(neuron.equations(), now) for now in x])
    np.testing.assert_allclose(ys, expected, rtol=1e-4, atol=1e-4)
    assert neuron.name == "LI" or expected.sum() > 5


def test_it_must_be_prepared():
    with pytest.raises(ValueError, match=r"AELIF: call prepare\(None\) first"):
        bss2.AELIF(c_mem=5e-6).step(bss2.AELIF().init((3,)), jnp.zeros(3))


PARAMETERS = {
    "leak": 0.1,
    "reset": -0.2,
    "threshold": 1.2,
    "tau_mem": 8e-6,
    "tau_syn": 5e-6,
    "c_mem": 6e-6,
    "exponential_slope": 0.15,
    "exponential_threshold": 0.8,
    "a": 0.3,
    "b": 0.2,
    "tau_adap": 20e-6,
}


def test_gradients_by_every_parameter():
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(3)
    x = ((random.random((STEPS, NEURONS)) < 0.4) * 1.8).astype(np.float32)
    to_z, to_v, to_w = random.normal(size=(3, STEPS, NEURONS)).astype(np.float32)
    factors = random.uniform(0.9, 1.1, (len(PARAMETERS), NEURONS))
    p = {name: value * f for (name, value), f in zip(PARAMETERS.items(), factors, strict=True)}

    class SuperSpike(torch.autograd.Function):
        @staticmethod
        def forward(ctx, u):
            ctx.save_for_backward(u)
            return (u > 0).to(u.dtype)

        @staticmethod
        def backward(ctx, g):
            return g / (50 * ctx.saved_tensors[0].abs() + 1) ** 2

    q = {name: torch.tensor(value, requires_grad=True) for name, value in p.items()}
    v, i, w = q["leak"].clone(), torch.zeros(NEURONS), torch.zeros(NEURONS)
    silent = torch.zeros(NEURONS)
    loss, spikes, dt = 0.0, [], 1e-6
    for t in range(STEPS):
        g_l = q["c_mem"] / q["tau_mem"]
        upstroke = torch.exp((v - q["exponential_threshold"]) / q["exponential_slope"])
        driven = i + g_l * (q["leak"] - v) + g_l * q["exponential_slope"] * upstroke - w
        i = i * (1 - dt / q["tau_syn"]) + torch.tensor(x[t])
        v = v + dt / q["c_mem"] * driven
        z = SuperSpike.apply(v - q["threshold"])
        held = (silent > 0).double()
        pulse = q["b"] * z * (1 - held)
        w = w * (1 - dt / q["tau_adap"]) + dt / q["tau_adap"] * q["a"] * (v - q["leak"]) + pulse
        v = (1 - z.detach()) * v + z.detach() * q["reset"]
        v, z = (1 - held) * v + held * q["reset"], (1 - held) * z
        silent = (1 - z.detach()) * torch.relu(silent - 1) + z.detach() * 2
        spikes.append(z.detach().numpy())
        loss = loss + (torch.tensor(to_z[t]) * z + torch.tensor(to_v[t]) * v).sum()
        loss = loss + (torch.tensor(to_w[t]) * w).sum()
    loss.backward()

    def ours(arrays):
        traces, _ = traced(bss2.AELIF(**arrays, refractory_time=2e-6), x)
        total = (traces["z"] * to_z + traces["v"] * to_v + traces["w"] * to_w).sum()
        return total, traces["z"]

    arrays = {name: jnp.asarray(value, jnp.float32) for name, value in p.items()}
    (_, z), gradients = jax.value_and_grad(ours, has_aux=True)(arrays)
    np.testing.assert_array_equal(z, spikes)
    assert z.sum() > 10
    for name, g in gradients.items():
        expected = q[name].grad.numpy()
        np.testing.assert_allclose(g, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
        assert np.abs(expected).max() > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exponential_slope": 0.0}, "exponential_slope is 0; it must be > 0"),
        ({"tau_adap": 0.5e-6}, "dt is 1e-06 and tau_adap is 5e-07 s"),
        ({"leaky": 1}, "leaky is 1; it must be one of False, True"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        bss2.AELIF(**options)
