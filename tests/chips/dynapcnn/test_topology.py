"""Random graphs of cores against an independent computation of all, and what maps to what."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.chips import MappingError
from neurojax.chips.dynapcnn import (
    DVS,
    Core,
    core_use,
    discretise,
    map as map_network,
    place,
    routes,
)
from neurojax.layers import (
    Add,
    AvgPool2d,
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    Scale,
    SumPool2d,
)
from neurojax.neurons import IAF
from tests.chips.dynapcnn import oracle
from tests.chips.dynapcnn.layers import conv, iaf, linear

POOLS = {"avg": AvgPool2d, "sum": SumPool2d}
FEATURES = 3


def random_weight(rng, *shape):
    return (rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32) * 2


class Graph:
    """A network under construction, and the integers of what is in it so far."""

    def __init__(self, x, rng, options):
        self.x, self.rng, self.options = x, rng, options
        self.layers, self.edges = {}, []
        self.spikes, self.membranes = {"input": x}, {}
        self.size = {"input": x.shape[-1]}
        self.free = {"input": 3}  # destinations that are left

    def tap(self, source, pool, kind, user):
        """A source behind a pool: layer, spikes, and the factor of an average for each feature."""
        spikes, layer, factor = self.spikes[source], source, 1.0
        if pool > 1:
            layer = f"{user} pools {source}"
            self.layers[layer] = POOLS[kind](pool)
            self.edges.append((source, layer))
            spikes, factor = oracle.pool(spikes, pool), 1 / pool**2 if kind == "avg" else 1.0
        return layer, spikes, np.full(spikes.shape[1], factor)

    def core(self, name, taps, merge, kernel, bias, linear):
        """Weights and neurons behind one or more taps."""
        names, spikes, factors = zip(*taps, strict=True)
        before = names[0]
        if len(taps) > 1:
            before = f"{name} merges"
            self.layers[before] = Add() if merge == "add" else Concat()
            self.edges += [(other, before) for other in names]
        x = sum(spikes) if merge == "add" else np.concatenate(spikes, 1)
        factor = factors[0] if merge == "add" else np.concatenate(factors)
        _, channels, height, width = x.shape
        shape = (height, width) if linear else (kernel, kernel)
        weight = random_weight(self.rng, FEATURES, channels, *shape)
        bias = random_weight(self.rng, FEATURES) / 4 if bias else None
        if linear:
            self.layers |= {f"{name} flat": Flatten()}
            self.edges.append((before, f"{name} flat"))
            before = f"{name} flat"
            layer = Linear.from_weights(weight.reshape(FEATURES, -1), bias)
        else:
            layer = Conv2d.from_weights(weight, bias, padding=kernel // 2)
        self.layers |= {f"{name} weights": layer, name: IAF(**self.options)}
        self.edges += [(before, f"{name} weights"), (f"{name} weights", name)]

        options = self.options
        real = weight * factor.astype(np.float32)[:, None, None]
        held = discretise(real, options["threshold"], options["v_min"], bias=bias)
        self.spikes[name], self.membranes[name] = oracle.run_core(
            x,
            held.weight.astype(int),
            None if bias is None else held.bias.astype(int),
            held.threshold,
            held.v_min,
            padding=(0, 0) if linear else (kernel // 2,) * 2,
            reset=options["reset"],
            max_spikes=options["max_spikes"],
        )
        self.size[name] = self.spikes[name].shape[-1]
        self.free[name] = 0 if linear else 2  # a vector is no input of a convolution


@st.composite
def graphs(draw):
    """Cores that each listen to one, two or three others, or to the input."""
    pick = lambda *values: draw(st.sampled_from(values))  # noqa: E731
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    options = {
        "v_min": pick(None, -0.5, -2.0),
        "threshold": pick(0.4, 1.0, 2.5),
        "max_spikes": pick(None, 1, 3),
        "reset": pick("subtract", "zero"),
    }
    graph = Graph(rng.poisson(0.5, (5, 2, 8, 8)), rng, options)
    camera = pick(None, 2)
    if camera:
        graph.layers["camera"] = DVS(pool=2, flip_x=True, pixel_array=True)
        graph.edges.append(("input", "camera"))
        graph.spikes["camera"] = oracle.pool(graph.x, 2)[..., ::-1]
        graph.size["camera"], graph.free["camera"] = 4, 2
        graph.free["input"] = 0
    names = "abcd"[: draw(st.integers(2, 4))]
    for name in names:
        known = [source for source, left in graph.free.items() if left]
        if not known:
            break
        sources = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True))
        sources.sort(key=lambda source: source != "camera")  # its events can't be shifted
        smallest = min(graph.size[source] for source in sources)
        if any(source in ("input", "camera") for source in sources):
            target = graph.size["camera" if camera else "input"]
            sources = [source for source in sources if graph.size[source] >= target]
        else:
            target = pick(smallest, max(1, smallest // 2))
        pools = [graph.size[source] // target for source in sources]
        sources = [s for s, pool in zip(sources, pools, strict=True) if pool in (1, 2, 4)]
        if not sources:
            continue
        same = {graph.spikes[source].shape[1] for source in sources}
        merge = pick("add", "concat") if len(same) == 1 else "concat"
        kinds = [pick("avg", "sum") for _ in sources]
        if merge == "add":  # one factor for all
            sizes = {graph.size[source] for source in sources}
            kinds = ["sum"] * len(sources) if len(sizes) > 1 else kinds[:1] * len(sources)
        taps = [
            graph.tap(source, graph.size[source] // target, kind, name)
            for source, kind in zip(sources, kinds, strict=True)
        ]
        for source in sources:
            graph.free[source] -= 1
        graph.core(
            name,
            taps,
            merge,
            pick(1, 3),
            pick(True, False),
            name == names[-1] and pick(True, False),
        )
    return graph


@settings(max_examples=8)  # each one compiles
@given(graphs())
def test_graphs_equal_the_integer_oracle(graph):
    cores = [name for name in graph.spikes if name in graph.membranes]
    if not cores:
        return
    net = nj.Network(graph.layers, graph.edges, inputs=(2, 8, 8), outputs=cores)
    mapped = map_network(net)
    assert {origin.name for origin in mapped.origins} == set(cores)
    x = np.float32(graph.x)[:, None]
    run = nj.simulate(mapped.network, x, probes=[f"{name}.v" for name in cores])
    outputs = run.outputs if len(cores) > 1 else {cores[0]: run.outputs}
    for name in cores:
        shape = outputs[name][:, 0].shape
        np.testing.assert_array_equal(outputs[name][:, 0], graph.spikes[name].reshape(shape))
        np.testing.assert_array_equal(run[f"{name}.v"][:, 0], graph.membranes[name].reshape(shape))
    wired = {(way.source, way.target, way.pool) for way in routes(mapped.network) if way.target}
    direct = {"input"} if "camera" not in graph.layers else set()
    assert {source for source, *_ in wired} <= {*cores, "camera"} | direct


def network(layers, *edges, shape=(2, 8, 8), outputs=None):
    pairs = [tuple(edge.split(">")) for edge in edges]
    return nj.Network(layers, pairs, inputs=shape, outputs=outputs)


def residual(**options):
    """One destination of "as" is pooled, the other one is not; "as" is an output as well."""
    return network(
        {"a": conv(2, 4, padding=1), "as": iaf(**options), "b": conv(4, 4, padding=1),
         "bs": iaf(**options), "p": AvgPool2d(2), "q": AvgPool2d(2), "sum": Add(),
         "drop": Dropout(0.5), "c": conv(4, 3), "cs": iaf(**options)},
        "input>a", "a>as", "as>b", "b>bs", "as>p", "bs>q", "p>sum", "q>sum", "sum>drop", "drop>c",
        "c>cs", outputs=["as", "cs"],
    )  # fmt: skip


def test_what_a_residual_net_becomes():
    mapped = map_network(residual())
    assert mapped.network.names == ("as", "bs", "p", "q", "sum", "cs")
    assert mapped.network.outputs == ("as", "cs")
    assert [origin.rescale for origin in mapped.origins] == [1, 1, 0.25]
    sends = [row["sends_to"] for row in mapped.report().rows]
    assert sends == ["output, bs, cs /2", "cs /2", "output"]
    first, second, third = core_use(mapped)[:3]
    assert (first["destinations"], first["pooling"]) == ((1, 2), (1, 2))
    assert (second["destinations"], third["destinations"]) == ((2,), ())
    assert (first["inputs"], first["outputs"]) == (("input",), (1,))


def test_the_picture_shows_the_camera_and_every_way():
    words = [
        text.get_text() for text in nj.plot.placement(map_network(residual(), dvs_input=True)).texts
    ]
    assert words.count("pool 2×2") == 2 and words.count("output") == 2
    assert {"dvs", "as", "bs", "cs", "core 0", "core 1", "core 2"} <= set(words)
    assert any(word.startswith("2×8×8\npixels on") for word in words)


def test_the_picture_shows_outputs_of_the_camera():
    def shown(mapped):
        return [text.get_text() for text in nj.plot.placement(mapped).texts]

    alone = shown(map_network(nj.Sequential((2, 8, 8), p=SumPool2d(2)), dvs_input=True))
    assert alone.count("output") == 1 and {"p", "idle: cores 0, 1, 2, 3, 4, 5, 6, 7, 8"} <= {*alone}
    both = nj.Network(
        {"camera": DVS(), "a": conv(), "as": iaf()},
        [("input", "camera"), ("camera", "a"), ("a", "as")],
        inputs=(2, 8, 8),
        outputs=("camera", "as"),
    )
    assert shown(map_network(both)).count("output") == 2


def test_implicit_sums_and_sums_of_sums():
    """Edges into one layer add up like an Add; one Add may feed another."""
    cores = {"a": conv(), "as": iaf(), "b": conv(), "bs": iaf(), "e": conv(), "es": iaf()}
    edges = ("input>a", "a>as", "input>b", "b>bs", "input>e", "e>es")
    end = {"c": conv(), "cs": iaf()}
    implicit = network(cores | end, *edges, "as>c", "bs>c", "es>c", "c>cs")
    nested = network(
        cores | {"one": Add(), "two": Add()} | end,
        *edges, "as>one", "bs>one", "one>two", "es>two", "two>c", "c>cs",
    )  # fmt: skip
    x = np.random.default_rng(0).poisson(0.5, (6, 1, 2, 8, 8)).astype(np.float32)
    runs = [nj.simulate(map_network(net).network, x).outputs for net in (implicit, nested)]
    np.testing.assert_array_equal(*runs)
    assert map_network(implicit).network.names[-2:] == ("c.sum", "cs")
    (way,) = [way for way in routes(map_network(implicit).network) if way.source == "es"]
    assert (way.target, way.merge) == ("cs", "c.sum")


def test_vectors_beside_maps():
    """A Linear core and a convolution of 1x1 meet in a sum behind a Flatten."""
    net = network(
        {"a": conv(2, 3, 8), "as": iaf(), "flat": Flatten(), "all": Flatten(),
         "b": linear(128, 3), "bs": iaf(), "sum": Add(), "c": linear(3, 2),
         "cs": iaf()},
        "input>a", "a>as", "as>flat", "input>all", "all>b", "b>bs", "flat>sum", "bs>sum", "sum>c",
        "c>cs",
    )  # fmt: skip
    mapped = map_network(net)
    assert {way.source for way in routes(mapped.network) if way.target == "cs"} == {"as", "bs"}
    x = np.random.default_rng(0).poisson(0.5, (6, 1, 2, 8, 8)).astype(np.float32)
    run = nj.simulate(mapped.network, x, probes=["as", "bs", "sum"])
    np.testing.assert_array_equal(run["sum"], run["as"].reshape(6, 1, 3) + run["bs"])


def test_outputs_that_merge_and_flatten():
    net = network(
        {"a": conv(), "as": iaf(), "b": conv(), "bs": iaf(), "p": AvgPool2d(2), "sum": Add(),
         "flat": Flatten()},
        "input>a", "a>as", "input>b", "b>bs", "as>sum", "bs>sum", "sum>p", "p>flat",
    )  # fmt: skip
    mapped = map_network(net)
    assert mapped.network.outputs == ("flat",)
    text = str(mapped)
    assert "the output is a sum over the last pooling window, 4 times the average" in text
    assert [row["sends_to"] for row in mapped.report().rows] == ["output /2", "output /2"]


@pytest.mark.parametrize("size", [3, 8])
def test_an_output_is_pooled_over_any_square(size):
    """No core does it, and nothing is written to the device."""
    mapped = map_network(
        nj.Sequential((2, 16, 16), a=conv(padding=1), spikes=iaf(), p=SumPool2d(size))
    )
    assert f"'p' pools the output over {size}x{size} for you" in str(mapped)
    x = np.random.default_rng(0).poisson(0.5, (3, 1, 2, 16, 16)).astype(np.float32)
    run = nj.simulate(mapped.network, x, probes=["spikes"])
    np.testing.assert_array_equal(run.outputs[:, 0], oracle.pool(run["spikes"][:, 0], size))


def test_the_camera_alone():
    mapped = map_network(nj.Sequential((2, 8, 8), p=SumPool2d(2)), dvs_input=True)
    assert mapped.origins == () and mapped.network.outputs == ("p",)
    assert str(mapped).startswith("0 of 9 cores") and "DVS, pool 2x2, pixels on" in str(mapped)
    x = np.random.default_rng(0).poisson(0.5, (3, 1, 2, 8, 8)).astype(np.float32)
    out = nj.simulate(mapped.network, x).outputs
    np.testing.assert_array_equal(out[:, 0], oracle.pool(x[:, 0], 2))
    with pytest.raises(MappingError, match="an average of the camera's events, and no weights"):
        map_network(nj.Sequential((2, 8, 8), p=AvgPool2d(2)), dvs_input=True)


def test_factors_of_averages_that_differ():
    """Where sinabs' heuristics are wanted, they are what it computes: 1/16 and 1/4 give 0.08."""
    cores = {"a": conv(), "as": iaf(), "b": conv(), "bs": iaf(), "p": AvgPool2d(4), "r": conv(k=1),
             "rs": iaf(), "q": AvgPool2d(2), "h": conv(k=1, stride=2), "hs": iaf()}  # fmt: skip
    edges = ("input>a", "a>as", "input>b", "b>bs", "as>p", "bs>h", "h>hs", "hs>q")
    net = network(
        cores | {"sum": Add()}, *edges, "p>sum", "q>sum", "sum>r", "r>rs", shape=(2, 10, 10)
    )
    factor = lambda method: map_network(net, merge_factors=method).origins[-1].rescale  # noqa: E731
    assert factor("mean") == 0.08
    assert factor("harmonic") == 0.05
    apart = dict(cores, r=conv(4, 2, 1)) | {"both": Concat()}
    net = network(apart, *edges, "p>both", "q>both", "both>r", "r>rs", shape=(2, 10, 10))
    mapped = map_network(net)
    core, origin = mapped.network["rs"], mapped.origins[-1]
    real = np.asarray(apart["r"].weight) * np.float32([1 / 16, 1 / 16, 1 / 4, 1 / 4])[:, None, None]
    np.testing.assert_array_equal(core.weight, np.rint(real * np.float32(origin.scale)))
    assert "the factors 0.0625 and 0.25 of the average pooling before 'r' are in" in str(mapped)


def test_scales_in_front_of_a_merge():
    half = {"a": conv(), "as": iaf(), "b": conv(), "bs": iaf(), "half": Scale(0.5)}
    edges = ("input>a", "a>as", "input>b", "b>bs", "as>half")
    net = network(
        half | {"both": Concat(), "c": conv(4, 2), "cs": iaf()},
        *edges, "half>both", "bs>both", "both>c", "c>cs",
    )  # fmt: skip
    mapped = map_network(net)
    real = np.asarray(net["c"].weight) * np.float32([0.5, 0.5, 1, 1])[:, None, None]
    scale = np.float32(mapped.origins[-1].scale)
    np.testing.assert_array_equal(mapped.network["cs"].weight, np.rint(real * scale))


@pytest.mark.parametrize(
    ("layers", "dvs_input", "expected"),
    [
        ({}, None, None),
        ({}, False, None),
        ({}, True, ("dvs", DVS(pixel_array=True))),
        ({"p": AvgPool2d(2)}, None, ("p", DVS(pool=2))),
        ({"p": AvgPool2d(2), "drop": Dropout(0.5), "q": SumPool2d((1, 2))}, True,
         ("q", DVS(pool=(2, 4), pixel_array=True))),
        ({"d": DVS(pixel_array=True)}, None, ("d", DVS(pixel_array=True))),
        ({"d": DVS(pixel_array=True)}, False, ("d", DVS())),
        ({"d": DVS(merge_polarities=True), "p": AvgPool2d(2)}, None,
         ("p", DVS(merge_polarities=True, pool=2))),
        ({"p": AvgPool2d(2), "d": DVS(merge_polarities=True)}, None,
         ("d", DVS(merge_polarities=True, pool=2))),
        ({"d": DVS(crop=((0, 16), (0, 16))), "p": SumPool2d(2)}, None, ("p", DVS(pool=2))),
        ({"d": DVS(crop=((4, 12), (0, 8))), "e": DVS(crop=((2, 8), (1, 7)), flip_x=True),
          "f": DVS(flip_x=True, swap_xy=True)}, None,
         ("f", DVS(crop=((6, 12), (1, 7)), swap_xy=True))),
    ],
)  # fmt: skip
def test_the_front_end(layers, dvs_input, expected):
    shapes = nj.Sequential((2, 16, 16), **layers) if layers else None
    channels = 2 if shapes is None else shapes.out_shape(shapes.names[-1])[0]
    net = nj.Sequential((2, 16, 16), **layers, a=conv(channels), spikes=iaf())
    mapped = map_network(net, dvs_input=dvs_input)
    names = [name for name in mapped.network.names if name != "spikes"]
    if expected is None:
        assert names == []
        return
    name, block = expected
    assert names == [name] and eqx.tree_equal(mapped.network[name], block)
    averages = [layer for layer in layers.values() if isinstance(layer, AvgPool2d)]
    assert mapped.origins[0].rescale == (0.25 if averages else 1)
    assert f"'{name}' is the camera's block: {block.describe()}" in str(mapped)
    if shapes is not None:
        x = np.random.default_rng(0).poisson(0.5, (2, 16, 16)).astype(np.float32)
        for known in (shapes[n] for n in shapes.names if isinstance(shapes[n], DVS | SumPool2d)):
            _, x = known.step(None, x)
        if not averages and len(layers) > 1:
            _, once = block.step(
                None, np.float32(np.random.default_rng(0).poisson(0.5, (2, 16, 16)))
            )
            np.testing.assert_array_equal(once, x)


def test_one_feature_is_both_polarities_merged():
    net = nj.Sequential((1, 8, 8), a=conv(1), spikes=iaf())
    assert map_network(net, dvs_input=True).network["dvs"].merge_polarities


def test_the_host_sends_its_events_to_any_number_of_cores():
    cores = {}
    for name in "abc":
        cores |= {name: conv(), f"{name}s": iaf()}
    edges = [f"input>{name}" for name in "abc"] + [f"{name}>{name}s" for name in "abc"]
    mapped = map_network(network(cores, *edges))
    assert [way.target for way in routes(mapped.network)[:3]] == ["as", "bs", "cs"]
    assert mapped.network.outputs == ("as", "bs", "cs")


def test_fine_tuning_through_a_branching_network():
    """Gradients reach every weight, also through sums and poolings, and lower the loss."""
    network = map_network(residual(max_spikes=None), dvs_input=True).network
    x = np.random.default_rng(0).poisson(0.5, (4, 2, 2, 8, 8)).astype(np.float32)
    optimiser = optax.adam(1.0)  # one step of the chip

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def loss(network):
        rates = nj.simulate(network, x).outputs["cs"].mean((0, 1, 3, 4))
        return ((rates - jnp.array([0.2, 0.0, 0.4])) ** 2).sum()

    state = optimiser.init(eqx.filter(network, eqx.is_inexact_array))
    losses = []
    for _ in range(12):
        value, gradient = loss(network)
        losses.append(float(value))
        change, state = optimiser.update(gradient, state)
        network = eqx.apply_updates(network, change)
        if len(losses) == 1:
            assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(gradient))
            assert len(jax.tree.leaves(gradient)) == 3
    assert losses[-1] < 0.7 * losses[0], losses


def test_cores_by_hand():
    net = residual()
    mapped = map_network(net, cores={"as": 4, "bs": 0, "cs": 8})
    assert [origin.core for origin in mapped.origins] == [4, 0, 8]
    assert [row["core"] for row in mapped.report().rows] == [4, 0, 8]
    assert [origin.core for origin in place(mapped).origins] == [0, 1, 2]
    assert isinstance(mapped.network["as"], Core)
