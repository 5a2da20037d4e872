import ast
import copy
import dataclasses
import json
import runpy
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import jsonschema
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips import MappingError, bss2
from neurojax.chips.bss2 import CalibrationTarget
from neurojax.hardware.bss2 import Configuration, Trace, configure, from_json, load, schema, script
from tests.hardware.bss2 import recorder

KEYS = jax.random.split(jax.random.key(3), 8)
CAPMEM = {
    "exponential_slope": 300,
    "exponential_threshold": 500,
    "subthreshold_adaptation_strength": 20,
    "spike_triggered_adaptation_increment": 40,
    "tau_adap": 100,
}


def linear(n_in, n_out, key=0, scale=1.0):
    return nj.Linear.from_weights(scale * jax.random.normal(KEYS[key], (n_out, n_in)))


def plain():
    return nj.Sequential(
        (5,), fc=linear(5, 12), hidden=bss2.LIF(tau_mem=6e-6, tau_syn=6e-6, refractory_time=2e-6),
        out=linear(12, 3, 1), readout=bss2.LI(tau_mem=6e-6, tau_syn=6e-6),
    )  # fmt: skip


def branched():
    """Two inputs, one with axes; sparse synapses; merged circuits; parameters of neurons; AdEx."""
    mask = jax.random.bernoulli(KEYS[2], 0.4, (9, 12))
    return nj.Network(
        {
            "flat": nj.layers.Reshape((2, -1)),
            "flatter": nj.Flatten(),
            "a": linear(12, 9, 3, 0.5),
            "sparse": bss2.SparseLinear.from_weights(
                jax.random.normal(KEYS[4], (9, 12)), np.array(mask)
            ),
            "one": bss2.LIF(
                threshold=jnp.linspace(0.8, 1.2, 9), leak=jnp.array(0.1), reset=-0.1, c_mem=8e-6
            ),
            "same": nj.layers.Identity(),
            "drop": nj.BatchDropout(0.5, inference=True),
            "b": linear(9, 4, 5),
            "c": linear(2, 4, 6),
            "two": bss2.AELIF(threshold=1.5, surrogate=nj.surrogate.SuperSpike(20.0)),
            "d": linear(4, 2, 7),
            "three": bss2.IAF(threshold=0.5),
        },
        [("image", "flat"), ("flat", "flatter"), ("flatter", "a"), ("flatter", "same"),
         ("same", "sparse"), ("a", "one"), ("sparse", "one"),
         ("one", "drop"), ("drop", "b"), ("b", "two"), ("bias", "c"), ("c", "two"), ("two", "d"),
         ("d", "three")],
        inputs={"image": (2, 2, 3), "bias": (2,)},
        outputs=["one", "two", "three"],
    )  # fmt: skip


def recurrent():
    return nj.Sequential(
        (4,), fc=linear(4, 6), hidden=nj.Recurrent(bss2.LIF(), linear(6, 6, 1, 0.3))
    )


def make(build=plain, *, options=None, **more):
    options = options or {"circuits": {"one": 2}} if build is branched else options
    if build is branched:
        more = {"capmem": {"two": CAPMEM}} | more
    return configure(bss2.map(build(), **(options or {})), **({"steps": 60} | more))


def inputs_of(network, steps=60, batch=3):
    random = np.random.default_rng(0)
    return {
        name: jnp.asarray(random.random((steps, batch, *shape)) < 0.3, jnp.float32)
        for name, shape in network.inputs.items()
    }


def run(network, **options):
    inputs = inputs_of(network)
    probes = [f"{n}.v" for n in network.names if hasattr(network[n], "tau_mem")]
    given = inputs if len(inputs) > 1 else inputs["input"]
    result = nj.simulate(network, given, probes=probes, **options)
    return {"outputs": result.outputs, **{name: result[name] for name in probes}}


def same(a, b):
    return jax.tree.all(jax.tree.map(lambda x, y: bool((x == y).all()), a, b))


@pytest.mark.parametrize("build", [plain, branched, recurrent])
def test_a_file_replays(build, tmp_path):
    mapped = bss2.map(build(), **({"circuits": {"one": 2}} if build is branched else {}))
    more = {"capmem": {"two": CAPMEM}} if build is branched else {}
    made = configure(mapped, steps=60, **more)
    path = tmp_path / "net.json"
    made.save(path)
    loaded = load(path)
    assert [p.name for p in tmp_path.iterdir()] == ["net.json"]
    expected = run(mapped.network)
    spikes = jax.tree.leaves(expected["outputs"])[0]
    assert 0 < spikes.sum() < spikes.size or build is plain
    assert same(expected, run(made.network)) and same(expected, run(loaded.network))
    # Every parameter, not only what a run makes of it.
    assert eqx.tree_equal(mapped.network, loaded.network)
    assert loaded.data == made.data
    jsonschema.validate(json.loads(path.read_text()), schema())
    assert eqx.tree_equal(loaded.mapped.network, mapped.network)
    again = [(o.name, o.synapses, o.weight_scale, o.trace_scale, o.dt) for o in mapped.origins]
    assert again == [
        (o.name, o.synapses, o.weight_scale, o.trace_scale, o.dt) for o in loaded.mapped.origins
    ]
    assert str(loaded.mapped.report()).count("\n") > 3


def test_what_is_trained_is_saved():
    mapped = bss2.map(plain())
    moved = eqx.tree_at(
        lambda n: n.layers["fc"].synapse.weight, mapped.network, replace_fn=lambda w: 0.7 * w + 0.01
    )
    made = configure(mapped.with_network(moved), steps=60)
    assert eqx.tree_equal(made.network, moved)
    assert made.data["projections"][0]["weight_int"] == moved["fc"].integers().tolist()


def test_targets_follow_the_mapping():
    made = make(options={"trace_scale": 1 / 50})
    hidden = made.populations["hidden"]["hardware"]
    assert hidden["leak"] == hidden["reset"] == 80 and hidden["threshold"] == 130
    assert hidden["tau_mem_s"] == 6e-6 and hidden["refractory_time_s"] == 2e-6
    assert made.traces["hidden"] == Trace(scale=1 / 50, to_first=True)
    # Potential 0.1 is the leak, 80: the converter says 80 - 128.
    one = make(branched).traces["one"]
    assert float(np.asarray(one.apply(np.full((1, 1, 9), 80 - 128.0)))[0, 0, 0]) == pytest.approx(
        0.1, abs=1e-6
    )
    given = make(targets={"hidden": CalibrationTarget(threshold=150.0)}, traces=Trace(scale=0.5))
    assert given.populations["hidden"]["hardware"]["threshold"] == 150.0
    assert given.traces["readout"].scale == 0.5


def test_placement():
    made = make(placement={"hidden": [(1, 5 * i) for i in range(12)]})
    assert made.populations["hidden"]["placement"][3] == [1, 15]
    assert made.placement.anchors("readout").tolist() == [[0, 0], [0, 1], [0, 2]]
    assert made.routing.problems == ()
    merged = make(circuits={"hidden": 4}, expand_horizontally=True)
    entry = merged.populations["hidden"]
    assert entry["circuits_per_neuron"] == 4 and entry["expand_horizontally"]
    assert merged.placement.circuits["hidden"].shape == (12, 4, 2)
    assert from_json(json.loads(json.dumps(merged.data))).placement.used == merged.placement.used


def test_every_reason_at_once():
    mapped = bss2.map(plain())
    targets = {"hidden": CalibrationTarget(leak=10.0), "readout": CalibrationTarget(i_synin_gm=400)}
    with pytest.raises(MappingError) as caught:
        configure(
            mapped, steps=10**8, targets=targets, placement={"hidden": [(0, 0)] * 12},
            capmem={"hidden": {"tau_adap": 3}},
        )  # fmt: skip
    text = str(caught.value)
    for part in ("leak is 10", "i_synin_gm", "is taken", "capmem has tau_adap", "at most 34.4 s"):
        assert part in text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda s: dataclasses.replace(s, bits=None), "real numbers"),
        (lambda s: dataclasses.replace(s, drift=0.1), "drift of a virtual chip"),
        (lambda s: s.synapse, "is a Linear"),
    ],
)
def test_what_no_file_holds(change, text):
    mapped = bss2.map(plain())
    network = mapped.network.replace(fc=change(mapped.network["fc"]))
    with pytest.raises(MappingError, match=text):
        configure(mapped.with_network(network), steps=10)


def test_eventprop_goes_into_a_file_as_plain_layers():
    net = nj.Sequential((4,), fc=bss2.EventPropLinear(4, 3, key=jax.random.key(0)),
                        n=bss2.EventPropLIF())  # fmt: skip
    mapped = bss2.map(net)
    with pytest.raises(MappingError, match="without_eventprop"):
        configure(mapped, steps=10)
    plain = mapped.with_network(bss2.without_eventprop(mapped.network))
    again = from_json(json.loads(json.dumps(configure(plain, steps=10).data)))
    weights = [m.network["fc"].integers() for m in (mapped, again)]
    np.testing.assert_array_equal(*weights)


def test_a_projection_has_one_source_and_one_target():
    net = nj.Network(
        {"w": linear(3, 3), "a": bss2.LIF(), "b": bss2.LIF()},
        [("input", "w"), ("w", "a"), ("w", "b")],
        inputs=(3,),
    )
    with pytest.raises(MappingError, match="layer 'w': is 2 projections"):
        configure(bss2.map(net), steps=10)


def test_wrong_arguments():
    mapped = bss2.map(plain())
    with pytest.raises(ValueError, match=r"chips\.bss2\.map"):
        configure(plain(), steps=3)
    with pytest.raises(ValueError, match="steps is 0"):
        configure(mapped, steps=0)
    for option in ("targets", "traces"):
        with pytest.raises(ValueError, match=f"{option} of 'hiden': did you mean 'hidden'"):
            configure(mapped, steps=3, **{option: {"hiden": None}})
    with pytest.raises(ValueError, match="record of 'x'"):
        configure(mapped, steps=3, record=["x"])
    with pytest.raises(MappingError, match="no values for exponential_slope"):
        make(branched, capmem={})
    with pytest.raises(MappingError, match="tau_adap is 1023"):
        make(branched, capmem={"two": CAPMEM | {"tau_adap": 1023}})


def edit(*path, value):
    def change(data):
        for key in path[:-1]:
            data = data[key]
        if value is None:
            del data[path[-1]]
        else:
            data[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (edit("format", value="x"), "format is 'x'"),
        (edit("version", value=2), "version is 2"),
        (edit("dt_s", value=-1), "dt_s is -1"),
        (edit("runtime_steps", value=0), "runtime_steps is 0"),
        (edit("execution", "calib_path", value=3), "execution.calib_path is 3"),
        (edit("populations", 1, "size", value=11), "'hidden' has 11 neurons, but 12 places"),
        (edit("populations", 1, "kind", value="GIF"), r"populations\[1\].kind is 'GIF'"),
        (edit("populations", 1, "name", value="readout"), "two 'readout'"),
        (edit("populations", 1, "model", "leak", value="x"), "model.leak is 'x'"),
        (edit("populations", 1, "model", "tau_mem_s", value=None), "tau_mem_s is missing"),
        (edit("populations", 1, "model", "tau_mem_s", value=-1.0), "don't fit one another"),
        (edit("populations", 1, "model", "surrogate", value="Foo"), "don't fit one another"),
        (edit("populations", 1, "model", "more", value=1), "model.more is unknown"),
        (edit("populations", 1, "hardware", "leak", value=20), "leak is 20"),
        (edit("populations", 1, "hardware", "leak", value=[80.0]), "hardware.leak has 1 values"),
        (edit("populations", 1, "hardware", "i_synin_gm", value=400), "i_synin_gm is 400"),
        (edit("populations", 1, "hardware", "capmem", value={"a": 1}), r"capmem has \['a'\]"),
        (edit("populations", 1, "placement", 1, value=[0, 0]), "row 0, column 0 is taken"),
        (edit("populations", 1, "placement", 1, value=[2, 0]), "2 0|can't be placed"),
        (edit("populations", 1, "circuits_per_neuron", value=300), "circuits_per_neuron is 300"),
        (edit("populations", 1, "record", "madc_neuron", value=12), "madc_neuron is 12"),
        (edit("populations", 1, "trace", "scale", value=[1.0]), "trace.scale has 1 values"),
        (edit("populations", 1, "trace", "interpolation", value="no"), "interpolation is 'no'"),
        (edit("projections", 0, "weight_int", 0, 0, value=64), "64; it must be within -63..63"),
        (edit("projections", 0, "weight_int", 0, 0, value=7), r"weight_int\[0\]\[0\] is 7"),
        (edit("projections", 0, "weight_float", 0, value=[1.0]), "weight_float is"),
        (edit("projections", 0, "pre", value="readout"), "'readout' to 'hidden'"),
        (edit("projections", 0, "name", value="other"), "projections has 'other', but no layer"),
        (edit("projections", 0, "weight_scale", value=float("inf")), "weight_scale is inf"),
        (edit("network", "edges", 0, value=["input", "fc"]), r"edges\[0\] is"),
        (edit("network", "edges", 0, 0, value="nowhere"), "don't fit one another"),
        (edit("network", "inputs", "input", value=[4]), "size 5, but the shape"),
        (edit("network", "layers", 0, "kind", value="Conv2d"), "kind is 'Conv2d'"),
        (edit("physical", "groups", 0, "address", value=31), "physical is not what follows"),
        (edit("unknown", value=1), "unknown is unknown"),
    ],
)
def test_wrong_files(change, text, tmp_path):
    data = copy.deepcopy(CONFIGURATION.data)
    change(data)
    path = tmp_path / "net.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=text) as caught:
        load(path)
    assert str(path) in str(caught.value)


CONFIGURATION: Configuration = make()


def test_parts_that_may_be_left_out():
    data = copy.deepcopy(CONFIGURATION.data)
    del data["physical"]
    assert same(run(from_json(data).network), run(CONFIGURATION.network))


def test_no_file_and_half_a_file(tmp_path):
    path = tmp_path / "net.json"
    with pytest.raises(OSError):
        load(path)
    CONFIGURATION.save(path)
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(ValueError, match="was the file cut off"):
        load(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not a text file"):
        load(path)
    with pytest.raises(ValueError, match="list"):
        from_json([])
    broken = dataclasses.replace(CONFIGURATION, data={"x": float("nan")})
    path.write_text("before")
    with pytest.raises(ValueError):
        broken.save(path)
    assert path.read_text() == "before" and len(list(tmp_path.iterdir())) == 1


def execute(path, mock, tmp_path, monkeypatch):
    configuration = load(path)
    inputs = {n: np.asarray(x) for n, x in inputs_of(configuration.network).items()}
    np.savez(tmp_path / "in.npz", **inputs)
    files = [str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]
    monkeypatch.setattr(sys, "argv", ["net.py", *files] + ["--mock"] * mock)
    with recorder.installed() as hardware:
        runpy.run_path(str(path.with_suffix(".py")), run_name="__main__")
        (experiment,) = recorder.EXPERIMENTS
    return experiment, hardware, dict(np.load(tmp_path / "out.npz"))


@pytest.mark.parametrize("mock", [True, False])
@pytest.mark.parametrize("build", [plain, branched])
def test_the_script_builds_the_network(build, mock, tmp_path, monkeypatch):
    path = tmp_path / "net.json"
    made = make(build, calibration="spiking.pkl", wait=1000)
    made.save(path, script=True)
    experiment, hardware, found = execute(path, mock, tmp_path, monkeypatch)
    assert hardware == ([] if mock else ["init", "release"])
    assert experiment.inter_batch_entry_wait == 1000 and experiment.dt == 1e-6
    calibration = experiment.default_execution_instance.calibration
    assert calibration == (None if mock else "spiking.pkl")

    # Neurons are where the configuration has them, weights what the chip can hold.
    for module, (name, entry) in zip(experiment.populations, made.populations.items(), strict=True):
        places = [neuron.atoms for neuron in module.told["placement_constraint"]]
        assert places == [[tuple(c) for c in n] for n in made.placement.circuits[name].tolist()]
        assert module.told["size"] == entry["size"]
        assert module.told["tau_mem"].hardware_value == entry["hardware"]["tau_mem_s"]
        if entry["kind"] != "LI":
            assert module.told["alpha"] == (20.0 if name == "two" else 50.0)
            assert np.allclose(
                module.told["threshold"].hardware_value, entry["hardware"]["threshold"]
            )
    for module, entry in zip(experiment.projections, made.data["projections"], strict=True):
        sent = {(pre, post): weight for pre, post, weight in module.connections()}
        whole = np.array(entry["weight_int"])
        mask = np.ones_like(whole) if entry["connected"] is None else np.array(entry["connected"])
        assert sent == {(j, i): whole[i, j] for i, j in np.argwhere(mask).tolist()}

    # hxtorch's own simulation of what the script built gives the same spikes.
    network = made.network
    inputs = inputs_of(network)
    given = inputs if len(inputs) > 1 else inputs["input"]
    names = [n for n in made.populations if n != "readout"]
    ours = nj.simulate(network, given, probes=[*names, *(f"{n}.v" for n in made.populations)])
    assert set(found) == {*names, *(f"{n}.v" for n in made.populations)}
    for name in names:
        assert found[name].sum() > 0 and (found[name] == np.asarray(ours[name])).all()
    for name in made.populations:
        np.testing.assert_allclose(found[f"{name}.v"], ours[f"{name}.v"], rtol=1e-4, atol=1e-4)
    # What the script writes is what a run takes as measured.
    again = nj.simulate(network, given, measured=found, probes=names)
    for name in names:
        assert (np.asarray(again[name]) == found[name]).all()


def test_the_script_says_what_only_our_simulation_does(tmp_path):
    net = nj.Sequential((2,), fc=linear(2, 3), hidden=bss2.LIF(v_min=-0.5, method="exact"))
    made = configure(bss2.map(net), steps=5)
    made.save(tmp_path / "net.json", script=True)
    text = (tmp_path / "net.py").read_text()
    assert "hxtorch's simulation has no v_min, method of 'hidden'" in text
    assert "has no" not in script.write_script(CONFIGURATION.data)


def test_no_script_for_loops(tmp_path):
    made = make(recurrent)
    with pytest.raises(ValueError, match="'hidden' is part of a loop"):
        made.save(tmp_path / "net.json", script=True)
    assert list(tmp_path.iterdir()) == []
    for name in ("net.py", "net.conf", "net"):
        with pytest.raises(ValueError, match=r"the script reads a \.json file"):
            CONFIGURATION.save(tmp_path / name, script=True)
    assert not list(tmp_path.iterdir())


def test_no_name_becomes_a_part_of_the_script():
    name = '"""\nprint(1)\n"""\\'
    net = nj.Network(
        {"fc": linear(2, 3), "hidden": bss2.LIF(v_min=-0.5)},
        [(name, "fc"), ("fc", "hidden")],
        inputs={name: (2,)},
    )
    made = configure(bss2.map(net), steps=5)
    tree = ast.parse(script.write_script(made.data, stem=name))
    assert ast.get_docstring(tree).endswith("numbers are in the JSON file.")


def test_recordings_of_recurrent_neurons():
    made = make(recurrent)
    found = made.measured(
        spikes={"hidden": [[125, 0, 2]]}, samples={"hidden": [[-48, 0, 0, 0]]}, batch=2
    )
    assert set(found) == {"hidden", "hidden.neuron.v"} and found["hidden"].shape == (60, 2, 6)
    inputs = inputs_of(made.network, batch=2)["input"]
    run = nj.simulate(made.network, inputs, measured=found)
    assert run.outputs.sum() == 1 and run.outputs[1, 0, 2] == 1
