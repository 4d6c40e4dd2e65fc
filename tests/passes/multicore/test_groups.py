"""fuse-rows, place-multicore, bound-buffers: groups of cores in IR, the rows that they keep, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, i64

from compiler.compilation import CompileOptions, compile_model
from compiler.targets import select_target
from dialects.diagnostics import CatenaError
from dialects.fused_attribute import FusedAttr
from dialects.gconv.fused import FusedOp
from dialects.gconv.interpreter import Interpreter, main_function
from dialects.gemm_mapping import Nest
from dialects.groups import AxesAttr, HoldOp, PlacedAxis
from dialects.multicore import WaitOp
from passes.bound_buffers import BoundBuffersPass
from passes.fuse_rows import FuseRowsPass
from passes.place_multicore import PlaceMulticorePass
from passes.prove_order import ProveOrderPass
from passes.synchronize_cores import SynchronizeCoresPass
from tests.backends.rram.quantized import SMALL, placed, residual
from tests.filechecking import check_ir, new_ir_context, parse_module

CHIP = {**SMALL, "cores.count": "144", "crossbar.columns": "64"}
PIPELINE = {**CHIP, "schedule.pipelined": "true"}


def _mapped(*, fuse: bool = False) -> ModuleOp:
    """A network of six links, and without `fuse` in no group."""
    target = select_target("rram", PIPELINE)
    return compile_model(residual(0, 9), target, CompileOptions(stop="mapped", fuse=fuse)).module


def _group(module: ModuleOp) -> FusedOp:
    (group,) = (op for op in main_function(module).body.block.ops if isinstance(op, FusedOp))
    return group


def _edited(module: ModuleOp, old: str, new: str) -> ModuleOp:
    text = str(module)
    assert old in text
    return parse_module(text.replace(old, new))


def test_links_become_a_group_that_says_how_they_lie_on_cores() -> None:
    check_ir(
        str(_mapped()),
        [FuseRowsPass(rows=2)],
        """
// CHECK: gconv.fused
// CHECK-SAME: makes ["t0", "t1", "t3", "t6", "t7", "t8"]
// CHECK-SAME: #schedule.fused<store shared [
// CHECK-SAME: "t8"], for H.opc 2, store shared ["t0", "t1", "t3", "t6", "t7"],
// CHECK-SAME: pipeline {"t0": #multicore.crossbars<tiles 16 by 12 of 36 by 12, span 1 by 1, copies 1,
// CHECK-SAME: "t7": #multicore.vector<C.opc, cores [
""",
    )


def test_a_group_computes_what_its_links_do() -> None:
    alone, fused = Interpreter(_mapped()), Interpreter(_mapped(fuse=True))
    inputs = {"x": np.arange(4 * 81).astype(np.uint8).reshape(1, 4, 9, 9)}
    for name, result in fused.run(inputs).items():
        assert (result == alone.run(inputs)[name]).all()


def test_holds_keep_a_window_and_a_row_ahead() -> None:
    module = placed(residual(0, 12), PIPELINE, fuse=True)
    kept = [op.axes.data[0] for op in module.walk() if isinstance(op, HoldOp)]
    # A window of 3, one position, the residual beside it, pooling by 2, and 3 of the 6 rows that are left.
    assert [(each.extent, each.kept) for each in kept] == [(12, 4), (12, 2), (12, 2), (12, 3), (6, 4)]
    ends = sorted((op.address.value.data, op.words.value.data) for op in module.walk() if isinstance(op, HoldOp))
    assert all(start + words == after for (start, words), (after, _) in pairwise(ends))


def test_waits_for_room_begin_when_it_is_used_up() -> None:
    module = placed(residual(0, 12), PIPELINE, fuse=True)
    afters = {op.after.value.data for op in module.walk() if isinstance(op, WaitOp) and op.after is not None}
    # 4, 2 and 3 rows of 12 vectors; vector units take a row in a turn, of which there are 2 and 4.
    assert afters == {48, 24, 36, 2, 4}


REFUSED: dict[str, tuple[Callable[[ModuleOp], ModuleOp], str, str]] = {
    "no mapping": (lambda module: _without_mapping(module), "CAT-R003", "the group has no mapping"),
    "turns": (lambda module: _edited(module, "pipeline {", "sequential {"), "CAT-U006", "side by side"),
    "loop": (lambda module: _edited(module, "for H.opc 1", "for W.opc 1"), "CAT-U006", "rows of what its head makes"),
    "nest": (
        lambda module: _edited(module, '"t7": #multicore.vector<C.opc, cores [24]>', '"t7": <for C.opc 2>'),
        "CAT-R003",
        'does not lay "t7" over cores',
    ),
    "cores": (lambda module: _edited(module, "cores [24]", "cores [0]"), "CAT-U006", "a core in common"),
    "machine": (
        lambda module: _edited(module, "pipelined = true", "pipelined = false"),
        "CAT-U006",
        "run as pipelines",
    ),
}


def _without_mapping(module: ModuleOp) -> ModuleOp:
    del _group(module).properties["mapping"]
    return module


@pytest.mark.parametrize("case", REFUSED)
def test_groups_that_cores_cannot_run_are_refused(case: str) -> None:
    change, code, message = REFUSED[case]
    with pytest.raises(CatenaError) as raised:
        PlaceMulticorePass().apply(Context(), change(_mapped(fuse=True)))
    assert raised.value.diagnostics[0].code == code
    assert message in raised.value.diagnostics[0].message


def test_only_pipelines_have_groups() -> None:
    module = compile_model(residual(0), select_target("rram", CHIP), CompileOptions(stop="mapped")).module
    with pytest.raises(CatenaError, match="fused groups of cores run as pipelines"):
        FuseRowsPass().apply(new_ir_context(), module)


def test_links_that_share_cores_are_in_different_groups() -> None:
    target = select_target("rram", {**PIPELINE, "cores.count": "4", "cores.crossbars": "64", "crossbar.rows": "64"})
    module = compile_model(residual(0, 9), target, CompileOptions(stop="mapped", fuse=True)).module
    groups = [op.mapping.data for op in module.walk() if isinstance(op, FusedOp) and isinstance(op.mapping, FusedAttr)]
    assert groups
    for group in groups:
        cores = [core for _, branch in group.branches if not isinstance(branch, Nest) for core in branch.cores]
        assert len(set(cores)) == len(cores)
    assert len([name for group in groups for name, _ in group.branches]) < 6


def _with_holds(rows: int | None = None, address: int | None = None) -> ModuleOp:
    """A network whose first hold keeps so many rows, or begins at this word, before tokens are derived."""
    module = _mapped(fuse=True)
    for step in (PlaceMulticorePass(), BoundBuffersPass()):
        step.apply(Context(), module)
    hold = next(op for op in module.walk() if isinstance(op, HoldOp))
    whole, inner = hold.axes.data
    if rows is not None:
        hold.properties["axes"] = AxesAttr((PlacedAxis(whole.extent, whole.pitch, rows), inner))
    if address is not None:
        hold.properties["address"] = IntegerAttr(address, i64)
    SynchronizeCoresPass().apply(Context(), module)
    return module


def _refused(module: ModuleOp) -> CatenaError:
    with pytest.raises(CatenaError) as raised:
        ProveOrderPass().apply(Context(), module)
    return raised.value


def test_too_few_rows_are_a_deadlock() -> None:
    ProveOrderPass().apply(Context(), _with_holds(rows=3))
    found = _refused(_with_holds(rows=2)).diagnostics[0]
    assert found.code == "CAT-R006"
    assert "waits for ever" in found.message


def test_two_tensors_in_the_same_words_are_refused() -> None:
    found = _refused(_with_holds(address=0)).diagnostics[0]
    assert (found.code, found.message) == ("CAT-R005", "another tensor lies where a hold keeps words")


def test_a_wait_for_room_that_is_missing_is_found() -> None:
    module = _with_holds()
    waits = [op for op in module.walk() if isinstance(op, WaitOp) and op.after is not None]
    for wait in waits[:: -(-len(waits) // 6)]:
        broken = module.clone()
        copies = [op for op in broken.walk() if isinstance(op, WaitOp)]
        originals = [op for op in module.walk() if isinstance(op, WaitOp)]
        copies[originals.index(wait)].detach()
        found = _refused(broken).diagnostics[0]
        assert found.code == "CAT-R005"
        assert found.message.count("core ") == 2
        assert " and " in found.node
