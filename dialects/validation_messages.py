"""What is wrong with plain data as a model of a machine, in the words of descriptions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast, get_args

from pydantic import BaseModel, ValidationError

from dialects.accelerator import UNKNOWN_FUNCTION, Accelerator
from dialects.diagnostics import Diagnostic, did_you_mean, nearest_key
from dialects.events import EVENTS
from dialects.gconv.scalar import FUNCTIONS
from dialects.hierarchy import Access, Axis, Hierarchy, Memory
from dialects.toml_text import EXTENDS, as_toml, dotted
from dialects.validation import KEY, UNKNOWN_EVENT

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
    "string_too_long": "must not have more than {max_length} characters",
    "too_short": "must not be empty",
    "too_long": "must not have more than {max_length} entries",
    **dict.fromkeys(("enum", "literal_error"), "must be {expected}"),
    "union_tag_not_found": "must say what kind of level it is",
    "union_tag_invalid": "there is no such kind of level",
}
"""What validation errors are called here, by pydantic's names of them."""
_NOTHING = "nothing"
_AMOUNTS = (
    ("must be ", ""),
    ("must not have more than ", "at most "),
    ("must have ", ""),
)
"""How words for a problem begin that go on with what is expected, and with what that begins."""
_KINDS = 'kind = "memory" or kind = "axis"'
_EXPECTED = {
    "too_short": "one or more",
    "repeated": "each of them once",
    UNKNOWN_EVENT: "an event that is counted",
    UNKNOWN_FUNCTION: "a scalar function",
    **dict.fromkeys(("union_tag_not_found", "union_tag_invalid"), _KINDS),
}
"""What is expected where words for a problem do not say so; else these words do, by pydantic's names of errors."""
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
_QUOTED = re.compile(r"'([^']*)'")
_FIGURES, _CONTROL = "figures", "control_characters"
_WHOLE_FIGURE = 3
"""Parts of the place of a problem with a figure as a whole: the table, its name, a kind that it is not."""
_WORDS[_FIGURES] = "must be a number, a text or a list of whole numbers"
_NAMED = ("levels", "accesses")
"""Tables of tables, which are kept as lists of tables with names."""
_LEVELS: dict[str, type[BaseModel]] = {"memory": Memory, "axis": Axis}


def messages_of(error: ValidationError, kind: type[BaseModel], description: object, where: str) -> Iterator[Diagnostic]:
    """One diagnostic per wrong, missing or unknown key (CAT-C003), of which some may be the same."""
    problems = [each for each in error.errors(include_url=False) if not _is_consequence(each, error)]
    return (_diagnostic(each, kind, description, where) for each in _with_whole_figures(problems))


def _with_whole_figures(problems: Sequence[Any]) -> Iterator[Any]:
    """Problems without the kinds that a figure, which may be of several, is not; what is wrong with its text stays."""
    texts = {each["loc"][:2] for each in problems if each["loc"][:1] == (_FIGURES,) and each["type"] == _CONTROL}
    for each in problems:
        place = each["loc"]
        if place[:1] != (_FIGURES,) or len(place) < 3 or "[key]" in place:
            yield each
        elif each["type"] == _CONTROL:
            yield {**each, "loc": place[:2]}
        elif place[:2] not in texts and len(place) == _WHOLE_FIGURE:
            yield {**each, "type": _FIGURES, "loc": place[:2]}


def _is_consequence(problem: Any, error: ValidationError) -> bool:
    """Lists whose items are wrong are taken for empty."""
    place = problem["loc"]
    inner = (each["loc"] for each in error.errors(include_url=False) if len(each["loc"]) > len(place))
    return problem["type"] == "too_short" and any(loc[: len(place)] == place for loc in inner)


def _diagnostic(problem: Any, kind: type[BaseModel], description: object, where: str) -> Diagnostic:
    location, model, meaning = _located(problem["loc"], kind, description)
    if problem["type"] == "union_tag_invalid":
        problem = {**problem, "input": problem["input"]["kind"]}
        location.append("kind")
    key = dotted(location)
    words = _words(problem)
    if not key and KEY in problem.get("ctx", {}):
        return _of_key(problem, words, kind, description, where)
    return Diagnostic(
        "CAT-C003",
        f"{key}: {words}" if key else f"a description {words}" if problem["type"] in _WORDS else words,
        stage="target",
        where=where,
        expected=_expected(problem, location, words),
        found=_NOTHING if problem["type"] == "missing" else as_toml(_as_written(problem["input"], location)),
        hint=_hint(problem, location, model, kind, _beside(description, location)) or meaning,
    )


def _of_key(problem: Any, words: str, kind: type[BaseModel], description: object, where: str) -> Diagnostic:
    """What is wrong with a key beside others: a check of the whole says which, and what it expects there."""
    key, expected = str(problem["ctx"][KEY]), str(problem["ctx"]["expected"])
    value: object = description
    for part in key.split("."):
        value = cast("dict[str, object]", value).get(part) if isinstance(value, dict) else None
    meaning = _located(tuple(key.split(".")), kind, description)[2]
    found = _NOTHING if value is None else as_toml(value)
    return Diagnostic("CAT-C003", f"{key}: {words}", "target", "", where, expected, found, meaning)


def _words(problem: Any) -> str:
    context: Mapping[str, object] = problem.get("ctx", {})
    if problem["type"] == "string_pattern_mismatch":
        return _PATTERNS.get(str(context["pattern"]), str(problem["msg"]))
    words = _WORDS.get(problem["type"])
    return str(problem["msg"]) if words is None else words.format(**context)


def _expected(problem: Any, location: list[str], words: str) -> str:
    """What should be in the place of what is wrong."""
    kind = problem["type"]
    if kind == "missing":
        return f"{location[-1]} = ..."
    if kind == "extra_forbidden":
        return f"a key of {'.'.join(location[:-1]) or 'a description'}"
    for beginning, instead in _AMOUNTS:
        if words.startswith(beginning):
            return instead + words.removeprefix(beginning)
    return _EXPECTED.get(kind, words)


def _as_written(value: object, location: list[str]) -> object:
    """A table of a description without the name that its key gave it."""
    if len(location) == 2 and location[0] in _NAMED and isinstance(value, dict):
        return {key: inner for key, inner in cast("dict[str, object]", value).items() if key != "name"}
    return value


def _located(
    location: tuple[int | str, ...], model: type[BaseModel] | None, description: object
) -> tuple[list[str], type[BaseModel] | None, str]:
    """A place of a description as a person wrote it, the model whose key its last part is, and what it is about."""
    parts: list[str] = []
    meaning = ""
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
        field = None if model is None else model.model_fields.get(str(part))
        if field is not None and field.description:
            meaning = f"{part}: {field.description}"
        if rest:
            model = _inner_model(model, str(part))
    if len(parts) == 3 and parts[0] in _NAMED and parts[2] == "name":
        parts.pop()  # the name is the table's key
        meaning = f"write [{parts[0]}.NAME] with such a name"
    return parts, model, meaning


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


def _beside(description: object, location: Sequence[str]) -> list[str]:
    """The other levels, or kinds of accesses, beside one."""
    if len(location) < 2 or location[0] not in _NAMED or not isinstance(description, dict):
        return []
    tables = cast("dict[str, object]", description).get(location[0])
    names = cast("dict[str, object]", tables) if isinstance(tables, dict) else {}
    return [name for name in names if name != location[1]]


def _hint(
    problem: Any, location: list[str], model: type[BaseModel] | None, whole: type[BaseModel], beside: list[str]
) -> str:
    kind = problem["type"]
    if kind == "extra_forbidden":
        if len(location) > 1 and location[-1] in (*whole.model_fields, EXTENDS):
            return f"{location[-1]} is said of the whole machine: it stands before the first table of the file"
        return _nearest_key(location[-1], model)
    if kind.startswith("union_tag"):
        if kind == "union_tag_not_found":
            return f"{_did_you_mean(location[1], beside)}every level has {_KINDS}"
        near = nearest_key(str(problem["input"]), _LEVELS)
        return f"did you mean {near!r}?" if near else f"every level has {_KINDS}"
    if kind == "literal_error" and (
        near := nearest_key(str(problem["input"]), _QUOTED.findall(problem["ctx"]["expected"]))
    ):
        return f"did you mean {near!r}?"
    if kind == "enum":
        return next((_CHOICES[part] for part in reversed(location) if part in _CHOICES), "")
    if kind == "missing" and model in (Memory, Axis, Access):
        meant = _did_you_mean(location[1], beside) if len(location) > 1 else ""
        return f"{meant}every {model.__name__.lower()} has {location[-1]}"
    is_table = len(location) == 1 or (len(location) == 2 and location[0] in _NAMED)
    if _WORDS.get(kind) == _WORDS["dict_type"] and is_table:
        return f"write [{'.'.join(location)}] in single brackets, and its keys below"
    if _WORDS.get(kind) == _WORDS["float_type"] and isinstance(problem["input"], dict):
        return "a name with dots in it stands in quotes"
    known = {UNKNOWN_EVENT: EVENTS, UNKNOWN_FUNCTION: FUNCTIONS}.get(kind, {})
    return did_you_mean(str(problem["input"]), known) if known else ""


def _did_you_mean(name: str, beside: list[str]) -> str:
    """The beginning of a hint for a table that lacks what it needs, if it is called nearly as another one."""
    near = nearest_key(name, beside)
    return f"did you mean {near!r}? " if near else ""


_MEANT: Mapping[tuple[type[BaseModel], str], str] = {
    (Memory, "size"): "words",
    (Memory, "capacity"): "words",
    (Axis, "words"): "size",
    (Axis, "elements"): "size",
}
"""Keys that others are taken for by what they mean, whatever they are called like."""


def _nearest_key(key: str, model: type[BaseModel] | None) -> str:
    if model is None:
        return ""
    known = [name for name in model.model_fields if not (name == "name" and model in (Memory, Axis, Access))]
    if issubclass(model, Accelerator):
        known.append(EXTENDS)
    near = _MEANT.get((model, key)) or nearest_key(key, known)
    return f"did you mean {near!r}?" if near else f"known keys: {', '.join(known)}"
