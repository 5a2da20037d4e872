"""Operations and energy by the analytical model of Lemaire et al., as the Qualia plug-in has it."""

from neurojax.metrics.lemaire import _layers as _layers  # says what our own layers cost
from neurojax.metrics.lemaire._api import energy as energy, operations as operations
from neurojax.metrics.lemaire._classes import (
    EnergyEstimationMetric as EnergyEstimationMetric,
    OperationCounter as OperationCounter,
)
from neurojax.metrics.lemaire._counters import SpikeCounter as SpikeCounter
from neurojax.metrics.lemaire._prices import (
    ENERGY_VALUES as ENERGY_VALUES,
    Prices as Prices,
    prices as prices,
)
from neurojax.metrics.lemaire._rows import (
    EnergyEstimationMetricLoggerFields as EnergyEstimationMetricLoggerFields,
    EnergyMetrics as EnergyMetrics,
    OperationCounterLoggerFields as OperationCounterLoggerFields,
    OperationMetrics as OperationMetrics,
)
from neurojax.metrics.lemaire._tables import (
    CostTable as CostTable,
    EnergyTable as EnergyTable,
    OperationTable as OperationTable,
)
from neurojax.metrics.lemaire._work import (
    Flow as Flow,
    Memory as Memory,
    Traffic as Traffic,
    Work as Work,
    register_cost as register_cost,
)
