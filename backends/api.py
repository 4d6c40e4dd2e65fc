"""What a backend is: the values and functions that make Catena compile for a machine and run it.

A backend is one frozen `Backend` value that a distribution offers under the entry point group `catena.backends`:

    [project.entry-points."catena.backends"]
    mychip = "mychip_catena:BACKEND"

The built-in backends use nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp
    from xdsl.passes import ModulePass

    from backends.activity import Activity, Occupancy
    from backends.effects import Observer
    from backends.fields import Array
    from backends.isa import Isa
    from backends.program import Program
    from backends.segments import HostCall
    from dialects.accelerator import Accelerator

API_VERSION = (1, 0)
"""Version of what a backend may use, as `docs/guide/backend-api.md` states it.

The first number grows when backends have to be changed to go on working, the second when something is added. A backend
says in `Backend.api` which version it was written for; `backends.registry` refuses one that this is no version for.
"""

Trace = Callable[[str], None]
"""Called with one line of text for every instruction that an emulator executes."""


class Emulator(Protocol):
    """A machine with a program loaded."""

    def run(
        self, inputs: Mapping[str, Array], *, trace: Trace | None = None, host: HostCall | None = None
    ) -> Mapping[str, Array]:
        """The output tensors by name, given the input tensors by name (shapes and types as in the tensor table).

        `host` executes the host segments of a program (`backends.segments`); without any it is None.

        Raises `CatenaError`: CAT-C005 for inputs that do not fit the tensor table, CAT-E001 to CAT-E003 for faults.
        """
        ...

    def run_layer(self, layer: str, tensors: Mapping[str, Array]) -> Mapping[str, Array]:
        """The output tensors of one layer, executed alone with the given values in its input tensors.

        `tensors` holds every input of the layer that is not a constant, by the names of the tensor table, and what
        surrounds the layer's output where it writes only part of a tensor. Raises `CatenaError` as `run`, `KeyError`
        for an unknown layer.
        """
        ...

    @property
    def counters(self) -> Mapping[str, Any]:
        """What the last run counted, by layer name."""
        ...


@runtime_checkable
class PhysicalEmulator(Protocol):
    """An emulator that can compute as real devices do, not as they should."""

    def set_physics(self, description: Mapping[str, Any], where: str) -> None:
        """Compute so from now on, as a table of the backend's own keys says. Raises `CatenaError` (CAT-C003)."""
        ...


@runtime_checkable
class TimedEmulator(Protocol):
    """An emulator of several cores, which can say what each did when."""

    def record_activity(self) -> None:
        """Note from now on what cores do when."""
        ...

    @property
    def activity(self) -> Sequence[Activity]:
        """What cores did in the last run."""
        ...

    @property
    def occupancy(self) -> Occupancy:
        """How busy cores and their bus were in the last run."""
        ...


Seen = Callable[[int, "Mapping[str, Array]"], None]
"""Called with the address of an instruction that was just executed, and copies of what memories hold, by name."""


@runtime_checkable
class SteppedEmulator(Protocol):
    """An emulator that shows what memories hold after every instruction of a layer."""

    def step_layer(self, layer: str, tensors: Mapping[str, Array], seen: Seen) -> None:
        """Execute a layer alone, as `Emulator.run_layer` does. Raises as that."""
        ...


@runtime_checkable
class ObservedEmulator(Protocol):
    """An emulator that shows what every instruction does, in the terms of the layer (`backends.effects`)."""

    def observe_layer(self, layer: str, tensors: Mapping[str, Array], observer: Observer) -> None:
        """Execute a layer alone, or those of its group, as `Emulator.run_layer` does. Raises as that."""
        ...


@runtime_checkable
class ObservedRunEmulator(Protocol):
    """An emulator that shows what instructions do in a run of the whole program, too."""

    def observe_run(self, inputs: Mapping[str, Array], observer: Observer, *, host: HostCall | None = None) -> None:
        """Execute the program as `Emulator.run` does. Raises as that."""
        ...


Accessed = Callable[[int, int, "Array", bool], None]
"""Called with core and address of an instruction, and the words off chip that it reads or, if true, writes."""


@runtime_checkable
class WatchedEmulator(Protocol):
    """An emulator that shows which words of the off-chip memory instructions read and write, constants left out."""

    def watch_run(
        self, inputs: Mapping[str, Array], accessed: Accessed, *, host: HostCall | None = None
    ) -> Mapping[str, Array]:
        """Execute the program as `Emulator.run` does, and tell of accesses in their order. Raises as that."""
        ...


@runtime_checkable
class ReadingEmulator(Protocol):
    """An emulator that knows which instruction brings words of the off-chip memory to which core."""

    def reader_of(self, words: Array, layers: Sequence[str]) -> tuple[int, int, int] | None:
        """Core and address of the first instruction of some layers that reads any of some constants, and that word.

        `words` are addresses; None if nothing reads them. Raises `CatenaError` for code that cannot be executed.
        """
        ...


def _any_machine(machine: Accelerator) -> None:
    """Every valid description will do."""


@dataclass(frozen=True)
class Backend:
    """An accelerator that Catena can compile for.

    `name` is that of the entry point; `summary` one line. `isa` gives the instruction set of its programs,
    `description` the path of the target description (TOML), `targets` those of further ones by name. `emit` turns a
    module of the last IR stage into a program. `load` puts a program into an emulator with one of the `engines` (ways
    to execute; None is the usual one, which is named first). `predict` gives the counters that the cost model expects,
    by layer name. `passes` maps stage names to the pass pipelines that take the place of the stage's own; `pass_types`
    adds passes by their command-line name. `check` raises `CatenaError` for a description that the backend cannot use.
    `api` is the version of this interface that it was written for.
    """

    name: str
    summary: str
    isa: Callable[[], Isa]
    description: Callable[[], Path]
    emit: Callable[[ModuleOp], Program]
    load: Callable[[Program, str | None], Emulator]
    predict: Callable[[ModuleOp], Mapping[str, Any]]
    engines: tuple[str, ...] = ()
    passes: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    targets: Callable[[], Mapping[str, Path]] = dict[str, Path]
    check: Callable[[Accelerator], None] = _any_machine
    pass_types: Mapping[str, Callable[[], type[ModulePass]]] = field(
        default_factory=dict[str, "Callable[[], type[ModulePass]]"]
    )
    api: tuple[int, int] = (1, 0)
