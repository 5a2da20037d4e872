"""What a model is run on, and which axis of its input is time."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import torch

from neurojax._network import Network
from neurojax._progress import PatientBar
from neurojax.converters._registry import converter_of, kind_of, known_kinds, nearest_kind
from neurojax.converters._tracing import (  # for their handlers
    arithmetic as arithmetic,
    axes as axes,
    functions as functions,
)
from neurojax.converters._tracing.build import Outputs, build, read_outputs
from neurojax.converters._tracing.modules import NO_CONVERTER
from neurojax.converters._tracing.operations import SUPPORTED, fold
from neurojax.converters._tracing.recording import (
    CONTAINERS,
    Recording,
    copy_of,
    is_leaf,
    record,
    where_raised,
)
from neurojax.converters._tracing.timeloop import Fold
from neurojax.converters._tracing.values import BY_BATCH, BY_TIME, STEP, Lead

STEPS = 5
SAMPLES = 3
INPUT_SHAPE = "input_shape is the shape of one sample at one step, without batch and time"
LEADS: dict[Any, Lead] = {0: BY_TIME, 1: BY_BATCH, "squeezed": ("bt",)}
Problems = list[tuple[str, str]]


class Failed(Exception):
    """The model itself did not run. Users get a ValueError."""


class Trial:
    """One way of reading a model: its nodes and outputs, and what stands against it."""

    def __init__(
        self, recording: Recording, lead: Lead, steps: int | None, batch: int, by_step: bool
    ) -> None:
        self.fold = Fold(recording, fold, lead=lead, steps=steps, batch=batch)
        self.by_step = by_step
        self.outputs: Outputs = read_outputs(self.fold, by_step)
        if self.fold.sequences and steps == 1:
            self.fold.problems.append(
                ("", "the example holds a single step; give several, so that feedback can be seen")
            )
        # What is wrong with the outputs often only follows from what is wrong before them.
        self.problems: Problems = self.fold.problems or self.outputs.problems

    @property
    def loops(self) -> bool:
        """Whether the model goes through the steps by itself."""
        return any(len(node.times) > 1 for node in self.fold.nodes)


class Importer:
    """A model and the ways of running it."""

    def __init__(self, module: Any) -> None:
        self.module = module
        scripted = [
            name for name, m in module.named_modules() if isinstance(m, torch.jit.ScriptModule)
        ]
        if scripted:
            what = ", ".join(f"'{name}' is" for name in _outermost(scripted) if name) or "it is"
            raise ValueError(
                f"{type(module).__name__} can't be imported: {what} TorchScript, which is not "
                "supported, because it can't be looked into; import the module that was scripted "
                "or traced"
            )
        self.parameters = [
            p
            for p in inspect.signature(module.forward).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        tensors = [*module.parameters(), *module.buffers()]
        lava = [
            f"'{name}'" for name, m in module.named_modules() if kind_of(type(m))[:5] == "lava."
        ]
        if lava:
            raise ValueError(
                f"{type(module).__name__} can't be imported: the blocks of lava-dl have time last, "
                f"[batch, ..., time] ({', '.join(lava[:3])}{', ...' * (len(lava) > 3)}); give them "
                "to neurojax.converters.slayer.from_blocks(blocks, input_shape=...)"
            )
        self.device = tensors[0].device if tensors else torch.device("cpu")

    def network(
        self,
        example: Any,
        input_shape: Any,
        time_axis: int | str | None,
        check: bool,
        progress: bool | None,
    ) -> Network:
        """The network; see `from_torch`."""
        with PatientBar("checking", progress) as bar:
            try:
                trial = self._trial(example, input_shape, time_axis)
            except Failed as error:
                hint = self._hint(example, input_shape, time_axis)
                if example is None and not hint:
                    hint = f"; {INPUT_SHAPE}"
                raise ValueError(f"{error}{hint}") from error.__cause__
            if trial.problems:
                texts = [text for _, text in trial.problems]
                other = any(NO_CONVERTER in text or "torch's " in text for text in texts)
                hint = "" if other else self._hint(example, input_shape, time_axis)
                raise ValueError(self._findings(trial.problems) + hint)
            network, problems = build(trial.fold, trial.outputs, check, bar)
            if network is None:
                raise ValueError(self._findings(problems))
        if trial.outputs.instead:
            warnings.warn(
                f"{type(self.module).__name__} returns nothing but states, and runs of the network "
                "return what the neurons give; to get what torch returns, give probes: "
                + " and ".join(dict.fromkeys(trial.outputs.instead)),
                stacklevel=3,
            )
        return network

    def _hint(self, example: Any, input_shape: Any, time_axis: int | str | None) -> str:
        """What to give instead, if a batch too much or too little is all that is wrong."""
        if example is None:
            given = self._named(input_shape, is_leaf=_is_shape)
            shapes = {name: (x,) if isinstance(x, int) else tuple(x) for name, x in given.items()}
            for axes in (1, 2):
                less = {name: shape[axes:] for name, shape in shapes.items()}
                if all(less.values()) and self._works(None, less, time_axis):
                    found = _as_given(less)
                    return f"\nwith input_shape={found} it can be imported: {INPUT_SHAPE}"
            return ""
        tensors = self._named(example, is_leaf=_is_tensor)
        for axis in (0, 1):
            more = {name: torch.as_tensor(x) for name, x in tensors.items()}
            if min(x.ndim for x in more.values()) < axis:
                continue
            more = {name: x.unsqueeze(axis) for name, x in more.items()}
            if self._works(more, None, time_axis):
                found = _as_given({name: tuple(x.shape) for name, x in more.items()})
                return (
                    f"\nan example_input of shape {found} can be imported: the batch belongs to "
                    "it, even if it is a batch of one"
                )
        return ""

    def _works(self, example: Any, shapes: Any, time_axis: int | str | None) -> bool:
        given = example or shapes
        if not self.given_by_name:
            given = tuple(given.values())
        try:
            trial = self._trial(given if example else None, None if example else given, time_axis)
            return not trial.problems
        except (Failed, ValueError, TypeError, IndexError):
            return False

    def _trial(self, example: Any, input_shape: Any, time_axis: int | str | None) -> Trial:
        if example is None:
            named = self._named(input_shape, is_leaf=_is_shape).items()
            shapes = {name: (x,) if isinstance(x, int) else tuple(x) for name, x in named}
            return self._without_example(shapes, time_axis)
        inputs = {
            name: torch.as_tensor(x) for name, x in self._named(example, is_leaf=_is_tensor).items()
        }
        if time_axis is None:
            return self._by_step(inputs)
        if time_axis != "auto":
            return self._at_once(inputs, LEADS[time_axis])
        return self._best([lambda: self._sequence(inputs), lambda: self._by_step(inputs)])

    def _without_example(self, shapes: dict[str, Any], time_axis: int | str | None) -> Trial:
        steps, batch = self._counts(None)
        leading: dict[Any, tuple[int, ...]] = {
            0: (steps, batch), 1: (batch, steps), "squeezed": (batch * steps,), None: (batch,),
        }  # fmt: skip

        def example(axis: Any) -> dict[str, torch.Tensor]:
            return {name: self._spikes(leading[axis] + shape) for name, shape in shapes.items()}

        if time_axis is None:
            return self._by_step(example(None))
        if time_axis != "auto":
            return self._at_once(example(time_axis), LEADS[time_axis])
        ways: list[Callable[[], Trial | None]] = [
            lambda axis=axis: self._sequence(example(axis), [LEADS[axis]])  # type: ignore[misc]
            for axis in LEADS
        ]
        # A model that loops by itself over an input without time, and one that takes one step.
        ways += [lambda: self._sequence(example(None), []), lambda: self._by_step(example(None))]
        return self._best(ways)

    def _best(self, ways: list[Callable[[], Trial | None]]) -> Trial:
        """The first way without problems; otherwise the one that came nearest."""
        failed: list[Exception] = []
        trials: list[Trial] = []
        for way in ways:
            try:
                trial = way()
            except Failed as error:
                failed.append(error)
                continue
            if trial is None:
                continue
            if not trial.problems:
                return trial
            trials.append(trial)
        if not trials:
            raise failed[-1]
        # Evidence that the inputs hold time counts more than the number of findings.
        return min(
            trials,
            key=lambda t: (t.by_step or not t.fold.sequences, not t.loops, len(t.problems)),
        )

    def _sequence(
        self, inputs: dict[str, torch.Tensor], leads: list[Lead] | None = None
    ) -> Trial | None:
        """The model called once, if it then goes through time by itself; else None."""
        recording = self._run(inputs)
        seen = []
        for lead in list(LEADS.values()) if leads is None else leads:
            if min(x.ndim for x in inputs.values()) < len(lead):
                continue
            if lead == ("bt",) and not self._squeezes():
                continue
            trial = Trial(recording, lead, *self._sizes(inputs, lead), False)
            if trial.fold.sequences and not trial.problems:
                return trial
            if trial.fold.sequences:
                seen.append(trial)
        if not leads:
            batch = next(iter(inputs.values())).shape[0]
            trial = Trial(recording, STEP, None, batch, False)
            if (trial.fold.sequences or trial.loops) and not trial.problems:
                return trial
            if trial.loops and not seen:
                seen.append(trial)
        return min(seen, key=lambda trial: len(trial.problems), default=None)

    def _at_once(self, inputs: dict[str, torch.Tensor], lead: Lead) -> Trial:
        for name, x in inputs.items():
            if x.ndim < len(lead):
                raise ValueError(
                    f"input '{name}' has shape {tuple(x.shape)}, too few axes for time and batch"
                )
        return Trial(self._run(inputs), lead, *self._sizes(inputs, lead), False)

    def _by_step(self, inputs: dict[str, torch.Tensor]) -> Trial:
        """The model called once a step, with inputs that differ from step to step."""
        batch = next(iter(inputs.values())).shape[0]

        def over_time(x: torch.Tensor) -> torch.Tensor:
            shifts = [(t, t)[: x.ndim] for t in range(STEPS)]
            axes = (0, -1)[: x.ndim]
            return torch.stack([x.roll(shift, axes) for shift in shifts])

        sequences = {name: over_time(x) for name, x in inputs.items()}
        return Trial(self._run(sequences, by_step=True), BY_TIME, STEPS, batch, True)

    def _run(self, inputs: dict[str, torch.Tensor], by_step: bool = False) -> Recording:
        model = copy_of(self.module)
        by_name = self.given_by_name
        shapes = ", ".join(str(tuple(x.shape)) for x in inputs.values())

        def call(model: Any, recording: Recording) -> Any:
            recording.by_step = by_step

            def forward(values: list[Any], extra: tuple[Any, ...] = ()) -> Any:
                if by_name:
                    return model(**dict(zip(inputs, values, strict=True)))
                return model(*values, *extra)

            tensors = list(inputs.values())
            if not by_step:
                return forward(tensors)
            outputs: list[Any] = []
            for t in range(STEPS):
                outputs.append(forward([x[t] for x in tensors], self._states(outputs, len(inputs))))
            return outputs

        try:
            with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
                warnings.simplefilter("ignore")
                return record(model, call, inputs)
        except Exception as error:
            # Whatever a forward raises; the cause stays attached.
            place = where_raised(error)
            raise Failed(
                f"{type(self.module).__name__} can't be run on inputs of shape {shapes}: "
                f"{type(error).__name__}: {error}{f' ({place})' if place else ''}; give an "
                "example_input as you would call the model, batch included, and time_axis"
            ) from error

    def _states(self, outputs: list[Any], inputs: int) -> tuple[Any, ...]:
        """States that `forward(x, state=None)` returns and takes again."""
        rest = self.parameters[inputs:]
        if not outputs or not rest or self.given_by_name:
            return ()
        last = outputs[-1]
        if isinstance(last, tuple) and len(last) == 1 + len(rest):
            return last[1:]
        return ()

    given_by_name = False

    def _named(self, given: Any, is_leaf: Callable[[Any], bool]) -> dict[str, Any]:
        """Inputs by name: `"input"` for a single one, else the names that `forward` gives them."""
        if is_leaf(given):
            return {"input": given}
        if isinstance(given, dict):
            known = [p.name for p in self.parameters]
            wrong = [name for name in given if name not in known]
            if wrong:
                raise ValueError(
                    f"forward of {type(self.module).__name__} has no input "
                    f"{', '.join(map(repr, wrong))}; its inputs are {', '.join(known)}"
                )
            self.given_by_name = True
            return dict(given)
        if not isinstance(given, tuple | list) or not all(is_leaf(x) for x in given):
            raise TypeError(
                f"got {type(given).__name__}; give a tensor (input_shape: a tuple of integers), "
                "or a tuple or dict of those for a model with several inputs"
            )
        if len(given) == 1:
            return {"input": given[0]}
        names = [p.name for p in self.parameters[: len(given)]]
        names += [f"input{i + 1}" for i in range(len(names), len(given))]
        return dict(zip(names, given, strict=True))

    def _spikes(self, shape: tuple[int, ...]) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return (torch.rand(shape, generator=generator) < 0.5).float().to(self.device)

    def _squeezes(self) -> bool:
        return any(kind_of(type(m)).endswith("Squeeze") for m in self.module.modules())

    def _counts(self, product: int | None) -> tuple[int, int]:
        """Steps and samples; where they share an axis, modules say how many there are."""
        batch = steps = 0
        for module in self.module.modules():
            if not kind_of(type(module)).startswith("sinabs."):
                continue  # counters of operations leave such numbers everywhere
            b, t = getattr(module, "batch_size", None), getattr(module, "num_timesteps", None)
            batch = b if isinstance(b, int) and b > 0 else batch
            steps = t if isinstance(t, int) and t > 0 else steps
        if product is None:
            return steps or STEPS, batch or SAMPLES
        if not batch and not steps:
            raise ValueError(
                "time_axis='squeezed': no module says how many samples or steps share the first "
                "axis; make the sinabs layers with batch_size= or num_timesteps="
            )
        batch = batch or product // steps
        if not batch or product % batch:
            raise ValueError(f"the first axis, {product}, is not a multiple of {batch or steps}")
        return product // batch, batch

    def _sizes(self, inputs: dict[str, torch.Tensor], lead: Lead) -> tuple[int, int]:
        shape = next(iter(inputs.values())).shape
        if lead == ("bt",):
            return self._counts(shape[0])
        steps, batch = shape[lead.index("t")], shape[lead.index("b")]
        return steps, batch

    def _findings(self, problems: Problems) -> str:
        """One message for everything that was found."""
        modules = dict(self.module.named_modules())
        by_scope: dict[str, list[str]] = {}
        for scope, problem in dict.fromkeys(problems):
            by_scope.setdefault(scope, []).append(problem)
        lines = []
        for scope, found in by_scope.items():
            module = modules.get(scope, self.module)
            where = f"'{scope}' ({kind_of(type(module))})" if scope else "forward"
            hint = ""
            plain = scope and not isinstance(module, CONTAINERS)
            if (
                plain
                and converter_of(module) is None
                and not any(text in found[0] for text in ("@register", "end the model"))
            ):
                near = nearest_kind(module)
                hint = f"; or write a converter for {type(module).__name__} and @register it"
                hint += f" (the nearest kind that has one is {near})" if near else ""
            lines.append(f"- {where}: {'; '.join(found)}{hint}")
        count = f"{len(lines)} finding{'s' * (len(lines) > 1)}"
        if any("torch's " in line for line in lines):
            lines.append(SUPPORTED)
        leaves = [m for m in modules.values() if is_leaf(m) and converter_of(m) is None]
        unknown = {kind_of(type(module)).partition(".")[0] for module in leaves}
        for package in sorted(unknown) if any(NO_CONVERTER in line for line in lines) else ():
            if known := known_kinds(package):
                lines.append(f"modules of {package} that are known: {', '.join(known)}")
        return f"{type(self.module).__name__} can't be imported; {count}:\n" + "\n".join(lines)


def _is_shape(x: Any) -> bool:
    return isinstance(x, int) or (
        isinstance(x, tuple | list) and all(isinstance(n, int) and n > 0 for n in x)
    )


def _outermost(names: list[str]) -> list[str]:
    """The names of modules that are in no other of them."""
    return [n for n in names if not any(n != o and (not o or n.startswith(f"{o}.")) for o in names)]


def _as_given(shapes: dict[str, Any]) -> Any:
    return shapes["input"] if list(shapes) == ["input"] else shapes


def _is_tensor(x: Any) -> bool:
    return isinstance(x, torch.Tensor) or hasattr(x, "__array__")
