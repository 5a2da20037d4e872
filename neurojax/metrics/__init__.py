"""What a network costs: activity, operations, energy, footprint."""

from neurojax.metrics._activity import (
    Activity as Activity,
    LayerActivity as LayerActivity,
)
from neurojax.metrics._counter import count_spikes as count_spikes
