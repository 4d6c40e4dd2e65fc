"""Checking a model before compiling it: everything that is not supported, at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from xdsl.dialects.builtin import ModuleOp

from compiler.compilation import CompileOptions, compile_source
from compiler.driver import SilentObserver, StageRun
from compiler.sources import SourceKind, kind_of
from compiler.targets import DEFAULT_TARGET
from dialects.diagnostics import CODES, CatenaError, Diagnostic, ExitCode

LAST_STAGE = "encoded"
"""Everything that a target cannot express is refused by this stage."""


@dataclass(frozen=True)
class CheckReport:
    """What a check found: how many nodes of each operator there are, and every problem."""

    model: str
    target: str
    operators: Mapping[str, int]
    problems: tuple[Diagnostic, ...]

    @property
    def is_supported(self) -> bool:
        """Whether the model can be compiled."""
        return not self.problems


class _OperatorCount(SilentObserver):
    def __init__(self) -> None:
        self.operators: Counter[str] = Counter()

    def after_stage(self, run: StageRun, module: ModuleOp) -> None:
        if run.stage == "import":
            self.operators.update(_operator_of(op.name) for op in module.walk() if op.dialect_name() == "onnx")


def check_model(source: str, options: CompileOptions) -> CheckReport:
    """Whether a model can be compiled for the target of `options`, and if not, all that stands in the way.

    Raises `CatenaError` if the file or the command is wrong rather than unsupported.
    """
    if kind_of(source) is not SourceKind.MODEL:
        raise CatenaError(Diagnostic("CAT-C001", f"{source} is not an ONNX model", hint="check looks at models"))
    count = _OperatorCount()
    problems: tuple[Diagnostic, ...] = ()
    importing = replace(options.importing, notes_hash=False)
    try:
        compile_source(source, replace(options, start=None, stop=LAST_STAGE, importing=importing), (count,))
    except CatenaError as error:
        if any(CODES[each.code].exit_code is not ExitCode.UNSUPPORTED for each in error.diagnostics):
            raise
        problems = error.diagnostics
    return CheckReport(source, options.target or DEFAULT_TARGET, dict(sorted(count.operators.items())), problems)


def _operator_of(name: str) -> str:
    """`Conv` for `onnx.Conv_v1`."""
    return name.removeprefix("onnx.").partition("_v")[0]
