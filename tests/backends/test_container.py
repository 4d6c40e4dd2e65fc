"""The program file: its bytes, and what the loader does with bad ones. Offsets here are those of the documentation."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.container import parse_program, program_bytes, read_program, require_isa, require_target, write_program
from backends.isa import Isa
from backends.program import ConstantImage, DebugEntry, LayerEntry, Quantization, Role, TensorEntry
from dialects.diagnostics import CatenaError
from tests.backends.toy import TOY, refusal, toy_metadata, toy_program
from tests.examples import examples

HEADER, ENTRY = 128, 80
BYTES = program_bytes(toy_program())
HYPOTHESIS = settings(max_examples=examples(200), deadline=None, derandomize=True)


def load(data: bytes) -> set[str]:
    """The codes with which a file is refused; one that loads must give its own bytes again."""

    def there_and_back() -> None:
        assert program_bytes(parse_program(data, "p.cat")) == data

    return refusal(there_and_back)


def section_spans(data: bytes) -> dict[str, tuple[int, int]]:
    """Offset and size of the sections by name."""
    (count,) = struct.unpack_from("<I", data, 12)
    spans: dict[str, tuple[int, int]] = {}
    for index in range(count):
        name, offset, size = struct.unpack_from("<32sQQ", data, HEADER + index * ENTRY)
        spans[name.rstrip(b"\0").decode()] = (offset, size)
    return spans


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 64)


def build(sections: list[tuple[str, bytes]], *, major: int = 1, minor: int = 0) -> bytes:
    """A file of any sections, with correct checksums."""
    table_size = len(padded(bytes(ENTRY * len(sections))))
    offset = HEADER + table_size
    table = b""
    for name, content in sections:
        digest = hashlib.sha256(padded(content)).digest()
        table += struct.pack("<32sQQ32s", name.encode(), offset, len(content), digest)
        offset += len(padded(content))
    return sign(padded(table), b"".join(padded(content) for _, content in sections), len(sections), major, minor)


def sign(table: bytes, body: bytes, count: int, major: int = 1, minor: int = 0) -> bytes:
    """A file of a given table and body, with correct checksums of header and table."""
    size = HEADER + len(table) + len(body)
    head = b"\x89CAT\r\n\x1a\n" + struct.pack("<HHIQ", major, minor, count, size)
    head += hashlib.sha256(table).digest() + bytes(40)
    return head + hashlib.sha256(head).digest() + table + body


def sections_of(data: bytes) -> list[tuple[str, bytes]]:
    return [(name, data[offset : offset + size]) for name, (offset, size) in section_spans(data).items()]


def with_section(name: str, change: Callable[[bytes], bytes]) -> bytes:
    """The toy program with one section changed and all checksums right."""
    return build([(each, change(content) if each == name else content) for each, content in sections_of(BYTES)])


def with_json(name: str, change: Callable[[Any], object]) -> bytes:
    """The toy program with the JSON of one section changed in place, canonical, and all checksums right."""

    def rewrite(content: bytes) -> bytes:
        value = json.loads(content)
        change(value)
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

    return with_section(name, rewrite)


def test_layout_is_the_documented_one() -> None:
    assert build(sections_of(BYTES)) == BYTES
    assert list(section_spans(BYTES)) == [
        "metadata",
        "tensors",
        "debug",
        "code.0",
        "code.1",
        "constants.0",
        "constants.1",
    ]
    assert all(offset % 64 == 0 for offset, _ in section_spans(BYTES).values())
    assert len(BYTES) == struct.unpack_from("<Q", BYTES, 16)[0]


def test_a_program_survives_the_file(tmp_path: Path) -> None:
    program = toy_program()
    write_program(program, tmp_path / "p.cat")
    loaded = read_program(tmp_path / "p.cat")
    assert loaded.metadata == program.metadata
    assert (loaded.tensors, loaded.layers, loaded.debug) == (program.tensors, program.layers, program.debug)
    assert [bytes(code) for code in loaded.code] == list(program.code)
    image = loaded.constants[0].array()
    assert image.tolist() == [0, 0, 0, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0, 0, 3, 1, 4, 2, 5]
    assert loaded.constants[1].array().tolist() == [0, 1, 2, 3, 4]
    assert program_bytes(loaded) == (tmp_path / "p.cat").read_bytes() == BYTES
    assert sorted(os.listdir(tmp_path)) == ["p.cat"]


def test_a_program_may_be_small() -> None:
    empty = toy_program(code=(), constants=(), tensors=(), layers=(), debug=())
    assert load(program_bytes(empty)) == set()
    hollow = toy_program(
        constants=(ConstantImage("dram", 0, 0, "float32", ()),), code=(b"",), tensors=(), layers=(), debug=()
    )
    assert load(program_bytes(hollow)) == set()


@pytest.mark.parametrize("bit", range(8))
def test_every_flipped_bit_is_found(bit: int) -> None:
    for position in range(len(BYTES)):
        damaged = bytearray(BYTES)
        damaged[position] ^= 1 << bit
        with pytest.raises(CatenaError) as error:
            parse_program(bytes(damaged), "p.cat")
        assert [each.code for each in error.value.diagnostics] == ["CAT-P002"], position


def test_damage_names_the_section() -> None:
    damaged = bytearray(BYTES)
    for name in ("tensors", "code.1"):
        damaged[section_spans(BYTES)[name][0]] ^= 1
    with pytest.raises(CatenaError) as error:
        parse_program(bytes(damaged), "p.cat")
    assert [each.message.split("'")[1] for each in error.value.diagnostics] == ["tensors", "code.1"]


def test_every_truncation_is_refused() -> None:
    for length in range(len(BYTES)):
        assert load(BYTES[:length]) == {"CAT-P001"}
    assert load(BYTES + b"\0") == {"CAT-P001"}
    assert load(BYTES + bytes(64)) == {"CAT-P001"}


def test_files_that_are_no_program(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "random").write_bytes(np.random.default_rng(1).bytes(5000))
    os.mkfifo(tmp_path / "fifo")
    for name in ("empty", "random", "fifo", "."):
        assert refusal(lambda name=name: read_program(tmp_path / name)) == {"CAT-P001"}
    assert refusal(lambda: read_program(tmp_path / "missing")) == {"CAT-C002"}
    assert refusal(lambda: read_program(Path("\0"))) == {"CAT-C002"}


@given(st.binary(max_size=300))
@HYPOTHESIS
def test_random_bytes_are_refused(data: bytes) -> None:
    assert load(data) == {"CAT-P001"}
    assert load(BYTES[:8] + data) <= {"CAT-P001", "CAT-P002"}


def test_versions() -> None:
    assert load(build(sections_of(BYTES), major=2)) == {"CAT-P003"}
    assert load(build(sections_of(BYTES), major=0)) == {"CAT-P003"}
    # A newer minor version may only add sections; they are passed over.
    newer = build([*sections_of(BYTES), ("profile", b"?")], minor=7)
    assert program_bytes(parse_program(newer, "p.cat")) == BYTES
    assert load(build([*sections_of(BYTES), ("profile", b"?")])) == {"CAT-P001"}


def test_program_for_another_isa_or_target_is_named() -> None:
    program = toy_program()
    require_isa(program, TOY)
    for name, version, bits in (("toi", 3, 160), ("toy", 4, 160), ("toy", 3, 128)):
        with pytest.raises(CatenaError, match="another instruction set") as error:
            require_isa(program, Isa(name=name, version=version, word_bits=bits, summary=""))
        assert error.value.diagnostics[0].code == "CAT-P004"
    require_target(program, "toychip", program.metadata.target_sha256)
    assert refusal(lambda: require_target(program, "otherchip", program.metadata.target_sha256)) == {"CAT-P004"}
    assert refusal(lambda: require_target(program, "toychip", "0" * 64)) == {"CAT-P004"}


@pytest.mark.parametrize("field", ["offset", "size", "name"])
@pytest.mark.parametrize("value", [0, 1, 63, 64, 1 << 31, (1 << 64) - 1, (1 << 64) - 64])
def test_hostile_section_tables(field: str, value: int) -> None:
    spans = section_spans(BYTES)
    table_end = min(offset for offset, _ in spans.values())
    for index in range(len(spans)):
        table = bytearray(BYTES[HEADER:table_end])
        place = index * ENTRY + {"name": 0, "offset": 32, "size": 40}[field]
        struct.pack_into("<Q", table, place, value)
        data = sign(bytes(table), BYTES[table_end:], len(spans))
        assert data == BYTES or load(data) in ({"CAT-P001"}, {"CAT-P002"}, {"CAT-P001", "CAT-P002"})


def test_hostile_headers() -> None:
    spans = section_spans(BYTES)
    table_end = min(offset for offset, _ in spans.values())
    table, body = BYTES[HEADER:table_end], BYTES[table_end:]
    assert sign(table, body, len(spans)) == BYTES
    for count in (0, 1, len(spans) - 1, len(spans) + 1, 4097, 1 << 31, (1 << 32) - 1):
        assert load(sign(table, body, count)) in ({"CAT-P001"}, {"CAT-P002"})
    assert load(sign(table[:-1] + b"\1", body, len(spans))) == {"CAT-P001"}
    reserved = bytearray(BYTES[:96])
    reserved[60] = 1
    assert load(bytes(reserved) + hashlib.sha256(reserved).digest() + BYTES[HEADER:]) == {"CAT-P001"}


def test_padding_with_content_is_refused() -> None:
    name, (offset, size) = next(item for item in section_spans(BYTES).items() if item[1][1] % 64)
    data = bytearray(BYTES)
    data[offset + size] = 1
    index = list(section_spans(BYTES)).index(name)
    end = offset + size + (-size % 64)
    data[HEADER + index * ENTRY + 48 : HEADER + index * ENTRY + 80] = hashlib.sha256(data[offset:end]).digest()
    table_end = min(each for each, _ in section_spans(BYTES).values())
    assert load(sign(bytes(data[HEADER:table_end]), bytes(data[table_end:]), 7)) == {"CAT-P001"}


def test_sections_in_another_arrangement_are_refused() -> None:
    sections = sections_of(BYTES)
    assert load(build(sections[::-1])) == {"CAT-P001"}
    assert load(build([])) == {"CAT-P001"}
    assert load(build([*sections, sections[-1]])) == {"CAT-P001"}
    for index in range(len(sections)):
        assert load(build(sections[:index] + sections[index + 1 :])) == {"CAT-P001"}
    assert load(build([("code.2" if name == "code.1" else name, content) for name, content in sections])) == {
        "CAT-P001"
    }


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"{",
        b"\xff\xfe",
        nested(100_000),
        b'{"a":' * 1000 + b"1" + b"}" * 1000,
        b'{"constants":[],"tensors":[],"tensors":[]}',
        b'{"constants":[], "tensors":[]}',
        b'{"tensors":[],"constants":[]}',
        b'{"constants":[],"tensors":[],"more":1}',
        b'{"constants":[],"tensors":[{"name":"\\ud800"}]}',
    ],
)
@pytest.mark.parametrize("section", ["metadata", "tensors", "debug"])
def test_hostile_json(section: str, content: bytes) -> None:
    assert load(with_section(section, lambda _: content)) == {"CAT-P001"}


@pytest.mark.parametrize(("depth", "codes"), [(60, set[str]()), (70, {"CAT-P001"}), (150, {"CAT-P001"})])
def test_json_may_be_nested_only_so_deep(depth: int, codes: set[str]) -> None:
    def deepen(metadata: Any) -> None:
        metadata["description"] = {"a": json.loads(nested(depth))}
        text = json.dumps(metadata["description"], separators=(",", ":"))
        metadata["target_sha256"] = hashlib.sha256(text.encode()).hexdigest()

    assert load(with_json("metadata", deepen)) == codes


def set_item(*path: Any) -> Callable[[Any], None]:
    """A change that sets an item: the last of the arguments is the value."""

    def change(value: Any) -> None:
        *way, key, item = path
        for step in way:
            value = value[step]
        value[key] = item

    return change


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("tensors", set_item("tensors", 0, "address", -1), "out of range"),
        ("tensors", set_item("tensors", 0, "address", 1 << 80), "out of range"),
        ("tensors", set_item("tensors", 0, "address", 1.0), "integer"),
        ("tensors", set_item("tensors", 0, "address", True), "integer"),
        ("tensors", set_item("tensors", 0, "shape", [1, -6]), "numbers >= 0"),
        ("tensors", set_item("tensors", 0, "shape", [6]), "equally many"),
        ("tensors", set_item("tensors", 0, "shape", [1 << 40, 1 << 40]), "words"),
        ("tensors", set_item("tensors", 0, "dtype", "object"), "unknown dtype"),
        ("tensors", set_item("tensors", 0, "role", "secret"), "role"),
        ("tensors", set_item("tensors", 0, "name", "w"), "two tensors"),
        ("tensors", set_item("tensors", 0, "produced_by", "nobody"), "unknown layer"),
        ("tensors", set_item("tensors", 0, "extra", 1), "extra"),
        ("tensors", set_item("tensors", 1, "address", 15), "not within a constant image"),
        ("tensors", set_item("tensors", 1, "memory", "glb"), "not within a constant image"),
        ("tensors", set_item("tensors", 2, "quantization", "scale", [1]), "canonical"),
        ("tensors", set_item("tensors", 2, "quantization", "scale", [1.5, 2.5]), "scale and zero_point"),
        ("tensors", set_item("constants", 1, "memory", "dram"), "not within|overlap"),
        ("tensors", set_item("constants", 0, "size", 19), "words of float32"),
        ("tensors", set_item("constants", 0, "size", -1), "out of range"),
        ("tensors", set_item("constants", 0, "word", "O"), "unknown word type"),
        ("debug", set_item("layers", 1, "name", "conv"), "two layers"),
        ("debug", set_item("layers", 0, "inputs", ["nothing"]), "unknown tensor"),
        ("debug", set_item("entries", 0, "layer", "nothing"), "unknown layer"),
        ("debug", set_item("entries", 0, "end", 3), "overlaps"),
        ("debug", set_item("entries", 0, "end", 0), "start < end"),
        ("debug", set_item("entries", 3, "end", 9), "outside of the code"),
        ("debug", set_item("entries", 3, "core", 2), "outside of the code"),
        ("debug", set_item("entries", 0, "core", 1), "out of order"),
        ("metadata", set_item("target_sha256", "0" * 64), "digest"),
        ("metadata", set_item("model_sha256", "0"), "64 lower-case"),
        ("metadata", set_item("description", "name", "changed"), "digest"),
        ("metadata", set_item("word_bits", 0), "multiple of 8"),
        ("metadata", set_item("word_bits", 320), "end at an instruction"),
        ("metadata", set_item("isa_version", "3"), "integer"),
    ],
)
def test_inconsistent_tables_are_refused(section: str, change: Callable[[Any], None], message: str) -> None:
    with pytest.raises(CatenaError, match=message) as error:
        parse_program(with_json(section, change), "p.cat")
    assert {each.code for each in error.value.diagnostics} == {"CAT-P001"}


@given(st.data())
@HYPOTHESIS
def test_mutated_sections_with_right_checksums_are_read_or_refused(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(list(section_spans(BYTES))))

    def mutate(content: bytes) -> bytes:
        mutated = bytearray(content)
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(mutated)))
            length = data.draw(st.integers(0, 3))
            mutated[place : place + length] = data.draw(
                st.sampled_from([b"", b"0", b"9", b'"', b",", b"[", b"}", b"-", b"\\u", b"null", b"\xff", b"1e9"])
            )
        return bytes(mutated)

    assert load(with_section(name, mutate)) <= {"CAT-P001"}


def test_all_inconsistencies_are_reported_when_writing() -> None:
    program = toy_program(
        layers=(LayerEntry("conv", "conv", (), ("a", "b"), ("c",)),),
        metadata=toy_metadata(target_sha256="0" * 64),
        debug=(DebugEntry(0, 0, 99, "conv"),),
    )
    with pytest.raises(CatenaError) as error:
        program_bytes(program)
    assert [each.code for each in error.value.diagnostics] == ["CAT-I001"] * 5


def test_entries_check_themselves() -> None:
    with pytest.raises(ValueError, match="reach 7 words"):
        TensorEntry("x", Role.INPUT, "dram", 0, 6, (2, 3), (4, 1), "float32")
    with pytest.raises(ValueError, match="scale"):
        Quantization((1.0, 2.0), (0, 0))
    with pytest.raises(ValueError, match="start < end"):
        DebugEntry(0, 3, 3, "x")


@pytest.mark.parametrize(
    "pieces",
    [
        ((15, np.zeros(1, np.float32)),),
        ((35, np.zeros(2, np.float32)),),
        ((16, np.zeros(4, np.float32)), (19, np.zeros(1, np.float32))),
        ((20, np.zeros(1, np.float32)), (16, np.zeros(1, np.float32))),
        ((16, np.zeros(4, np.float64)),),
    ],
)
def test_pieces_that_do_not_fit_leave_no_file(tmp_path: Path, pieces: Any) -> None:
    image = ConstantImage("dram", 16, 20, "float32", pieces)
    (tmp_path / "p.cat").write_text("old")
    program = toy_program(constants=(image, toy_program().constants[1]))
    assert refusal(lambda: write_program(program, tmp_path / "p.cat")) == {"CAT-I001"}
    assert os.listdir(tmp_path) == ["p.cat"]
    assert (tmp_path / "p.cat").read_text() == "old"


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    assert refusal(lambda: write_program(toy_program(), tmp_path / "no" / "p.cat")) == {"CAT-C002"}
    assert refusal(lambda: write_program(toy_program(), tmp_path)) == {"CAT-C002"}


class Lazy:
    """Pieces made one at a time."""

    def __init__(self, count: int, words: int):
        self.count = count
        self.words = words

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        for index in range(self.count):
            yield index * self.words, np.full(self.words, index, np.float32)


def test_constants_are_streamed_mapped_and_verified_fast(tmp_path: Path) -> None:
    count, words = 25, 1_000_000
    image = ConstantImage("dram", 0, count * words, "float32", Lazy(count, words))
    program = replace(toy_program(), constants=(image,), tensors=(), layers=(), debug=())
    tracemalloc.start()
    write_program(program, tmp_path / "p.cat")
    loaded = read_program(tmp_path / "p.cat")
    array = loaded.constants[0].array()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # 100 MB of constants; two pieces of 4 MB may live at a time.
    assert peak < 10e6
    assert not array.flags.writeable
    assert not array.flags.owndata
    assert array[3 * words - 1] == 2
    assert array[3 * words] == 3
    data = (tmp_path / "p.cat").read_bytes()
    start = time.process_time()
    hashlib.sha256(data).digest()
    floor = time.process_time() - start
    start = time.process_time()
    read_program(tmp_path / "p.cat")
    assert time.process_time() - start < 2 * floor + 0.05
