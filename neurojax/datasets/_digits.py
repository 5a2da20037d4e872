"""Scikit-learn's handwritten digits: small, real, and in no need of a download."""

import numpy as np

from ._dataset import Dataset


def digits(*, test_fraction: float = 0.2, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Load 1,797 handwritten digits of 8 x 8 pixels, split into training and test.

    Each class is divided separately, so both parts have the same mixture. The division depends
    on `seed` alone (NumPy's RandomState, whose stream never changes).

    Args:
        test_fraction: part of each class that goes into the test set.
        seed: seed of the division.

    Returns:
        Training and test set: inputs `[samples, 1, 8, 8]` float32 in [0, 1] (16 grey levels above
        zero), labels int32.

    Raises:
        ImportError: if scikit-learn is missing; it is in the extra `data`.
        ValueError: if a part would be empty.

    References:
        Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
        Repository, 1998 (its test set).
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            'digits() needs scikit-learn, which comes with: pip install "neurojax[data]"'
        ) from error
    if not 0 < test_fraction < 1:
        raise ValueError(f"digits: test_fraction is {test_fraction}; it must lie between 0 and 1.")
    data = load_digits()
    labels = data.target.astype(np.int32)
    random = np.random.RandomState(seed)
    in_test = np.zeros(len(labels), bool)
    for label in range(10):
        members = np.flatnonzero(labels == label)
        in_test[random.permutation(members)[: round(test_fraction * len(members))]] = True
    if in_test.all() or not in_test.any():
        raise ValueError(f"digits: test_fraction {test_fraction} leaves one part empty.")
    inputs = (data.images[:, None] / 16).astype(np.float32)
    whole = Dataset(
        inputs,
        labels,
        tuple(str(digit) for digit in range(10)),
        "Handwritten digits, 8 x 8 (UCI / scikit-learn)",
    )
    return whole[~in_test], whole[in_test]
