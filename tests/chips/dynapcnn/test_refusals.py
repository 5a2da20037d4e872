"""Networks that the chip can't hold: every reason, with layer, value, range and remedy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips import MappingError
from neurojax.chips.dynapcnn import DVS, map as map_network
from neurojax.layers import (
    Add,
    AvgPool2d,
    BatchNorm,
    Concat,
    Conv1d,
    Conv2d,
    Dropout,
    Flatten,
    MaxPool2d,
    Scale,
    SumPool2d,
)
from neurojax.neurons import IAF, LI, LIF
from tests.chips.dynapcnn.layers import conv, iaf, linear


def refused(network, **options):
    with pytest.raises(MappingError) as error:
        map_network(network, **options)
    return error.value


def one(shape=(2, 16, 16), **layers):
    """The only problem of a chain."""
    problems = refused(nj.Sequential(shape, **layers)).problems
    assert len(problems) == 1, problems
    return problems[0]


@pytest.mark.parametrize(
    ("layer", "shape", "found", "legal"),
    [
        (conv(k=17, padding=7), (2, 20, 20), "kernel of 17x17", "at most 16x16"),
        (conv(k=(3, 5)), (2, 16, 16), "kernel of 3x5", "square"),
        (conv(stride=3), (2, 16, 16), "stride 3x3", "1, 2, 4 or 8"),
        (conv(k=16, padding=8), (2, 16, 16), "padding 8x8", "0 to 7"),
        (conv(k=2, padding="same"), (2, 16, 16), "differs before and after", "same on both"),
        (conv(dilation=2), (2, 16, 16), "dilation 2x2", "no dilation"),
        (conv(groups=2), (2, 16, 16), "2 groups", "all input features"),
        (conv(padding=1), (2, 100, 100), "neurons is 100x100", "at most 64x64"),
        (conv(k=8, stride=8), (2, 200, 200), "input map is 200x200", "at most 128x128"),
        (conv(o=1025, k=1), (2, 1, 1), "1025 output features", "at most 1024"),
        (conv(i=1025, k=1), (1025, 1, 1), "1025 input features", "at most 1024"),
        (conv(o=64, padding=1), (2, 64, 64), "262,144 of neuron", "65,536/16,384/1,024"),
        (conv(i=64, o=128, k=5), (64, 5, 5), "262,144 words of kernel", "speck2fmodule"),
        (conv(i=8, o=64, k=7), (8, 40, 40), "262,144 of neuron", "cores of speck2fmodule"),
    ],
)
def test_convolutions(layer, shape, found, legal):
    problem = one(shape, conv=layer, spikes=iaf())
    assert problem.layer in ("conv", "spikes")
    assert found in problem.found and legal in problem.legal and problem.remedy
    assert str(problem).startswith(f"layer '{problem.layer}': ")


@pytest.mark.parametrize(
    ("pool", "found"),
    [
        (AvgPool2d(3), "pooling over 3x3"),
        (SumPool2d(8), "pooling over 8x8"),
        (AvgPool2d((2, 1)), "pooling over 2x1"),
        (AvgPool2d(2, stride=1), "a window of 2x2 with stride 1x1"),
        (AvgPool2d(2, padding=1), "padding 1x1"),
        (MaxPool2d(2), "MaxPool2d"),
    ],
)
def test_pooling(pool, found):
    problem = one(conv=conv(), spikes=iaf(), pool=pool, conv2=conv(k=1), out=iaf())
    assert problem.layer == "pool" and found in problem.found


def test_pools_in_a_row_count_together():
    chain = {
        "conv": conv(padding=1),
        "spikes": iaf(),
        "a": AvgPool2d((2, 1)),
        "b": SumPool2d((1, 2)),
    }
    assert map_network(nj.Sequential((2, 16, 16), **chain)).network["b"].kernel_size == (2, 2)
    chain = {"a": AvgPool2d(4), "b": AvgPool2d(2), "conv2": conv(k=1), "out": iaf()}
    problem = one(conv=conv(padding=1), spikes=iaf(), **chain)
    assert problem.layer == "a, b" and "8x8 in all" in problem.found


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"strict": True}, "strict=True"),
        ({"reset": "none"}, "reset 'none'"),
        ({"reset": "value", "reset_value": 0.5}, "reset 'value' 0.5"),
        ({"reset_delay": True}, "reset_delay=True"),
        ({"refractory": 2.0}, "refractory"),
        ({"amplitude": 2.0}, "amplitude"),
        ({"winner_take_all": True}, "winner_take_all"),
        ({"v_init": 0.5}, "v_init"),
        ({"gain": np.arange(14, dtype=np.float32)}, "gain that differs within a feature"),
        ({"threshold": 0.0}, "threshold 0"),
        ({"threshold": jnp.array([1.0, 2.0]).reshape(2, 1, 1)}, "threshold has 2 values"),
        ({"v_min": 0.25}, "v_min 0.25"),
        ({"threshold": 1e-4}, "threshold 0.0001 becomes 0 at the scale"),
    ],
)
def test_neurons(options, found):
    neuron = IAF(**({"v_min": -1.0} | options))
    problem = one(conv=conv(), spikes=neuron)
    assert problem.layer == "spikes" and found in problem.found


def test_what_a_threshold_must_be_at_least():
    weight = np.full((1, 1, 1, 1), 100.0, np.float32)
    net = lambda t: nj.Sequential(  # noqa: E731
        (1, 4, 4), conv=Conv2d.from_weights(weight), spikes=IAF(threshold=t, v_min=-1.0)
    )
    assert "0.7874 or more" in refused(net(0.1)).problems[0].remedy
    assert map_network(net(0.7874)).network["spikes"].integers().threshold == 1


@pytest.mark.parametrize(
    ("layers", "layer", "found"),
    [
        ({"a": conv(), "b": conv(), "c": iaf()}, "a", "Conv2d without spiking neurons"),
        ({"a": conv(), "b": iaf(), "c": conv()}, "c", "Conv2d without spiking neurons"),
        ({"a": iaf(), "b": conv(), "c": iaf()}, "a", "neurons without weights"),
        ({"a": conv(), "b": iaf(), "c": iaf()}, "c", "neurons without weights"),
        ({"a": conv(), "b": SumPool2d(2), "c": iaf()}, "b", "pooling between"),
        ({"a": conv(), "b": LIF(tau=5.0)}, "b", "a LIF layer"),
        ({"a": conv(), "b": LI(tau=5.0)}, "b", "a LI layer"),
        ({"a": conv(), "b": nj.chips.loihi.ShiftNorm(2), "c": iaf()}, "b", "a ShiftNorm layer"),
        ({"a": conv(), "b": LIF(decay=1.0, v_rest=0.5)}, "b", "a LIF layer"),
        ({"a": conv(), "b": iaf(), "c": BatchNorm(2)}, "c", "BatchNorm that does not follow"),
        ({"a": conv(), "b": Scale(2.0), "c": BatchNorm(2), "d": iaf()}, "c", "does not follow"),
        ({"a": conv(), "b": Scale(jnp.array([1.0, 2]).reshape(2, 1, 1)), "c": iaf()}, "b", "2 val"),
        ({"a": conv(), "b": Flatten(), "c": iaf()}, "b", "Flatten between"),
        ({"a": conv(), "b": iaf(), "c": Scale(0.5), "d": AvgPool2d(2)}, "c", "no weights behind"),
    ],
)
def test_order_of_layers(layers, layer, found):
    problem = one(**layers)
    assert problem.layer == layer and found in problem.found and problem.remedy


def test_linear_needs_a_square_map():
    problem = one((2, 4, 8), flat=Flatten(), out=linear(64, 3), spikes=iaf())
    assert problem.layer == "out" and "4x8" in problem.found and "square" in problem.legal
    problem = one((1, 17, 17), flat=Flatten(), out=linear(289, 3), spikes=iaf())
    assert "17x17" in problem.found and "16x16" in problem.legal


def test_other_layers():
    net = nj.Sequential((2, 9), conv=Conv1d(2, 2, 3, key=jax.random.key(0)), spikes=iaf())
    text = str(refused(net))
    assert "shape (2, 9)" in text


def test_too_many_layers():
    layers = {}
    for i in range(10):
        layers |= {f"conv{i}": conv(k=1), f"spikes{i}": iaf()}
    problem = one(**layers)
    assert "10 layers" in problem.found and "9 cores" in problem.legal


def test_layers_that_compete_for_a_core():
    """Three layers that need one of two cores; a fourth one is no part of the crowd."""
    big = lambda: conv(i=64, o=64, k=4, padding=1)  # noqa: E731
    chain = {}
    for i in range(3):
        chain |= {f"conv{i}": big(), f"spikes{i}": iaf()}
    chain |= {"last": conv(i=64, k=1), "small": iaf()}
    error = refused(nj.Sequential((64, 10, 10), **chain))
    (problem,) = error.problems
    assert "3 layers compete" in problem.found and "'spikes2' fits 5 or 6" in problem.found
    assert "small" not in problem.found


def test_cores_by_hand():
    net = nj.Sequential((2, 8, 8), a=conv(), s=iaf(), b=conv(), t=iaf(), c=conv(), u=iaf())
    error = refused(net, cores={"s": 3, "t": 3, "v": 0})
    assert [problem.layer for problem in error.problems] == ["v", "t", "u"]
    text = str(error)
    for piece in ("no such layer", "core 3, which holds layer 's'", "it has no core"):
        assert piece in text
    assert "core 9; speck2fmodule has cores 0 to 8" in str(
        refused(net, cores={"s": 9, "t": 0, "u": 1})
    )
    large = nj.Sequential((2, 64, 64), a=conv(o=16, padding=1), s=iaf())
    (problem,) = refused(large, cores={"s": 8}).problems
    assert "/65,536/" in problem.found and "core 8 has 16,384/16,384" in problem.legal
    assert "use core 0, 1 or 2" in problem.remedy
    for cores in ("mine", [0, 1, 2]):
        with pytest.raises(ValueError, match=r"must be 'auto' or .name of a layer"):
            map_network(net, cores=cores)


def test_bias_memory():
    net = nj.Sequential((2, 1, 1), conv=conv(o=1024, k=1, bias=True), spikes=iaf())
    assert map_network(net).network["spikes"].bias.shape == (1024,)
    wide = nj.Sequential((2, 1, 1), conv=conv(o=1025, k=1, bias=True), spikes=iaf())
    assert any("1,025 of bias" in p.found for p in refused(wide).problems)


def graph(layers, *edges, shape=(2, 8, 8), outputs=None):
    """A network from "source>target" texts."""
    pairs = [tuple(edge.split(">")) for edge in edges]
    return nj.Network(layers, pairs, inputs=shape, outputs=outputs)


def cores(*names, o=2, **options):
    """Weights "a" and neurons "as" for each name, which keep the map's size."""
    layers = {}
    for name in names:
        layers |= {name: conv(o=o, padding=1, **options), f"{name}s": iaf()}
    return layers


PAIR = ("input>a", "a>as", "input>b", "b>bs")

GRAPHS = {
    "three destinations": (
        graph(cores("a", "b", "c", "d"), "input>a", "a>as", "as>b", "as>c", "as>d", "b>bs", "c>cs",
              "d>ds"),
        "as", "its spikes go to 3 layers (bs, cs, ds)", "2 destinations",
    ),
    "three destinations of the camera": (
        graph({"dvs": DVS(), **cores("a", "b", "c")}, "input>dvs", "dvs>a", "dvs>b", "dvs>c",
              "a>as", "b>bs", "c>cs"),
        "dvs", "its spikes go to 3 layers", "2 destinations",
    ),
    "a sum before the neurons": (
        graph(cores("a") | {"b": conv(padding=1), "sum": Add()}, "input>a", "input>b", "a>sum",
              "b>sum", "sum>as"),
        "sum", "the sum of what weights give ('a', 'b')", "one convolution",
    ),
    "weights added up in their neurons": (
        graph(cores("a") | {"b": conv(padding=1)}, "input>a", "input>b", "a>as", "b>as"),
        "as", "the sum of what weights give ('a', 'b')", "one convolution",
    ),
    "weights side by side before the neurons": (
        graph(cores("a") | {"b": conv(padding=1), "both": Concat()}, "input>a", "input>b",
              "a>both", "b>both", "both>as"),
        "both", "the concatenation of what weights give", "one convolution",
    ),
    "two kinds of neurons for the same weights": (
        graph(cores("a") | {"late": iaf()}, "input>a", "a>as", "a>late"),
        "a", "what its weights give feeds 2 layers (as, late)", "one convolution",
    ),
    "a layer twice in a sum": (
        graph(cores("a", "b") | {"drop": Dropout(0.5), "sum": Add()}, "input>a", "a>as",
              "as>drop", "as>sum", "drop>sum", "sum>b", "b>bs"),
        "sum", "it receives 'as' more than once", "an event once",
    ),
    "averages over different windows": (
        graph(cores("a", "b", "c") | {"p": AvgPool2d(2), "q": SumPool2d(2), "sum": Add()}, *PAIR,
              "as>p", "bs>q", "p>sum", "q>sum", "sum>c", "c>cs"),
        "c", "factors are 0.25 and 1", "one factor",
    ),
    "an output of different averages": (
        graph(cores("a", "b") | {"p": AvgPool2d(2), "q": SumPool2d(2), "sum": Add()}, *PAIR,
              "as>p", "bs>q", "p>sum", "q>sum"),
        "sum", "averages over windows of different sizes", "sums over windows",
    ),
    "pools in front of and behind a sum": (
        graph(cores("a", "b") | {"p": SumPool2d(4), "q": SumPool2d(4), "sum": Add(),
              "r": SumPool2d(2), "c": conv(k=1), "cs": iaf()}, *PAIR,
              "as>p", "bs>q", "p>sum", "q>sum", "sum>r", "r>c", "c>cs"),
        "p, sum, r", "pooling over 8x8 in all, from 'as' to 'cs'", "at most 4x4",
    ),
    "rows side by side": (
        graph(cores("a", "b", "c") | {"rows": Concat(1)}, *PAIR, "as>rows", "bs>rows", "rows>c",
              "c>cs"),
        "rows", "along axis 1", "features of maps of equal size",
    ),
    "vectors of maps of different size": (
        graph(cores("a", "b") | {"p": SumPool2d(2), "f": Flatten(), "g": Flatten(),
              "both": Concat(), "out": linear(160, 2), "outs": iaf()}, *PAIR, "as>p",
              "p>f", "bs>g", "f>both", "g>both", "both>out", "out>outs"),
        "both", "maps of 4x4 and 8x8", "features of maps of equal size",
    ),
    "vectors of different maps in a sum": (
        graph(cores("a") | cores("b", o=8) | {"p": SumPool2d(2), "f": Flatten(), "g": Flatten(),
              "sum": Add(), "out": linear(128, 2), "outs": iaf()}, *PAIR, "as>f",
              "bs>p", "p>g", "f>sum", "g>sum", "sum>out", "out>outs"),
        "sum", "maps of 2x8x8 and 8x4x4", "one input map",
    ),
    "an input past the camera": (
        graph({"p": SumPool2d(2), "a": conv(), "as": iaf(), "b": conv(), "bs": iaf()}, "input>p",
              "p>a", "a>as", "input>b", "b>bs"),
        "network", "goes through 'p' (DVS, pool 2x2), and past it to bs", "alike",
    ),
    "two poolings of the input": (
        graph({"p": SumPool2d(2), "q": SumPool2d(4), "a": conv(), "as": iaf(), "b": conv(k=1),
              "bs": iaf()}, "input>p", "p>a", "a>as", "input>q", "q>b", "b>bs"),
        "q", "elsewhere through DVS, pool 4x4", "alike",
    ),
    "a pool behind the camera's crop": (
        graph({"dvs": DVS(crop=((0, 4), (0, 4))), "p": SumPool2d(2), "a": conv(k=1), "as": iaf()},
              "input>dvs", "dvs>p", "p>a", "a>as"),
        "p", "comes after what 'dvs' does", "in this order",
    ),
    "a camera behind a core": (
        graph(cores("a", "b") | {"dvs": DVS()}, "input>a", "a>as", "as>dvs", "dvs>b", "b>bs"),
        "dvs", "behind other layers", "first thing",
    ),
    "the camera's pool": (
        graph(cores("a") | {"p": AvgPool2d((8, 1))}, "input>p", "p>a", "a>as"),
        "p", "pooling over 8x1 in all", "1, 2 or 4 in each axis",
    ),
    "a camera of three colours": (
        graph(cores("a", i=3) | {"p": AvgPool2d(2)}, "input>p", "p>a", "a>as", shape=(3, 8, 8)),
        "p", "3 features", "2 polarities",
    ),
    "more pixels than the camera has": (
        graph(cores("a") | {"p": SumPool2d(4)}, "input>p", "p>a", "a>as", shape=(2, 132, 132)),
        "p", "an input of 132x132", "128x128 pixels",
    ),
    "the input pooled behind a sum": (
        graph({"dvs": DVS(), "a": conv(padding=1), "as": iaf(), "sum": Add(), "p": SumPool2d(2),
              "b": conv(k=1), "bs": iaf()}, "input>dvs", "dvs>a", "a>as", "dvs>sum", "as>sum",
              "sum>p", "p>b", "b>bs"),
        "p", "pools the input behind 'sum'", "before it goes to a core",
    ),
    "the camera behind other features": (
        graph({"dvs": DVS(), "a": conv(padding=1), "as": iaf(), "both": Concat(),
              "b": conv(i=4), "bs": iaf()}, "input>dvs", "dvs>a", "a>as", "as>both", "dvs>both",
              "both>b", "b>bs"),
        "both", "camera's events come after other features", "shifted",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", GRAPHS)
def test_graphs(case):
    network, layer, found, legal = GRAPHS[case]
    problem, *others = refused(network).problems
    assert problem.layer == layer and found in problem.found and legal in problem.legal
    assert problem.remedy
    assert all(other.legal == problem.legal for other in others)  # the same of another way


def test_pixels_need_a_map():
    net = nj.Sequential((5,), out=linear(5, 3), spikes=iaf())
    assert "shape (5,)" in refused(net, dvs_input=True).problems[0].found


def test_merge_factors():
    with pytest.raises(ValueError, match="merge_factors='median'"):
        map_network(nj.Sequential((2, 8, 8), a=conv(), s=iaf()), merge_factors="median")


def test_recurrent_edges():
    net = nj.Network(
        {"a": conv(padding=1), "s": iaf(), "back": conv(padding=1)},
        [("input", "a"), ("a", "s"), ("back", "s"), nj.Edge("s", "back", recurrent=True)],
        inputs=(2, 8, 8),
        outputs=["s"],
    )
    assert "recurrent edge s ~> back" in str(refused(net))


def test_parameters_that_are_not_finite():
    net = nj.Sequential((2, 8, 8), a=conv(), s=iaf())
    broken = jax.tree.map(lambda x: x.at[0].set(jnp.nan), net)
    problem = refused(broken).problems[0]
    assert problem.layer == "a" and "18 of 36 values of the weights are NaN" in problem.found


def test_all_reasons_at_once():
    net = nj.Sequential(
        (3, 10, 12),
        conv=conv(3, 4, 17, padding=9, stride=3),
        spikes=iaf(strict=True),
        pool=MaxPool2d(1),
        flat=Flatten(),
        out=linear(80, 10),
        leaky=LIF(tau=2.0),
    )
    error = refused(net)
    assert isinstance(error, ValueError) and error.chip == "speck2fmodule"
    assert [p.layer for p in error.problems] == [
        "pool", "leaky", "conv", "conv", "conv", "spikes", "out",
    ]  # fmt: skip
    assert str(error).startswith("the network can't be mapped onto speck2fmodule for 7 reasons:\n")
    assert str(error).count("\n- ") == 7


def test_unknown_device():
    net = nj.Sequential((2, 8, 8), a=conv(), s=iaf())
    with pytest.raises(ValueError, match="no device 'loihi'"):
        map_network(net, device="loihi")


def test_parameters_without_values():
    net = nj.Sequential((2, 8, 8), a=conv(), s=iaf())
    with pytest.raises(TypeError, match=r"dynapcnn.map is called within jit.*map outside"):
        eqx.filter_jit(map_network)(net)


def test_a_mapped_network_is_not_mapped_again():
    net = map_network(nj.Sequential((2, 8, 8), a=conv(), s=iaf())).network
    assert "a core of the chip already" in str(refused(net))
