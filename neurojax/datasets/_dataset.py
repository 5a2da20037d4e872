"""A labelled data set, its batches and its parts."""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Key, Num


class Dataset(eqx.Module):
    """Samples and labels. `len(dataset)` is the number of samples, `dataset[indices]` selects."""

    inputs: Num[Array | np.ndarray, "samples *shape"]
    labels: Num[Array | np.ndarray, " samples *"]
    class_names: tuple[str, ...] = eqx.field(static=True, default=())
    description: str = eqx.field(static=True, default="")

    def __check_init__(self) -> None:
        if len(self.inputs) != len(self.labels):
            raise ValueError(
                f"Dataset: {len(self.inputs)} inputs, but {len(self.labels)} labels; "
                "there must be one label per input."
            )

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, chosen: Any) -> "Dataset":
        return Dataset(self.inputs[chosen], self.labels[chosen], self.class_names, self.description)


def batches(
    dataset: Dataset,
    batch_size: int,
    *,
    key: Key[Array, ""] | None = None,
    shuffle: bool = True,
    drop_last: bool = False,
) -> Iterator[tuple[Array | np.ndarray, Array | np.ndarray]]:
    """Go once through a data set in batches.

    Args:
        dataset: what to go through.
        batch_size: samples per batch.
        key: random key for shuffling; split it for each epoch. The same key gives the same batches.
        shuffle: whether to change the order of the samples.
        drop_last: whether to leave out a last batch that is smaller (one shape compiles once).

    Returns:
        An iterator of (inputs, labels), in the arrays' own kind (NumPy stays NumPy). Batch comes
        first; the encoders put time before it.

    Raises:
        ValueError: if `shuffle` has no key, the batch size is below one, or nothing would be left.

    Example:
        >>> data = Dataset(np.arange(5.0), np.arange(5))
        >>> [len(labels) for _, labels in batches(data, 2, key=jax.random.key(0))]
        [2, 2, 1]
    """
    size = len(dataset)
    if batch_size < 1:
        raise ValueError(f"batches: batch_size is {batch_size}; it must be at least 1.")
    if drop_last and size < batch_size:
        raise ValueError(
            f"batches: batch_size {batch_size} with drop_last leaves nothing of {size} samples."
        )
    if shuffle:
        if key is None:
            raise ValueError(
                "batches: shuffling needs `key=jax.random.key(...)`; or shuffle=False."
            )
        order = np.asarray(jax.random.permutation(key, size))
    else:
        order = np.arange(size)
    end = size - size % batch_size if drop_last else size
    # A generator expression, not a generator function: mistakes show here, not at the first batch.
    return (
        (dataset.inputs[chosen], dataset.labels[chosen])
        for chosen in (order[first : first + batch_size] for first in range(0, end, batch_size))
    )


def split(dataset: Dataset, fraction: float, *, key: Key[Array, ""]) -> tuple[Dataset, Dataset]:
    """Deal the samples at random into two data sets.

    Args:
        dataset: what to divide.
        fraction: part of the samples that goes into the first, between 0 and 1; rounded to
            whole samples.
        key: random key; the same key gives the same parts.

    Returns:
        The first part and the rest. Each sample is in exactly one of them.

    Raises:
        ValueError: if one part would be empty.

    Example:
        >>> data = Dataset(np.arange(10.0), np.arange(10))
        >>> train, validation = split(data, 0.8, key=jax.random.key(0))
        >>> len(train), len(validation)
        (8, 2)
    """
    count = round(fraction * len(dataset))
    if not 0 < count < len(dataset):
        raise ValueError(
            f"split: fraction {fraction} of {len(dataset)} samples is {count}; "
            "both parts need at least one sample."
        )
    order = np.asarray(jax.random.permutation(key, len(dataset)))
    return dataset[order[:count]], dataset[order[count:]]
