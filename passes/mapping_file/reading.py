"""Mapping files as data; everything that is wrong in one, with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from xdsl.context import Context
from xdsl.utils.exceptions import VerifyException

from dialects.diagnostics import CatenaError, Diagnostic, nearest_key
from dialects.gconv import Zeros, ZerosAttr
from dialects.schedule import SearchAttr
from dialects.toml_text import as_toml, lines_of, shortened, too_long_number
from passes.mapping_file import FORMAT, GROUPS, LAYERS, MODE, TARGET, ZEROS
from passes.mapping_file.notation import Written, WrongTextError, read_mapping, read_search
from passes.mapping_file.positions import Position, positions
from passes.mapping_file.statements import Spot, WrittenGroup, read_statements

_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")
_STATEMENTS = "one statement a line: for LOOP TILE, par LOOP TILE on AXIS, store MEMORY [OPERANDS]"
_LAYER_KEYS = ("loops", "search", "checksum", "mapping")


@dataclass(frozen=True)
class Pin:
    """What a file says of a layer, and at which lines it, its loops and its mapping stand.

    `search` says how good the mapping is, if the `checksum` agrees (`passes.mapping_file.seal`).
    """

    line: int
    written: Written | None = None
    mapping_line: int = 0
    loops: str | None = None
    loops_line: int = 0
    search: SearchAttr | None = None
    checksum: str | None = None


@dataclass(frozen=True)
class MappingFile:
    """What a file says: target, mode, how layers are mapped, shares of zeros with their lines, both by name; groups.

    `problems` is what it says that cannot be read; the rest can be looked at all the same.
    """

    path: str
    target: str | None
    target_line: int
    mode: str | None
    mode_line: int
    pins: Mapping[str, Pin]
    zeros: Mapping[str, tuple[ZerosAttr, int]]
    problems: tuple[Diagnostic, ...] = ()
    groups: tuple[WrittenGroup, ...] = ()

    def problem(self, line: int, message: str, **more: str) -> Diagnostic:
        """Something that is wrong at a line."""
        return problem_at(self.path, line, message, **more)

    def problem_of(self, spot: Spot, message: str, **more: str) -> Diagnostic:
        """Something that is wrong at a place in a statement."""
        return _problem_of(self.path, spot, message, **more)


def problem_at(path: str, line: int, message: str, **more: str) -> Diagnostic:
    """Something that is wrong at a line of a file; of the whole file for line 0."""
    where = f"{path}, line {line}" if line else path
    return Diagnostic("CAT-C003", message, stage="mapped", where=where, **more)


def read_mapping_file(path: Path, context: Context) -> MappingFile:
    """Read a file, with what is wrong in it (CAT-C003).

    Raises `CatenaError`: CAT-C002 if it cannot be read, CAT-C003 if it is not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CatenaError(Diagnostic("CAT-C002", f"cannot read {path}: {error.strerror or error}")) from error
    except UnicodeDecodeError as error:
        problem = problem_at(
            str(path),
            _line_of_byte(error),
            "the mapping file is not TOML: no text",
            expected="a TOML file in UTF-8",
            found=f"byte 0x{error.object[error.start]:02x}",
            hint="save it as UTF-8",
        )
        raise CatenaError(problem) from error
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise CatenaError(_no_toml(str(path), text, error)) from error
    return _Reader(str(path), positions(text), context).read(content)


def _line_of_byte(error: UnicodeDecodeError) -> int:
    """The line of the first byte that is no text."""
    return error.object.count(b"\n", 0, error.start) + 1


def _no_toml(path: str, text: str, error: Exception) -> Diagnostic:
    """Why a text is no TOML, at the line that is to blame."""
    wrong = "the mapping file is not TOML"
    if text.startswith("\ufeff"):
        hint = "save it as UTF-8 without one"
        return _at_its_line(path, 1, f"{wrong}: it begins with a byte order mark", text, hint)
    if isinstance(error, RecursionError):
        opened = [line.count("[") + line.count("{") for line in lines_of(text)]
        line = opened.index(max(opened)) + 1
        return _at_its_line(path, line, f"{wrong}: too many lists or tables inside one another", text, "leave them out")
    if not isinstance(error, tomllib.TOMLDecodeError):
        return _at_its_line(path, too_long_number(text), f"{wrong}: a number has too many digits", text, "shorten it")
    found = _AT_LINE.search(str(error))
    line = int(found[1]) if found else max(len(lines_of(text)), 1)
    hint = "compare the line with a file that --save-mapping writes"
    return _at_its_line(path, line, f"{wrong}: {_AT_LINE.sub('', str(error))}", text, hint)


def _at_its_line(path: str, line: int, message: str, text: str, hint: str) -> Diagnostic:
    """What is wrong with a line that is no TOML."""
    found = shortened(dict(enumerate(lines_of(text), 1)).get(line, "").strip()) or "an empty line"
    return problem_at(path, line, message, expected="a line of TOML", found=found, hint=hint)


class _Reader:
    def __init__(self, path: str, places: Mapping[tuple[str, ...], Position], context: Context):
        self._path = path
        self._places = places
        self._context = context
        self._problems: list[Diagnostic] = []

    def read(self, content: Mapping[str, object]) -> MappingFile:
        """The whole file."""
        self._check_keys((), content, ("format", TARGET, MODE, GROUPS, LAYERS, ZEROS))
        version = content.get("format", FORMAT)
        if type(version) is not int or version != FORMAT:
            self._wrong(
                ("format",),
                "the mapping file has another format",
                expected=str(FORMAT),
                found=as_toml(version),
                hint="save it again with --save-mapping",
            )
        target, mode = self._text(content, TARGET), self._text(content, MODE)
        pins = {layer: self._pin(layer, value) for layer, value in self._table(content, LAYERS).items()}
        zeros = {layer: self._zeros(layer, value) for layer, value in self._table(content, ZEROS).items()}
        groups = self._groups(content)
        return MappingFile(
            self._path,
            target,
            self._line((TARGET,)),
            mode,
            self._line((MODE,)),
            {layer: pin for layer, pin in pins.items() if pin is not None},
            {layer: (value, self._line((ZEROS, layer))) for layer, value in zeros.items() if value is not None},
            tuple(self._problems),
            groups,
        )

    def _groups(self, content: Mapping[str, object]) -> tuple[WrittenGroup, ...]:
        text = self._text(content, GROUPS)
        if text is None:
            return ()
        found: list[WrittenGroup] = []
        for statement in read_statements(text, self._places[GROUPS,].text):
            if isinstance(statement, WrittenGroup):
                found.append(statement)
            else:
                more = {"found": statement.found, "hint": statement.hint}
                self._problems.append(_problem_of(self._path, statement.spot, "cannot read this", **more))
        return tuple(found)

    def _text(self, content: Mapping[str, object], key: str, table: tuple[str, ...] = ()) -> str | None:
        value = content.get(key)
        if value is None or isinstance(value, str):
            return value
        hint = "write it in quotes"
        self._wrong((*table, key), f"{key} is not text", expected="a text", found=as_toml(value), hint=hint)
        return None

    def _pin(self, layer: str, value: object) -> Pin | None:
        key = (LAYERS, layer)
        if isinstance(value, dict):
            return self._pin_of_table(layer, cast("dict[str, object]", value))
        written = self._mapping(layer, value, key)
        return None if written is None else Pin(self._line(key), written, self._line(key))

    def _pin_of_table(self, layer: str, value: Mapping[str, object]) -> Pin:
        key = (LAYERS, layer)
        self._check_keys(key, value, _LAYER_KEYS)
        loops, search, seal = (self._text(value, name, key) for name in ("loops", "search", "checksum"))
        place = (*key, "mapping")
        written = self._mapping(layer, value["mapping"], place) if "mapping" in value else None
        lines = self._line(key), self._line(place), self._line((*key, "loops"))
        found = None if search is None else self._search(layer, search, (*key, "search"))
        return Pin(lines[0], written, lines[1], loops, lines[2], found, seal)

    def _search(self, layer: str, text: str, key: tuple[str, ...]) -> SearchAttr | None:
        try:
            return read_search(text, self._context)
        except WrongTextError as error:
            message = f"what is known of the mapping of {layer!r} is not valid: {error}"
            hint = "leave it as it was saved, or take search and checksum out"
            self._wrong(key, message, expected="what --save-mapping writes", found=as_toml(text), hint=hint)
            return None

    def _mapping(self, layer: str, value: object, key: tuple[str, ...]) -> Written | None:
        wrong = f"the mapping of {layer!r} is not valid"
        if not isinstance(value, str):
            message, hint = f"{wrong}: expected text, found {type(value).__name__}", "write it in quotes"
            self._wrong(key, message, expected="a text", found=as_toml(value), hint=hint)
            return None
        line = self._places[key].text if key in self._places else self._line(key)
        try:
            return read_mapping(value, line, self._context)
        except WrongTextError as error:
            statements = dict(enumerate(lines_of(value), line))
            for at, reason in error.problems:
                more = {
                    "expected": "a mapping",
                    "found": shortened(statements.get(at, value).strip()),
                    "hint": _STATEMENTS,
                }
                self._problems.append(problem_at(self._path, at, f"{wrong}: {reason}", **more))
            return Written(None, readable=error.readable)

    def _zeros(self, layer: str, shares: object) -> ZerosAttr | None:
        try:
            return _parse_zeros(shares)
        except (VerifyException, TypeError) as error:
            message, expected = f"the zeros of {layer!r} are not valid: {error}", "shares from 0 to 1"
            hint = "write { input = 0.4, output = 0.7 }, or one of them"
            self._wrong((ZEROS, layer), message, expected=expected, found=as_toml(shares), hint=hint)
            return None

    def _table(self, content: Mapping[str, object], name: str) -> dict[str, object]:
        table = content.get(name, {})
        if isinstance(table, dict):
            return cast("dict[str, object]", table)
        hint = f"write [{name}] and its keys below"
        self._wrong((name,), f"{name} is not a table", expected="a table", found=as_toml(table), hint=hint)
        return {}

    def _check_keys(self, table: tuple[str, ...], content: Iterable[str], known: tuple[str, ...]) -> None:
        for key in content:
            if key not in known:
                near = nearest_key(key, known)
                hint = f"did you mean {near}?" if near else f"known: {', '.join(known)}"
                expected = "a key of a layer" if table else "a key of a mapping file"
                self._wrong((*table, key), f"unknown key {key!r}", expected=expected, found=shortened(key), hint=hint)

    def _wrong(self, key: tuple[str, ...], message: str, **more: str) -> None:
        self._problems.append(problem_at(self._path, self._line(key), message, **more))

    def _line(self, key: tuple[str, ...]) -> int:
        """The line of a key, of the first that is in it, or of the table that it is in; 0 if the file shows none."""
        while key and key not in self._places:
            inside = (place.line for inner, place in self._places.items() if inner[: len(key)] == key)
            if first := min(inside, default=0):
                return first
            key = key[:-1]
        return self._places[key].line if key else 0


def _problem_of(path: str, spot: Spot, message: str, **more: str) -> Diagnostic:
    found = problem_at(path, spot.line, message, **more)
    return replace(found, where=f"{found.where}, column {spot.column}")


def links_in_groups(path: Path) -> frozenset[str]:
    """The links that the `fuse` statements of a file name, as far as it can be read; what is wrong is found later."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return frozenset()
    text = content.get(GROUPS)
    statements = read_statements(text) if isinstance(text, str) else ()
    return frozenset(link.text for each in statements if isinstance(each, WrittenGroup) for link in each.links)


def stated_loops(path: Path, context: Context) -> dict[str, str]:
    """The loops for which a file says that layers were mapped, by name; none if it cannot be read (found later)."""
    try:
        file = read_mapping_file(path, context)
    except CatenaError:
        return {}
    return {name: pin.loops for name, pin in file.pins.items() if pin.loops is not None}


def _parse_zeros(shares: object) -> ZerosAttr:
    if not isinstance(shares, dict) or not set(cast("dict[str, object]", shares)) <= {"input", "output"}:
        raise TypeError("expected { input = SHARE, output = SHARE }")
    if not all(isinstance(each, int | float) for each in cast("dict[str, object]", shares).values()):
        raise TypeError("a share is a number")
    numbers = {name: float(each) for name, each in cast("dict[str, float]", shares).items()}
    return ZerosAttr(Zeros(**numbers))
