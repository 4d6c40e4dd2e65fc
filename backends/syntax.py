"""The syntax of assembly text: a LALR grammar for one line.

A line holds at most one statement; blanks separate, `;` starts a comment.

    [ADDRESS: BYTES] MNEMONIC FIELD=VALUE, FIELD=VALUE ...    an instruction; address and bytes are commentary
    .DIRECTIVE KEY=JSON, KEY=JSON ...                         everything else of a program

What instructions mean says `backends.assembly`, what directives mean `backends.listing`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from backends.problems import Problems
from dialects.diagnostics import Diagnostic

if TYPE_CHECKING:
    from lark import Lark, UnexpectedInput

GRAMMAR = r"""
line: ADDRESS? (instruction | directive)?
instruction: MNEMONIC (OPERAND (COMMA OPERAND)*)?
directive: DIRECTIVE (pair (COMMA pair)*)?
pair: (KEY | STRING EQUALS) value
?value: STRING -> string | NUMBER -> number | WORD -> word | array | object
array: OPEN_ARRAY (value (COMMA value)*)? CLOSE_ARRAY
object: OPEN_OBJECT (member (COMMA member)*)? CLOSE_OBJECT
member: STRING COLON value

ADDRESS.2: /[0-9a-f]+:[ \t]+[0-9a-f]+(?=[ \t;]|$)/
MNEMONIC: /[A-Za-z_][A-Za-z0-9_.]*/
OPERAND: /[A-Za-z_][A-Za-z0-9_]*[ \t]*=[ \t]*[^\s,;=]+/
DIRECTIVE: /\.[A-Za-z_]+/
KEY: /[A-Za-z_][A-Za-z0-9_-]*(?=[ \t]*=)[ \t]*=/
STRING: /"(?:[^"\\\x00-\x1f]|\\.)*"/
NUMBER: /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/
WORD: /true|false|null/
EQUALS: "="
COMMA: ","
COLON: ":"
OPEN_ARRAY: "["
CLOSE_ARRAY: "]"
OPEN_OBJECT: "{"
CLOSE_OBJECT: "}"
COMMENT: /;.*/
%ignore /[ \t]+/
%ignore COMMENT
"""

_PHRASES = {
    "$END": "the end of the line",
    "ADDRESS": "an address",
    "MNEMONIC": "a mnemonic",
    "OPERAND": "FIELD=VALUE",
    "DIRECTIVE": "a directive",
    "KEY": "KEY=",
    "STRING": "a string",
    "NUMBER": "a number",
    "WORD": "true, false or null",
    "EQUALS": "'='",
    "COMMA": "','",
    "COLON": "':'",
    "OPEN_ARRAY": "'['",
    "CLOSE_ARRAY": "']'",
    "OPEN_OBJECT": "'{'",
    "CLOSE_OBJECT": "'}'",
}


@dataclass(frozen=True, slots=True)
class Operand:
    """`key=value` of a statement; `value` is text for an instruction, JSON for a directive. Columns count from 1."""

    key: str
    value: Any
    column: int


@dataclass(frozen=True, slots=True)
class Statement:
    """An instruction, or a directive (whose name starts with a dot), with its place in the text."""

    name: str
    column: int
    operands: tuple[Operand, ...]
    line: int = 0

    @property
    def is_directive(self) -> bool:
        """Whether this is a directive."""
        return self.name.startswith(".")

    def place(self, origin: str, column: int | None = None) -> str:
        """`origin:line:column` for messages."""
        return f"{origin}:{self.line}:{self.column if column is None else column}"


def statements(text: str, origin: str, problems: Problems) -> Iterator[Statement]:
    """The statements of a text, line by line; a line that cannot be parsed goes to `problems` (CAT-A001).

    Stops early when `problems` is full.
    """
    from lark import UnexpectedInput

    parser: Any = _parser()
    for number, line in enumerate(text.split("\n"), 1):
        if problems.is_full:
            return
        line = line.removesuffix("\r")
        try:
            parsed = parser.parse(line)
        except UnexpectedInput as error:
            problems.add(_syntax_error(error, line, f"{origin}:{number}"))
            continue
        except ValueError as error:
            problems.add(Diagnostic("CAT-A001", f"malformed value: {error}", where=f"{origin}:{number}"))
            continue
        if parsed is not None:
            name, column, operands = parsed
            yield Statement(name, column, operands, number)


def _syntax_error(error: UnexpectedInput, line: str, place: str) -> Diagnostic:
    from lark import Token, UnexpectedCharacters, UnexpectedToken

    column = len(line) + 1
    found = "the end of the line"
    expected: set[str] = set()
    if isinstance(error, UnexpectedToken):
        expected = error.accepts or error.expected
        token: Token = cast(Any, error).token
        if token.type != "$END":
            column, found = error.column, ascii(str(token)[:40])
    elif isinstance(error, UnexpectedCharacters):
        expected = error.allowed or set()
        column, found = error.column, ascii(line[error.column - 1 : error.column])
    phrases = sorted({_PHRASES[name] for name in expected if name in _PHRASES})
    message = "the statement is not complete" if column > len(line) else "unexpected text"
    where = f"{place}:{column}"
    return Diagnostic("CAT-A001", message, where=where, expected=" or ".join(phrases), found=found)


@cache
def _parser() -> Lark:
    from lark import Lark, Token, Transformer

    class Builder(Transformer[Token, Any]):
        """Makes plain Python values while parsing, so that no tree is built."""

        def line(self, children: list[Any]) -> Any:
            return children[-1] if children and not isinstance(children[-1], Token) else None

        def instruction(self, children: list[Token]) -> Any:
            operands: list[Operand] = []
            for token in children[1::2]:
                key, _, value = token.partition("=")
                operands.append(Operand(key.rstrip(), value.lstrip(), token.column or 0))
            return str(children[0]), children[0].column, tuple(operands)

        def directive(self, children: list[Any]) -> Any:
            return str(children[0]), children[0].column, tuple(children[1::2])

        def pair(self, children: list[Any]) -> Operand:
            token = children[0]
            key = json.loads(token) if token.type == "STRING" else token.removesuffix("=").rstrip()
            return Operand(key, children[-1], token.column)

        def string(self, children: list[Token]) -> str:
            return json.loads(children[0])

        number = word = string

        def array(self, children: list[Any]) -> list[Any]:
            return children[1:-1:2]

        def object(self, children: list[Any]) -> dict[str, Any]:
            members = dict(children[1:-1:2])
            if len(members) != len(children[1:-1:2]):
                raise ValueError("an object has a key twice")
            return members

        def member(self, children: list[Any]) -> tuple[str, Any]:
            return json.loads(children[0]), children[2]

    return Lark(GRAMMAR, parser="lalr", start="line", transformer=Builder(), maybe_placeholders=False)
