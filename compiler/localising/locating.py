"""From a wrong layer to the tile and the instruction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backends.api import Emulator, ObservedRunEmulator
from backends.program import LayerEntry, Program, TensorEntry
from backends.registry import find_backend
from compiler.arrays import Array
from compiler.explanation.layers import ExplainedLayer, explained_layers
from compiler.localising.as_a_whole import Departure, first_departure
from compiler.localising.blame import Blame, Mends, layer_at, mends_by
from compiler.localising.effects import blamed_effect
from compiler.localising.engines import blamed_execution, engines_that_are_right
from compiler.localising.evidence import Evidence, Stop, WrongOutputs, run_inputs
from compiler.localising.in_run import ObservedRun
from compiler.localising.instructions import are_the_same, blamed_instruction, together
from compiler.localising.places import blamed_table, differences, other_places
from compiler.localising.provenance import Intrusion
from compiler.localising.recompiling import or_reason
from compiler.localising.tiles import Tile, first_wrong_tile
from compiler.localising.tiles_on_cores import first_wrong_tile_on_cores
from compiler.localising.whole import blamed_in_whole, blamed_intrusion, blamed_together, intrusion_in
from dialects.diagnostics import CatenaError
from dialects.machine_kinds import parse_machine


@dataclass(frozen=True)
class Location:
    """Where a program is wrong. `blame` is the instruction, if one was found; `remark` what else is known.

    A fault of a layer whose own results cannot be compared is `seen_in` a later one. Without a `tile` the emulator
    stopped, and `stopped` says why: at the layer `seen_in`, if any, or in the whole program, if there is no `tensor`;
    no `layer` is known then unless an instruction is to blame, and none if that belongs to no layer. `course` says what
    a layer that is right alone does to others in the whole program. It `is_open` which layer of a
    group is to blame if the results of the others cannot be compared.
    """

    layer: str
    nodes: tuple[str, ...]
    tensor: str
    tile: Tile | None
    blame: Blame | None
    remark: str
    seen_in: str = ""
    stopped: str = ""
    course: str = ""
    is_open: bool = False

    def lines(self) -> list[str]:
        """As text, from the layer inwards."""
        where = f"in {self.tensor}" if self.tensor else "in a run of the whole program"
        if self.seen_in and self.stopped:
            where = f"because of which {self.tensor} of {self.seen_in} is not made"
        elif self.seen_in:
            where += f" of {self.seen_in}, the first result after it that can be compared"
        first = "first wrong layer" if not self.is_open else "first wrong layer that can be compared"
        found = [f"{first}: {self.layer} ({' + '.join(self.nodes)}), {where}"] if self.layer else []
        if self.blame is not None and not self.layer:
            found = ["what is wrong belongs to no layer"]
        if self.course:
            found = [*found[: not self.layer], *self._course_lines()]
        if self.stopped:
            found.append(f"the emulator stops: {self.stopped}")
        elif self.tile is not None:
            found.append(f"{'first wrong tile:' if self.tile.is_turn else 'wrong results lie within'} {self.tile}")
        if self.blame is not None:
            found.append(f"to blame: {self.blame}: {self.blame.reason}")
            if self.blame.expected:
                found.append(f"  expected: {self.blame.expected}")
                found.append(f"  found:    {self.blame.found}")
        return [*found, self.remark] if self.remark else found

    def _course_lines(self) -> Iterator[str]:
        if self.layer:
            yield f"first wrong layer: {self.layer} ({' + '.join(self.nodes)}), in the whole program: {self.course}"
        if self.tensor:
            yield f"first wrong results: in {self.tensor} of {self.seen_in or self.layer}"


def locate(program: Program, emulator: Emulator, model: Path, evidence: Evidence) -> Location:
    """Find out where the first wrong layer of a program goes wrong; the model is compiled again for that."""
    blame, remark, course = _blamed(program, emulator, model, evidence)
    tensor, layer, stopped = evidence.tensor, evidence.layer, ""
    tile = None
    if evidence.faults:
        stopped = evidence.faults[0].message
    else:
        tile = _tile(program, evidence.wrong, tensor, layer)
    is_open = blame is None and bool(layer.group)
    if is_open:
        others = "its result is the first of its group that can be compared: any layer of the group may be to blame"
        remark = "; ".join(filter(None, (remark, others)))
    wrong = layer if blame is None else _layer_of(program, blame)
    name, nodes = ("", ()) if wrong is None else (wrong.name, wrong.nodes)
    seen_in = layer.name if name != layer.name else ""
    return Location(name, nodes, tensor.onnx or tensor.name, tile, blame, remark, seen_in, stopped, course, is_open)


def locate_stop(program: Program, emulator: Emulator, model: Path, stop: Stop) -> Location:
    """Find out which instruction stops a program whose layers run one by one; the model is compiled again for that.

    If none is found no layer is named: a run can stop far from what is wrong.
    """
    backend = find_backend(program.metadata.backend)
    again, remark = or_reason(program, model, {each.name for each in program.layers})
    blame = None
    if again is not None:
        mends = mends_by(backend, stop.runs)
        blame = blamed_instruction(program, again, program.layers, backend.isa(), mends)
        run = _observed(program, emulator, stop.inputs)
        if blame is None and run is not None and are_the_same(program, again, program.layers):
            blame = run.blamed_stop(emulator)
        remark = "" if blame is not None else _unexplained(program, again, program.layers, "all layers", mends)
    (fault, *_) = stop.faults
    wrong = None if blame is None else _layer_of(program, blame)
    name, nodes = ("", ()) if wrong is None else (wrong.name, wrong.nodes)
    return Location(name, nodes, "", None, blame, remark, stopped=fault.message)


def locate_wrong_outputs(program: Program, emulator: Emulator, model: Path, wrong: WrongOutputs) -> Location:
    """Find out why outputs are wrong though every layer alone is right; the model is compiled again for that."""
    backend = find_backend(program.metadata.backend)
    mends = mends_by(backend, wrong.is_right)
    intrusion = intrusion_in(program, emulator, wrong.inputs)
    departure = first_departure(program, emulator, backend, wrong)
    again, remark = or_reason(program, model, {each.name for each in program.layers})
    table = "" if again is None else blamed_table(program, again, mends)
    blame = None if table or again is None else blamed_in_whole(program, again, backend.isa(), mends, intrusion)
    if blame is None and not table:
        is_same = again is not None and are_the_same(program, again, program.layers)
        run = _observed(program, emulator, wrong.inputs) if is_same else None
        blame = _blamed_in_run(run, departure, intrusion) or blamed_intrusion(program, backend.isa(), intrusion)
    if again is not None:
        unexplained = "" if blame is not None else _unexplained(program, again, program.layers, "all layers", mends)
        remark = table or unexplained
    seen = None if departure is None else departure.layer
    site = None if intrusion is None else intrusion.site
    layer = None if blame is None else _layer_of(program, blame)
    if layer is None and site is not None:
        layer = _layer_named(program, site.layer)
    layer = layer or (seen if blame is None else None)
    tile, tensor = None, ""
    if departure is not None:
        tensor = departure.tensor.onnx or departure.tensor.name
        tile = _tile(program, departure.wrong, departure.tensor, departure.layer)
    name, nodes = ("", ()) if layer is None else (layer.name, layer.nodes)
    seen_in = seen.name if seen is not None and seen.name != name else ""
    text = intrusion.text if intrusion is not None else departure.text if departure is not None else ""
    return Location(name, nodes, tensor, tile, blame, remark, seen_in, course=text or "outputs are wrong")


def _observed(program: Program, emulator: Emulator, inputs: Mapping[str, Array]) -> ObservedRun | None:
    """A run of the program that shows what instructions do, if the emulator does."""
    isa = find_backend(program.metadata.backend).isa()
    return ObservedRun(program, emulator, inputs, isa) if isinstance(emulator, ObservedRunEmulator) else None


def _blamed_in_run(run: ObservedRun | None, departure: Departure | None, intrusion: Intrusion | None) -> Blame | None:
    """What the emulator does wrong only in a whole run, unless a layer writes where another one's words lie."""
    if run is None:
        return None
    found = run.blamed_configuration()
    if found is None and departure is not None and (intrusion is None or not intrusion.was_made):
        found = run.blamed_in(departure.layer, departure.given)
    return found


def _layer_of(program: Program, blame: Blame) -> LayerEntry | None:
    """Which layer an instruction belongs to."""
    if blame.layer:
        return _layer_named(program, blame.layer)
    return layer_at(program, blame.core, blame.address)


def _layer_named(program: Program, name: str) -> LayerEntry | None:
    return next((each for each in program.layers if each.name == name), None)


def _tile(program: Program, wrong: Array, tensor: TensorEntry, layer: LayerEntry) -> Tile:
    group = next((each for each in program.groups if each.name == layer.group), None)
    explained = _explained(program, layer.name)
    machine = parse_machine(program.metadata.description, where="program metadata")
    found = None
    if explained is not None and explained.on_cores is not None:
        # A mapping that names cores without code of the layer is not the one that was followed.
        cores = {entry.core for entry in program.debug if entry.layer == layer.name}
        if cores.issuperset(explained.on_cores.cores):
            found = first_wrong_tile_on_cores(wrong, tensor, explained, machine)
    return found if found is not None else first_wrong_tile(wrong, tensor, explained, group)


def _unexplained(program: Program, again: Program, layers: Sequence[LayerEntry], names: str, mends: Mends) -> str:
    """What is known of layers of which no instruction is to blame."""
    if are_the_same(program, again, layers):
        return f"code and constants of {names} are what the compiler makes of the model"
    found = "is right, but no single instruction was found to blame" if mends(again) else "stays wrong"
    return f"compiled again, {names} get other code or constants, with which the result {found}"


def _blamed(program: Program, emulator: Emulator, model: Path, evidence: Evidence) -> tuple[Blame | None, str, str]:
    """The instruction, what else is known, and what it does to others in the whole program if it is right alone."""
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
        mends = mends_by(backend, lambda other, loaded: evidence.is_right(loaded))
        # Where another engine executes it right, any program would seem to be mended.
        if mends(program):
            reason = ""
        elif (found := _blamed_code(program, emulator, again, layers, names, mends, evidence)) is not None:
            return found
        else:
            reason = _unexplained(program, again, layers, names, mends)
    blame, unseen = blamed_effect(program, emulator, evidence, isa)
    if blame is not None:
        return blame, "", ""
    reason = "; ".join(filter(None, (reason, unseen)))
    engines = engines_that_are_right(program, backend, evidence)
    reason = "; ".join(filter(None, (reason, engines.untried)))
    right = engines.right
    if not right:
        wrong = "so the compiler makes or the emulator executes them wrong"
        cause = "" if again is None else differences(program, again) or wrong
        return None, "; ".join(filter(None, (reason, cause))), ""
    blame = blamed_execution(program, emulator, backend.load(program, right[0]), evidence, isa)
    if blame is not None:
        return blame, "", ""
    engine = f"engine {right[0]} of the emulator executes {_code_of(program, layers)} right"
    return None, "; ".join(filter(None, (reason, engine))), ""


def _blamed_code(
    program: Program,
    emulator: Emulator,
    again: Program,
    layers: Sequence[LayerEntry],
    names: str,
    mends: Mends,
    evidence: Evidence,
) -> tuple[Blame | None, str, str] | None:
    """As `_blamed`, if a program is not what the compiler makes; None if it is, as far as the result is concerned."""
    isa = find_backend(program.metadata.backend).isa()
    blame = blamed_instruction(program, again, layers, isa, mends)
    if blame is not None:
        return blame, "", ""
    table = blamed_table(program, again, mends)
    if table:
        return None, table, ""
    if other_places(program, again) and mends(again):
        # Two of the tensors that it reads lie in the same words.
        intrusion = intrusion_in(program, emulator, run_inputs(program, evidence.reference))
        blame = blamed_together(program, again, isa, mends, intrusion)
        return blame, "", "" if blame is None or intrusion is None else intrusion.text
    remark = _unexplained(program, again, layers, names, mends)
    if not are_the_same(program, again, layers):
        return None, remark, ""
    if not mends(again):
        return None
    blame = blamed_instruction(program, again, program.layers, isa, mends)
    other = "something else in the program is not what the compiler makes, with which the result is right"
    return (blame, "", "") if blame is not None else (None, f"{remark}; {other}", "")


def _code_of(program: Program, layers: Sequence[LayerEntry]) -> str:
    """Where the instructions of some layers stand."""
    names = {each.name for each in layers}
    entries = [entry for entry in program.debug if entry.layer in names]
    if len({entry.core for entry in entries}) != 1:
        return "the layer"
    return f"instructions {min(entry.start for entry in entries)} to {max(entry.end for entry in entries) - 1}"


def _explained(program: Program, name: str) -> ExplainedLayer | None:
    try:
        return next((layer for layer in explained_layers(program) if layer.entry.name == name), None)
    except CatenaError:
        return None
