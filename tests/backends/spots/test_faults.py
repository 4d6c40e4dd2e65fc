"""What the machine cannot do is a fault that names the layer: code is changed as no compiler would."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from backends.isa import Instruction
from backends.program import Program
from backends.spatial.codes import Tensor
from backends.spots.emulator import SpotsEmulator
from backends.spots.isa import ISA, Blocks, Configure, Load, Multiply, Open, Place
from dialects.diagnostics import CatenaError
from dialects.gconv import Dim, GConv, Reduce
from tests.backends.spatial.layers import Layer
from tests.backends.spots.layers import machine, program_of

SPEC = GConv((Dim("K", op=5, ks=4), Dim("H", opc=8, ks=3), Dim("W", opc=6, ks=3)), "mul", Reduce.ADD)
LAYER = Layer.of(SPEC, (4, 10, 8))
TARGET = machine(array={"rows": 8, "cols": 2})


def fault(change: Any, height: int | None = None) -> tuple[str, str]:
    """The code and message of the fault of a program of which every instruction was changed, or left out."""
    program = program_of(LAYER, TARGET, height=height)
    code = [made for each in ISA.decode(program.code[0], "test") if (made := change(each)) is not None]
    return run(replace(program, code=(ISA.encode(code),)))


def run(program: Program) -> tuple[str, str]:
    with pytest.raises(CatenaError) as caught:
        SpotsEmulator(program).run(LAYER.inputs())
    (found,) = caught.value.diagnostics
    return found.code, found.message


def changed(kind: type[Instruction], **fields: Any) -> Any:
    return lambda each: replace(each, **fields) if isinstance(each, kind) else each


def without(*kinds: type[Instruction]) -> Any:
    return lambda each: None if isinstance(each, kinds) else each


def place(tensor: Tensor, **fields: int) -> Any:
    return lambda each: replace(each, **fields) if isinstance(each, Place) and each.tensor is tensor else each


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (changed(Configure, split=3), "CAT-E003", "the array does not divide into so many"),
        (
            place(Tensor.INPUT, address=1 << 30),
            "CAT-E001",
            "a place and its other half lie outside of the memory",
        ),
        (place(Tensor.INPUT, words=3), "CAT-E001", "a tile of INPUT is larger than its place"),
        (place(Tensor.KERNEL, words=3), "CAT-E001", "a tile of KERNEL is larger than its place"),
        (place(Tensor.OUTPUT, words=3), "CAT-E001", "a tile of OUTPUT is larger than its place"),
        (without(Place), "CAT-E003", "has no place"),
        (without(Load), "CAT-E002", "a pass needs a tile of INPUT that was not loaded"),
        (without(Open), "CAT-E002", "a pass has no results that it adds to"),
        (without(Multiply), "CAT-E002", "results are stored that no pass has made"),
        (changed(Load, tensor=Tensor.OUTPUT), "CAT-E003", "OUTPUT cannot be loaded"),
    ],
)
def test_a_fault_says_what_cannot_be(change: Any, code: str, message: str) -> None:
    found = fault(change)
    assert found[0] == code
    assert message in found[1]


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (changed(Blocks, words=1), "CAT-E001", "bitmaps of a tile are larger than their place"),
        (changed(Blocks, words=1 << 20), "CAT-E001", "bitmaps of a tile take more than half of their memory"),
        (changed(Blocks, address=1 << 30), "CAT-E001", "access outside of DRAM"),
        (changed(Blocks, address=0), "CAT-E003", "words of DRAM are taken for words of another type"),
        (changed(Blocks, height=2), "CAT-P005", "tile 0 of the kernel, "),
        (place(Tensor.KERNEL, words=3), "CAT-E001", "a tile of KERNEL is larger than its place"),
    ],
)
def test_a_kernel_in_blocks_that_cannot_be_read_is_a_fault(change: Any, code: str, message: str) -> None:
    found = fault(change, height=4)
    assert found[0] == code
    assert message in found[1]


@pytest.mark.parametrize(
    ("table", "figures", "message"),
    [
        ("im2col", {"neighbour_words": 2}, "a patch gets more from its neighbour than it can hold"),
        ("im2col", {"reserve_words": 2}, "more words are kept for the next row of patches than there is room"),
        ("array", {"accumulators": 1, "rows": 4}, "a pass has more kernels than elements keep results of"),
    ],
)
def test_a_program_for_a_larger_machine_is_a_fault(table: str, figures: dict[str, int], message: str) -> None:
    program = program_of(LAYER, TARGET)
    description: dict[str, Any] = dict(program.metadata.description)
    description[table] = {**description[table], **figures}
    metadata = replace(program.metadata, description=description)
    assert run(replace(program, metadata=metadata))[1] == message
