"""Legality of mappings: every rule broken alone is named with its numbers, and nothing else is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dialects.array_machine import Machine
from dialects.diagnostics import Diagnostic
from dialects.gconv import PASS, Dim, GConv, LoopKind, Reduce
from dialects.schedule import Axis, Loop, Mapping, Node, Operand, Spatial, Storage, Temporal
from passes.mapping.fit import buffer_tiles, violations
from tests.examples import examples
from tests.passes.mapping.drawing import links, mappings
from tests.passes.mapping.machines import ROOMY, machine_like_eyeriss

CHANNELS, FILTERS = Loop("C", LoopKind.KS), Loop("C", LoopKind.OP)
ROWS, TAPS = Loop("H", LoopKind.OPC), Loop("H", LoopKind.KS)
POSITIONS, COLUMNS = Loop("W", LoopKind.OPC), Loop("W", LoopKind.KS)
STORE_O, STORE_I = Storage("glb", (Operand.OUTPUT,)), Storage("glb", (Operand.INPUT,))
STORE_K = Storage("spad", (Operand.KERNEL,))

SPEC = GConv(
    (Dim("C", op=6, ks=4), Dim("H", opc=5, ks=3, stride=2), Dim("W", opc=7, ks=2)), "mul", Reduce.ADD
)  # fmt: skip
NODES: tuple[Node, ...] = (
    Temporal(ROWS, 3),
    STORE_O,
    Temporal(CHANNELS, 2),
    STORE_I,
    Temporal(FILTERS, 4),
    STORE_K,
    Spatial(FILTERS, 2, Axis.ROW),
    Spatial(TAPS, 1, Axis.ROW),
    Spatial(ROWS, 1, Axis.COL),
)
MACHINE = machine_like_eyeriss(
    name="exact",
    array={"rows": 6, "cols": 3},
    pe={"input_words": 4, "kernel_words": 8, "output_words": 2},
    glb={"banks": 7, "bank_words": 32},
    limits={"channels": 3, "filters": 4, "kernel_rows": 3, "kernel_cols": 2},
)
"""As large as the mapping needs it: an input tile of 2 x 7 x 8 words, an output tile of 6 x 3 x 7, four banks each."""


def changed(**tables: dict[str, int]) -> Machine:
    """The machine with some sizes changed."""
    description = MACHINE.model_dump()
    for table, values in tables.items():
        description[table].update(values)
    return Machine.model_validate(description)


def found(nodes: tuple[Node, ...] = NODES, machine: Machine | None = None, spec: GConv = SPEC) -> list[Diagnostic]:
    return violations(spec, Mapping(nodes), machine or changed(glb={"banks": 8}), "placed", "conv")


def summary(diagnostics: list[Diagnostic]) -> list[tuple[str, str, str]]:
    assert all((d.code, d.stage, d.node) == ("CAT-F002", "placed", "conv") for d in diagnostics)
    return [(d.message, d.expected, d.found) for d in diagnostics]


def test_a_mapping_that_fills_the_machine_is_legal() -> None:
    assert found() == []


@dataclass(frozen=True)
class Rule:
    """A machine that is too small in one way, and what must be said."""

    tables: dict[str, dict[str, int]]
    message: str
    limit: int
    value: int


SIZES = {
    "rows": Rule({"array": {"rows": 5}}, "rows of the array", 5, 6),
    "columns": Rule({"array": {"cols": 2}}, "columns of the array", 2, 3),
    "input words": Rule({"pe": {"input_words": 3}}, "input words in a processing element", 3, 4),
    "kernel words": Rule({"pe": {"kernel_words": 7}}, "kernel words in a processing element", 7, 8),
    "partial sums": Rule({"pe": {"output_words": 1}}, "partial sums in a processing element", 1, 2),
    "banks": Rule(
        {"glb": {"banks": 7}}, "buffer banks of 32 words (input tile 112 words, output tile 126 words)", 7, 8
    ),
    "channels": Rule({"limits": {"channels": 2}}, "reduced channels in a pass", 2, 3),
    "filters": Rule({"limits": {"filters": 3}}, "filters in a pass", 3, 4),
    "kernel rows": Rule({"limits": {"kernel_rows": 2}}, "kernel rows in a pass", 2, 3),
    "kernel copies": Rule({"limits": {"kernel_copies": 2}}, "elements that hold the same kernel word", 2, 3),
    "chains": Rule({"limits": {"chains_per_column": 1}}, "chains of sums in a column", 1, 2),
    "kernel columns": Rule({"limits": {"kernel_cols": 1}}, "kernel columns in a pass", 1, 2),
}


@pytest.mark.parametrize("rule", SIZES.values(), ids=SIZES.keys())
def test_every_size_is_checked_alone(rule: Rule) -> None:
    machine = changed(**{"glb": {"banks": 8}, **rule.tables})
    assert summary(found(machine=machine)) == [(rule.message, f"at most {rule.limit}", str(rule.value))]


def test_a_bank_holds_words_of_one_tensor_only() -> None:
    # 112 + 126 words would fit into 7.5 banks if they shared one.
    assert found(machine=changed(glb={"banks": 8})) == []
    whole = changed(glb={"banks": 238, "bank_words": 1})
    assert found(machine=whole) == []
    assert summary(found(machine=changed(glb={"banks": 237, "bank_words": 1})))[0][2] == "238"


def without(node: Node) -> tuple[Node, ...]:
    return tuple(each for each in NODES if each is not node)


def inserted(index: int, *nodes: Node) -> tuple[Node, ...]:
    return (*NODES[:index], *nodes, *NODES[index:])


ALL_LOOPS = ", ".join(f"{dim}.{kind}" for dim in "CHW" for kind in ("g", "ks", "op", "opc"))
GROUP, UNKNOWN = Loop("C", LoopKind.G), Loop("Z", LoopKind.OPC)
STRUCTURE: dict[str, tuple[tuple[Node, ...], tuple[str, str, str]]] = {
    "unknown loop": (
        inserted(0, Temporal(UNKNOWN, 2)),
        ("'for Z.opc 2' names a loop the link does not have", ALL_LOOPS, "Z.opc"),
    ),
    "unknown spatial loop": (
        inserted(9, Spatial(UNKNOWN, 2, Axis.COL)),
        ("'par Z.opc 2 on col' names a loop the link does not have", ALL_LOOPS, "Z.opc"),
    ),
    "no input": (without(STORE_I), ("tensor I and its storage", "one", "False")),
    "no kernel": (without(STORE_K), ("tensor K and its storage", "one", "False")),
    "no output": (without(STORE_O), ("tensor O and its storage", "one", "False")),
    "input memory": (
        tuple(Storage("spad", node.operands) if node is STORE_I else node for node in NODES),
        ("tensor I cannot stay in this memory", "glb", "spad"),
    ),
    "kernel memory": (
        tuple(Storage("glb", node.operands) if node is STORE_K else node for node in NODES),
        ("tensor K cannot stay in this memory", "spad", "glb"),
    ),
    "output memory": (
        tuple(Storage("dram", node.operands) if node is STORE_O else node for node in NODES),
        ("tensor O cannot stay in this memory", "glb", "dram"),
    ),
    "temporal below spatial": (
        inserted(9, Temporal(POSITIONS, 7)),
        ("'for W.opc 7' stands below a spatial node", "spatial nodes innermost", "for W.opc 7"),
    ),
    "spilled sums": (
        inserted(0, Temporal(COLUMNS, 2)),
        ("'for W.ks 2' would spill partial sums to DRAM", "ks loops below the storage of O", "for W.ks 2"),
    ),
    "kernels of other filters": (
        inserted(6, Temporal(FILTERS, 4)),
        ("'for C.op 4' needs other kernels than the elements hold", "it above the storage of K", "for C.op 4"),
    ),
    "kernels of other channels": (
        inserted(6, Temporal(CHANNELS, 2)),
        ("'for C.ks 2' needs other kernels than the elements hold", "it above the storage of K", "for C.ks 2"),
    ),
    "kernels of other groups": (
        inserted(6, Temporal(GROUP, 1)),
        ("'for C.g 1' needs other kernels than the elements hold", "it above the storage of K", "for C.g 1"),
    ),
    "sums across columns": (
        inserted(9, Spatial(COLUMNS, 2, Axis.COL)),
        ("'par W.ks 2 on col': partial sums travel along rows", "on row", "on col"),
    ),
}


@pytest.mark.parametrize(("nodes", "expected"), STRUCTURE.values(), ids=STRUCTURE.keys())
def test_every_rule_of_structure_is_checked_alone(nodes: tuple[Node, ...], expected: tuple[str, str, str]) -> None:
    assert summary(found(nodes)) == [expected]


def test_output_positions_may_run_below_the_kernels() -> None:
    assert found(inserted(6, Temporal(POSITIONS, 3))) == []


def test_a_storage_node_below_a_spatial_one_is_out_of_place() -> None:
    nodes = (*without(STORE_K), STORE_K)
    assert [d.message for d in found(nodes)] == ["'store spad [K]' stands below a spatial node"]


def test_a_link_without_kernel_stores_none_and_needs_no_room_for_one() -> None:
    spec = replace(SPEC, dims=(Dim("C", ks=4), *SPEC.dims[1:]), main=PASS)
    machine = changed(glb={"banks": 8}, pe={"kernel_words": 1})
    nodes = tuple(node for node in NODES if isinstance(node, Storage) or node.loop != FILTERS)
    assert [d.message for d in found(nodes, machine, spec)] == ["tensor K and its storage"]
    nodes = tuple(node for node in nodes if node != STORE_K)
    assert found(nodes, machine, spec) == []


def test_what_only_repeats_the_result_is_not_cut() -> None:
    spec = replace(SPEC, main=PASS)
    nodes = (Temporal(FILTERS, 2), STORE_O, STORE_I)
    (problem,) = found(nodes, ROOMY, spec)
    assert (problem.message, problem.found) == (
        "'for C.op 2' cuts a repetition, which the way out of the buffer makes",
        "C.op",
    )
    # Only one copy stays in the buffer.
    tiles = {Operand.INPUT: 4 * 11 * 8, Operand.OUTPUT: 5 * 7}
    assert buffer_tiles(spec, Mapping(nodes[1:])) == tiles
    assert buffer_tiles(replace(spec, main="mul"), Mapping(nodes[1:])) == {**tiles, Operand.OUTPUT: 6 * 5 * 7}


def test_all_broken_rules_are_reported_at_once() -> None:
    tiny = changed(array={"rows": 1, "cols": 1}, pe={"input_words": 1}, glb={"banks": 1}, limits={"filters": 1})
    assert len(found(machine=tiny)) == 5
    nodes = (*inserted(0, Temporal(UNKNOWN, 2), Temporal(UNKNOWN, 1)),)
    assert len(found(tuple(node for node in nodes if node is not STORE_I))) == 3


def test_buffer_tiles_are_the_largest() -> None:
    assert buffer_tiles(SPEC, Mapping(NODES)) == {Operand.INPUT: 2 * 7 * 8, Operand.OUTPUT: 6 * 3 * 7}
    assert buffer_tiles(SPEC, Mapping((STORE_O,))) == {Operand.OUTPUT: 6 * 5 * 7}


@settings(max_examples=examples(100), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_sound_mappings_break_no_rule_on_a_roomy_machine(data: Any) -> None:
    spec, _, _ = data.draw(links(most_trips=2000, largest=9))
    assert violations(spec, data.draw(mappings(spec)), ROOMY) == []
