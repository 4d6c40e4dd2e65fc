"""The instruction set of the spatial machine: encoding, assembly and reference page."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from backends.assembly import assemble
from backends.container import parse_program, program_bytes
from backends.isa import Block
from backends.spatial.codes import Fold, Kind
from backends.spatial.emit import emit
from backends.spatial.group_isa import GroupInstruction
from backends.spatial.isa import ISA, Compress, Executable, Offload, Segment, Term, Update
from backends.spatial.machine import SpatialCore
from dialects.diagnostics import CatenaError
from dialects.gconv import Dim, GConv, LoopKind, Reduce
from tests.backends.spatial.drawing import layers
from tests.backends.spatial.layers import MACHINES, Layer, compile_chain, lowered, steps

LAYER = Layer.of(
    GConv((Dim("C", op=3, ks=4), Dim("H", opc=5)), "mul", Reduce.ADD, post=steps(("add", 0), "relu")), (4, 5), (3, 1)
)


@settings(max_examples=20, derandomize=True, deadline=None)
@given(layer=layers())
def test_emitted_code_survives_bytes_and_text(layer: Layer) -> None:
    program = compile_chain(layer.module(MACHINES["eyeriss"]))
    code = ISA.decode(program.code[0])
    assert ISA.encode(list(code)) == bytes(program.code[0])
    text = "\n".join(ISA.format(instruction) for instruction in code)
    assert assemble(text, ISA) == list(code)


def test_every_instruction_is_emitted() -> None:
    program = compile_chain(
        Layer.of(
            GConv((Dim("C", op=9, ks=40), Dim("H", opc=5, ks=2)), "mul", Reduce.ADD, post=steps("relu")), (40, 6)
        ).module(MACHINES["tiny"])
    )
    # Layers of the host, host segments, computed addresses, compression and groups have tests of their own.
    others = {Compress, Offload, Segment, Term, Update}
    others |= {kind for kind in ISA.specs if issubclass(kind, GroupInstruction)}
    assert {type(each) for each in ISA.decode(program.code[0])} == set(ISA.specs) - others


def test_every_instruction_can_be_executed() -> None:
    for spec in ISA.specs.values():
        assert issubclass(spec.kind, Executable | GroupInstruction)
        assert not getattr(spec.kind, "__abstractmethods__", ())
    assert not getattr(SpatialCore, "__abstractmethods__", ())


def test_loops_are_blocks() -> None:
    blocks = {spec.mnemonic: spec.block for spec in ISA.specs.values() if spec.block is not Block.NONE}
    opened = dict.fromkeys(("loop", "group", "turns"), Block.OPEN)
    assert blocks == {**opened, "end": Block.CLOSE}


def test_the_reference_page_explains_every_instruction_and_field() -> None:
    page = ISA.markdown()
    for spec in ISA.specs.values():
        _, _, section = page.partition(f"\n## {spec.mnemonic}\n")
        section = section.partition("\n## ")[0]
        assert f"Opcode `{spec.opcode:#04x}`." in section
        for each in spec.fields:
            assert f"| `{each.name}` |" in section
            assert each.type.doc in section


def test_codes_are_those_of_the_dialects() -> None:
    assert [kind.name.lower() for kind in Kind] == [kind.value for kind in LoopKind]
    assert {fold.name.lower() for fold in Fold} == {reduce.value for reduce in Reduce}


def test_equal_chains_give_equal_bytes() -> None:
    first, second = (program_bytes(emit(lowered(LAYER.module(MACHINES["tiny"])), "eyeriss")) for _ in range(2))
    assert first == second
    assert program_bytes(parse_program(first, "test")) == first


@pytest.mark.parametrize(
    ("dim", "field"),
    [
        (Dim("A", opc=2, stride=1 << 16), "stride"),
        (Dim("A", ks=2, dilation=1 << 16), "dilation"),
        (Dim("A", opc=2, pad=1 << 23), "pad"),
        (Dim("A", opc=2, up=1 << 16), "up"),
    ],
)
def test_a_value_that_no_field_holds_names_the_node(dim: Dim, field: str) -> None:
    with pytest.raises(CatenaError) as caught:
        compile_chain(Layer.of(GConv((dim,), "pass", Reduce.ADD), (1,)).module(MACHINES["eyeriss"]))
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.node, problem.stage) == ("CAT-A002", "node0", "program")
    assert problem.message == f"window: field {field!r} is out of range"
