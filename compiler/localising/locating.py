"""From a wrong layer to the tile and the instruction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backends.api import Emulator
from backends.program import Program
from backends.registry import find_backend
from compiler.explanation.layers import ExplainedLayer, explained_layers
from compiler.localising.engines import blamed_execution, engines_that_are_right
from compiler.localising.evidence import Evidence
from compiler.localising.instructions import Blame, blamed_instruction, together
from compiler.localising.recompiling import or_reason
from compiler.localising.tiles import Tile, first_wrong_tile
from dialects.diagnostics import CatenaError


@dataclass(frozen=True)
class Location:
    """Where a program is wrong. `blame` is the instruction, if one was found; `remark` what else is known."""

    layer: str
    nodes: tuple[str, ...]
    tensor: str
    tile: Tile
    blame: Blame | None
    remark: str

    def lines(self) -> list[str]:
        """As text, from the layer inwards."""
        found = [f"first wrong layer: {self.layer} ({' + '.join(self.nodes)}), in {self.tensor}"]
        found.append(f"first wrong tile: {self.tile}")
        if self.blame is not None:
            found.append(f"to blame: {self.blame}: {self.blame.reason}")
            if self.blame.expected:
                found.append(f"  expected: {self.blame.expected}")
                found.append(f"  found:    {self.blame.found}")
        return [*found, self.remark] if self.remark else found


def locate(program: Program, emulator: Emulator, model: Path, evidence: Evidence) -> Location:
    """Find out where the first wrong layer of a program goes wrong; the model is compiled again for that."""
    blame, remark = _blamed(program, emulator, model, evidence)
    tensor = evidence.tensor
    tile = first_wrong_tile(evidence.wrong, tensor, _explained(program, evidence.layer.name))
    return Location(evidence.layer.name, evidence.layer.nodes, tensor.onnx or tensor.name, tile, blame, remark)


def _blamed(program: Program, emulator: Emulator, model: Path, evidence: Evidence) -> tuple[Blame | None, str]:
    backend = find_backend(program.metadata.backend)
    isa = backend.isa()
    again, reason = or_reason(program, model, {each.name for each in together(program, evidence.layer)})
    if again is not None:
        blame = blamed_instruction(program, again, evidence.layer, isa, _mending(evidence, backend.load))
        if blame is not None:
            return blame, ""
        reason = "code and constants of the layer are what the compiler makes of the model"
    right = engines_that_are_right(program, backend, evidence)
    if not right:
        return None, f"{reason}; no engine of the emulator executes the layer right"
    blame = blamed_execution(program, emulator, backend.load(program, right[0]), evidence, isa)
    return blame, "" if blame is not None else f"{reason}; engine {right[0]} of the emulator executes the layer right"


def _mending(evidence: Evidence, load: Callable[[Program, str | None], Emulator]) -> Callable[[Program], bool]:
    """Whether a layer is right in another program."""

    def mends(program: Program) -> bool:
        try:
            made = load(program, None).run_layer(evidence.layer.name, evidence.given)[evidence.tensor.name]
        except CatenaError:
            return False
        return not evidence.is_wrong(made.reshape(evidence.tensor.shape)).any()

    return mends


def _explained(program: Program, name: str) -> ExplainedLayer | None:
    try:
        return next((layer for layer in explained_layers(program) if layer.entry.name == name), None)
    except CatenaError:
        return None
