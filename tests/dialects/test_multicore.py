"""The multicore dialect: mappings and streams print, parse back, and are checked."""

from __future__ import annotations

import pytest
from xdsl.utils.exceptions import VerifyException

from compiler.targets import select_target
from dialects.diagnostics import CatenaError
from dialects.gconv.spec import LoopKind
from dialects.multicore import ProgramOp, SignalOp, StoreOp, WaitOp
from dialects.multicore_mapping import CrossbarMapping, CrossbarsAttr, Scheme, VectorAttr, VectorMapping
from dialects.schedule import Loop
from tests.backends.rram.quantized import SMALL, placed, residual
from tests.filechecking import parse_module, print_module

MAPPINGS = (
    CrossbarsAttr(CrossbarMapping((16, 4), (36, 12), (2, 1), 2, (0, 1, 5), Scheme.CYCLIC, 3, 1)),
    CrossbarsAttr(CrossbarMapping((16, 4), (36, 12))),
    VectorAttr(VectorMapping(Loop("C", LoopKind.OPC), (3, 4))),
    VectorAttr(VectorMapping(None, (0,))),
    VectorAttr(VectorMapping(None, (0,), is_wide=True)),
)


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_mappings_round_trip(mapping: CrossbarsAttr | VectorAttr) -> None:
    module = parse_module(f"builtin.module attributes {{mapping = {mapping}}} {{}}")
    assert module.attributes["mapping"] == mapping


def test_streams_round_trip() -> None:
    text = print_module(placed(residual(0, 4), SMALL))
    assert print_module(parse_module(text)) == text


def test_mappings_without_tiles_are_refused() -> None:
    with pytest.raises(VerifyException, match="at least 1"):
        CrossbarsAttr(CrossbarMapping((0, 4), (36, 12)))


@pytest.mark.parametrize(
    ("op", "message"),
    [
        (ProgramOp.of(crossbars=(0, 0), shift=0), "at least one"),
        (StoreOp.of(tensor="K"), "unknown tensor 'K'"),
        (WaitOp.of(register=0, base=1, step=0, period=0, start=0, most=1), "a period from 1"),
        (WaitOp.of(register=0, base=1, step=0, period=1, start=0, most=1, producer=-1), "a core from 0"),
        (SignalOp.of(core=0, register=0, base=-1, every=1), "a base from 0"),
    ],
)
def test_ops_are_checked(op: ProgramOp, message: str) -> None:
    with pytest.raises(VerifyException, match=message):
        op.verify()


@pytest.mark.parametrize(
    ("key", "value", "encoding", "expected"),
    [("crossbar.columns", 2, "offset", "at least 4"), ("cores.crossbars", 1, "differential-2xb", "at least 2")],
)
def test_weights_too_wide_are_blamed_on_one_key(key: str, value: int, encoding: str, expected: str) -> None:
    with pytest.raises(CatenaError) as error:
        select_target("rram", {key: str(value), "crossbar.weights.encoding": encoding})
    (problem,) = error.value.diagnostics
    assert problem.message.startswith(f"{key}: a weight takes ")
    assert (problem.expected, problem.found, problem.where) == (expected, str(value), f"set by --set {key}")
    assert problem.hint
