"""Routes of networks that are put together by hand."""

import jax.numpy as jnp
import pytest

import neurojax as nj
from neurojax.chips.dynapcnn import DVS, Core, Route, cores_of, dvs_of, routes
from neurojax.layers import Add, AvgPool2d, Concat, Flatten, SumPool2d


def core(i, o, k=1):
    return Core(jnp.ones((o, i, k, k)), threshold=10)


def network(layers, *edges, shape=(2, 8, 8), outputs=None):
    pairs = [tuple(edge.split(">")) for edge in edges]
    return nj.Network(layers, pairs, inputs=shape, outputs=outputs)


def test_a_chain_behind_the_camera():
    net = nj.Sequential(
        (2, 16, 16), dvs=DVS(pool=2), a=core(2, 3), p=SumPool2d(2), q=SumPool2d(2), b=core(3, 4),
        last=SumPool2d(2), flat=Flatten(),
    )  # fmt: skip
    assert routes(net) == (
        Route("dvs", "a"),
        Route("a", "b", 4, ("p", "q")),
        Route("b", None, 2, ("last", "flat"), output="flat"),
    )
    assert cores_of(net) == ("a", "b") and dvs_of(net) == "dvs"


def test_branches_sums_and_outputs():
    net = network(
        {"a": core(2, 4), "p": SumPool2d(2), "b": core(4, 4), "q": SumPool2d(2), "sum": Add(),
         "c": core(4, 5), "d": core(5, 1)},
        "input>a", "a>b", "a>p", "b>q", "p>sum", "q>sum", "sum>c", "c>d",
        outputs=["c", "d"],
    )  # fmt: skip
    assert routes(net) == (
        Route("input", "a"),
        Route("a", "b"),
        Route("a", "c", 2, ("p", "sum"), merge="sum"),
        Route("b", "c", 2, ("q", "sum"), merge="sum"),
        Route("c", None, output="c"),
        Route("c", "d"),
        Route("d", None, output="d"),
    )
    assert dvs_of(net) is None


def test_features_side_by_side():
    """Shifts add up, and go through a pooling behind the concatenation."""
    net = network(
        {"a": core(2, 3), "b": core(2, 4), "c": core(2, 5), "inner": Concat(), "outer": Concat(-3),
         "pool": SumPool2d(2), "d": core(12, 1)},
        "input>a", "input>b", "input>c", "b>inner", "c>inner", "a>outer", "inner>outer",
        "outer>pool", "pool>d",
    )  # fmt: skip
    found = {r.source: r for r in routes(net) if r.target == "d"}
    assert {name: r.feature_shift for name, r in found.items()} == {"a": 0, "b": 3, "c": 7}
    assert found["c"] == Route("c", "d", 2, ("inner", "outer", "pool"), 7, "outer")
    assert [r.target for r in routes(net) if r.source == "input"] == ["a", "b", "c"]


def test_a_core_adds_up_what_arrives():
    net = network(
        {"a": core(2, 4), "b": core(2, 4), "c": core(4, 1)}, "input>a", "input>b", "a>c", "b>c"
    )
    assert [(r.source, r.merge) for r in routes(net) if r.target == "c"] == [
        ("a", None),
        ("b", None),
    ]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"p": AvgPool2d(2)}, "a AvgPool2d is no part"),
        ({"p": SumPool2d((2, 1))}, "pooling 2x1"),
    ],
)
def test_other_layers(layers, message):
    with pytest.raises(ValueError, match=message):
        routes(nj.Sequential((2, 8, 8), a=core(2, 2), **layers))


def test_a_concatenation_of_rows():
    net = network({"a": core(2, 2), "b": core(2, 2), "rows": Concat(1)},
                  "input>a", "input>b", "a>rows", "b>rows")  # fmt: skip
    with pytest.raises(ValueError, match="concatenates along axis 1"):
        routes(net)
