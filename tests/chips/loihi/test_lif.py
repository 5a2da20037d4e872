"""Lava's LIF against what Lava computed, against 64-bit integers, and its gradients."""

import dataclasses
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.chips._surrogate import InSteps
from neurojax.chips.loihi.lif import LIF, LIFState
from neurojax.neurons._equations import equations_of
from neurojax.surrogate import Sigmoid
from tests._interpreter import Interpreter
from tests.conftest import GOLDEN

LAVA = GOLDEN / "lava"
META = json.loads((LAVA / "META_lava.json").read_text())
STEPS, NEURONS = 12, 6
LIMIT = (1 << 23) - 1


def recorded(name):
    """Parameters and arrays of a recording, time first."""
    with np.load(LAVA / f"{name}.npz") as file:
        arrays = {key: np.moveaxis(value, -1, 0) for key, value in file.items()}
    params = META[name]["params"]
    return {k: np.array(v) if isinstance(v, list) else v for k, v in params.items()}, arrays


@eqx.filter_jit
def run(neuron, x, state=None, schedule="auto"):
    """Run of a population for [time, neurons] or [time, batch, neurons], without the batch."""
    flat = x.ndim == 2
    x = x[:, None] if flat else x
    net = nj.Sequential(x.shape[2:], n=neuron)
    if state is not None:
        first = net.init(x.shape[1])
        state = eqx.tree_at(lambda s: s.layers["n"], first, state, is_leaf=lambda n: n is None)
    found = nj.simulate(net, x, state=state, probes=["n.u", "n.v"], schedule=schedule)
    cut = (lambda a: a[:, 0]) if flat else (lambda a: a)
    return cut(found.outputs), cut(found["n.u"]), cut(found["n.v"]), found.state.layers["n"]


def equal(neuron, x, state=None, **expected):
    y, u, v, _ = run(neuron, jnp.float32(x), state)
    for name, ours in {"s": y, "u": u, "v": v}.items():
        np.testing.assert_array_equal(np.asarray(ours, np.int64), expected[name], err_msg=name)


# Recordings of Lava


@pytest.mark.parametrize("name", [*(f"lava_lif_{i}" for i in range(11)), "lava_lif_equality"])
def test_lava(name):
    params, z = recorded(name)
    equal(LIF(**params), z["a_in"], s=z["s"], u=z["u"], v=z["v"])


def test_lava_from_another_state():
    params, z = recorded("lava_lif_init")
    state = LIFState(jnp.float32(z["u0"])[None], jnp.float32(z["v0"])[None])
    equal(LIF(**params), z["a_in"], state, s=z["s"], u=z["u"], v=z["v"])


def test_lava_with_resets():
    params, z = recorded("lava_lifreset")
    equal(LIF(**params), z["a_in"], s=z["s"], u=z["u"], v=z["v"])


def test_lava_ternary():
    params, z = recorded("lava_ternary")
    vth, vth_lo = params.pop("vth_hi"), params.pop("vth_lo")
    assert set(np.unique(z["s"])) == {-1, 0, 1}
    equal(LIF(**params, vth=vth, vth_lo=vth_lo), z["a_in"], s=z["s"], u=z["u"], v=z["v"])


# Every variant, in 64-bit integers


def shift_to_zero(n, bits):
    return np.sign(n) * (np.abs(n) >> bits)


def oracle(x, o, u, v):
    """Steps of a population: x is [time, neurons] in steps of the state, `o` the options."""
    silent = np.zeros_like(u)
    traces = {"s": [], "u": [], "v": []}
    wrapped, saturated = np.zeros_like(u), np.zeros_like(u)
    exponent = o["bias_exp"]
    bias = np.where(
        exponent >= 0, o["bias_mant"] << np.maximum(exponent, 0),
        o["bias_mant"] >> np.maximum(-exponent, 0),
    )  # fmt: skip
    for t, x_t in enumerate(x, start=1):
        interval = o["reset_interval"]
        if interval is not None and t % interval == o["reset_offset"] % interval:
            u, v, silent = 0 * u, 0 * v, 0 * silent
        full = shift_to_zero(u * (4095 - o["du"]), 12) + x_t
        u = (full + LIMIT) % (1 << 24) - LIMIT  # within -2^23 + 1..2^23
        wrapped += u != full
        total = u + bias
        total = shift_to_zero(total, o["shift"]) if o["shift"] > 0 else total << -o["shift"]
        h = shift_to_zero(v * (4096 - o["dv"]), 12) + total
        active = silent == 0
        saturated += active & (np.abs(h) > LIMIT)
        v = np.where(active, np.clip(h, -LIMIT, LIMIT), 0)
        s = np.zeros_like(v)
        out = v
        if o["vth"] is not None:
            s = (v > o["vth"] << 6).astype(int)
            if o["vth_lo"] is not None:
                s = s - (v < o["vth_lo"] << 6)
            out = s * v if o["graded"] else s
            v = np.where(s != 0, 0, v)
        silent = np.where(s != 0, o["refractory"] - 1, np.maximum(silent - 1, 0))
        traces["s"].append(out)
        traces["u"].append(u)
        traces["v"].append(v)
    return {k: np.stack(a) for k, a in traces.items()}, wrapped, saturated


def extreme(low, high, *more):
    """Integers of a range, often at its ends."""
    return st.one_of(st.sampled_from([low, high, *more]), st.integers(low, high))


options = st.fixed_dictionaries(
    {
        "du": extreme(-1, 4095, 0),
        "dv": extreme(0, 4096, 1),
        "vth": extreme(0, 131071, 5),
        "bias_mant": extreme(-4096, 4095, 0),
        "bias_exp": extreme(-8, 7, 0),
    }
)
static = st.fixed_dictionaries(
    {
        "shift": st.sampled_from([0, 0, 0, 3, -3]),
        "reset_interval": st.sampled_from([None, None, 1, 3]),
        "reset_offset": st.integers(0, 5),
        "refractory": st.sampled_from([1, 1, 2, 5]),
        "kind": st.sampled_from(["plain", "plain", "graded", "ternary", "silent"]),
    }
)
sizes = st.sampled_from([3, 300, 1 << 14, 1 << 18, 1 << 24])


def variant(o, kind, vth_lo):
    """Options of a kind of neuron."""
    return o | {
        "graded": kind == "graded",
        "vth_lo": vth_lo if kind == "ternary" else None,
        "vth": None if kind == "silent" else o["vth"],
    }


def compare(o, neuron, x, state):
    u, v = state
    traces, wrapped, saturated = oracle(64 * x.astype(np.int64), o, u, v)
    y, us, vs, last = run(neuron, jnp.float32(x), first_state(neuron, u, v))
    found = np.asarray(y, np.float64) * (4096 if o["graded"] else 1)
    np.testing.assert_array_equal(found, traces["s"])
    np.testing.assert_array_equal(np.asarray(us, np.int64), traces["u"])
    np.testing.assert_array_equal(np.asarray(vs, np.int64), traces["v"])
    np.testing.assert_array_equal(np.asarray(last.wrapped[0]), wrapped)
    np.testing.assert_array_equal(np.asarray(last.saturated[0]), saturated)


def first_state(neuron, u, v):
    """The state of one sample that begins at u and v."""
    state = jax.tree.map(lambda a: a[None], neuron.init(u.shape))
    return state._replace(u=jnp.float32(u)[None], v=jnp.float32(v)[None])


@given(options, sizes, sizes, st.integers(0, 2**32 - 1))
def test_every_bit_of_plain_neurons(o, input_size, state_size, seed):
    """Parameters as arrays, so that one compiled function serves all."""
    rng = np.random.default_rng(seed)
    bound = min(state_size, LIMIT)
    u, v = rng.integers(-bound, bound + 1, (2, NEURONS))
    x = rng.integers(-input_size, input_size + 1, (STEPS, NEURONS))
    neuron = LIF(**{k: jnp.float32(n) for k, n in o.items()}, count_overflow=True)
    rest = {"shift": 0, "reset_interval": None, "reset_offset": 0, "refractory": 1}
    compare(variant(o, "plain", 0) | rest, neuron, x, (u, v))


@settings(max_examples=30)
@given(options, static, extreme(-131071, 0), sizes, st.integers(0, 2**32 - 1))
def test_every_bit_of_every_variant(o, more, vth_lo, size, seed):
    """Parameters as numbers, and all options at once."""
    rng = np.random.default_rng(seed)
    u, v = rng.integers(-LIMIT, LIMIT + 1, (2, NEURONS))
    x = rng.integers(-size, size + 1, (STEPS, NEURONS))
    o = variant(o, more.pop("kind"), vth_lo) | more
    compare(o, LIF(**o, count_overflow=True), x, (u, v))


@settings(max_examples=10)
@given(st.data(), st.integers(0, 2**32 - 1))
def test_one_parameter_a_neuron(data, seed):
    rng = np.random.default_rng(seed)
    rows = [data.draw(options) for _ in range(NEURONS)]
    o = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    x = rng.integers(-(1 << 18), 1 << 18, (STEPS, NEURONS))
    neuron = LIF(**o, count_overflow=True)
    rest = {"shift": 0, "reset_interval": None, "reset_offset": 0, "refractory": 1}
    zero = np.zeros(NEURONS, np.int64)
    compare(variant(o, "plain", 0) | rest, neuron, x, (zero, zero))


def test_the_ends_of_the_register():
    """2^23 stays, -2^23 becomes 2^23, as in Lava; beyond one turn the register goes on."""
    steps = np.array([2**23, -(2**23), 2**23 + 64, 2**24, 3 * 2**23, 5 * 2**23, -3 * 2**23 - 64])
    neuron = LIF(du=4095, dv=4096, vth=None)
    _, u, v, _ = run(neuron, jnp.float32(steps // 64)[None])
    assert u.tolist() == [[2**23, 2**23, -(2**23) + 64, 0, 2**23, 2**23, 2**23 - 64]]
    assert v.max() == LIMIT


def test_inputs_with_fractions_are_cut_to_steps_of_the_state():
    neuron = LIF(du=4095, dv=4096, vth=None)
    _, u, _, _ = run(neuron, jnp.array([[0.999, -0.999, 1 / 64, -1 / 65, 0.5]]))
    assert u.tolist() == [[63, -63, 1, 0, 32]]


def test_graded_spikes_carry_the_membrane():
    y, _, v, _ = run(LIF(du=4095, dv=0, vth=1, graded=True), jnp.array([[3.0], [0.5]]))
    assert y.tolist() == [[192 / 4096], [0.0]] and v.tolist() == [[0.0], [32.0]]


# What JAX does with it


def test_batch_schedules_and_pieces():
    rng = np.random.default_rng(3)
    x = jnp.float32(rng.integers(-300, 500, (20, 3, NEURONS)))
    neuron = LIF(
        du=300, dv=100, vth=150, refractory=3, reset_interval=7, reset_offset=4,
        count_overflow=True,
    )  # fmt: skip
    whole = run(neuron, x)
    assert whole[0].any()
    for schedule in ("step", "layer"):
        for ours, theirs in zip(run(neuron, x, None, schedule)[:3], whole[:3], strict=True):
            assert (ours == theirs).all()
    first = run(neuron, x[:9])
    second = run(neuron, x[9:], first[3])
    for a, b, c in zip(first[:3], second[:3], whole[:3], strict=True):
        assert (jnp.concatenate([a, b]) == c).all()
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: (a == b).all(), second[3], whole[3])))
    for sample in range(3):
        assert (run(neuron, x[:, sample])[0] == whole[0][:, sample]).all()


def test_many_chips_at_once():
    x = jnp.float32(np.random.default_rng(4).integers(-300, 500, (20, NEURONS)))
    thresholds = jnp.array([50.0, 150.0, 900.0])
    at = lambda vth: run(LIF(du=300, dv=100, vth=vth), x)[0]  # noqa: E731
    together = jax.vmap(at)(thresholds)
    for one, vth in zip(together, thresholds, strict=True):
        assert (one == at(vth)).all()
    assert together.sum((1, 2))[0] > together.sum((1, 2))[2]


def test_the_state_holds_only_what_is_needed():
    plain = LIF(du=0, dv=0, vth=1).init((2,))
    assert len(jax.tree.leaves(plain)) == 2
    full = LIF(du=0, dv=0, vth=1, refractory=2, reset_interval=3, count_overflow=True)
    assert len(jax.tree.leaves(full.init((2,)))) == 6


# Gradients: of the smooth equations at the states that were computed, in float64


def adjoint(x, o, g, surrogate, how):
    """Gradients of sum(g y) to x, du, dv, vth and bias_mant."""
    neuron = LIF(**o, surrogate=surrogate, reset_gradient=how)
    y, us, vs, _ = (np.asarray(a, np.float64) for a in run(neuron, x)[:3] + (0,))
    u_before = np.concatenate([np.zeros_like(us[:1]), us[:-1]])
    v_before = np.concatenate([np.zeros_like(vs[:1]), vs[:-1]])
    keep_u, keep_v = (4095 - o["du"]) / 4096, (4096 - o["dv"]) / 4096
    bias = o["bias_mant"] * 2.0 ** o["bias_exp"]
    h = np.trunc(v_before * keep_v) + us + np.floor(bias)
    inside = np.abs(h) <= LIMIT
    h = np.clip(h, -LIMIT, LIMIT)
    above = h - 64 * o["vth"]
    np.testing.assert_array_equal(y, above > 0)
    slope = np.asarray(surrogate.derivative(jnp.float32(above)), np.float64)
    found = {name: 0.0 for name in ("du", "dv", "vth", "bias_mant")}
    to_x, to_v, to_u = np.zeros_like(h), 0.0, 0.0
    for t in reversed(range(len(h))):
        to_s = g[t] - (to_v * h[t] if how == "full" else 0)
        to_h = to_s * slope[t] + to_v * (1.0 if how == "bypassed" else 1 - y[t])
        found["vth"] -= 64 * (to_s * slope[t]).sum()
        to_h = to_h * inside[t]
        to_u = to_u + to_h
        found["bias_mant"] += (to_h * 2.0 ** o["bias_exp"]).sum()
        found["dv"] -= (to_h * v_before[t] / 4096).sum()
        found["du"] -= (to_u * u_before[t] / 4096).sum()
        to_x[t] = 64 * to_u
        to_v, to_u = keep_v * to_h, keep_u * to_u
    return to_x, found


@pytest.mark.parametrize("how", ["full", "detached", "bypassed"])
@pytest.mark.parametrize("size", [300, 1 << 17])
def test_gradients_are_the_adjoint(how, size):
    """With the large inputs, u overflows and v is limited."""
    rng = np.random.default_rng(5)
    x = jnp.float32(rng.integers(-size, 2 * size, (25, NEURONS)))
    g = rng.normal(size=x.shape)
    o = {"du": 700, "dv": 300, "vth": size // 2, "bias_mant": -77, "bias_exp": 3}
    surrogate = InSteps(Sigmoid(1.0), 64.0 * size)
    arrays = {name: jnp.float32(n) for name, n in o.items() if name != "bias_exp"}
    neuron = LIF(**arrays, bias_exp=3, surrogate=surrogate, reset_gradient=how)
    loss = lambda neuron, x: jnp.sum(run(neuron, x)[0] * g)  # noqa: E731
    last = run(dataclasses.replace(neuron, count_overflow=True), x)[3]
    assert (last.wrapped.sum() > 0) == (last.saturated.sum() > 0) == (size > 300)
    to_neuron, to_x = jax.jit(jax.grad(loss, argnums=(0, 1)))(neuron, x)
    exact_x, exact = adjoint(x, o, g, surrogate, how)
    np.testing.assert_allclose(to_x, exact_x, rtol=0, atol=1e-5 * np.abs(exact_x).max())
    for name, value in exact.items():
        np.testing.assert_allclose(getattr(to_neuron, name), value, rtol=2e-4, err_msg=name)
    along = jax.jit(lambda x: jax.jvp(lambda x: loss(neuron, x), (x,), (x,))[1])(x)
    np.testing.assert_allclose(along, np.sum(exact_x * np.asarray(x)), rtol=1e-3)


def test_gradients_of_negative_spikes():
    """Both thresholds: a spike of either sign has the surrogate's derivative of its own."""
    surrogate = InSteps(Sigmoid(4.0), 4096.0)
    neuron = LIF(
        du=4095, dv=4096, vth=jnp.float32(100), vth_lo=jnp.float32(-50), surrogate=surrogate
    )
    x = jnp.array([[30.0, -30.0, 120.0, -70.0]])
    loss = lambda neuron, x: run(neuron, x)[0].sum()  # noqa: E731
    to_neuron, to_x = jax.jit(jax.grad(loss, argnums=(0, 1)))(neuron, x)
    high = np.asarray(surrogate.derivative(64 * x - 6400))
    low = np.asarray(surrogate.derivative(-3200 - 64 * x))
    np.testing.assert_allclose(to_x, 64 * (high + low), rtol=1e-5)
    np.testing.assert_allclose(to_neuron.vth, -64 * high.sum(), rtol=1e-5)
    np.testing.assert_allclose(to_neuron.vth_lo, -64 * low.sum(), rtol=1e-5)


def test_parameters_are_limited_and_can_come_back():
    arrays = {"du": 5000.0, "dv": -3.0, "vth": 1e6, "bias_mant": -9999.4}
    neuron = LIF(**{k: jnp.float32(v) for k, v in arrays.items()})
    limits = {"du": 4095, "dv": 0, "vth": 131071, "bias_mant": -4096, "bias_exp": 0}
    assert {k: int(v) for k, v in neuron.integers().items()} == limits
    assert LIF(**limits).integers() == limits
    neuron = dataclasses.replace(neuron, vth=None, bias_mant=jnp.float32(5000.0))
    x = jnp.ones((3, 1))
    assert (run(neuron, x)[0] == run(LIF(du=4095, dv=0, vth=None, bias_mant=4095), x)[0]).all()
    slopes = jax.jit(jax.grad(lambda n: run(n, x)[0].sum()))(neuron)
    assert slopes.bias_mant == 6 and slopes.dv < 0 and slopes.du < 0


# What it says of itself, and what it refuses


class Machine(Interpreter):
    """Carries out the lines of the card, with the functions that a chip's neuron needs."""

    FUNCTIONS = Interpreter.FUNCTIONS | {
        "trunc": np.trunc,
        "wrap": lambda n: (n + LIMIT) % (1 << 24) - LIMIT,
        "power": np.power,
    }


@pytest.mark.parametrize(
    "neuron",
    [
        LIF(du=300, dv=100, vth=150),
        LIF(du=-1, dv=0, vth=1000, bias_mant=-4095, bias_exp=7, count_overflow=True),
        LIF(du=300, dv=100, vth=20, refractory=4, bias_mant=3, bias_exp=-1),
        LIF(du=300, dv=100, vth=150, vth_lo=-120, refractory=2),
        LIF(du=300, dv=100, vth=150, graded=True, shift=1, reset_interval=5, reset_offset=2),
        LIF(du=4095, dv=4096, vth=None, bias_mant=np.arange(4.0), bias_exp=np.arange(4.0) - 2),
        LIF(**{k: np.full(4, v) for k, v in {"du": 99, "dv": 9, "vth": 9, "vth_lo": -9}.items()}),
    ],
)
def test_the_card_says_what_is_computed(neuron):
    x = np.random.default_rng(6).integers(-300, 500, (15, 4)).astype(np.float64)
    fields = {
        path[-1].name: np.asarray(leaf, np.float64)
        for path, leaf in jax.tree_util.tree_leaves_with_path(neuron)
    }
    zero = np.zeros(4)
    state = {"u": zero, "v": zero, "left": zero}
    if neuron.reset_interval:
        state["restart"] = np.float64(neuron.init((4,)).restart)
    machine = Machine(fields, state)
    said = np.stack([machine.step(equations_of(neuron), x_t) for x_t in x])
    y, u, v, _ = run(neuron, jnp.float32(x))
    np.testing.assert_array_equal(said, np.asarray(y), "\n".join(equations_of(neuron)))
    np.testing.assert_array_equal(machine.state["u"], np.asarray(u[-1]))
    np.testing.assert_array_equal(machine.state["v"], np.asarray(v[-1]))


def test_description():
    assert LIF(du=300, dv=jnp.zeros(2), vth=150, vth_lo=-9).describe() == (
        "LIF du 300, dv learned, vth 150, vth_lo -9"
    )
    assert LIF(du=0, dv=0, vth=None, reset_interval=9).describe() == (
        "LIF du 0, dv 0, no spikes, reset every 9 steps"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"du": 4096}, r"du is 4096; it must be a whole number within -1..4095: the decay of the"),
        ({"dv": 0.1}, r"dv is 0.1; it must be a whole number within 0..4096"),
        ({"vth": 131072}, r"vth is 131072; it must be .* use a smaller scale"),
        ({"vth": -1}, r"vth is -1"),
        ({"vth": float("nan")}, r"vth is nan"),
        ({"vth_lo": 5}, r"vth_lo is 5; it must be a whole number within -131071..0"),
        ({"vth_lo": -5, "vth": None}, r"vth_lo is given, but there is no vth"),
        ({"vth_lo": -5, "graded": True}, r"vth_lo is given, but spikes are graded"),
        ({"bias_mant": 4096}, r"bias_mant is 4096; .* use a larger bias_exp"),
        ({"bias_exp": 8}, r"bias_exp is 8; it must be a whole number within -8..7"),
        ({"shift": 9}, r"shift is 9; it must be within -8..8"),
        ({"refractory": 0}, r"refractory is 0; it must be within 1..64"),
        ({"reset_interval": 0}, r"reset_interval is 0"),
        ({"reset_gradient": "none"}, r"reset_gradient is 'none'; it must be in \('full'"),
    ],
)
def test_refusals(arguments, words):
    with pytest.raises(ValueError, match="LIF: " + words):
        LIF(**({"du": 0, "dv": 0, "vth": 1} | arguments))


def test_refused_types():
    with pytest.raises(TypeError, match="du is '3'; give a number"):
        LIF(du="3", dv=0, vth=1)
    with pytest.raises(TypeError, match=r"refractory is 2\.5; it must be a whole number"):
        LIF(du=3, dv=0, vth=1, refractory=2.5)
    with pytest.raises(TypeError, match="surrogate is 'atan'; use an object"):
        LIF(du=3, dv=0, vth=1, surrogate="atan")
    net = nj.Sequential((2,), n=LIF(du=3, dv=0, vth=1))
    with pytest.raises(TypeError, match="24 bits in float32, but got bfloat16"):
        nj.simulate(net, jnp.zeros((1, 1, 2), jnp.bfloat16))
    with pytest.raises(ValueError, match=r"vth has shape \(3,\), but there are \(2,\) neurons"):
        nj.Sequential((2,), n=LIF(du=3, dv=0, vth=jnp.ones(3)))
