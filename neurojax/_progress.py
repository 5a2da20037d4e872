"""A progress bar on standard error for work that may take a while."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

PATIENCE = 2.0
"""Seconds after which a bar appears, unless it is asked for."""


def console_for(show: bool | None) -> tuple[Console, bool]:
    """Standard error, and whether to show a bar there: None shows it on terminals and notebooks."""
    console = Console(stderr=True)
    return console, console.is_terminal or console.is_jupyter if show is None else show


class PatientBar:
    """A bar over pieces of work, which are counted as they come.

    Args:
        what: What is being done, in a word or two: "checking".
        show: None shows it on terminals and in notebooks, once the work takes long.
    """

    def __init__(self, what: str, show: bool | None) -> None:
        self._appears = time.monotonic() + (PATIENCE if show is None else 0.0)
        console, show = console_for(show)
        self._progress = Progress(
            TextColumn(what),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not show,
        )
        self._task = self._progress.add_task("", total=None)
        self._all = 0

    def __enter__(self) -> PatientBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self._progress.update(self._task, completed=self._all, total=self._all, description="")
        self._progress.stop()

    def step(self, done: int, total: int | None, text: str = "") -> None:
        """Show how much is done, of how much if that is known, and what comes now."""
        if time.monotonic() >= self._appears:
            self._progress.start()
        self._all = done + 1 if total is None else total
        self._progress.update(self._task, completed=done, total=total, description=text)
