"""Operations and energy of a network, as functions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from neurojax._graph import nearest
from neurojax._network import Network
from neurojax.chips._mapped import MappedNetwork
from neurojax.metrics._activity import Activity
from neurojax.metrics.lemaire import _model, _qualia
from neurojax.metrics.lemaire._counters import counters_of, merge_neurons, rates_of
from neurojax.metrics.lemaire._nodes import nodes_of
from neurojax.metrics.lemaire._prices import ENERGY_VALUES, prices
from neurojax.metrics.lemaire._tables import EnergyTable, OperationTable

COMPAT = (None, "qualia")


def operations(
    network: Network | MappedNetwork,
    activity: Activity | None = None,
    *,
    compat: str | None = None,
    formal: Collection[str] = (),
    graded: str = "every_step",
    unknown: str = "error",
    exclude_nonbinary: bool = True,
) -> OperationTable:
    """Operations and memory accesses for one inference, layer by layer.

    Args:
        network: The network. That of a chip costs what the chip takes, see `chip_energy`; of its
            own layers nothing is known here.
        activity: What `count_spikes` found, of all layers and inputs. None counts one pass through
            the same layers as a formal network, every value different from zero and neurons as
            activation functions.
        compat: None counts right. `"qualia"` counts number for number as the Qualia plug-in for
            spiking networks does, in its rows; docs/costs.md lists what is different.
        formal: Layers of a spiking network that are computed once an inference, like those of a
            formal network: a stem that gets the same image in every step.
        graded: Inputs that are not all 0 or 1 are multiplied with weights; `"every_step"` in every
            time step, `"once"` in one, their currents kept and added in each, where the inputs
            of a layer stay the same (their number and sum were the same in all steps).
        unknown: What to do about layers whose cost is not known: `"error"` refuses, `"nan"` makes
            a row of NaN, and with it the total.
        exclude_nonbinary: Whether only layers that put out zeros and ones count in the spike rates
            of the total.

    Returns:
        The table: rows, total, text and CSV.

    Raises:
        ValueError: Layers of unknown cost, all at once; an activity of other layers.

    References:
        See `energy`.

    Example:
        >>> import jax, jax.numpy as jnp, neurojax as nj
        >>> from neurojax import metrics
        >>> net = nj.Sequential((3,), dense=nj.Linear(3, 4, key=jax.random.key(0)),
        ...                     spikes=nj.LIF(tau=2.0))
        >>> activity = metrics.count_spikes(net, jnp.ones((5, 1, 3)))
        >>> table = metrics.operations(net, activity)
        >>> table["dense"].syn_acc, table["spikes"].syn_mac, table.total.addr_acc
        (60.0, 20.0, 60.0)
    """
    network = network.network if isinstance(network, MappedNetwork) else network
    formal = (formal,) if isinstance(formal, str) else formal
    _check(network, activity, compat, formal)
    if compat is None:
        return _model.operation_table(
            network,
            activity,
            formal=formal,
            graded=graded,
            unknown=unknown,
            exclude_nonbinary=exclude_nonbinary,
        )
    return _qualia.operation_table(*_as_qualia(network, activity, formal, exclude_nonbinary))


def energy(
    network: Network | MappedNetwork,
    activity: Activity | None = None,
    *,
    mem_width: int,
    fifo_size: int = 0,
    op_estimation_type: Mapping[str, str] | str | None = None,
    sram_estimation_type: str | None = None,
    compat: str | None = None,
    formal: Collection[str] = (),
    graded: str = "every_step",
    unknown: str = "error",
    exclude_nonbinary: bool = True,
    energy_values: Mapping[int, Mapping[str, float]] = ENERGY_VALUES,
) -> EnergyTable:
    """Energy of one inference by the analytical model of Lemaire et al., layer by layer.

    The model knows a digital circuit in 45 nm without any particular chip: what each operation and
    each access of a memory costs. For chips see `chip_energy`.

    Args:
        network, activity, compat, formal, graded, unknown, exclude_nonbinary: As for `operations`.
        mem_width: Width of weights, membranes, inputs and outputs in bits.
        fifo_size: Spikes that the queue at each input and output of a layer holds. A spiking
            network needs one.
        op_estimation_type: How an operation's energy depends on the width: `"ICONIP"`,
            `"saturation"`, `"linear"`, `"quadratic"`, or `{"add": ..., "mul": ...}`. None: what
            was published for 8 bits at 8 bits, that for 32 bits at all others.
        sram_estimation_type: `"old"` (default): an access costs more in a larger memory.
            `"new"`: 10 pJ for 64 bits, shared by the values in them.
        energy_values: pJ of an `"add"` and a `"mul"` at 8 and at 32 bits; default: Horowitz 2014.

    Returns:
        The table: rows in pJ, total, text (in nJ) and CSV.

    Raises:
        ValueError: A width or an estimation that the model doesn't know, a spiking network without
            a queue, and what `operations` refuses.

    References:
        E. Lemaire, L. Cordone, A. Castagnetti, P.-E. Novac, J. Courtois and B. Miramond, "An
        analytical estimation of spiking neural networks energy efficiency", ICONIP 2022,
        https://arxiv.org/abs/2210.13107.

    Example:
        >>> import jax, neurojax as nj
        >>> from neurojax import metrics
        >>> net = nj.Sequential((3,), dense=nj.Linear(3, 4, key=jax.random.key(0)))
        >>> table = metrics.energy(net, mem_width=8)
        >>> round(table["dense"].ops, 2), round(table.total.mem_weights, 1)
        (2.76, 158.4)
    """
    network = network.network if isinstance(network, MappedNetwork) else network
    formal = (formal,) if isinstance(formal, str) else formal
    _check(network, activity, compat, formal)
    if activity is not None:
        check_queue(fifo_size)
    each = prices(
        mem_width,
        op_estimation_type=op_estimation_type,
        sram_estimation_type=sram_estimation_type,
        energy_values=energy_values,
        single_precision=compat == "qualia",
    )
    if compat is None:
        return _model.energy_table(
            network,
            activity,
            each,
            fifo_size,
            formal=formal,
            graded=graded,
            unknown=unknown,
            exclude_nonbinary=exclude_nonbinary,
        )
    nodes, rates = _as_qualia(network, activity, formal, exclude_nonbinary)
    return _qualia.energy_table(nodes, rates, each, fifo_size)


def check_queue(fifo_size: Any) -> None:
    """Raise ValueError unless a queue holds something."""
    if fifo_size is None or not fifo_size >= 1:
        raise ValueError(
            f"fifo_size is {fifo_size}; a spiking network reads and writes spikes through queues: "
            "give the number of spikes that one holds, 1 or more"
        )


def _as_qualia(
    network: Network,
    activity: Activity | None,
    formal: Collection[str],
    exclude_nonbinary: bool,
) -> Any:
    """Nodes and rates of the plug-in."""
    nodes = nodes_of(network)
    if activity is None:
        return nodes, None
    counters = counters_of(network, activity, formal=formal)
    nodes, counters = merge_neurons(nodes, counters)
    return nodes, rates_of(counters, activity.steps, exclude_nonbinary=exclude_nonbinary)


def _check(
    network: Network, activity: Activity | None, compat: Any, formal: Collection[str]
) -> None:
    """Raise ValueError for names that don't fit."""
    if compat not in COMPAT:
        raise ValueError(f"compat is {compat!r}; it must be one of {COMPAT}")
    problems = [
        f"formal: no layer '{name}'; {nearest(name, network.names)}"
        for name in formal
        if name not in network
    ]
    if activity is not None:
        missing = [n for n in (*network.inputs, *network.names) if n not in activity]
        if missing:
            problems.append(
                f"the activity has no counts of {', '.join(missing)}; call count_spikes with this "
                "network and without `layers`"
            )
    if problems:
        raise ValueError("\n".join(problems))
    if activity is not None:
        activity.check_shapes(network)
