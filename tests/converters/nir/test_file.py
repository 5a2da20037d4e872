"""Reading and writing NIR files: against the package `nir`, old versions, damage and malice."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from neurojax.converters.nir import Graph, Node, _file, from_nir_object, read, write
from tests.converters._live import peer

GOLDEN = Path(__file__).parents[2] / "golden" / "nir"
FILES = sorted(GOLDEN.glob("*.nir"))


def texts(group, **values):
    for name, value in values.items():
        group.create_dataset(name, data=value, dtype=h5py.string_dtype())


@pytest.fixture
def small(tmp_path):
    """A file as nir 1.0.4 wrote it: Input, LIF, CubaLIF, Output."""
    path = tmp_path / "small.nir"
    with h5py.File(path, "w") as file:
        texts(file, version="1.0.4")
        node = file.create_group("node")
        texts(node, type="NIRGraph")
        edges = [("x", "a"), ("a", "b"), ("b", "y")]
        node.create_dataset("edges", data=edges, dtype=h5py.string_dtype())
        nodes = node.create_group("nodes")
        for name, kind in (("x", "Input"), ("y", "Output"), ("a", "LIF"), ("b", "CubaLIF")):
            texts(nodes.create_group(name), type=kind)
        for name in ("x", "y"):
            nodes[name]["shape"] = np.array([3])
        for name, times in (("a", ["tau"]), ("b", ["tau_syn", "tau_mem"])):
            for field in [*times, "r", "v_leak", "v_threshold"]:
                nodes[name][field] = np.full(3, 0.5, np.float32)
    return path


def test_golden_files_are_what_the_package_nir_reads(tmp_path):
    assert FILES
    for path in FILES:
        ours = read(path)
        # Its check of shapes refuses what Norse exports.
        theirs = peer("nir").read(path, type_check=False)
        assert ours == from_nir_object(theirs), path.name
        assert ours.version == "1.0.8"
        copy = tmp_path / path.name
        write(copy, ours)
        assert read(copy) == ours
        assert from_nir_object(peer("nir").read(copy, type_check=False)) == ours
        assert peer("nir").serialization.read_version(copy) == "1.0.8"


def test_golden_parameters():
    recorded = np.load(GOLDEN / "all_nodes.npz")
    graph = read(GOLDEN / "all_nodes.nir")
    compared = 0
    for key in recorded.files:
        name, _, field = key.rpartition(".")
        if name in graph.nodes:
            np.testing.assert_array_equal(graph.nodes[name].fields[field], recorded[key])
            compared += 1
    assert compared >= 40


def test_fields_that_old_versions_leave_out(small):
    graph = read(small)
    assert graph.version == "1.0.4"
    np.testing.assert_array_equal(graph.nodes["a"].fields["v_reset"], np.zeros(3, np.float32))
    np.testing.assert_array_equal(graph.nodes["b"].fields["v_reset"], np.zeros(3, np.float32))
    np.testing.assert_array_equal(graph.nodes["b"].fields["w_in"], np.ones(3, np.float32))
    with h5py.File(small, "a") as file:
        del file["version"]
    assert read(small).version == ""


def test_single_numbers_texts_of_fixed_length_and_other_byte_orders(small):
    with h5py.File(small, "a") as file:
        nodes = file["node/nodes"]
        del nodes["a/type"], nodes["a/tau"], nodes["a/r"], nodes["a/v_leak"]
        nodes["a/type"] = np.bytes_("LIF")
        nodes["a/tau"] = 0.25
        nodes["a/r"] = np.array([2.0])
        nodes["a/v_leak"] = np.array([1, 2, 3], ">f8")
    fields = read(small).nodes["a"].fields
    assert fields["tau"].shape == () and fields["tau"] == 0.25
    assert fields["r"].shape == (1,)
    assert fields["v_leak"].dtype == np.float64 and fields["v_leak"].tolist() == [1, 2, 3]


def test_metadata_and_text_padding(tmp_path):
    fields = {
        "weight": np.ones((2, 1, 3), np.float32),
        "stride": np.array(1),
        "padding": "same",
        "dilation": np.array(1),
        "groups": np.array(1),
        "bias": np.zeros(2),
    }
    metadata = {"by": "me", "deep": {"list": ("a", "b"), "numbers": np.arange(3)}, "n": np.array(2)}
    nodes = {
        "x": Node("Input", {"shape": np.array([1, 5])}),
        "c": Node("Conv1d", fields, metadata),
        "y": Node("Output", {"shape": np.array([2, 5])}),
    }
    graph = Graph(nodes, (("x", "c"), ("c", "y")), {"note": "Grüße"})
    write(tmp_path / "net.nir", graph)
    assert read(tmp_path / "net.nir") == graph


def damage(path, change):
    with h5py.File(path, "a") as file:
        change(file, file["node"], file["node/nodes"])


def replaced(name, value):
    def change(file, node, nodes):
        del nodes[name]
        nodes[name] = value

    return change


def removed(name):
    def change(file, node, nodes):
        del nodes[name]

    return change


def external_storage(file, node, nodes):
    del nodes["a/tau"]
    nodes["a"].create_dataset("tau", (3,), "f4", external=[(__file__, 0, 12)])


def virtual(file, node, nodes):
    del nodes["a/tau"]
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource(__file__, "x", (3,))
    nodes["a"].create_virtual_dataset("tau", layout)


def huge(file, node, nodes):
    del nodes["a/tau"]
    nodes["a"].create_dataset("tau", (2**40,), "f4", chunks=(2**10,))


def many_texts(file, node, nodes):
    del node["edges"]
    node.create_dataset(
        "edges", (2**30, 2), h5py.string_dtype(), chunks=(2**10, 2), compression="gzip"
    )


def nested(file, node, nodes):
    for _ in range(40):
        nodes = nodes.create_group("a" if "a" not in nodes else "deeper")
        texts(nodes, type="NIRGraph")
        nodes.create_dataset("edges", (0, 2), h5py.string_dtype())
        nodes = nodes.create_group("nodes")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (removed("a/tau"), "node 'a': LIF has no field 'tau'"),
        (removed("a/type"), "node 'a' has no field 'type'"),
        (removed("b"), "edge a -> b: there is no node 'b'"),
        (replaced("a/tau", "fast"), "node 'a': field 'tau' of LIF is the text 'fast'"),
        (replaced("a/tau", np.array([1, np.nan])), "holds 1 of 2 values that are NaN"),
        (replaced("a/tau", np.zeros(0)), "field 'tau' of LIF is empty"),
        (replaced("a/tau", h5py.Empty("f4")), "node 'a', field 'tau' is empty"),
        (replaced("a/tau", np.array([1j])), "node 'a', field 'tau' holds complex128"),
        (replaced("a/tau", np.zeros(2, [("p", "f4")])), "node 'a', field 'tau' holds"),
        (replaced("x/shape", np.array([1.5])), "field 'shape' of Input holds float64"),
        (replaced("a/type", np.array([7])), "node 'a', field 'type' must be a text"),
        (replaced("a/type", b"\xff\xfe"), "node 'a', field 'type': the text is not in UTF-8"),
        (replaced("a", np.zeros(3)), "node 'a' is a dataset; it must be a group"),
        (replaced("a/tau", h5py.SoftLink("/node")), "'tau' is a link to another place"),
        (replaced("a/tau", h5py.ExternalLink("/etc/passwd", "/")), "'tau' is a link to another"),
        (lambda f, n, nodes: nodes["a"].create_group("metadata").__setitem__("up", n), "also in"),
        (lambda f, n, nodes: nodes.__setitem__("loop", n), "'loop' is also in another place"),
        (lambda f, n, nodes: nodes["a"].__setitem__("extra", nodes["a/r"]), "also in another"),
        (lambda f, n, nodes: nodes["a"].create_group("extra"), "field 'extra' is a group"),
        (external_storage, "node 'a', field 'tau': its data are stored in another file"),
        (virtual, "node 'a', field 'tau': its data are stored in another file"),
        (huge, "node 'a', field 'tau' claims 4,398,046,511,104 bytes"),
        (many_texts, "the root graph, field 'edges' claims"),
        (nested, "nested more than 32 deep"),
        (lambda f, n, nodes: f.__delitem__("node"), "has no group 'node'"),
        (lambda f, n, nodes: n.__delitem__("edges"), "the root graph has no field 'edges'"),
        (lambda f, n, nodes: n.__delitem__("nodes"), "the root graph has no field 'nodes'"),
    ],
)
def test_malformed_and_hostile_files(small, change, says):
    damage(small, change)
    with pytest.raises(ValueError) as error:
        read(small)
    assert says in str(error.value) and str(small) in str(error.value)


def test_references_are_not_followed(small):
    def change(file, node, nodes):
        del nodes["a/tau"]
        nodes["a"].create_dataset("tau", data=nodes.ref, dtype=h5py.ref_dtype)

    damage(small, change)
    with pytest.raises(ValueError, match="field 'tau' holds object; it must hold numbers or texts"):
        read(small)


def test_all_findings_at_once(small):
    damage(small, lambda f, n, nodes: (removed("a/tau")(f, n, nodes), removed("b/r")(f, n, nodes)))
    with pytest.raises(ValueError) as error:
        read(small)
    assert "node 'a': LIF has no field 'tau'" in str(error.value)
    assert "node 'b': CubaLIF has no field 'r'" in str(error.value)


def test_edges_must_be_pairs_of_names(small):
    for value, says in (
        ([[1, 2]], "must be a table of names"),
        ([["a", "b", "c"]], "has 3 columns"),
        (["a", "b"], "must be a table of names"),
    ):

        def change(file, node, nodes, value=value):
            del node["edges"]
            dtype = h5py.string_dtype() if isinstance(value[-1], str | list) else None
            dtype = None if value == [[1, 2]] else dtype
            node.create_dataset("edges", data=value, dtype=dtype)

        damage(small, change)
        with pytest.raises(ValueError, match=says):
            read(small)


def test_files_that_are_no_nir(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "missing.nir")
    with pytest.raises(OSError):
        read(tmp_path)
    for content in (b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", os.urandom(4096)):
        (tmp_path / "x.nir").write_bytes(content)
        with pytest.raises(OSError, match=r"x\.nir: can't be opened as HDF5"):
            read(tmp_path / "x.nir")


def test_recorded_data_is_no_graph(tmp_path):
    nir = peer("nir")
    data = nir.NIRNodeData({"s": nir.TimeGriddedData(np.zeros((1, 2, 3)), 1e-3)})
    nir.write_data(tmp_path / "data.nir", nir.NIRGraphData({"a": data}))
    with pytest.raises(ValueError, match="holds recorded data"):
        read(tmp_path / "data.nir")


def test_texts_without_end_do_not_hang(tmp_path):
    """The free space of the heap that holds the texts, made 0 bytes large."""
    content = bytearray(FILES[0].read_bytes())
    at = content.index(b"GCOL\x01")
    end = at + int.from_bytes(content[at + 8 : at + 16], "little")
    step = at + 16
    while int.from_bytes(content[step : step + 2], "little"):
        step += 16 + -(-int.from_bytes(content[step + 8 : step + 16], "little") // 8) * 8
    assert step < end
    content[step + 8 : step + 16] = bytes(8)
    (tmp_path / "x.nir").write_bytes(content)
    with pytest.raises(OSError, match=r"the texts at byte .* are damaged"):
        read(tmp_path / "x.nir")


@settings(deadline=None, max_examples=60)
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
    path = tmp_path_factory.getbasetemp() / "damaged.nir"
    path.write_bytes(content)
    try:
        graph = read(path)
    except (OSError, ValueError) as error:
        assert str(path) in str(error)
    else:
        assert isinstance(graph, Graph)


SHAPE = {"shape": np.array([2])}
NODES = {"x": Node("Input", SHAPE), "y": Node("Output", SHAPE)}


@pytest.mark.parametrize(
    ("graph", "says"),
    [
        (Graph({**NODES, "a/b": Node("I", {"r": np.ones(2)})}, ()), "node 'a/b': NIR files can't"),
        (Graph({**NODES, "": Node("I", {"r": np.ones(2)})}, ()), "can't hold this name"),
        (Graph({**NODES, "a": Node("I", {"r": [object()]})}, ()), "must hold numbers"),
        (Graph({**NODES, "a": Node("I", {})}, ()), "node 'a': I has no field 'r'"),
        (Graph(NODES, (("x", "z"),)), "there is no node 'z'"),
        (Graph(NODES, (), {"a": {"b": {1, 2}}}), "metadata: 'b' is set"),
        (Graph({**NODES, "a": Node("New", {"f": None})}, ()), "'f' is NoneType"),
    ],
)
def test_what_cannot_be_written_leaves_no_file(tmp_path, graph, says):
    with pytest.raises(ValueError) as error:
        write(tmp_path / "x.nir", graph)
    assert says in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_failure_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.nir"
    write(path, Graph(NODES, (("x", "y"),)))
    before = path.read_bytes()
    put = _file._put

    def fail_late(group, name, value):
        if name == "shape":
            raise OSError("disk full")
        put(group, name, value)

    monkeypatch.setattr(_file, "_put", fail_late)
    with pytest.raises(OSError, match="disk full"):
        write(path, Graph(NODES, ()))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
