"""Mappings that are given in part: the best one of that form is found, and what cannot be is refused at its line."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.gconv import Dim, GConv, LinkOp, Reduce, shape_of
from dialects.machine_kinds import spatial_machine
from dialects.nest_machine import NestMachine
from dialects.schedule import Loop, LoopKind, Mapping, MappingAttr, Objective, Operand, Spatial, Storage, Temporal
from dialects.soundness import parse_hierarchy
from dialects.target import find_machine
from passes.mapper.counts import Counts
from passes.mapper.legality import violations
from passes.mapper.nest import For, Nest, Par, Store, nest_of
from passes.mapper.pricing import Prices
from passes.mapper.problem import Problem
from passes.mapper.search import best_in_dataflow, several_in_dataflow
from passes.mapper.tiles import NoneFitsError, TooManyError, best_tiles
from passes.mapping.search import best_mappings
from passes.mapping_file.notation import read_mapping
from passes.mapping_file.pattern import Pattern
from passes.pin_mappings import PinMappingsPass
from tests.examples import examples
from tests.filechecking import new_ir_context
from tests.passes.test_mapping_file import file_text, lines, module_for, pinned, problems

NODES = st.one_of(
    st.builds(Temporal, st.builds(Loop, st.sampled_from("AB"), st.sampled_from(LoopKind)), st.integers(1, 3)),
    st.builds(
        Spatial,
        st.builds(Loop, st.sampled_from("AB"), st.sampled_from(LoopKind)),
        st.integers(1, 3),
        st.sampled_from(["row", "col"]),
    ),
)


def pattern_of(*statements: str) -> Pattern:
    found = read_mapping("\n".join(statements), 1, new_ir_context()).pattern
    assert found is not None
    return found


@cache
def every(target: str) -> list[Mapping]:
    """All mappings that a search looks at, best first."""
    module = module_for(target)
    link = next(op for op in module.walk() if isinstance(op, LinkOp))
    machine = find_machine(module)
    assert machine is not None
    spec = link.spec.bare
    if isinstance(machine, NestMachine):
        return [
            each.mapping for each in several_in_dataflow(spec, machine, 1 << 16, choice=lambda _, tiles: tiles[0] > 0)
        ]
    shape = shape_of(link.operands[0])
    return best_mappings(spec, shape, spatial_machine(machine, "test"), 1 << 16)


def mapped(path: Path, target: str, *statements: str) -> Mapping:
    mapping = pinned(path / "m.toml", file_text(target, statements), target).mapping
    assert isinstance(mapping, MappingAttr)
    return mapping.data


@settings(max_examples=examples(200), derandomize=True, deadline=None)
@given(st.lists(NODES, min_size=1, max_size=6), st.data())
def test_what_is_left_out_of_a_mapping_leaves_a_pattern_of_it(
    nodes: list[Temporal | Spatial], data: st.DataObject
) -> None:
    statements = [str(node) for node in nodes]
    place = data.draw(st.integers(0, len(nodes) - 1))
    node = nodes[place]
    statements[place] = statements[place].replace(f"{node.loop} {node.tile}", f"{node.loop} ?")
    start = data.draw(st.integers(0, len(nodes)))
    end = data.draw(st.integers(start, len(nodes)))
    statements[start:end] = ["..."]
    pattern = pattern_of(*statements)
    assert pattern.fits(Mapping(tuple(nodes)))
    more = (*nodes, Storage("glb", (Operand.INPUT,)))
    assert pattern.fits(Mapping(more)) is (end == len(nodes))


def test_a_statement_stands_for_itself_and_an_open_one_for_all_tiles() -> None:
    pattern = pattern_of("for C.op ?", "store glb [I, O]")
    glb = Storage("glb", (Operand.OUTPUT, Operand.INPUT))
    assert pattern.fits(Mapping((Temporal(Loop("C", LoopKind.OP), 7), glb)))
    assert not pattern.fits(Mapping((Temporal(Loop("C", LoopKind.KS), 7), glb)))
    assert not pattern.fits(Mapping((Spatial(Loop("C", LoopKind.OP), 7, "row"), glb)))
    assert not pattern.fits(Mapping((glb,)))


@pytest.mark.parametrize(
    ("target", "statements"),
    [
        ("eyeriss", ("...", "par H.ks 1 on row", "par H.opc 1 on col")),
        ("eyeriss", ("...", "for C.op 2", "...")),
        ("eyeriss", ("store glb [O]", "for C.ks ?", "...")),
        ("generic", ("...", "par C.op 2 on col", "...")),
        ("generic", ("...", "for C.ks 3", "...")),
        ("generic", ("...", "for H.opc 5", "...", "par C.op 1 on col", "...")),
    ],
)
def test_the_best_mapping_of_the_form_is_found(target: str, statements: tuple[str, ...], tmp_path: Path) -> None:
    found = mapped(tmp_path, target, *statements)
    pattern = pattern_of(*statements)
    assert pattern.fits(found)
    assert found == next(each for each in every(target) if pattern.fits(each))


@pytest.mark.parametrize("target", ["eyeriss", "generic"])
def test_anything_is_the_best_mapping_of_all(target: str, tmp_path: Path) -> None:
    assert mapped(tmp_path, target, "...") == every(target)[0]


def hierarchy() -> object:
    levels = {
        "dram": {"kind": "memory"},
        "glb": {"kind": "memory", "words": 60},
        "col": {"kind": "axis", "size": 3, "multicast": ["I", "K"]},
        "rf": {"kind": "memory", "words": 9, "buffers": 1},
    }
    events = {"dram": ("dram", 200.0), "glb": ("glb", 6.0), "rf": ("rf", 1.0)}
    kinds = ("input.read", "kernel.read", "output.update", "output.add")
    accesses = {
        name: {"energy": price, "events": {f"{memory}.{kind}": 1 for kind in kinds}}
        for name, (memory, price) in events.items()
    }
    return {"name": "small", "summary": "", "levels": levels, "accesses": accesses}


def test_open_tiles_are_the_best_of_all_sizes() -> None:
    machine = parse_hierarchy(hierarchy())
    spec = GConv((Dim("C", op=5, ks=4), Dim("H", opc=7, ks=3)), "mul", Reduce.ADD)
    problem = Problem.of(spec)
    place = {str(loop): index for index, loop in enumerate(problem.loops)}
    stores = [Store("glb", operand) for operand in Operand]
    inner = [Store("rf", operand) for operand in Operand]
    nest = Nest(
        (For(place["C.op"]), For(place["H.opc"]), *stores, For(place["C.ks"]), Par(place["C.op"], "col"), *inner)
    )
    tiles = [None, None, 1, 1, 1, None, None, 1, 1, 1]
    found = best_tiles(problem, machine, nest, tiles)

    def value(mapping: Mapping) -> float:
        return float(Prices(machine).value(Counts(problem, machine, *nest_of(problem, mapping)))[0])

    least = np.inf
    loops = [problem.loops[node.loop] for node in nest.nodes if isinstance(node, For | Par)]
    for a, b, c, d in itertools.product(range(1, 6), range(1, 8), range(1, 5), range(1, 6)):
        mapping = Mapping(
            (
                Temporal(loops[0], a),
                Temporal(loops[1], b),
                Storage("glb", tuple(Operand)),
                Temporal(loops[2], c),
                Spatial(loops[3], d, "col"),
                Storage("rf", tuple(Operand)),
            )
        )
        if d <= a and not violations(spec, mapping, machine):
            least = min(least, value(mapping))
    assert not violations(spec, found, machine)
    assert value(found) == least


def test_what_fits_with_no_tiles_is_found_at_its_statement(tmp_path: Path) -> None:
    statements = ("store glb [I, K, O]", "for C.op ?", "store rf [I, K, O]", "for H.opc ?")
    (problem,) = problems(tmp_path / "m.toml", file_text("generic", statements), "generic")
    assert problem.code == "CAT-F001"
    assert problem.message.startswith("'store rf [I, K, O]' asks for more than generic has")
    assert lines([problem]) == [9]


def test_too_many_open_tiles_are_refused() -> None:
    machine = parse_hierarchy(hierarchy())
    spec = GConv(tuple(Dim(name, opc=5040) for name in "ABCD"))
    problem = Problem.of(spec)
    with pytest.raises(TooManyError):
        best_tiles(problem, machine, Nest(tuple(For(loop) for loop in range(4))), [None] * 4)
    with pytest.raises(NoneFitsError):
        best_tiles(problem, machine, Nest((Store("rf", Operand.INPUT),)), [None])


@pytest.mark.parametrize(
    ("target", "statements", "line", "message"),
    [
        ("eyeriss", ("...", "for D.op ?"), 8, "'for D.op ?' names a loop the link does not have"),
        ("eyeriss", ("...", "par C.op ? on cow", "..."), 8, "'par C.op ? on cow' names an axis"),
        (
            "eyeriss",
            ("...", "par C.op 7 on col", "..."),
            8,
            "'par C.op 7 on col': no mapping that is searched has this",
        ),
        ("eyeriss", ("par H.ks 1 on row", "..."), 6, "no mapping of this form was found"),
        ("generic", ("...", "store fr [I]"), 8, "'store fr [I]': no such memory"),
        ("generic", ("store glb [I]", "..."), 6, "no mapping of this form was found"),
        ("generic", ("for C.op ? on row",), 7, "the mapping of 'a' is not valid: 'for C.op ? on row'"),
        ("generic", ("for C.op ?", "store glb [I]", "store glb [I]"), 9, "a tensor is stored twice"),
    ],
)
def test_what_cannot_be_is_refused_at_its_line(
    target: str, statements: tuple[str, ...], line: int, message: str, tmp_path: Path
) -> None:
    found = problems(tmp_path / "m.toml", file_text(target, statements), target)
    assert message in found[0].message
    assert lines(found)[0] == line


def test_what_is_made_least_decides(tmp_path: Path) -> None:
    """A wide array takes less energy for loops that it takes longer for."""
    path = tmp_path / "m.toml"
    path.write_text(file_text("generic", ("...",)), encoding="utf-8")
    found: dict[str, str] = {}
    for objective in ("energy", "latency"):
        module = module_for("generic")
        PinMappingsPass(str(path), objective=objective).apply(new_ir_context(), module)  # type: ignore[arg-type]
        (link,) = (op for op in module.walk() if isinstance(op, LinkOp))
        machine = find_machine(module)
        assert isinstance(machine, NestMachine)
        assert isinstance(link.mapping, MappingAttr)
        best = best_in_dataflow(link.spec.bare, machine, objective=Objective(objective)).mapping
        assert link.mapping.data == best
        found[objective] = str(best)
    assert found["energy"] != found["latency"]
