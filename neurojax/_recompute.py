"""Arithmetic that back-propagation does a second time, because that is cheaper than memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax


def recomputed(function: Callable[..., Any], *arguments: Any) -> Any:
    """`function(*arguments)`, of which back-propagation keeps the arguments only.

    The end of a time step goes from one array, the membrane, to several that its gradient needs
    (spikes, derivatives, masks). Storing them for all steps takes longer than computing them again.

    Args:
        function: Of arrays; those that it closes over are kept, too. Random draws need their key
            among the arguments.
        arguments: Arrays, or pytrees of them. A number would become an array.

    References:
        A. Griewank and A. Walther, "Algorithm 799: revolve", ACM TOMS 26, 2000; `jax.checkpoint`.
    """
    # In a function of its own: JAX hashes it, and a layer's methods are no more hashable than its
    # arrays. Inside a scan there is nothing that XLA could merge the second computation with.
    return jax.checkpoint(lambda *a: function(*a), prevent_cse=False)(*arguments)
