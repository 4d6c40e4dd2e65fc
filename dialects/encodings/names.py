"""Formats by name, as descriptions of machines and IR write them: `rlc`, `spots<height 4>`, `csr<rows 1>`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import MISSING, fields

from dialects.diagnostics import did_you_mean
from dialects.encodings.bitmap import Bitmap
from dialects.encodings.compressed_columns import CompressedColumns
from dialects.encodings.compressed_rows import CompressedRows
from dialects.encodings.format import Format
from dialects.encodings.run_length import RunLength
from dialects.encodings.spots_blocks import SpotsBlocks

FORMATS: dict[str, type[Format]] = {
    kind.name: kind for kind in (Bitmap, CompressedRows, CompressedColumns, RunLength, SpotsBlocks)
}

_TEXT = re.compile(r"([a-z]+)(?:<([^<>]*)>)?", re.ASCII)
_PARAMETER = re.compile(r"\s*([a-z_]+)\s+(\d{1,9})\s*", re.ASCII)


def format_text(encoding: Format) -> str:
    """A format as it is written, parameters that are as usual left out."""
    parameters = parameters_text(encoding)
    return f"{encoding.name}<{parameters}>" if parameters else encoding.name


def parameters_text(encoding: Format) -> str:
    """The parameters of a format that are not as usual."""
    given = {field.name: (getattr(encoding, field.name), field.default) for field in fields(type(encoding))}
    return ", ".join(f"{name} {value}" for name, (value, default) in given.items() if value != default)


def format_of(name: str, parameters: Iterable[tuple[str, int]]) -> Format:
    """The format of a name with these parameters. Raises `ValueError` if there is none."""
    kind = FORMATS.get(name)
    if kind is None:
        raise ValueError(f"no format is called {name!r} ({did_you_mean(name, FORMATS)})")
    known = {field.name: field.default is MISSING for field in fields(kind)}
    given: dict[str, int] = {}
    for parameter, value in parameters:
        if parameter not in known or parameter in given:
            raise ValueError(
                f"{name}: expected each of {', '.join(known) or 'no parameters'} once, found {parameter!r}"
            )
        given[parameter] = value
    if missing := [parameter for parameter, is_required in known.items() if is_required and parameter not in given]:
        raise ValueError(f"{name}: {', '.join(missing)} must be given")
    return kind(**given)


def format_named(text: str) -> Format:
    """The format that a text says. Raises `ValueError` if it says none."""
    whole = _TEXT.fullmatch(text)
    parts = whole.group(2).split(",") if whole and whole.group(2) is not None else []
    found = [_PARAMETER.fullmatch(part) for part in parts]
    if whole is None or not all(found):
        raise ValueError(f"a format is a name with parameters in angle brackets, as in spots<height 4>, not {text!r}")
    return format_of(whole.group(1), [(match.group(1), int(match.group(2))) for match in found if match is not None])
