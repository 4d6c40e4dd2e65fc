"""Eyeriss: the first description of the spatial machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from backends.api import Backend, Emulator
from backends.program import Program
from backends.spatial.isa import ISA

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp

    from dialects.events import Counts

NAME = "eyeriss"
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


BACKEND = Backend(
    name=NAME,
    summary="row-stationary array of 12 x 14 elements (Chen et al., ISCA and ISSCC 2016, JSSC 2017)",
    isa=ISA,
    description=_description,
    emit=_emit,
    load=_load,
    predict=_predict,
    engines=ENGINES,
)
