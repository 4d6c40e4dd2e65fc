"""What a mapped layer will count on the row-stationary machine: the cost model, bursts, and what zeros save."""

from __future__ import annotations

from dialects.array_machine import Machine
from dialects.events import Counts
from dialects.gconv import GConv
from dialects.schedule import Mapping
from passes.mapping.bursts import burst_events
from passes.mapping.cost import predict
from passes.mapping.data_events import data_events
from passes.work import Work


def predict_on_array(work: Work, mapping: Mapping, machine: Machine, whole: GConv | None = None) -> Counts:
    """All counts of a layer under a legal mapping; of one that is part of a `whole` one, see `transfers`."""
    counts = predict(work.spec, work.input_shape, mapping, machine, work.extra_shapes, work.lookups)
    counts.events |= burst_events(work.spec, work.views, mapping, machine.dram.burst_words, work.lookups, whole)
    counts.events |= data_events(work.spec, work.views, mapping, machine, work.compressed, work.zeros)
    return counts
