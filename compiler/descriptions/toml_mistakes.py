"""What is wrong with text that is no TOML: the line, and what people commonly mean there."""

from __future__ import annotations

import re
from dataclasses import dataclass

from compiler.descriptions.lines import keys_in
from dialects.toml_text import lines_of

_POSITION = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_BYTE_ORDER_MARK = "\ufeff"
_TWICE = ("Cannot declare", "Cannot overwrite", "Cannot mutate")
_STATEMENT = "a line is KEY = VALUE, [TABLE] or a comment, which starts with #; other names than a_b-1 stand in quotes"
_CLOSE_QUOTES = "close the quotes in the same line; a text of several lines stands in three quotes"
_NO_LISTS = "tables with names have single brackets: [levels.NAME]"
_BARE_NAMES = re.compile(r"[A-Za-z0-9_. -]+")
_HINTS = (
    (
        "Invalid value",
        'texts stand in straight quotes ("), true and false have small letters, a number begins with a digit: 0.5',
    ),
    (
        "Expected newline",
        "one key a line, with nothing after its value: no unit, no sign, a comment only after #",
    ),
    ("Expected ']' at the end of a table", "close the brackets: [levels.NAME]"),
    ("Expected ']]'", _NO_LISTS),
    ("Expected '=' after a key", _STATEMENT),
    ("Invalid statement", _STATEMENT),
    ("Invalid initial character", "a table in braces is written in one line, without a comma at its end"),
    ("Unclosed array", "close the brackets of the list, with commas between its entries"),
    ("Unclosed inline table", "close the braces of the table, with commas between its keys"),
    ("Unescaped", "write two backslashes for one, or the text in single quotes"),
    ("Illegal character '\\n'", _CLOSE_QUOTES),
    ("Illegal character '\\r'", _CLOSE_QUOTES),
    ("Illegal character", "leave the control character out"),
)
"""How messages of the parser begin, and what to do."""
_OPEN = {"Unterminated string": '"""', "Expected \"'''\"": "'''", 'Expected "\'"': "'"}
"""How messages about texts begin that end nowhere, and the quotes that open them."""


@dataclass(frozen=True)
class NoToml:
    """Why a text is no TOML, the line, from 1, and what to do about it."""

    reason: str
    line: int
    hint: str


def what_is_no_toml(message: str, text: str) -> NoToml:
    """What a message of `tomllib` means for the text that it is about."""
    if text.startswith(_BYTE_ORDER_MARK):
        return NoToml("it begins with a byte order mark", 1, "save the file as UTF-8 without one")
    found = _POSITION.search(message)
    reason = message if found is None else message[: found.start()]
    last = max(len(lines_of(text)), 1)
    line = int(found[1]) if found is not None and found[1] else last
    if reason.startswith(_TWICE) and (twice := _given_twice(text, line)):
        return twice
    if opened := next((quotes for beginning, quotes in _OPEN.items() if reason.startswith(beginning)), ""):
        line = _last_odd(text, opened, line)
        return NoToml(f"{opened} is not closed", line, _CLOSE_QUOTES)
    at_end = " at the end of the file" if found is not None and not found[1] else ""
    hint = _hint(reason, dict(enumerate(lines_of(text), 1)).get(line, "").strip())
    return NoToml(reason + at_end, line, hint)


def _hint(reason: str, line: str) -> str:
    """What to do about a line."""
    if line.startswith("["):
        name = line.strip("[] ")
        if line.startswith("[["):
            return _NO_LISTS
        if line.endswith("]") and not _BARE_NAMES.fullmatch(name):
            return _STATEMENT
    return next((hint for beginning, hint in _HINTS if reason.startswith(beginning)), _STATEMENT)


def _given_twice(text: str, line: int) -> NoToml | None:
    """The last key or table up to a line that was given before, as itself or as a value."""
    keys = [(number, key) for number, key in keys_in(text) if number <= line]
    for place in reversed(range(len(keys))):
        number, key = keys[place]
        for before, earlier in keys[:place]:
            if earlier == key or (key.startswith(f"{earlier}.") and not _is_table(text, before)):
                what = f"{earlier} is first given in line {before}"
                return NoToml(f"{key} is given twice", number, f"{what}: leave one out, or put what they say together")
    return None


def _is_table(text: str, line: int) -> bool:
    return lines_of(text)[line - 1].lstrip().startswith("[")


def _last_odd(text: str, quotes: str, otherwise: int) -> int:
    """The last line that opens what it does not close."""
    odd = [number for number, line in enumerate(lines_of(text), 1) if line.count(quotes) % 2]
    return odd[-1] if odd else otherwise
