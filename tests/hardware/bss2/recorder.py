"""A stand-in for hxtorch and halco: modules of these names that remember what they are told.

It takes the names and options that hxtorch's classes have today, and no others. Calls are lazy, as
there: a module returns an empty handle, and `run` fills them all. Without hardware what a "chip"
does is hxtorch's own simulation, with the weights that its connections would get.
"""

import sys
import types
from contextlib import contextmanager

import torch


class Column(int):
    pass


class Row(int):
    pass


class Atomic(tuple):
    """halco.AtomicNeuronOnDLS: of a column and a row, in either order."""

    def __new__(cls, a, b):
        column, row = (a, b) if isinstance(a, Column) else (b, a)
        assert isinstance(column, Column) and isinstance(row, Row)
        assert 0 <= column < 256 and 0 <= row < 2
        return super().__new__(cls, (int(row), int(column)))


class LogicalNeuron:
    def __init__(self, compartments, anchor):
        row, column = anchor
        self.atoms = [(row + r, column + c) for r, c in compartments]
        last = max(c for _, c in self.atoms)
        if max(r for r, _ in self.atoms) > 1 or last > 255 or (column < 128) != (last < 128):
            raise RuntimeError("LogicalNeuron anchor results in placement outside of neuron grid.")


class SingleCompartmentNeuron:
    def __init__(self, size, expand_horizontally=False):
        if expand_horizontally:
            self.compartments = [(0, i) for i in range(size)]
        else:
            self.compartments = [(i % 2, i // 2) for i in range(size)]


class MixedHXModelParameter:
    def __init__(self, model_value, hardware_value):
        self.model_value, self.hardware_value = model_value, hardware_value


def model(value):
    return value.model_value if isinstance(value, MixedHXModelParameter) else value


class Handle:
    def __init__(self, spikes=None, membrane_cadc=None):
        self.spikes, self.membrane_cadc = spikes, membrane_cadc


class Instance:
    calibration = None

    def load_calib(self, path):
        self.calibration = path


EXPERIMENTS = []


class Experiment:
    def __init__(self, mock=False, dt=1e-6):
        self.mock, self.dt, self.calls, self.used = mock, dt, [], set()
        self.populations, self.projections = [], []
        self.default_execution_instance = Instance()
        self.inter_batch_entry_wait = None
        EXPERIMENTS.append(self)


class Module(torch.nn.Module):
    def __init__(self, experiment):
        super().__init__()
        self.__dict__["experiment"] = experiment

    def forward(self, *handles):
        out = Handle()
        self.experiment.calls.append((self, handles, out))
        return out


class Synapse(Module):
    def __init__(self, in_features, out_features, experiment, transform=None):
        super().__init__(experiment)
        self.weight = torch.nn.Parameter(torch.empty(out_features, in_features))
        self.transform, self.connected = transform, None
        experiment.projections.append(self)

    def connections(self):
        """Rows of pre, post, sign and weight, as they go to the chip."""
        w = self.transform(self.weight.data)
        found = []
        for post in range(w.shape[0]):
            for pre in range(w.shape[1]):
                if self.connected is None or self.connected[post, pre]:
                    value = float(w[post, pre])
                    exc = int(max(value, 0) + 0.5)
                    inh = int(-min(value, 0) + 0.5)
                    assert 0 <= exc <= 63 and 0 <= inh <= 63
                    found.append((pre, post, exc - inh))
        return found

    def compute(self, handle):
        w = self.weight if self.connected is None else self.weight * self.connected
        return torch.matmul(handle.spikes, w.T)


class SparseSynapse(Synapse):
    def __init__(self, connections, experiment, transform=None):
        n_in, n_out = connections.shape
        super().__init__(n_in, n_out, experiment, transform)
        self.connected = connections.transpose(1, 0).coalesce().bool().to_dense()


class AELIF(Module):
    def __init__(
        self, size, experiment, leak=80, reset=80, threshold=125, tau_mem=10e-6, tau_syn=10e-6,
        i_synin_gm=500, membrane_capacitance=63, refractory_time=1e-6, synapse_dac_bias=600,
        holdoff_time=0.0, method="superspike", alpha=50.0, exponential_slope=50e-3,
        exponential_threshold=110, subthreshold_adaptation_strength=1,
        spike_triggered_adaptation_increment=1, tau_adap=100e-6, enable_spike_recording=True,
        enable_cadc_recording=True, enable_madc_recording=False, record_neuron_id=None,
        placement_constraint=None, trace_offset=0.0, trace_scale=1.0, cadc_time_shift=0,
        shift_cadc_to_first=False, interpolation_mode="linear", neuron_structure=None, leaky=True,
        fire=True, exponential=True, subthreshold_adaptation=True, spike_triggered_adaptation=True,
    ):  # fmt: skip
        super().__init__(experiment)
        told = dict(locals())
        for name in ("self", "experiment", "__class__"):
            told.pop(name)
        self.told = told
        if placement_constraint is not None and len(placement_constraint) != size:
            raise ValueError("The number of neurons in logical neurons does not equal the `size`")
        assert interpolation_mode in ("linear", "nn")
        for neuron in placement_constraint:
            if experiment.used & set(neuron.atoms):
                raise ValueError(f"Cannot register LogicalNeuron {neuron}: already allocated.")
            experiment.used |= set(neuron.atoms)
        experiment.populations.append(self)

    def compute(self, x):
        """hxtorch's cuba_aelif_integration, without hardware data."""
        n = {name: model(value) for name, value in self.told.items()}
        dt, c = self.experiment.dt, n["membrane_capacitance"]
        g = c / n["tau_mem"]
        starts = n["leaky"] or n["subthreshold_adaptation"]
        i = w = torch.zeros_like(x[0])
        v = torch.zeros_like(x[0]) + (n["leak"] if starts else 0)
        ref = torch.zeros_like(v)
        membranes, spikes = [], []
        for t in range(len(x)):
            drive = i
            if n["leaky"]:
                drive = drive + g * (n["leak"] - v)
            if n["exponential"]:
                slope = n["exponential_slope"]
                drive = drive + g * slope * torch.exp((v - n["exponential_threshold"]) / slope)
            v = v + dt / c * (drive - w)
            i = i * (1 - dt / n["tau_syn"]) + x[t]
            z = (v - n["threshold"] > 0).float() if n["fire"] else torch.zeros_like(v)
            if n["subthreshold_adaptation"] or n["spike_triggered_adaptation"]:
                w = w * (1 - dt / n["tau_adap"])
                if n["subthreshold_adaptation"]:
                    a = n["subthreshold_adaptation_strength"]
                    w = w + dt / n["tau_adap"] * a * (v - n["leak"])
                if n["spike_triggered_adaptation"]:
                    w = w + n["spike_triggered_adaptation_increment"] * z
            v = (1 - z) * v + z * n["reset"]
            if n["fire"] and n["refractory_time"]:
                m = (ref > 0).float()
                v, z = (1 - m) * v + m * n["reset"], (1 - m) * z
                ref = (1 - z) * torch.relu(ref - m) + z * n["refractory_time"] / dt
            membranes.append(v)
            spikes.append(z)
        return torch.stack(spikes), torch.stack(membranes)


class LIF(AELIF):
    def __init__(self, size, experiment, **options):
        off = dict.fromkeys(
            ("exponential", "subthreshold_adaptation", "spike_triggered_adaptation"), False
        )
        super().__init__(size, experiment, **off, **options)


class LI(LIF):
    def __init__(self, size, experiment, **options):
        for name in ("threshold", "reset", "refractory_time", "enable_spike_recording"):
            assert name not in options
        super().__init__(size, experiment, fire=False, refractory_time=0.0, **options)


def run(experiment, runtime):
    """Fill the handles of all calls, in their order."""
    assert type(runtime) is int
    for module, handles, out in experiment.calls:
        if isinstance(module, Synapse):
            out.graded = module.compute(handles[0])
        else:
            spikes, membrane = module.compute(sum(handle.graded for handle in handles))
            out.spikes = spikes if module.told["fire"] else None
            out.membrane_cadc = membrane if module.told["enable_cadc_recording"] else None
    experiment.calls = []


def linear_saturating(weight, scale=1.0, min_weight=-63.0, max_weight=63.0):
    return torch.clamp(scale * weight, min_weight, max_weight)


@contextmanager
def installed():
    """The modules under the names that scripts import."""
    hardware = []
    contents = {
        "hxtorch": {
            "init_hardware": lambda: hardware.append("init"),
            "release_hardware": lambda: hardware.append("release"),
        },
        "hxtorch.spiking": {
            "Experiment": Experiment, "Synapse": Synapse, "SparseSynapse": SparseSynapse,
            "LIF": LIF, "LI": LI, "AELIF": AELIF, "LIFObservables": Handle, "run": run,
            "MixedHXModelParameter": MixedHXModelParameter,
        },
        "hxtorch.spiking.morphology": {"SingleCompartmentNeuron": SingleCompartmentNeuron},
        "hxtorch.spiking.transforms": {},
        "hxtorch.spiking.transforms.weight_transforms": {"linear_saturating": linear_saturating},
        "dlens_vx_v3": {
            "halco": types.SimpleNamespace(
                LogicalNeuronOnDLS=LogicalNeuron, AtomicNeuronOnDLS=Atomic,
                NeuronColumnOnDLS=Column, NeuronRowOnDLS=Row,
            )
        },
    }  # fmt: skip
    assert not set(contents) & set(sys.modules)
    for name, members in contents.items():
        module = types.ModuleType(name)
        module.__dict__.update(members)
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
    EXPERIMENTS.clear()
    try:
        yield hardware
    finally:
        for name in contents:
            del sys.modules[name]
