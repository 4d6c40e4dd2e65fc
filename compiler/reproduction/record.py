"""What stands beside the files of a reproducer: how to run it, with which options, and what came of it."""

from __future__ import annotations

import json
import platform
from collections.abc import Container, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from compiler.compilation import CompileOptions
from compiler.files import read_text
from compiler.modes import mode_named
from compiler.searching import search_options
from compiler.sources import ImportOptions
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.toml_text import as_toml
from dialects.validation import validated

RECORD, IR, NOTE = "failure.json", "reproducer.mlir", "README.txt"
MODEL, PROGRAM, INPUTS = "model.onnx", "program.cat", "inputs.npz"
TARGET: Final = "target.toml"
MAPPING: Final = "mapping.toml"
SAMPLES: Final = "calibrate.npz"
PHYSICS = "physics.toml"
"""The files of a reproducer."""

_PACKAGES = ("catena", "numpy", "onnx", "xdsl", "ml_dtypes")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Asked(_Model):
    """The options of a compilation as plain data; `files` are those of the folder that it reads."""

    files: tuple[Literal["target.toml", "mapping.toml", "calibrate.npz"], ...] = ()
    settings: dict[str, str] = {}
    density: float | None = None
    objective: str | None = None
    time_limit: float | None = None
    mode: str = "chain"
    fuse: bool = False
    without: tuple[str, ...] = ()
    input_shapes: dict[str, tuple[int, ...]] = {}
    batch: int | None = None
    fallback: str | None = None

    @classmethod
    def of(cls, options: CompileOptions, files: Container[str]) -> Asked:
        """The options, and those of the `files` in the folder that they read."""
        importing, search = options.importing, options.search
        return cls(
            files=tuple(each for each in (TARGET, MAPPING, SAMPLES) if each in files),
            settings=dict(options.settings),
            density=options.density,
            objective=None if search.objective is None else search.objective.value,
            time_limit=search.time_limit,
            mode=options.mode.value,
            fuse=options.fuse,
            without=tuple(sorted(options.without)),
            input_shapes={name: tuple(shape) for name, shape in importing.input_shapes.items()},
            batch=importing.batch,
            fallback=importing.fallback,
        )

    def options(self, folder: Path) -> CompileOptions:
        """The options again. Nothing is cached, one process searches.

        Raises `CatenaError` (CAT-C001) for a mode or objective unknown.
        """

        def inside(name: str) -> str | None:
            return str(folder / name) if name in self.files else None

        return CompileOptions(
            target=inside(TARGET),
            settings=self.settings,
            mapping=inside(MAPPING),
            calibrate=inside(SAMPLES),
            density=self.density,
            search=search_options(self.objective, self.time_limit, no_cache=True),
            mode=mode_named(self.mode),
            fuse=self.fuse,
            without=frozenset(self.without),
            importing=ImportOptions(self.input_shapes, self.batch, fallback=self.fallback),
        )


class Record(_Model):
    """What is said beside a reproducer.

    `command` is run in its folder. Of a stage that failed, `done` of its `passes` had run; without `asked` they are a
    pipeline by themselves. `diagnostics` are those that ended the command.
    """

    reproducer: Literal[1] = 1
    command: str
    source: str
    stage: str
    passes: tuple[str, ...] = ()
    done: Annotated[int, Field(ge=0)] = 0
    asked: Asked | None = None
    diagnostics: tuple[dict[str, Any], ...]
    versions: dict[str, str]

    @property
    def culprit(self) -> str:
        """What failed, in a few words."""
        place = f"stage {self.stage}" if self.stage else "the pipeline"
        return f"pass {self.passes[self.done]} of {place}" if self.done < len(self.passes) else place

    def text(self) -> str:
        """As JSON."""
        return json.dumps(self.model_dump(mode="json", exclude_none=True), indent=1, ensure_ascii=False) + "\n"


def versions() -> dict[str, str]:
    """What made a failure: the interpreter, the machine, the packages."""
    return {
        **{name: version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def plain_diagnostics(diagnostics: Iterable[Diagnostic]) -> tuple[dict[str, Any], ...]:
    """Diagnostics as JSON has them."""
    return tuple(each.to_json() for each in diagnostics)


def read_record(file: Path) -> Record:
    """The record beside a reproducer.

    Raises `CatenaError`: CAT-C002 if there is none, CAT-C003 if it is none that this version of Catena wrote.
    """
    path = file.parent / RECORD
    if not path.is_file():
        hint = f"name the {IR} of a folder that --reproducer wrote"
        raise CatenaError(Diagnostic("CAT-C002", f"there is no {RECORD} beside {file}", hint=hint))
    try:
        content = json.loads(read_text(str(path)))
    except (ValueError, RecursionError) as error:
        raise CatenaError(Diagnostic("CAT-C003", f"{RECORD} cannot be read: {error}", where=str(path))) from error
    record = validated(Record, content, str(path), "reproducer")
    if record.done > len(record.passes):
        problem = Diagnostic(
            "CAT-C003",
            f"{RECORD}: more passes are done than there are",
            "reproducer",
            where=str(path),
            expected=f"at most {len(record.passes)}",
            found=as_toml(record.done),
        )
        raise CatenaError(problem)
    return record
