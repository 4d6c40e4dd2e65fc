"""A mapping with one statement a line, as mapping files have it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.ir import Attribute
from xdsl.utils.exceptions import ParseError, VerifyException

from dialects.schedule import HostAttr, Mapping, MappingAttr, Node, RowStationaryAttr
from dialects.unicode_parser import UnicodeParser
from passes.mapping_file import HOST

_ATTRIBUTE = "#schedule."


@dataclass(frozen=True)
class Written:
    """A mapping of a file, and the line of each of its nodes if it has one statement a line."""

    mapping: Attribute
    lines: tuple[int, ...] = ()


class WrongTextError(Exception):
    """Text that is no mapping: what is wrong, and the lines at which."""

    def __init__(self, problems: Iterable[tuple[int, str]]):
        self.problems = tuple(problems)
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
            return Written(_attribute(text, context))
        except (ParseError, VerifyException, TypeError) as error:
            raise WrongTextError([(line, _reason(error))]) from error
    nodes: list[Node] = []
    lines: list[int] = []
    problems: list[tuple[int, str]] = []
    for number, statement in _statements(text, line):
        try:
            attribute = _attribute(f"#schedule.mapping<{statement}>", context)
        except (ParseError, VerifyException, TypeError) as error:
            problems.append((number, f"{statement!r}: {_reason(error)}"))
            continue
        assert isinstance(attribute, MappingAttr)
        nodes += attribute.data.nodes
        lines += [number] * len(attribute.data.nodes)
    if not problems:
        try:
            return Written(MappingAttr(Mapping(tuple(nodes))), tuple(lines))
        except VerifyException as error:
            problems.append((_line_of(str(error), nodes, lines, line), str(error)))
    raise WrongTextError(problems)


def _statements(text: str, line: int) -> Iterator[tuple[int, str]]:
    """What stands on each line, without what is for people."""
    for number, content in enumerate(text.splitlines(), line):
        statement = content.partition("#")[0].strip().rstrip(",")
        if statement:
            yield number, statement


def _line_of(reason: str, nodes: list[Node], lines: list[int], otherwise: int) -> int:
    """The last line with the node that a reason begins with: the second of two that do not go together."""
    named = reason.partition(":")[0]
    return next((n for node, n in reversed(list(zip(nodes, lines, strict=True))) if str(node) == named), otherwise)


def _attribute(text: str, context: Context) -> Attribute:
    parser = UnicodeParser(context, text)
    attribute = parser.parse_attribute()
    if text[parser.pos :].strip():
        raise TypeError(f"unexpected text after the mapping: {text[parser.pos :].strip()!r}")
    if not isinstance(attribute, (MappingAttr, RowStationaryAttr, HostAttr)):
        raise TypeError("expected #schedule.mapping<...>, #schedule.row_stationary<...> or #schedule.host")
    return attribute


def _reason(error: Exception) -> str:
    return error.msg if isinstance(error, ParseError) else str(error)
