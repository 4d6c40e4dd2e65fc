"""A mapping with one statement a line, as mapping files have it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.ir import Attribute
from xdsl.utils.exceptions import ParseError, VerifyException

from dialects.gemm_mapping import GemmAttr
from dialects.schedule import HostAttr, Mapping, MappingAttr, Node, RowStationaryAttr, SearchAttr
from dialects.toml_text import lines_of
from dialects.unicode_parser import UnicodeParser
from passes.mapping_file import HOST
from passes.mapping_file.pattern import ANYTHING, OPEN, Item, Pattern

_ATTRIBUTE = "#schedule."
SHOWN = 100
"""Characters of a statement that messages show, at most."""
_OPEN_TILE = re.compile(rf"((?:for|par)\s+\S+\s+){re.escape(OPEN)}(\s.*)?")


@dataclass(frozen=True)
class Written:
    """A mapping of a file, and the line of each of its nodes if it has one statement a line; or what is given of it.

    `readable` are the statements beside some that cannot be read.
    """

    mapping: Attribute | None
    lines: tuple[int, ...] = ()
    pattern: Pattern | None = None
    readable: Pattern | None = None


class WrongTextError(Exception):
    """Text that is no mapping: what is wrong, and the lines at which; and the statements that can be read."""

    def __init__(self, problems: Iterable[tuple[int, str]], readable: Iterable[Item] = ()):
        self.problems = tuple(problems)
        self.readable = Pattern(tuple(readable))
        super().__init__("; ".join(reason for _, reason in self.problems))


def written_mapping(mapping: Attribute) -> str:
    """A mapping as the text of a TOML value."""
    match mapping:
        case MappingAttr():
            return '"""\n' + "".join(f"{node}\n" for node in mapping.data.nodes) + '"""'
        case HostAttr():
            return f'"{HOST}"'
        case _:
            return f'"{mapping}"'


def read_mapping(text: str, line: int, context: Context) -> Written:
    """The mapping of a text that begins at a line.

    Raises `WrongTextError`.
    """
    if text.strip() == HOST:
        return Written(HostAttr())
    if text.lstrip().startswith(_ATTRIBUTE):
        try:
            return Written(_mapping(text, context))
        except (ParseError, VerifyException, TypeError) as error:
            raise WrongTextError([(line, _reason(error))]) from error
    items: list[Item] = []
    problems: list[tuple[int, str]] = []
    for number, statement in _statements(text, line):
        try:
            items += _items(statement, number, context)
        except (ParseError, VerifyException, TypeError) as error:
            problems.append((number, f"{textwrap.shorten(statement, SHOWN, placeholder='...')!r}: {_reason(error)}"))
    if not problems:
        given = [(item.node, item.line) for item in items if item.node is not None]
        try:
            mapping = MappingAttr(Mapping(tuple(node for node, _ in given)))
        except VerifyException as error:
            problems.append((_line_of(str(error), given, line), str(error)))
        else:
            if all(item.node is not None and not item.is_open for item in items):
                return Written(mapping, tuple(number for _, number in given))
            return Written(None, pattern=Pattern(tuple(items)))
    raise WrongTextError(problems, items)


def _items(statement: str, line: int, context: Context) -> list[Item]:
    """The nodes of a line, or what stands for some."""
    if statement == ANYTHING:
        return [Item(None, is_open=True, line=line)]
    open_tile = _OPEN_TILE.fullmatch(statement)
    text = f"{open_tile[1]}1{open_tile[2] or ''}" if open_tile else statement
    attribute = _mapping(f"#schedule.mapping<{text}>", context)
    assert isinstance(attribute, MappingAttr)
    return [Item(node, open_tile is not None, line) for node in attribute.data.nodes]


def read_search(text: str, context: Context) -> SearchAttr:
    """What is said of how good a mapping is. Raises `WrongTextError`."""
    try:
        attribute = _attribute(f"#schedule.search<{text}>", context)
    except (ParseError, VerifyException, TypeError) as error:
        raise WrongTextError([(0, _reason(error))]) from error
    assert isinstance(attribute, SearchAttr)
    return attribute


def _statements(text: str, line: int) -> Iterator[tuple[int, str]]:
    """What stands on each line, without what is for people."""
    for number, content in enumerate(lines_of(text), line):
        statement = content.partition("#")[0].strip().rstrip(",")
        if statement:
            yield number, statement


def _line_of(reason: str, given: list[tuple[Node, int]], otherwise: int) -> int:
    """The last line with the node that a reason begins with: the second of two that do not go together."""
    named = reason.partition(":")[0]
    return next((line for node, line in reversed(given) if str(node) == named), otherwise)


def _attribute(text: str, context: Context) -> Attribute:
    parser = UnicodeParser(context, text)
    try:
        attribute = parser.parse_attribute()
    except ValueError as error:  # Python reads no number of thousands of digits
        raise TypeError("a number has too many digits") from error
    if text[parser.pos :].strip():
        raise TypeError(f"unexpected text after the mapping: {text[parser.pos :].strip()!r}")
    return attribute


def _mapping(text: str, context: Context) -> Attribute:
    attribute = _attribute(text, context)
    if not isinstance(attribute, (MappingAttr, RowStationaryAttr, GemmAttr, HostAttr)):
        raise TypeError(
            "expected #schedule.mapping<...>, #schedule.row_stationary<...>, #schedule.gemm<...> or #schedule.host"
        )
    return attribute


def _reason(error: Exception) -> str:
    return error.msg if isinstance(error, ParseError) else str(error)
