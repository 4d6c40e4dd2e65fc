"""From a wrong layer to the tile and the instruction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backends.api import Emulator
from backends.program import LayerEntry, Program
from backends.registry import find_backend
from compiler.explanation.layers import ExplainedLayer, explained_layers
from compiler.localising.engines import blamed_execution, engines_that_are_right
from compiler.localising.evidence import Evidence, Stop
from compiler.localising.instructions import Blame, are_the_same, blamed_instruction, together
from compiler.localising.recompiling import or_reason
from compiler.localising.tiles import Tile, first_wrong_tile
from dialects.diagnostics import CatenaError


@dataclass(frozen=True)
class Location:
    """Where a program is wrong. `blame` is the instruction, if one was found; `remark` what else is known.

    A fault of a layer whose own results cannot be compared is `seen_in` a later one. Without a `tile` the emulator
    stopped, and `stopped` says why: at the layer `seen_in`, if any, or in the whole program, if there is no `tensor`;
    no `layer` is known then unless an instruction is to blame.
    """

    layer: str
    nodes: tuple[str, ...]
    tensor: str
    tile: Tile | None
    blame: Blame | None
    remark: str
    seen_in: str = ""
    stopped: str = ""

    def lines(self) -> list[str]:
        """As text, from the layer inwards."""
        where = f"in {self.tensor}" if self.tensor else "in a run of the whole program"
        if self.seen_in and self.stopped:
            where = f"because of which {self.tensor} of {self.seen_in} is not made"
        elif self.seen_in:
            where += f" of {self.seen_in}, the first result after it that can be compared"
        found = [f"first wrong layer: {self.layer} ({' + '.join(self.nodes)}), {where}"] if self.layer else []
        if self.tile is None:
            found.append(f"the emulator stops: {self.stopped}")
        else:
            found.append(f"{'first wrong tile:' if self.tile.is_turn else 'wrong results lie within'} {self.tile}")
        if self.blame is not None:
            found.append(f"to blame: {self.blame}: {self.blame.reason}")
            if self.blame.expected:
                found.append(f"  expected: {self.blame.expected}")
                found.append(f"  found:    {self.blame.found}")
        return [*found, self.remark] if self.remark else found


def locate(program: Program, emulator: Emulator, model: Path, evidence: Evidence) -> Location:
    """Find out where the first wrong layer of a program goes wrong; the model is compiled again for that."""
    blame, remark = _blamed(program, emulator, model, evidence)
    tensor, layer, stopped = evidence.tensor, evidence.layer, ""
    tile = None
    if evidence.faults:
        stopped = evidence.faults[0].message
    else:
        group = next((each for each in program.groups if each.name == layer.group), None)
        tile = first_wrong_tile(evidence.wrong, tensor, _explained(program, layer.name), group)
    wrong = (None if blame is None else _layer_of(program, blame)) or layer
    seen_in = layer.name if wrong.name != layer.name else ""
    return Location(wrong.name, wrong.nodes, tensor.onnx or tensor.name, tile, blame, remark, seen_in, stopped)


def locate_stop(program: Program, model: Path, stop: Stop) -> Location:
    """Find out which instruction stops a program whose layers run one by one; the model is compiled again for that.

    If none is found no layer is named: a run can stop far from what is wrong.
    """
    backend = find_backend(program.metadata.backend)
    again, remark = or_reason(program, model, {each.name for each in program.layers})
    blame = None
    if again is not None:
        blame = blamed_instruction(
            program, again, program.layers, backend.isa(), lambda other: stop.runs(other, backend.load(other, None))
        )
        remark = "" if blame is not None else _unexplained(program, again, program.layers, "all layers")
    (fault, *_) = stop.faults
    wrong = None if blame is None else _layer_of(program, blame)
    name, nodes = ("", ()) if wrong is None else (wrong.name, wrong.nodes)
    return Location(name, nodes, "", None, blame, remark, stopped=fault.message)


def _layer_of(program: Program, blame: Blame) -> LayerEntry | None:
    """Which layer an instruction belongs to."""
    if blame.layer:
        return next((each for each in program.layers if each.name == blame.layer), None)
    for entry in program.debug:
        if entry.core == blame.core and entry.start <= blame.address < entry.end:
            return next((each for each in program.layers if each.name == entry.layer), None)
    return None


def _unexplained(program: Program, again: Program, layers: Sequence[LayerEntry], names: str) -> str:
    """What is known of layers of which no instruction is to blame."""
    if are_the_same(program, again, layers):
        return f"code and constants of {names} are what the compiler makes of the model"
    return f"compiled again, {names} get other code or constants, with which the result stays wrong"


def _blamed(program: Program, emulator: Emulator, model: Path, evidence: Evidence) -> tuple[Blame | None, str]:
    backend = find_backend(program.metadata.backend)
    isa = backend.isa()
    layers = together(program, evidence.suspects)
    names = ", ".join(each.name for each in layers)
    if evidence.faults:
        # Emulators look at whole programs first: any layer, on any core, may be why this one does not run.
        layers += [each for each in program.layers if each not in layers]
        names = "all layers"
    again, reason = or_reason(program, model, {each.name for each in layers})
    if again is not None:
        blame = blamed_instruction(
            program, again, layers, isa, lambda other: evidence.is_right(backend.load(other, None))
        )
        if blame is not None:
            return blame, ""
        reason = _unexplained(program, again, layers, names)
        if not are_the_same(program, again, layers):
            return None, reason
    right = engines_that_are_right(program, backend, evidence)
    if not right:
        engines = "so the compiler makes or the emulator executes them wrong" if again is not None else ""
        return None, "; ".join(filter(None, (reason, engines)))
    blame = blamed_execution(program, emulator, backend.load(program, right[0]), evidence, isa)
    return blame, "" if blame is not None else f"{reason}; engine {right[0]} of the emulator executes the layer right"


def _explained(program: Program, name: str) -> ExplainedLayer | None:
    try:
        return next((layer for layer in explained_layers(program) if layer.entry.name == name), None)
    except CatenaError:
        return None
