"""A backend of a third party: the spatial machine in other sizes, and a pass for its scalar unit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from backends.api import Backend, Emulator
from backends.program import Program
from backends.spatial.isa import ISA

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp
    from xdsl.passes import ModulePass

    from dialects.events import Counts

NAME = "toychip"
ENGINES = ("blocks", "elements")


def _description() -> Path:
    return Path(__file__).with_name("target.toml")


def _emit(module: ModuleOp) -> Program:
    from backends.spatial.emit import emit

    return emit(module, NAME)


def _load(program: Program, engine: str | None = None) -> Emulator:
    from backends.spatial.emulator import SpatialEmulator

    return SpatialEmulator(program, engine or ENGINES[0])


def _predict(module: ModuleOp) -> Mapping[str, Counts]:
    from backends.spatial.emit import predictions

    return predictions(module)


def _split_clips() -> type[ModulePass]:
    from catena_toychip.split_clips import SplitClipsPass

    return SplitClipsPass


BACKEND = Backend(
    name=NAME,
    summary="5 x 3 array with 2 kB of buffer",
    isa=lambda: ISA,
    description=_description,
    emit=_emit,
    load=_load,
    predict=_predict,
    engines=ENGINES,
    passes={"encoded": ("legalize-words", "toychip-split-clips")},
    pass_types={"toychip-split-clips": _split_clips},
)
