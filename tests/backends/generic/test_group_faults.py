"""Programs of groups with other instructions: faults name the instruction and the node, and end soon."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from backends.container import parse_program, program_bytes
from backends.generic.emulator import MODES, NestEmulator
from backends.generic.isa import ISA, Place
from backends.isa import Instruction
from backends.program import Program
from backends.spatial.codes import Tensor
from backends.spatial.group_isa import (
    Fetch,
    HeldAxis,
    Hold,
    Keep,
    Range,
    Run,
    Send,
    Span,
    Turns,
)
from backends.spatial.isa import Dim as LoopCounts
from backends.spatial.isa import End
from dialects.diagnostics import CatenaError
from tests.backends.edits import Edit, assert_stops, changed, moved, without
from tests.backends.generic.fused_groups import chain_of, check_group, compiled, fuse, with_nests
from tests.backends.generic.group_cases import (
    ALL,
    CASES,
    MACHINE,
    mapped,
)
from tests.backends.generic.layers import machine
from tests.passes.fusion.groups import conv_pair

NARROW = machine(
    {
        "glb": {"kind": "memory", "words": 1000, "bypass": ALL},
        "rf": {"kind": "memory", "words": 400, "bypass": ALL},
    }
)


def edited(edit: Edit) -> tuple[Program, dict[str, object]]:
    """The program of a pair of convolutions, rows by rows, with other instructions."""
    group, mapping = CASES["rows, halo kept"]()
    chain = chain_of(group, NARROW)
    fuse(chain, group, with_nests(group, mapping, NARROW, random.Random(5)))
    program = compiled(chain)
    code = edit(list(ISA.decode(program.code[0], "code.0")))
    return replace(program, code=(ISA.encode(code),)), dict(chain.inputs)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("edit", "code", "message"),
    [
        (without(Fetch, 0), "CAT-E002", "that is not there"),
        (without(Run, 0), "CAT-E002", "that is not there"),
        (moved(Run, 0, 1), "CAT-E002", "nothing was ever there"),
        (changed(HeldAxis, 16, kept=5), "CAT-E002", "it was overwritten, or never brought"),
        (changed(HeldAxis, 16, step=2), "CAT-E002", "an element is wanted that hold 3 never has"),
        (changed(Hold, 3, address=0), "CAT-E002", "that is not there"),
        (changed(Hold, 0, address=970), "CAT-E001", "a hold lies outside of glb"),
        (changed(Hold, 0, memory=2), "CAT-E003", "a tile of the layer lies where hold 0 keeps its KERNEL"),
        (changed(Hold, 0, memory=3), "CAT-E003", "there is no memory 3"),
        (changed(Hold, 0, words=3), "CAT-E001", "hold 0 overruns its words of glb"),
        (changed(HeldAxis, 13, extent=12), "CAT-E001", "an element is outside of the tensor of hold 2"),
        (changed(Span, 0, first=1), "CAT-E002", "that is not there"),
        (changed(Span, 3, size=5), "CAT-E002", "that is not there"),
        (changed(Span, 3, size=7), "CAT-E001", "a tile overruns its place in rf"),
        (changed(Range, 15, count=12), "CAT-E001", "a turn works indices that a loop does not have"),
        (changed(Range, 18, count=1), "CAT-E002", "whose sum is not finished"),
        (changed(Range, 18, offset=1, count=1), "CAT-E002", "that is not there"),
        (changed(Keep, 0, hold=77), "CAT-E003", "there is no hold 77 yet"),
        (changed(Keep, 0, tensor=Tensor.OUTPUT_INDEX), "CAT-E003", "OUTPUT_INDEX cannot lie in a hold"),
        (changed(Run, 0, layer=7), "CAT-E003", "layer 7 is none of the group"),
        (changed(Run, 0, box=70), "CAT-E003", "there is no box 70"),
        (changed(Send, 0, hold=0), "CAT-E003", "does not make what is in the hold"),
        (changed(Span, 0, loop=3), "CAT-E003", "a range goes along with loop 3"),
        (without(Range, 0), "CAT-E003", "a box of 5 axes for hold 0, which has 6"),
        (without(Range, 20), "CAT-E003", "a box of a layer has four ranges for every dimension"),
        (without(Keep, 1), "CAT-E003", "layer 0 does not read what is in the hold"),
        (without(Keep, 0), "CAT-E003", "OUTPUT has no place in memory 1"),
        (changed(Place, 0, memory=1), "CAT-E003", "a tile of the layer lies where hold 2 keeps its INPUT"),
    ],
)
def test_faults_name_instruction_and_node(mode: str, edit: Edit, code: str, message: str) -> None:
    program, inputs = edited(edit)
    emulator = NestEmulator(program, mode)  # pyright: ignore[reportArgumentType]
    assert_stops(lambda: emulator.run(inputs), code, message)  # pyright: ignore[reportArgumentType]


def around(kind: type[Instruction], *turns: int) -> Edit:
    """An instruction of a kind inside of further loops of turns, the outermost first."""

    def edit(code: list[Instruction]) -> list[Instruction]:
        index = next(i for i, each in enumerate(code) if isinstance(each, kind))
        return [
            *code[:index],
            *(Turns(each) for each in turns),
            code[index],
            *(End() for _ in turns),
            *code[index + 1 :],
        ]

    return edit


def loops_of_layers(counts: int) -> Edit:
    """All layers say that their loops have so many indices, and the first turns are as many."""

    def edit(code: list[Instruction]) -> list[Instruction]:
        first = next(i for i, each in enumerate(code) if isinstance(each, Turns))
        code = [
            replace(each, g=counts, op=counts, opc=counts) if isinstance(each, LoopCounts) else each for each in code
        ]
        code[first] = Turns(counts)
        return code

    return edit


MOST = (1 << 24) - 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("edit", "turns"),
    [
        (changed(Turns, 0, turns=MOST), MOST),
        (around(Fetch, MOST, MOST, MOST), MOST),
        (around(Run, 1, 1, 1, MOST), 3 * MOST),
        (around(Send, 5000), 3 * 5000),
        (loops_of_layers(MOST), MOST),
    ],
    ids=["of the group", "nested", "around a run", "too many by few", "of layers as large"],
)
def test_a_few_instructions_do_not_keep_the_emulator_at_work(mode: str, edit: Edit, turns: int) -> None:
    program, inputs = edited(edit)
    program = parse_program(program_bytes(program), "hostile")
    with pytest.raises(CatenaError) as caught:
        NestEmulator(program, mode).run(inputs)  # pyright: ignore[reportArgumentType]
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.found) == ("CAT-E003", str(turns))
    assert problem.message == "a group takes more turns than there are sums to work on in them"
    assert problem.where.startswith("instruction ")
    assert problem.expected.startswith("at most ")
    assert problem.hint


def test_a_group_may_take_a_turn_for_every_result() -> None:
    group = conv_pair(6, 2)
    program = check_group(group, mapped(group, "C.op 1, H.opc 1, W.opc 1", 3), MACHINE, modes=("blocks",))
    loops = [each.turns for each in ISA.decode(program.code[0], "code.0") if isinstance(each, Turns)]
    assert math.prod(loops) == math.prod(group.head.spec.output_shape)
