"""The target as IR: `target.machine` describes the accelerator that the module is compiled for.

Generic passes read the machine from the module; none of them knows a backend. The description is checked by the model
of its kind (`dialects.machine_kinds`; unknown keys are errors), printed as a dictionary attribute, and read from TOML
by `compiler`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import DictionaryAttr, ModuleOp, StringAttr, SymbolNameConstraint
from xdsl.ir import Dialect
from xdsl.irdl import IRDLOperation, irdl_op_definition, prop_def, traits_def
from xdsl.traits import SymbolOpInterface
from xdsl.utils.exceptions import VerifyException

from dialects.accelerator import Accelerator
from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.machine_kinds import of_kind, parse_machine
from dialects.plain_attributes import from_attribute, to_dictionary

if TYPE_CHECKING:
    from dialects.gemm_machine import GemmMachine
    from dialects.multicore_machine import MulticoreMachine
    from dialects.nest_machine import NestMachine


@irdl_op_definition
class MachineOp(IRDLOperation):
    """The machine that this module is compiled for; at most one in a module."""

    name = "target.machine"

    sym_name = prop_def(SymbolNameConstraint())
    description = prop_def(DictionaryAttr)

    traits = traits_def(SymbolOpInterface())

    assembly_format = "$sym_name $description attr-dict"

    @classmethod
    def of(cls, machine: Accelerator) -> MachineOp:
        """The op that holds `machine`."""
        plain = machine.model_dump(mode="json", exclude_none=True)
        return cls(properties={"sym_name": StringAttr(machine.name), "description": to_dictionary(plain)})

    @property
    def machine(self) -> Accelerator:
        """The description as a checked model."""
        return _machine_of(self.description, f"@{self.sym_name.data}")

    def verify_(self) -> None:
        try:
            machine = self.machine
        except CatenaError as error:
            raise VerifyException(str(error)) from error
        if machine.name != self.sym_name.data:
            raise VerifyException(f"the machine is called {machine.name}, the symbol @{self.sym_name.data}")


@lru_cache(maxsize=8)
def _machine_of(description: DictionaryAttr, where: str) -> Accelerator:
    """A description is checked once, however many passes and verifications ask for it."""
    return parse_machine(from_attribute(description), where)


def find_machine(module: ModuleOp) -> Accelerator | None:
    """The machine a module is compiled for, if it says.

    Raises `CatenaError` (CAT-R003) if it says so more than once, CAT-C003 if the description is not valid.
    """
    machines = [op for op in module.ops if isinstance(op, MachineOp)]
    if len(machines) > 1:
        names = ", ".join(f"@{op.sym_name.data}" for op in machines)
        raise CatenaError(Diagnostic("CAT-R003", "the module has several target.machine", found=names))
    return machines[0].machine if machines else None


def require_machine(module: ModuleOp, stage: str) -> Accelerator:
    """The machine a module is compiled for.

    Raises `CatenaError` (CAT-R003) if the module names none, or several.
    """
    machine = find_machine(module)
    if machine is None:
        raise CatenaError(
            Diagnostic("CAT-R003", "the module has no target.machine", stage=stage, hint="compile with --target")
        )
    return machine


def require_spatial(module: ModuleOp, stage: str) -> Machine:
    """The row-stationary array a module is compiled for. Raises `CatenaError` (CAT-R003) for any other machine."""
    return of_kind(Machine, require_machine(module, stage), stage)


def require_nest_machine(module: ModuleOp, stage: str) -> NestMachine:
    """The hierarchy a module is compiled for. Raises `CatenaError` (CAT-R003) for any other machine."""
    from dialects.nest_machine import NestMachine

    return of_kind(NestMachine, require_machine(module, stage), stage)


def require_gemm_machine(module: ModuleOp, stage: str) -> GemmMachine:
    """The machine of matrix products a module is compiled for. Raises `CatenaError` (CAT-R003) for any other one."""
    from dialects.gemm_machine import GemmMachine

    return of_kind(GemmMachine, require_machine(module, stage), stage)


def require_multicore(module: ModuleOp, stage: str) -> MulticoreMachine:
    """The cores a module is compiled for. Raises `CatenaError` (CAT-R003) for any other machine."""
    from dialects.multicore_machine import MulticoreMachine

    return of_kind(MulticoreMachine, require_machine(module, stage), stage)


TARGET = Dialect("target", [MachineOp], [])
