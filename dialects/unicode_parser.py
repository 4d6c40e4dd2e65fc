"""xDSL's parser, made to read back the text that xDSL's printer writes for names that are not ASCII, and to end."""

from __future__ import annotations

import re

from xdsl.context import Context
from xdsl.dialects.builtin import StringAttr
from xdsl.ir import TypeAttribute
from xdsl.parser import Parser
from xdsl.parser.generic_parser import ParserState
from xdsl.utils.exceptions import ParseError
from xdsl.utils.lexer import Input, Position, Span
from xdsl.utils.mlir_lexer import MLIRLexer, MLIRToken, MLIRTokenKind, StringLiteral

WIDEST = (1 << 24) - 1
"""Bits of the widest integer type, as in MLIR."""
_INTEGER = re.compile(r"[su]?i(\d+)", re.ASCII)


class LinearLexer(MLIRLexer):
    """xDSL's lexer without backtracking in string literals: an unclosed one takes xDSL exponential time.

    Numbers begin with the digits of ASCII; xDSL takes those of every script, and fractions such as ½.
    """

    _unescaped_characters_regex = re.compile(r'"(?:[^"\\\n\v\f]++|\\(?:["nt\\]|[0-9A-Fa-f]{2}))*+"')

    def _lex_number(self, start_pos: Position) -> MLIRToken:
        first = self.input.slice(start_pos, start_pos + 1) or ""
        if not first.isascii():
            raise ParseError(Span(start_pos, start_pos + 1, self.input), f"Unexpected character: {first}")
        return super()._lex_number(start_pos)


class UnicodeParser(Parser):
    r"""Reads `"\C3\A9"` as the string `é`.

    xDSL prints every character beyond ASCII as escaped UTF-8 and takes a literal with such escapes for bytes: a
    `BytesAttr` as an attribute, an error in a location.
    """

    def __init__(self, ctx: Context, input: str, name: str = "<text>"):
        super().__init__(ctx, "", name)
        self._parser_state = ParserState(LinearLexer(Input(input, name)))

    def _parse_optional_integer_or_float_type(self) -> TypeAttribute | None:
        token = self._current_token
        width = _INTEGER.fullmatch(token.text)
        if width is not None and int(width.group(1)) > WIDEST:
            # Asking for the range of such a type would take gigabytes.
            raise ParseError(token.span, f"integers have at most {WIDEST} bits")
        return super()._parse_optional_integer_or_float_type()

    def parse_optional_str_literal(self) -> str | None:
        """Parse a string literal, if present."""
        text = super().parse_optional_str_literal()
        return self._parse_escaped_text() if text is None else text

    def _parse_optional_string_attr(self) -> StringAttr | None:
        attribute = super()._parse_optional_string_attr()
        if attribute is not None:
            return attribute
        text = self._parse_escaped_text()
        return None if text is None else StringAttr(text)

    def _parse_escaped_text(self) -> str | None:
        token = self._current_token
        if token.kind is not MLIRTokenKind.BYTES_LIT:
            return None
        try:
            text = StringLiteral.from_span(token.span).bytes_contents.decode()
        except UnicodeDecodeError:
            return None
        self._consume_token(MLIRTokenKind.BYTES_LIT)
        return text
