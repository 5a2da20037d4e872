"""The dense engine against big integers, and its gradients."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.chips.cri import _wide
from neurojax.chips.cri.crossbar import Crossbar
from neurojax.chips.cri.neuron import Neuron, membrane, with_membrane
from neurojax.chips.cri.synapse import stored
from tests.chips.cri.oracle import HIGHEST, LOWEST, Chip
from tests.conftest import GOLDEN

AXONS, NEURONS, STEPS = 4, 8, 14
PROBES = ("c.high", "c.low", "c.v")


@eqx.filter_jit
def run(chip, x, v0=None):
    """Spikes, exact membranes as a `Wide`, their floats, and the last state, of one sample."""
    net = nj.Sequential((chip.axons,), c=chip)
    state = net.init(1)
    if v0 is not None:
        first = state.layers["c"]._replace(high=v0.high[None], low=v0.low[None])
        first = first._replace(v=_wide.to_float(v0)[None])
        state = eqx.tree_at(lambda s: s.layers["c"], state, first)
    out = nj.simulate(net, x[:, None], state=state, probes=PROBES)
    exact = _wide.Wide(out["c.high"][:, 0], out["c.low"][:, 0])
    return out.outputs[:, 0], exact, out["c.v"][:, 0], out.state.layers["c"]


weights = st.one_of(st.integers(-40, 40), st.sampled_from([-32768, 32767, -255, 256, 0]))
membranes = st.one_of(
    st.sampled_from([LOWEST, LOWEST + 1, -1, 0, 1, HIGHEST - 1, HIGHEST]),
    st.integers(-100, 100),
    st.integers(LOWEST, HIGHEST),
)
thresholds = st.one_of(st.integers(-30, 60), st.sampled_from([-(1 << 35), (1 << 35) - 1, HIGHEST]))


# Appended to what is drawn, so that no parameter is the same for all neurons: then it would be a
# constant, and compiled anew.
LAST = {
    "theta": [7, -1], "leak": [1, 2], "model": [2, 3], "shift": [-14, -17],
    "refractory": [1, 0], "soft": [1, 0], "delay": [2, 1],
}  # fmt: skip


def entries(strategy, n=NEURONS):
    return st.lists(strategy, min_size=n, max_size=n)


@st.composite
def chips(draw, leaks):
    """Parameters by neuron, synapses, and what comes in."""
    matrix = lambda rows: draw(st.lists(entries(weights), min_size=rows, max_size=rows))  # noqa: E731
    integers = lambda low, high: draw(entries(st.integers(low, high)))  # noqa: E731
    options = {
        "theta": draw(entries(thresholds)),
        "leak": draw(entries(st.one_of(st.integers(*leaks), st.sampled_from([0, 1, 3, 34, 63])))),
        "model": draw(entries(st.sampled_from([0, 2, 2, 3]))),
        "shift": draw(entries(st.one_of(st.integers(-18, 3), st.sampled_from([-32, 19, 31])))),
    }
    newer = {"refractory": integers(0, 7), "soft": integers(0, 1), "delay": integers(0, 15)}
    for parameters in (options, newer):
        for name, values in parameters.items():
            values[-2:] = LAST[name]
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    given_ = {
        "v0": draw(entries(membranes)),
        "x": (rng.random((STEPS, AXONS)) < 0.5).astype(int),
        "draws": rng.integers(-(1 << 16), 1 << 16, (STEPS, NEURONS)),
    }
    synapses = {"axons": matrix(AXONS), "recurrent": matrix(NEURONS), "delayed": matrix(NEURONS)}
    return options, newer, synapses, given_


def compare(neuron, oracle, synapses, given_, delayed=None, delay=0):
    chip = Crossbar(
        np.array(synapses["axons"]),
        np.array(synapses["recurrent"]),
        neuron=neuron,
        delayed_weights=delayed,
        delay=delay,
    )
    x = jnp.asarray(given_["x"], jnp.float32)
    spikes, exact, floats, state = run(chip, x, _wide.from_integers(given_["v0"]))
    oracle.v = list(given_["v0"])
    steps = zip(given_["x"].tolist(), given_["draws"].tolist(), strict=True)
    want_s, want_v = [], []
    for active, draws in steps:
        want_s.append(oracle.step(active, draws))
        want_v.append(list(oracle.v))
    assert spikes.tolist() == want_s
    assert membrane(exact).tolist() == want_v
    assert np.array_equal(floats, np.array(want_v).astype(np.float32))
    assert state.saturated[0].tolist() == oracle.saturated


HARDWARE = [
    {},
    {"overflow": "wrap"},
    {"bits": 32, "strict": False, "leak_bias": True},
    {"bits": 32, "overflow": "wrap"},
]


@pytest.mark.parametrize("how", HARDWARE, ids=str)
@settings(max_examples=12)
@given(chips((0, 63)))
def test_hardware_against_big_integers(how, case):
    options, newer, synapses, given_ = case
    if "bits" in how:
        given_["v0"] = [v >> 3 for v in given_["v0"]]
    neuron = Neuron(
        **options,
        **how,
        reset=np.array(newer["soft"]),
        refractory=newer["refractory"],
        draws=given_["draws"],
        count_overflow=True,
    )
    oracle = Chip(synapses["axons"], synapses["recurrent"], synapses["delayed"],
                  **options, **newer, **how)  # fmt: skip
    delayed, delay = np.array(synapses["delayed"]), np.array(newer["delay"])
    compare(neuron, oracle, synapses, given_, delayed, delay)


@pytest.mark.parametrize("order", ["main", "dev"])
@settings(max_examples=12)
@given(chips((0, 64)))
def test_simulators_against_big_integers(order, case):
    options, _, synapses, given_ = case
    neuron = Neuron(**options, order=order, draws=given_["draws"], count_overflow=True)
    oracle = Chip(synapses["axons"], synapses["recurrent"], order=order, strict=order == "dev",
                  **options)  # fmt: skip
    # What main's noise and the leaks lose is no concern of the oracle.
    oracle.saturated = Anything()
    compare(neuron, oracle, synapses, given_)


class Anything(list):
    def __eq__(self, other):
        return True

    def __getitem__(self, i):
        return 0

    def __setitem__(self, i, value):
        pass


def test_stored_weights_are_those_of_the_peer():
    about = json.loads((GOLDEN / "cri/weights.json").read_text())
    assert stored(about["weights_in"]).tolist() == about["effective"]


@pytest.mark.parametrize("axons", [1, 512, 513, 8191])
def test_sums_of_many_axons(axons):
    """The lab's test of ANN neurons; and with weights that float32 can't add up."""
    plain = Crossbar(np.ones((axons, 1)), neuron=Neuron(theta=0, model="ANN"))
    x = jnp.stack([jnp.ones(axons), jnp.zeros(axons)])
    spikes, exact, _, _ = run(plain, x)
    assert membrane(exact).ravel().tolist() == [axons, 0]
    assert spikes.ravel().tolist() == [0, 1]
    rng = np.random.default_rng(axons)
    w = np.concatenate([rng.integers(-32768, 32768, (axons, 2)), np.full((axons, 1), 32767)], 1)
    w = np.concatenate([w, np.full((axons, 1), -32768)], 1)
    heavy = Crossbar(w, neuron=Neuron(theta=0, model="ANN"))
    assert membrane(run(heavy, x)[1])[0].tolist() == w.sum(0).tolist()


def test_spikes_of_a_step_arrive_in_it():
    """ANN theta = -1 fires in every step; what is behind it reads 1 from the first step on."""
    w = np.array([[0, 1], [0, 0]])
    chip = Crossbar(np.zeros((1, 2)), w, neuron=Neuron(theta=[-1, 0], model="ANN"))
    spikes, exact, _, _ = run(chip, jnp.zeros((4, 1)))
    assert spikes[:, 0].tolist() == [1, 1, 1, 1]
    assert membrane(exact).tolist() == [[0, 1]] * 4


@pytest.mark.parametrize("delay", [0, 1, 5, 15, np.array([3, 0])], ids=str)
def test_delayed_synapses(delay):
    chip = Crossbar(
        np.array([[9, 0]]),
        neuron=Neuron(theta=5, model="IF"),
        delayed_weights=np.array([[0, 7], [0, 0]]),
        delay=delay,
    )
    x = jnp.zeros((20, 1)).at[0].set(1)
    spikes, exact, _, _ = run(chip, x)
    d = int(np.ravel(delay)[0])
    assert np.flatnonzero(spikes[:, 0]).tolist() == [1]
    assert np.flatnonzero(membrane(exact)[:, 1]).tolist() == [1 + d]
    assert np.flatnonzero(spikes[:, 1]).tolist() == [2 + d]


def test_outputs_and_graded_inputs():
    w = np.eye(4) * 10
    chip = Crossbar(w, neuron=Neuron(theta=5), outputs=[3, 1])
    x = jnp.array([[1.0, 2.5, 0, -1], [0, 0, 0, 0]])
    assert chip.out_shape((4,)) == (2,)
    spikes, exact, _, _ = run(chip, x)
    assert membrane(exact)[0].tolist() == [10, 10, 0, 10]
    assert spikes.tolist() == [[0, 0], [1, 1]]


def test_pieces_of_a_run_and_a_batch():
    rng = np.random.default_rng(0)
    chip = Crossbar(
        rng.normal(0, 30, (5, 9)),
        rng.normal(0, 30, (9, 9)),
        neuron=Neuron(theta=20, leak=2, shift=-12, refractory=1),
        delayed_weights=rng.normal(0, 30, (9, 9)),
        delay=2,
    )
    net = nj.Sequential((5,), c=chip)
    x = jnp.asarray(rng.random((12, 3, 5)) < 0.4, jnp.float32)
    key = jax.random.key(1)
    whole = nj.simulate(net, x, key=key, probes=PROBES)
    first = nj.simulate(net, x[:5], key=key, probes=PROBES)
    rest = nj.simulate(net, x[5:], key=key, state=first.state, probes=PROBES)
    for name in PROBES:
        assert np.array_equal(whole[name], np.concatenate([first[name], rest[name]]))
    assert whole.outputs.sum() > 10
    two = eqx.filter_vmap(lambda n: nj.simulate(n, x, key=key).outputs, in_axes=0)
    stacked = jax.tree.map(lambda a: jnp.stack([a, a]) if eqx.is_array(a) else a, net)
    for outputs in two(stacked):
        assert np.array_equal(outputs, whole.outputs)


def test_gradients_are_those_of_the_real_valued_equations():
    """Against central differences of an unrolled float64 model, spikes held where they are."""
    rng = np.random.default_rng(3)
    wa, wr = rng.integers(-9, 40, (3, 5)), rng.integers(-20, 20, (5, 5))
    chip = Crossbar(
        wa, wr, neuron=Neuron(theta=np.full(5, 30.0), leak=[2, 3, 0, 63, 1],
                              model=[2, 2, 2, 3, 0], reset=[0, 1, 0, 1, 0],
                              surrogate=nj.surrogate.NoGradient())
    )  # fmt: skip
    x = jnp.asarray(rng.random((8, 3)) < 0.6, jnp.float32)
    lose = jnp.asarray(rng.normal(size=(8, 5)), jnp.float32)
    spikes = np.asarray(run(chip, x)[0], np.float64)
    keep = np.array([0.75, 0.875, 0, 1, 0])
    soft = np.array([0, 1, 0, 1, 0])

    def model(wa, wr, theta):
        v, total = np.zeros(5), 0.0
        for a, s, m in zip(np.asarray(x, np.float64), spikes, np.asarray(lose), strict=True):
            v = np.where(s > 0, soft * (v - theta), keep * v) + a @ wa + s @ wr
            total += (m * v).sum()
        return total

    def loss(chip):
        return (run(chip, x)[2] * lose).sum()

    grads = eqx.filter_grad(loss)(chip)
    args = [wa.astype(float), wr.astype(float), np.full(5, 30.0)]
    got = [grads.axon_weights, grads.recurrent_weights, grads.neuron.theta]
    assert spikes.sum() > 5
    for i, g in enumerate(got):
        want = np.zeros_like(args[i])
        for at in np.ndindex(want.shape):
            up, down = [a.copy() for a in args], [a.copy() for a in args]
            up[i][at] += 0.5
            down[i][at] -= 0.5
            want[at] = model(*up) - model(*down)
        np.testing.assert_allclose(g, want, rtol=2e-5, atol=1e-4)
        assert np.abs(want).max() > 0


def test_a_crossbar_can_be_trained():
    """On the grid of 16 bits, to fire after one pattern and not after another."""
    rng = np.random.default_rng(0)
    x = np.zeros((6, 2, 8), np.float32)
    x[:3, 0, :4] = 1
    x[:3, 1, 4:] = 1
    chip = Crossbar(rng.normal(0, 20, (8, 2)), neuron=Neuron(theta=200, leak=3))
    wanted = jnp.eye(2)

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def loss(chip):
        rates = nj.simulate(nj.Sequential((8,), c=chip), jnp.asarray(x)).outputs.mean(0)
        return ((rates - 0.5 * wanted) ** 2).sum()

    first = None
    for _ in range(60):
        value, grads = loss(chip)
        first = value if first is None else first
        w = chip.axon_weights - 3000 * grads.axon_weights
        chip = eqx.tree_at(lambda c: c.axon_weights, chip, w)
    assert value < 0.25 * first


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"recurrent_weights": np.ones((2, 3))}, "leads to 3 neurons"),
        ({"outputs": [0, 3]}, "outputs are 0..3, but there are 3 neurons"),
        ({"delay": 16, "delayed_weights": np.ones((3, 3))}, "Crossbar: delay is 16"),
        ({"delay": np.array([1, 2]), "delayed_weights": np.ones((3, 3))}, "delay has shape"),
        ({"neuron": Neuron(theta=[1, 2])}, "theta has shape"),
        ({"axon_weights": np.ones(3)}, "must be a matrix"),
        ({"axon_weights": np.ones((70000, 1)), "neuron": Neuron(theta=1)}, "event-driven"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_refusals(change, words):
    arguments = {"axon_weights": np.ones((2, 3)), "neuron": Neuron(theta=1)} | change
    with pytest.raises(ValueError, match=words):
        Crossbar(**arguments)


def test_membranes_can_be_set():
    chip = Crossbar(np.ones((1, 3)), neuron=Neuron(theta=5))
    state = with_membrane(chip.init((1,)), [HIGHEST, LOWEST, 3])
    assert membrane(state).tolist() == [HIGHEST, LOWEST, 3]
    _, spikes = chip.step(state, jnp.zeros(1))
    assert spikes.tolist() == [1, 0, 0]
