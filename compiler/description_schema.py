"""The JSON schema of target descriptions, for editors and for people: what a TOML file may say.

It is made of the models that check descriptions. Tables of named tables (`levels`, `accesses`) are lists in those
models; here they are what a file has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from compiler.descriptions import EXTENDS
from compiler.tables import Table, table
from dialects.accelerator import Accelerator
from dialects.hierarchy import Access, Axis, Dataflow, Memory
from dialects.target import Machine, NestLimits, NestMachine

DIALECT = "https://json-schema.org/draft/2020-12/schema"
NAMED = {"levels": (Memory, Axis), "accesses": (Access,)}
"""Tables of tables by name, and the models of those."""
_EXTENDS = {
    "type": "string",
    "description": "a target, or a file relative to this one, whose description this one changes; tables are merged",
}


def target_schema() -> dict[str, Any]:
    """The schema: a machine by its levels, a row-stationary array, or changes of another description."""
    by_levels, by_array = _schema(NestMachine), _schema(Machine)
    definitions = {**by_levels.pop("$defs"), **by_array.pop("$defs")}
    properties = {**by_array["properties"], **by_levels["properties"], EXTENDS: _EXTENDS}
    changes = {
        "title": "Changes",
        "description": "A description that changes another one; what it gives is as in that one.",
        "type": "object",
        "required": [EXTENDS],
        "properties": {name: _EXTENDS if name == EXTENDS else True for name in sorted(properties)},
        "additionalProperties": False,
    }
    return {
        "$schema": DIALECT,
        "title": "Catena target description",
        "anyOf": [by_levels, by_array, changes],
        "$defs": dict(sorted(definitions.items())),
    }


def _schema(model: type[Accelerator]) -> dict[str, Any]:
    schema = model.model_json_schema()
    for name, inner in NAMED.items():
        if name in schema["properties"]:
            choices = [{"$ref": f"#/$defs/{each.__name__}"} for each in inner]
            described = schema["properties"][name].get("description", "")
            schema["properties"][name] = {
                "type": "object",
                "description": described,
                "additionalProperties": choices[0] if len(choices) == 1 else {"anyOf": choices},
            }
            for each in inner:
                _without_name(schema["$defs"][each.__name__])
    return schema


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
    return {title: table(("key", "default", "meaning"), _rows(model)) for title, model in tables.items()}


def _rows(model: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        if name == "name" and model in (Memory, Axis, Access):
            continue
        default = "required" if field.is_required() else _shown(field.get_default(call_default_factory=True))
        yield f"`{name}`", default, field.description or ""


def _shown(value: object) -> str:
    match value:
        case None | {} | () | "":
            return ""
        case tuple():
            return ", ".join(map(str, value))
        case BaseModel():
            return "see below"
        case bool():
            return str(value).lower()
        case _:
            return str(value)
