"""The cost model of the host core: what an offloaded link will count and take, in closed form over its loops."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dialects.events import Counts
from dialects.gconv import PASS, GConv, LoopKind, Reduce, View
from dialects.gconv.function_classes import function_class
from dialects.host import Host
from passes.mapping.lookups import Lookups
from passes.mapping.tiling import real_positions

WORDS = ("host.read", "host.write")
"""The events of words between DRAM and host."""


def predict_offload(spec: GConv, views: Sequence[View], lookups: Lookups | None = None) -> Counts:
    """Counts of a link that the host executes; `views` are where its operands and its result lie, in that order.

    The host reads every word once that lies between the first and last one it needs of a dimension, keeps what it
    reads, and applies `pre` once to a word. Padding costs it no words. Words at computed addresses are read one by one.
    """
    lookups = lookups or Lookups()
    counts = Counts()
    source, *others, result = views
    outputs, trips = result.size, spec.trips
    read = _input_words(spec, source.shape, [stride if lookups.read is None else 1 for stride in source.strides])
    counts.events["host.read"] = read + sum(_distinct_words(view) for view in others)
    counts.events["host.write"] = outputs
    if lookups.read is not None:
        *varies, components = lookups.read
        counts.events["host.read"] += components * _input_words(spec, source.shape, [extent - 1 for extent in varies])
    if lookups.written is not None:
        counts.events["host.read"] += math.prod(lookups.written)
    if lookups.combines:
        counts.events["host.read"] += outputs
    sums = math.prod(spec.worked(dim, kind) for dim in spec.dims for kind in LoopKind if kind is not LoopKind.KS)
    folds = trips - sums if spec.reduce is not Reduce.NONE else 0
    counts.events["host.simple"] = folds + (outputs if lookups.combines else 0)
    main = [] if spec.main == PASS else [(spec.main, trips)]
    steps = [
        (step.function, n) for part, n in ((spec.pre, read), (spec.mid, trips), (spec.post, outputs)) for step in part
    ]
    for function, times in (*main, *steps):
        counts.events[f"host.{function_class(function)}"] += times
    return counts


def predict_segment(reads: Sequence[Sequence[int]], makes: Sequence[Sequence[int]]) -> Counts:
    """Counts of a host segment, from the shapes of the tensors that it reads from DRAM and makes there."""
    counts = Counts()
    counts.events["segment.read"] = sum(math.prod(shape) for shape in reads)
    counts.events["segment.write"] = sum(math.prod(shape) for shape in makes)
    return counts


def _input_words(spec: GConv, shape: Sequence[int], strides: Sequence[int]) -> int:
    """Words of the input from the first to the last that is needed, per dimension; repeated ones count once."""
    words = 1
    for dim, extent, stride in zip(spec.dims, shape, strides, strict=True):
        found = real_positions(dim, extent // dim.g, [(0, dim.opc)], [(0, dim.ks)])
        words *= dim.g * found if stride else min(found, 1)
    return words


def _distinct_words(view: View) -> int:
    return math.prod(n for n, stride in zip(view.shape, view.strides, strict=True) if stride)


def host_seconds(counts: Counts, host: Host, word_bits: int) -> float:
    """Seconds that the host takes for an offloaded link; 0 for counts of a link that stayed on the accelerator."""
    events = counts.events
    words = counts.charged(WORDS)
    if not words:
        return 0.0
    gigabytes = words * word_bits / 8e9
    computing = events["host.simple"] / (host.simple_gops * 1e9) + events["host.special"] / (host.special_gops * 1e9)
    return host.overhead_us * 1e-6 + max(computing, gigabytes / host.memory_gbs, gigabytes / host.link_gbs)


def host_energy(counts: Counts, host: Host) -> float:
    """Energy in pJ of the host core, its memories and the link; the accesses to DRAM are the accelerator's to price."""
    events = counts.events
    words = counts.charged(WORDS) * (host.memory_pj + host.link_pj)
    return words + events["host.simple"] * host.simple_pj + events["host.special"] * host.special_pj
