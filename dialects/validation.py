"""Plain data as a model of a machine: every wrong, missing or unknown key is said in the words of descriptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast, get_args

from pydantic import BaseModel, ValidationError

from dialects.accelerator import UNKNOWN_FUNCTION
from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean
from dialects.events import EVENTS
from dialects.gconv.scalar import FUNCTIONS
from dialects.hierarchy import Access, Axis, Hierarchy, Memory
from dialects.toml_text import as_toml

Model = TypeVar("Model", bound=BaseModel)

UNKNOWN_EVENT = "unknown_event"
"""The kind of validation error for an event that is not counted."""

_WHOLE, _NUMBER, _TEXT, _TABLE, _LIST = "a whole number", "a number", "a text", "a table", "a list"
_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "there is no such key",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), f"must be {_WHOLE}"),
    "int_parsing_size": "is too large",
    **dict.fromkeys(("float_type", "float_parsing"), f"must be {_NUMBER}"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    "string_type": f"must be {_TEXT}",
    **dict.fromkeys(("tuple_type", "list_type"), f"must be {_LIST}"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), f"must be {_TABLE}"),
    "finite_number": "must be a finite number",
    "greater_than": "must be more than {gt:.15g}",
    "greater_than_equal": "must be at least {ge:.15g}",
    "less_than": "must be less than {lt:.15g}",
    "less_than_equal": "must be at most {le:.15g}",
    "too_short": "must not be empty",
    "too_long": "must not have more than {max_length} entries",
    **dict.fromkeys(("enum", "literal_error"), "must be {expected}"),
    **dict.fromkeys(("union_tag_not_found", "union_tag_invalid"), "must say what kind of level it is"),
}
"""What validation errors are called here, by pydantic's names of them."""
_PATTERNS = {
    r"^[a-z][a-z0-9_]*$": "a name is made of small letters, digits and _, and starts with a letter",
    r"^[A-Za-z][A-Za-z0-9_-]*$": "a name is made of letters, digits, _ and -, and starts with a letter",
}
_OPERANDS = "I is the input, K the kernel, O the output"
_CHOICES = {
    "multicast": _OPERANDS,
    "operands": _OPERANDS,
    "bypass": _OPERANDS,
    "rooms": _OPERANDS,
    "loops": "kinds of loops: g, op, opc, ks",
}
_NAMED = ("levels", "accesses")
"""Tables of tables, which are kept as lists of tables with names."""
_LEVELS: dict[str, type[BaseModel]] = {"memory": Memory, "axis": Axis}


def validated(kind: type[Model], description: object, where: str = "") -> Model:
    """A model of plain data.

    Raises `CatenaError` (CAT-C003) with one diagnostic per wrong, missing or unknown key.
    """
    try:
        return kind.model_validate(description)
    except ValidationError as error:
        problems = [each for each in error.errors(include_url=False) if not _is_consequence(each, error)]
        raise CatenaError([_diagnostic(problem, kind, description, where) for problem in problems]) from error


def _is_consequence(problem: Any, error: ValidationError) -> bool:
    """Lists whose items are wrong are taken for empty."""
    place = problem["loc"]
    inner = (each["loc"] for each in error.errors(include_url=False) if len(each["loc"]) > len(place))
    return problem["type"] == "too_short" and any(loc[: len(place)] == place for loc in inner)


def _diagnostic(problem: Any, kind: type[BaseModel], description: object, where: str) -> Diagnostic:
    location, model = _located(problem["loc"], kind, description)
    key = ".".join(location)
    words = _words(problem)
    return Diagnostic(
        "CAT-C003",
        f"{key}: {words}" if key else f"a description {words}" if problem["type"] in _WORDS else words,
        stage="target",
        where=where,
        found="" if problem["type"] == "missing" else as_toml(_as_written(problem["input"], location)),
        hint=_hint(problem, location, model),
    )


def _words(problem: Any) -> str:
    context: Mapping[str, object] = problem.get("ctx", {})
    if problem["type"] == "string_pattern_mismatch":
        return _PATTERNS.get(str(context["pattern"]), str(problem["msg"]))
    words = _WORDS.get(problem["type"])
    return str(problem["msg"]) if words is None else words.format(**context)


def _as_written(value: object, location: list[str]) -> object:
    """A table of a description without the name that its key gave it."""
    if len(location) == 2 and location[0] in _NAMED and isinstance(value, dict):
        return {key: inner for key, inner in cast("dict[str, object]", value).items() if key != "name"}
    return value


def _located(
    location: tuple[int | str, ...], model: type[BaseModel] | None, description: object
) -> tuple[list[str], type[BaseModel] | None]:
    """A place of a description as a person wrote it, and the model whose key its last part is."""
    parts: list[str] = []
    rest = [part for part in location if part != "[key]"]
    while rest:
        part = rest.pop(0)
        if part in _NAMED and model is not None and issubclass(model, Hierarchy) and rest:
            parts += [str(part), _table_name(description, str(part), rest.pop(0))]
            model = Access
            if part == "levels":
                model = _LEVELS.get(str(rest.pop(0))) if rest else None
            continue
        parts.append(str(part))
        if rest:
            model = _inner_model(model, str(part))
    if len(parts) == 3 and parts[0] in _NAMED and parts[2] == "name":
        parts.pop()  # the name is the table's key
    return parts, model


def _table_name(description: object, tables: str, index: int | str) -> str:
    """The name of a table by its place."""
    content = cast("dict[str, object]", description)[tables]
    if isinstance(index, str):
        return index
    if isinstance(content, dict):
        return str(list(cast("dict[str, object]", content))[index])
    entry = cast("list[object]", content)[index]
    return str(cast("dict[str, object]", entry).get("name", index)) if isinstance(entry, dict) else str(index)


def _inner_model(model: type[BaseModel] | None, key: str) -> type[BaseModel] | None:
    """The model of a table within a table, if it is one."""
    field = None if model is None else model.model_fields.get(key)
    if field is None:
        return None
    choices = (field.annotation, *get_args(field.annotation))
    return next((each for each in choices if isinstance(each, type) and issubclass(each, BaseModel)), None)


def _hint(problem: Any, location: list[str], model: type[BaseModel] | None) -> str:
    kind = problem["type"]
    if kind == "extra_forbidden":
        return _nearest_key(location[-1], model)
    if kind.startswith("union_tag"):
        return 'every level has kind = "memory" or kind = "axis"'
    if kind == "enum":
        return next((_CHOICES[part] for part in reversed(location) if part in _CHOICES), "")
    if kind == "missing" and model in (Memory, Axis, Access):
        return f"every {model.__name__.lower()} has {location[-1]}"
    known = {UNKNOWN_EVENT: EVENTS, UNKNOWN_FUNCTION: FUNCTIONS}.get(kind, {})
    return did_you_mean(str(problem["input"]), known)


def _nearest_key(key: str, model: type[BaseModel] | None) -> str:
    from difflib import get_close_matches

    if model is None:
        return ""
    known = [name for name in model.model_fields if not (name == "name" and model in (Memory, Axis, Access))]
    near = get_close_matches(key, known, 1)
    return f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
