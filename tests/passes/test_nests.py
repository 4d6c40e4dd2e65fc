"""Mapping and placing on a machine of levels: IR in, IR out, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.machine_kinds import parse_machine
from dialects.target import MachineOp
from passes.map_nest import MapNestPass
from passes.place_nest import PlaceNestPass
from passes.verification import verify_module
from tests.filechecking import match_checks, new_ir_context, parse_module, print_module

LEVELS: dict[str, dict[str, Any]] = {
    "dram": {"kind": "memory"},
    "buffer": {"kind": "memory", "words": 40, "operands": ["I", "O"]},
    "x": {"kind": "axis", "size": 3, "multicast": ["I"], "loops": ["op"]},
    "rf": {"kind": "memory", "words": 8, "operands": ["K"]},
}
NEST = """for filters m*p, store buffer [O] |
for filters p, for channels q, store buffer [I], par filters 1 on x, store rf [K]"""

CHAIN = """
func.func @main(%x : tensor<4x6xf32> {onnx.name = "x"}, %w : tensor<4x5xf32> {onnx.name = "w"})
    -> (tensor<5x6xf32> {onnx.name = "y"}) {
  %y = gconv.link %x : tensor<4x6xf32> by %w : tensor<4x5xf32> <K op 5 ks 4, N opc 6> "mul" add MAPPED
    -> tensor<5x6xf32> loc("product")
  func.return %y : tensor<5x6xf32>
}
"""


def module_of(mapping: str = "", **more: Any) -> ModuleOp:
    text = CHAIN.replace("MAPPED", f"{{mapping = #schedule.{mapping}}}" if mapping else "")
    text = text.replace("tensor<4x5xf32>", "tensor<20x1xf32>")
    module = Parser(new_ir_context(), text).parse_module()
    description = {"name": "m", "clock_mhz": 1, "word_bits": 16, "levels": LEVELS, **more}
    module.body.block.insert_op_before(MachineOp.of(parse_machine(description)), next(iter(module.ops)))
    return module


def problems(module: ModuleOp) -> list[Diagnostic]:
    with pytest.raises(CatenaError) as caught:
        MapNestPass().apply(Context(), module)
    return list(caught.value.diagnostics)


def test_a_link_gets_the_best_mapping_of_the_dataflow_and_a_nest() -> None:
    module = module_of(dataflow={"nest": NEST})
    MapNestPass().apply(Context(), module)
    match_checks(print_module(module), "// CHECK: mapping = #schedule.mapping<{{.*}}par K.op 1 on x, store rf [K]>")
    PlaceNestPass().apply(Context(), module)
    verify_module(module)
    text = print_module(module)
    assert print_module(parse_module(text)) == text


def test_transfers_stand_where_the_mapping_stores() -> None:
    mapping = "mapping<for K.op 3, store buffer [O], for K.ks 2, store buffer [I], par K.op 1 on x, store rf [K]>"
    module = module_of(mapping)
    MapNestPass().apply(Context(), module)
    PlaceNestPass().apply(Context(), module)
    checks = """
// CHECK: levels.place "I" in "buffer" at 0 words 12
// CHECK-NEXT: levels.place "O" in "buffer" at 12 words 18
// CHECK-NEXT: levels.place "K" in "rf" at 0 words 2
// CHECK-NEXT: spatial.for <K.op> tile 3
// CHECK-NEXT: levels.open "buffer" once 0
// CHECK-NEXT: spatial.for <K.ks> tile 2
// CHECK-NEXT: levels.fill "I" from "dram" to "buffer" once 0 shared []
// CHECK-NEXT: levels.par <K.op> tile 1 on "x"
// CHECK-NEXT: levels.fill "K" from "dram" to "rf" once 0 shared []
// CHECK-NEXT: levels.compute input "buffer" shared [0 : i64] kernel "rf" shared [] output "buffer"
// CHECK: levels.drain "buffer" to "dram" once 0
"""
    match_checks(print_module(module, locations=False), checks)


def test_what_stays_is_brought_once_and_unfinished_sums_have_a_place() -> None:
    module = module_of("mapping<for K.ks 2, for K.op 3, store buffer [I], store buffer [O], store rf [K]>")
    PlaceNestPass().apply(Context(), module)
    checks = """
// CHECK: levels.place "O" in "dram" at 74 words 30
// CHECK: levels.fill "I" from "dram" to "buffer" once 1 shared []
"""
    match_checks(print_module(module, locations=False), checks)


def test_operands_cannot_go_past_a_memory_unless_it_says_so() -> None:
    mapping = "mapping<for K.op 1, for N.opc 1, store buffer [O]>"
    found = problems(module_of(mapping))
    assert [each.message for each in found] == [
        "I goes past buffer, where it has to stay",
        "K goes past rf, where it has to stay",
    ]
    assert [each.expected for each in found] == ["store buffer [I]", "store rf [K]"]
    assert found[0].hint == "add the statement, or let the target say levels.buffer.bypass = ['I']"
    passed = {
        name: {**level, "bypass": level["operands"]} if "words" in level else level for name, level in LEVELS.items()
    }
    MapNestPass().apply(Context(), module_of(mapping, levels=passed))


def test_operands_go_past_what_the_dataflow_stores_them_not_in() -> None:
    nest = "for filters m, store buffer [O] | for channels q, par filters 1 on x, store rf [K]"
    mapping = "mapping<for K.op 1, for N.opc 1, store rf [K]>"
    found = problems(module_of(mapping, dataflow={"nest": nest}))
    assert [each.message for each in found] == ["O goes past buffer, where it has to stay"]


@pytest.mark.parametrize(
    ("mapping", "message", "found"),
    [
        ("mapping<store bufer [O]>", "'store bufer [O]': no such memory", "bufer"),
        ("mapping<store rf [I]>", "'store rf [I]': what may not stay in this memory", "I"),
        ("mapping<par K.op 1 on y>", "'par K.op 1 on y': no such axis", "y"),
        ("mapping<par K.ks 2 on x>", "'par K.ks 2 on x': the axis does not take this kind of loop", "ks"),
        ("mapping<for M.op 2>", "'for M.op 2' names a loop the link does not have", "M.op"),
        ("mapping<par K.op 1 on x>", "positions along x", "5"),
        ("mapping<store buffer [I, O]>", "words in buffer (I 24, O 30)", "54"),
        ("mapping<par K.op 2 on x, store buffer [O]>",
         "'store buffer [O]' stands inside an axis that buffer is not part of", "store buffer [O]"),
        ("mapping<store rf [K], par K.op 2 on x>", "'par K.op 2 on x' lays words of rf over several of them",
         "par K.op 2 on x"),
        ("row_stationary<m 1, n 1, e 1, p 1, q 1, r 1, t 1>", "this notation is of another kind of machine",
         "#schedule.row_stationary<m 1, n 1, e 1, p 1, q 1, r 1, t 1>"),
    ],
)  # fmt: skip
def test_mappings_that_the_machine_cannot_run(mapping: str, message: str, found: str) -> None:
    problem = problems(module_of(mapping))[0]
    assert (problem.message, problem.found, problem.node) == (message, found, "product")


def test_machines_of_another_kind_are_refused() -> None:
    from backends.eyeriss import BACKEND
    from compiler.targets import select_target

    module = module_of("mapping<>")
    module.body.block.erase_op(next(iter(module.ops)))
    machine = MachineOp.of(select_target(BACKEND.name).machine)
    module.body.block.insert_op_before(machine, next(iter(module.ops)))
    (problem,) = problems(module)
    assert (problem.code, problem.expected) == ("CAT-R003", "a hierarchy of levels")
