"""Canonical JSON and typed records: one text for one value, read strictly.

Canonical means: keys sorted, no blanks, ASCII only, no NaN or infinity. A record is a frozen dataclass that derives
from `Record`; fields equal to their default are left out of its JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from backends.problems import Problems
from dialects.diagnostics import CatenaError, Diagnostic

if TYPE_CHECKING:
    from pydantic import TypeAdapter

MAX_DEPTH = 64
_PLAIN = frozenset((str, int, float, bool, type(None)))
"""The classes of most values, which are looked up much faster than they are asked whether they are mappings."""


class Record:
    """Base class of the dataclasses that are stored as JSON; a `ValueError` of `__post_init__` marks bad input."""

    __slots__ = ()
    __pydantic_config__: ClassVar[Mapping[str, object]] = {"extra": "forbid", "strict": True}


RecordT = TypeVar("RecordT", bound=Record)


def canonical(value: object) -> bytes:
    """The canonical JSON of a value made of dict, list, str, int, float, bool and None.

    Raises `ValueError` for NaN, infinity, text that is not Unicode, or nesting deeper than `MAX_DEPTH`.
    """
    _check_depth(value)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    if "\\ud" in text:
        # Half a surrogate pair is no character; it would fail later, when somebody prints it.
        json.dumps(value, ensure_ascii=False).encode()
    return text.encode("ascii")


def to_json(value: object) -> Any:
    """Records, enums and tuples as plain JSON values."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Record):
        return record_items(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (tuple, list)):
        return [to_json(each) for each in cast("list[object]", value)]
    if isinstance(value, Mapping):
        return {key: to_json(each) for key, each in cast("Mapping[str, object]", value).items()}
    return value


def record_items(record: Record) -> dict[str, Any]:
    """The fields of a record as plain JSON values in declaration order, without those equal to their default."""
    items: dict[str, Any] = {}
    for each in fields(record):  # pyright: ignore[reportArgumentType]
        value = getattr(record, each.name)
        if each.default is MISSING or value != each.default:
            items[each.name] = to_json(value)
    return items


def canonical_record(record: Record) -> bytes:
    """The canonical JSON of a record."""
    return canonical(record_items(record))


def parse_record(kind: type[RecordT], data: bytes, where: str, code: str = "CAT-P001") -> RecordT:
    """The record that canonical JSON holds.

    Raises `CatenaError` (`code`) naming every field that is missing, unknown or has another type, or if `data` is
    not the canonical JSON of the record.
    """
    from pydantic import ValidationError

    try:
        record = _adapter(kind).validate_json(data)
    except ValidationError as error:
        raise CatenaError(_diagnostics(error, where, code)) from None
    try:
        same = canonical_record(record) == data
    except ValueError as error:
        raise CatenaError(Diagnostic(code, f"the JSON holds what it must not: {error}", where=where)) from None
    if not same:
        raise CatenaError(Diagnostic(code, "the JSON is not in canonical form", where=where))
    return record


def build_record(kind: type[RecordT], items: Mapping[str, Any], where: str, code: str) -> RecordT:
    """The record with the given fields.

    Raises `CatenaError` (`code`) naming every field that is missing, unknown or has another type.
    """
    from pydantic import ValidationError

    try:
        return _adapter(kind).validate_json(canonical(items))
    except ValidationError as error:
        raise CatenaError(_diagnostics(error, where, code)) from None
    except ValueError as error:
        raise CatenaError(Diagnostic(code, str(error), where=where)) from None


def _diagnostics(error: Any, where: str, code: str) -> list[Diagnostic]:
    problems = Problems()
    for each in error.errors(include_url=False, include_input=False, include_context=False):
        path = ".".join(str(step) for step in each["loc"])
        problems.add(Diagnostic(code, f"{path}: {each['msg']}" if path else each["msg"], where=where))
    return problems.report()


@cache
def _adapter(kind: type[Record]) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[object] = []
        for each in level:
            if type(each) in _PLAIN:
                continue
            if isinstance(each, Mapping):
                inner.extend(cast("Mapping[str, object]", each).values())
            elif isinstance(each, (list, tuple)):
                inner.extend(cast("list[object]", each))
        if not inner:
            return
        level = inner
    raise ValueError(f"JSON nested deeper than {MAX_DEPTH} levels")
