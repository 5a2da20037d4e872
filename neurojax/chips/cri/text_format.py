"""hs_api's text files: connectivity, inputs, outputs, and the configuration that names them.

Connectivity, one line a source, `target, weight` pairs:

    Axons
    0: [(0, 3.0), (1, -2.0)]
    Neurons
    0: [(1, 5.0)]
    1: []

Inputs and outputs, one line a time step:

    0: [0, 2]
    1: []

Sources and targets are numbers by index, so names of axons and neurons are lost, and so are weights
of 0 and the neuron models: whoever reads says which model all neurons have. Read networks have the
keys 'a0', 'a1', ... for axons and '0', '1', ... for neurons.

References:
    hs_api, `_intermediate_format.py` and `_simple_sim.load_network`,
    https://github.com/Integrated-Systems-Neuroengineering/hs_api
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neurojax._files import written_whole
from neurojax.chips.cri.description import CRINetwork
from neurojax.chips.cri.models import ANN_neuron, IF_neuron, LIF_neuron, NeuronModel

NEURON_TYPES: dict[str, type[NeuronModel]] = {
    "I&F": IF_neuron,
    "LI&F": LIF_neuron,
    "ANN": ANN_neuron,
}
"""The names in a configuration."""

FILES = ("connectivity_file", "inputs_file", "outputs_file")


class Experiment(NamedTuple):
    """What a configuration names."""

    network: CRINetwork
    inputs: list[list[str]]  # the active axons of each step
    outputs: list[Any] | None  # what the outputs file has for each step, if there is one


# Connectivity


def write_connectivity(network: CRINetwork, path: str | os.PathLike[str]) -> None:
    """Write the synapses, by index; weights of 0 are left out, as hs_api does.

    Raises:
        ValueError: The network has delayed synapses, which the file can't express.
    """
    number = {key: index for index, key in enumerate(network.connections)}

    def line(index: int, synapses: Iterable[tuple[Any, ...]]) -> str:
        pairs = sorted((number[synapse[0]], synapse[1]) for synapse in synapses if synapse[1])
        return f"{index}: [{', '.join(f'({post}, {float(w)})' for post, w in pairs)}]\n"

    for key, (synapses, _) in network.connections.items():
        if any(len(synapse) > 2 for synapse in synapses):
            raise ValueError(
                f"neuron {key!r} has delayed synapses, for which hs_api's text files have no form; "
                "use network.save"
            )
    with written_whole(path) as part, part.open("w", encoding="utf-8") as file:
        file.write("Axons\n")
        file.writelines(line(i, synapses) for i, synapses in enumerate(network.axons.values()))
        file.write("Neurons\n")
        lists = (synapses for synapses, _ in network.connections.values())
        file.writelines(line(i, synapses) for i, synapses in enumerate(lists))


def read_connectivity(
    path: str | os.PathLike[str],
    model: NeuronModel,
    *,
    outputs: Iterable[int] | None = None,
    **options: Any,
) -> CRINetwork:
    """Read the synapses of a network whose neurons all have one model.

    Args:
        path: The file.
        model: Of all neurons.
        outputs: Indices of the neurons that are reported; None: all.
        options: Of `CRINetwork`.

    Raises:
        ValueError: A line that can't be read, or is out of order; the message gives its number.
    """
    axons: dict[str, list[tuple[str, Any]]] = {}
    connections: dict[str, tuple[list[tuple[str, Any]], NeuronModel]] = {}
    section = ""
    for where, line in _lines(path):
        if ":" not in line:
            section = next((s for s in ("axons", "neurons") if s in line.lower()), "")
            if not section:
                raise ValueError(f"{where}: {line!r:.60} begins neither 'Axons' nor 'Neurons'")
            continue
        index, content = _entry(where, line)
        sources = axons if section == "axons" else connections
        if not section or index != len(sources):
            raise ValueError(
                f"{where}: entry {index}, but "
                + (f"entry {len(sources)} of {section} comes next" if section else "no section yet")
            )
        synapses = [_synapse(where, pair) for pair in _list(where, content)]
        if section == "axons":
            axons[f"a{index}"] = synapses
        else:
            connections[str(index)] = (synapses, model)
    chosen = list(connections) if outputs is None else [str(index) for index in outputs]
    return CRINetwork(axons, connections, chosen, **options)


def _synapse(where: str, pair: Any) -> tuple[str, Any]:
    if not isinstance(pair, tuple) or len(pair) != 2 or type(pair[0]) is not int:
        raise ValueError(f"{where}: {pair!r:.60} is no pair (neuron, weight)")
    weight = pair[1]
    whole = isinstance(weight, float) and weight.is_integer()
    return str(pair[0]), int(weight) if whole else weight


# Spikes


def write_spikes(steps: Iterable[Iterable[int]], path: str | os.PathLike[str]) -> None:
    """Write an inputs or outputs file: the active indices of each time step."""
    with written_whole(path) as part, part.open("w", encoding="utf-8") as file:
        for time, indices in enumerate(steps):
            file.write(f"{time}: [{', '.join(str(int(index)) for index in indices)}]\n")


def read_spikes(path: str | os.PathLike[str]) -> list[list[int]]:
    """Read an inputs or outputs file: the active indices of each time step. None may be missing.

    Raises:
        ValueError: A line that can't be read, or a step that is missing.
    """
    steps: list[list[int]] = []
    for where, line in _lines(path):
        time, content = _entry(where, line)
        if time != len(steps):
            raise ValueError(f"{where}: step {time}, but step {len(steps)} comes next")
        found = _list(where, content)
        if not all(type(index) is int and index >= 0 for index in found):
            raise ValueError(f"{where}: {content!r:.60} is no list of indices")
        steps.append(found)
    return steps


def to_array(steps: Sequence[Iterable[int]], count: int) -> np.ndarray:
    """Indices as an array of 0 and 1, uint8 `[time, count]`.

    Example:
        >>> from neurojax.chips.cri.text_format import to_array
        >>> to_array([[0, 2], []], 3).tolist()
        [[1, 0, 1], [0, 0, 0]]
    """
    active = np.zeros((len(steps), count), np.uint8)
    for row, indices in zip(active, steps, strict=True):
        row[list(indices)] = 1
    return active


# Configuration


def write_experiment(
    folder: str | os.PathLike[str],
    network: CRINetwork,
    inputs: Sequence[Iterable[Any]],
    outputs: Iterable[Iterable[int]] | None = None,
) -> Path:
    """Write all files into a folder: config.yaml and what it names.

    Args:
        folder: Made if it does not exist.
        network: Its neurons must all have one kind of model and one threshold: the configuration
            has place for no more.
        inputs: The active axons of each time step, by key.
        outputs: Indices of the neurons that fire in each time step, as expected.

    Returns:
        The path of config.yaml.

    Raises:
        ValueError: The neurons differ.
    """
    kinds = {(type(model), int(model.threshold)) for model in network.models()}
    if len(kinds) > 1:
        raise ValueError(
            f"the neurons have {len(kinds)} different models and thresholds, but a configuration "
            "has one; use network.save"
        )
    [(kind, threshold)] = kinds
    number = {key: index for index, key in enumerate(network.axons)}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_connectivity(network, folder / "connectivity.txt")
    write_spikes(([number[key] for key in step] for step in inputs), folder / "inputs.txt")
    write_spikes(outputs or [], folder / "outputs.txt")
    neuron_type = next(name for name, each in NEURON_TYPES.items() if each is kind)
    path = folder / "config.yaml"
    with written_whole(path) as part:
        part.write_text(
            "connectivity_file: connectivity.txt\n"
            "inputs_file: inputs.txt\n"
            "outputs_file: outputs.txt\n"
            f"neuron_type: {neuron_type}\n"
            "global_neuron_params:\n"
            f"  v_thr: {threshold}\n",
            encoding="utf-8",
        )
    return path


def read_experiment(path: str | os.PathLike[str], **options: Any) -> Experiment:
    """Read a configuration and the files that it names, relative to it.

    Args:
        path: Of config.yaml. Read are `name: value` lines, and `v_thr` below
            `global_neuron_params`; hs_api's configurations have nothing else.
        options: Of `CRINetwork`.

    Raises:
        ValueError: An entry is missing or has no meaning.
    """
    values = dict(_settings(path))
    missing = [n for n in (*FILES[:2], "neuron_type", "v_thr") if n not in values]
    if missing:
        raise ValueError(f"{os.fspath(path)}: {' and '.join(missing)} missing")
    kind = NEURON_TYPES.get(values["neuron_type"])
    if kind is None:
        raise ValueError(
            f"{os.fspath(path)}: neuron_type is {values['neuron_type']!r}, but must be one of "
            f"{list(NEURON_TYPES)}"
        )
    try:
        threshold = int(values["v_thr"])
    except ValueError:
        raise ValueError(f"{os.fspath(path)}: v_thr is {values['v_thr']!r}, no integer") from None
    folder = Path(path).parent
    network = read_connectivity(folder / values[FILES[0]], kind(threshold), **options)
    steps = read_spikes(folder / values[FILES[1]])
    inputs = [[f"a{index}" for index in step] for step in steps]
    outputs = read_spikes(folder / values[FILES[2]]) if FILES[2] in values else None
    return Experiment(network, inputs, outputs)


def _settings(path: str | os.PathLike[str]) -> Iterator[tuple[str, str]]:
    for where, line in _lines(path):
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"{where}: {line!r:.60} is no 'name: value'")
        value = value.split(" #")[0].strip().strip("{}").strip()
        if name.strip() == "global_neuron_params" and value:  # {v_thr: 5}
            name, _, value = value.partition(":")
        yield name.strip().strip("\"'"), value.strip().strip("\"'")


# Lines


def _lines(path: str | os.PathLike[str]) -> Iterator[tuple[str, str]]:
    """Lines with what to call them; comments and empty ones are left out."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{os.fspath(path)} is no text file") from None
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield f"{os.fspath(path)}, line {number}", line.strip()


def _entry(where: str, line: str) -> tuple[int, str]:
    index, colon, content = line.partition(":")
    if not colon or not index.strip().isdecimal():
        raise ValueError(f"{where}: {line!r:.60} is no 'number: [...]'")
    return int(index), content.strip()


def _list(where: str, content: str) -> list[Any]:
    try:
        value = ast.literal_eval(content)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
    if not isinstance(value, list):
        raise ValueError(f"{where}: {content!r:.60} is no list")
    return value
