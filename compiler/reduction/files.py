"""Reducing a model in a file: what is asked for, what came of it, the smallest model always in a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compiler.compilation import CompileOptions
from compiler.displaying import Displayed, Part
from compiler.files import write_bytes
from compiler.reduction.criteria import command_fails, diagnosed
from compiler.reduction.loading import load_whole
from compiler.reduction.parts import fixed_shapes
from compiler.reduction.reducing import Reduction
from compiler.reduction.shrinking import Size, size_of
from compiler.sources import ImportOptions
from compiler.tables import Table, number, table

MEASURES = ("nodes", "elements", "varied constants", "inputs of nodes", "attributes")
"""What the parts of a size are called."""


@dataclass(frozen=True)
class Reduced(Displayed):
    """What came of a reduction: sizes as in `MEASURES`, candidates tried, and whether all of them were."""

    output: Path
    failure: str
    before: Size
    after: Size
    tried: int
    is_finished: bool

    @property
    def json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "output": str(self.output),
            "failure": self.failure,
            "tried": self.tried,
            "finished": self.is_finished,
            "before": dict(zip(MEASURES, self.before, strict=True)),
            "after": dict(zip(MEASURES, self.after, strict=True)),
        }

    def table(self) -> Table:
        """A row for each measure."""
        rows = zip(MEASURES, self.before, self.after, strict=True)
        return table(("", number("before"), number("after")), rows)

    def displayed(self) -> Iterable[Part]:
        """What notebooks show."""
        return [self.table()]


def reduce_file(
    model: Path,
    output: Path | None = None,
    options: CompileOptions | None = None,
    *,
    code: str | None = None,
    message: str = "",
    verify: bool = False,
    command: str | None = None,
    time_limit: float | None = None,
    show: Callable[[str], None] = lambda _: None,
) -> Reduced:
    """Shrink a model that fails to the smallest one that does, which is written to `output` (`MODEL.reduced.onnx`).

    What fails is compiling it, with a `code` (that of its first problem if None) and a `message` in the diagnostic,
    and with `verify` its comparison with ONNX Runtime; or else a `command`. Dynamic inputs get the shapes of the
    options. Raises `CatenaError`: CAT-C001 if the model does not fail so, CAT-C002, CAT-M001 for its file.
    """
    asked = options or CompileOptions()
    importing = asked.importing
    shapes = {name: tuple(shape) for name, shape in importing.input_shapes.items()}
    whole = fixed_shapes(load_whole(model), shapes, importing.batch)
    if command is not None:
        failure = command_fails(whole, command)
    else:
        compiling = replace(asked, importing=ImportOptions(fallback=importing.fallback))
        failure = diagnosed(whole, compiling, code=code, verify=verify, message=message)
    path = output or Path(f"{model.with_suffix('')}.reduced.onnx")
    write_bytes(path, whole.SerializeToString())
    reduction = Reduction(whole, failure.fails, lambda smaller: write_bytes(path, smaller.SerializeToString()), show)
    reduction.run(time_limit)
    return Reduced(path, failure.description, size_of(whole), reduction.size, reduction.tried, reduction.is_finished)
