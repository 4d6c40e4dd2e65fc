"""The kinds of machines: what a description is checked by, and which of its tables tells it apart.

The model of a kind is loaded where there is a machine of that kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar, cast

from dialects.accelerator import Accelerator
from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.validation import validated

if TYPE_CHECKING:
    from dialects.nest_machine import NestMachine


@dataclass(frozen=True)
class MachineKind:
    """A kind of machine: the model of its descriptions, the table that no other kind has, and what messages call it.

    `place` is where the model is, `module:class`.
    """

    place: str
    table: str
    called: str

    @property
    def model(self) -> type[Accelerator]:
        """What descriptions are checked by."""
        module, name = self.place.split(":")
        return cast("type[Accelerator]", getattr(import_module(module), name))


KINDS = (
    MachineKind("dialects.nest_machine:NestMachine", "levels", "a hierarchy of levels"),
    MachineKind("dialects.gemm_machine:GemmMachine", "im2col", "im2col units in front of a systolic array"),
    MachineKind("dialects.multicore_machine:MulticoreMachine", "crossbar", "cores with crossbars"),
    MachineKind("dialects.array_machine:Machine", "glb", "a row-stationary array"),
)
"""All of them; a description with none of their tables is checked as one of the last."""

_AnyMachine = TypeVar("_AnyMachine", bound=Accelerator)


def read_machine(description: object, where: str = "") -> Accelerator:
    """The machine of a description, by the model of its kind; what keys say of each other is not looked at.

    Raises `CatenaError` (CAT-C003) with one diagnostic per wrong, missing or unknown key.
    """
    return validated(kind_of(description).model, description, where)


def kind_of(description: object) -> MachineKind:
    """The kind of a machine by the tables of its description."""
    tables = _table(description)
    return next((each for each in KINDS if each.table in tables), KINDS[-1])


def parse_machine(description: object, where: str = "") -> Accelerator:
    """The machine of a description, in its own words. One that IR holds may have been converted to them before.

    Raises `CatenaError` (CAT-C003) as `read_machine`, and for what keys say that does not go together.
    """
    machine = _converted(description, where) if "widths" in _table(description) else read_machine(description, where)
    if problems := machine.contradictions(where):
        raise CatenaError(problems)
    return machine.in_machine_words()


def _converted(description: object, where: str) -> Accelerator:
    from dialects.nest_machine import ConvertedMachine

    return validated(ConvertedMachine, description, where)


def _table(description: object) -> dict[str, object]:
    """A description as a table, an empty one if it is none."""
    return cast("dict[str, object]", description) if isinstance(description, dict) else {}


def of_kind(model: type[_AnyMachine], machine: Accelerator, stage: str, where: str = "") -> _AnyMachine:
    """A machine as one of the kind with this model.

    Raises `CatenaError` (CAT-R003) if it is another one.
    """
    if isinstance(machine, model):
        return machine
    expected = next(each.called for each in KINDS if each.model is model)
    message, hint = f"the machine {machine.name} is of another kind", "use the passes of its backend"
    raise CatenaError(Diagnostic("CAT-R003", message, stage, where=where, expected=expected, hint=hint))


def spatial_machine(machine: Accelerator, stage: str, where: str = "") -> Machine:
    """A machine as a row-stationary one. Raises `CatenaError` (CAT-R003) if it is another one."""
    return of_kind(Machine, machine, stage, where)


def nest_machine(machine: Accelerator, stage: str, where: str = "") -> NestMachine:
    """A machine as a hierarchy of memories and axes. Raises `CatenaError` (CAT-R003) if it is another one."""
    from dialects.nest_machine import NestMachine

    return of_kind(NestMachine, machine, stage, where)
