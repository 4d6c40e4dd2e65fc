"""Programs that the generic machine cannot run: every fault names its instruction."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backends.generic.emulator import MODES, NestEmulator
from backends.generic.isa import ISA, Compute, Drain, Fill, Open, Par, Place
from backends.program import Program
from backends.spatial.codes import Tensor
from backends.spatial.isa import End, Loop
from dialects.diagnostics import CatenaError
from dialects.gconv import Dim, GConv, LoopKind, Reduce
from dialects.schedule import Loop as LoopName
from dialects.schedule import Mapping, Operand, Spatial, Storage, Temporal
from tests.backends.edits import Edit, changed, without
from tests.backends.generic.layers import machine, program_of
from tests.backends.spatial.layers import Layer

MACHINE = machine(
    {
        "buffer": {"kind": "memory", "words": 40, "operands": ["I", "O"]},
        "x": {"kind": "axis", "size": 3, "multicast": ["I"], "loops": ["op"]},
        "rf": {"kind": "memory", "words": 8, "operands": ["K"]},
    }
)
LAYER = Layer.of(GConv((Dim("K", op=5, ks=4), Dim("N", opc=6)), "mul", Reduce.ADD), (4, 6))
OP, KS = LoopName("K", LoopKind.OP), LoopName("K", LoopKind.KS)
MAPPING = Mapping(
    (
        Temporal(OP, 3),
        Storage("buffer", (Operand.OUTPUT,)),
        Temporal(KS, 2),
        Storage("buffer", (Operand.INPUT,)),
        Spatial(OP, 1, "x"),
        Storage("rf", (Operand.KERNEL,)),
    )
)


def both(one: Edit, other: Edit) -> Edit:
    """One edit after another."""
    return lambda code: other(one(code))


def edited(edit: Edit) -> Program:
    """The program of the layer with other instructions, the debug map being that of as many."""
    _, program = program_of(LAYER, MAPPING, MACHINE)
    code = edit(list(ISA.decode(program.code[0], "code.0")))
    return replace(program, code=(ISA.encode(code),))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("edit", "code", "message"),
    [
        (changed(Place, 0, words=11), "CAT-E001", "a tile overruns its place in buffer"),
        (changed(Place, 1, address=30), "CAT-E001", "a place lies outside of buffer"),
        (changed(Place, 1, address=11), "CAT-E003", "OUTPUT and INPUT share words of buffer"),
        (changed(Place, 0, memory=9), "CAT-E003", "there is no memory 9"),
        (changed(Par, axis=1), "CAT-E003", "there is no axis 1"),
        (both(changed(Loop, 0, tile=4), changed(Place, 1, words=28)), "CAT-E001", "more positions than axis x has"),
        (changed(Loop, 0, tile=4), "CAT-E001", "a tile overruns its place in buffer"),
        (changed(Fill, 0, once=1), "CAT-E002", "a turn needs other words of INPUT than buffer has kept"),
        (changed(Fill, 1, shared=1), "CAT-E003", "axis x does not take words of KERNEL to several positions"),
        (changed(Fill, 1, memory=1), "CAT-E003", "KERNEL may not stay in buffer"),
        (without(Fill, 0), "CAT-E002", "INPUT is wanted from memory 1, where nothing has brought it"),
        (without(Fill, 1), "CAT-E002", "KERNEL is wanted from memory 2, where nothing has brought it"),
        (changed(Compute, input=2), "CAT-E002", "INPUT is wanted from memory 2, where nothing has brought it"),
        (changed(Compute, input_shared=2), "CAT-E003", "words are shared along a loop that is not there"),
        (changed(Drain, once=1), "CAT-E003", "the sums that are sent away are not the innermost that were opened"),
        (changed(Drain, target=1), "CAT-E003", "sums go to a memory further in"),
        (without(Drain), "CAT-E003", "a loop ends before the sums within it are sent away"),
        (without(Open), "CAT-E003", "the sums that are sent away are not the innermost that were opened"),
        (without(Compute), "CAT-E003", "a loop without a compute"),
        (without(End), "CAT-E003", "the sums that are sent away are not the innermost that were opened"),
        (changed(Fill, 0, tensor=Tensor.OUTPUT), "CAT-E003", "OUTPUT cannot be filled in"),
    ],
)
def test_what_the_machine_cannot_do_is_a_fault(edit: Edit, code: str, message: str, mode: str) -> None:
    emulator = NestEmulator(edited(edit), mode)
    with pytest.raises(CatenaError) as caught:
        emulator.run(LAYER.inputs())
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.message) == (code, message)
    assert problem.where.startswith("instruction ")
