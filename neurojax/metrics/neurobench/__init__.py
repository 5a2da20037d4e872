"""The metrics of NeuroBench, with its definitions.

References:
    J. Yik et al., "The neurobench framework for benchmarking neuromorphic computing algorithms and
    systems", Nature Communications 16, 1545, 2025; neurobench 2.3.0, `neurobench.metrics`.
"""

from neurojax.metrics.neurobench._static import (
    connection_sparsity as connection_sparsity,
    footprint as footprint,
    parameter_count as parameter_count,
)
from neurojax.metrics.neurobench._workload import (
    SynapticOperations as SynapticOperations,
    Workload as Workload,
    activation_sparsity as activation_sparsity,
    workload as workload,
)
