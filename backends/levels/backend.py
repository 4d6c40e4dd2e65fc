"""Backends of machines of two memories with instructions of their own: what such a backend brings, and the rest of it.

The machine is described by levels (`docs/targets.md`), so the mapper, the cost model and placing are there already.
A backend adds an instruction set, a function that makes instructions of the ops of a placed layer, and a core:

    MACHINE = LevelsMachine(ISA, instructions, Core)

in a module that is imported when it is needed, and `levels_backend` makes a `Backend` of it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from xdsl.ir import Operation

from backends.api import API_VERSION, Backend, Emulator
from backends.generic.description import check_levels
from backends.isa import Instruction, Isa
from backends.levels.core import TileCore
from dialects.diagnostics import CatenaError, Diagnostic

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp

    from backends.program import Program
    from backends.spatial.emit import Emission
    from dialects.accelerator import Accelerator
    from dialects.events import Counts
    from dialects.spatial import LayerOp

Translate = Callable[[Operation, Mapping[str, int]], Iterable[Instruction]]
"""The instructions of an op that stands in a placed layer (`dialects.levels`), given the numbers of its dimensions.

It is asked for places, axes and transfers; loops over time are those of every machine (`backends.spatial.isa`).
"""


@dataclass(frozen=True)
class LevelsMachine:
    """What is the machine's own: its instructions, how a layer becomes them, and what executes them."""

    isa: Isa
    translate: Translate
    core: type[TileCore]


def levels_backend(
    name: str, summary: str, description: Path, machine: str, api: tuple[int, int] = API_VERSION
) -> Backend:
    """The backend of a machine of two memories that a TOML file describes by its levels.

    `machine` is where its `LevelsMachine` is, as `module:attribute`, imported when it is needed.
    """

    def found() -> LevelsMachine:
        module, _, attribute = machine.partition(":")
        return getattr(import_module(module), attribute)

    def emit(module: ModuleOp) -> Program:
        from backends.spatial.emit import emit_program

        return emit_program(module, name, _emission(module, found()))

    def predict(module: ModuleOp) -> Mapping[str, Counts]:
        from backends.spatial.emit import predicted_counts

        return predicted_counts(module, _emission(module, found()))

    def load(program: Program, engine: str | None = None) -> Emulator:
        from backends.levels.emulator import TileEmulator

        brought = found()
        return TileEmulator(program, brought.isa, brought.core)

    return Backend(
        name=name,
        summary=summary,
        isa=lambda: found().isa,
        description=lambda: description,
        emit=emit,
        load=load,
        predict=predict,
        engines=("tiles",),
        passes={"mapped": ("map-nest",), "placed": ("order-segments", "place-nest")},
        check=_check,
        api=api,
    )


def _check(machine: Accelerator) -> None:
    """As on the generic machine; there is one memory on chip, once for all elements, and tiles are brought whole."""
    from dialects.machine_kinds import nest_machine

    check_levels(machine)
    described = nest_machine(machine, "target")
    inner = described.memories[1:]
    if any(memory.slides for memory in inner):
        message = f"levels.{inner[0].name}.slides: the machine brings whole tiles"
        raise CatenaError(Diagnostic("CAT-C003", message, "target", "", "", "false", "true"))
    if any(memory.words is None for memory in inner):
        message = f"levels.{inner[0].name}.words: a memory on chip has a size"
        raise CatenaError(Diagnostic("CAT-C003", message, "target", "", "", "a number of words", "none"))
    if len(inner) != 1 or described.axes_outside(inner[0].name):
        message = "levels: the machine has one memory on chip, outside of all axes"
        expected, sites = "a memory, another one, then axes", ", ".join(level.name for level in described.levels)
        raise CatenaError(Diagnostic("CAT-C003", message, "target", "", "", expected, sites))


def _emission(module: ModuleOp, machine: LevelsMachine) -> Emission:
    from backends.generic.isa import DRAM_WORDS
    from backends.spatial.emit import Emission
    from dialects.target import require_nest_machine
    from passes.fusion.placed_on_levels import predict_layer

    described = require_nest_machine(module, "program").executed

    def body(op: LayerOp, dims: dict[str, int]) -> Iterator[Instruction]:
        return _instructions(op.body.block.ops, dims, machine.translate)

    def predicted(op: LayerOp, known: dict[Hashable, Counts]) -> Counts:
        return predict_layer(op, described, known)

    return Emission(machine.isa, body, predicted, DRAM_WORDS)


def _instructions(ops: Iterable[Operation], dims: dict[str, int], translate: Translate) -> Iterator[Instruction]:
    """The instructions of some ops, and of all in their bodies."""
    from backends.spatial.emit import loop_fields
    from backends.spatial.isa import End, Loop, Offload
    from dialects.levels import ParOp
    from dialects.spatial import ForOp, OffloadOp, integer

    for op in ops:
        match op:
            case ForOp():
                yield Loop(*loop_fields(op.loop.data, dims), integer(op.tile))
                yield from _instructions(op.body.block.ops, dims, translate)
                yield End()
            case ParOp():
                yield from translate(op, dims)
                yield from _instructions(op.body.block.ops, dims, translate)
            case OffloadOp():
                yield Offload()
            case _:
                yield from translate(op, dims)
