"""The progress bar of an import, on standard error, for models that take a while to check."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

PATIENCE = 2.0
"""Seconds after which a bar appears, unless it is asked for."""


class ImportBar:
    """One bar over all layers that are checked.

    Args:
        show: None shows it on terminals and in notebooks, once the import takes long.
    """

    def __init__(self, show: bool | None) -> None:
        console = Console(stderr=True)
        patient = show is None
        if show is None:
            show = console.is_terminal or console.is_jupyter
        self._appears = time.monotonic() + (PATIENCE if patient else 0.0)
        self._progress = Progress(
            TextColumn("checking"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not show,
        )
        self._task, self._total = self._progress.add_task("", total=None), 0

    def __enter__(self) -> ImportBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self._progress.update(self._task, completed=self._total, description="")
        self._progress.stop()

    def step(self, done: int, total: int, name: str) -> None:
        """Show which layer is checked now."""
        if time.monotonic() >= self._appears:
            self._progress.start()
        self._total = total
        self._progress.update(self._task, completed=done, total=total, description=name)
