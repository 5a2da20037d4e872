"""When to stop, and which epoch was the best: functions of the history alone.

Nothing is counted along the way, so a training run that was resumed stops where an uninterrupted
one would have.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

LARGER_IS_BETTER = ("accuracy",)
SMALLER_IS_BETTER = ("loss", "error", "penalty")


@dataclasses.dataclass(frozen=True)
class EarlyStopping:
    """Stops a training run that no longer improves.

    Attributes:
        patience: Epochs without improvement after which to stop.
        metric: Column of the history to watch.
        min_delta: Smallest change that counts as an improvement.
        mode: `"min"` or `"max"`: which way is better. `"auto"` knows losses and accuracies by the
            end of their names.

    Raises:
        ValueError: Patience below one, a negative `min_delta`, an unknown mode.
    """

    patience: int = 10
    metric: str = "val_loss"
    min_delta: float = 0.0
    mode: str = "auto"

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise ValueError(f"EarlyStopping: patience={self.patience} must be at least 1 epoch")
        if not self.min_delta >= 0:
            raise ValueError(f"EarlyStopping: min_delta={self.min_delta} must be >= 0")
        if self.mode not in ("auto", "min", "max"):
            raise ValueError(f"EarlyStopping: mode={self.mode!r} must be 'auto', 'min' or 'max'")
        sign(self.metric, self.mode)

    def done(self, values: Sequence[float]) -> bool:
        """True if the last `patience` values of the watched metric were no improvement."""
        gains = sign(self.metric, self.mode) * np.asarray(values, float)
        best, since = -np.inf, 0
        for gain in gains:
            since += 1
            if gain > best + self.min_delta or (np.isinf(best) and np.isfinite(gain)):
                best, since = gain, 0
        return since >= self.patience


def best_epoch(values: Sequence[float], metric: str, mode: str = "auto") -> int | None:
    """Index of the first best value, or None without a finite one."""
    gains = sign(metric, mode) * np.asarray(values, float)
    if not np.isfinite(gains).any():
        return None
    return int(np.nanargmax(np.where(np.isfinite(gains), gains, np.nan)))


def sign(metric: str, mode: str = "auto") -> float:
    """+1 if a larger value of the metric is better, -1 if a smaller one."""
    if mode == "max" or (mode == "auto" and metric.endswith(LARGER_IS_BETTER)):
        return 1.0
    if mode == "min" or (mode == "auto" and metric.endswith(SMALLER_IS_BETTER)):
        return -1.0
    raise ValueError(
        f"metric {metric!r}: its name doesn't say whether more is better; "
        f"pass EarlyStopping(metric={metric!r}, mode='min' or 'max')"
    )
