"""The assembler: text to instructions. The syntax of a line is in `backends.syntax`.

Integers are decimal or 0x hexadecimal; f32 numbers are decimal, `inf`, `nan` or `nan:0xPAYLOAD`, each with a sign if
negative; enums are names; flags are 0 or 1. The order of fields is free; a field with a default may be left out.
"""

from __future__ import annotations

from typing import Any

from backends.fields import OutOfRange
from backends.isa import FieldType, Instruction, InstructionSpec, Isa
from backends.problems import Problems
from backends.syntax import Operand, Statement, statements
from dialects.diagnostics import Diagnostic, did_you_mean


def format_instruction(instruction: Instruction, isa: Isa) -> str:
    """An instruction as assembly; `assemble` gives back an equal one."""
    return isa.format(instruction)


def assemble(text: str, isa: Isa, origin: str = "assembly") -> list[Instruction]:
    """The instructions of an assembly text without directives; `origin` names the text in messages.

    Raises `CatenaError` with all problems: CAT-A001 for syntax, unknown, repeated and missing names, CAT-A002 for a
    value out of range.
    """
    problems = Problems()
    assembler = Assembler(isa, origin, problems)
    instructions: list[Instruction] = []
    for statement in statements(text, origin, problems):
        if statement.is_directive:
            message = f"directive {statement.name!r} in plain code"
            problems.add(Diagnostic("CAT-A001", message, where=statement.place(origin)))
            continue
        instruction = assembler.instruction(statement)
        if instruction is not None:
            instructions.append(instruction)
    problems.raise_if_any()
    return instructions


class Assembler:
    """Turns statements into instructions of an ISA; problems are collected, not raised."""

    def __init__(self, isa: Isa, origin: str, problems: Problems):
        self._isa = isa
        self._origin = origin
        self._problems = problems
        self._types = {name: {each.name: each.type for each in spec.fields} for name, spec in isa.mnemonics.items()}
        self._required = {
            name: frozenset(each.name for each in spec.fields if each.is_required)
            for name, spec in isa.mnemonics.items()
        }

    def instruction(self, statement: Statement) -> Instruction | None:
        """The instruction of a statement, or None if it has a problem."""
        spec = self._isa.mnemonics.get(statement.name)
        if spec is None:
            self._report(
                statement,
                statement.column,
                f"unknown mnemonic {statement.name!r}",
                hint=did_you_mean(statement.name, self._isa.mnemonics),
            )
            return None
        types = self._types[statement.name]
        values: dict[str, Any] = {}
        is_good = True
        for operand in statement.operands:
            is_good &= self._read_operand(statement, operand, types, values)
        missing = self._required[statement.name] - values.keys()
        if missing and is_good:
            self._report_missing(statement, spec, missing)
        return spec.kind(**values) if is_good and not missing else None

    def _read_operand(
        self, statement: Statement, operand: Operand, types: dict[str, FieldType], values: dict[str, Any]
    ) -> bool:
        kind = types.get(operand.key)
        if kind is None:
            message = f"{statement.name} has no field {operand.key!r}"
            self._report(statement, operand.column, message, hint=did_you_mean(operand.key, types))
            return False
        if operand.key in values:
            self._report(statement, operand.column, f"field {operand.key!r} is given twice")
            return False
        try:
            values[operand.key] = kind.parse(operand.value)
        except OutOfRange as error:
            message = f"{statement.name}: field {operand.key!r} is out of range"
            self._report(statement, operand.column, message, "CAT-A002", str(error), operand.value)
            return False
        except ValueError as error:
            message = f"{statement.name}: malformed field {operand.key!r}"
            self._report(statement, operand.column, message, "CAT-A001", str(error), operand.value)
            return False
        return True

    def _report_missing(self, statement: Statement, spec: InstructionSpec, missing: frozenset[str]) -> None:
        names = ", ".join(repr(each.name) for each in spec.fields if each.name in missing)
        self._report(statement, statement.column, f"{statement.name} needs {names}")

    def _report(
        self,
        statement: Statement,
        column: int,
        message: str,
        code: str = "CAT-A001",
        expected: str = "",
        found: str = "",
        hint: str = "",
    ) -> None:
        where = statement.place(self._origin, column)
        self._problems.add(Diagnostic(code, message, where=where, expected=expected, found=found, hint=hint))
