"""Networks to NIR files and back: exactly as they were, unless somebody changed the file."""

import dataclasses
import json

import equinox as eqx
import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax import surrogate
from neurojax.converters.nir import from_nir, read, restored, to_nir, write
from tests.converters._live import on_grid, outputs_of, spikes_in

DT = 1e-3


def equal(a, b):
    """Whether two networks are the same tree: layers, options, arrays, edges, names."""
    return bool(eqx.tree_equal(a, b)) and str(a) == str(b)


@st.composite
def neuron(draw, n):
    """Any neuron that can be exported, with or without losses."""

    def value(*values):
        one = draw(st.sampled_from(values))
        shape = draw(st.sampled_from([None, (), (1,), (n,)]))
        return one if shape is None else jnp.full(shape, one)

    def pick(**options):
        return {name: draw(st.sampled_from(values)) for name, values in options.items()}

    gain = {"gain": value(1.0, 0.3)}
    # Either a time constant or a decay; a number of which neither is dyadic.
    leak = draw(st.sampled_from(["tau", "decay"]))
    leak = {leak: value(3.7, 12.0) if leak == "tau" else value(0.9, 0.37)}
    leak |= {"v_rest": value(0.0, 0.1)} | pick(normalize_input=[False, True])
    leak |= pick(method=["exact", "euler"], dt=[1.0, 0.5])
    synapse = {"decay_syn": value(0.8, 0.123)} | pick(order=["new", "old", "jump_then_decay"])
    spiking = pick(
        reset=["zero", "subtract", "none"],
        strict=[False, True],
        reset_delay=[False, True, "before"],
        detach_reset=[False, True],
        v_min=[None, -1.0],
        surrogate=[surrogate.ATan(alpha=3.0), surrogate.SuperSpike(), surrogate.Triangle()],
    )
    spiking["threshold"] = value(0.5, 1.1)
    if draw(st.booleans()):
        spiking |= {"reset": "value", "reset_value": value(0.0, -0.2)}
    kind = draw(st.sampled_from([nj.IAF, nj.LIF, nj.LI, nj.CubaLIF, nj.CubaIAF, nj.CubaLI]))
    options = gain
    if kind in (nj.LIF, nj.LI, nj.CubaLIF, nj.CubaLI):
        options = options | leak
    if kind in (nj.CubaLIF, nj.CubaIAF, nj.CubaLI):
        options = options | synapse
    if kind not in (nj.LI, nj.CubaLI):
        options = options | spiking
    return kind(**options)


@st.composite
def networks(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    layers, edges = {}, []

    def add(name, layer, *sources):
        layers[name] = layer
        edges.extend(s if isinstance(s, nj.Edge) else (s, name) for s in sources)
        return name

    bias = on_grid(rng, (3,)) if draw(st.booleans()) else None
    conv = nj.Conv2d.from_weights(
        on_grid(rng, (3, 1, 2, 3)),
        bias,
        stride=draw(st.integers(1, 2)),
        padding=draw(st.sampled_from([0, (1, 1), (0, 1)])),
        groups=draw(st.sampled_from([1])),
    )
    last = add("conv.1", conv, "image")
    last = add("rate", draw(st.sampled_from([nj.Scale(0.5), nj.Scale(jnp.ones((3, 1, 1)))])), last)
    if draw(st.booleans()):
        last = add("drop", nj.Dropout(0.3, per_step=True, inference=draw(st.booleans())), last)
    pool = draw(st.sampled_from([nj.SumPool2d, nj.AvgPool2d]))
    last = add("pool", pool((1, 2), padding=draw(st.sampled_from([0, (0, 1)]))), last)
    last = add("flat", draw(st.sampled_from([nj.Flatten(), nj.layers.Reshape((-1,))])), last)
    features = nj.Network(layers, edges, inputs={"image": (1, 6, 6)}).out_shape(last)[0]
    last = add("in", nj.Linear.from_weights(on_grid(rng, (4, features))), last)
    first = draw(neuron(4))
    if draw(st.booleans()):
        back = nj.Linear.from_weights(on_grid(rng, (4, 4)), on_grid(rng, (4,)))
        first = nj.Recurrent(first, back)
    last = add("first", first, last)
    both = add("both", nj.Add(), last, "in")
    last = add("late", nj.Delay(draw(st.sampled_from([0, 2, (0, 1, 2, 3)]))), both)
    second = draw(neuron(4))
    if draw(st.booleans()):
        second = nj.layers.Chain(weights=nj.Scale(jnp.linspace(0, 1, 4)), neuron=second)
    last = add("second", second, last)
    if draw(st.booleans()):
        add("loop", nj.Linear.from_weights(on_grid(rng, (4, 4))), nj.Edge(last, "loop", True))
        edges.append(("loop", "second"))
    if draw(st.booleans()):
        edges.append(nj.Edge("first", "second", recurrent=True))
    outputs = draw(st.sampled_from([["second"], ["second", "first"], ["both", "second"]]))
    return nj.Network(layers, edges, inputs={"image": (1, 6, 6)}, outputs=outputs)


@settings(deadline=None, max_examples=25)
@given(
    networks(),
    st.sampled_from(["s", "ms", "us", "steps"]),
    st.sampled_from(["euler", "exact"]),
)
@pytest.mark.filterwarnings("ignore:readers of the NIR graph")
def test_networks_come_back_exactly(tmp_path_factory, network, unit, method):
    path = tmp_path_factory.getbasetemp() / "round.nir"
    options = {"time_unit": unit, "method": method, "allow_lossy": True}
    graph = to_nir(network, path, dt=DT, **options)
    assert read(path) == graph
    back, note = restored(read(path))
    assert back is not None, note
    assert equal(back, network)
    assert equal(from_nir(path, dt=DT, time_unit=unit), network)
    assert to_nir(back, dt=DT, **options) == graph


def small():
    layers = {
        "w": nj.Linear(3, 4, bias=True, key=jax.random.key(0)),
        "n": nj.LIF(tau=5.0, reset="zero", threshold=jnp.full((4,), 0.5), strict=True),
        "drop": nj.Dropout(0.5),
        "flat": nj.layers.Identity(),
    }
    return nj.Network(
        layers, [("input", "w"), ("w", "n"), ("n", "drop"), ("drop", "flat")], inputs=(3,)
    )


def test_the_same_spikes():
    network = eqx.nn.inference_mode(small())
    inputs = spikes_in(np.random.default_rng(0), 20, 3, (3,))
    back = from_nir(to_nir(network, dt=DT), dt=DT)
    np.testing.assert_array_equal(outputs_of(back, inputs), outputs_of(network, inputs))
    assert outputs_of(network, inputs).any()


def test_gradients_are_those_of_the_network():
    """The surrogate comes back, and constants stay constants."""
    network = eqx.nn.inference_mode(small())
    back = from_nir(to_nir(network, dt=DT), dt=DT)
    inputs = jnp.asarray(spikes_in(np.random.default_rng(0), 10, 2, (3,)))

    def loss(net):
        return nj.simulate(net, inputs).outputs.sum()

    gradients = eqx.filter_jit(eqx.filter_grad(loss))
    assert eqx.tree_equal(gradients(network), gradients(back))


def test_dtypes_come_back(tmp_path):
    network = small().astype(jnp.bfloat16)
    to_nir(network, tmp_path / "net.nir", dt=DT)
    assert equal(restored(read(tmp_path / "net.nir")).network, network)


def changed(graph, name, **fields):
    node = graph.nodes[name]
    node = dataclasses.replace(node, fields={**node.fields, **fields})
    return dataclasses.replace(graph, nodes={**graph.nodes, name: node})


def test_changed_weights_are_taken_over():
    graph = to_nir(small(), dt=DT)
    weight = np.ones((4, 3), np.float32)
    back = restored(changed(graph, "w", weight=weight)).network
    np.testing.assert_array_equal(back["w"].weight, weight)
    threshold = np.full(4, 2.0, np.float32)
    back = restored(changed(graph, "n", v_threshold=threshold)).network
    np.testing.assert_array_equal(back["n"].threshold, threshold)


def test_metadata_of_a_changed_file_are_not_believed():
    graph = to_nir(small(), dt=DT)
    slower = graph.nodes["n"].fields["tau"] * 2
    network, note = restored(changed(graph, "n", tau=slower))
    assert network is None and "it was changed" in note and "'tau' of node 'n'" in note
    less = {name: node for name, node in graph.nodes.items() if name != "w"}
    network, note = restored(dataclasses.replace(graph, nodes=less))
    assert network is None and note
    more = dataclasses.replace(graph, edges=(*graph.edges, ("input", "n")))
    network, note = restored(more)
    assert network is None and "edge input -> n" in note
    assert restored(graph, dt=DT, time_unit="s").network is not None
    assert "dt=0.001" in restored(graph, dt=1e-4).note
    assert "time_unit='s'" in restored(graph, time_unit="ms").note


def test_files_of_others_have_no_network_to_restore(golden):
    for path in sorted((golden / "nir").glob("*.nir")):
        assert restored(read(path)) == (None, "")


@pytest.mark.parametrize(
    "options",
    [
        "{",
        "[]",
        "null",
        '{"layer": "os.system"}',
        '{"layer": "Linear"}',
        '{"layer": "Linear", "weight": {"array": "7", "dtype": "float32"}, "bias": null}',
        '{"layer": "Linear", "weight": {"node": "w", "field": "weight", "dtype": "code"}}',
        '{"layer": "LIF", "tau": -1}',
        '{"layer": "LIF", "tau": 5.0, "surrogate": {"surrogate": "__import__(1)"}}',
        '{"layer": "LIF", "tau": 5.0, "unheard": 1}',
        '{"layer": "Chain", "layers": 5}',
        "[" * 100_000,
    ],
)
def test_metadata_may_hold_anything(tmp_path, options):
    to_nir(small(), tmp_path / "net.nir", dt=DT)
    with h5py.File(tmp_path / "net.nir", "a") as file:
        own = file["node/nodes/w/metadata/neurojax"]
        del own["options"]
        own.create_dataset("options", data=options, dtype=h5py.string_dtype())
    network, note = restored(read(tmp_path / "net.nir"))
    assert network is None and "neurojax's metadata can't be read" in note


@pytest.mark.parametrize(
    "change", [{"format": 99}, {"names": ["w", "gone"]}, {"edges": 3}, {"inputs": [["input", [0]]]}]
)
def test_headers_may_hold_anything(change):
    graph = to_nir(small(), dt=DT)
    header = dict(graph.metadata["neurojax"])
    header["network"] = json.dumps(json.loads(header["network"]) | change)
    network, note = restored(dataclasses.replace(graph, metadata={"neurojax": header}))
    assert network is None and note
    for odd in ({}, {"network": "x"}, {"network": np.ones(3)}, {"network": "{}"}):
        assert restored(dataclasses.replace(graph, metadata={"neurojax": odd})).network is None


def test_a_surrogate_without_a_name_is_refused():
    @dataclasses.dataclass(frozen=True)
    class Own(surrogate.Surrogate):
        def shape(self, u, threshold):
            return u

    network = nj.Sequential((2,), nj.LIF(tau=5.0, reset="zero", surrogate=Own()))
    with pytest.raises(ValueError, match=r"surrogate is .*by_name does not know"):
        to_nir(network, dt=DT)


def test_standard_readers_are_not_disturbed_by_the_metadata(tmp_path):
    """Without them the file holds the same nodes and edges, and steps to the same spikes."""
    network = eqx.nn.inference_mode(small())
    graph = to_nir(network, dt=DT)
    nodes = {n: dataclasses.replace(x, metadata={}) for n, x in graph.nodes.items()}
    plain = dataclasses.replace(graph, nodes=nodes, metadata={})
    write(tmp_path / "net.nir", plain)
    other = from_nir(tmp_path / "net.nir", dt=DT)
    inputs = spikes_in(np.random.default_rng(0), 20, 3, (3,))
    np.testing.assert_array_equal(outputs_of(other, inputs), outputs_of(network, inputs))
