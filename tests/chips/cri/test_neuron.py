"""What the lab's hardware tests assert of one neuron, its gradients against torch, its refusals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import neurojax as nj
from neurojax.chips.cri import _wide
from neurojax.chips.cri.neuron import Neuron, Relative, membrane, with_membrane
from neurojax.chips.cri.synapse import LARGEST_FAN_IN, Synapse, on_grid
from neurojax.surrogate import ATan
from tests.chips.cri.oracle import HIGHEST, LOWEST


def traces(neuron, x, **kwargs):
    """Membranes and spikes, `[time, neurons]`, for input `[time, neurons]` of one sample."""
    x = jnp.asarray(x, jnp.float32)
    x = x[:, None] if x.ndim == 1 else x
    net = nj.Sequential(x.shape[1:], n=neuron)
    run = nj.simulate(net, x[:, None], probes=["n.high", "n.low"], **kwargs)
    v = membrane(_wide.Wide(run["n.high"], run["n.low"]))
    return v[:, 0].squeeze(-1).tolist() if x.shape[1] == 1 else v[:, 0], run.outputs[:, 0].ravel()


# What the lab's tests of the hardware assert


def test_ann_fires_once_and_forgets():
    v, s = traces(Neuron(theta=0, model="ANN"), [1, 0, 0])
    assert v == [1, 0, 0] and s.tolist() == [0, 1, 0]


def test_ann_at_its_threshold_is_silent():
    v, s = traces(Neuron(theta=1, model="ANN"), [1, 0])
    assert v == [1, 0] and not s.any()
    v, s = traces(Neuron(theta=1, model="ANN", strict=False), [1, 0])
    assert v == [1, 0] and s.tolist() == [0, 1]


def test_negative_threshold_fires_always():
    v, s = traces(Neuron(theta=-1, model="ANN"), [0] * 5)
    assert v == [0] * 5 and s.tolist() == [1] * 5


def test_leak_63_is_none():
    v, s = traces(Neuron(theta=20), [0, -1, 1, 0, 0])
    assert v == [0, -1, 0, 0, 0] and not s.any()
    assert traces(Neuron(theta=20, leak=64), [-1, 0, 9])[0] == [-1, -1, 8]
    assert traces(Neuron(theta=20, leak_bias=True), [-3, 0, 0, 0, 5])[0] == [-3, -2, -1, 0, 5]
    assert traces(Neuron(theta=20, order="main", leak=63, shift=-16), [3, 0, 0])[0] == [3, 4, 5]
    assert traces(Neuron(theta=20, order="main", leak=64, shift=-16), [3, 0, 0])[0] == [3, 3, 3]


@pytest.mark.parametrize("r", [0, 1, 2, 7])
def test_refractory_period(r):
    """Spike in step t: inputs of t..t + r - 1 are lost, that of t + r counts, next spike later."""
    v, s = traces(Neuron(theta=4, model="IF", refractory=r), [5] * 20)
    assert s.tolist() == [int(t > 0 and (t - 1) % (r + 1) == 0) for t in range(20)]
    assert v[1 : 1 + r] == [0] * r and v[1 + r] == 5
    # Even a neuron that would fire at V = 0 waits.
    _, s = traces(Neuron(theta=-1, refractory=r), [0] * 20)
    assert s.tolist() == [int(t % (r + 1) == 0) for t in range(20)]


def test_soft_reset():
    v, s = traces(Neuron(theta=10, model="IF", reset="subtract"), [25, 1, 0, 0, 0])
    assert v == [25, 16, 6, 6, 6] and s.tolist() == [0, 1, 1, 0, 0]


def test_overflow():
    for how, lowest, highest in (("saturate", LOWEST, HIGHEST), ("wrap", HIGHEST, LOWEST)):
        neuron = Neuron(theta=HIGHEST, overflow=how, count_overflow=True)
        state = with_membrane(neuron.init((4,)), [HIGHEST, LOWEST, HIGHEST, 0])
        state, _ = neuron.step(state, jnp.array([1.0, -1, 0, 7]))
        assert membrane(state).tolist() == [highest, lowest, HIGHEST, 7]
        assert state.saturated.tolist() == [1, 1, 0, 0]


# Parameters


def test_one_layer_late():
    """A spike found in a step is in what the next layer integrates in that step."""
    eye = Synapse(nj.Linear.from_weights(jnp.array([[9.0]])))
    net = nj.Sequential((1,), a=eye, b=Neuron(theta=5), c=eye, d=Neuron(theta=5))
    out = nj.simulate(net, jnp.array([1.0, 0, 0, 0]).reshape(4, 1, 1)).outputs
    assert out.ravel().tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("strict", [True, False])
def test_thresholds_may_be_any_numbers(strict):
    theta = [2.0, 2.5, -2.5, -2.0, 1e6 + 0.5]
    v = np.array([[1, 2, 3], [2, 3, 4], [-3, -2, -1], [-3, -2, -1], [1000000, 1000001, 1000002]]).T
    want = v > theta if strict else v >= theta
    trained = Neuron(theta=np.array(theta), strict=strict)
    assert trained.theta.dtype == jnp.float32
    for column, threshold in enumerate(theta):
        fixed = Neuron(theta=threshold, strict=strict)
        for row in range(3):
            state = with_membrane(fixed.init((5,)), v[row])
            assert fixed.step(state, jnp.zeros(5))[1][column] == want[row, column]
            assert trained.step(state, jnp.zeros(5))[1][column] == want[row, column]


@pytest.mark.parametrize("order", ["hardware", "main", "dev"])
def test_arrays_and_numbers_are_the_same(order):
    rng = np.random.default_rng(0)
    x = rng.integers(-50, 90, (30, 6))
    draws = rng.integers(-65536, 65536, (30, 6))
    same = {"theta": 60, "leak": 3, "model": 2, "shift": -12}
    mixed = {k: [v] * 5 + [v + (k != "model")] for k, v in same.items()}
    a, s = traces(Neuron(**same, order=order, draws=draws), x)
    b, z = traces(Neuron(**mixed, order=order, draws=draws), x)
    assert np.array_equal(a[:, :5], b[:, :5]) and not np.array_equal(a, b)
    assert s.sum() > 10 and z.shape == s.shape


def test_the_leak_follows_the_model():
    assert traces(Neuron(theta=9, model="ANN", order="main", shift=-16), [5, 0])[0] == [5, 0]
    v, _ = traces(Neuron(theta=9, model=[0, 2]), [[5, 5], [0, 0]])
    assert v.tolist() == [[5, 5], [0, 5]]


def test_parameters_by_channel():
    neuron = Neuron(theta=np.array([1, 1 << 33]).reshape(2, 1, 1), leak=np.full((2, 1, 1), 2))
    net = nj.Sequential((2, 3, 3), n=neuron)
    x = jnp.zeros((3, 1, 2, 3, 3)).at[0].set(8.0)
    run = nj.simulate(net, x, probes=["n.v"])
    assert run.outputs.sum(0)[0, :, 0, 0].tolist() == [1, 0]
    assert run["n.v"][:, 0, 1, 0, 0].tolist() == [8, 6, 5]


def test_only_float_thresholds_are_trained():
    fixed, trained = Neuron(theta=[1, 2], leak=[1, 2]), Neuron(theta=[1.0, 2.0])
    leaves = lambda n: jax.tree.leaves(eqx.filter(n, eqx.is_inexact_array))  # noqa: E731
    assert leaves(fixed) == [] and len(leaves(trained)) == 1


# Gradients


class TorchSpike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u, theta):
        ctx.save_for_backward(u, theta)
        return (u > 0).double()

    @staticmethod
    def backward(ctx, g):
        u, theta = ctx.saved_tensors
        slope = 1 / (1 + (torch.pi * u / theta) ** 2) / theta
        return g * slope, None


def in_torch(x, theta, leak, model, subtract, detach, ws, wv):
    """Spikes and the gradients of a weighted sum of spikes and membranes, by torch in float64."""
    x, theta = torch.tensor(x).double(), torch.tensor(theta).double()
    x.requires_grad_(), theta.requires_grad_()
    leak, model = torch.tensor(leak).double(), torch.tensor(model)
    v, loss, spikes = torch.zeros(x.shape[1:]).double(), 0.0, []
    for t in range(len(x)):
        s = TorchSpike.apply(v - theta, theta.detach())
        exact = v - torch.floor(v / 2**leak)
        smooth = v * (1 - 2.0**-leak)
        leaked = smooth + (exact - smooth).detach()  # the number with that derivative
        kept = torch.where(model == 2, leaked, torch.where(model == 3, v, torch.zeros(())))
        gate = s.detach() if detach else s
        v = kept + gate * ((v - theta if subtract else 0) - kept) + x[t]
        spikes.append(s)
        loss = loss + (s * torch.tensor(ws[t])).sum() + (v * torch.tensor(wv[t])).sum()
    loss.backward()
    return torch.stack(spikes).detach().numpy(), x.grad.numpy(), theta.grad.numpy()


@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_gradients_against_torch(reset, detach):
    rng = np.random.default_rng(1)
    n, steps = 9, 12
    theta = rng.integers(20, 60, n).astype(np.float64)
    leak, model = rng.integers(1, 5, n), np.array([0, 2, 3] * 3)
    x = rng.integers(-20, 70, (steps, n))
    ws, wv = rng.normal(size=(steps, n)), rng.normal(size=(steps, n)) / 50

    def loss(neuron, x):
        net = nj.Sequential((n,), n=neuron)
        run = nj.simulate(net, x[:, None], probes=["n.v"])
        total = (run.outputs[:, 0] * ws.astype(np.float32)).sum()
        return total + (run["n.v"][:, 0] * wv.astype(np.float32)).sum(), run.outputs[:, 0]

    neuron = Neuron(theta=theta, leak=leak, model=model, reset=reset, detach_reset=detach)
    both = lambda pair: loss(*pair)  # noqa: E731
    (g_neuron, g_x), spikes = eqx.filter_grad(both, has_aux=True)(
        (neuron, jnp.asarray(x, jnp.float32))
    )
    want = in_torch(x, theta, leak, model, reset == "subtract", detach, ws, wv)
    assert np.array_equal(spikes, want[0]) and spikes.sum() > 10
    np.testing.assert_allclose(g_x, want[1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(g_neuron.theta, want[2], rtol=1e-4, atol=1e-5)


def test_no_gradient_through_a_limit():
    def after(x, how):
        neuron = Neuron(theta=HIGHEST, overflow=how)
        state = with_membrane(neuron.init((2,)), [HIGHEST, 0])
        return neuron.step(state, x)[0].v.sum()

    assert jax.grad(after)(jnp.ones(2), "saturate").tolist() == [0, 1]
    assert jax.grad(after)(jnp.ones(2), "wrap").tolist() == [1, 1]


def test_forward_mode_and_the_surrogate():
    neuron = Neuron(theta=np.array([50.0]))
    state = with_membrane(neuron.init((1,)), 60)

    def spike(theta):
        changed = eqx.tree_at(lambda n: n.theta, neuron, theta)
        return changed.step(state, jnp.zeros(1))[1]

    y, dy = jax.jvp(spike, (jnp.array([50.0]),), (jnp.ones(1),))
    assert y == 1
    want = -ATan().derivative(jnp.float32(10 / 50)) / 50
    np.testing.assert_allclose(dy[0], want, rtol=1e-6)
    assert Relative(ATan()) == Relative(ATan())


# Synapses


@pytest.mark.parametrize("fan_in", [3, 512, 513, 3000])
def test_sums_of_16_bit_weights(fan_in):
    rng = np.random.default_rng(fan_in)
    w = rng.integers(-32768, 32768, (5, fan_in))
    w[0] = rng.integers(0, 2, fan_in) * 65535 - 32768  # extremes that cancel out
    x = (rng.random((4, 1, fan_in)) < 0.5).astype(np.float32)
    net = nj.Sequential((fan_in,), s=Synapse(nj.Linear.from_weights(jnp.asarray(w, jnp.float32))))
    exact = x[:, 0].astype(np.int64) @ w.T
    assert np.array_equal(nj.simulate(net, x).outputs[:, 0], exact.astype(np.float32))


def test_convolutions_keep_their_shape_and_their_gradient():
    conv = nj.Conv2d(60, 4, 3, padding=1, key=jax.random.key(0))  # 540 synapses
    conv = eqx.tree_at(lambda c: c.weight, conv, conv.weight * 5e5)
    x = (jax.random.uniform(jax.random.key(1), (2, 1, 60, 6, 6)) < 0.4).astype(jnp.float32)

    def total(layer):
        return (nj.simulate(nj.Sequential((60, 6, 6), c=layer), x).outputs ** 2).sum()

    synapse = Synapse(conv)
    rounded = eqx.tree_at(lambda c: c.weight, conv, on_grid(conv.weight))
    assert synapse.fan_in == 540 and np.abs(synapse.integers()).max() > 10_000
    torch_out = torch.nn.functional.conv2d(
        torch.tensor(np.asarray(x[:, 0])).double(),
        torch.tensor(synapse.integers()).double(), padding=1
    )  # fmt: skip
    out = nj.simulate(nj.Sequential((60, 6, 6), c=synapse), x).outputs[:, 0]
    assert np.array_equal(out, torch_out.numpy())
    got = eqx.filter_grad(total)(synapse).synapse.weight
    want = eqx.filter_grad(total)(rounded).weight
    np.testing.assert_allclose(got, want, rtol=1e-4)


def test_synapses_that_are_refused():
    with pytest.raises(TypeError, match="Flatten has no weight"):
        Synapse(nj.Flatten())
    with pytest.raises(ValueError, match="has a bias"):
        Synapse(nj.Linear(2, 2, bias=True, key=jax.random.key(0)))
    wide = Synapse(nj.Linear.from_weights(jnp.ones((1, LARGEST_FAN_IN + 1))))
    with pytest.raises(ValueError, match="65,537 synapses"):
        nj.Sequential((LARGEST_FAN_IN + 1,), s=wide)


# Refusals


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"theta": 1 << 35}, ValueError, r"theta is 3\.43"),
        ({"theta": [0, -(1 << 36)]}, ValueError, "theta is -68719476736..0"),
        ({"theta": [1 << 50, 0], "order": "main"}, ValueError, "out of range"),
        ({"theta": float("nan")}, ValueError, "theta is nan"),
        ({"theta": "high"}, TypeError, "theta is 'high'"),
        ({"leak": 65}, ValueError, r"leak is 65; it must be an integer within 0\.\.64"),
        ({"leak": [1, -1]}, ValueError, "leak is -1..1"),
        ({"leak": 2.5}, ValueError, "leak is 2.5"),
        ({"leak": [0.5, 1]}, TypeError, "leak is"),
        ({"shift": -33}, ValueError, "shift is -33"),
        ({"refractory": 8}, ValueError, r"refractory is 8; it must be an integer within 0\.\.7"),
        ({"model": "RF"}, ValueError, "model is 'RF'"),
        ({"model": [0, 1]}, ValueError, "model has 1; the codes are"),
        ({"reset": "none"}, ValueError, "reset is 'none'"),
        ({"order": "left"}, ValueError, "order is 'left'"),
        ({"overflow": "clip"}, ValueError, "overflow is 'clip'"),
        ({"noise": "pink"}, ValueError, "noise is 'pink'"),
        ({"bits": 36}, ValueError, "bits is 36"),
        ({"order": "dev", "reset": "subtract", "bits": 32}, ValueError, "without reset, bits"),
        ({"draws": [[0.5]]}, TypeError, "draws have type float"),
        ({"surrogate": "atan"}, TypeError, "surrogate is 'atan'"),
    ],
    ids=str,
)
def test_refusals(options, error, words):
    with pytest.raises(error, match=words):
        Neuron(**({"theta": 1} | options))


def test_shapes_and_types_of_what_comes_in():
    with pytest.raises(ValueError, match=r"leak has shape \(3,\), but there are \(4,\) neurons"):
        nj.Sequential((4,), n=Neuron(theta=1, leak=[1, 2, 3]))
    net = nj.Sequential((2,), n=Neuron(theta=1))
    with pytest.raises(TypeError, match="pass float32"):
        nj.simulate(net, jnp.zeros((2, 1, 2), jnp.bfloat16))


def test_describe():
    assert Neuron(theta=20, leak=3).describe() == "CRI LIF, theta 20, leak 3"
    text = Neuron(theta=[1, 2], model="IF", reset="subtract", refractory=2).describe()
    assert text == "CRI IF, theta by neuron, refractory 2, soft reset"
    assert "theta learned" in Neuron(theta=[1.0, 2.0]).describe()
    assert "CRI LIF" in str(nj.describe(nj.Sequential((4,), n=Neuron(theta=20))))


@pytest.mark.parametrize("order", ["hardware", "dev"])
@pytest.mark.parametrize("schedule", ["step", "layer"])
def test_gradients_pass_memoryless_neurons(order, schedule):
    """Relays, OR and AND neurons are such: what arrives decides the next spike alone."""
    network = nj.Sequential((3,), n=Neuron(theta=0, model="ANN", order=order))
    weights = jnp.array([1.0, 10.0, 100.0, 1000.0])

    def loss(x):
        spikes = nj.simulate(network, x, schedule=schedule).outputs
        return (weights[:, None, None] * spikes).sum()

    gradient = np.asarray(jax.grad(loss)(jnp.ones((4, 2, 3))))
    unit = gradient[0] / 10  # an input is weighed as the spike one step later
    assert (unit > 0).all()
    for time, weight in enumerate([10.0, 100.0, 1000.0, 0.0]):
        np.testing.assert_allclose(gradient[time], unit * weight, rtol=1e-5)
