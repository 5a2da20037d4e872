"""What a network costs: activity, operations, energy, footprint."""

from neurojax.metrics import neurobench as neurobench
from neurojax.metrics._activity import (
    Activity as Activity,
    LayerActivity as LayerActivity,
)
from neurojax.metrics._connectivity import (
    Connections as Connections,
    register_connectivity as register_connectivity,
)
from neurojax.metrics._counter import count_spikes as count_spikes
from neurojax.metrics._events import (
    SynapticEvents as SynapticEvents,
    synaptic_events as synaptic_events,
)
from neurojax.metrics._size import Size as Size, size as size
from neurojax.metrics.comparison import (
    Comparison as Comparison,
    CostRow as CostRow,
    compare as compare,
)
from neurojax.metrics.devices import (
    ChipEnergy as ChipEnergy,
    Constant as Constant,
    Device as Device,
    Estimate as Estimate,
    Work as Work,
    chip_energy as chip_energy,
    device as device,
    register_device as register_device,
    work as work,
)
from neurojax.metrics.latency import Latency as Latency, latency as latency
from neurojax.metrics.lemaire import (
    EnergyEstimationMetric as EnergyEstimationMetric,
    EnergyEstimationMetricLoggerFields as EnergyEstimationMetricLoggerFields,
    EnergyMetrics as EnergyMetrics,
    EnergyTable as EnergyTable,
    OperationCounter as OperationCounter,
    OperationCounterLoggerFields as OperationCounterLoggerFields,
    OperationMetrics as OperationMetrics,
    OperationTable as OperationTable,
    energy as energy,
    operations as operations,
)
from neurojax.metrics.lemaire._counters import SpikeCounter as SpikeCounter
