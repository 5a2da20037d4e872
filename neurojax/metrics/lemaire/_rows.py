"""The rows of a cost table, with the names and the order of columns of the Qualia plug-in."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np

Flag = bool | str
"""True, False, or `"Hybrid"`: a spiking layer whose input is graded."""


class EnergyEstimationMetricLoggerFields(NamedTuple):
    """A row of the energy table as it is written to a CSV file. Energies in pJ."""

    name: str
    mem_pot: float
    mem_weights: float
    mem_bias: float
    mem_io: float
    mem_total: float
    ops: float
    addr: float
    opsaddr: float
    total: float
    input_spikerate: float | None
    output_spikerate: float | None
    input_count: float | None
    output_count: float | None
    input_is_binary: bool
    output_is_binary: bool
    is_sj: Flag


class OperationCounterLoggerFields(NamedTuple):
    """A row of the table of operations as it is written to a CSV file."""

    name: str
    syn_acc: float
    syn_mac: float
    addr_acc: float
    addr_mac: float
    total_acc: float
    total_mac: float
    mem_write: float
    mem_read: float
    input_spikerate: float | None
    output_spikerate: float | None
    input_count: float | None
    output_count: float | None
    input_is_binary: bool
    output_is_binary: bool
    is_sj: Flag


@dataclasses.dataclass(frozen=True)
class EnergyMetrics:
    """Energy of one layer for one inference, in pJ, and how active it was.

    Attributes:
        name: Name of the layer, or `"Total"`.
        mem_pot: Reading and writing membranes and other accumulators.
        mem_weights: Reading weights.
        mem_bias: Reading biases.
        mem_io: Reading inputs and writing outputs.
        ops: Additions and multiplications.
        addr: Computing addresses.
        input_spikerate: Share of input values that are not zero, a neuron and time step; None for
            a formal network.
        output_spikerate: The same of the outputs.
        input_count: Input values that are not zero, an inference.
        output_count: The same of the outputs.
        input_is_binary: Whether all inputs are exactly 0 or 1.
        output_is_binary: Whether all outputs are.
        is_sj: Whether the layer was counted as spiking: True, False, or `"Hybrid"` for one with
            graded inputs. (The Qualia plug-in asks if it is a module of SpikingJelly.)
    """

    name: str
    mem_pot: float
    mem_weights: float
    mem_bias: float
    mem_io: float
    ops: float
    addr: float
    input_spikerate: float | None
    output_spikerate: float | None
    input_count: float | None
    output_count: float | None
    input_is_binary: bool
    output_is_binary: bool
    is_sj: Flag

    @property
    def mem_total(self) -> float:
        """All of memory, in pJ."""
        return self.mem_pot + self.mem_weights + self.mem_bias + self.mem_io

    @property
    def opsaddr(self) -> float:
        """Operations and addresses, in pJ."""
        return self.ops + self.addr

    @property
    def total(self) -> float:
        """Everything, in pJ."""
        return self.mem_total + self.opsaddr

    def asnamedtuple(self) -> EnergyEstimationMetricLoggerFields:
        """The row with its sums, in the order of the CSV file."""
        return _fields(EnergyEstimationMetricLoggerFields, self)


@dataclasses.dataclass(frozen=True)
class OperationMetrics:
    """Operations of one layer for one inference, and how active it was.

    Attributes:
        name: Name of the layer, or `"Total"`.
        syn_acc: Additions for synapses, biases and resets.
        syn_mac: Multiplications with addition, for weights on graded values and for leaks.
        addr_acc: Additions for addresses.
        addr_mac: Multiplications with addition for addresses.
        mem_write: Write accesses to memory.
        mem_read: Read accesses.
        input_spikerate, output_spikerate, input_count, output_count: As in `EnergyMetrics`.
        input_is_binary, output_is_binary, is_sj: As in `EnergyMetrics`.
    """

    name: str
    syn_acc: float
    syn_mac: float
    addr_acc: float
    addr_mac: float
    mem_write: float
    mem_read: float
    input_spikerate: float | None
    output_spikerate: float | None
    input_count: float | None
    output_count: float | None
    input_is_binary: bool
    output_is_binary: bool
    is_sj: Flag

    @property
    def total_acc(self) -> float:
        """All additions."""
        return self.syn_acc + self.addr_acc

    @property
    def total_mac(self) -> float:
        """All multiplications with addition."""
        return self.syn_mac + self.addr_mac

    def asnamedtuple(self) -> OperationCounterLoggerFields:
        """The row with its sums, in the order of the CSV file."""
        return _fields(OperationCounterLoggerFields, self)

    def asdict(self) -> dict[str, Any]:
        """The row with its sums."""
        return self.asnamedtuple()._asdict()


def _fields(kind: Any, row: Any) -> Any:
    values = (getattr(row, name) for name in kind._fields)
    return kind(*(v.item() if isinstance(v, np.generic) else v for v in values))
