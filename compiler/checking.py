"""Checking a model before compiling it: everything that is not supported, at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation

from compiler.compilation import CompileOptions, compile_source
from compiler.descriptions.files import DEFAULT_TARGET
from compiler.displaying import Displayed, Part
from compiler.driver import SilentObserver, StageRun
from compiler.fallback_hint import with_hints
from compiler.host_summary import HostSegment, segments_in_module
from compiler.modes import Mode
from compiler.sources import SourceKind, kind_of
from compiler.tables import Table, number, table
from compiler.targets import select_target
from dialects.diagnostics import CODES, CatenaError, Diagnostic, ExitCode
from passes.assign_host import require_host
from passes.verification import Legality, Verifier
from passes.verification.module import NO_POSITIONS

if TYPE_CHECKING:
    from onnx import NodeProto

_UNREADABLE = frozenset(("CAT-M001", "CAT-M004", "CAT-C001", "CAT-C002", "CAT-C003", "CAT-C006", "CAT-I001"))
_ALWAYS_CONSTANT = frozenset(("Constant", "EyeLike", "Shape", "Size"))
_ARITHMETIC_ONLY = frozenset(("fold-weights",))
"""Passes that refuse nothing and change no types: they cost time with the weights and nothing is learnt from them."""
LAST_STAGE = "encoded"
"""Everything that a target cannot express is refused by this stage."""


@dataclass(frozen=True)
class CheckReport(Displayed):
    """What a check found: how many nodes of each operator there are, what goes to the host, and every problem."""

    model: str
    target: str
    operators: Mapping[str, int]
    problems: tuple[Diagnostic, ...]
    host_segments: tuple[HostSegment, ...] = ()

    @property
    def is_supported(self) -> bool:
        """Whether the model can be compiled."""
        return not self.problems

    def operator_table(self) -> Table:
        """How many nodes of each operator there are."""
        return table(("operator", number("nodes")), self.operators.items())

    def problem_table(self) -> Table:
        """Every problem, with the node that it is about."""
        rows = ((each.code, each.node, each.message, each.hint) for each in self.problems)
        return table(("code", "node", "problem", "hint"), rows, f"{self.model} cannot be compiled for {self.target}")

    def displayed(self) -> Iterable[Part]:
        """What notebooks show."""
        return [self.operator_table() if self.is_supported else self.problem_table()]


class _OperatorCount(SilentObserver):
    def __init__(self) -> None:
        self.operators: Counter[str] = Counter()
        self.host_segments: tuple[HostSegment, ...] = ()

    def after_stage(self, run: StageRun, module: ModuleOp) -> None:
        if run.stage == "import":
            self.operators.update(_operator_of(op.name) for op in module.walk() if op.dialect_name() == "onnx")
            self.host_segments = segments_in_module(module)


class _LastStageVerifier(Verifier):
    """Checks a module once, after the last stage: a check hands no IR on, and what users do wrong passes refuse."""

    def verify(
        self,
        module: ModuleOp,
        *,
        stage: str = "",
        legality: Legality | None = None,
        positions: Mapping[Operation, str] = NO_POSITIONS,
    ) -> None:
        if stage == LAST_STAGE and legality is not None:
            super().verify(module, stage=stage, legality=legality, positions=positions)


def check_model(source: str, options: CompileOptions) -> CheckReport:
    """Whether a model can be compiled for the target of `options`, and if not, all that stands in the way.

    Raises `CatenaError` if the file or the command is wrong rather than unsupported.
    """
    if kind_of(source) is not SourceKind.MODEL:
        raise CatenaError(Diagnostic("CAT-C001", f"{source} is not an ONNX model", hint="check looks at models"))
    count = _OperatorCount()
    problems: tuple[Diagnostic, ...] = ()
    importing = replace(options.importing, notes_hash=False, maps_words=True)
    target = options.target or DEFAULT_TARGET
    try:
        if options.mode is Mode.OFFLOAD:
            require_host(select_target(target, options.settings).machine)
        asked = replace(
            options, start=None, stop=LAST_STAGE, mode=Mode.CHAIN, importing=importing, without=_ARITHMETIC_ONLY
        )
        compile_source(source, asked, (count,), _LastStageVerifier())
    except CatenaError as error:
        problems = error.diagnostics
        if any(each.code in _UNREADABLE for each in problems):
            raise
        if not count.operators and importing.fallback is None:
            more = _without_lowering(source, {each.node for each in problems})
            problems = with_hints((*problems, *more), importing)
        if any(CODES[each.code].exit_code is not ExitCode.UNSUPPORTED for each in problems):
            raise CatenaError(problems) from error
    return CheckReport(source, target, dict(sorted(count.operators.items())), problems, count.host_segments)


def _without_lowering(source: str, named: set[str]) -> Iterator[Diagnostic]:
    """Nodes of standard operators that nothing lowers, in a model that could not be imported for other reasons.

    `named` are nodes that have a diagnostic already. Nodes of constants only are left out: they are folded.
    """
    from compiler.importer.loading import opset_of, read_model

    model = read_model(Path(source)).model
    graph, opset = model.graph, opset_of(model) or 1
    constants = {tensor.name for tensor in (*graph.initializer, *(each.values for each in graph.sparse_initializer))}
    for node in graph.node:
        if node.op_type in _ALWAYS_CONSTANT or all(name in constants for name in node.input if name):
            constants.update(node.output)
        elif _is_unknown(node, opset) and node.name not in named:
            yield Diagnostic(
                "CAT-U001",
                f"operator {node.op_type} is not supported",
                "gconv",
                node.name or next(iter(node.output), ""),
                hint="`catena ops` lists the supported operators",
            )


def _is_unknown(node: NodeProto, opset: int) -> bool:
    """Whether a node of a standard operator, without subgraphs, has neither a lowering nor a body of operators."""
    import onnx

    from compiler.importer.functions import has_body
    from passes.lower_onnx import LOWERINGS

    is_standard = node.domain in ("", "ai.onnx") and onnx.defs.has(node.op_type)
    has_graphs = any(each.HasField("g") or each.graphs for each in node.attribute)
    is_covered = node.op_type in LOWERINGS or has_body(node.op_type, "", opset)
    return is_standard and not has_graphs and not is_covered


def _operator_of(name: str) -> str:
    """`Conv` for `onnx.Conv_v1`."""
    return name.removeprefix("onnx.").partition("_v")[0]
