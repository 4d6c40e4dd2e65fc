"""A real program file that is damaged, cut short or made for something else is refused, by name of what is wrong."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from backends.container import parse_program, program_bytes
from backends.program import target_digest
from backends.sections import ENTRY, HEADER, HEADER_DIGEST_AT
from compiler.cli.main import execute
from compiler.compilation import compile_source, write_compiled
from compiler.execution import load_program
from dialects.diagnostics import CatenaError, ExitCode
from tests.end_to_end.networks import NETWORKS


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a compiled network."""
    folder = tmp_path_factory.mktemp("damage")
    onnx.save(NETWORKS["separable"](), folder / "model.onnx")
    write_compiled(compile_source(str(folder / "model.onnx")), folder / "model.cat")
    return (folder / "model.cat").read_bytes()


def codes_of(data: bytes) -> set[str]:
    """The codes that a file is refused with."""
    with pytest.raises(CatenaError) as caught:
        parse_program(data, "model.cat")
    return {each.code for each in caught.value.diagnostics}


def sections_of(data: bytes) -> list[tuple[str, int, int]]:
    """(name, offset, size) of every section."""
    count = HEADER.unpack(data[: HEADER.size])[3]
    entries = (ENTRY.unpack_from(data, HEADER.size + index * ENTRY.size) for index in range(count))
    return [(name.rstrip(b"\0").decode(), offset, size) for name, offset, size, _ in entries]


def with_header(data: bytes, **changes: int) -> bytes:
    """The file with other values in its header, under a right checksum."""
    fields = ("magic", "major", "minor", "count", "size", "table")
    values = dict(zip(fields, HEADER.unpack(data[: HEADER.size]), strict=False)) | changes
    head = HEADER.pack(*values.values(), b"")[:HEADER_DIGEST_AT]
    return head + hashlib.sha256(head).digest() + data[HEADER.size :]


def test_the_file_itself_is_read(intact: bytes) -> None:
    assert program_bytes(parse_program(intact, "model.cat")) == intact
    assert [name for name, _, _ in sections_of(intact)] == ["metadata", "tensors", "debug", "code.0", "constants.0"]


def test_a_flipped_bit_in_any_byte_of_header_and_table_is_found(intact: bytes) -> None:
    end = min(offset for _, offset, _ in sections_of(intact))
    for byte in range(end):
        for bit in (byte % 8, (byte + 5) % 8):
            damaged = bytearray(intact)
            damaged[byte] ^= 1 << bit
            assert codes_of(bytes(damaged)) <= {"CAT-P001", "CAT-P002"}, (byte, bit)


def test_flipped_bits_anywhere_are_found_and_the_section_is_named(intact: bytes) -> None:
    random = np.random.default_rng(1)
    for name, offset, size in sections_of(intact):
        for _ in range(40):
            damaged = bytearray(intact)
            damaged[offset + int(random.integers(size))] ^= 1 << int(random.integers(8))
            with pytest.raises(CatenaError) as caught:
                parse_program(bytes(damaged), "model.cat")
            (problem,) = caught.value.diagnostics
            assert problem.code == "CAT-P002"
            assert repr(name) in problem.message


def test_every_cut_is_found(intact: bytes) -> None:
    edges = {0, 1, HEADER.size, *(offset for _, offset, _ in sections_of(intact)), len(intact)}
    for edge in edges:
        for length in range(max(0, edge - 2), min(len(intact), edge + 3)):
            if length < len(intact):
                assert codes_of(intact[:length]) <= {"CAT-P001", "CAT-P002"}, length
    assert codes_of(intact + b"\0") == {"CAT-P001"}


def test_another_format_version_is_named(intact: bytes) -> None:
    newer = with_header(intact, major=2)
    with pytest.raises(CatenaError) as caught:
        parse_program(newer, "model.cat")
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.expected, problem.found) == ("CAT-P003", "1.x", "2.0")


def test_another_instruction_set_is_named(intact: bytes, tmp_path: Path) -> None:
    program = parse_program(intact, "model.cat")
    for changes in ({"isa": "other"}, {"isa_version": 1}):
        path = tmp_path / "other.cat"
        path.write_bytes(program_bytes(replace(program, metadata=replace(program.metadata, **changes))))
        with pytest.raises(CatenaError) as caught:
            load_program(path)
        (problem,) = caught.value.diagnostics
        assert problem.code == "CAT-P004"
        assert problem.expected == "spatial version 3 with words of 128 bits"


def test_a_backend_that_is_not_there_is_named(intact: bytes, tmp_path: Path) -> None:
    program = parse_program(intact, "model.cat")
    path = tmp_path / "other.cat"
    path.write_bytes(program_bytes(replace(program, metadata=replace(program.metadata, backend="eyeris"))))
    with pytest.raises(CatenaError) as caught:
        load_program(path)
    (problem,) = caught.value.diagnostics
    assert problem.code == "CAT-C001"
    assert "did you mean eyeriss or generic?" in problem.hint


def test_a_machine_that_is_none_is_named(intact: bytes, tmp_path: Path) -> None:
    program = parse_program(intact, "model.cat")
    description = {**program.metadata.description, "colour": "red"}
    del description["array"]
    metadata = replace(program.metadata, description=description, target_sha256=target_digest(description))
    path = tmp_path / "other.cat"
    path.write_bytes(program_bytes(replace(program, metadata=metadata)))
    with pytest.raises(CatenaError) as caught:
        load_program(path)
    assert {each.code for each in caught.value.diagnostics} == {"CAT-C003"}
    assert len(caught.value.diagnostics) == 2


def test_the_command_refuses_a_damaged_file_and_writes_nothing(
    intact: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = bytearray(intact)
    damaged[sections_of(intact)[3][1] + 5] ^= 4
    path, output = tmp_path / "model.cat", tmp_path / "out.npz"
    path.write_bytes(bytes(damaged))
    for words in (
        ["run", path, "--random", "-o", output],
        ["disasm", path, "-o", output],
        ["report", path],
        ["inspect", path],
    ):
        assert execute([str(word) for word in words]) == ExitCode.USAGE
        shown = capsys.readouterr()
        assert "CAT-P002" in shown.err
        assert "'code.0'" in shown.err
        assert "Traceback" not in shown.err
        assert not shown.out
    assert list(tmp_path.iterdir()) == [path]


def test_the_command_reports_a_fault(intact: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = parse_program(intact, "model.cat")
    path = tmp_path / "model.cat"
    # Without its last instruction the program runs off its end.
    path.write_bytes(program_bytes(replace(program, code=(bytes(program.code[0])[:-16],))))
    assert execute(["run", str(path), "--random", "-o", str(tmp_path / "out.npz")]) == ExitCode.MISMATCH
    shown = capsys.readouterr()
    assert "CAT-E001" in shown.err
    assert "ran past the end of the code" in shown.err
    assert list(tmp_path.iterdir()) == [path]
