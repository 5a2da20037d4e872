"""Reading an answer from what the output neurons did over time.

All of these reduce axis 0, which is time, and keep the rest: `[time, batch, classes]` becomes
`[batch, classes]` (or `[batch]` for `majority`). The first four accept spikes and membranes alike.
"""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Num


def sum_over_time(outputs: Num[ArrayLike, "time *shape"]) -> Num[Array, "*shape"]:
    """Add up all steps: the spike count.

    Example:
        >>> sum_over_time(jnp.array([[0.0, 1.0], [1.0, 1.0]])).tolist()
        [1.0, 2.0]
    """
    return jnp.sum(_with_time("sum_over_time", outputs), axis=0)


def mean_over_time(outputs: Num[ArrayLike, "time *shape"]) -> Float[Array, "*shape"]:
    """Average all steps: the firing rate in spikes per step."""
    return jnp.mean(_with_time("mean_over_time", outputs), axis=0)


def max_over_time(outputs: Num[ArrayLike, "time *shape"]) -> Num[Array, "*shape"]:
    """Take the largest value of all steps, the usual read-out of a membrane.

    The gradient goes to the step of the maximum; steps that tie share it evenly (as in torch.amax).
    """
    return jnp.max(_with_time("max_over_time", outputs), axis=0)


def last(outputs: Num[ArrayLike, "time *shape"]) -> Num[Array, "*shape"]:
    """Take the last step, for read-outs that integrate by themselves."""
    return _with_time("last", outputs)[-1]


def first_spike_time(
    spikes: Num[ArrayLike, "time *shape"] | Bool[ArrayLike, "time *shape"],
    *,
    silent: float | None = None,
) -> Float[Array, "*shape"]:
    r"""Give the step of each neuron's first spike, as a float that has a useful derivative.

    $t = \sum_t \prod_{s \le t} (1 - z_s)$, the number of steps before the first spike. For $z$ in
    {0, 1} the value is exact. Its derivative with respect to one $z_s$ is the exact difference
    between the time with and without a spike at $s$: minus the steps a spike there would gain for
    steps before the first one, minus the delay to the second spike for the first one itself, zero
    afterwards. Together with a surrogate derivative of the spike function this trains latencies.

    Args:
        spikes: 0 or 1; counts above one act like one.
        silent: the time of neurons that never spike; by default the number of steps, one more
            than the latest possible time. The derivative is the same whatever the value.

    Returns:
        Steps from 0, in float32.

    Example:
        >>> first_spike_time(jnp.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]])).tolist()
        [1.0, 3.0]
    """
    # float32, because bfloat16 can't count beyond 256.
    spikes = _with_time("first_spike_time", spikes).astype(jnp.float32)
    # Not minimum(spikes, 1): at the tie it would halve the derivative.
    spikes = jnp.where(spikes > 1, 1, spikes)
    time = jnp.sum(jnp.cumprod(1 - spikes, axis=0), axis=0)
    if silent is None:
        return time
    return time + jnp.where(jnp.any(spikes != 0, axis=0), 0, silent - spikes.shape[0])


def majority(outputs: Num[ArrayLike, "time *batch classes"]) -> Int[Array, "*batch"]:
    """Let every step vote for its largest output, and give the class with the most votes.

    Ties: if several classes share the largest output of a step, each gets a vote, so a step in
        which no
    neuron spikes favours none. Among classes with equally many votes the lowest index wins.

    Args:
        outputs: spikes or membranes, classes last.

    Returns:
        The winning class, int32.

    Example:
        >>> int(majority(jnp.array([[0.0, 1.0], [0.0, 1.0], [3.0, 0.0]])))
        1
    """
    outputs = _with_time("majority", outputs)
    if outputs.ndim < 2 or outputs.shape[-1] == 0:
        raise ValueError(
            f"majority: outputs have shape {outputs.shape}; give [time, ..., classes]."
        )
    votes = jnp.sum(outputs == jnp.max(outputs, axis=-1, keepdims=True), axis=0)
    return jnp.argmax(votes, axis=-1).astype(jnp.int32)


def _with_time(name: str, outputs: ArrayLike) -> Array:
    outputs = jnp.asarray(outputs)
    if outputs.ndim == 0 or outputs.shape[0] == 0:
        raise ValueError(
            f"{name}: outputs have shape {outputs.shape}; the first axis, time, is empty."
        )
    return outputs
