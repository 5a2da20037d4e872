"""Which converter a module gets."""

import pytest

import neurojax as nj
from neurojax.converters import Converted, register
from neurojax.converters._registry import (
    convert,
    converter_of,
    is_refused,
    kind_of,
    known_kinds,
    nearest_kind,
    refuse,
)


class Base:
    def forward(self, x):
        return x


class Renamed(Base):
    """Only made in another way."""

    def __init__(self):
        self.extra = 1

    def extra_repr(self):
        return "extra"


class Changed(Base):
    def forward(self, x):
        return 2 * x


@register(Base)
def _base(module, in_shape):
    return nj.Scale(1.0)


def test_a_class_and_those_that_only_make_it_differently():
    assert converter_of(Base()) is _base
    assert converter_of(Renamed()) is _base
    assert converter_of(Changed()) is None


def test_a_later_registration_replaces_an_earlier_one():
    class Module:
        pass

    first, second = (
        (lambda module, in_shape: nj.Scale(1.0)),
        (lambda module, in_shape: nj.Scale(2.0)),
    )
    register(Module)(first)
    register(Module)(second)
    assert converter_of(Module()) is second


def test_names_stand_for_classes_that_need_not_be_imported():
    module = type("Neuron", (), {"__module__": "somebody.neurons.lif", "__qualname__": "Neuron"})()
    assert kind_of(type(module)) == "somebody.Neuron"
    assert converter_of(module) is None

    @register("somebody.Neuron", "somebody.Other")
    def neuron(module, in_shape):
        return Converted({"synapse": nj.Scale(2.0), "": nj.LIF(tau=2.0)}, notes=("a note",))

    converted = convert(module, (3,))
    assert list(converted.layers) == ["synapse", ""] and converted.notes == ("a note",)
    assert nearest_kind(type("Neurom", (), {"__module__": "somebody"})()) == "somebody.Neuron"


def test_a_layer_alone_stands_for_the_module():
    converted = convert(Base(), (3,))
    assert list(converted.layers) == [""] and converted.returns is None


def test_unknown_modules_and_kinds():
    with pytest.raises(LookupError, match="Changed has no converter"):
        convert(Changed(), (3,))
    for wrong in ("Leaky", 3, None):
        with pytest.raises(TypeError, match="neither a class nor a text"):
            register(wrong)


def named(name, module):
    return type(name, (), {"__module__": module, "__qualname__": name})()


def test_the_nearest_kind_can_come_in():
    @register("zoo.Zebra")
    def zebra(module, in_shape):
        return nj.LIF(tau=2.0)

    refuse("zoo", "The zoo's", {"Zebroid": "is no zebra"})
    assert is_refused(named("Zebroid", "zoo.animals"))
    assert not is_refused(named("Zebra", "zoo.animals")) and not is_refused(named("Cow", "zoo"))
    assert nearest_kind(named("Zebroids", "zoo.animals")) == "zoo.Zebra"
    assert nearest_kind(named("Cow", "zoo.animals")) == ""
    assert known_kinds("zoo") == ["Zebra"]


def test_two_classes_of_one_name():
    @register("twins.Norm")
    def first(module, in_shape):
        return nj.Scale(1.0)

    @register("twins.other.Norm")
    def second(module, in_shape):
        return nj.Scale(2.0)

    assert converter_of(named("Norm", "twins.one")) is first
    assert converter_of(named("Norm", "twins.other")) is second
