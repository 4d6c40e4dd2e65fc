"""Kernels in blocks in fused groups: they lie in holds with their bitmaps, and save time, energy and words there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from xdsl.context import Context

from backends.container import parse_program, program_bytes
from backends.program import Program
from backends.spatial.codes import Tensor
from backends.spatial.group_isa import Fetch, Hold, Keep
from backends.spots.emit import emit
from backends.spots.emulator import SpotsEmulator
from backends.spots.isa import ISA, Blocks
from dialects.diagnostics import CatenaError
from dialects.encodings.attributes import encoded_type
from dialects.encodings.spots_blocks import SpotsBlocks
from dialects.events import Counts
from dialects.gconv.interpreter import Interpreter
from dialects.gemm_machine import GemmMachine
from dialects.weights import ConstantOp, WeightRef
from passes.fusion.group import Group
from passes.gemm.groups import in_memories
from passes.map_gemm import MapGemmPass
from passes.place_gemm import PlaceGemmPass
from tests.backends.generic.fused_groups import Chain, assert_results, chain_of, fuse
from tests.backends.generic.group_cases import mapped
from tests.backends.spots.layers import machine
from tests.filechecking import parse_module, print_module
from tests.passes.fusion.groups import conv_pair
from tests.passes.fusion.test_holds import random_lowerable

TARGET = machine(array={"rows": 4, "cols": 2, "accumulators": 2}, im2col={"skips": True})
GROUP = conv_pair(13, 2)
ROWS = "H.opc 4"


def pruned(target: GemmMachine = TARGET, loops: str = ROWS, group: Group = GROUP) -> Chain:
    """The fused pair on inputs without zeros; most columns of its kernels are zero, and the others hold no zeros."""
    chain = chain_of(group, target)
    chain.inputs = {name: np.abs(words) + 1 for name, words in chain.inputs.items()}
    for seed, op in enumerate(op for op in chain.module.walk() if isinstance(op, ConstantOp)):
        kept = np.random.default_rng(seed).random(op.array.shape[1:]) < 0.4
        kept.flat[0] = True
        op.properties["value"] = WeightRef.of((np.abs(op.array) + 1) * kept)
        op.result._type = encoded_type(op.result.type, SpotsBlocks(2))  # pyright: ignore[reportPrivateUsage]
    fuse(chain, group, in_memories(group, mapped(group, loops, 1, w1=0, w2=0)))
    return chain


def compiled(chain: Chain) -> Program:
    """Its program, as read back from its file; the text of every stage reads back, too."""
    for step in (MapGemmPass(), PlaceGemmPass()):
        step.apply(Context(), chain.module)
        chain.module.verify()
        text = print_module(chain.module)
        assert print_module(parse_module(text)) == text
    return parse_program(program_bytes(emit(chain.module, "spots")), "test")


def code_of(program: Program, kind: type[Any]) -> list[Any]:
    return [each for each in ISA.decode(program.code[0], "test") if isinstance(each, kind)]


@pytest.mark.parametrize("skips", [False, True])
def test_kernels_in_blocks_lie_in_holds_and_count_what_is_predicted(skips: bool) -> None:
    target = machine(array={"rows": 4, "cols": 2, "accumulators": 2}, im2col={"skips": skips})
    chain = pruned(target)
    expected = Interpreter(chain.module.clone()).run(chain.inputs)
    kernels = [op.array for op in chain.module.walk() if isinstance(op, ConstantOp)]
    program = compiled(chain)
    assert len(code_of(program, Blocks)) == 2
    assert [each.memory for each in code_of(program, Hold)].count(3) == 2
    counted: list[Counts] = []
    for mode in ("blocks", "elements"):
        emulator = SpotsEmulator(program, mode)
        assert_results(emulator.run(chain.inputs), expected, mode)
        counted = [emulator.counters[entry.name] for entry in program.layers]
        for entry, found in zip(program.layers, counted, strict=True):
            assert not found.differences(Counts.of(entry.predicted)), (entry.name, mode)
        assert emulator.held == {entry.name: entry.held for entry in program.groups}
        assert all(held["bitmap"] > 0 for held in emulator.held.values())
    assert sum(each.events["dram.kernel.read"] for each in counted) == sum(map(np.count_nonzero, kernels))
    left_out = sum(each.events["operation.skipped"] for each in counted)
    assert (left_out > sum(each.operations for each in counted) / 3) == skips


@pytest.mark.parametrize("loops", ["H.opc 4, C.op 1"])
def test_a_kernel_that_turns_cut_lies_dense(loops: str) -> None:
    chain = pruned(loops=loops)
    expected = Interpreter(chain.module.clone()).run(chain.inputs)
    program = compiled(chain)
    assert len(code_of(program, Blocks)) < 2
    assert_results(SpotsEmulator(program).run(chain.inputs), expected, "blocks")


def test_bitmaps_without_room_leave_kernels_dense() -> None:
    program = compiled(pruned(machine(array=TARGET.array.model_dump(), sram={"bitmap_words": 4})))
    assert not code_of(program, Blocks)


def test_bitmaps_of_a_tile_beyond_half_of_their_memory_leave_the_kernel_dense() -> None:
    wide, array = conv_pair(13, 8), {"rows": 8, "cols": 2, "accumulators": 2}
    program = compiled(pruned(machine(array=array), group=wide))
    least = min(each.words for each in code_of(program, Blocks))
    bitmaps = [each.words for each in code_of(program, Hold) if each.memory == 3]
    words = 2 * least - 2
    assert min(bitmaps) <= words  # so that one of them would have room
    chain = pruned(machine(array=array, sram={"bitmap_words": words}), group=wide)
    expected = Interpreter(chain.module.clone()).run(chain.inputs)
    program = compiled(chain)
    assert not code_of(program, Blocks)
    assert_results(SpotsEmulator(program).run(chain.inputs), expected, "blocks")


def random_group(seed: int, *, skips: bool) -> int:
    """Run a random group of pruned kernels: how many lie in blocks; -1 if it cannot be lowered."""
    sizes = {"input_words": 4000, "kernel_words": 4000, "output_words": 24}
    target = machine(array=TARGET.array.model_dump(), im2col={"reserve_words": 24, "skips": skips}, sram=sizes)
    group, mapping = random_lowerable(seed)
    chain = chain_of(group, target)
    for number, op in enumerate(op for op in chain.module.walk() if isinstance(op, ConstantOp)):
        kept = np.random.default_rng(7 * seed + number).random(op.array.shape) < 0.1
        op.properties["value"] = WeightRef.of((op.array * kept).astype(op.array.dtype))
        if op.array.ndim:
            encoded = encoded_type(op.result.type, SpotsBlocks(1 + seed % 3))
            op.result._type = encoded  # pyright: ignore[reportPrivateUsage]
    expected = Interpreter(chain.module.clone()).run(chain.inputs)
    fuse(chain, group, in_memories(group, mapping))
    try:
        program = compiled(chain)
    except CatenaError:
        return -1
    engines = {mode: SpotsEmulator(program, mode) for mode in ("blocks", "elements")}
    for mode, emulator in engines.items():
        assert_results(emulator.run(chain.inputs), expected, mode)
    for entry in program.layers:
        found, predicted = engines["blocks"].counters[entry.name], Counts.of(entry.predicted)
        assert not engines["elements"].counters[entry.name].differences(found)
        more = {event for event, (count, most) in found.differences(predicted).items() if not skips or count > most}
        assert more <= {"operation.skipped"}, (entry.name, found.differences(predicted))
    return len(code_of(program, Blocks))


def test_random_groups_compute_the_same_with_kernels_in_blocks() -> None:
    assert sum(max(random_group(seed, skips=bool(seed % 2)), 0) for seed in (1, 39, 42, 240)) >= 5


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(50))
def test_more_random_groups_compute_the_same_with_kernels_in_blocks(seed: int) -> None:
    for skips in (False, True):
        random_group(seed, skips=skips)


def fault(change: Any) -> tuple[str, str]:
    """The code and message of the fault of the program of which every instruction was changed, or left out."""
    chain = pruned()
    program = compiled(chain)
    code = [made for each in ISA.decode(program.code[0], "test") if (made := change(each)) is not None]
    with pytest.raises(CatenaError) as caught:
        SpotsEmulator(replace(program, code=(ISA.encode(code),))).run(chain.inputs)
    (found,) = caught.value.diagnostics
    return found.code, found.message


def is_bitmaps(each: Any) -> bool:
    return isinstance(each, Keep) and each.tensor is Tensor.BITMAPS


def test_a_fault_says_what_cannot_be() -> None:
    bitmaps = {each.hold for each in code_of(compiled(pruned()), Keep) if is_bitmaps(each)}
    never_brought = fault(lambda each: None if isinstance(each, Fetch) and each.hold in bitmaps else each)
    assert never_brought[0] == "CAT-E002"
    assert "bitmap that is not there" in never_brought[1]
    in_no_hold = fault(lambda each: None if is_bitmaps(each) else each)
    assert in_no_hold == (
        "CAT-E003",
        "a layer of a group has a kernel in blocks that lies, or its bitmaps, in no hold",
    )
    elsewhere = fault(lambda each: replace(each, memory=2) if isinstance(each, Hold) and each.memory == 3 else each)
    assert elsewhere == ("CAT-E003", "BITMAPS lies in a memory that it is not read from")
