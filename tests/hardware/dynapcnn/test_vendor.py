"""Loading into the vendor's library: onto objects of its shape, and a package in its place."""

import gzip
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from neurojax.chips.dynapcnn import devices
from neurojax.hardware.dynapcnn import apply, configure, deploy, to_samna, vendor_fields
from tests.hardware.dynapcnn.graphs import camera_graph
from tests.hardware.dynapcnn.recorder import configuration_object

RECORDED = sorted((Path(__file__).parents[2] / "golden" / "dynapcnn").glob("config_*.json.gz"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name.split(".")[0])
def test_everything_that_sinabs_wrote_can_be_applied(path):
    device = path.name.split(".")[0].split("_")[2]
    with gzip.open(path) as file:
        nets = json.load(file)["nets"]
    assert nets
    for recorded in nets.values():
        target = configuration_object(device)
        apply(recorded["config"], target)
        assert target.plain() == recorded["config"]


@pytest.mark.parametrize("device", devices)
def test_every_device(device):
    cores, options = {"a": 0, "b": 3, "c": 4}, {}
    if device.startswith(("speck2e", "speck2f")):
        options = {"decimate": {"a": 4}, "balance": "all", "slow_clock": 14, "dvs_filter": {}}
    configuration = configure(camera_graph(device), cores=cores, monitor="dvs", **options)
    target = configuration_object(device)
    apply(configuration, target)
    assert target.plain() == vendor_fields(configuration)


def test_what_an_object_does_not_have():
    fields = vendor_fields(configure(camera_graph(), decimate={"a": 4}))
    with pytest.raises(AttributeError, match=r"no attribute cnn_layers\[0\].output_decimator_en"):
        apply(fields, configuration_object("speck2cmini"))
    with pytest.raises(AttributeError, match=r"no attribute readout.made_up"):
        apply({"readout": {"made_up": 1}}, configuration_object("speck2b"))


# A package in the place of samna

SOURCE = """
import types
from tests.hardware.dynapcnn.recorder import configuration_object

boards = []


def _module(name, config, device):
    made = types.ModuleType("samna." + name)
    made.configuration = types.SimpleNamespace(**{config: lambda: configuration_object(device)})

    def validate_configuration(target):
        wrong = target.plain()["cnn_layers"][0]["threshold_high"] == 99
        return not wrong, "threshold 99 is not liked" if wrong else ""

    made.validate_configuration = validate_configuration
    return made


dynapcnn = _module("dynapcnn", "DynapcnnConfiguration", "dynapcnndevkit")
speck2f = _module("speck2f", "SpeckConfiguration", "speck2fmodule")


class _Board:
    def __init__(self, name):
        self.name, self.applied, self.clock = name, [], []

    def get_model(self):
        return types.SimpleNamespace(apply_configuration=self.applied.append)

    def get_io_module(self):
        return types.SimpleNamespace(
            set_slow_clk=self.clock.append, set_slow_clk_rate=self.clock.append
        )


device = types.SimpleNamespace(open_device=_Board)
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes a package `samna` that can be imported during the test."""

    def write(source, files=None):
        (tmp_path / "samna").mkdir()
        (tmp_path / "samna" / "__init__.py").write_text(source)
        if files is not None:
            info = tmp_path / "samna-0.48.6.dist-info"
            info.mkdir()
            (info / "METADATA").write_text("Metadata-Version: 2.1\nName: samna\nVersion: 0.48.6\n")
            (info / "RECORD").write_text("".join(f"{name},,\n" for name in files))
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()

    assert "samna" not in sys.modules
    yield write
    sys.modules.pop("samna", None)


def test_onto_the_vendors_object(package):
    package(SOURCE, ["samna/__init__.py", "samna/samna.cpython-311-x86_64-linux-gnu.so"])
    configuration = configure(camera_graph())
    assert to_samna(configuration).plain() == configuration.vendor
    kills = configure(camera_graph("dynapcnndevkit"))
    assert to_samna(kills).plain() == kills.vendor
    with pytest.raises(ImportError, match=r"no module samna.speck2b, .* samna < 0.46"):
        to_samna(configure(camera_graph("speck2b")))


def test_what_the_vendor_refuses(package):
    package(SOURCE)
    unliked = configure(
        camera_graph(), modifier=lambda v: v["cnn_layers"][0].update(threshold_high=99)
    )
    with pytest.raises(ValueError, match=r"samna refuses .* speck2fmodule: threshold 99 is not"):
        to_samna(unliked)
    assert to_samna(unliked, validate=False).plain() == unliked.vendor


def test_onto_a_board(package):
    package(SOURCE)
    configuration = configure(camera_graph())
    board = deploy(configuration, board=1, slow_clock_hz=1000)
    assert board.name == "Speck2fModuleDevKit:1" and board.clock == [True, 1000]
    assert [applied.plain() for applied in board.applied] == [configuration.vendor]
    with pytest.raises(ValueError, match="name for boards of speck2b is not known"):
        deploy(configure(camera_graph("speck2b")))


def test_the_stub_is_not_imported(package):
    package("raise SystemExit('the stub was imported')", ["samna/__init__.py"])
    with pytest.raises(ImportError, match=r"stub of PyPI, which runs pip .* --index-url"):
        to_samna(configure(camera_graph()))


def test_a_library_that_breaks(package):
    package("import subprocess; raise subprocess.CalledProcessError(1, 'pip')")
    with pytest.raises(ImportError, match=r"samna can't be imported.*--index-url"):
        to_samna(configure(camera_graph()))


def test_no_library(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="samna is not installed; install the vendor's"):
        to_samna(configure(camera_graph()))


def test_plain_values():
    """The vendor's objects take numbers of Python, not of NumPy."""
    initial = {"a": np.ones((4, 8, 8), np.int16)}
    fields = configure(camera_graph(), initial=initial, decimate={"a": np.int64(4)}).vendor
    assert json.loads(json.dumps(fields)) == fields
