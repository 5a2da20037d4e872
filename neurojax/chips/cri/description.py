"""A CRI network as dictionaries: what hs_api's users write, checked, and simulated exactly.

    axons        {axon: [(neuron, weight), ...]}
    connections  {neuron: ([(neuron, weight), ...], model)}
    outputs      [neuron, ...]

A synapse `(neuron, weight, True)` is late by its source's `delay_value` (newer bitstreams).
Keys are of any hashable type. An entry's index on the chip is its place in the dictionary.

References:
    hs_api, `api.py` (`CRI_network`), https://github.com/Integrated-Systems-Neuroengineering/hs_api
"""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import PRNGKeyArray

from neurojax._files import written_whole
from neurojax._graph import nearest
from neurojax._network import Network, Sequential
from neurojax.chips.cri import json_format
from neurojax.chips.cri._tables import Rows
from neurojax.chips.cri._validate import (
    WEIGHTS,
    Finding,
    Synapses,
    check_limits,
    check_network,
    effective_weight,
    index_of,
)
from neurojax.chips.cri.crossbar import Crossbar
from neurojax.chips.cri.events import EventEngine, EventState
from neurojax.chips.cri.models import NeuronModel
from neurojax.chips.cri.neuron import Neuron
from neurojax.chips.cri.spec import LEAKS, CRISpec, spec

Key = Hashable


class CRINetwork:
    """A network of the chip, with hs_api's arguments and methods.

    Args:
        axons: The inputs, `{axon: [(neuron, weight), ...]}`.
        connections: The neurons, `{neuron: ([(neuron, weight), ...], model)}`; models are those of
            `neurojax.chips.cri.models`, or hs_api's own objects.
        positional: The outputs; or, in hs_api's order, config and outputs, then perhaps target.
        outputs: The neurons whose spikes are reported, by name.
        config: hs_api's argument, which has no meaning: the models say everything.
        target: hs_api's argument; None or "simpleSim".
        weights: "exact": anything but 16-bit integers is a fault. "saturate": cut to integers and
            limited to 16 bits, as hs_api does without a word.
        duplicates: Of several synapses between the same two: "refuse": a fault. "last": the last
            one counts, as in hs_api's simulator. "sum": they add up, as on the chip.
        key: Of the noise; needed if a model has any.
        options: Of `Neuron`: order, strict, overflow, bits, noise, leak_bias, ...

    Attributes:
        axons, connections: Copies of the dictionaries, with plain integers and our models.
        outputs: The reported neurons, by index.

    Raises:
        NetworkError: With every fault of the description at once.

    Example:
        >>> from neurojax.chips.cri import CRINetwork, LIF_neuron
        >>> lif = LIF_neuron(threshold=2)
        >>> neurons = {"a": ([("b", 3)], lif), "b": ([], lif)}
        >>> network = CRINetwork({"in": [("a", 3)]}, neurons, ["b"])
        >>> [network.step(["in"]), network.step([]), network.step([])]
        [[], [], ['b']]
    """

    def __init__(
        self,
        axons: Mapping[Any, Any],
        connections: Mapping[Any, Any],
        *positional: Any,
        outputs: Iterable[Key] | None = None,
        config: Mapping[str, Any] | None = None,
        target: str | None = None,
        weights: Literal["exact", "saturate"] = "exact",
        duplicates: Literal["refuse", "last", "sum"] = "refuse",
        key: PRNGKeyArray | None = None,
        **options: Any,
    ) -> None:
        given = {"outputs": outputs, "config": config, "target": target}
        outputs, config, target = _in_order(positional, given)
        if weights not in ("exact", "saturate"):
            raise ValueError(f"weights={weights!r} must be 'exact' or 'saturate'")
        if duplicates not in ("refuse", "last", "sum"):
            raise ValueError(f"duplicates={duplicates!r} must be 'refuse', 'last' or 'sum'")
        if config is not None and not isinstance(config, Mapping):
            raise TypeError(f"config={config!r} must be a dict or None; its content has no effect")
        if target not in (None, "simpleSim"):
            remedy = "neurojax.hardware.cri reaches the chip" if target == "CRI" else "leave it out"
            raise ValueError(f"target={target!r} must be 'simpleSim' or None; {remedy}")
        checked = check_network(
            axons,
            connections,
            outputs,
            weights=weights,
            duplicates=duplicates,
            # The simulators' shift by 64 is no leak; the chip's field ends at 63.
            largest_leak=LEAKS[1] + (options.get("order", "hardware") != "hardware"),
        )
        self.axons, self.connections, self.outputs = checked[:3]
        self._axon_rows, self._neuron_rows = checked[3:]
        self._weights, self._options, self._key = weights, options, key
        self._axon_index = {name: index for index, name in enumerate(self.axons)}
        self._neuron_index = {name: index for index, name in enumerate(self.connections)}
        self._engine: EventEngine | None = None
        self._state: EventState | None = None
        self._check_options()

    def _check_options(self) -> None:
        known = [field.name for field in fields(Neuron)]
        for name in self._options:
            if name not in known:
                raise TypeError(f"CRINetwork: option {name!r}: {nearest(name, known)}")
        # Before a run: a model and an option may contradict each other. Few models are different.
        self._population(list({id(model): model for model in self.models()}.values()))

    def __repr__(self) -> str:
        synapses = len(self._axon_rows.targets) + len(self._neuron_rows.targets)
        return (
            f"CRINetwork({len(self.axons)} axons, {len(self.connections)} neurons, "
            f"{synapses} synapses, {len(self.outputs)} outputs)"
        )

    def __eq__(self, other: object) -> bool:
        """Same axons, neurons and outputs in the same order, whatever the options."""
        if not isinstance(other, CRINetwork):
            return NotImplemented
        return (
            list(self.axons.items()) == list(other.axons.items())
            and list(self.connections.items()) == list(other.connections.items())
            and self.outputs == other.outputs
        )

    __hash__ = None  # type: ignore[assignment]  # its synapses can be written

    # Simulation

    def step(
        self, inputs: Iterable[Key], membranePotential: bool = False
    ) -> list[Key] | tuple[list[tuple[Key, int]], list[Key]]:
        """One time step.

        Args:
            inputs: The active axons; one that is named twice counts once, as on the chip.
            membranePotential: Also return the membranes after the step.

        Returns:
            The outputs that fired, by index; or a pair of `[(neuron, membrane), ...]` and those.
        """
        [spikes] = self.run([inputs])
        return (list(self.read_membrane().items()), spikes) if membranePotential else spikes

    def run(self, inputs: Sequence[Iterable[Key]]) -> list[list[Key]]:
        """Many time steps: for each of them the active axons, and then the outputs that fired."""
        indices = [self._inputs(axons) for axons in inputs]
        if not indices:
            return []
        engine = self.events()
        if self._state is None:
            self._state = engine.init(self._key)
        run = engine.run(indices, state=self._state)
        self._state = run.state
        return [[self.outputs[i] for i in np.flatnonzero(row)] for row in np.asarray(run.spikes)]

    def _inputs(self, axons: Iterable[Key]) -> list[int]:
        if isinstance(axons, str | bytes) or not isinstance(axons, Iterable):
            raise TypeError(f"inputs are a list of axons, not {axons!r}; use [{axons!r}]")
        found, wrong = [], []
        for key in axons:
            index = index_of(self._axon_index, key)
            if index is None:
                is_neuron = index_of(self._neuron_index, key) is not None
                wrong.append(f"{key!r} is a neuron" if is_neuron else f"no axon {key!r}")
            else:
                found.append(index)
        if wrong:
            raise ValueError(f"inputs are keys of axons: {', '.join(wrong)}")
        return found

    def reset(self) -> None:
        """Set all membranes to 0 and start the noise anew."""
        self._state = None

    def read_membrane(self, keys: Iterable[Key] | None = None) -> dict[Key, int]:
        """Membranes of some neurons, or of all, after the last step."""
        names = list(self.connections if keys is None else keys)
        indices = [self._neuron(name) for name in names]
        if self._state is None:
            return dict.fromkeys(names, 0)
        values = self.events().membrane(self._state)
        return {name: int(values[i]) for name, i in zip(names, indices, strict=True)}

    def _neuron(self, key: Key) -> int:
        if key not in self._neuron_index:
            raise ValueError(f"no neuron {key!r}")
        return self._neuron_index[key]

    # Synapses

    def read_synapse(self, preKey: Key, postKey: Key) -> int:
        """The weight of a synapse from an axon or a neuron."""
        synapses, number = self._synapse(preKey, postKey)
        return synapses[number][1]

    def write_synapse(self, preKey: Key, postKey: Key, weight: int) -> None:
        """Change the weight of a synapse that exists."""
        synapses, number = self._synapse(preKey, postKey)
        where = f"synapse {preKey!r} to {postKey!r}"
        exact = effective_weight(where, weight, saturate=self._weights == "saturate")
        synapses[number] = (postKey, exact, *synapses[number][2:])
        rows, source = self._row(preKey)
        rows.weights[rows.starts[source] + number] = exact
        self._engine = None

    def write_listofSynapses(
        self, preKeys: Sequence[Key], postKeys: Sequence[Key], weights: Sequence[int]
    ) -> None:
        """`write_synapse` for every triple."""
        for pre, post, weight in zip(preKeys, postKeys, weights, strict=True):
            self.write_synapse(pre, post, weight)

    def _row(self, key: Key) -> tuple[Rows, int]:
        if key in self._axon_index:
            return self._axon_rows, self._axon_index[key]
        return self._neuron_rows, self._neuron(key)

    def _synapse(self, pre: Key, post: Key) -> tuple[Synapses, int]:
        if pre in self.axons:
            synapses = self.axons[pre]
        elif pre in self.connections:
            synapses = self.connections[pre][0]
        else:
            raise ValueError(f"no axon or neuron {pre!r}")
        numbers = [number for number, synapse in enumerate(synapses) if synapse[0] == post]
        if len(numbers) != 1:
            many = f"{len(numbers)} synapses" if numbers else "no synapse"
            raise ValueError(f"{many} from {pre!r} to {post!r}; one is needed")
        return synapses, numbers[0]

    @property
    def rows(self) -> tuple[Rows, Rows]:
        """The synapses of the axons and those of the neurons, by index, in the lists' order."""
        return self._axon_rows, self._neuron_rows

    @property
    def options(self) -> dict[str, Any]:
        """Options for all neurons, as they were given."""
        return dict(self._options)

    # What computes it

    def events(self) -> EventEngine:
        """The event-driven engine: cost follows spikes, memory follows synapses."""
        if self._engine is None:
            self._engine = EventEngine(
                self._axon_rows,
                self._neuron_rows,
                neuron=self.neuron(),
                outputs=self._output_indices(),
                delay=self._delays(),
            )
        return self._engine

    def crossbar(self) -> Network:
        """The dense engine, one layer "crossbar": differentiable, trainable, and batched.

        Raises:
            ValueError: Several synapses between the same two add up to more than 16 bits.
        """
        count = len(self.connections)
        parts = {
            "axon_weights": self._axon_rows.dense(count),
            "recurrent_weights": self._neuron_rows.part(late=False).dense(count),
            "delayed_weights": self._neuron_rows.part(late=True).dense(count),
        }
        for name, matrix in parts.items():
            if int(matrix.min()) not in WEIGHTS or int(matrix.max()) not in WEIGHTS:
                raise ValueError(
                    f"{name}: repeated synapses add up to {matrix.min()}..{matrix.max()}, which 16 "
                    "bits don't hold; use events(), which keeps them apart"
                )
        matrices = {name: m.astype(np.float32) for name, m in parts.items() if m.any()}
        matrices.setdefault("axon_weights", np.zeros((len(self.axons), count), np.float32))
        layer = Crossbar(
            **matrices, neuron=self.neuron(), outputs=self._output_indices(), delay=self._delays()
        )
        return Sequential((len(self.axons),), crossbar=layer)

    def neuron(self) -> Neuron:
        """All neurons as one population."""
        return self._population(self.models())

    def _population(self, models: Sequence[NeuronModel]) -> Neuron:
        def values(name: str) -> np.ndarray:
            return np.array([int(getattr(model, name)) for model in models], np.int64)

        # hs_api's simulators have neither refractory periods nor soft resets.
        newer = {"refractory": values("refractory_max"), "reset": values("soft_reset_en")}
        parameters = {
            "theta": values("threshold"),
            "leak": values("leak"),
            "shift": values("shift"),
            "model": values("code"),
        } | {name: array for name, array in newer.items() if array.any()}
        return Neuron(**(parameters | self._options))

    def models(self) -> list[NeuronModel]:
        """The models of the neurons, by index."""
        return [model for _, model in self.connections.values()]

    def _delays(self) -> np.ndarray:
        return np.array([int(model.delay_value) for model in self.models()], np.int64)

    def _output_indices(self) -> np.ndarray:
        return np.array([self._neuron_index[name] for name in self.outputs], np.int64)

    # Checks and files

    def validate(self, limits: CRISpec | None = None) -> tuple[Finding, ...]:
        """What one core of the machine does not hold: axons, models, neurons, fan-in, fan-out.

        Args:
            limits: Of the machine; None: `neurojax.chips.cri.spec.spec()`.

        Returns:
            All findings; none if it fits.
        """
        machine = spec() if limits is None else limits
        found = check_limits(self._axon_rows, self._neuron_rows, self.models(), machine)
        return tuple(found)

    def to_hs_api(self) -> dict[str, Any]:
        """The arguments of hs_api's `CRI_network`: `CRI_network(**network.to_hs_api())`.

        The models have the methods that hs_api calls. Its newer branches have no argument config.
        """
        config = {"neuron_type": "LI&F", "global_neuron_params": {"v_thr": 0}}  # read, but unused
        return {
            "axons": {name: list(synapses) for name, synapses in self.axons.items()},
            "connections": {
                name: (list(synapses), model)
                for name, (synapses, model) in self.connections.items()
            },
            "config": config,
            "outputs": list(self.outputs),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; keys that are no strings keep their types."""
        return json_format.encode(self.axons, self.connections, self.outputs)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], **options: Any) -> CRINetwork:
        """The network of `to_dict`; `options` are those of `CRINetwork`.

        Raises:
            ValueError: The data have another form, or are no network.
        """
        return cls(*json_format.decode(data), **options)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a JSON file, whole or not at all."""
        text = json.dumps(self.to_dict(), separators=(",", ":"))
        with written_whole(path) as part:
            part.write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str], **options: Any) -> CRINetwork:
        """Read what `save` wrote; `options` are those of `CRINetwork`.

        Raises:
            ValueError: The file is damaged; the message says where.
            NetworkError: It can be read, but describes no network.
        """
        try:
            found = json_format.decode(json.loads(Path(path).read_text(encoding="utf-8")))
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from error
        return cls(*found, **options)


def _in_order(
    positional: tuple[Any, ...], given: Mapping[str, Any]
) -> tuple[Iterable[Key], Mapping[str, Any] | None, str | None]:
    """Outputs, config and target: `(outputs)`, or `(config, outputs, target)` as in hs_api."""
    names = ("outputs",) if len(positional) == 1 else ("config", "outputs", "target")
    if len(positional) == 1 and given["outputs"] is not None:
        names = ("config",)
    found = dict(given)
    for name, value in zip(names, positional, strict=False):
        if given[name] is not None:
            raise TypeError(f"CRINetwork: {name} is given twice")
        found[name] = value
    if len(positional) > len(names) or found["outputs"] is None:
        raise TypeError(
            "CRINetwork takes axons, connections and outputs; or, as hs_api's CRI_network, axons, "
            "connections, config and outputs"
        )
    return found["outputs"], found["config"], found["target"]
