"""Norse's neurons, against Norse in the same process.

Recordings of it are compared by tests/conformance, which builds neurons with the same functions.
"""

import equinox as eqx
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import neurojax as nj
from neurojax.converters import norse as ours
from neurojax.converters._registry import OUTPUT, convert
from neurojax.converters.torch import from_torch
from tests.converters._compare import (
    GRADIENT,
    Result,
    assert_close,
    assert_equal,
    gradient_of,
    imported,
    losses,
    run_ours,
    run_peer,
)
from tests.converters._live import fill_on_grid, on_grid, peer, spikes_in

norse = peer("norse.torch")
reset = peer("norse.torch.functional.reset")

DT = 0.125  # s; a step halves what is there, or clears it, so that float32 holds all digits
BOX = ("LIFBoxCell", "LIBoxCell", "IAFCell", "IAF")
CELLS = ("LIFCell", "LIFRecurrentCell", "LIFBoxCell", "IAFCell", "LICell", "LIBoxCell")
SEQUENCES = ("LIF", "LIFRecurrent", "IAF", "LI")
METHODS = ("super", "heaviside", "triangle", "tanh", "circ", "heavi_erfc")
REFRACTORY = ("LIFRefracCell", "LIFRefracRecurrentCell")


def step(module, x, state):
    """One step of a cell."""
    return module(x, state)


def read(state):
    """Membrane potential and current."""
    state = getattr(state, "lif", state)
    return [state.v, state.i] if hasattr(state, "i") else [state.v]


def paths(kind):
    """The same of ours."""
    inner = "neuron." if "Recurrent" in kind else ""
    return [f"{inner}v"] if kind in BOX else [f"{inner}v", f"{inner}i"]


@st.composite
def neurons(draw, features, kinds):
    """A neuron whose numbers lie on the grid."""
    kind = draw(st.sampled_from(kinds))
    number = lambda *values: torch.tensor(draw(st.sampled_from(values)))  # noqa: E731
    leak = {"v_leak": number(0.0, 0.25, -0.5), "tau_mem_inv": number(4.0, 8.0)}
    synapse = {"tau_syn_inv": number(0.0, 4.0, 8.0)}
    spiking = {
        "v_th": number(0.25, 0.5, 1.0),
        "v_reset": number(0.0, -0.25),
        "method": draw(st.sampled_from(METHODS)),
        "alpha": number(1.0, 5.0),
    }
    if kind.startswith("LIFBox"):
        method = draw(st.sampled_from((reset.reset_value, reset.reset_subtract)))
        p = norse.LIFBoxParameters(**leak, **spiking, reset_method=method)
        return norse.LIFBoxCell(p, dt=DT)
    if kind.startswith("LIBox"):
        return norse.LIBoxCell(norse.LIBoxParameters(**leak), dt=DT)
    if kind.startswith("LIF"):
        p = norse.LIFParameters(**leak, **synapse, **spiking)
        if "Refrac" in kind:
            p = norse.LIFRefracParameters(p, number(0.0, 1.0, 2.5, 3.0))
        if "Recurrent" in kind:
            options = {"autapses": draw(st.booleans()), "dt": DT}
            return getattr(norse, kind)(features, features, p, **options)
        return getattr(norse, kind)(p, dt=DT)
    if kind.startswith("LI"):
        return getattr(norse, kind)(norse.LIParameters(**leak, **synapse), dt=DT)
    return getattr(norse, kind)(norse.IAFParameters(**spiking))


def on_the_grid(module, rng):
    """Weights on the grid, without the autapses that the module has not."""
    fill_on_grid(module, rng)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("_weights"):
                parameter.copy_(torch.as_tensor(on_grid(rng, tuple(parameter.shape))))
                if name == "recurrent_weights" and not module.autapses:
                    parameter.fill_diagonal_(0.0)


def stack(data, rng, kinds, features=3):
    modules = []
    for _ in range(data.draw(st.integers(1, 2))):
        modules += [torch.nn.Linear(features, features), data.draw(neurons(features, kinds))]
    for module in modules:
        on_the_grid(module, rng)
    return modules


@given(data=st.data(), seed=st.integers(0, 1000))
@settings(max_examples=12)
def test_deep_networks_of_cells_on_a_grid(data, seed):
    rng = np.random.default_rng(seed)
    modules = stack(data, rng, CELLS)
    x = spikes_in(rng, 6, 2, (3,))
    network, last = imported(modules, (3,))
    assert last.sequence is False and last.returns == (OUTPUT, "state")
    want = run_peer(modules, x, step, read=read, seed=seed)
    assert_equal(run_ours(network, x, paths(type(modules[-1]).__name__), seed=seed), want)


@given(data=st.data(), seed=st.integers(0, 1000))
@settings(max_examples=8)
def test_deep_networks_over_time_on_a_grid(data, seed):
    rng = np.random.default_rng(seed)
    modules = stack(data, rng, SEQUENCES)
    x = spikes_in(rng, 6, 2, (3,))
    network, last = imported(modules, (3,))
    assert last.sequence is True and last.returns == (OUTPUT, "state")
    inputs = y = torch.tensor(x, requires_grad=True)
    for module in modules:
        y = module(y) if isinstance(module, torch.nn.Linear) else module(y)[0]
    (w,) = losses(tuple(y.shape), 0, seed)
    gradient = gradient_of((torch.tensor(w) * y).sum(), inputs)
    want = Result(y.detach().numpy(), [], gradient)
    assert_equal(run_ours(network, x, [], seed=seed), want)


@given(data=st.data(), seed=st.integers(0, 1000))
@settings(max_examples=8)
def test_refractory_neurons_on_a_grid(data, seed):
    """Spikes and states; the gradient of the counter is not ours, and a note says so."""
    rng = np.random.default_rng(seed)
    modules = stack(data, rng, REFRACTORY)
    x = spikes_in(rng, 8, 2, (3,))
    network, last = imported(modules, (3,))
    assert "no gradient passes a refractory period" in " ".join(last.notes)
    want = run_peer(modules, x, step, read=read)
    got = run_ours(network, x, paths(type(modules[-1]).__name__))
    assert_equal(got, want, gradients=False)


def test_refractory_neurons_over_time():
    rng = np.random.default_rng(3)
    module = norse.LIFRefracRecurrent(
        3, 4, norse.LIFRefracParameters(norse.LIFParameters(v_th=torch.tensor(0.25)))
    )
    x = rng.random((30, 2, 3)).astype(np.float32) * 2
    network, last = imported([module], (3,))
    assert last.sequence is True
    want = module(torch.tensor(x))[0].detach().numpy()
    np.testing.assert_array_equal(run_ours(network, x, []).outputs, want)
    assert want.any() and list(last.layers) == ["input_weights", ""]


@pytest.mark.parametrize("kind", [*CELLS, "LIFRefracCell"])
def test_defaults_and_any_numbers(kind):
    rng = np.random.default_rng(1)
    options = [6, 20] if "Recurrent" in kind else []
    module = getattr(norse, kind)(*options)
    x = rng.normal(0.5, 1.0, (40, 2, 6 if options else 20)).astype(np.float32)
    network, _ = imported([module], x.shape[2:])
    want = run_peer([module], x, step, read=read)
    got = run_ours(network, x, paths(kind))
    if kind.startswith("LIF") or kind == "IAFCell":
        assert_close(got, want, 0, 1.0, gradients=kind not in REFRACTORY)
        assert want.outputs.any()
    else:
        np.testing.assert_allclose(got.outputs, want.outputs, atol=2e-5, rtol=2e-5)
        np.testing.assert_allclose(got.gradient, want.gradient, atol=GRADIENT)


def test_learnt_numbers_become_parameters_with_the_same_gradients():
    rng = np.random.default_rng(2)
    rate = torch.nn.Parameter(torch.tensor([2.0, 4.0, 5.0]))
    v_th = torch.nn.Parameter(torch.tensor(0.5))
    p = norse.LIFParameters(torch.tensor(4.0), tau_mem_inv=rate, v_th=v_th)
    module = norse.LIFCell(p, dt=DT)
    x = on_grid(rng, (6, 2, 3), 2.0)
    network, last = imported([module], (3,))
    assert "parameters are time constants here, not their inverses" in last.notes
    run_peer([module], x, step, read=read)

    @eqx.filter_grad
    def gradients(network):
        run = nj.simulate(network, jnp.asarray(x), probes=["0.v", "0.i"])
        values = [run.outputs, run["0.v"], run["0.i"]]
        weights = losses(run.outputs.shape, 2, 0)
        return sum((w * value).sum() for w, value in zip(weights, values, strict=True))

    got = gradients(network).layers["0"]
    np.testing.assert_allclose(got.threshold, v_th.grad.numpy(), atol=1e-4, rtol=1e-5)
    # tau = 1 / rate, so d/drate = -tau^2 d/dtau.
    tau = np.asarray(network.layers["0"].tau)
    np.testing.assert_allclose(-(tau**2) * got.tau, rate.grad.numpy(), atol=1e-4, rtol=1e-4)


def test_constants_and_one_number_a_neuron():
    layer = convert(norse.LIFCell(), (4,)).layers[""]
    assert not jax.tree.leaves(layer)
    assert layer.describe() == "CubaLIF tau 0.01, tau_syn 0.005"
    p = norse.LIFParameters(v_th=torch.full((4,), 0.5))
    assert convert(norse.LIFCell(p), (4,)).layers[""].threshold.shape == (4,)
    # Running an IAF makes its v_reset require a gradient; it is no parameter for that.
    module = norse.IAF()
    module(torch.zeros(2, 1, 4))
    assert not jax.tree.leaves(convert(module, (4,)).layers[""])


@pytest.mark.parametrize("rate", [0.0, 12.0])
def test_rates_without_a_time_constant(rate):
    """No leak; or a step longer than the time constant, which oscillates."""
    module = norse.LIBoxCell(norse.LIBoxParameters(tau_mem_inv=torch.tensor(rate)), dt=DT)
    x = on_grid(np.random.default_rng(4), (6, 2, 3))
    network, _ = imported([module], (3,))
    assert_equal(run_ours(network, x, ["v"]), run_peer([module], x, step, read=read))


def test_autapses():
    module = norse.LIFRecurrentCell(3, 4, norse.LIFParameters(v_th=torch.tensor(0.25)))
    converted = convert(module, (3,))
    assert not np.diag(converted.layers[""].synapse.weight).any()
    assert "do not see themselves" in " ".join(converted.notes)
    # Norse clears the diagonal only when it makes the module: loaded weights are used as they are.
    with torch.no_grad():
        module.input_weights.fill_(2.0)
        module.recurrent_weights.fill_diagonal_(5.0)
    x = spikes_in(np.random.default_rng(5), 12, 2, (3,))
    network, _ = imported([module], (3,))
    got = run_ours(network, x, ["neuron.v", "neuron.i"])
    want = run_peer([module], x, step, read=read)
    assert_close(got, want, 0, 0.25)
    assert want.outputs.any()
    full = jnp.ones((4, 4))
    assert not np.diag(ours.lif_recurrent(recurrent_weights=full).synapse.weight).any()
    kept = ours.lif_recurrent(recurrent_weights=full, autapses=True)
    assert np.diag(kept.synapse.weight).all()


def test_li_with_input_weights():
    module = norse.LILinearCell(3, 4)
    x = np.random.default_rng(6).normal(size=(9, 2, 3)).astype(np.float32)
    network, _ = imported([module], (3,))
    want = run_peer([module], x, step, read=read)
    np.testing.assert_allclose(run_ours(network, x, ["v", "i"]).outputs, want.outputs, atol=1e-5)


def test_convolution_over_time():
    rng = np.random.default_rng(7)
    module = norse.LConv2d(2, 3, (3, 2), stride=(1, 2), padding=1)
    fill_on_grid(module, rng)
    x = spikes_in(rng, 3, 2, (2, 6, 6))
    network, last = imported([module], (2, 6, 6))
    assert last.sequence is True
    want = module(torch.tensor(x)).detach().numpy()
    np.testing.assert_array_equal(run_ours(network, x, []).outputs, want)


def test_refusals():
    def refused(module):
        with pytest.raises(ValueError) as error:
            convert(module, (3,))
        return str(error.value)

    assert "LSNNCell has an adaptive threshold" in refused(norse.LSNNCell())
    assert "LIFAdExRefracRecurrent" in refused(norse.LIFAdExRefracRecurrent(3, 3))
    assert "the nearest is LIFRefrac" in refused(norse.LIFAdExRefracCell())
    assert "exponential spike; the nearest is LIF" in refused(norse.LIFEx())
    izhikevich = peer("norse.torch.functional.izhikevich")
    assert "quadratic" in refused(norse.IzhikevichCell(izhikevich.tonic_spiking))
    assert "0 <= dt tau_mem_inv <= 2" in refused(norse.LICell(dt=DT))
    assert "by a probe" in refused(norse.LIF(record_states=True))
    adjoint = norse.LIFCell(norse.LIFParameters(method="adjoint"))
    assert "Norse's own forward pass fails" in refused(adjoint)
    with pytest.raises(ValueError, match="Attempted to apply threshold function adjoint"):
        adjoint(torch.zeros(1, 3))
    custom = norse.LIFBoxParameters(reset_method=lambda z, v, r, th: v)
    assert "reset_subtract" in refused(norse.LIFBoxCell(custom))


def test_sequential_state_over_time():
    rng = np.random.default_rng(8)
    p = norse.LIFParameters(*map(torch.tensor, (4.0, 4.0, 0.0, 0.25)))
    model = norse.SequentialState(
        norse.Lift(torch.nn.Conv2d(1, 2, 3)),
        norse.LIF(p, dt=DT),
        torch.nn.Flatten(2),
        norse.LIFRecurrent(8, 5, p, dt=DT),
        norse.LI(norse.LIParameters(torch.tensor(4.0), torch.tensor(4.0)), dt=DT),
    )
    for module in model.modules():
        if not list(module.children()):
            on_the_grid(module, rng)
    x = spikes_in(rng, 6, 2, (1, 4, 4))
    network = from_torch(model, torch.tensor(x))
    assert network.names == ("0.lifted_module", "1", "2", "3.input_weights", "3", "4")
    want, _ = model(torch.tensor(x))
    run = nj.simulate(network, jnp.asarray(x), probes=["3.neuron.v", "4.v"])
    np.testing.assert_array_equal(run.outputs, want.detach().numpy())
    assert np.asarray(run.outputs).any()


class Loop(torch.nn.Module):
    """Cells in a loop over time."""

    def __init__(self):
        super().__init__()
        p = norse.LIFRefracParameters(norse.LIFParameters(v_th=torch.tensor(0.25)), 3.0)
        self.linear = torch.nn.Linear(4, 6)
        self.hidden = norse.LIFRefracCell(p)
        self.readout = norse.LICell()

    def forward(self, x):
        hidden = readout = None
        potentials = []
        for x_t in x:
            z, hidden = self.hidden(self.linear(x_t), hidden)
            v, readout = self.readout(z, readout)
            potentials.append(v)
        return torch.stack(potentials)


def test_a_loop_over_time():
    rng = np.random.default_rng(9)
    model = Loop()
    x = spikes_in(rng, 20, 2, (4,)) * 5
    network = from_torch(model, torch.tensor(x))
    want = model(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(nj.simulate(network, jnp.asarray(x)).outputs, want, atol=1e-6)
    assert want.any()
