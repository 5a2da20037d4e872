import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from neurojax.chips import bss2
from neurojax.chips.bss2 import (
    Circuit,
    Demand,
    NeuronPlacement,
    Population,
    SingleCompartmentNeuron,
    place,
)


def atoms(anchor, size, horizontal):
    """Circuits of a neuron as halco counts them, or None if they lie outside: plain Python."""
    row, column = anchor
    places = []
    for i in range(size):
        places.append((row, column + i) if horizontal else (row + i % 2, column + i // 2))
    last = max(c for _, c in places)
    inside = max(r for r, _ in places) <= 1
    # A logical neuron is 128 columns wide at most, and does not cross the middle.
    inside &= last <= 127 if column <= 127 else last <= 255
    return places if inside else None


@given(
    sizes=st.lists(st.tuples(st.integers(1, 7), st.booleans(), st.integers(1, 80)), max_size=5),
)
@settings(deadline=None, max_examples=40)
def test_first_fit(sizes):
    placement, used, number = NeuronPlacement(), set(), 0
    for size, horizontal, count in sizes:
        for _ in range(count):
            # hxtorch: anchors in the order of their number; the first one that is free and fits.
            expected = None
            for anchor in [(r, c) for r in range(2) for c in range(256)]:
                places = atoms(anchor, size, horizontal)
                if places and not used & set(places):
                    expected = places
                    break
            shape = SingleCompartmentNeuron(size, horizontal)
            if expected is None:
                with pytest.raises(ValueError, match=f"no room for neuron {number}"):
                    placement.register(number, shape)
                break
            placement.register(number, shape)
            assert list(placement[number]) == expected
            used |= set(expected)
            number += 1


def test_many_at_once_are_the_same_as_one_by_one():
    one, many = NeuronPlacement(), NeuronPlacement()
    many.register(range(100), SingleCompartmentNeuron(3))
    for i in range(100):
        one.register(i, SingleCompartmentNeuron(3))
    assert [one[i] for i in range(100)] == [many[i] for i in range(100)]


def test_shapes():
    assert SingleCompartmentNeuron(3).offsets == ((0, 0), (1, 0), (0, 1))
    assert SingleCompartmentNeuron(3, True).offsets == ((0, 0), (0, 1), (0, 2))
    assert SingleCompartmentNeuron(1).fits(Circuit(1, 255))
    assert not SingleCompartmentNeuron(2).fits(Circuit(1, 0))
    assert not SingleCompartmentNeuron(2, True).fits(Circuit(0, 127))
    assert not SingleCompartmentNeuron(2, True).fits(Circuit(0, 255))
    assert not SingleCompartmentNeuron(1).fits(Circuit(-1, 0))
    with pytest.raises(ValueError, match=r"1\.\.256 circuits"):
        SingleCompartmentNeuron(257)
    with pytest.raises(ValueError, match=r"1\.\.128 circuits"):
        SingleCompartmentNeuron(129, True)


def test_only_the_first_circuit_is_a_neuron():
    first, second = SingleCompartmentNeuron(2).settings(madc=True)
    assert first == bss2.CircuitSettings(madc=True)
    assert not any((second.leaks, second.capacitance, second.fires, second.sends, second.madc))
    (readout,) = SingleCompartmentNeuron().settings(spiking=False)
    assert readout.leaks and not readout.fires and not readout.sends
    assert not SingleCompartmentNeuron().settings(leaky=False)[0].leaks


def test_by_hand():
    demand = Demand(
        (
            Population("in", 4, None),
            Population("a", 2),
            Population("b", 3, SingleCompartmentNeuron(2)),
        ),
        (),
    )
    placement, problems = place(demand, {"b": [(0, 0), (0, 200), (0, 1)]})
    assert problems == [] and placement.used == 8
    assert placement.circuits["a"].tolist() == [[[0, 2]], [[0, 3]]]
    assert placement.circuits["b"][1].tolist() == [[0, 200], [1, 200]]
    assert placement.anchors("b").tolist() == [[0, 0], [0, 200], [0, 1]]


@pytest.mark.parametrize(
    ("at", "text"),
    [
        ([(0, 0), (0, 0)], "the circuit at row 0, column 0 is taken"),
        ([(0, 0)], "2 neurons, but 1 places"),
        ([(0, 0), (2, 0)], r"neuron \('a', 1\) at row 2, column 0"),
        ([(0, 0), (0, 256)], "columns 0..255"),
        ([(0, -1), (0, 5)], "row 0, column -1"),
        ("left", "can't be placed"),
    ],
)
def test_wrong_places(at, text):
    demand = Demand((Population("a", 2), Population("b", 600)), ())
    placement, problems = place(demand._replace(populations=demand.populations[:1]), {"a": at})
    assert placement is None and len(problems) == 1 and problems[0].layer == "a"
    with pytest.raises(AssertionError, match=text):
        raise AssertionError(str(problems[0]))


def test_every_wrong_population_is_named():
    demand = Demand((Population("a", 2), Population("b", 2), Population("c", 1)), ())
    _, problems = place(demand, {"a": [(0, 0), (0, 0)], "b": [(3, 3), (0, 1)]})
    assert [p.layer for p in problems] == ["a", "b"]
    ten = Demand((Population("a", 10),), ())
    _, (problem,) = place(ten, {"a": [(0, 0)] * 2 + [(7, 7)] + [(0, 0)] * 7})
    text = str(problem)
    assert "('a', 1): the circuit" in text and "row 7, column 7" in text and "4 more" in text


def test_too_many_neurons():
    shape = SingleCompartmentNeuron(2)
    placement, problems = place(Demand((Population("a", 250, shape), Population("b", 13)), ()))
    assert placement is None
    assert "needs 513 circuits ('a' 250 x 2, 'b' 13)" in str(problems[0])
    placement, problems = place(Demand((Population("a", 250, shape), Population("b", 12)), ()))
    assert placement.used == 512 and not problems


def test_a_number_is_placed_once():
    placement = NeuronPlacement()
    placement.register(3)
    with pytest.raises(ValueError, match="neuron 3 has circuits already"):
        placement.register(3)
    placement.register([4, 5], at=np.array([[1, 1], [0, 9]]))
    assert placement[5] == ((0, 9),)
