"""Operations and energy as the objects of the Qualia plug-in: made once, called with a network."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

from neurojax._network import Network
from neurojax.chips._mapped import MappedNetwork
from neurojax.metrics._activity import Activity
from neurojax.metrics._counter import count_spikes
from neurojax.metrics.lemaire._api import check_queue, energy, operations
from neurojax.metrics.lemaire._prices import ENERGY_VALUES, Prices, prices
from neurojax.metrics.lemaire._tables import EnergyTable, OperationTable


class EnergyEstimationMetric:
    """Energy of networks by the model of Lemaire et al., with one choice of width and prices.

    The same as the function `energy`, in the form of the Qualia plug-in.

    Args:
        mem_width: Width of weights, membranes, inputs and outputs in bits.
        fifo_size: Spikes in the queue at each input and output of a layer; for spiking networks.
        total_spikerate_exclude_nonbinary: Whether graded values are left out of the spike rate of
            the total.
        op_estimation_type: See `energy`.
        sram_estimation_type: See `energy`.
        compat: None, or `"qualia"` for the plug-in's own numbers.

    Raises:
        ValueError: A width or an estimation that the model doesn't know.

    Example:
        >>> import jax, jax.numpy as jnp, neurojax as nj
        >>> from neurojax import metrics
        >>> net = nj.Sequential((3,), dense=nj.Linear(3, 4, key=jax.random.key(0)),
        ...                     spikes=nj.IAF())
        >>> metric = metrics.EnergyEstimationMetric(mem_width=8, fifo_size=16)
        >>> table = metric(net, jnp.ones((5, 1, 3)))
        >>> round(table.total.ops, 1)  # 60 additions, and resets
        1.9
    """

    energy_values: ClassVar[Mapping[int, Mapping[str, float]]] = ENERGY_VALUES

    def __init__(
        self,
        mem_width: int,
        fifo_size: int = 0,
        total_spikerate_exclude_nonbinary: bool = True,
        op_estimation_type: Mapping[str, str] | str | None = None,
        sram_estimation_type: str | None = None,
        *,
        compat: str | None = None,
    ) -> None:
        self.mem_width = mem_width
        self.fifo_size = fifo_size
        self.total_spikerate_exclude_nonbinary = total_spikerate_exclude_nonbinary
        self.op_estimation_type = op_estimation_type
        self.sram_estimation_type = sram_estimation_type
        self.compat = compat
        self.prices  # noqa: B018  # refuses what it doesn't know

    @property
    def prices(self) -> Prices:
        """Energy of an addition, a multiplication and an access, in pJ."""
        return prices(
            self.mem_width,
            op_estimation_type=self.op_estimation_type,
            sram_estimation_type=self.sram_estimation_type,
            energy_values=self.energy_values,
            single_precision=self.compat == "qualia",
        )

    def csv_path(
        self, bench: str, result: str, *, prefix: str = "", when: datetime.datetime | None = None
    ) -> Path:
        """Where the plug-in writes the table; for `to_csv`, which doesn't make the folders.

        Args:
            bench: Name of the experiment, a folder.
            result: Name of the network.
            prefix: Goes before the time.
            when: The time; default: now.

        Example:
            >>> from neurojax import metrics
            >>> types = {"add": "ICONIP", "mul": "saturation"}
            >>> metric = metrics.EnergyEstimationMetric(8, 64, True, types, "new")
            >>> metric.csv_path("digits", "snn").name  # doctest: +ELLIPSIS
            '20..._snn_mem8bit_0.1_0.2_addICONIPmulsaturation_sramnew.csv'
        """
        held, kinds = self.prices, self.op_estimation_type
        if isinstance(kinds, str):
            kinds = {"add": kinds, "mul": kinds}
        kind = "ICONIP" if kinds is None else f"add{kinds['add']}mul{kinds['mul']}"
        memory = self.sram_estimation_type or "ICONIP"
        suffix = f"_mem{held.width}bit_{held.add}_{held.mul}_{kind}_sram{memory}"
        return _csv_path(self, bench, f"{result}{suffix}", prefix, when)

    def __call__(
        self,
        network: Network | MappedNetwork,
        inputs: Any = None,
        *,
        key: PRNGKeyArray | None = None,
        batch_size: int | None = None,
        formal: Collection[str] = (),
    ) -> EnergyTable:
        """Energy of one inference.

        Args:
            network: The network. If none of its layers spikes or has a state, it is a formal one,
                and inputs don't matter.
            inputs: What a spiking network is run on, as for `count_spikes`; or its `Activity`.
            key, batch_size: As for `count_spikes`.
            formal: As for `energy`.
        """
        if _spikes(network):
            check_queue(self.fifo_size)  # before a long run
        return energy(
            network,
            _activity(network, inputs, key, batch_size),
            mem_width=self.mem_width,
            fifo_size=self.fifo_size,
            op_estimation_type=self.op_estimation_type,
            sram_estimation_type=self.sram_estimation_type,
            compat=self.compat,
            formal=formal,
            exclude_nonbinary=self.total_spikerate_exclude_nonbinary,
            energy_values=self.energy_values,
        )


class OperationCounter:
    """Operations and memory accesses of networks; the function `operations` as an object.

    Args:
        total_spikerate_exclude_nonbinary: Whether graded values are left out of the spike rate of
            the total.
        compat: None, or `"qualia"` for the plug-in's own numbers.

    Example:
        >>> import jax, neurojax as nj
        >>> from neurojax import metrics
        >>> net = nj.Sequential((3,), dense=nj.Linear(3, 4, key=jax.random.key(0)))
        >>> metrics.OperationCounter()(net).total.syn_mac
        12.0
    """

    def __init__(
        self, total_spikerate_exclude_nonbinary: bool = True, *, compat: str | None = None
    ) -> None:
        self.total_spikerate_exclude_nonbinary = total_spikerate_exclude_nonbinary
        self.compat = compat

    def csv_path(
        self, bench: str, result: str, *, prefix: str = "", when: datetime.datetime | None = None
    ) -> Path:
        """Where the plug-in writes the table; arguments as of `EnergyEstimationMetric`."""
        return _csv_path(self, bench, result, prefix, when)

    def __call__(
        self,
        network: Network | MappedNetwork,
        inputs: Any = None,
        *,
        key: PRNGKeyArray | None = None,
        batch_size: int | None = None,
        formal: Collection[str] = (),
    ) -> OperationTable:
        """Operations of one inference; arguments as of `EnergyEstimationMetric`."""
        return operations(
            network,
            _activity(network, inputs, key, batch_size),
            compat=self.compat,
            formal=formal,
            exclude_nonbinary=self.total_spikerate_exclude_nonbinary,
        )


def _csv_path(
    metric: Any, bench: str, name: str, prefix: str, when: datetime.datetime | None
) -> Path:
    time = f"{when or datetime.datetime.now():%Y-%m-%d_%H-%M-%S}"
    return Path("logs") / bench / type(metric).__name__ / f"{prefix}{time}_{name}.csv"


def _activity(
    network: Network | MappedNetwork, inputs: Any, key: PRNGKeyArray | None, batch_size: int | None
) -> Activity | None:
    """What the network does on the inputs; None for a formal network."""
    if isinstance(inputs, Activity):
        return inputs
    if not _spikes(network):
        return None
    if inputs is None:
        raise ValueError(
            "the network spikes or has a state, and what it costs depends on how often something "
            "comes: give inputs, or the activity that count_spikes returned"
        )
    return count_spikes(network, inputs, key=key, batch_size=batch_size)


def _spikes(network: Network | MappedNetwork) -> bool:
    """Whether a layer spikes, or has a state: what it does depends on what it gets in each step."""
    network = network.network if isinstance(network, MappedNetwork) else network
    ready: Network = eqx.nn.inference_mode(network)  # norms have a state only in training
    return any(ready[name].spiking for name in ready.names) or bool(
        jax.tree.leaves(jax.eval_shape(lambda: ready.init(1)).layers)
    )
