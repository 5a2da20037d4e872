"""A Python script that builds a configured network with hxtorch, and runs it.

The vendor's own files hold C++ objects that only its software writes, with settings of one chip. So
what goes beside the configuration is a script: it reads the numbers from the JSON file and makes
hxtorch's modules of them, in the form that a user of hxtorch would write and can edit.

References:
    hxtorch (3bfc7aa), `hxtorch.spiking`, and its Yin-Yang example.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurojax.surrogate import by_name

_HEAD = '''\
"""Builds the network of {stem}.json with hxtorch, and runs it.

    python {stem}.py INPUTS.npz RESULTS.npz [--mock]

INPUTS holds an array of spikes [time, batch, ...] for each of: {inputs}.
RESULTS gets the spikes of a population under its name, and its membrane, in units of the model,
under "name.v": what neurojax.simulate(..., measured=...) takes.
{differences}
Written by neurojax. It can be edited; numbers are in the JSON file.
"""

import json
import sys
from functools import partial
from pathlib import Path

import hxtorch
import hxtorch.spiking as hxsnn
import numpy as np
import torch
from dlens_vx_v3 import halco
from hxtorch.spiking.morphology import SingleCompartmentNeuron
from hxtorch.spiking.transforms.weight_transforms import linear_saturating

DATA = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
POPULATIONS = {{p["name"]: p for p in DATA["populations"]}}
PROJECTIONS = {{p["name"]: p for p in DATA["projections"]}}
ALPHA = {alpha}
TERMS = {{
    "exponential_slope": "exponential_slope",
    "exponential_threshold": "exponential_threshold",
    "subthreshold_adaptation_strength": "a",
    "spike_triggered_adaptation_increment": "b",
    "tau_adap": "tau_adap_s",
}}


def number(value):
    """A number, or a tensor with one for each neuron."""
    value = value["array"] if isinstance(value, dict) else value
    return torch.tensor(value) if isinstance(value, list) else value


def both(model, hardware):
    """A parameter with one value in the simulation and one on the chip."""
    return hxsnn.MixedHXModelParameter(number(model), number(hardware))


def neurons(name, experiment):
    """A population in its place."""
    entry = POPULATIONS[name]
    model, hardware, trace = entry["model"], entry["hardware"], entry["trace"]
    capacitance = model["tau_mem_s"] if model["c_mem_s"] is None else model["c_mem_s"]
    structure = SingleCompartmentNeuron(
        entry["circuits_per_neuron"], entry["expand_horizontally"]
    )
    record = entry["record"]
    options = dict(
        leak=both(model.get("leak", 0.0), hardware["leak"]),
        tau_mem=both(model["tau_mem_s"], hardware["tau_mem_s"]),
        tau_syn=both(model["tau_syn_s"], hardware["tau_syn_s"]),
        membrane_capacitance=both(capacitance, hardware["membrane_capacitance"]),
        i_synin_gm=number(hardware["i_synin_gm"]),
        synapse_dac_bias=number(hardware["synapse_dac_bias"]),
        enable_cadc_recording=record["cadc"],
        trace_offset=number(trace["offset"]),
        trace_scale=number(trace["scale"]),
        cadc_time_shift=trace["time_shift"],
        shift_cadc_to_first=trace["to_first"],
        interpolation_mode={{"linear": "linear", "nearest": "nn"}}[trace["interpolation"]],
        neuron_structure=structure,
        placement_constraint=[
            halco.LogicalNeuronOnDLS(
                structure.compartments,
                halco.AtomicNeuronOnDLS(halco.NeuronColumnOnDLS(column), halco.NeuronRowOnDLS(row)),
            )
            for row, column in entry["placement"]
        ],
    )
    if record["madc_neuron"] is not None:
        options |= dict(enable_madc_recording=True, record_neuron_id=record["madc_neuron"])
    if entry["kind"] == "LI":
        return hxsnn.LI(entry["size"], experiment, **options)
    options |= dict(
        reset=both(model["reset"], hardware["reset"]),
        threshold=both(model["threshold"], hardware["threshold"]),
        refractory_time=both(model["refractory_time_s"], hardware["refractory_time_s"]),
        holdoff_time=number(hardware["holdoff_time_s"]),
        enable_spike_recording=record["spikes"],
        alpha=ALPHA[name],
    )
    if entry["kind"] == "LIF":
        return hxsnn.LIF(entry["size"], experiment, **options)
    for field, cell in hardware["capmem"].items():
        options[field] = both(model[TERMS[field]], cell)
    return hxsnn.AELIF(
        entry["size"],
        experiment,
        leaky=entry["kind"] != "IAF" and model["leaky"],
        exponential=model.get("exponential_slope") is not None,
        subthreshold_adaptation=model.get("a") is not None,
        spike_triggered_adaptation=model.get("b") is not None,
        **options,
    )


def synapses(name, experiment):
    """A projection with the weights that the chip can hold."""
    entry = PROJECTIONS[name]
    scale = number(entry["weight_scale"])
    weight = torch.tensor(entry["weight_int"], dtype=torch.float32) / scale
    transform = partial(linear_saturating, scale=scale)
    if entry["connected"] is not None:
        connected = torch.tensor(entry["connected"]).T.to_sparse()
        module = hxsnn.SparseSynapse(connected, experiment, transform=transform)
    else:
        module = hxsnn.Synapse(weight.shape[1], weight.shape[0], experiment, transform=transform)
    module.weight.data = weight
    return module


class Network(torch.nn.Module):
    """The network of the configuration."""

    def __init__(self, mock=DATA["execution"]["mock"]):
        super().__init__()
        self.experiment = hxsnn.Experiment(mock=mock, dt=DATA["dt_s"])
        self.experiment.inter_batch_entry_wait = DATA["execution"]["inter_batch_entry_wait"]
        calibration = DATA["execution"]["calib_path"]
        if calibration is not None and not mock:
            self.experiment.default_execution_instance.load_calib(calibration)
'''

_TAIL = """

def main(inputs, results, mock):
    if not mock:
        hxtorch.init_hardware()
    try:
        spikes = {{n: torch.tensor(x) for n, x in np.load(inputs).items()}}
        with torch.no_grad():
            handles = Network(mock)(spikes)
    finally:
        if not mock:
            hxtorch.release_hardware()
    found = {{}}
    for name, handle in handles.items():
        if getattr(handle, "spikes", None) is not None:
            found[name] = handle.spikes.numpy()[: DATA["runtime_steps"]]
        if handle.membrane_cadc is not None:
            found[name + ".v"] = handle.membrane_cadc.numpy()[: DATA["runtime_steps"]]
    np.savez(results, **found)


if __name__ == "__main__":
    files = [argument for argument in sys.argv[1:] if argument != "--mock"]
    main(*files, mock="--mock" in sys.argv[1:] or DATA["execution"]["mock"])
"""


def write_script(data: Mapping[str, Any], stem: str = "configuration") -> str:
    """The script for a configuration.

    Args:
        data: What the file holds.
        stem: Name of the file without its ending.

    Raises:
        ValueError: Neurons feed back onto themselves, which hxtorch needs a wrapper with the
            neurons' own equations for.
    """
    order = _in_order(data)
    inputs = [p["name"] for p in data["populations"] if p["kind"] == "input"]
    said = {
        "stem": stem,
        "inputs": ", ".join(map(repr, inputs)),
        "differences": _differences(data),
    }
    prose = {name: _prose(text) for name, text in said.items()}
    lines = [_HEAD.format(alpha=_alphas(data), **prose)]
    modules = {name: f"layer{i}" for i, name in enumerate(_modules(data))}
    kinds = {p["name"] for p in data["projections"]}
    for name, attribute in modules.items():
        make = "synapses" if name in kinds else "neurons"
        lines.append(f"        self.{attribute} = {make}({name!r}, self.experiment)\n")
    lines.append(
        "\n    def forward(self, inputs):\n"
        '        """The handles of all populations, from spikes [time, batch, ...] by input."""\n'
        "        x = {}\n"
    )
    for name in inputs:
        lines.append(
            f"        spikes = inputs[{name!r}].float().flatten(2)\n"
            f"        x[{name!r}] = hxsnn.LIFObservables(spikes=spikes)\n"
        )
    for post in order:
        parts = [
            f"self.{modules[p['name']]}(x[{p['pre']!r}])"
            for p in data["projections"]
            if p["post"] == post
        ]
        call = ",\n            ".join(parts)
        lines.append(
            f"        x[{post!r}] = self.{modules[post]}(\n            {call},\n        )\n"
        )
    lines.append(
        '        hxsnn.run(self.experiment, DATA["runtime_steps"])\n'
        f"        return {{name: x[name] for name in {order!r}}}\n"
    )
    lines.append(_TAIL.format())
    return "".join(lines)


def _prose(text: str) -> str:
    """Text for the script's docstring, which no name in it ends: names come from files, too."""
    return text.replace("\\", "/").replace('"', "'")


ONLY_OURS = {"gain": 1.0, "v_min": None, "v_init": None, "method": "euler", "generation": "head"}
"""Fields of neurons that hxtorch does not have, and the values at which it needs none."""


def _differences(data: Mapping[str, Any]) -> str:
    """What the script can't say to hxtorch: it concerns its simulation, not the chip."""
    lines = []
    for entry in data["populations"]:
        model = entry.get("model", {})
        other = [n for n, usual in ONLY_OURS.items() if model.get(n, usual) != usual]
        if other:
            what = f"{', '.join(other)} of {entry['name']!r}"
            lines.append(f"\nhxtorch's simulation has no {what}: it differs.")
    return "".join(lines)


def _alphas(data: Mapping[str, Any]) -> dict[str, float]:
    """Steepness of the surrogate derivative, which hxtorch has one shape of."""
    shapes = {
        p["name"]: by_name(p["model"]["surrogate"])
        for p in data["populations"]
        if "surrogate" in p.get("model", {})
    }
    return {name: float(getattr(shape, "alpha", 50.0)) for name, shape in shapes.items()}


def _modules(data: Mapping[str, Any]) -> list[str]:
    projections = [p["name"] for p in data["projections"]]
    return projections + [p["name"] for p in data["populations"] if p["kind"] != "input"]


def _in_order(data: Mapping[str, Any]) -> list[str]:
    """Populations in an order in which each comes after its sources."""
    ready = {p["name"] for p in data["populations"] if p["kind"] == "input"}
    left = [p["name"] for p in data["populations"] if p["kind"] != "input"]
    order: list[str] = []
    while left:
        for name in left:
            sources = {p["pre"] for p in data["projections"] if p["post"] == name}
            if sources <= ready:
                break
        else:
            raise ValueError(
                f"'{left[0]}' is part of a loop; hxtorch needs a HXModuleWrapper with the neurons' "
                "equations for it: save without the script, and write one"
            )
        left.remove(name)
        ready.add(name)
        order.append(name)
    return order
