"""IR as text: parsed with the position of every op, printed with locations, weights always beside it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from itertools import accumulate
from pathlib import Path

from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.dialects.func import Func
from xdsl.ir import Operation
from xdsl.printer import Printer
from xdsl.utils.exceptions import ParseError, UnregisteredConstructException, VerifyException

from compiler.files import STANDARD_STREAM, read_text, write_text
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.registry import available_dialects
from dialects.unicode_parser import UnicodeParser
from dialects.weights import bind_weights, save_weights

WEIGHTS_FOLDER = "weights"
"""The weight store stands beside the IR file, in a folder of this name."""

HOSTILE_TEXT = (
    UnregisteredConstructException,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    RecursionError,
)
"""What xDSL's parser lets escape on text that no printer wrote."""


def new_context() -> Context:
    """A context that knows every dialect of ours and the builtin and func dialects."""
    context = Context()
    context.load_dialect(Builtin)
    context.load_dialect(Func)
    for name, factory in available_dialects().items():
        context.register_dialect(name, factory)
    return context


class Positions(Mapping[Operation, str]):
    """Where each op of a parsed module begins, as `file:line:column`; lines are counted only when asked."""

    def __init__(self, name: str, text: str):
        self._name = name
        self._text = text
        self._starts: dict[Operation, int] = {}

    def record(self, op: Operation, start: int) -> None:
        self._starts[op] = start

    def at(self, start: int) -> str:
        """A character offset as `file:line:column`."""
        line = self._text.count("\n", 0, start) + 1
        return f"{self._name}:{line}:{start - self._text.rfind(chr(10), 0, start)}"

    def __getitem__(self, op: Operation) -> str:
        return self.at(self._starts[op])

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._starts)

    def __len__(self) -> int:
        return len(self._starts)


class _PositionParser(UnicodeParser):
    def __init__(self, context: Context, text: str, positions: Positions):
        super().__init__(context, text)
        self._positions = positions

    def parse_operation(self) -> Operation:
        start = self._current_token.span.start
        op = super().parse_operation()
        self._positions.record(op, start)
        return op

    @property
    def here(self) -> str:
        """Where the parser stands."""
        return self._positions.at(self._current_token.span.start)


@dataclass(frozen=True)
class ParsedModule:
    """A module and where its ops stand in the text."""

    module: ModuleOp
    positions: Positions


def parse_module(text: str, name: str = "<text>", context: Context | None = None) -> ParsedModule:
    """Parse IR text; `name` is what messages call it.

    Raises `CatenaError`: CAT-R001 with line and column if the text cannot be parsed, CAT-R002 if an attribute or type
    in it breaks its own rules.
    """
    positions = Positions(name, text)
    try:
        parser = _PositionParser(new_context() if context is None else context, text, positions)
    except ParseError as error:
        raise CatenaError(_syntax_problem(error, positions)) from error
    try:
        module = parser.parse_module()
    except ParseError as error:
        raise CatenaError(_syntax_problem(error, positions)) from error
    except VerifyException as error:
        raise CatenaError(Diagnostic("CAT-R002", _one_line(str(error)), where=parser.here)) from error
    except HOSTILE_TEXT as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else _one_line(str(error))
        raise CatenaError(
            Diagnostic("CAT-R001", f"the text cannot be parsed: {reason or type(error).__name__}", where=parser.here)
        ) from error
    return ParsedModule(module, positions)


def _syntax_problem(error: ParseError, positions: Positions) -> Diagnostic:
    return Diagnostic("CAT-R001", _one_line(error.msg), where=positions.at(error.span.start))


def read_module(name: str, context: Context | None = None) -> ParsedModule:
    """Parse an IR file, or standard input for `-`, and attach the weights of the store beside the file.

    Raises `CatenaError` as `parse_module`, and CAT-C002 or CAT-R004 for files that cannot be read.
    """
    parsed = parse_module(read_text(name), "<stdin>" if name == STANDARD_STREAM else name, context)
    if name != STANDARD_STREAM:
        bind_weights(parsed.module, Path(name).parent / WEIGHTS_FOLDER)
    return parsed


def print_module(module: ModuleOp) -> str:
    """A module as text with locations, ending in a newline; equal modules give equal text."""
    stream = StringIO()
    Printer(stream, print_debuginfo=True).print_op(module)
    stream.write("\n")
    return stream.getvalue()


@dataclass(frozen=True)
class ModuleText:
    """A module as `print_module` prints it, line by line, and the line from 0 on which every op begins."""

    lines: tuple[str, ...]
    starts: Mapping[Operation, int]


class _LinePrinter(Printer):
    """Notes where every op begins."""

    def __init__(self, stream: StringIO):
        super().__init__(stream, print_debuginfo=True)
        self._written = stream
        self.begins: dict[Operation, int] = {}

    def print_op(self, op: Operation) -> None:
        self.begins[op] = self._written.tell()
        super().print_op(op)


def print_lines(module: ModuleOp) -> ModuleText:
    """A module as lines of text, with the place of every op in it."""
    stream = StringIO()
    printer = _LinePrinter(stream)
    printer.print_op(module)
    lines = stream.getvalue().split("\n")
    ends = list(accumulate(len(line) + 1 for line in lines))
    return ModuleText(tuple(lines), {op: bisect_right(ends, begin) for op, begin in printer.begins.items()})


def write_module(module: ModuleOp, path: Path, require: Callable[[], None] = lambda: None) -> None:
    """Write a module as text and its weights to the store beside it; beside a device or pipe there is none.

    What `require` raises once weights are written keeps the text from its place. Raises `CatenaError` (CAT-C002) if a
    file cannot be written.
    """
    if path.is_file() or not path.exists():
        save_weights(module, path.parent / WEIGHTS_FOLDER)
    text = print_module(module)
    require()
    write_text(path, text)


def _one_line(message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return "; ".join(lines)
