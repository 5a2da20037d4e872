"""`network.json`: round trips, files that were tampered with, and the JSON schema."""

import dataclasses
import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax._layer import Layer
from neurojax.chips import MappedNetwork, mcu
from neurojax.hardware.c import configure, load, load_program, schema
from neurojax.hardware.c._layers import _FIELDS, _FORMAT, read_layer, write_layer
from neurojax.hardware.c._record import from_data, to_text
from neurojax.surrogate import Sigmoid, Surrogate
from tests.hardware.c._networks import networks

OPTIONS = {
    "model_name": "net",
    "timesteps": 1,
    "timestep_mode": "duplicate",
    "dump_featuremaps": False,
    "metrics": (),
}
VALIDATOR = jsonschema.Draft202012Validator(schema())


def network() -> nj.Network:
    """One layer of each kind that C code has, but for norms that are folded."""
    key = jax.random.key(5)
    layers = {
        "conv": nj.Conv2d(2, 4, (3, 2), padding=1, groups=2, bias=True, key=key),
        "spikes": nj.IAF(threshold=jnp.array(0.2), surrogate=Sigmoid(alpha=3.0)),
        "side": nj.Conv2d(4, 4, 1, bias=False, key=key),
        "add": nj.Add(),
        "same": nj.layers.Identity(),
        "turned": nj.layers.Permute((0, 2, 1)),
        "pool": nj.AvgPool2d(2, stride=1, padding=1),
        "up": nj.layers.Upsample((2, 1)),
        "flat": nj.Flatten(),
        "fc": nj.Linear(560, 3, bias=True, key=key),
        "out": nj.LIF(
            tau=2.5, method="euler", threshold=-0.05, reset="value", reset_value=-0.1, v_rest=-0.1
        ),
    }
    names = list(layers)
    chain = [a for a in zip(["input", *names], names, strict=False) if a != ("side", "add")]
    return nj.Network(
        layers,
        [*chain, ("spikes", "add"), ("side", "add")],
        inputs={"input": (2, 6, 8)},
        outputs=["out"],
    )


X = np.random.default_rng(3).normal(size=(5, 3, 2, 6, 8)).astype(np.float32)


def mapped(number: str, compat: str | None = None) -> MappedNetwork:
    calibration = None if number == "float32" else X
    return mcu.map(network(), quantize=number, calibration=calibration, compat=compat)


@pytest.fixture(scope="module")
def programs():
    return {
        "int16": configure(mapped("int16"), timesteps=5, metrics=["acc", "mse"]),
        "int8": configure(mapped("int8", "qualia"), model_name="net", dump_featuremaps=True),
        "float32": configure(mapped("float32"), timestep_mode="iterate"),
    }


@pytest.mark.parametrize("number", ["int16", "int8", "float32"])
def test_round_trip(programs, number, tmp_path):
    before = programs[number]
    before.save(tmp_path / "new" / "folder")
    after = load_program(tmp_path / "new" / "folder")
    assert after.files == before.files  # also the C code, with all that it holds
    for field in dataclasses.fields(before):
        if field.name != "mapped":
            assert getattr(after, field.name) == getattr(before, field.name)
    assert after.mapped.chip == before.mapped.chip
    assert after.mapped.origins == before.mapped.origins
    # The same program on the same parameters, those that the code holds, and as trainable.
    held = before.mapped.network.prepare(None)
    assert str(after.mapped.report()) == str(before.mapped.with_network(held).report())
    assert eqx.tree_equal(after.mapped.network.prepare(None), held)


@settings(max_examples=10)
@given(networks())
def test_random_networks_come_back_the_same(case):
    """All layers, numbers and roundings; what is read twice is what was read once."""
    network, number, _ = case
    text = to_text(MappedNetwork(network, mcu.Spec(number), (), str), OPTIONS)
    data = json.loads(text)
    VALIDATOR.validate(data)
    again = from_data(data).mapped
    assert eqx.tree_equal(again.network.prepare(None), network.prepare(None))
    assert to_text(again, OPTIONS) == text


def test_a_loaded_network_runs_as_before(programs, tmp_path):
    programs["int16"].save(tmp_path)
    ours, theirs = (
        nj.simulate(mapped.network, X).outputs
        for mapped in (programs["int16"].mapped, load(tmp_path / "network.json"))
    )
    np.testing.assert_array_equal(ours, theirs)
    assert 0 < np.count_nonzero(ours) < ours.size


def test_every_field_of_a_layer_is_in_the_file():
    elsewhere = {"format", "weight", "bias", "threshold", "v_reset", "rtau", "surrogate", "kind"}
    for kind, fields in _FIELDS.items():
        if kind.__module__.startswith("neurojax.chips"):
            known = {field.name for field in dataclasses.fields(kind)}
            assert known - elsewhere == set(fields), kind
    assert mcu.Format._fields == ("number", *_FORMAT)


@pytest.mark.parametrize("layer", [nj.layers.Reshape((2, -1)), nj.layers.Identity()])
def test_layers_that_only_code_written_by_hand_has(layer):
    assert read_layer(write_layer("it", layer), mcu.number_of("int8")) == layer


def test_layers_of_batch_norm_that_stay(tmp_path):
    norm = nj.layers.BatchNorm(2)
    net = nj.Sequential((2, 3, 3), norm=norm, pool=nj.MaxPool2d(3))
    before = mcu.map(
        eqx.nn.inference_mode(net), calibration=jnp.ones((1, 1, 2, 3, 3)), fold_batch_norm=False
    )
    assert isinstance(before.network["norm"], mcu.BatchNorm)
    configure(before).save(tmp_path)
    assert eqx.tree_equal(load(tmp_path).network, before.network.prepare(None))


def test_a_surrogate_of_ones_own_becomes_the_default(tmp_path):
    class Own(Surrogate):
        def derivative(self, u):
            return 0 * u

    net = nj.Sequential((2,), spikes=nj.IAF(surrogate=Own()))
    configure(mcu.map(net, quantize="float32")).save(tmp_path)
    assert load(tmp_path).network["spikes"].surrogate == nj.surrogate.ATan()


def test_no_partial_program(programs, tmp_path, monkeypatch):
    """An older program is left as it was, also where the disk fills up at the last file."""
    programs["int16"].save(tmp_path)
    before = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    write, left = Path.write_text, len(programs["int8"].files)

    def fail(path, *args, **kwargs):
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError("disk full")
        return write(path, *args, **kwargs)

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(OSError, match="disk full"):
        programs["int8"].save(tmp_path)
    assert {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_what_no_file_holds_is_refused_before_any_is_written(tmp_path):
    net = nj.Sequential((2,), fc=nj.Linear.from_weights(jnp.ones((1, 2))))
    before = mcu.map(net, quantize="float32")
    diverged = eqx.tree_at(lambda m: m.network["fc"].weight, before, jnp.full((1, 2), jnp.nan))
    with pytest.raises(ValueError, match="layer 'fc': weight holds 2 of 2 values that are NaN"):
        configure(diverged).save(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def saved(programs):
    return {name: program.files["network.json"] for name, program in programs.items()}


def refusal(folder, text):
    (folder / "network.json").write_text(text)
    with pytest.raises(ValueError) as error:
        load(folder)
    assert str(folder / "network.json") in str(error.value)
    return str(error.value)


def test_files_that_are_none(tmp_path, saved):
    assert "was the file cut off?" in refusal(tmp_path, saved["int16"][:1000])
    assert "format is 'list'" in refusal(tmp_path, "[]")
    assert "format is 'neurojax.bss2'" in refusal(tmp_path, '{"format": "neurojax.bss2"}')
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing")


CONV, SPIKES, ADD, TURNED, POOL, FC, OUT = (
    ("network", "layers", name) for name in ("conv", "spikes", "add", "turned", "pool", "fc", "out")
)
MISSING = object()

# (place, value, text of the refusal, whether the schema sees it too)
MUTATIONS = [
    (("version",), 2, "version is 2, but this library reads version 1; update the library", True),
    (("version",), 0, "version is 0, but this library reads version 1; configure and save", True),
    (("number",), "int16", "number is 'int16'; it must be an object", True),
    (("number", "name"), "int4", "number.name is 'int4'; it must be one of", True),
    (("number", "long_bits"), 8, "number.long_bits is 8; it must be one of (16, 32)", True),
    (("number", "extra"), 8, "number.extra is unknown", True),
    (("compat",), "exact", "compat is 'exact'; it must be one of ('qualia',), or null", True),
    (("program", "model_name"), 5, "program.model_name is 5; it must be a text", True),
    (("program", "model_name"), "2nd", "model_name is '2nd'; it must be a C identifier", False),
    (("program", "timesteps"), 0, "program.timesteps is 0; it must be an integer within", True),
    (("program", "timestep_mode"), "both", "timestep_mode is 'both'; it must be one of", True),
    (("program", "metrics"), ["f1"], "program.metrics is ['f1']; it must be a list", True),
    (("program", "dump_featuremaps"), 1, "dump_featuremaps is 1; it must be true or false", True),
    (("origins",), MISSING, "origins is missing", True),
    (("origins", 0, "name"), "x", "origins tells of layers ['x'], which the network lacks", False),
    (("network", "outputs"), [], "has no output", False),
    (("network", "edges", 0), ["input", "x"], "target 'x' does not exist", False),
    (("network", "inputs", "input"), [3, 6, 8], "the layers don't fit one another", False),
    ((*CONV, "kind"), "Linear", "network.layers[1] (layer 'conv').kind is 'Linear'; known", True),
    ((*CONV, "name"), "spikes", "network.layers holds several layers 'spikes'", False),
    ((*CONV, "weight", 0, 0, 0, 0), 40000, "(layer 'conv').weight is [[[[40000", True),
    ((*CONV, "weight", 0, 0, 0, 0), 1.5, "nested lists of integers within -32768..32767", True),
    ((*CONV, "weight", 0, 0, 0, 0), True, "it must be nested lists of integers", True),
    ((*CONV, "weight", 0, 0), [1], "it must be nested lists of integers", True),
    ((*CONV, "weight"), [[1]], "3 or 4 deep, of equal lengths", True),
    ((*CONV, "bias"), [1, 2], "layer 'conv': ", False),
    ((*CONV, "padding"), [1, 1], "(layer 'conv').padding is [1, 1]; it must be a list", True),
    ((*CONV, "stride"), [1], "layer 'conv': Conv2d: stride", False),
    ((*CONV, "activation"), "tanh", "activation is 'tanh'; it must be one of", True),
    ((*CONV, "format", "weights_q"), 2.5, "format.weights_q is 2.5; it must be", True),
    ((*CONV, "format", "output_q"), -60, "layer 'conv': Conv: output: a shift by", False),
    ((*CONV, "format", "output_round"), "up", "format.output_round is 'up'; it must be", True),
    ((*CONV, "format"), MISSING, "(layer 'conv').format is missing", True),
    ((*SPIKES, "threshold"), 1e9, "(layer 'spikes').threshold is 1000000000.0", True),
    ((*SPIKES, "threshold"), MISSING, "(layer 'spikes').threshold is missing", True),
    ((*SPIKES, "reset"), "value", "layer 'spikes': IF: reset='value' and v_reset=None", False),
    ((*SPIKES, "surrogate"), "import os", "surrogate is 'import os'; it must be", False),
    ((*SPIKES, "trained"), ["weight"], "trained is ['weight']; it must be a list", True),
    ((*SPIKES, "rtau"), 5, "(layer 'spikes').rtau is unknown", True),
    ((*OUT, "v_reset"), None, "layer 'out': LIF: reset='value' and v_reset=None", False),
    ((*OUT, "rtau"), MISSING, "(layer 'out').rtau is missing", True),
    ((*ADD, "input_qs"), [1], "Add has 1 input_qs, but 2 edges come in", False),
    ((*POOL, "pool"), "min", "(layer 'pool').pool is 'min'; it must be one of", True),
    ((*POOL, "kernel"), [2, 2, 2], "layer 'pool': Pool: kernel is (2, 2, 2)", False),
    ((*TURNED, "axes"), [0, 0, 1], "layer 'turned': Permute: axes are (0, 0, 1)", False),
    ((*FC, "weight"), [[1, 2]] * 3, "the layers don't fit one another", False),
]


@pytest.mark.parametrize(("path", "value", "text", "seen"), MUTATIONS)
def test_fields_are_checked(saved, path, value, text, seen):
    data = json.loads(saved["int16"])
    place = data
    for key in path[:-1]:
        if isinstance(place, list) and isinstance(key, str):  # a layer, by its name
            key = [entry["name"] for entry in place].index(key)
        place = place[key]
    if value is MISSING:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    with pytest.raises(ValueError) as error:
        record = from_data(data)
        configure(record.mapped, **record.options)
    assert text in str(error.value)
    assert VALIDATOR.is_valid(data) != seen


def test_several_findings_are_reported_together(saved, tmp_path):
    data = json.loads(saved["float32"])
    del data["network"]["layers"][1]["weight"]
    data["network"]["layers"][2]["threshold"] = "high"
    text = refusal(tmp_path, json.dumps(data))
    assert "(layer 'conv').weight is missing" in text
    assert "(layer 'spikes').threshold is 'high'; it must be a finite number" in text


@pytest.mark.parametrize("number", ["int16", "int8", "float32"])
def test_the_schema_accepts_what_is_written(saved, number):
    VALIDATOR.check_schema(schema())
    VALIDATOR.validate(json.loads(saved[number]))


@settings(max_examples=40)
@given(st.data())
def test_what_the_schema_refuses_is_refused(saved, draw):
    """Any value of a good file replaced by another kind of value."""
    data = json.loads(saved[draw.draw(st.sampled_from(["int8", "float32"]))])
    place, key = data, draw.draw(st.sampled_from(sorted(data)))
    while isinstance(place[key], dict | list) and place[key] and draw.draw(st.booleans()):
        place = place[key]
        keys = range(len(place)) if isinstance(place, list) else sorted(place)
        key = draw.draw(st.sampled_from(list(keys)))
    place[key] = draw.draw(st.sampled_from([None, -3, 1 << 20, 0.5, "text", True, [], {}, [[1]]]))
    try:
        record = from_data(data)
    except ValueError:
        return
    assert isinstance(record.mapped.network["quantise"], Layer)
    assert VALIDATOR.is_valid(data)
