"""Every ONNX operator of the default domain: what becomes of it, and how it does in ONNX's conformance suite."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from compiler.conformance import exclusions
from compiler.conformance.results import PASSED, Results, Row, read_results
from compiler.importer.control_flow import CONTROL_FLOW
from passes.lower_onnx import FAMILIES, LOWERINGS, Lowering
from passes.lower_onnx.layout import LAYOUT

_UNKNOWN_LENGTH = "the shape of its result depends on the values of its input; a chain is static"

NO_CHAIN: Mapping[str, str] = MappingProxyType(
    {
        **{name: exclusions.REASONS[reason] for name, reason in exclusions.OPERATORS.items()},
        **dict.fromkeys(("Compress", "NonMaxSuppression", "NonZero", "Unique"), _UNKNOWN_LENGTH),
        "ImageDecoder": "its input is a compressed file, decoded bit by bit",
    }
)
"""Why an operator is no static chain."""


class Status(StrEnum):
    """What becomes of an operator."""

    CHAIN = "chain"
    VIEW = "view"
    CONSTANT = "constant"
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
    families = {lowering.op_type: family for family, lowerings in FAMILIES.items() for lowering in lowerings}
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in recorded.rows:
        rows[row.operator].append(row)
    return [
        _operator(name, versions, families.get(name, ""), [row for row in rows[name] if not row.excluded])
        for name, versions in _versions().items()
    ]


def _versions() -> dict[str, tuple[int, ...]]:
    from onnx import defs

    versions: dict[str, set[int]] = defaultdict(set)
    for schema in defs.get_all_schemas_with_history():
        if not schema.domain:
            versions[schema.name].add(schema.since_version)
    return {name: tuple(sorted(versions[name])) for name in sorted(versions)}


def _operator(name: str, versions: tuple[int, ...], family: str, rows: Sequence[Row]) -> Operator:
    engines = list(rows[0].statuses) if rows else []
    passed = {engine: sum(row.statuses[engine] == PASSED for row in rows) for engine in engines}
    own = [row for row in rows if not row.is_expanded and PASSED in row.statuses.values()]
    links = [row.links for row in own if row.links is not None]
    lowering = LOWERINGS.get(name)
    status = _status(name, bool(own), max(links, default=0))
    return Operator(
        name=name,
        family=family,
        versions=versions,
        status=status,
        doc=_doc(name, status, lowering),
        limits=_limits(name, lowering),
        links=(min(links), max(links)) if links else None,
        cases=len(rows),
        passed=passed,
    )


def _status(name: str, passes: bool, links: int) -> Status:
    if name in LOWERINGS:
        return Status.VIEW if any(name == each.op_type for each in LAYOUT) else Status.CHAIN
    if not passes:
        return Status.REFUSED
    return Status.CHAIN if links else Status.CONSTANT


def _limits(name: str, lowering: Lowering | None) -> str:
    if name in CONTROL_FLOW:
        return CONTROL_FLOW[name].limit
    return "" if lowering is None else "; ".join(each.doc for each in lowering.constraints)


def _doc(name: str, status: Status, lowering: Lowering | None) -> str:
    if lowering is not None:
        return lowering.doc
    if name in CONTROL_FLOW:
        return CONTROL_FLOW[name].doc
    if status is Status.REFUSED:
        return NO_CHAIN.get(name, "there is no lowering of it")
    if status is Status.CONSTANT:
        return "a constant, evaluated at compile time"
    return "the links of its body or definition"


def shares(rows: Iterable[Row], kind: str) -> Iterator[tuple[str, int, int]]:
    """Of the cases of one kind: each engine, how many pass on it, how many count."""
    counted = [row for row in rows if row.kind == kind and not row.excluded]
    for engine in counted[0].statuses if counted else ():
        yield engine, sum(row.statuses[engine] == PASSED for row in counted), len(counted)
