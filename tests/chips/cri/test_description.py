"""Descriptions: what is refused, hs_api's recordings, files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.chips.cri._validate import NetworkError
from neurojax.chips.cri.description import CRINetwork
from neurojax.chips.cri.models import ANN_neuron, IF_neuron, LIF_neuron, as_model
from neurojax.chips.cri.spec import spec
from tests.conftest import GOLDEN

LIF = LIF_neuron(threshold=10)


def chain(**options: Any) -> CRINetwork:
    return CRINetwork(
        {"in": [("a", 11)]}, {"a": ([("b", 12)], LIF), "b": ([], LIF)}, ["b"], **options
    )


def faults(axons: Any, connections: Any, outputs: Any = (), **options: Any) -> list[str]:
    with pytest.raises(NetworkError) as error:
        CRINetwork(axons, connections, outputs, **options)
    assert len(error.value.findings) == str(error.value).count("\n- ")
    return [str(finding) for finding in error.value.findings]


# Models


def test_models_are_compared_by_value() -> None:
    assert LIF_neuron(5, -17, 3) == LIF_neuron(theta=5, nu=-17, Lambda=3)
    assert len({LIF_neuron(5), LIF_neuron(5), LIF_neuron(6), IF_neuron(5), ANN_neuron(5)}) == 4
    assert IF_neuron(theta=5, soft_reset_en=True) != IF_neuron(5)
    assert sorted([LIF_neuron(6), LIF_neuron(5)])[0] == LIF_neuron(5)
    with pytest.raises(TypeError, match="threshold and theta are one"):
        LIF_neuron(5, theta=5)
    with pytest.raises(TypeError, match="needs a threshold"):
        LIF_neuron()


class Theirs:
    """A neuron model of hs_api has only methods in common with ours."""

    def __init__(self, code: int, newer: bool) -> None:
        self.code = code
        names = ("get_theta", "get_nu", "get_Lambda") if newer else None
        for name, value in zip(
            names or ("get_threshold", "get_shift", "get_leak"), (7, -3, 4), strict=True
        ):
            setattr(self, name, lambda value=value: value)
        if newer:
            self.get_refractory_max = lambda: 2
            self.get_soft_reset = lambda: 1

    def get_neuronModel(self) -> int:
        return self.code


def test_models_of_hs_api() -> None:
    assert as_model(Theirs(2, newer=False)) == LIF_neuron(7, -3, 4)
    newer = as_model(Theirs(2, newer=True))
    assert newer == LIF_neuron(7, -3, 4, refractory_max=2, soft_reset_en=True)
    # Its IF_neuron says leak 0, which means "none" there.
    assert as_model(Theirs(3, newer=False)) == IF_neuron(7, -3)
    with pytest.raises(TypeError, match="no neuron model"):
        as_model(Theirs(1, newer=False))
    for name in ("threshold", "shift", "leak", "neuronModel", "refractory_max", "delay_value"):
        assert callable(getattr(LIF, f"get_{name}"))


# What is refused


@pytest.mark.parametrize(
    ("axons", "connections", "outputs", "expected"),
    [
        ({"i": [["a", 1]]}, {"a": ([], LIF)}, [], "synapse 0: ['a', 1]; a tuple"),
        ({"i": [("a", 1, 2)]}, {"a": ([], LIF)}, [], "synapse 0: ('a', 1, 2); a tuple"),
        ({"i": [("a", 1, True)]}, {"a": ([], LIF)}, [], "synapse 0: ('a', 1, True); a tuple"),
        ([("a", 1)], {"a": ([], LIF)}, [], "axons: a list; a dict"),
        ({"i": []}, [], [], "connections: a list; a dict"),
        ({"i": []}, {"a": []}, [], "neuron 'a': a list; a neuron is"),
        ({"i": []}, {"a": ([],)}, [], "neuron 'a': a tuple of 1; a neuron is"),
        ({"i": []}, {"a": ([], None)}, [], "neuron 'a': None is no neuron model"),
        ({"i": []}, {"a": ([], LIF_neuron([3]))}, [], "threshold=[3] is no number"),
        ({"i": [("b", 1)]}, {"a": ([], LIF)}, [], "axon 'i', synapse 0: to 'b': no such neuron"),
        ({"i": [([], 1)]}, {"a": ([], LIF)}, [], "to []: no such neuron"),
        ({"a": []}, {"a": ([], LIF)}, [], "key 'a': it names an axon and a neuron"),
        ({"i": []}, {"a": ([("i", 1)], LIF)}, [], "neuron 'a', synapse 0: to 'i': it is an axon"),
        ({"i": []}, {"a": ([], LIF)}, ["b"], "output 'b': no such neuron"),
        ({"i": []}, {"a": ([], LIF)}, ["i"], "output 'i': it is an axon"),
        ({"i": []}, {"a": ([], LIF)}, ["a", "a"], "outputs: 1 repeated keys"),
        ({"i": []}, {"a": ([], LIF)}, "a", "outputs: 'a'; a list"),
        ({}, {"a": ([], LIF)}, [], "axons: it is empty"),
        ({"i": []}, {}, [], "connections: it is empty"),
        ({"i": [("a", 32768)]}, {"a": ([], LIF)}, [], "weight 32768; an integer from -32768"),
        ({"i": [("a", 2.7)]}, {"a": ([], LIF)}, [], "weight 2.7"),
        ({"i": [("a", "x")]}, {"a": ([], LIF)}, [], "weight 'x'"),
        ({"i": [("a", True)]}, {"a": ([], LIF)}, [], "weight True"),
        ({"i": [("a", 10**30)]}, {"a": ([], LIF)}, [], f"weight {10**30}"),
        ({"i": [("a", 1), ("a", 2)]}, {"a": ([], LIF)}, [], "axon 'i': 2 synapses to 'a'"),
        ({"i": 5}, {"a": ([], LIF)}, [], "axon 'i': a int; a list"),
        ({"i": []}, {"a": ([], LIF_neuron(1 << 35))}, [], f"threshold={1 << 35}; an integer"),
        ({"i": []}, {"a": ([], LIF_neuron(2.5))}, [], "threshold=2.5; an integer"),
        ({"i": []}, {"a": ([], LIF_neuron(1, -33))}, [], "shift=-33; an integer from -32 to 31"),
        ({"i": []}, {"a": ([], LIF_neuron(1, -17, 64))}, [], "leak=64; an integer from 0 to 63"),
        ({"i": []}, {"a": ([], LIF_neuron(1, refractory_max=8))}, [], "refractory_max=8"),
        ({"i": []}, {"a": ([], LIF_neuron(1, delay_value=-1))}, [], "delay_value=-1"),
    ],
)
def test_one_fault(axons: Any, connections: Any, outputs: Any, expected: str) -> None:
    [fault] = faults(axons, connections, outputs)
    assert expected in fault


def test_all_faults_at_once() -> None:
    found = faults(
        {"i": [("a", 40000), ("z", 1)], "j": [("a", 1), ("a", 1)]},
        {"a": ([("i", 1), ("a", 0.5)], LIF_neuron(1, 99)), "b": []},
        ["y"],
    )
    assert len(found) == 8
    many = {"i": [("a", 99999)] * 50}
    with pytest.raises(NetworkError, match="50 faults") as error:
        CRINetwork(many, {"a": ([], LIF)}, [])
    assert len(error.value.findings) == 50 and "and 30 more" in str(error.value)


def test_options_and_inputs() -> None:
    with pytest.raises(ValueError, match=r"target='CRI' .*hardware"):
        chain(target="CRI")
    with pytest.raises(ValueError, match="target='chip'"):
        chain(target="chip")
    with pytest.raises(TypeError, match="config"):
        chain(config=3)
    with pytest.raises(ValueError, match="weights='round'"):
        chain(weights="round")
    with pytest.raises(ValueError, match="duplicates='first'"):
        chain(duplicates="first")
    network = chain(target="simpleSim", config={"neuron_type": "LI&F"})
    with pytest.raises(ValueError, match=r"'a' is a neuron, no axon 'x'"):
        network.step(["a", "x"])
    with pytest.raises(TypeError, match=r"use \['in'\]"):
        network.step("in")
    for inputs in (3, None):
        with pytest.raises(TypeError, match="a list of axons"):
            network.step(inputs)
    with pytest.raises(ValueError, match=r"no axon \['in'\]"):
        network.step([["in"]])
    for call in (
        lambda: network.read_synapse("b", "a"),
        lambda: network.read_synapse("x", "a"),
        lambda: network.write_synapse("a", "b", 0.5),
        lambda: network.read_membrane(["in"]),
    ):
        with pytest.raises(ValueError, match=r"no synapse|no axon|weight 0.5|no neuron"):
            call()


def test_options_are_checked_before_a_run() -> None:
    with pytest.raises(TypeError, match=r"option 'stict'.*'strict'"):
        chain(stict=False)
    with pytest.raises(ValueError, match="order is 'mian'"):
        chain(order="mian")
    late = {"a": ([], LIF_neuron(1, refractory_max=2))}
    with pytest.raises(ValueError, match="simulator without refractory"):
        CRINetwork({"in": []}, late, ["a"], order="dev")
    with pytest.raises(NetworkError, match="hs_api's config"):
        CRINetwork({"in": []}, late, {"neuron_type": "LI&F", "global_neuron_params": {}})


def test_limits_of_the_machine() -> None:
    models = [LIF_neuron(n) for n in range(17)]
    connections = {n: ([], models[n % 17]) for n in range(8200)}
    axons = {f"a{n}": [(0, 1)] for n in range(8192)}
    axons["wide"] = [(n, 1) for n in range(1, 4098)]
    network = CRINetwork(axons, connections, [])
    found = [str(finding) for finding in network.validate()]
    assert len(found) == 3
    assert "17 different neuron models" in found[0]
    assert "fan-out of an axon: up to 4,097" in found[1]
    assert "fan-in of a neuron from axons: up to 8,192" in found[2]
    assert chain().validate() == ()
    small = spec().__class__(groups=1, rows=31)
    assert "32 neurons" in str(chain().validate(small)[0])


# What it computes


@pytest.mark.parametrize("name", ["mlp_bias", "mlp_nobias", "cnn_s2p1", "cnn_bias"])
@pytest.mark.parametrize(("tag", "leak"), [("leak64_exactIF", 64), ("leak63_defect", 63)])
def test_recorded_runs_of_hs_api(name: str, tag: str, leak: int) -> None:
    data = json.loads((GOLDEN / "cri" / f"conv_{name}.json").read_text())
    for neuron in data["neurons"].values():
        neuron |= {"leak": leak, "shift": -16}
    network = CRINetwork.from_dict(data, order="main")
    assert list(network.connections) == data["neuron_order"]
    with np.load(GOLDEN / "cri" / f"conv_{name}.npz") as file:
        membranes, spikes = file[f"V_{tag}"], file[f"S_out_{tag}"]
    numbers = {key: number for number, key in enumerate(network.axons)}
    steps = membranes.shape[1]
    for inputs, v, s in zip(data["input_axons"], membranes, spikes, strict=True):
        listed = [[numbers[axon] for axon in step] for step in inputs]
        listed += [[]] * (steps - len(listed))
        run = network.events().run(listed, probe=range(len(network.connections)))
        assert np.array_equal(run.membranes(), v)
        assert np.array_equal(run.spikes, s)


def test_step_by_step_as_hs_api_records_it() -> None:
    data = json.loads((GOLDEN / "cri" / "conv_mlp_nobias.json").read_text())
    for neuron in data["neurons"].values():
        neuron |= {"leak": 62, "shift": -16}
    network = CRINetwork.from_dict(data, order="main")
    with np.load(GOLDEN / "cri" / "conv_mlp_nobias.npz") as file:
        membranes, spikes = file["V_leak62"][0], file["S_out_leak62"][0]
    for time, axons in enumerate(data["input_axons"][0]):
        v, fired = network.step(axons, membranePotential=True)
        assert v == list(zip(data["neuron_order"], membranes[time].tolist(), strict=True))
        assert [key in fired for key in network.outputs] == spikes[time].astype(bool).tolist()
    network.reset()
    assert set(network.read_membrane().values()) == {0}


def test_recorded_weights_of_hs_api() -> None:
    data = json.loads((GOLDEN / "cri" / "weights.json").read_text())
    for weight, held, halved in zip(
        data["weights_in"], data["effective"], data["effective_after_write"], strict=True
    ):
        network = CRINetwork({"i": [("n", weight)]}, {"n": ([], LIF)}, [], weights="saturate")
        assert network.read_synapse("i", "n") == held
        network.write_synapse("i", "n", weight / 2)
        assert network.read_synapse("i", "n") == halved
    for first, second in ((5, 7), (7, -3)):
        axons, neurons = {"i": [("n", first), ("n", second)]}, {"n": ([], LIF_neuron(10**6))}
        network = CRINetwork(axons, neurons, [], duplicates="last")
        network.step(["i"])
        recorded = data[f"duplicate_{first}_then_{second}_effective"]
        assert network.read_membrane() == {"n": recorded}
        both = CRINetwork(axons, neurons, [], duplicates="sum")
        both.step(["i", "i"])  # counted once
        assert both.read_membrane(["n"]) == {"n": first + second}
        with pytest.raises(ValueError, match="2 synapses from 'i' to 'n'"):
            both.read_synapse("i", "n")


def test_written_synapses_count() -> None:
    network = chain()
    assert network.run([["in"], [], []]) == [[], [], ["b"]]
    network.write_listofSynapses(["in", "a"], ["a", "b"], [12, 3])
    assert network.read_synapse("in", "a") == 12 and network.axons["in"] == [("a", 12)]
    assert network.connections["a"][0] == [("b", 3)]
    network.reset()
    assert network.run([["in"], []]) == [[], []]
    assert network.read_membrane() == {"a": 0, "b": 3}


def test_delays_resets_and_refractory_periods() -> None:
    """What the lab's test-suite asserts of the chip: see the neuron's tests for single neurons."""
    source = IF_neuron(0, delay_value=3, dual_synapse_en=True)
    network = CRINetwork(
        {"in": [("a", 1)]},
        {"a": ([("b", 5), ("b", 7, True)], source), "b": ([], IF_neuron(100))},
        [],
    )
    assert network.axons == {"in": [("a", 1)]}
    seen = [
        dict(network.step(step, membranePotential=True)[0])["b"] for step in [["in"]] + [[]] * 6
    ]
    assert seen == [0, 5, 5, 5, 12, 12, 12]
    soft = CRINetwork({"in": [("a", 25)]}, {"a": ([], IF_neuron(10, soft_reset_en=True))}, ["a"])
    assert soft.run([["in"], [], [], []]) == [[], ["a"], ["a"], []]
    slow = CRINetwork({"in": [("a", 11)]}, {"a": ([], IF_neuron(10, refractory_max=2))}, ["a"])
    assert slow.run([["in"]] * 8) == [[], ["a"], [], [], ["a"], [], [], ["a"]]


def test_both_engines_agree() -> None:
    rng = np.random.default_rng(0)
    pool = [LIF_neuron(500, -17, 2), IF_neuron(700, delay_value=2), ANN_neuron(300)]
    keys = list(range(20))

    def synapses(late: bool) -> list[tuple[Any, ...]]:
        posts = rng.choice(20, 6, replace=False).tolist()
        weights = rng.integers(-400, 600, 6).tolist()
        return [
            (post, weight, True) if late and n % 2 else (post, weight)
            for n, (post, weight) in enumerate(zip(posts, weights, strict=True))
        ]

    connections = {key: (synapses(late=key % 3 == 1), pool[key % 3]) for key in keys}
    axons = {f"a{n}": synapses(late=False) for n in range(6)}
    network = CRINetwork(axons, connections, keys)
    active = (rng.random((15, 6)) < 0.4).astype(np.float32)
    dense = nj.simulate(network.crossbar(), active[:, None], probes=["crossbar.v"])
    events = network.events().run(active, probe=range(20))
    assert np.array_equal(dense.outputs[:, 0] != 0, events.spikes)
    assert np.array_equal(dense["crossbar.v"][:, 0], events.membranes())
    assert events.active.sum() > 20


def test_noise_needs_a_key() -> None:
    noisy = {"n": ([], LIF_neuron(1, shift=0))}
    with pytest.raises(ValueError, match="needs a key"):
        CRINetwork({"i": []}, noisy, ["n"]).step([])
    first, second = (
        CRINetwork({"i": []}, noisy, ["n"], key=jax.random.key(seed)).run([[]] * 40)
        for seed in (0, 1)
    )
    assert first != second
    assert first == CRINetwork({"i": []}, noisy, ["n"], key=jax.random.key(0)).run([[]] * 40)


# Files

keys = st.recursive(
    st.text(max_size=3) | st.integers() | st.booleans() | st.none() | st.binary(max_size=3),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=2),
    max_leaves=3,
)
models = st.builds(
    lambda kind, *numbers, **more: kind(*numbers, **more),
    st.sampled_from([LIF_neuron, ANN_neuron, IF_neuron]),
    st.integers(-(1 << 35), (1 << 35) - 1),
    st.integers(-32, 31),
    st.integers(0, 63),
    refractory_max=st.integers(0, 7),
    delay_value=st.integers(0, 15),
    soft_reset_en=st.booleans(),
)


@st.composite
def networks(draw: Any) -> CRINetwork:
    names = draw(st.lists(keys, min_size=2, max_size=7, unique=True))
    cut = draw(st.integers(1, len(names) - 1))
    neurons = names[cut:]
    weights = st.integers(-32768, 32767)
    plain = st.lists(st.tuples(st.sampled_from(neurons), weights), unique_by=lambda s: s[0])
    delayed = plain.map(lambda found: [(*synapse, True) for synapse in found])
    axons = {name: draw(plain) for name in names[:cut]}
    connections = {name: (draw(plain) + draw(delayed), draw(models)) for name in neurons}
    outputs = draw(st.lists(st.sampled_from(neurons), unique=True))
    return CRINetwork(axons, connections, outputs)


@settings(deadline=None, max_examples=60)
@given(networks())
def test_json_keeps_everything(network: CRINetwork) -> None:
    text = json.dumps(network.to_dict())
    again = CRINetwork.from_dict(json.loads(text))
    assert again == network
    assert list(map(type, again.axons)) == list(map(type, network.axons))


def test_strings_are_written_as_hs_api_users_know_them(tmp_path: Path) -> None:
    network = chain()
    network.save(tmp_path / "net.json")
    data = json.loads((tmp_path / "net.json").read_text())
    assert data["axons"] == {"in": [["a", 11]]}
    assert data["neurons"]["a"] == {
        "syn": [["b", 12]], "model": 2, "threshold": 10, "shift": -17, "leak": 63,
    }  # fmt: skip
    assert CRINetwork.load(tmp_path / "net.json") == network
    numpy = LIF_neuron(np.int64(7), np.int32(-17), 3.0, refractory_max=np.uint8(2))
    other = CRINetwork({"i": [("n", np.int16(3))]}, {"n": ([], numpy)}, ["n"])
    other.save(tmp_path / "net.json")
    assert CRINetwork.load(tmp_path / "net.json") == other
    assert [path.name for path in tmp_path.iterdir()] == ["net.json"]
    with pytest.raises(TypeError, match="can't be written to JSON"):
        CRINetwork({"i": []}, {object: ([], LIF)}, []).to_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("outputs"), "outputs missing"),
        (lambda d: d.update(version=2), "version 2 is unknown"),
        (lambda d: d.update(format="x"), "format is 'x'"),
        (lambda d: d.update(axons=5), "axons: 5 is neither"),
        (lambda d: d.update(axons=[["a"]]), "axons, entry 0"),
        (lambda d: d.update(axons=[["a", []], ["a", []]]), "'a' stands there twice"),
        (lambda d: d.update(axons=[[{"list": []}, []]]), "is no key"),
        (lambda d: d.update(axons=[[{"bytes": "zz"}, []]]), "entry 0"),
        (lambda d: d["axons"].update({"in": 5}), "axon 'in': 5 is no list"),
        (lambda d: d["axons"].update({"in": [7]}), "axon 'in', synapse 0"),
        (lambda d: d["axons"].update({"in": [["a", 1.5]]}), "weight 1.5"),
        (lambda d: d["axons"].update({"in": [["q", 1]]}), "to 'q'"),
        (lambda d: d["neurons"]["a"].pop("leak"), "neuron 'a'"),
        (lambda d: d["neurons"]["a"].update(model=1), "model 1 must be one of"),
        (lambda d: d["neurons"]["a"].update(threshold="x"), "threshold='x' is no number"),
        (lambda d: d["neurons"]["a"].update(leak=-1), "leak=-1"),
        (lambda d: d.update(outputs="b"), "outputs: 'b'"),
    ],
)
def test_damaged_files(tmp_path: Path, change: Any, message: str) -> None:
    data = chain().to_dict()
    change(data)
    path = tmp_path / "net.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=message):
        CRINetwork.load(path)


def test_no_json(tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text('{"axons": ')
    with pytest.raises(ValueError, match=r"net\.json"):
        CRINetwork.load(tmp_path / "net.json")


def test_arguments_for_hs_api() -> None:
    arguments = chain().to_hs_api()
    assert list(arguments) == ["axons", "connections", "config", "outputs"]
    synapses, model = arguments["connections"]["a"]
    assert isinstance(synapses, list) and isinstance(synapses[0], tuple)
    assert (model.get_neuronModel(), model.get_threshold(), model.get_leak()) == (2, 10, 63)
    assert set(arguments["config"]) == {"neuron_type", "global_neuron_params"}
    assert CRINetwork(**arguments) == chain()


def test_a_network_is_a_copy() -> None:
    axons = {"in": [("a", 1)]}
    network = CRINetwork(axons, {"a": ([], LIF)}, [])
    network.write_synapse("in", "a", 5)
    assert axons == {"in": [("a", 1)]}
    assert "1 axons, 1 neurons, 1 synapses" in repr(network)


def test_hs_apis_order_of_arguments() -> None:
    axons, neurons = {"in": [("a", 3)]}, {"a": ([], LIF_neuron(2))}
    config = {"neuron_type": "LI&F", "global_neuron_params": {"v_thr": 1}}
    plain = CRINetwork(axons, neurons, ["a"])
    assert plain == CRINetwork(axons, neurons, config, ["a"])
    assert plain == CRINetwork(axons, neurons, None, ["a"], "simpleSim")
    assert plain == CRINetwork(axons, neurons, config, outputs=["a"], target="simpleSim")
    assert plain == CRINetwork(axons=axons, connections=neurons, config=config, outputs=["a"])
    with pytest.raises(TypeError, match="config is given twice"):
        CRINetwork(axons, neurons, config, ["a"], config=config)
    for wrong in ((), (config, ["a"], None, False)):
        with pytest.raises(TypeError, match="axons, connections, config and outputs"):
            CRINetwork(axons, neurons, *wrong)
    with pytest.raises(TypeError, match="its content has no effect"):
        CRINetwork(axons, neurons, ["a"], config)


def test_rows_are_the_lists() -> None:
    lif = LIF_neuron(2)
    neurons = {"a": ([("b", 3), ("a", -1)], lif), "b": ([], lif)}
    network = CRINetwork({"in": [("b", 7)], "off": []}, neurons, ["b"], overflow="wrap")
    axons, between = network.rows
    assert axons.starts.tolist() == [0, 1, 1] and between.starts.tolist() == [0, 2, 2]
    assert between.targets.tolist() == [1, 0] and between.weights.tolist() == [3, -1]
    network.write_synapse("a", "a", 5)
    assert network.rows[1].weights.tolist() == [3, 5]
    assert network.options == {"overflow": "wrap"}
