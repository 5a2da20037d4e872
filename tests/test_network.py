"""Networks: construction, checks, tables, and their life as pytrees."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neurojax as nj
from neurojax._layer import Constant, parameter
from neurojax.converters import slayer
from neurojax.converters.sinabs._layers import OwnReset


class Gain(nj.Layer):
    """Multiplies by a gain; a parameter if it is an array."""

    gain: object = eqx.field(converter=parameter, default=1.0)

    def step(self, state, x, *, key=None):
        return None, x * self.gain

    def out_shape(self, in_shape):
        return in_shape


class Dense(nj.Layer):
    """A bare matrix product."""

    weight: jax.Array

    def step(self, state, x, *, key=None):
        return None, self.weight @ x

    def out_shape(self, in_shape):
        if in_shape != self.weight.shape[1:]:
            raise ValueError(f"takes {self.weight.shape[1]} features, got shape {in_shape}")
        return (self.weight.shape[0],)


class Memory(nj.Layer):
    """Adds up its input."""

    def init(self, in_shape):
        return jnp.zeros(in_shape)

    def step(self, state, x, *, key=None):
        return state + x, state + x

    def out_shape(self, in_shape):
        return in_shape


class Join(nj.Layer):
    """Concatenates along the first axis."""

    many_inputs = True

    def step(self, state, x, *, key=None):
        return None, jnp.concatenate(x)

    def out_shape(self, in_shape):
        return (sum(shape[0] for shape in in_shape), *in_shape[0][1:])


def dense(rows, columns):
    return Dense(jnp.asarray(np.arange(rows * columns).reshape(rows, columns), jnp.float32))


def test_sequential_names_layers_by_class_and_number():
    net = nj.Sequential((3,), Gain(), Gain(), last=Memory())
    assert net.names == ("gain1", "gain2", "last")
    assert net.outputs == ("last",)
    assert net.inputs == {"input": (3,)}


def test_sum_of_edges_and_concatenation():
    net = nj.Network(
        {"a": Gain(2.0), "b": Gain(3.0), "sum": Memory(), "both": Join()},
        [("x", "a"), ("y", "b"), ("a", "sum"), ("b", "sum"), ("b", "both"), ("a", "both")],
        inputs={"x": (2,), "y": (2,)},
        outputs=["sum", "both"],
    )
    x, y = jnp.ones((1, 1, 2)), 10 * jnp.ones((1, 1, 2))
    run = nj.simulate(net, {"x": x, "y": y})
    assert run.outputs["sum"][0, 0].tolist() == [32.0, 32.0]
    # Concatenation follows the order of the edges: b before a.
    assert run.outputs["both"][0, 0].tolist() == [30.0, 30.0, 2.0, 2.0]


def test_recurrent_edge_delivers_the_step_before():
    # y[t] = x[t] + 2 y[t-1], by hand
    net = nj.Network(
        {"y": Gain(), "back": Gain(2.0)},
        [("input", "y"), ("back", "y"), nj.Edge("y", "back", recurrent=True)],
        inputs=(1,),
        outputs=["y"],
    )
    x = jnp.asarray([1.0, 0.0, 0.0, 1.0])[:, None, None]
    for schedule in ("step", "layer"):
        run = nj.simulate(net, x, schedule=schedule)
        assert run.outputs[:, 0, 0].tolist() == [1.0, 2.0, 4.0, 9.0]


def test_recurrent_edge_to_a_later_stage_is_one_step_late():
    net = nj.Network(
        {"a": Gain(), "b": Memory()},
        [("input", "a"), nj.Edge("a", "b", recurrent=True)],
        inputs=(1,),
        outputs=["b"],
    )
    x = jnp.asarray([1.0, 10.0, 100.0])[:, None, None]
    for schedule in ("step", "layer"):
        first = nj.simulate(net, x[:2], schedule=schedule)
        second = nj.simulate(net, x[2:], state=first.state, schedule=schedule)
        assert first.outputs.ravel().tolist() == [0.0, 1.0]
        assert second.outputs.ravel().tolist() == [11.0]


def test_shapes_are_found_through_feedback():
    net = nj.Network(
        {"back": dense(3, 3), "y": Memory()},
        [("back", "y"), ("input", "y"), nj.Edge("y", "back", True)],
        inputs=(3,),
    )
    assert net.in_shape("back") == (3,)
    assert net.outputs == ("y",)
    assert len(net.stages) == 1


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([("input", "a"), ("a", "bb")], "target 'bb' does not exist; did you mean 'b'"),
        ([("input", "a")], "layer 'b' has no incoming edge"),
        ([("input", "a"), ("a", "b"), ("b", "a")], "mark one of them recurrent"),
        ([("input", "a"), ("a", "b"), ("a", "b")], "given more than once"),
        ([("input", "a"), ("a", "b"), ("a", "input")], "can't be a target"),
        ([nj.Edge("input", "a", True), ("a", "b")], "source of a recurrent edge"),
        ([("input", "a"), ("a", "b"), ("input", "b")], "must agree"),
        ([("input", "b"), ("b", "a")], "layer 'a': takes 2 features, got shape (2, 7)"),
    ],
)
def test_wrong_graphs_are_refused_in_words(edges, message):
    shape = (2, 7) if message.endswith("(2, 7)") else (2,)
    layers = {"a": dense(3, 2), "b": Memory()}
    with pytest.raises(ValueError) as error:
        nj.Network(layers, edges, inputs=shape)
    assert message in str(error.value)


def test_several_findings_are_reported_together():
    with pytest.raises(ValueError) as error:
        nj.Network({"a": Gain(), "b": object()}, [("inptu", "a")], inputs=(2,), outputs=["c"])
    text = str(error.value)
    assert "did you mean 'input'" in text
    assert "layer 'b' is a object" in text
    assert "layer 'b' has no incoming edge" in text
    assert "output 'c' is not a layer" in text


def test_layers_that_only_feed_each_other_are_refused():
    with pytest.raises(ValueError, match="only feed each other: 'b', 'c'"):
        nj.Network(
            {"a": Gain(), "b": Gain(), "c": Gain()},
            [("input", "a"), ("b", "c"), nj.Edge("c", "b", True)],
            inputs=(1,),
        )


def test_bad_input_shape_and_names():
    with pytest.raises(ValueError, match="must be positive integers"):
        nj.Sequential((2, 0), Gain())
    with pytest.raises(ValueError, match="at least one layer"):
        nj.Sequential((2,))
    with pytest.raises(ValueError, match="taken by an unnamed layer"):
        nj.Sequential((2,), Gain(), gain1=Gain())
    with pytest.raises(ValueError, match="both an input and a layer"):
        nj.Network({"input": Gain()}, [("input", "input")], inputs=(2,))
    with pytest.raises(ValueError, match="has no output"):
        nj.Network({"a": Gain()}, [("input", "a")], inputs=(2,), outputs=[])
    with pytest.raises(KeyError, match="did you mean 'gain1'"):
        nj.Sequential((2,), Gain())["gain"]


def test_parameters_that_are_not_finite_are_named():
    with pytest.raises(ValueError, match=r"layer 'a': weight holds 1 of 4 values that are NaN"):
        nj.Sequential((2,), a=Dense(jnp.asarray([[1.0, jnp.nan], [0.0, 0.0]])))
    net = nj.Sequential((2,), a=dense(2, 2))
    broken = eqx.tree_at(lambda n: n.layers["a"].weight, net, jnp.full((2, 2), jnp.inf))
    with pytest.raises(ValueError, match=r"layer 'a': weight holds 4 of 4"):
        nj.simulate(broken, jnp.ones((1, 1, 2)))


def test_printing_shows_layers_shapes_and_parameters():
    net = nj.Network(
        {"in": dense(3, 2), "mem": Memory(), "back": dense(3, 3)},
        [("input", "in"), ("in", "mem"), ("back", "mem"), nj.Edge("mem", "back", True)],
        inputs=(2,),
        outputs=["mem"],
    )
    lines = str(net).splitlines()
    assert lines[0].split() == ["layer", "what", "from", "shape", "parameters"]
    assert any(line.split() == ["in", "Dense", "input", "3", "6"] for line in lines)
    assert any("mem (output)" in line and "in + back" in line for line in lines)
    assert any("~mem" in line for line in lines)
    assert lines[-1].startswith("3 layers, 15 parameters")
    assert repr(net) == str(net)


def test_a_number_is_a_constant_and_an_array_a_parameter():
    fixed, learnt = Gain(2), Gain(jnp.asarray(2.0))
    assert isinstance(fixed.gain, Constant)
    assert jax.tree.leaves(fixed) == []
    assert len(jax.tree.leaves(learnt)) == 1
    # In a run the constant is weak: it does not lift bfloat16 to float32.
    net = nj.Sequential((2,), Gain(0.5))
    assert nj.simulate(net, jnp.ones((1, 1, 2), jnp.bfloat16)).outputs.dtype == jnp.bfloat16
    assert parameter(np.ones(3)).shape == (3,)
    assert parameter(None) is None


def test_network_is_a_pytree_for_jit_grad_vmap_and_optax():
    net = nj.Sequential((2,), a=dense(3, 2), b=Gain(2.0), c=Memory())
    x = jnp.ones((4, 1, 2))

    def loss(net):
        return nj.simulate(net, x).outputs.sum()

    gradient = jax.grad(loss)(net)
    # d/dw of sum over t of sum over s <= t of 2 w x = 2 (1 + 2 + 3 + 4)
    np.testing.assert_array_equal(gradient["a"].weight, jnp.full((3, 2), 20.0))
    np.testing.assert_array_equal(jax.jit(jax.grad(loss))(net)["a"].weight, gradient["a"].weight)
    many = jax.tree.map(lambda w: jnp.stack([w, 2 * w, 3 * w]), net)
    losses = jax.vmap(loss)(many)
    np.testing.assert_array_equal(losses, loss(net) * jnp.asarray([1.0, 2.0, 3.0]))
    optimiser = optax.sgd(0.1)
    updates, _ = optimiser.update(gradient, optimiser.init(net))
    stepped = optax.apply_updates(net, updates)
    np.testing.assert_allclose(stepped["a"].weight, net["a"].weight - 2.0)
    assert stepped.names == net.names


def test_names_keep_their_order_through_a_pytree_round_trip():
    net = nj.Sequential((2,), z=Gain(jnp.ones(2)), a=Memory())
    again = jax.tree.map(lambda x: x, net)
    assert again.names == ("z", "a")
    assert str(again) == str(net)


def test_replace_checks_the_new_layer():
    net = nj.Sequential((2,), a=dense(3, 2), b=Memory())
    assert net.replace(a=dense(5, 2)).out_shape("b") == (5,)
    with pytest.raises(ValueError, match="takes 4 features"):
        net.replace(a=dense(3, 4))
    with pytest.raises(KeyError, match="no layer 'aa'"):
        net.replace(aa=Gain())


def test_networks_know_where_their_layers_came_from():
    known = {"a": nj.Provenance("torch.Linear", "fc1", ("a note",))}
    net = nj.Network({"a": dense(3, 2)}, [("input", "a")], inputs=(2,), provenance=known)
    assert net.provenance == known
    assert net.replace(a=dense(5, 2)).provenance == known
    assert jax.tree.map(lambda x: 2 * x, net).provenance == known
    with pytest.raises(ValueError, match="provenance of 'aa': no such layer; did you mean 'a'"):
        nj.Network({"a": dense(3, 2)}, [("input", "a")], inputs=(2,), provenance={"aa": known["a"]})


def test_layers_say_whether_they_spike():
    weights = jnp.eye(2)
    truncated = slayer.recurrent(
        weights,
        weights,
        slayer.cuba_neuron(threshold=1.0, current_decay=0.5, voltage_decay=0.5),
        gradient="through_feedback_only",
    )
    own = OwnReset(nj.IAF(reset="none"), 1.0, True)
    recurrent = nj.Recurrent(nj.LIF(tau=2.0), nj.Linear.from_weights(weights))
    for layer in (nj.LIF(tau=2.0), recurrent, truncated["neuron"], own):
        assert layer.spiking
    for layer in (nj.LI(tau=2.0), nj.Recurrent(nj.LI(tau=2.0), recurrent.synapse), nj.Flatten()):
        assert not layer.spiking
