"""What a check finds: a problem at an op, turned into a diagnostic that names op, values and ONNX nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Operation, SSAValue

from dialects.diagnostics import Diagnostic
from dialects.locations import describe


@dataclass(frozen=True)
class Problem:
    """One rule that one op breaks; `code` is a diagnostic code."""

    op: Operation
    code: str
    message: str
    expected: str = ""
    found: str = ""
    hint: str = ""

    def diagnostic(self, stage: str, positions: Mapping[Operation, str]) -> Diagnostic:
        """The problem as a diagnostic; `positions` says where in a file an op stands."""
        return Diagnostic(
            self.code,
            f"{name_of(self.op)}: {self.message}",
            stage=stage,
            node=describe(self.op),
            where=positions.get(self.op, ""),
            expected=self.expected,
            found=self.found,
            hint=self.hint,
        )


def value_name(value: SSAValue) -> str:
    """A value as the IR text calls it; its type when it has no name."""
    return f"%{value.name_hint}" if value.name_hint else f"a value of type {value.type}"


def name_of(op: Operation) -> str:
    """An op by its name and the values or symbol it defines: `gconv.link %conv1`."""
    symbol = op.properties.get("sym_name")
    if isinstance(symbol, StringAttr):
        return f"{op.name} @{symbol.data}"
    results = ", ".join(f"%{result.name_hint}" for result in op.results if result.name_hint)
    return f"{op.name} {results}" if results else op.name
