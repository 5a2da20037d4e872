"""Networks as torch modules: the same spikes, the same gradients, and exactly back."""

import copy
import dataclasses
import io

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax import layers, neurons, surrogate
from neurojax.converters._registry import convert
from neurojax.converters._torch_module.modules import PROGRAMS, TorchLayer, TorchNetwork
from neurojax.converters._torch_module.surrogates import DERIVATIVES, derivative, multi_spike
from neurojax.converters.to_torch import network_of, to_torch
from neurojax.converters.torch import from_torch
from tests._random_neurons import SPIKING, random_neuron
from tests.converters._live import on_grid, outputs_of

STEPS, BATCH = 4, 2


def surrogates():
    """An instance of every surrogate class, with no parameter at its default."""
    for cls in {c for c in vars(surrogate).values() if isinstance(c, type)} - {surrogate.Surrogate}:
        values = {f.name: 3 if f.name == "terms" else 1.5 for f in dataclasses.fields(cls)}
        yield cls(**values)


def test_every_surrogate_has_its_derivative():
    u = np.linspace(-4, 4, 161, dtype=np.float32)  # meets the corners at multiples of 0.05
    u = np.concatenate([u, np.float32([-99.0, 99.0, -0.0])])
    for one in surrogates():
        for threshold in (0.75, 2.0):
            ours = np.asarray(one.derivative(jnp.asarray(u), threshold))
            theirs = derivative(one, torch.tensor(u), threshold).numpy()
            np.testing.assert_allclose(theirs, ours, rtol=2e-4, atol=1e-6, err_msg=repr(one))
    assert {type(one) for one in surrogates()} == set(DERIVATIVES)


def test_16_bit_surrogates_are_computed_in_32_bits():
    u = torch.tensor([200.0, -300.0], dtype=torch.float16)
    g = derivative(surrogate.SuperSpike(), u, 1.0)
    assert g.dtype == torch.float16 and torch.isfinite(g).all() and (g > 0).all()


def test_the_derivative_of_a_count_by_its_threshold():
    v = np.float32([-1, 0.5, 1, 2.5, 9])
    ours = jax.jit(
        jax.grad(lambda t: surrogate.multi_spike(v, t, surrogate.ATan(), max_spikes=4).sum())
    )(jnp.float32(1.0))
    t = torch.tensor(1.0, requires_grad=True)
    multi_spike(torch.tensor(v), t, surrogate.ATan(), 4).sum().backward()
    assert abs(float(ours) - float(t.grad)) < 1e-5


@st.composite
def graphs(draw):
    """A network of two branches with feedback, of four features each.

    Numbers have few bits, and decays make ever longer fractions of them: for STEPS steps all sums
    are exact, in whatever order they are formed.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def linear(n):
        bias = coarse(rng, (4,)) if draw(st.booleans()) else None
        return nj.Linear.from_weights(coarse(rng, (4, n)), bias)

    nodes = {
        "left.in": linear(3),
        "left.cells": draw(random_neuron()),
        "right": linear(2),
        "delay": nj.Delay(draw(st.sampled_from([0, 2, (0, 1, 3, 1)]))),
        "back": linear(4),
        "both": nj.Concat(),
        "merge": linear(8),
        "cells": nj.Recurrent(draw(random_neuron()), linear(4)),
        "read": linear(4),
        "out": draw(random_neuron((*SPIKING, "LI", "CubaLI"))),
    }
    edges = [("a", "left.in"), ("left.in", "left.cells"), ("back", "left.cells"), ("b", "right")]
    edges += [("right", "delay"), ("delay", "both"), ("left.cells", "both"), ("both", "merge")]
    edges += [("merge", "cells"), nj.Edge("cells", "back", recurrent=True)]
    edges += [("cells", "read"), ("read", "out")]
    network = nj.Network(nodes, edges, inputs={"a": (3,), "b": (2,)}, outputs=["out", "left.cells"])
    return network, rng


def coarse(rng, shape):
    """Random multiples of 1/4 in ±1."""
    return (rng.integers(-4, 5, shape) / 4).astype(np.float32)


def inputs_for(network, rng):
    return {n: 2 * coarse(rng, (STEPS, BATCH, *s)) for n, s in network.inputs.items()}


def run_torch(module, inputs, **options):
    return module.run({name: torch.tensor(x) for name, x in inputs.items()}, **options)


@settings(max_examples=10)
@given(graphs())
def test_random_networks_spike_alike(case):
    network, rng = case
    inputs = inputs_for(network, rng)
    ours = nj.simulate(network, inputs, probes=["left.cells.v"])
    theirs = run_torch(to_torch(network), inputs)
    for name in network.outputs:
        np.testing.assert_array_equal(theirs.outputs[name].detach().numpy(), ours.outputs[name])
    held = theirs.state.layers["left.cells"].v.detach().numpy()
    np.testing.assert_array_equal(held, ours["left.cells.v"][-1])


@settings(max_examples=5)
@given(graphs())
def test_random_networks_learn_alike(case):
    network, rng = case
    inputs = inputs_for(network, rng)
    weights = {name: coarse(rng, (STEPS, BATCH, 4)) for name in network.outputs}
    params, static = eqx.partition(network, eqx.is_inexact_array)

    def loss(params, inputs):
        run = nj.simulate(eqx.combine(params, static), inputs)
        return sum((run.outputs[n] * weights[n]).sum() for n in weights)

    ours, to_inputs = jax.jit(jax.grad(loss, argnums=(0, 1)))(params, inputs)
    module = to_torch(network)
    tensors = {name: torch.tensor(x, requires_grad=True) for name, x in inputs.items()}
    outputs = module(tensors)
    total = sum((outputs[n] * torch.tensor(weights[n])).sum() for n in weights)
    total.backward()
    for name, tensor in tensors.items():
        close(tensor.grad, to_inputs[name], name)
    for name in network.names:
        for path, leaf in jax.tree_util.tree_leaves_with_path(ours.layers[name]):
            key = name + jax.tree_util.keystr(path)
            close(module.get_parameter(key).grad, leaf, key)


def close(tensor, array, name):
    found = np.zeros(array.shape) if tensor is None else tensor.numpy()
    scale = max(1.0, float(np.abs(array).max(initial=0)))
    np.testing.assert_allclose(found, array, atol=2e-4 * scale, rtol=2e-4, err_msg=name)


@settings(max_examples=10)
@given(graphs())
def test_there_and_back_is_exact(case):
    network, _ = case
    back = network_of(to_torch(network))
    assert jax.tree.structure(back) == jax.tree.structure(network)
    assert eqx.tree_equal(back, network, typematch=True)


def images():
    """A network of the layers with spatial axes, two-dimensional first, then one-dimensional."""
    rng = np.random.default_rng(5)
    conv = nj.Conv2d.from_weights(
        on_grid(rng, (6, 1, 2, 3)), on_grid(rng, (6,)), padding="same", groups=2
    )
    strided = nj.Conv2d.from_weights(
        on_grid(rng, (4, 6, 3, 3)), stride=(2, 1), padding=1, dilation=(1, 2)
    )
    chain = {
        "conv": conv,
        "iaf": nj.IAF(threshold=jnp.full((6, 1, 1), 0.5), max_spikes=None),
        "max": nj.MaxPool2d(3, stride=1, padding=1),
        "strided": strided,
        "avg": nj.AvgPool2d((2, 1), stride=(1, 1), padding=(1, 0)),
        "sum": nj.SumPool2d(2),
        "pad": layers.Pad([(1, 0), (0, 2)], value=-0.5),
        "up": layers.Upsample((1, 2)),
        "spread": nj.ConvTranspose2d.from_weights(
            on_grid(rng, (4, 4, 3, 2)),
            stride=(2, 1),
            padding=((0, 2), (1, 0)),
            output_padding=(1, 0),
        ),
        "part": nj.AvgPool2d(2, padding=1, count_padding=False),
        "cells": layers.Chain(i=nj.LI(decay=0.5), cut=nj.neurons.Threshold(0.25)),
        "scale": nj.Scale(jnp.full((4, 1, 1), 0.5)),
        "lines": layers.Reshape((4, -1)),
        "spread1": nj.ConvTranspose1d.from_weights(
            on_grid(rng, (4, 2, 3)), on_grid(rng, (4,)), dilation=2, groups=2, output_padding=1
        ),
        "conv1": nj.Conv1d.from_weights(on_grid(rng, (2, 4, 3)), padding=2),
        "max1": nj.MaxPool1d(2, padding=1),
        "sum1": nj.SumPool1d(3, stride=1),
        "avg1": nj.AvgPool1d(2, stride=1),
        "relu": layers.ReLU(),
        "relu6": layers.ReLU6(),
        "drop": nj.Dropout(0.5, inference=True),
        "off": nj.BatchDropout(0.5, inference=True),
        "same": nj.Identity(),
        "flat": nj.Flatten(),
    }
    network = nj.Sequential((2, 8, 8), **chain)
    return network, on_grid(rng, (3, 2, 2, 8, 8))


def test_spatial_layers_compute_alike():
    network, x = images()
    theirs = to_torch(network)(torch.tensor(x)).detach().numpy()
    ours = outputs_of(network, x)
    assert np.count_nonzero(ours) > 8
    np.testing.assert_array_equal(theirs, ours)
    assert eqx.tree_equal(network_of(to_torch(network)), network)


@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
def test_alpha(reset):
    network = nj.Sequential(
        (3,),
        a=nj.neurons.Alpha(decay=jnp.float32(0.75), decay_fast=0.5, threshold=0.25, reset=reset),
    )
    x = on_grid(np.random.default_rng(0), (12, 2, 3), 2.0)
    ours = nj.simulate(network, x, probes=["a.v"])
    theirs = to_torch(network).run(torch.tensor(x))
    np.testing.assert_allclose(
        theirs.state.layers["a"].v.detach().numpy(), ours["a.v"][-1], atol=2e-5
    )
    assert ours.outputs.sum() > 0
    np.testing.assert_array_equal(theirs.outputs.detach().numpy(), ours.outputs)


@pytest.mark.parametrize("as_parameter", [False, True])
@pytest.mark.parametrize("method", ["exact", "euler"])
def test_time_constants(as_parameter, method):
    """Given as times, as numbers or parameters, they become the same factors a step."""
    value = jnp.float32 if as_parameter else float
    cells = nj.CubaLIF(
        tau=value(7.0),
        tau_syn=value(3.0),
        dt=0.5,
        method=method,
        refractory=value(1.2),
        normalize_input=True,
        threshold=0.25,
    )
    network = nj.Sequential((5,), cells=cells)
    x = np.random.default_rng(0).random((30, 2, 5)).astype(np.float32)
    ours = nj.simulate(network, x, probes=["cells.v"])
    theirs = to_torch(network).run(torch.tensor(x))
    np.testing.assert_array_equal(theirs.outputs.detach().numpy(), ours.outputs)
    assert 0 < ours.outputs.sum() < ours.outputs.size / 2
    held = theirs.state.layers["cells"].v.detach().numpy()
    np.testing.assert_allclose(held, ours["cells.v"][-1], atol=2e-6)


def test_batch_norm_learns_the_same_statistics():
    network = nj.Sequential((3, 4), bn=nj.BatchNorm(3, momentum=0.25), cells=nj.LIF(decay=0.5))
    x = np.random.default_rng(1).normal(size=(5, 6, 3, 4)).astype(np.float32)
    run = nj.simulate(network, x)
    module = to_torch(network)
    outputs = module(torch.tensor(x))
    assert (outputs.detach().numpy() != run.outputs).mean() < 0.01  # ties by rounding aside
    learnt, found = network.absorb(run.state), network_of(module)
    for field in ("running_mean", "running_var"):
        np.testing.assert_allclose(
            getattr(found["bn"], field), getattr(learnt["bn"], field), atol=1e-5
        )
    still = eqx.nn.inference_mode(found)
    assert eqx.tree_equal(network_of(module.eval()), still)
    np.testing.assert_allclose(
        torch.nn.functional.batch_norm(
            torch.tensor(x[0]),
            *(torch.tensor(np.asarray(s)) for s in found["bn"].init(())),
        ),
        nj.simulate(nj.Sequential((3, 4), bn=still["bn"]), x[:1]).outputs[0],
        atol=1e-5,
    )


def test_dropout_masks_last_as_long_as_ours():
    x = torch.ones(6, 50, 40)
    cases = {
        "run": (nj.Dropout(0.25), 1 / 0.75),
        "step": (nj.Dropout(0.25, per_step=True), 1 / 0.75),
        "batch": (nj.BatchDropout(0.25), 1.0),
        "rescaled": (nj.BatchDropout(0.25, rescale=True), 1 / 0.75),
    }
    for name, (layer, value) in cases.items():
        module = to_torch(nj.Sequential((40,), drop=layer))
        y, state = module.run(x)
        assert set(y.unique().tolist()) == {0.0, torch.tensor(value).item()}
        assert bool((y[0] == y[1]).all()) == (name != "step")
        assert bool((y[:, 0] == y[:, 1]).all()) == (name in ("batch", "rescaled"))
        assert 0.6 < float((y > 0).float().mean()) < 0.9
        more, _ = module.run(x, state)
        assert bool((more[0] == y[0]).all()) == (name != "step")
        assert (module.eval()(x) == x).all()


def test_two_short_runs_are_one_long_run():
    network, rng = small()
    module = to_torch(network)
    x = torch.tensor(on_grid(rng, (10, 2, 3), 2.0))
    whole = module.run(x)
    first = module.run(x[:4])
    second = module.run(x[4:], first.state.detach())
    assert torch.equal(torch.cat([first.outputs, second.outputs]), whole.outputs)
    assert second.state.layers["cells"].v.grad_fn is not None
    assert first.state.detach().layers["cells"].v.grad_fn is None


def small():
    rng = np.random.default_rng(3)
    network = nj.Network(
        {
            "fc": nj.Linear.from_weights(on_grid(rng, (4, 3))),
            "cells": nj.LIF(decay=0.5, threshold=jnp.full(4, 0.5)),
            "back": nj.Linear.from_weights(on_grid(rng, (4, 4))),
        },
        [("input", "fc"), ("fc", "cells"), ("back", "cells"), nj.Edge("cells", "back", True)],
        inputs=(3,),
        outputs=["cells"],
        provenance={"fc": nj.Provenance("torch.Linear", "0", ("a note",))},
    )
    return network, rng


def test_what_torch_learns_comes_back():
    network, rng = small()
    module = to_torch(network)
    assert [name for name, _ in module.named_parameters()] == [
        "fc.weight", "back.weight", "cells.threshold",
    ]  # fmt: skip
    x = torch.tensor(on_grid(rng, (6, 2, 3), 2.0))
    torch.optim.SGD(module.parameters(), lr=0.5).zero_grad()
    (module(x).sum() + module.torch_layer("fc").weight.sum()).backward()
    torch.optim.SGD(module.parameters(), lr=0.5).step()
    back = network_of(module)
    assert not np.array_equal(back["fc"].weight, network["fc"].weight)
    np.testing.assert_array_equal(outputs_of(back, x.numpy()), module(x).detach().numpy())
    assert back.provenance == network.provenance


def test_modules_are_copied_moved_and_saved_like_any_other():
    network, rng = small()
    module = to_torch(network)
    x = torch.tensor(on_grid(rng, (5, 2, 3), 2.0))
    twin = copy.deepcopy(module)
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    with torch.no_grad():
        twin.torch_layer("fc").weight.zero_()
    twin.load_state_dict(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
    assert torch.equal(twin(x), module(x))
    assert module.double()(x.double()).dtype == torch.float64
    assert eqx.tree_equal(network_of(module.float()), network)  # constants stay what they were


def test_a_constant_that_torch_changes_is_changed():
    module = to_torch(nj.Sequential((2,), cells=nj.LIF(tau=10.0, threshold=0.1)))
    module.cells.threshold.fill_(0.7)
    assert network_of(module)["cells"].threshold == 0.7


def test_bfloat16_parameters_go_both_ways():
    network = small()[0].astype(jnp.bfloat16)
    module = to_torch(network)
    assert module.torch_layer("fc").weight.dtype == torch.bfloat16
    assert eqx.tree_equal(network_of(module), network)


def test_modules_within_modules_are_known_to_the_registry():
    cells = nj.LIF(decay=0.5, threshold=0.1)
    found = convert(TorchLayer(cells, (4,)), (4,))
    assert found.layers == {"": cells} and found.sequence
    chain = nj.Sequential((3,), fc=nj.Linear(3, 4, key=jax.random.key(0)), cells=cells)
    inner = convert(to_torch(chain), (3,))
    assert list(inner.layers) == ["fc", "cells"]
    with pytest.raises(ValueError, match="must be a chain"):
        convert(to_torch(small()[0]), (3,))
    x = torch.ones(4, 1, 4)
    np.testing.assert_array_equal(
        TorchLayer(cells, (4,))(x).numpy(), outputs_of(nj.Sequential((4,), cells), x.numpy())
    )


def test_from_torch_takes_them_back():
    network, _ = small()
    assert eqx.tree_equal(from_torch(to_torch(network), torch.ones(4, 2, 3)), network)
    chain = nj.Sequential((3,), fc=network["fc"], cells=network["cells"])
    outer = torch.nn.Sequential(to_torch(chain), torch.nn.Linear(4, 2))
    found = from_torch(outer, torch.ones(4, 2, 3))
    assert eqx.tree_equal(found["0.cells"], network["cells"])
    x = on_grid(np.random.default_rng(0), (6, 2, 3), 2.0)
    theirs = outer(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(outputs_of(found, x), theirs, atol=1e-6)


def test_other_modules_are_not_ours():
    assert network_of(torch.nn.Linear(2, 2)) is None
    assert network_of(type("TorchNetwork", (torch.nn.Module,), {})()) is None


@dataclasses.dataclass(frozen=True)
class Own(surrogate.Surrogate):
    """A surrogate of a user's."""


class Doubling(nj.Identity):
    """A layer of a user's."""


def test_everything_that_has_no_counterpart_is_named():
    core = type("Core", (nj.Identity,), {"__module__": "neurojax.chips.other"})
    few = nj.quantise.Quantiser(bits=4)
    network = nj.Sequential(
        (2,),
        double=Doubling(),
        core=core(),
        few=nj.quantise.Quantised(nj.Scale(jnp.ones(2)), {"factor": few}),
        rec=nj.Recurrent(nj.IAF(surrogate=Own()), nj.Linear(2, 2, key=jax.random.key(0))),
        chain=layers.Chain(a=Doubling()),
    )
    with pytest.raises(ValueError) as error:
        to_torch(network)
    text = str(error.value)
    assert "layer 'double': to_torch does not know Doubling" in text
    assert "layer 'core': Core is a layer of a chip" in text
    assert "layer 'few': to_torch does not quantise; neurojax.quantise.bake(network) first" in text
    assert "layer 'rec.neuron': the surrogate Own() is none of neurojax.surrogate" in text
    assert "layer 'chain.layers': to_torch does not know Doubling" in text
    with pytest.raises(TypeError, match="takes a Network, got Identity"):
        to_torch(nj.Identity())


def test_names_that_torch_would_refuse():
    network = nj.Sequential((2,), **{"type": nj.Identity(), "train": nj.Scale(jnp.ones(2))})
    module = to_torch(network)
    assert eqx.tree_equal(network_of(module.eval()), network)
    nested = {"a.b.c": nj.Identity(), "a": nj.Scale(2.0), "a.b": nj.Scale(jnp.ones(2))}
    network = nj.Sequential((2,), **nested)
    module = to_torch(network)
    assert eqx.tree_equal(network_of(module), network)
    assert set(module.state_dict()) == {"a.factor", "a.b.factor"}
    clash = nj.Sequential((2,), **{"a": nj.Scale(2.0), "a.factor": nj.Identity()})
    with pytest.raises(ValueError, match=r"'a.factor': layer 'a' has a part 'factor' of its own"):
        to_torch(clash)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.ones(5, 3), r"expected \[time, batch, 3\], got shape \(5, 3\)"),
        (torch.ones(0, 1, 3), "steps and samples >= 1"),
        ({"other": torch.ones(5, 1, 3)}, r"has inputs \['input'\], got \['other'\]"),
    ],
)
def test_inputs_that_do_not_fit(x, message):
    with pytest.raises(ValueError, match=message):
        to_torch(small()[0])(x)


def test_integers_become_floats():
    module = to_torch(small()[0])
    x = torch.ones(3, 1, 3, dtype=torch.int64)
    assert torch.equal(module(x), module(x.float()))


# Where a layer gets an option, this table has to grow with it, and the steps in torch with both.
KNOWN_FIELDS = {
    "Linear": "weight bias",
    "Conv1d": "weight bias stride padding dilation groups implementation",
    "ConvTranspose1d": ("weight bias stride padding output_padding dilation groups implementation"),
    "SumPool1d": "kernel_size stride padding",
    "AvgPool1d": "kernel_size stride padding count_padding",
    "BatchNorm": "switch weight bias running_mean running_var eps momentum",
    "Dropout": "switch rate run_key per_step",
    "BatchDropout": "switch rate run_key rescale",
    "Delay": "steps",
    "Recurrent": "neuron synapse",
    "Reshape": "shape",
    "Scale": "factor",
    "Concat": "axis",
    "Pad": "padding value",
    "Permute": "axes",
    "Slice": "start stop axis",
    "MatMul": "",
    "Upsample": "factor",
    "Chain": "names layers",
    "Flatten": "",
    "Identity": "",
    "Add": "",
    "ReLU": "",
}
_NEURON = "gain v_min v_init dt"
_LEAK = f"{_NEURON} tau decay method v_rest normalize_input"
_SPIKING = (
    "threshold reset reset_value reset_delay detach_reset strict max_spikes refractory amplitude "
    "winner_take_all detach_threshold surrogate"
)
_CUBA = f"{_NEURON} tau_syn decay_syn method order"
KNOWN_FIELDS |= {
    "Threshold": "threshold strict surrogate",
    "IAF": f"{_NEURON} {_SPIKING}",
    "LIF": f"{_LEAK} {_SPIKING}",
    "LI": _LEAK,
    "CubaIAF": f"{_CUBA} {_SPIKING}",
    "CubaLIF": f"{_CUBA} {_LEAK} {_SPIKING}",
    "CubaLI": f"{_CUBA} {_LEAK}",
    "AdaptiveLIF": f"{_LEAK} {_SPIKING} tau_adapt decay_adapt adaptation",
    "Alpha": f"{_NEURON} tau decay tau_fast decay_fast scale threshold reset surrogate",
}
_SAME = {
    "Conv2d": "Conv1d",
    "ConvTranspose2d": "ConvTranspose1d",
    "SumPool2d": "SumPool1d",
    "AvgPool2d": "AvgPool1d",
}
_SAME |= {"MaxPool1d": "SumPool1d", "MaxPool2d": "SumPool1d", "ReLU6": "ReLU"}


@pytest.mark.parametrize("package", [layers, neurons])
def test_every_layer_and_option_has_been_thought_of(package):
    for cls in {c for c in vars(package).values() if isinstance(c, type)}:
        if not issubclass(cls, nj.Layer):
            continue
        name = _SAME.get(cls.__name__, cls.__name__)
        assert cls in PROGRAMS, f"to_torch does not know {cls.__name__}"
        fields = {field.name for field in dataclasses.fields(cls)}
        assert fields == set(KNOWN_FIELDS[name].split()), f"to_torch: {cls.__name__} has changed"


def test_repr_is_a_table_of_layers():
    module = to_torch(small()[0])
    assert isinstance(module, TorchNetwork)
    assert "(cells): LIF(decay 0.5)" in repr(module)
