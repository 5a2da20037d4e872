"""Parameters by name and by order, and everything that may not fit."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.converters.parameters import load_parameters
from neurojax.converters.to_torch import to_torch
from tests.converters._live import outputs_of, spikes_in


def network(bias=True):
    return nj.Sequential(
        (3,),
        fc1=nj.Linear(3, 4, bias=bias, key=jax.random.key(0)),
        bn=nj.BatchNorm(4, inference=True),
        cells=nj.LIF(decay=0.5, threshold=jnp.ones(4)),
        fc2=nj.Linear(4, 2, key=jax.random.key(1)),
    )


class Torch(torch.nn.Module):
    """The same in torch, under other names."""

    def __init__(self):
        super().__init__()
        self.body = torch.nn.ModuleDict({"0": torch.nn.Linear(3, 4), "1": torch.nn.BatchNorm1d(4)})
        self.register_buffer("v_th", torch.full((4,), 0.25))
        self.head = torch.nn.Linear(4, 2, bias=False)
        self.eval()

    def forward(self, x):
        v, spikes = 0, []
        for now in x:
            v = 0.5 * v + self.body["1"](self.body["0"](now))
            s = (v >= self.v_th).to(v)
            v = v - s * self.v_th
            spikes.append(self.head(s))
        return torch.stack(spikes)


MAPPING = {
    "fc1.*": "body.0.*",
    "bn.*": "body.1.*",
    "cells.threshold": "v_th",
    "fc2.weight": "head.weight",
}


def test_a_model_of_torch_by_names():
    torch.manual_seed(0)
    module = Torch()
    with torch.no_grad():
        module.body["1"].running_var.uniform_(0.5, 2)
    loaded = load_parameters(network(), module.state_dict(), MAPPING)
    x = spikes_in(np.random.default_rng(0), 20, 2, (3,))
    ours = outputs_of(loaded.network, x)
    np.testing.assert_allclose(module(torch.tensor(x)).detach(), ours, atol=2e-5)
    assert len(np.unique(ours)) > 2
    report = loaded.report
    assert report.loaded[0][:3] == ("fc1.weight", "body.0.weight", (4, 3))
    assert report.missing == () and report.unused == ("body.1.num_batches_tracked",)
    assert "fc2.weight" in str(report) and "unused there: body.1.num_batches" in str(report)


def test_a_model_of_torch_by_order():
    module = Torch()
    state = module.state_dict()
    # The threshold is a buffer of the root, so it comes first there.
    with pytest.raises(ValueError, match=r"fc1.weight from 'v_th': it has shape \(4,\)"):
        load_parameters(network(), state, match="order")
    moved = {k: v for k, v in state.items() if k not in ("v_th", "head.weight")}
    moved |= {"v_th": state["v_th"], "head.weight": state["head.weight"]}
    by_order = load_parameters(network(), moved, match="order")
    by_name = load_parameters(network(), state, MAPPING)
    assert eqx.tree_equal(by_order.network, by_name.network)


def test_our_own_state_dict_fits_without_a_mapping(tmp_path):
    net = network()
    state = to_torch(net).state_dict()
    torch.save(state, tmp_path / "weights.pt")
    for source in (state, tmp_path / "weights.pt", str(tmp_path / "weights.pt"), to_torch(net)):
        assert eqx.tree_equal(load_parameters(network(), source).network, net)


def test_a_function_names_them():
    net = network(bias=False)
    state = {f"ann/{name}": np.full(np.shape(leaf), 2.0) for name, leaf in arrays(net)}
    loaded = load_parameters(net, state, lambda name: f"ann/{name}")
    assert all((leaf == 2).all() for _, leaf in arrays(loaded.network))
    kept = load_parameters(
        net, state, lambda name: None if "bn" in name else f"ann/{name}", strict=False
    )
    assert (kept.network["bn"].weight == 1).all() and kept.report.missing == ()
    assert [key for key in kept.report.unused if "bn" not in key] == []


def arrays(net):
    for name in net.names:
        for path, leaf in jax.tree_util.tree_leaves_with_path(net[name]):
            yield name + jax.tree_util.keystr(path), leaf


def test_constants_are_taken_if_they_are_there():
    net = nj.Sequential((2,), cells=nj.LIF(tau=10.0, threshold=1.0))
    loaded = load_parameters(net, {"cells.threshold": torch.tensor([0.25])}).network
    assert loaded["cells"].threshold == 0.25 and loaded["cells"].tau == 10
    assert jax.tree.leaves(loaded) == []
    x = np.full((1, 1, 2), 0.25, np.float32)
    assert outputs_of(loaded, x).sum() == 2
    mapped = load_parameters(net, {"lif.beta": np.float32(20.0)}, {"cells.tau": "lif.beta"})
    assert mapped.network["cells"].tau == 20
    assert mapped.report.loaded[0].note == "constant 10"
    with pytest.raises(ValueError, match=r"make that an array, say jnp.full\(\(2,\), 1\)"):
        load_parameters(net, {"cells.threshold": np.ones(2)})
    with pytest.raises(ValueError, match=r"cells.threshold from 'cells.threshold': it is nan"):
        load_parameters(net, {"cells.threshold": np.nan})


def test_layers_within_layers():
    net = nj.Sequential(
        (2,),
        rec=nj.Recurrent(nj.IAF(), nj.Linear(2, 2, key=jax.random.key(0))),
        chain=nj.layers.Chain(i=nj.Linear(2, 2, key=jax.random.key(1)), s=nj.IAF()),
    )
    state = to_torch(net).state_dict()
    assert "chain.layers.0.weight" in state
    zeros = {name: torch.zeros_like(value) for name, value in state.items() if "weight" in name}
    loaded = load_parameters(net, zeros).network
    assert not any(leaf.any() for leaf in jax.tree.leaves(loaded))


def test_everything_that_does_not_fit_is_said_at_once():
    net = network()
    state = {
        "fc1.weight": np.ones((3, 4)),
        "fc1.bias": np.ones((4, 1, 1)),
        "bn.weight": np.array([1, np.nan, np.inf, 0]),
        "bn.bias": np.array(["a"] * 4),
        "bn.running_mean": np.ones(4) * 1e300,
        "bn.running_avr": np.ones(4),
        "cells.threshold": np.ones(4) * 1j,
        "fc2.weight": np.ones((8,)),
        "fc2.bias": np.ones(2),
        "extra": np.ones(2),
    }
    before = jax.tree.leaves(net)
    with pytest.raises(ValueError) as error:
        load_parameters(net, state, {"fc3.weight": "extra", "cells.gain": "gian"})
    text = str(error.value)
    for part in (
        "mapping: 'fc3.weight' is no parameter of the network; did you mean 'fc2.weight'?",
        "cells.gain: no 'gian' there; ",
        "fc1.weight from 'fc1.weight': it has shape (3, 4), but (4, 3) is needed; it is transposed",
        "fc1.bias from 'fc1.bias': it has shape (4, 1, 1), but (4,) is needed; only axes of length",
        "bn.weight from 'bn.weight': 2 of 4 values are NaN or infinite as float32",
        "bn.bias from 'bn.bias': it holds <U1, not real numbers",
        "bn.running_mean from 'bn.running_mean': 4 of 4 values are NaN or infinite as float32",
        "bn.running_var: no 'bn.running_var' there; did you mean 'bn.running_avr'?",
        "cells.threshold from 'cells.threshold': it holds complex128",
        "fc2.weight from 'fc2.weight': it has shape (8,), but (2, 4) is needed; the number",
        "'fc2.bias' there is not used here: layer 'fc2' was made without bias",
        "'extra' there is not used here",
    ):
        assert part in text, text
    assert all(a is b for a, b in zip(before, jax.tree.leaves(net), strict=True))


def test_transforms():
    net = network(bias=False)
    rng = np.random.default_rng(0)
    fc1 = rng.normal(size=(3, 4)).astype(np.float32)
    fc2 = rng.normal(size=(2, 4, 1, 1, 1)).astype(np.float32)  # a dense block of slayer
    loaded = load_parameters(
        net,
        {"fc1.weight": fc1, "fc2.weight": fc2, "cells.threshold": np.float32([0.5])},
        transforms={
            "fc1.weight": "transpose",
            "fc2.*": "squeeze",
            "cells.threshold": lambda a: np.repeat(a, 4),
        },
        strict=False,
    )
    np.testing.assert_array_equal(loaded.network["fc1"].weight, fc1.T)
    np.testing.assert_array_equal(loaded.network["fc2"].weight, fc2[..., 0, 0, 0])
    assert (loaded.network["cells"].threshold == 0.5).all()
    assert [row.note for row in loaded.report.loaded] == ["transpose", "transformed", "squeeze"]
    with pytest.raises(ValueError, match="transform 'squeeze' does not fit shape"):
        load_parameters(
            net, {"fc1.weight": fc1}, transforms={"fc1.weight": "squeeze"}, strict=False
        )
    with pytest.raises(ValueError, match="transforms: 'fc9' is no parameter"):
        load_parameters(net, {}, transforms={"fc9": "squeeze"}, strict=False)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int8])
def test_types_are_cast_and_said(dtype):
    net = nj.Sequential((2,), fc=nj.Linear(2, 2, key=jax.random.key(0)))
    weight = torch.tensor([[1.0, -2.0], [0.0, 3.0]]).to(dtype)
    loaded = load_parameters(net, {"fc.weight": weight})
    np.testing.assert_array_equal(loaded.network["fc"].weight, weight.to(torch.float32))
    assert loaded.report.loaded[0].note == f"{str(dtype).removeprefix('torch.')} to float32"
    half = load_parameters(net.astype(jnp.bfloat16), {"fc.weight": weight}).network
    assert half["fc"].weight.dtype == jnp.bfloat16


def test_stars_must_agree():
    with pytest.raises(ValueError, match="must have equally many stars"):
        load_parameters(network(), {}, {"fc1.*": "first"}, strict=False)


@pytest.mark.parametrize("bad", [3, ["a"]])
def test_what_is_no_state_dict(bad):
    with pytest.raises(TypeError, match="give tensors by name, or a file"):
        load_parameters(network(), bad)


def test_options_are_checked():
    with pytest.raises(ValueError, match="must be 'name' or 'order'"):
        load_parameters(network(), {}, match="size")
    with pytest.raises(ValueError, match="takes no mapping"):
        load_parameters(network(), {}, {}, match="order")


def test_sparse_tensors_are_refused():
    with pytest.raises(ValueError, match=r"'fc1.weight' can't be read as an array: .* sparse"):
        load_parameters(network(), {"fc1.weight": torch.eye(4, 3).to_sparse()})


@settings(max_examples=40)
@given(st.data())
def test_any_renaming_is_undone(data):
    """Names shuffled and prefixed, arrays in any order: the mapping alone decides."""
    net = network()
    state = {name: np.asarray(leaf) for name, leaf in arrays(net)}
    names = sorted(state)
    others = data.draw(st.permutations(names))
    prefix = data.draw(st.text("ab.*[", max_size=4))
    mapping = {a: (prefix + b).replace("*", "x") for a, b in zip(names, others, strict=True)}
    renamed = {mapping[a]: state[a] for a in data.draw(st.permutations(names))}
    zeros = jax.tree.map(jnp.zeros_like, net)
    assert eqx.tree_equal(load_parameters(zeros, renamed, mapping).network, net)
