"""Every ONNX operator of the default domain: what becomes of it, and how it does in ONNX's conformance suite."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from compiler.conformance import exclusions
from compiler.conformance.results import PASSED, Results, Row, read_results
from compiler.importer.control_flow import CONTROL_FLOW
from compiler.onnx_backend.compile_time import COMPILE_TIME, DATA_FREE
from passes.lower_onnx import FAMILIES, LOWERINGS, Lowering
from passes.lower_onnx.layout import LAYOUT

if TYPE_CHECKING:
    from onnx.defs import OpSchema

_UNKNOWN_LENGTH = "the shape of its result depends on the values of its input; a chain is static"

NO_CHAIN: Mapping[str, str] = MappingProxyType(
    {
        **{name: exclusions.REASONS[reason] for name, reason in exclusions.OPERATORS.items()},
        **dict.fromkeys(("NonMaxSuppression", "NonZero", "Unique"), _UNKNOWN_LENGTH),
    }
)
"""Why an operator is no static chain, for those that ONNX Runtime executes as a host segment."""

NOWHERE: Mapping[str, str] = MappingProxyType(
    {"ImageDecoder": "its input is a compressed file, decoded bit by bit; ONNX Runtime has no decoder either"}
)
"""Why an operator is neither a static chain nor a host segment."""


_EXTENTS = "the extents of the result follow from constants, or the model declares them"
"""What is asked of operators of which values of a run may say how large the result is."""


class Status(StrEnum):
    """What becomes of an operator."""

    CHAIN = "chain"
    VIEW = "view"
    CONSTANT = "constant"
    HOST = "host segment only"
    REFUSED = "refused"


@dataclass(frozen=True)
class Operator:
    """An ONNX operator.

    `versions` are the opsets that changed it. `doc` says what it becomes or why it is refused, `limits` what a node
    must satisfy. `links` are the fewest and the most links that a conformance case of it is lowered to. `passed`
    counts the cases that pass, by engine, of the `cases` that count.
    """

    name: str
    family: str
    versions: tuple[int, ...]
    status: Status
    doc: str
    limits: str
    links: tuple[int, int] | None
    cases: int
    passed: Mapping[str, int]


def operators(results: Results | None = None) -> list[Operator]:
    """All operators by name, with the recorded results of the conformance suite unless others are given."""
    recorded = results or read_results()
    families = {op_type: family for family, op_types in FAMILIES.items() for op_type in op_types}
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in recorded.rows:
        rows[row.operator].append(row)
    return [
        _operator(history, families.get(name, ""), [row for row in rows[name] if not row.excluded])
        for name, history in _histories().items()
    ]


def _histories() -> dict[str, list[OpSchema]]:
    """The schemas of every operator, oldest first."""
    from onnx import defs

    histories: dict[str, list[OpSchema]] = defaultdict(list)
    for schema in sorted(defs.get_all_schemas_with_history(), key=lambda each: each.since_version):
        if not schema.domain:
            histories[schema.name].append(schema)
    return dict(sorted(histories.items()))


def _operator(history: Sequence[OpSchema], family: str, rows: Sequence[Row]) -> Operator:
    newest = history[-1]
    engines = list(rows[0].statuses) if rows else []
    own = [row for row in rows if not row.is_expanded and PASSED in row.statuses.values()]
    links = [row.links for row in own if row.links is not None]
    lowering = LOWERINGS.get(newest.name)
    status = _status(newest, passes=bool(own))
    return Operator(
        name=newest.name,
        family=family,
        versions=tuple(schema.since_version for schema in history),
        status=status,
        doc=_doc(newest, status) if lowering is None else lowering.doc,
        limits=_limits(newest.name, lowering),
        links=(min(links), max(links)) if links else None,
        cases=len(rows),
        passed={engine: sum(row.statuses[engine] == PASSED for row in rows) for engine in engines},
    )


def _status(schema: OpSchema, passes: bool) -> Status:
    if schema.name in LOWERINGS:
        return Status.VIEW if any(schema.name == each.op_type for each in LAYOUT) else Status.CHAIN
    if not passes and schema.name not in CONTROL_FLOW:
        return Status.HOST if schema.name in NO_CHAIN else Status.REFUSED
    is_constant = all((schema.name, index) in COMPILE_TIME for index in range(len(schema.inputs)))
    return Status.CONSTANT if is_constant or schema.name in DATA_FREE else Status.CHAIN


def _doc(schema: OpSchema, status: Status) -> str:
    """What becomes of an operator without a lowering."""
    if status is Status.HOST:
        return NO_CHAIN[schema.name]
    if status is Status.REFUSED:
        return NOWHERE.get(schema.name, "there is no lowering of it")
    if status is Status.CONSTANT:
        return "a constant, evaluated at compile time; one link where it is a result of the model"
    if schema.name in CONTROL_FLOW:
        return CONTROL_FLOW[schema.name].doc
    return "the links of its definition in other operators"


def _limits(name: str, lowering: Lowering | None) -> str:
    if lowering is not None:
        extents = [_EXTENTS] if lowering.declared_extents else []
        return "; ".join([*extents, *(each.doc for each in lowering.constraints)])
    return CONTROL_FLOW[name].limit if name in CONTROL_FLOW else ""


def shares(rows: Iterable[Row], kind: str) -> Iterator[tuple[str, int, int]]:
    """Of the cases of one kind: each engine, how many pass on it, how many count."""
    counted = [row for row in rows if row.kind == kind and not row.excluded]
    for engine in counted[0].statuses if counted else ():
        yield engine, sum(row.statuses[engine] == PASSED for row in counted), len(counted)
