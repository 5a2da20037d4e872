"""The configuration of a chip: what its neurons and synapses shall be, and where they are.

Plain data, which a person can read and other software can use: populations with the potentials that
calibration shall reach, projections with whole-numbered weights, and the circuits of every neuron.
Settings of a particular chip are not in it: those come from a calibration on site, and the vendor's
software routes the synapses again. That there is room for them is what `physical` proves.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from neurojax._files import written_whole
from neurojax._graph import nearest
from neurojax._network import Network
from neurojax.chips import MappedNetwork, MappingError
from neurojax.chips._mapped import Problem
from neurojax.chips.bss2 import CalibrationTarget, Fit, Placement, check_targets, chip, fit
from neurojax.chips.bss2._report import Origin, explain, target
from neurojax.chips.bss2.routing import Routing
from neurojax.hardware.bss2._format import FORMAT, VERSION
from neurojax.hardware.bss2._layers import (
    read_network,
    unknown_layers,
    write_model,
    write_network,
    write_synapse,
)
from neurojax.hardware.bss2._sections import (
    fit_of,
    needed_cells,
    read_trace,
    too_long,
    write_groups,
    write_target,
    write_trace,
)
from neurojax.hardware.bss2._validate import validate
from neurojax.hardware.bss2.recordings import Trace, measured
from neurojax.hardware.bss2.script import write_script
from neurojax.layers import Recurrent


@dataclass(frozen=True, eq=False)
class Configuration:
    """A network, placed on a chip.

    Attributes:
        data: What the file holds; see docs/bss2.md.
    """

    data: dict[str, Any]

    @cached_property
    def network(self) -> Network:
        """The network; it simulates as the one that the configuration was made of."""
        return read_network(self.data)

    @cached_property
    def mapped(self) -> MappedNetwork:
        """The network as a mapped one, to be trained on or to draw virtual chips for."""
        return MappedNetwork(self.network, chip, tuple(self._origins()), explain)

    def _origins(self) -> Iterator[Origin]:
        fit: Fit | None = self.fit
        for name, entry in self.populations.items():
            own = [p for p in self.data["projections"] if p["post"] == name]
            scale = own[0]["weight_scale"] if own else 1.0
            part = f"{name}.neuron" if isinstance(self.network[name], Recurrent) else name
            yield Origin(
                part,
                tuple(p["name"] for p in own),
                float(scale["array"] if isinstance(scale, dict) else scale),
                entry["trace_scale"],
                "file",
                self.data["dt_s"],
                fit=fit,
            )
            fit = None  # it is with the first one

    @cached_property
    def fit(self) -> Fit:
        """Where its neurons and synapses are, routed anew."""
        return fit_of(self.data, self.network)

    @property
    def placement(self) -> Placement:
        """The circuits of the neurons."""
        assert self.fit.placement is not None
        return self.fit.placement

    @property
    def routing(self) -> Routing:
        """The rows of the synapses."""
        assert self.fit.routing is not None
        return self.fit.routing

    @property
    def populations(self) -> dict[str, dict[str, Any]]:
        """The file's entries of the neurons, by name."""
        return {p["name"]: p for p in self.data["populations"] if p["kind"] != "input"}

    @property
    def traces(self) -> dict[str, Trace]:
        """How samples of membranes become potentials of the model, by population."""
        return {name: read_trace(p["trace"]) for name, p in self.populations.items()}

    def measured(
        self,
        *,
        spikes: Mapping[str, Any] | None = None,
        samples: Mapping[str, Any] | None = None,
        batch: int,
    ) -> dict[str, np.ndarray]:
        """Recordings of a run as `neurojax.simulate(..., measured=...)` takes them.

        Args:
            spikes: `Spikes` by population.
            samples: `Samples` of the membranes by population.
            batch: Number of runs.

        Raises:
            ValueError: Recordings that don't fit the network.
        """
        shapes = {name: self.network.out_shape(name) for name in self.populations}
        found = measured(
            {name: p["size"] for name, p in self.populations.items()},
            spikes=spikes,
            samples=samples,
            traces=self.traces,
            steps=self.data["runtime_steps"],
            batch=batch,
            dt=self.data["dt_s"],
        )
        recurrent = [n for n in shapes if isinstance(self.network[n], Recurrent)]
        return {
            _probe(name, recurrent): x.reshape(*x.shape[:2], *shapes[name.removesuffix(".v")])
            for name, x in found.items()
        }

    def as_json(self) -> dict[str, Any]:
        """The configuration as plain numbers, texts, lists and dictionaries."""
        return self.data

    def save(self, path: str | Path, *, script: bool = False) -> None:
        """Write the configuration as JSON; an older file is replaced only when all is written.

        Args:
            path: The file.
            script: Write a Python script beside it, `name.py` beside `name.json`, that builds the
                network with hxtorch and runs it.

        Raises:
            ValueError: hxtorch has no plain way to build the network, or a script is wanted and
                the file's name does not end in .json; nothing is written.
            OSError: A file can't be written. No part of one is left behind.
        """
        path = Path(path)
        texts = {path: json.dumps(self.data, allow_nan=False) + "\n"}
        if script:
            if path.suffix != ".json":
                raise ValueError(f"{path}: the script reads a .json file beside it; save to one")
            texts[path.with_suffix(".py")] = write_script(self.data, path.stem)
        for file, text in texts.items():
            with written_whole(file) as part:
                part.write_text(text, encoding="utf-8")

    def __repr__(self) -> str:
        # No fields: the weights of a network fill screens.
        parts = ", ".join(f"{name} ({p['size']})" for name, p in self.populations.items())
        return f"Configuration(bss2: {parts})"


def _probe(name: str, recurrent: Iterable[str]) -> str:
    """The probe of a population's membrane, which may be within a recurrent layer."""
    layer = name.removesuffix(".v")
    return f"{layer}.neuron.v" if name != layer and layer in recurrent else name


def configure(
    mapped: MappedNetwork,
    *,
    steps: int,
    placement: str | Mapping[str, Any] | None = None,
    circuits: int | Mapping[str, int] | None = None,
    expand_horizontally: bool | Mapping[str, bool] = False,
    targets: CalibrationTarget | Mapping[str, CalibrationTarget] | None = None,
    capmem: Mapping[str, Mapping[str, int]] | None = None,
    record: Iterable[str] | None = None,
    madc: tuple[str, int] | None = None,
    traces: Trace | Mapping[str, Trace] | None = None,
    calibration: str | Path | None = None,
    mock: bool = False,
    wait: int = 0,
) -> Configuration:
    """Place a network on a chip and write down its configuration.

    Args:
        mapped: What `neurojax.chips.bss2.map` returned, trained or not.
        steps: Time steps of a run.
        placement, circuits, expand_horizontally: See `neurojax.chips.bss2.fit`; default: as mapped.
        targets: What calibration shall reach, for all populations or by name. By default the time
            constants of the model; a leak of 80 steps of the CADC, and reset and threshold where
            the mapping's `trace_scale` has them; hxtorch's defaults for the rest.
        capmem: For `AELIF`, values 0..1022 of the cells that calibration does not know: by
            population, `{"exponential_slope": ..., ...}`, one for each term that the neuron has.
        record: Populations whose membranes are sampled with their spikes; default: all.
        madc: (population, neuron) whose membrane the fast converter records.
        traces: How samples become potentials of the model; by default the mapping's `trace_scale`
            times what is above the first sample, or above the leak's target if the leak is not 0.
        calibration: File of a calibration, which the script loads.
        mock: Whether the script simulates in hxtorch instead of using a chip.
        wait: Cycles of 8 ns between runs of a batch.

    Raises:
        MappingError: The network does not fit on the chip, has layers that a configuration can't
            hold, or targets that can't be calibrated: every reason at once.
        ValueError: Not a mapped network of this chip, unknown populations, or values out of range.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips import bss2
        >>> from neurojax.hardware.bss2 import configure
        >>> weights = nj.Linear.from_weights(jnp.eye(3))
        >>> net = nj.Sequential((3,), fc=weights, hidden=bss2.LIF())
        >>> configuration = configure(bss2.map(net), steps=100)
        >>> configuration.populations["hidden"]["hardware"]["threshold"]
        140.0
        >>> configuration.data["projections"][0]["weight_int"]
        [[63, 0, 0], [0, 63, 0], [0, 0, 63]]
    """
    if not isinstance(mapped, MappedNetwork) or mapped.chip != chip:
        raise ValueError("configure takes a network that chips.bss2.map returned")
    network = mapped.network
    problems = list(unknown_layers(network))
    if problems:
        raise MappingError(chip.name, problems)
    if type(steps) is not int or steps < 1:
        raise ValueError(f"configure: steps is {steps!r}; give a whole number >= 1")
    neurons = {n: _neuron(network[n]) for n in network.names if _neuron(network[n]) is not None}
    for what, given in (("targets", targets), ("traces", traces), ("capmem", capmem)):
        if isinstance(given, Mapping):
            _known(what, given, neurons)
    recorded = list(neurons) if record is None else list(record)
    _known("record", recorded, neurons)
    if madc is not None:
        _known("madc", [madc[0]], neurons)
    origins = {o.name.removesuffix(".neuron"): o for o in mapped.origins}
    as_mapped = mapped.origins[0].fit
    if as_mapped is not None and placement is None and circuits is None and not expand_horizontally:
        found = as_mapped
    else:
        found = fit(
            network,
            placement="auto" if placement is None else placement,
            circuits=circuits,
            expand_horizontally=expand_horizontally,
        )
    problems += found.problems
    problems += _shared_weights(found)
    dt, different = _time_step(neurons)
    problems += different
    aims = {
        name: (targets.get(name) if isinstance(targets, Mapping) else targets)
        or target(neuron, origins[name])
        for name, neuron in neurons.items()
    }
    problems += check_targets(aims)
    cells = {name: dict((capmem or {}).get(name, {})) for name in neurons}
    problems += [p for name, n in neurons.items() for p in _wrong_cells(name, n, cells[name])]
    problems += too_long(steps, dt)
    if problems:
        raise MappingError(chip.name, problems)
    assert found.placement is not None and found.routing is not None
    populations = []
    for population in found.demand.populations:
        name = population.name
        entry: dict[str, Any] = {"name": name, "size": population.size, "kind": "input"}
        if population.shape is not None:
            neuron, aim, scale = neurons[name], aims[name], origins[name].trace_scale
            trace = traces.get(name) if isinstance(traces, Mapping) else traces
            entry |= {
                "kind": type(neuron).__name__,
                "model": write_model(neuron),
                "hardware": write_target(aim) | {"capmem": cells[name]},
                "trace_scale": scale,
                "placement": found.placement.anchors(name).tolist(),
                "circuits_per_neuron": population.shape.size,
                "expand_horizontally": population.shape.expand_horizontally,
                "record": {
                    "spikes": population.spiking,
                    "cadc": name in recorded,
                    "madc_neuron": madc[1] if madc is not None and madc[0] == name else None,
                },
                "trace": write_trace(trace or _default_trace(neuron, scale, aim)),
            }
        populations.append(entry)
    data = {
        "format": FORMAT,
        "version": VERSION,
        "chip": {"name": chip.name, "neurons": chip.circuits},
        "dt_s": dt,
        "runtime_steps": steps,
        "execution": {
            "mock": bool(mock),
            "calib_path": None if calibration is None else str(calibration),
            "inter_batch_entry_wait": wait,
        },
        "populations": populations,
        "projections": [
            {"name": p.name, "pre": p.source, "post": p.target}
            | write_synapse(_synapse(network, p.name))
            for p in found.demand.projections
        ],
        "network": write_network(network),
        "physical": {"groups": write_groups(found)},
    }
    validate(data)
    return Configuration(data)


def _neuron(layer: Any) -> Any:
    if isinstance(layer, Recurrent):
        return layer.neuron
    return layer if hasattr(layer, "tau_mem") else None


def _synapse(network: Network, name: str) -> Any:
    if name in network:
        return network[name]
    layer: Any = network[name.removesuffix(".synapse")]
    return layer.synapse


def _known(what: str, names: Iterable[str], neurons: Mapping[str, Any]) -> None:
    for name in names:
        if name not in neurons:
            raise ValueError(f"configure: {what} of '{name}': {nearest(name, neurons)}")


def _shared_weights(found: Fit) -> list[Problem]:
    """Layers of synapses that more than one population feeds, or gets its input from."""
    names = [p.name for p in found.demand.projections]
    return [
        Problem(
            name,
            f"is {names.count(name)} projections",
            "a projection has one source and one target population",
            "use a layer of synapses for each",
        )
        for name in sorted({n for n in names if names.count(n) > 1})
    ]


def _time_step(neurons: Mapping[str, Any]) -> tuple[float, list[Problem]]:
    steps = {name: float(neuron.dt) for name, neuron in neurons.items()}
    if len(set(steps.values())) < 2:
        return next(iter(steps.values()), 1e-6), []
    found = ", ".join(f"{value:g} s of '{name}'" for name, value in steps.items())
    remedy = "give all neurons the same dt"
    return 1e-6, [Problem("network", f"dt is {found}", "a run has one time step", remedy)]


def _default_trace(neuron: Any, scale: float, aim: CalibrationTarget) -> Trace:
    rest = getattr(neuron, "leak", None)
    rest = np.asarray(neuron.reset if rest is None else rest, np.float64)
    if not rest.any():
        return Trace(scale=scale, to_first=True)
    # The converter's samples are signed: they begin at -128.
    lowest = 1 << (chip.cadc_bits - 1)
    offset = np.asarray(aim.leak, float) - lowest - rest / scale
    return Trace(scale=scale, offset=offset)


def _wrong_cells(name: str, neuron: Any, cells: Mapping[str, int]) -> list[Problem]:
    fields = [field.name for field in dataclasses.fields(neuron)]
    terms = [field for field in fields if getattr(neuron, field) is not None]
    needed = needed_cells(type(neuron).__name__, terms)
    problems = []
    legal = f"cells hold 0..{chip.capmem_largest}, and calibration does not know these"
    if missing := [cell for cell in needed if cell not in cells]:
        remedy = f"give capmem={{'{name}': {{'{missing[0]}': ...}}}}, or use LIF"
        problems.append(Problem(name, f"no values for {', '.join(missing)}", legal, remedy))
    if unknown := [cell for cell in cells if cell not in needed]:
        known = ", ".join(needed) or "none"
        remedy = f"leave them out; it has {known}"
        problems.append(Problem(name, f"capmem has {', '.join(unknown)}", legal, remedy))
    wrong = [c for c, v in cells.items() if type(v) is not int or not 0 <= v <= chip.capmem_largest]
    if wrong:
        found = f"capmem {wrong[0]} is {cells[wrong[0]]!r}"
        problems.append(Problem(name, found, legal, "give a whole number in this range"))
    return problems
