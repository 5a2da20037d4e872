"""NIR graphs as data: to and from the package `nir`, and flattened without changing their sense."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from neurojax.converters.nir import Graph, Node, checked, flat, from_nir_object, to_nir_object
from tests.converters._live import peer

TWO = np.array([2])
SHAPE = {"shape": TWO}


def scale(factor):
    return Node("Scale", {"scale": np.full(2, float(factor))})


def affine(n=2):
    return Node("Affine", {"weight": np.ones((n, n)), "bias": np.zeros(n)})


def lif(n=2):
    ones = np.ones(n)
    return Node("LIF", {"tau": ones, "r": ones, "v_leak": ones, "v_threshold": ones})


def ends(**nodes):
    return {"x": Node("Input", SHAPE), **nodes, "y": Node("Output", SHAPE)}


def test_objects_of_the_package_nir_and_back():
    nir = peer("nir")
    ones = np.ones((2, 3, 3), np.float32)
    original = nir.NIRGraph(
        nodes={
            "input": nir.Input({"input": np.array([1, 5, 5])}),
            "c": nir.Conv2d((5, 5), ones[:, None, :2, :2], 1, (0, 0), 1, 1, np.zeros(2)),
            "c1": nir.Conv1d(None, ones, 1, "same", 1, 1, np.zeros(2)),
            "if": nir.IF(r=ones, v_threshold=ones, metadata={"a": {"b": "c"}}),
            "f": nir.Flatten({"input": np.array([2, 3, 3])}, 0, -1),
            "f2": nir.Flatten(None, 0, -1),
            "cuba": nir.CubaLIF(ones, ones, ones, ones, ones),
            "pool": nir.SumPool2d(TWO, TWO, 0 * TWO),
            "sub": nir.NIRGraph(
                {
                    "i": nir.Input({"input": TWO}),
                    "li": nir.LI(ones, ones, ones),
                    "o": nir.Output({"output": TWO}),
                },
                [("i", "li"), ("li", "o")],
                type_check=False,
            ),
            "output": nir.Output({"output": np.array([18])}),
        },
        edges=[("input", "c"), ("c", "if"), ("if", "f"), ("f", "output")],
        metadata={"made": "here"},
        type_check=False,
    )
    graph = from_nir_object(original)
    assert graph.nodes["if"].metadata == {"a": {"b": "c"}}
    assert graph.nodes["sub"].nodes["li"].kind == "LI"
    assert "input_shape" not in graph.nodes["c1"].fields and graph.metadata == {"made": "here"}
    back = to_nir_object(graph)
    assert isinstance(back.nodes["cuba"], nir.CubaLIF) and back.nodes["c1"].input_shape is None
    assert from_nir_object(back) == graph
    for name, node in original.nodes.items():
        if name != "sub":
            theirs, ours = node.to_dict(), back.nodes[name].to_dict()
            assert theirs.keys() == ours.keys()
            for field in theirs:
                np.testing.assert_array_equal(ours[field], theirs[field])


def test_what_is_no_graph_or_no_node():
    with pytest.raises(TypeError, match=r"takes a nir\.NIRGraph, got a str"):
        from_nir_object("net.nir")
    fake = type("Fake", (), {"nodes": {"a": 1}, "edges": []})
    with pytest.raises(TypeError, match="node 'a' is a int"):
        from_nir_object(fake)


def test_the_package_nir_is_optional(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nir", None)
    with pytest.raises(ImportError, match=r"pip install .neurojax\[nir\]"):
        to_nir_object(Graph(ends(), (("x", "y"),)))


def test_equality():
    graph = Graph(ends(a=scale(1)), (("x", "a"), ("a", "y")))
    assert graph == Graph(ends(a=scale(1)), (("a", "y"), ("x", "a")), version="1.0")
    assert graph != Graph(ends(a=scale(2)), graph.edges)
    assert graph != Graph(graph.nodes, graph.edges[:1])
    assert graph != Graph(graph.nodes, graph.edges, {"a": "b"})
    short = Node("Scale", {"scale": np.ones(2, np.float32)})
    assert graph != Graph(ends(a=short), graph.edges)
    assert graph != "graph" and scale(1) != "node"


def test_findings_name_nodes_in_nested_graphs():
    inner = Graph(ends(n=Node("LIF", {})), (("x", "m"),))
    with pytest.raises(ValueError) as error:
        checked(Graph(ends(sub=inner, new=Node("Unheard")), (("x", "sub"),)))
    text = str(error.value)
    assert "node 'sub.n': LIF has no field 'tau'" in text and "no field 'v_reset'" not in text
    assert "edge sub.x -> sub.m: there is no node 'm' of node 'sub'" in text


def recurrent(*edges, prefix=""):
    names = {"input": Node("Input", SHAPE), "lif": lif(), "w_rec": affine()}
    names["output"] = Node("Output", SHAPE)
    nodes = {prefix + name: node for name, node in names.items()}
    pairs = [("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output"), *edges]
    return Graph(nodes, tuple((prefix + a, prefix + b) for a, b in pairs))


EXPECTED = {("x", "r.lif"), ("r.lif", "r.w_rec"), ("r.w_rec", "r.lif"), ("r.lif", "y")}


@pytest.mark.parametrize("prefix", ["", "r."])
def test_recurrent_populations(prefix):
    outer = (("x", "r"), ("r", "y"))
    right = flat(Graph(ends(r=recurrent(("input", "lif"), prefix=prefix)), outer))
    assert set(right.edges) == EXPECTED and not right.notes
    wrong = flat(Graph(ends(r=recurrent(("input", "w_rec"), prefix=prefix)), outer))
    assert set(wrong.edges) == EXPECTED and "'r'" in wrong.notes[0]
    both = flat(Graph(ends(r=recurrent(("input", "lif"), ("input", "w_rec"))), outer))
    assert set(both.edges) == EXPECTED | {("x", "r.w_rec")}


def test_snntorch_wires_the_input_to_the_feedback(capsys):
    nir = peer("nir")
    plain = flat(Graph(ends(r=recurrent(("input", "lif"))), (("x", "r"), ("r", "y"))))
    module = peer("snntorch.import_nir")
    theirs = module._replace_rnn_subgraph_with_nirgraph(to_nir_object(plain))
    capsys.readouterr()
    assert isinstance(theirs.nodes["r"], nir.NIRGraph)
    assert ("r.input", "r.w_rec") in theirs.nodes["r"].edges
    assert set(flat(from_nir_object(theirs)).edges) == EXPECTED


def test_duplicate_edges_count_once():
    graph = Graph(ends(a=scale(3)), (("x", "a"), ("x", "a"), ("a", "y")))
    result = flat(graph)
    assert result.edges == (("x", "a"), ("a", "y"))
    assert result.notes == ("edge x -> a is given more than once; it counts once",)
    with pytest.raises(ValueError, match="Duplicate edge"):  # what the package nir says of it
        to_nir_object(graph, type_check=True)


def test_nodes_that_no_input_reaches():
    graph = Graph(ends(a=scale(1), b=scale(1)), (("x", "a"), ("a", "y"), ("a", "b")))
    assert flat(graph).notes == ("node 'b' leads nowhere",)
    graph = Graph(ends(a=scale(1), b=scale(1)), (("x", "a"), ("a", "y")))
    assert set(flat(graph).nodes) == {"x", "a", "y"}
    assert flat(graph).notes == ("node 'b' is left out, because no input reaches it",)
    graph = Graph(ends(a=scale(1), b=scale(1)), (("x", "a"), ("a", "y"), ("b", "a")))
    with pytest.raises(ValueError, match=r"no input reaches these nodes: 'b' \(which 'a' needs"):
        flat(graph)


def test_names_and_ends_that_are_ambiguous():
    inner = Graph(ends(n=scale(1)), (("x", "n"), ("n", "y")))
    clash = Graph(ends(**{"a": inner, "a.n": scale(1)}), (("x", "a"), ("a", "y"), ("x", "a.n")))
    with pytest.raises(ValueError, match=r"two nodes are called 'a\.n'"):
        flat(clash)
    nodes = {**inner.nodes, "x2": Node("Input", SHAPE)}
    two = Graph(ends(a=Graph(nodes, inner.edges)), (("x", "a"), ("a", "y")))
    with pytest.raises(ValueError, match="node 'a': a nested graph with 2 inputs"):
        flat(two)


# A graph of Scale nodes without cycles is a number: the sum over its paths of their products.
# Computed level by level for the nested graph, and for the flat one, it must be the same number.


@st.composite
def scale_graphs(draw, depth=2):
    names = [f"n{i}" for i in range(draw(st.integers(0, 3)))]
    nodes = {"x": Node("Input", SHAPE)}
    for name in names:
        kind = draw(st.integers(0, 3 if depth else 2))
        if kind == 3:
            nodes[name] = draw(scale_graphs(depth=depth - 1))
        else:
            nodes[name] = Node("Identity") if kind == 2 else scale(draw(st.integers(1, 3)))
    nodes["y"] = Node("Output", SHAPE)
    order = list(nodes)
    edges = []
    for i, name in enumerate(order[1:], 1):
        sources = draw(st.lists(st.sampled_from(order[:i]), min_size=1, unique=True))
        edges += [(source, name) for source in sources]
    return Graph(nodes, tuple(edges))


def total(graph):
    value, waiting = {}, list(graph.nodes)
    while waiting:
        name = waiting.pop(0)
        sources = [a for a, b in graph.edges if b == name]
        if any(source in waiting for source in sources):
            waiting.append(name)
            continue
        node = graph.nodes[name]
        own = 1
        if isinstance(node, Graph):
            own = total(node)
        elif node.kind == "Scale":
            own = int(node.fields["scale"][0])
        value[name] = own * (sum(value[a] for a in sources) if sources else 1)
    return sum(value[name] for name, node in graph.nodes.items() if node.kind == "Output")


@settings(deadline=None, max_examples=200)
@given(scale_graphs())
def test_a_flat_graph_computes_the_same(graph):
    result = flat(graph)
    assert not any(isinstance(node, Graph) for node in result.nodes.values())
    assert len(set(result.edges)) == len(result.edges)
    assert total(result) == total(graph)
    assert flat(result) == result
