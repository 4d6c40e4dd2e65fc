"""Programs as listings and back: the same bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from backends.container import read_program
from backends.spatial.emulator import SpatialEmulator
from backends.spatial.isa import ISA
from compiler.assembling import assemble_file, write_disassembly
from compiler.compilation import compile_source, write_compiled
from tests.end_to_end.networks import NETWORKS, inputs_of


@pytest.mark.parametrize("name", NETWORKS)
def test_a_listing_assembles_to_the_same_bytes(name: str, tmp_path: Path) -> None:
    source, program, listing = tmp_path / "model.onnx", tmp_path / "model.cat", tmp_path / "model.s"
    onnx.save(NETWORKS[name](), source)
    write_compiled(compile_source(str(source)), program)
    write_disassembly(program, listing)
    again = tmp_path / "again.cat"
    assemble_file(listing, again)
    assert again.read_bytes() == program.read_bytes()


def test_a_listing_names_the_nodes_of_every_instruction(tmp_path: Path) -> None:
    source, program, listing = tmp_path / "model.onnx", tmp_path / "model.cat", tmp_path / "model.s"
    onnx.save(NETWORKS["classifier"](), source)
    write_compiled(compile_source(str(source)), program)
    write_disassembly(program, listing)
    lines = [line for line in listing.read_text().splitlines() if line[:4].isalnum() and line[4:6] == ": "]
    assert len(lines) == len(ISA.decode(read_program(program).code[0]))
    assert all("onnx:" in line for line in lines[:-1])
    assert "onnx:Conv_0 / onnx:Relu_1" in lines[0]


def test_an_edited_listing_runs(tmp_path: Path) -> None:
    source, program, listing = tmp_path / "model.onnx", tmp_path / "model.cat", tmp_path / "model.s"
    model = NETWORKS["residual"]()
    onnx.save(model, source)
    write_compiled(compile_source(str(source)), program)
    write_disassembly(program, listing)
    text = listing.read_text()
    # The last ReLU (function 40) becomes a negation (4).
    head, found, tail = text.rpartition("function slot=post, code=40")
    assert found
    line, rest = tail.split("\n", 1)
    address = head.rpartition("\n")[2]
    assert address
    edited = tmp_path / "edited.s"
    plain = f"function slot=post, code=4{line.partition(';')[0]}"
    edited.write_text(head.rpartition("\n")[0] + f"\n{plain}\n{rest}")
    assemble_file(edited, tmp_path / "edited.cat")
    inputs = inputs_of(model)
    (before,), (after,) = (
        SpatialEmulator(read_program(path)).run(inputs).values() for path in (program, tmp_path / "edited.cat")
    )
    assert not np.array_equal(before, after)
    assert float(after.min()) < 0 <= float(before.min())
