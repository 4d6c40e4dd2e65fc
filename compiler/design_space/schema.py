"""The JSON schema of space files, for editors and for people, and the table of their keys."""

from __future__ import annotations

from typing import Any

from compiler.descriptions.schema import DIALECT, key_rows, without_none
from compiler.design_space.figures import FIGURES
from compiler.design_space.space import Pruning, Quantizing, Space
from compiler.tables import Table, table


def space_schema() -> dict[str, Any]:
    """The schema, made of the model that checks space files; keys of targets are left to their own descriptions."""
    return {"$schema": DIALECT, **without_none(Space.model_json_schema()), "title": "Catena space file"}


def key_tables() -> dict[str, Table]:
    """The keys, table by table, and the figures that a front may be of."""
    columns = ("key", "default", "range", "meaning")
    figures = table(
        ("figure", "unit", "meaning"), ((f"`{name}`", each.title, each.meaning) for name, each in FIGURES.items())
    )
    return {
        "The file": table(columns, key_rows(Space)),
        "prune": table(columns, key_rows(Pruning)),
        "quantize": table(columns, key_rows(Quantizing)),
        "Figures": figures,
    }
