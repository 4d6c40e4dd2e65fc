"""Targets: which machine to compile for, from a name or a TOML file, and which backend does it.

A description is TOML as the machines of `dialects.machine_kinds` have it. It may start from another one with `extends =
"NAME"` (a target of an installed backend) or `extends = "other.toml"` (a file, relative to this one), and then gives
only what differs. The backend is the one at the end of that chain. One that has `levels` and extends nothing is a
machine of its own, of the generic backend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from backends.api import Backend
from backends.registry import InstalledBackend, installed_backends
from compiler.descriptions.blame import blamed, key_of, set_by
from compiler.descriptions.data import is_second_name, wrong_tables
from compiler.descriptions.files import DescribedTarget, described_target
from compiler.descriptions.hidden_contradictions import hidden_behind
from compiler.descriptions.lines import located
from dialects.accelerator import Accelerator
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.machine_kinds import read_machine
from dialects.target import MachineOp


@dataclass(frozen=True)
class Target:
    """A machine, the backend that compiles for it, the files that describe it, and the keys that are set on top."""

    backend: Backend
    machine: Accelerator
    files: tuple[Path, ...] = ()
    settings: tuple[str, ...] = ()

    @cached_property
    def machine_op(self) -> MachineOp:
        """The machine as IR, in no module; clones of it share the description."""
        return MachineOp.of(self.machine)

    def misfit(self, problem: Diagnostic) -> Diagnostic:
        """A layer that does not fit (CAT-F001), with the file and line or the setting of the level."""
        if problem.code != "CAT-F001" or problem.where or not self.files:
            return problem
        key = key_of(problem)
        if key in self.settings:
            return replace(problem, where=set_by(key, self.settings))
        return located(replace(problem, where=str(self.files[0])), self.files)


def select_target(name: str, settings: Mapping[str, str] | None = None) -> Target:
    """The target of that name, or that a TOML file describes, with some keys set to other values.

    `settings` maps dotted keys such as `glb.banks` to values written as in TOML. Raises `CatenaError`: CAT-C001 for an
    unknown name, CAT-C002 for a file that cannot be read, CAT-C003 for a description or a setting that is not valid,
    CAT-C006 for a backend that cannot be loaded.
    """
    described = described_target(name, settings)
    try:
        files = tuple(each.file for each in described.chain)
        return Target(described.backend, _checked(described, name), files, tuple(described.settings))
    except CatenaError as error:
        raise CatenaError(blamed(error.diagnostics, described, _problems)) from error


def _problems(described: DescribedTarget) -> tuple[Diagnostic, ...]:
    """What is wrong with a description."""
    try:
        _checked(described, "")
    except CatenaError as error:
        return error.diagnostics
    return ()


def _checked(described: DescribedTarget, where: str) -> Accelerator:
    """The machine of a description, which its backend agrees with; raises all that is wrong with it at once."""
    named = list(wrong_tables(described.description, where))
    if any(not is_second_name(each) for each in named):
        raise CatenaError(named)
    try:
        machine = read_machine(described.description, where)
    except CatenaError as error:
        hidden = hidden_behind(error.diagnostics, described.description, lambda other: _problems_with(other, described))
        raise CatenaError([*named, *error.diagnostics, *hidden]) from error
    problems = [*named, *_disagreements(machine, described, where)]
    if machine.has_levels and not problems:
        # only such machines need what reads dataflows
        from compiler.descriptions.taken_back import taken_back
        from dialects.nest_machine import NestMachine

        assert isinstance(machine, NestMachine)
        problems += taken_back(described, machine)
    if problems:
        raise CatenaError(problems)
    return machine.in_machine_words()


def _problems_with(description: dict[str, Any], described: DescribedTarget) -> Sequence[Diagnostic]:
    """What is wrong with another description in the place of one, first of all with its keys."""
    try:
        return _disagreements(read_machine(description), described, "")
    except CatenaError as error:
        return error.diagnostics


def _disagreements(machine: Accelerator, described: DescribedTarget, where: str) -> list[Diagnostic]:
    """What keys that are all right say of each other, or to the backend."""
    problems = machine.contradictions(where)
    try:
        described.backend.check(machine)
    except CatenaError as error:
        problems += error.diagnostics
    if machine.has_levels and _is_of_others(machine.name, described):
        message = f"name: {machine.name} is another target, which comes with its own backend"
        hint = "choose another name: mapping files, IR and programs name their target by it"
        problems.append(Diagnostic("CAT-C003", message, "target", "", where, "a name of its own", machine.name, hint))
    return problems


def _is_of_others(name: str, described: DescribedTarget) -> bool:
    """Whether a description that comes with no backend calls its machine by the name of another backend."""
    backend = described.backend
    if name == backend.name or described.file in backend.targets().values():
        return False
    return name in {each.name for each in installed_backends()}


def target_names(installed: InstalledBackend) -> tuple[str, ...]:
    """The targets of a backend: the one of its own name, then further ones. Raises `CatenaError` as loading it does."""
    return (installed.name, *installed.load().targets())
