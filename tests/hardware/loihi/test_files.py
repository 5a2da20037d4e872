"""Reading .net files: old layouts, damage and malice. Files are made with h5py alone."""

import os
from pathlib import Path

import h5py
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.chips import MappedNetwork
from neurojax.hardware.loihi import _file, load, read
from neurojax.hardware.loihi.configuration import Configuration
from neurojax.hardware.loihi.records import same
from tests.hardware.loihi._make import CUBA, dense, make

GOLDEN = Path(__file__).parents[2] / "golden" / "lava"
FILES = sorted(GOLDEN.glob("net_*.net"))


@pytest.fixture
def small(tmp_path):
    """Dense 3 -> 2, dense 2 -> 2, in the fields that netx needs."""
    first = dense(np.array([[10.0, -20, 30], [2, 4, -128]]))
    return make(tmp_path / "small.net", first, dense(np.array([[64.0, 32], [-2, 0]])))


def test_the_least_that_netx_takes(small):
    record = read(small).layers[0]
    assert {k: v.tolist() for k, v in record.fields.items() if k != "weight"} == {
        "shape": [2],
        "inFeatures": 3,
        "outFeatures": 2,
    }
    assert record.neuron["refDelay"] == 1 and not record.neuron["gradedSpike"]
    net = load(small).network
    assert net.inputs == {"input": (3,)} and net.out_shape("1.neuron") == (2,)


def test_old_layouts(tmp_path, small):
    """Flat weights, axes of length 1 behind the others, three-part shapes, LOIHI, `simulation`."""
    old = dict(CUBA, type=np.array([b"LOIHI"], "S10"), wgtExp=0, theta=80.0, tauRho=1, scaleRho=1)
    old |= {"iDecay": np.array([1024.0]), "gradedSpike": 0}
    w0, w1 = np.array([10.0, -20, 30, 2, 4, -128]), np.array([[64.0, 32], [-2, 0]])
    path = make(
        tmp_path / "old.net",
        dense(w0, [2, 1, 1], neuron=old, type=np.array([b"dense"], "S10")),
        dense(w1[..., None, None, None], [2, 1, 1], neuron=old, inFeatures=2),
    )
    with h5py.File(path, "a") as file:
        file["simulation/Ts"], file["simulation/tSample"] = 1, 100
    new = read(small).layers
    for a, b in zip(read(path).layers, new, strict=True):
        assert same(a.neuron, b.neuron)
        assert same(a.fields["weight"], b.fields["weight"])
    x = jnp.asarray(np.random.default_rng(0).integers(0, 2, (20, 2, 3)), jnp.float32)
    runs = [nj.simulate(load(p).network, x).outputs for p in (path, small)]
    np.testing.assert_array_equal(*runs)
    assert np.any(runs[0])


def test_old_kernels_and_one_number_for_both_axes(tmp_path):
    window = {"stride": 2, "padding": np.array([1]), "dilation": [1, 1], "groups": 1}
    kernel = np.arange(36).reshape(2, 2, 3, 3, 1) * 2.0
    layer = {"type": "conv", "shape": [2, 3, 3], "weight": kernel, "neuron": CUBA} | window
    record = read(make(tmp_path / "x.net", layer)).layers[0]
    assert record.fields["weight"].shape == (2, 2, 3, 3)
    assert record.fields["stride"].tolist() == [2, 2]
    assert record.fields["kernelSize"].tolist() == [3, 3] and record.fields["inChannels"] == 2


def changed(path, change):
    with h5py.File(path, "a") as file:
        change(file["layer"])


def to(name, value):
    def change(layers):
        if name in layers:
            del layers[name]
        layers[name] = value

    return change


def without(name):
    return lambda layers: layers.__delitem__(name)


def external(layers):
    del layers["0/weight"]
    layers["0"].create_dataset("weight", (2, 3), "f4", external=[(__file__, 0, 24)])


def huge(layers):
    del layers["0/weight"]
    layers["0"].create_dataset("weight", (2**20, 2**20), "f4", chunks=(2**10, 2**10))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without("0/weight"), "layer 0 (dense) has no field 'weight'"),
        (without("0/type"), "layer 0 has no field 'type'"),
        (without("0/shape"), "layer 0 (dense) has no field 'shape'"),
        (without("0"), "must be called 0, 1, 2"),
        (without("1/neuron/vThMant"), "layer 1 (dense), neuron has no field 'vThMant'"),
        (without("1/neuron/type"), "layer 1 (dense), neuron has no field 'type'"),
        (to("0/type", "magic"), "layer 0: type is 'magic'; it must be one of input, flatten"),
        (to("0/type", 7), "layer 0, field 'type' is 7; it must be a text"),
        (to("0/neuron/type", "LIF"), "neuron: type is 'LIF'; it must be one of CUBA"),
        (to("0/neuron", 3.0), "layer 0: 'neuron' is a dataset"),
        (to("0/neuron/iDecay", 5000), "field 'iDecay' is 5000; it must be an integer within"),
        (to("0/neuron/vDecay", [1, 2, 3]), "field 'vDecay' has 3 values; it must have one"),
        (to("0/neuron/vThMant", 200000), "is 200000; it must be an integer within 0..131071, or"),
        (to("0/neuron/vThMant", "high"), "field 'vThMant' is the text 'high'"),
        (to("0/neuron/gradedSpike", 2), "field 'gradedSpike' is 2; it must be true or false"),
        (to("0/weight", np.full((2, 3), 0.5)), "it must be integers (weight steps)"),
        (to("0/weight", np.full((2, 3), np.nan)), "with 6 values that are not finite"),
        (to("0/weight", np.full((2, 3), 3e9)), "none beyond 2^24"),
        (to("0/weight", np.ones(5)), "field 'weight' is an array (5,); it must be (out, in)"),
        (to("0/weight", np.zeros((2, 0))), "at least one"),
        (to("0/weight", np.array([[3.0, -201, 2], [0, 0, 0]])), "values that no synapse holds"),
        (to("0/weight", np.full((2, 3), 300.0)), "values that no synapse holds"),
        (to("1/weight", np.ones((2, 7))), "layer 1 (dense): it takes 7 inputs, but there are 2"),
        (to("0/inFeatures", 4), "field 'inFeatures' is 4; it must be 3, as weight"),
        (to("0/shape", [0]), "field 'shape' is 0; it must be 1 to 3 integers"),
        (to("0/shape", [2**20, 2**20]), "and their product, too"),
        (to("0/delay", [1.0, 63.5]), "it must be numbers within 0..62 (netx cuts longer ones"),
        (to("0/delay", [1.0, 2, 3]), "field 'delay' is a list of 3; it must be one for each of 2"),
        (to("0/bias", [1.0]), "field 'bias' is a list of 1"),
        (to("0/bias", [1.0, 9000.0]), "it must be integers within -4095..4095"),
        (to("0/weight", h5py.SoftLink("/layer/1/weight")), "'weight' is a link to another place"),
        (to("0/weight", h5py.ExternalLink("/etc/passwd", "/")), "is a link to another place"),
        (lambda layers: to("0/loop", layers)(layers), "'loop' is also in another place"),
        (external, "layer 0, field 'weight': its data are stored in another file"),
        (huge, "claims 4,398,046,511,104 bytes"),
        (to("0/weight", np.ones(3, [("a", "f4")])), "layer 0, field 'weight' holds"),
        (to("0/weight", h5py.Empty("f4")), "layer 0, field 'weight' is empty"),
        (to("0/weight/real", np.ones(3)), "field 'weight/imag'"),
        (to("2", np.ones(3)), "layer 2 is a dataset; it must be a group"),
        (without("0/neuron"), "layer 0 (dense): it has no neuron; only the last layer"),
    ],
)
def test_malformed_and_hostile_files(small, change, says):
    if says.startswith("field 'weight/imag'"):
        changed(small, without("0/weight"))
    changed(small, change)
    with pytest.raises(ValueError) as error:
        load(small)
    assert says in str(error.value) and str(small) in str(error.value)


def test_layers_that_do_not_fit_one_another(tmp_path):
    window = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    conv = {"type": "conv", "weight": np.ones((2, 2, 3, 1)) * 2, "neuron": CUBA} | window
    first = {"type": "input", "shape": [2, 6, 5]}
    path = make(
        tmp_path / "x.net",
        first,
        conv | {"shape": [2, 5, 4]},
        first,
        {"type": "concat", "shape": [3], "layers": [0, 4]},
        {"type": "average", "shape": [7]},
    )
    with pytest.raises(ValueError) as error:
        load(path)
    for says in (
        "layer 1 (conv): field 'shape' is (2, 5, 4); (2, 4, 5) follows",
        "layer 2 (input): only the first layer can be an input",
        "layer 3 (concat): field 'layers' names layer 4, which comes later",
    ):
        assert says in str(error.value)


def test_all_findings_at_once(small):
    changed(small, without("0/weight"))
    changed(small, to("1/neuron/iDecay", -1))
    changed(small, to("1/neuron/vDecay", 4097))
    with pytest.raises(ValueError) as error:
        load(small)
    text = str(error.value)
    assert "layer 0 (dense) has no field 'weight'" in text and "'iDecay' is -1" in text
    assert "'vDecay' is 4097" in text


def test_files_that_are_no_net(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing.net")
    for content in (b"", b"\x89HDF\r\n\x1a\n", os.urandom(4096)):
        (tmp_path / "x.net").write_bytes(content)
        with pytest.raises(OSError, match=r"x\.net: can't be opened as HDF5"):
            load(tmp_path / "x.net")
    with h5py.File(tmp_path / "y.net", "w") as file:
        file["weights"] = 1
    with pytest.raises(ValueError, match="has no group 'layer'"):
        load(tmp_path / "y.net")
    with h5py.File(tmp_path / "z.net", "w") as file:
        file.create_group("layer")
    with pytest.raises(ValueError, match="there are no layers"):
        load(tmp_path / "z.net")


def test_fields_without_effect_are_noted(small):
    changed(small, to("1/colour", 3))
    assert read(small).notes == ("layer 1 (dense): not used: 'colour'",)
    assert "not used: 'colour'" in str(load(small).report())


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(FILES),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=20),
    st.floats(0.2, 1),
)
def test_damaged_files_raise_nothing_foreign(tmp_path_factory, file, flips, length):
    content = bytearray(file.read_bytes())
    for where, byte in flips:
        content[int(where * len(content))] = byte
    if length < 0.5:
        content = content[: int(2 * length * len(content))]
    path = tmp_path_factory.getbasetemp() / "damaged.net"
    path.write_bytes(content)
    try:
        mapped = load(path, input_shape=(2, 7, 6) if file.stem == "net_conv" else None)
    except (OSError, ValueError) as error:
        assert str(path) in str(error)
    else:
        assert isinstance(mapped, MappedNetwork)


VALUES = st.one_of(
    st.sampled_from(["", "dense", b"\xff", True, 2**62, -1, 0, 0.5, np.inf, np.nan]),
    st.integers(1, 4).map(lambda n: np.full((n,) * n, 2.0)),
    st.integers(0, 300).map(np.arange),
)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(FILES), st.integers(0, 10**6), VALUES, st.booleans())
def test_changed_fields_raise_nothing_foreign(tmp_path_factory, file, which, value, remove):
    """One dataset of a good file replaced by something, or taken away."""
    path = tmp_path_factory.getbasetemp() / "changed.net"
    path.write_bytes(file.read_bytes())
    with h5py.File(path, "a") as opened:
        names = []
        opened.visititems(lambda n, i: names.append(n) if isinstance(i, h5py.Dataset) else None)
        name = names[which % len(names)]
        del opened[name]
        if not remove:
            opened[name] = value
    try:
        mapped = load(path, input_shape=(2, 7, 6) if file.stem == "net_conv" else None)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert isinstance(mapped, MappedNetwork)


def test_a_failure_while_writing_leaves_the_old_file(tmp_path, small, monkeypatch):
    configuration = read(small)
    before = small.read_bytes()

    def fail_late(self, name, *args, **options):
        if name == "1":
            raise OSError("disk full")
        return create(self, name, *args, **options)

    create = h5py.Group.create_group
    monkeypatch.setattr(_file.h5py.Group, "create_group", fail_late)
    with pytest.raises(OSError, match="disk full"):
        configuration.save(small)
    assert small.read_bytes() == before and list(tmp_path.iterdir()) == [small]


def test_a_changed_configuration_is_not_written(tmp_path, small):
    layers = read(small).layers
    wrong = layers[0]._replace(fields={**layers[0].fields, "weight": np.full((2, 3), 0.5)})
    with pytest.raises(ValueError, match="field 'weight'"):
        Configuration((wrong,)).save(tmp_path / "x.net")
    assert not (tmp_path / "x.net").exists()
