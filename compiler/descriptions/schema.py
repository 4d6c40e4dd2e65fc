"""The JSON schema of target descriptions, for editors and for people: what a TOML file may say.

It is made of the models that check descriptions; what keys say of each other is left to the compiler. Tables of named
tables (`levels`, `accesses`) are lists in those models; here they are what a file has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from pydantic import BaseModel

from compiler.tables import Table, table
from dialects.accelerator import Accelerator
from dialects.events import HELD_EVENTS
from dialects.gconv.scalar import FUNCTIONS
from dialects.hierarchy import Access, Axis, Dataflow, Memory
from dialects.machine_kinds import KINDS
from dialects.nest_machine import NestLimits, NestMachine
from dialects.soundness import NOT_ACCESSES
from dialects.toml_text import EXTENDS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
NAMED = {"levels": (Memory, Axis), "accesses": (Access,)}
"""Tables of tables by name, and the models of those."""
_RESERVED = {"levels": ("operation",), "accesses": NOT_ACCESSES}
"""Names that no such table may have."""
_DEFINITION = "#/$defs/"
_NONE = {"type": "null"}
_EXTENDS = {
    "type": "string",
    "description": "a target, or a file relative to this one, whose description this one changes; tables are merged",
}


def target_schema() -> dict[str, Any]:
    """The schema: a machine of one of the kinds that there are, or changes of one in another description."""
    schemas = [_schema(kind.model) for kind in KINDS]
    definitions: dict[str, Any] = {}
    for schema in schemas:
        definitions |= schema.pop("$defs")
    return {
        "$schema": DIALECT,
        "title": "Catena target description",
        "anyOf": [*schemas, *map(_changes, schemas)],
        "$defs": dict(sorted({**definitions, **{_changed(n): _partial(d) for n, d in definitions.items()}}.items())),
    }


def _changes(schema: dict[str, Any]) -> dict[str, Any]:
    """What a file may say that changes a description of a schema."""
    partial = _partial(schema)
    return {
        **partial,
        "title": _changed(schema["title"]),
        "description": "A description that changes another one of this kind, and gives only what differs.",
        "required": [EXTENDS],
        "properties": {EXTENDS: _EXTENDS, **partial["properties"]},
    }


def _changed(name: str) -> str:
    return f"{name}Changes"


def _partial(schema: Any) -> Any:
    """A schema of which everything may be left out: tables are merged."""
    match schema:
        case dict():
            table = cast("dict[str, Any]", schema)
            # Lists are keys that are required, or fewest entries of tables; properties may have these names, too.
            dropped = {"required"} if isinstance(table.get("required"), list) else set[str]()
            dropped |= {"minProperties"} if isinstance(table.get("minProperties"), int) else set[str]()
            return {key: _partial(value) for key, value in table.items() if key not in dropped}
        case list():
            return [_partial(item) for item in cast("list[Any]", schema)]
        case str() if schema.startswith(_DEFINITION):
            return _changed(schema)
        case _:
            return schema


def _schema(model: type[Accelerator]) -> dict[str, Any]:
    schema = without_none(model.model_json_schema())
    for name, inner in NAMED.items():
        if name in schema["properties"]:
            choices = [{"$ref": f"{_DEFINITION}{each.__name__}"} for each in inner]
            described = schema["properties"][name].get("description", "")
            pattern = schema["$defs"][inner[0].__name__]["properties"]["name"]["pattern"]
            schema["properties"][name] = {
                "type": "object",
                "description": described,
                "propertyNames": {"pattern": pattern, "not": {"enum": list(_RESERVED[name])}},
                "additionalProperties": choices[0] if len(choices) == 1 else {"anyOf": choices},
            }
            for each in inner:
                _without_name(schema["$defs"][each.__name__])
    limits = schema["properties"]["limits"]["$ref"].removeprefix(_DEFINITION)
    schema["$defs"][limits]["properties"]["output_path"]["items"]["enum"] = sorted(FUNCTIONS)
    if model is NestMachine:
        schema["properties"]["levels"]["minProperties"] = 1
        for table, key in (("Access", "events"), ("Dataflow", "weigh")):
            schema["$defs"][table]["properties"][key]["propertyNames"] = {"pattern": _event_pattern()}
    return schema


def without_none(schema: Any) -> Any:
    """A schema without values that TOML cannot write."""
    match schema:
        case dict():
            table = {key: without_none(value) for key, value in cast("dict[str, Any]", schema).items()}
            if "default" in table and table["default"] is None:
                del table["default"]
            choices = table.get("anyOf")
            if isinstance(choices, list) and _NONE in choices:
                rest = [each for each in cast("list[Any]", choices) if each != _NONE]
                del table["anyOf"]
                table |= rest[0] if len(rest) == 1 else {"anyOf": rest}
            return table
        case list():
            return [without_none(item) for item in cast("list[Any]", schema)]
        case _:
            return schema


def _event_pattern() -> str:
    """What events may be called, whatever the memories are."""
    memory = Memory(kind="memory", name="any")
    machine = NestMachine(name="any", clock_mhz=1, word_bits=1, levels=(memory,))
    own = {event.partition(".")[2] for event in machine.event_names if event.startswith("any.")}
    others = sorted(event for event in machine.event_names if not event.startswith("any."))
    of_memories = f"[a-z][a-z0-9_]*.({'|'.join(sorted(own | HELD_EVENTS.keys()))})"
    return f"^({'|'.join((of_memories, *others))})$".replace(".", r"\.")


def _without_name(schema: dict[str, Any]) -> None:
    """The name of a named table is its key."""
    schema["properties"].pop("name", None)
    schema["required"] = [key for key in schema["required"] if key != "name"]


def key_tables() -> dict[str, Table]:
    """The keys of a machine by its levels, table by table."""
    tables: dict[str, type[BaseModel]] = {
        "The file": NestMachine,
        'levels.NAME, kind = "memory"': Memory,
        'levels.NAME, kind = "axis"': Axis,
        "accesses.NAME": Access,
        "dataflow": Dataflow,
        "limits": NestLimits,
    }
    return {title: table(("key", "default", "range", "meaning"), key_rows(model)) for title, model in tables.items()}


def key_rows(model: type[BaseModel]) -> Iterator[tuple[str, str, str, str]]:
    properties = without_none(model.model_json_schema())["properties"]
    for name, field in model.model_fields.items():
        if name == "name" and model in (Memory, Axis, Access):
            continue
        default = "required" if field.is_required() else _shown(field.get_default(call_default_factory=True))
        yield f"`{name}`", default, _range(properties[name]), field.description or ""


def _range(schema: dict[str, Any]) -> str:
    """The numbers that a key takes, or that the keys of its table or the entries of its list take; or the texts."""
    inner = schema.get("additionalProperties", schema.get("items"))
    found = cast("dict[str, Any]", inner) if isinstance(inner, dict) else schema
    if "enum" in found:
        return ", ".join(map(str, found["enum"]))
    if "minimum" not in found:
        return ""
    least, most = f"{found['minimum']:g}", found.get("maximum")
    return f"{least} or more" if most is None else f"{least} to {_number(most)}"


def _number(value: float) -> str:
    return (
        f"2^{value.bit_length() - 1}"
        if isinstance(value, int) and value > 1 << 16 and not value & (value - 1)
        else f"{value:g}"
    )


def _shown(value: object) -> str:
    match value:
        case None | {} | () | "":
            return ""
        case tuple():
            return ", ".join(map(_shown, cast("tuple[object, ...]", value)))
        case BaseModel():
            return "see below"
        case bool():
            return str(value).lower()
        case _:
            return str(value)
