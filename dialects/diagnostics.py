"""Diagnostics: what every part of Catena raises and the CLI prints.

A `Diagnostic` says what is wrong at one place; a `CatenaError` carries all of them at once.
The codes are declared here and only here; `catena` documents them from this table.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any
from unicodedata import category


class ExitCode(IntEnum):
    """Process exit codes of the `catena` command."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    UNSUPPORTED = 3
    DOES_NOT_FIT = 4
    MISMATCH = 5
    PARTIAL = 6
    INTERRUPTED = 130


@dataclass(frozen=True)
class Code:
    """One kind of error: its stable identifier, what it means and the exit code it leads to."""

    id: str
    meaning: str
    exit_code: ExitCode


CODES: dict[str, Code] = {
    code.id: code
    for code in (
        Code("CAT-I001", "the compiler broke one of its own rules (a bug)", ExitCode.INTERNAL),
        Code("CAT-C001", "a command line argument is wrong", ExitCode.USAGE),
        Code("CAT-C002", "a file cannot be read or written", ExitCode.USAGE),
        Code("CAT-C003", "a target description or configuration file is not valid", ExitCode.USAGE),
        Code("CAT-C004", "an optional dependency is not installed", ExitCode.USAGE),
        Code("CAT-C005", "an input array does not fit the model", ExitCode.USAGE),
        Code("CAT-C006", "a back-end plug-in cannot be loaded", ExitCode.USAGE),
        Code("CAT-C007", "there is not enough memory, or not enough is allowed", ExitCode.USAGE),
        Code("CAT-M001", "the file is not a valid ONNX model", ExitCode.USAGE),
        Code("CAT-M002", "a shape is dynamic and no value was given for it", ExitCode.USAGE),
        Code("CAT-M003", "shape or type inference found a contradiction", ExitCode.USAGE),
        Code("CAT-M004", "external weight data is missing or damaged", ExitCode.USAGE),
        Code("CAT-U001", "the operator is not supported", ExitCode.UNSUPPORTED),
        Code(
            "CAT-U002",
            "the operator is supported, but not with these attributes or types",
            ExitCode.UNSUPPORTED,
        ),
        Code("CAT-U003", "the operator belongs to a custom domain", ExitCode.UNSUPPORTED),
        Code("CAT-U004", "control flow depends on input data, or unrolls to too many nodes", ExitCode.UNSUPPORTED),
        Code("CAT-U005", "the opset version is not supported", ExitCode.UNSUPPORTED),
        Code("CAT-U006", "the target cannot execute this link", ExitCode.UNSUPPORTED),
        Code("CAT-Q001", "the model cannot be quantized", ExitCode.UNSUPPORTED),
        Code("CAT-Q002", "the model cannot be pruned", ExitCode.UNSUPPORTED),
        Code("CAT-R001", "the IR text cannot be parsed", ExitCode.USAGE),
        Code("CAT-R002", "the IR does not verify", ExitCode.USAGE),
        Code("CAT-R003", "the IR is not legal at the named stage", ExitCode.USAGE),
        Code("CAT-R004", "a weight is not in the store", ExitCode.USAGE),
        Code("CAT-R005", "cores may touch a word in either order", ExitCode.USAGE),
        Code("CAT-R006", "a core waits for what never comes", ExitCode.USAGE),
        Code("CAT-F001", "no legal mapping exists on this target", ExitCode.DOES_NOT_FIT),
        Code("CAT-F002", "a mapping does not fit the target's memories or array", ExitCode.DOES_NOT_FIT),
        Code("CAT-F003", "the program does not fit the target's memory", ExitCode.DOES_NOT_FIT),
        Code("CAT-P001", "the file is not a valid program", ExitCode.USAGE),
        Code("CAT-P002", "a checksum of the program does not match", ExitCode.USAGE),
        Code("CAT-P003", "the program's format version is not supported", ExitCode.USAGE),
        Code("CAT-P004", "the program is for another target", ExitCode.USAGE),
        Code("CAT-P005", "an encoded tensor is no stream of its format", ExitCode.USAGE),
        Code("CAT-A001", "the assembly text cannot be parsed", ExitCode.USAGE),
        Code("CAT-A002", "an instruction field is out of range", ExitCode.USAGE),
        Code("CAT-E001", "the emulator stopped: address out of range or buffer overrun", ExitCode.MISMATCH),
        Code("CAT-E002", "the emulator stopped: a word was read that was never written", ExitCode.MISMATCH),
        Code("CAT-E003", "the emulator stopped: the instruction is illegal in this state", ExitCode.MISMATCH),
        Code("CAT-E004", "the emulator stopped: cores race for a word", ExitCode.MISMATCH),
        Code("CAT-E005", "the emulator stopped: cores wait for each other for ever", ExitCode.MISMATCH),
        Code("CAT-V001", "an output differs from the reference", ExitCode.MISMATCH),
        Code("CAT-V002", "the reference cannot be computed", ExitCode.USAGE),
        Code("CAT-V003", "the target fails a case of the conformance kit", ExitCode.MISMATCH),
    )
}


_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories of what shows nothing: control, format, surrogate, line and paragraph separator."""
_SPACING = "\n\t"


def is_control(character: str) -> bool:
    """Whether a terminal would obey a character and not show it: control codes, and those that turn text around."""
    code = ord(character)
    is_code = (code < 0x20 and character not in "\n\t") or 0x7F <= code < 0xA0
    return is_code or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069


def visible(text: str) -> str:
    """Text with characters that cannot be seen, other than spaces and line ends, written as Python does."""
    return "".join(each if each in _SPACING else escaped(each) for each in text)


def escaped(text: str) -> str:
    """Text in one line: control codes, line ends, and what has no width or turns text around, as Python writes them."""
    if text.isprintable():
        return text
    return "".join(repr(each)[1:-1] if category(each) in _UNSEEN else each for each in text)


@dataclass(frozen=True)
class Diagnostic:
    """One problem at one place.

    `code` is a key of `CODES`; `node` is the ONNX node (or tensor) it is about; `where` a file position or an
    instruction address. `expected` and `found` are short phrases; `hint` says what to do about it.
    """

    code: str
    message: str
    stage: str = ""
    node: str = ""
    where: str = ""
    expected: str = ""
    found: str = ""
    hint: str = ""

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise KeyError(f"undeclared diagnostic code {self.code!r}")

    def __str__(self) -> str:
        place = ", ".join(part for part in (self.stage, self.where, f"node {self.node!r}" if self.node else "") if part)
        lines = [f"error[{self.code}]{f' ({place})' if place else ''}: {self.message}"]
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.found:
            lines.append(f"  found:    {self.found}")
        if self.hint:
            lines.append(f"  hint:     {self.hint}")
        return visible("\n".join(lines))

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary without the empty fields."""
        return {key: value for key, value in asdict(self).items() if value != ""}


class CatenaError(Exception):
    """One or more diagnostics that end the current command."""

    def __init__(self, diagnostics: Diagnostic | Iterable[Diagnostic]):
        found = (diagnostics,) if isinstance(diagnostics, Diagnostic) else tuple(diagnostics)
        if not found:
            raise ValueError("CatenaError needs at least one diagnostic")
        self.diagnostics: tuple[Diagnostic, ...] = found
        super().__init__("\n".join(str(diagnostic) for diagnostic in found))

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the first diagnostic."""
        return CODES[self.diagnostics[0].code].exit_code


NO_MEMORY = "there is not enough memory for this"
_MORE_MEMORY = "allow more with --max-memory, or use a larger machine"


def no_memory(node: str = "", stage: str = "") -> Diagnostic:
    """The problem of an array that finds no room (CAT-C007), at the node that it is made for if that is known."""
    return Diagnostic("CAT-C007", NO_MEMORY, stage, node, hint=_MORE_MEMORY)


@contextmanager
def memory_for(node: str, stage: str = "") -> Generator[None]:
    """Say of which node it is if an array within finds no room. Raises `CatenaError` (CAT-C007) then."""
    try:
        yield
    except MemoryError as error:
        raise CatenaError(no_memory(node, stage)) from error


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """A hint that offers the candidates most like `name`, or lists all when none is alike and there are few."""
    from difflib import get_close_matches

    known = list(dict.fromkeys(candidates))
    close = get_close_matches(name, known, n=3)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known: {', '.join(known)}" if 0 < len(known) <= 12 else ""


def nearest_key(key: str, known: Iterable[str]) -> str:
    """The known key most like one, whatever its case and whether it has _ or -; empty if none is."""
    from difflib import get_close_matches

    names = list(known)
    return next(iter(get_close_matches(key.lower().replace("-", "_"), names, 1)), "")
