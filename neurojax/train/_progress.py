"""The progress bar of a training run, on standard error."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from neurojax._progress import console_for


class TrainingBar:
    """One bar over all steps, with the numbers of the latest step and validation.

    Args:
        show: None shows it on terminals and in notebooks only.
        epochs: Number of epochs of the run.
        steps: Steps of an epoch.
        done: Steps done before, in a run that goes on.
    """

    def __init__(self, show: bool | None, *, epochs: int, steps: int, done: int) -> None:
        console, show = console_for(show)
        self._epochs, self._steps = epochs, steps
        self._validation = ""
        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(bar_width=12),
            TextColumn("{task.fields[values]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            disable=not show,
        )
        self._task = self._progress.add_task(
            "training",
            total=epochs * steps,
            completed=done,
            epochs=epochs,
            epoch=min(done // steps + 1, epochs),
            values="",
        )

    def __enter__(self) -> TrainingBar:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def step(self, epoch: int, step: int, values: Mapping[str, float]) -> None:
        """Show the numbers of a step."""
        self._progress.update(
            self._task,
            completed=epoch * self._steps + step,
            epoch=epoch + 1,
            values=_text(values) + self._validation,
        )

    def epoch(self, epoch: int, row: Mapping[str, float]) -> None:
        """Show the numbers of an epoch."""
        validation = {name: value for name, value in row.items() if name.startswith("val_")}
        training = {n: v for n, v in row.items() if n not in validation and n != "seconds"}
        # Without names, which are those of the training: it has to fit into 80 columns.
        numbers = " ".join(_number(name, value) for name, value in validation.items())
        self._validation = f" │ val {numbers}" if validation else ""
        self.step(epoch, self._steps, training)


def _text(values: Mapping[str, float]) -> str:
    return " ".join(f"{name} {_number(name, value)}" for name, value in values.items())


def _number(name: str, value: float) -> str:
    return f"{value:.1%}" if name.endswith("accuracy") else f"{value:.4f}"
