"""Bursts in closed form: against counting the addresses of every transfer one by one, and by hand."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.events import BURSTS, Counts
from dialects.gconv import PASS, Dim, GConv, LoopKind, View
from dialects.schedule import Loop, Mapping, Operand, Storage, Temporal
from passes.mapping.bursts import Axis, Transfers, burst_events, transfers
from passes.mapping.cost import price
from tests.examples import examples
from tests.passes.mapping.machines import machine_like_eyeriss

COPY = GConv((Dim("C", opc=4), Dim("H", opc=6), Dim("W", opc=5)))
BOTH = Storage("glb", (Operand.INPUT, Operand.OUTPUT))


def runs(axes: list[tuple[int, int]]) -> list[int]:
    """Lengths of the runs of consecutive addresses, in the order of the strides."""
    order = sorted(axes, key=lambda axis: (axis[0] == 0, *axis), reverse=True)
    addresses = [sum(i * stride for i, (stride, _) in zip(index, order, strict=True))
                 for index in itertools.product(*(range(size) for _, size in order))]  # fmt: skip
    lengths: list[int] = []
    for before, address in itertools.pairwise([-2, *addresses]):
        if address == before + 1:
            lengths[-1] += 1
        else:
            lengths.append(1)
    return lengths


@settings(max_examples=examples(300), derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 13), st.integers(1, 4)), min_size=1, max_size=4), st.integers(1, 5))
def test_words_of_bursts_are_those_of_the_runs_of_addresses(axes: list[tuple[int, int]], burst: int) -> None:
    moved = Transfers(tuple(Axis(dim, 1, {size: 1}) for dim, (_, size) in enumerate(axes)), 1)
    expected = sum(-(-length // burst) * burst for length in runs(axes))
    assert moved.burst_words([stride for stride, _ in axes], burst) == expected


@pytest.mark.parametrize(
    ("loop", "order", "words"),
    [
        (Loop("H", LoopKind.OPC), "CHW", 3 * 4 * 12),  # 2 rows of 5 in each of 4 channels: 10 words, 12 with bursts
        (Loop("H", LoopKind.OPC), "HWC", 3 * 40),  # the whole tile side by side
        (Loop("C", LoopKind.OPC), "CHW", 2 * 60),  # two whole channels side by side
        (Loop("C", LoopKind.OPC), "HWC", 2 * 30 * 4),  # two words at every position
    ],
)
def test_which_words_lie_side_by_side_depends_on_the_tiles_and_the_order(loop: Loop, order: str, words: int) -> None:
    mapping = Mapping((Temporal(loop, 2), BOTH))
    sizes = {"C": 4, "H": 6, "W": 5}
    layout = View.dense([sizes[name] for name in order])
    strides = [layout.strides[order.index(name)] for name in "CHW"]
    for operand in (Operand.INPUT, Operand.OUTPUT):
        assert transfers(COPY, (4, 6, 5), mapping, operand).burst_words(strides, 4) == words


def test_padding_is_not_fetched_and_repetition_is_written() -> None:
    spec = GConv((Dim("C", op=3), Dim("H", opc=4, ks=3, pad=1)), PASS)
    mapping = Mapping((Temporal(Loop("H", LoopKind.OPC), 2), BOTH))
    # Rows 0 to 2 and 1 to 3 of four; three copies of two words each time.
    views = [View.dense((1, 4)), View.dense((3, 1)), View.dense((3, 4))]
    events = burst_events(spec, views, mapping, 2)
    assert events == {
        "dram.input.burst": 4 + 4,
        "dram.kernel.burst": 0,
        "dram.extra.burst": 2 * 4,  # a bias is read with each tile, words that repeat once
        "dram.output.burst": 2 * 3 * 2,
    }
    assert burst_events(spec, views, mapping, 0) == {}


def test_a_machine_charges_words_or_bursts() -> None:
    counts = Counts()
    for number, (words, bursts) in enumerate(BURSTS.items(), 1):
        counts.events[words], counts.events[bursts] = 12 * number, 24 * number
    plain = machine_like_eyeriss()
    charged = machine_like_eyeriss(dram={"charge_bursts": True})
    assert price(counts, plain).energy["dram"] == 120 * 400
    assert price(counts, charged).energy["dram"] == 240 * 400
    assert price(counts, plain).cycles == (24 + 12 + 36 + 48) / 1.2
    assert price(counts, charged).cycles == 2 * price(counts, plain).cycles
