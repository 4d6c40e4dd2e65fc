"""slice-weights to schedule-cores: from links to cores, one decision after the other, and what is refused."""

from __future__ import annotations

from itertools import accumulate
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from compiler.compilation import CompileOptions, compile_model
from compiler.targets import select_target
from dialects.diagnostics import CatenaError
from dialects.multicore_machine import MulticoreMachine
from dialects.multicore_mapping import CrossbarMapping, CrossbarsAttr, Scheme, VectorAttr, VectorMapping
from dialects.schedule import Loop
from passes.duplicate_weights import DuplicateWeightsPass
from passes.multicore.matrix import Grid, Matrix, tile_of
from passes.multicore.rounds import is_cyclic, predecessors, rounds
from passes.partition_crossbars import PartitionCrossbarsPass
from passes.place_cores import PlaceCoresPass
from passes.place_multicore import PlaceMulticorePass
from passes.placing import links_of
from passes.prove_order import ProveOrderPass
from passes.schedule_cores import ScheduleCoresPass
from passes.slice_weights import SliceWeightsPass
from passes.synchronize_cores import SynchronizeCoresPass
from tests.backends.rram.quantized import SMALL, residual
from tests.filechecking import CONTROL_FLOW, parse_module

PASSES: tuple[ModulePass, ...] = (
    *(SliceWeightsPass(), PartitionCrossbarsPass(), DuplicateWeightsPass(), PlaceCoresPass(), ScheduleCoresPass()),
    *(PlaceMulticorePass(), SynchronizeCoresPass(), ProveOrderPass()),
)
CHIP = {**SMALL, "cores.count": "144"}


def _encoded(**settings: str) -> ModuleOp:
    target = select_target("rram", {**CHIP, **settings})
    return compile_model(residual(0), target, CompileOptions(stop="encoded")).module


def _mappings(module: ModuleOp) -> list[CrossbarMapping | VectorMapping]:
    return [cast("CrossbarsAttr | VectorAttr", link.mapping).data for link in links_of(module)]


def test_one_decision_after_the_other() -> None:
    module = _encoded()
    context = Context()
    SliceWeightsPass().apply(context, module)
    first, depthwise, *_, pooling, last = _mappings(module)
    assert first == CrossbarMapping((16, 4), (36, 12))
    # One group of 9 rows fits the 16 of a crossbar.
    assert depthwise == CrossbarMapping((9, 1), (9, 12))
    assert pooling == VectorMapping(None)
    assert last == CrossbarMapping((16, 4), (108, 9))
    PartitionCrossbarsPass().apply(context, module)
    assert isinstance(pooling := _mappings(module)[-2], VectorMapping)
    assert isinstance(pooling.loop, Loop | None)
    PlaceCoresPass().apply(context, module)
    first, depthwise, *_, last = _mappings(module)
    assert isinstance(first, CrossbarMapping)
    assert isinstance(last, CrossbarMapping)
    assert len(first.cores) == 3 * 3
    assert len(last.cores) == 7 * 3
    assert not set(first.cores) & set(last.cores)
    ScheduleCoresPass("cyclic", 2).apply(context, module)
    assert [each.scheme for each in _mappings(module) if isinstance(each, CrossbarMapping)] == [Scheme.CYCLIC] * 4


def test_copies_take_what_is_left_of_the_chip() -> None:
    module = _encoded(**{"schedule.duplicate": "true"})
    for each in PASSES[:4]:
        each.apply(Context(), module)
    mappings = [each for each in _mappings(module) if isinstance(each, CrossbarMapping)]
    copies = [each.copies for each in mappings]
    # The first layers have 36 vectors, the last one has 4.
    assert min(copies[:3]) > copies[3] == 1
    assert [each.abreast for each in mappings] == [1] * 4
    cores = [core for each in mappings for core in each.cores]
    assert len(cores) == len(set(cores)) <= 144


def test_cores_hold_several_copies_before_others_do() -> None:
    """As many as divide a row of 6 and fit; in a pipeline no core has parts of two layers."""
    module = _encoded(**{"schedule.duplicate": "true", "schedule.pipelined": "true", "cores.crossbars": "4"})
    for each in PASSES[:4]:
        each.apply(Context(), module)
    mappings = [each for each in _mappings(module) if isinstance(each, CrossbarMapping)]
    assert {each.abreast for each in mappings if each.span == (1, 1)} <= {2, 3}
    assert all(each.abreast * each.span[0] * each.span[1] <= 4 for each in mappings)
    assert any(each.abreast > 1 and each.copies > 1 for each in mappings)
    cores = [core for each in mappings for core in each.cores]
    vector_cores = [core for each in _mappings(module) if isinstance(each, VectorMapping) for core in each.cores]
    assert len(cores) == len(set(cores))
    assert vector_cores
    assert not set(cores) & set(vector_cores)
    printed = CrossbarMapping((16, 4), (36, 12), (2, 1), 3, (), Scheme.LINEAR, 1, 0, 2)
    assert "copies 3 by 2" in str(CrossbarsAttr(printed))


def test_pipelines_are_packed_where_cores_are_few() -> None:
    """Twelve crossbars to a core: parts of the last layer, 7 x 3 tiles, are put beside one another."""
    few, many = (
        _encoded(**{"schedule.pipelined": "true", "cores.crossbars": "12", "cores.count": count})
        for count in ("5", "144")
    )
    taken: list[int] = []
    for module in (few, many):
        for each in PASSES[:2]:
            each.apply(Context(), module)
        machine = cast(MulticoreMachine, select_target("rram", {**CHIP, "cores.crossbars": "12"}).machine)
        grids = [
            Grid.of(Matrix.of(link.spec), link.mapping.data, machine)
            for link in links_of(module)
            if isinstance(link.mapping, CrossbarsAttr)
        ]
        taken.append(sum(each.tall * each.wide for each in grids))
        assert all(each.mapping.span[0] * each.mapping.span[1] <= 12 for each in grids)
    assert taken[0] < taken[1]


def test_chips_that_are_too_small_are_programmed_in_phases() -> None:
    module = _encoded(**{"cores.count": "20"})
    for each in PASSES[:4]:
        each.apply(Context(), module)
    phases = [each.phase for each in _mappings(module) if isinstance(each, CrossbarMapping)]
    assert phases[0] == 0
    assert phases == sorted(phases)
    assert phases[-1] > 0


@pytest.mark.parametrize("scheme", Scheme)
@pytest.mark.parametrize(("rows", "vectors"), [(1, 5), (33, 2), (64, 9), (80, 49)])
def test_rings_touch_every_vector_in_one_order(scheme: Scheme, rows: int, vectors: int) -> None:
    machine = cast(MulticoreMachine, select_target("rram", CHIP).machine)
    matrix = Matrix(1, rows, 4, vectors, vectors)
    parts = Grid.of(matrix, CrossbarMapping((16, 4), (rows, 4)), machine).parts()
    touched = np.zeros((len(parts), vectors), int)
    for part in parts:
        made = list(rounds(part, scheme))
        assert sum(each.turns for each in made) == vectors
        starts = list(accumulate([each.turns for each in made], initial=0))
        for at, each in zip(starts, made, strict=False):
            of_round = (each.start + np.arange(each.turns)) % vectors
            touched[part.number, of_round] = at + np.arange(each.turns)
            # Only the first of a ring begins sums, only the last one ends them.
            assert each.is_first == (_before(part, scheme, at) == 0)
    ends = [each.is_last for part in parts for each in rounds(part, scheme)]
    assert sum(ends) == (len(parts) if is_cyclic(parts[0], scheme) else 1)


def _before(part: object, scheme: Scheme, turn: int) -> int:
    found = predecessors(part, scheme)  # pyright: ignore[reportArgumentType]
    return 0 if found is None else int(found[1][turn])


def test_unknown_schemes_are_refused() -> None:
    with pytest.raises(CatenaError, match="there is no scheme 'diagonal'"):
        ScheduleCoresPass("diagonal").apply(Context(), _encoded())


def test_links_without_cores_are_refused_all_at_once() -> None:
    module = _encoded()
    with pytest.raises(CatenaError) as raised:
        PlaceMulticorePass().apply(Context(), module)
    assert len(raised.value.diagnostics) == len(links_of(module))
    assert {each.code for each in raised.value.diagnostics} == {"CAT-R003"}


@settings(deadline=None)
@given(groups=st.integers(1, 40), rows=st.integers(1, 300), columns=st.integers(1, 40))
def test_partitions_take_the_crossbars_of_the_closed_form(groups: int, rows: int, columns: int) -> None:
    """That published counts are compared with."""
    machine = cast(MulticoreMachine, select_target("rram", CHIP).machine)
    matrix = Matrix(groups, rows, columns, 1, 1)
    mapping = CrossbarMapping(tile_of(matrix, machine), (rows, groups * columns))
    each = machine.crossbar.weights.crossbars
    expected = each * matrix.crossbars(machine.crossbar.rows, machine.weight_columns)
    assert Grid.of(matrix, mapping, machine).crossbars == expected


@pytest.mark.parametrize("each", PASSES)
def test_other_machines_are_refused(each: ModulePass) -> None:
    with pytest.raises(CatenaError) as raised:
        each.apply(Context(), parse_module(CONTROL_FLOW))
    assert raised.value.diagnostics[0].code == "CAT-R003"
