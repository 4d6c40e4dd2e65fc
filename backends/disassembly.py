"""The disassembler: a program as a listing that assembles to the same bytes.

    0000: 2001...  loop dim=1, kind=ks, tile=8      ; conv1 / oc / onnx:Conv_26

After an instruction stand its layer, the blocks it is in, and the ONNX nodes it came from. Everything else of the
program is in directives (see `backends.listing`), except the words of constants, which are named by their digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence

from backends.canonical_json import canonical, record_items
from backends.container import require_isa
from backends.fields import Array
from backends.isa import Block, Isa
from backends.program import DebugEntry, LayerEntry, Program

INDENT = "  "
COMMENT_COLUMN = 60


def disassemble(program: Program, isa: Isa) -> str:
    """The listing of a program.

    Raises `CatenaError`: CAT-P004 if the program is not written in `isa`, CAT-P001 for code that does not decode.
    """
    return "".join(f"{line}\n" for line in listing_lines(program, isa))


def listing_lines(program: Program, isa: Isa) -> Iterator[str]:
    """The lines of `disassemble`, made as they are asked for."""
    require_isa(program, isa)
    metadata = record_items(program.metadata)
    description = metadata.pop("description")
    metadata.pop("target_sha256")
    yield f"; program for {metadata['target']}, instruction set {isa.name} version {isa.version}"
    yield _directive(".program", metadata)
    for key in sorted(description):
        yield _directive(".target", {key: description[key]})
    for image in program.constants:
        items = {"memory": image.memory, "base": image.base, "size": image.size, "word": image.word}
        yield _directive(".constants", {**items, "sha256": image_digest(image.array())})
    for directive, records in ((".layer", program.layers), (".group", program.groups), (".tensor", program.tensors)):
        if directive != ".group" or records:
            yield ""
        yield from (_directive(directive, record_items(record)) for record in records)
    layers = {layer.name: layer for layer in program.layers}
    for core in range(len(program.code)):
        yield ""
        yield _directive(".core", {"index": core})
        yield from _core_lines(program, isa, core, layers)


def image_digest(words: Array) -> str:
    """SHA-256 of the bytes of a constant image, which names its side file, as 64 hex digits."""
    return hashlib.sha256(words.data).hexdigest()


def _core_lines(program: Program, isa: Isa, core: int, layers: Mapping[str, LayerEntry]) -> Iterator[str]:
    code = program.code[core]
    words = bytes(code).hex()
    digits = 2 * isa.word_bytes
    address_digits = max(4, len(f"{len(code) // isa.word_bytes:x}"))
    pending = iter([entry for entry in program.debug if entry.core == core])
    entry = next(pending, None)
    current: DebugEntry | None = None
    for address, (text, nest) in enumerate(nested_instructions(program, isa, core)):
        if current is not None and address == current.end:
            current = None
            if entry is None or entry.start != address:
                yield ".endregion"
        if entry is not None and entry.start == address:
            yield _region(entry)
            current, entry = entry, next(pending, None)
        prefix = f"{address:0{address_digits}x}: {words[address * digits : (address + 1) * digits]}  "
        comment = _comment(current, layers, nest)
        yield f"{prefix}{text:<{COMMENT_COLUMN}}  ; {comment}" if comment else prefix + text


def nested_instructions(program: Program, isa: Isa, core: int) -> Iterator[tuple[str, Sequence[str]]]:
    """The text of every instruction of a core, indented by the blocks it is in, and the labels of these blocks.

    Raises `CatenaError` (CAT-P001) for code that does not decode.
    """
    nest: list[str] = []
    for instruction in isa.decode(program.code[core], f"code of core {core}"):
        spec = isa.specs[type(instruction)]
        if spec.block is Block.CLOSE and nest:
            nest.pop()
        yield INDENT * len(nest) + spec.format(instruction), nest
        if spec.block is Block.OPEN:
            nest.append(instruction.nest_label())


def _region(entry: DebugEntry) -> str:
    items = record_items(entry)
    for key in ("core", "start", "end"):
        del items[key]
    return _directive(".region", items)


def _comment(current: DebugEntry | None, layers: Mapping[str, LayerEntry], nest: Sequence[str]) -> str:
    parts: list[str] = []
    if current is not None:
        parts.append(_plain(current.layer))
    blocks = ".".join(nest)
    indices = ", ".join(f"{name}={index}" for name, index in current.loops) if current is not None else ""
    if blocks or indices:
        parts.append(_plain(f"{blocks} [{indices}]".strip() if indices else blocks))
    if current is not None and current.layer in layers:
        parts += [_plain(f"onnx:{node}") for node in layers[current.layer].nodes]
    return " / ".join(parts)


def _directive(name: str, items: Mapping[str, object]) -> str:
    pairs = ", ".join(f"{_key(key)}={_value(value)}" for key, value in items.items())
    return f"{name} {pairs}".rstrip()


def _key(key: str) -> str:
    is_bare = key.isascii() and key.replace("_", "a").isalnum() and not key[0].isdigit()
    return key if is_bare else json.dumps(key)


def _value(value: object) -> str:
    return canonical(value).decode("ascii")


def _plain(text: str) -> str:
    """Text without line ends or control characters, for comments."""
    return json.dumps(text)[1:-1]
