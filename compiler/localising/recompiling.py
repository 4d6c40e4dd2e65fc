"""A program compiled again from the model and from the decisions that it carries: its target, mappings and segments."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from backends.program import Program
from backends.registry import find_backend
from backends.segments import SEGMENT
from compiler.compilation import CompileOptions, compile_model
from compiler.execution import program_inputs
from compiler.explanation.groups import fused_mappings
from compiler.localising.edits import edits, have_places_in_common
from compiler.localising.layer_order import in_order
from compiler.localising.missing_layers import with_missing_layers
from compiler.modes import Mode
from compiler.sources import ImportOptions
from compiler.targets import Target
from compiler.verification.reference import reference_model
from dialects.accelerator import Accelerator
from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError
from dialects.gemm_machine import GemmMachine
from dialects.machine_kinds import parse_machine
from dialects.nest_machine import NestMachine
from dialects.schedule import Objective
from passes.mapping_file import FORMAT, GROUPS, HOST, LAYERS, MODE
from passes.mapping_file.names import distinct_names, loops_in
from passes.mapping_file.statements import written_group
from passes.mapping_file.writing import quoted_text
from passes.searching.options import SearchOptions


def recompiled(
    program: Program,
    model: Path,
    *,
    merges_late: bool = False,
    says_loops: bool = True,
    searched: Collection[str] = (),
) -> Program:
    """What the compiler makes of a model with the target, mappings and groups of a program.

    Mappings of layers that are to be `searched` are found anew. If it `says_loops`, they have to be the program's.

    Dimensions are merged late, behind the host's share, as where layers may be fused but none are: programs do not say.
    Raises `CatenaError` if it cannot be compiled so.
    """
    machine = parse_machine(program.metadata.description, where="program metadata")
    offloads = any(layer.mapping == HOST for layer in program.layers)
    has_files = isinstance(machine, Machine | NestMachine | GemmMachine)
    importing = ImportOptions(
        input_shapes={tensor.onnx or tensor.name: tensor.shape for tensor in program_inputs(program)},
        fallback="host" if any(layer.kind == SEGMENT for layer in program.layers) else None,
    )
    target = Target(find_backend(program.metadata.backend), machine)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mapping.toml"
        path.write_text("\n".join(_mapping_file(program, machine, offloads, says_loops, searched)), encoding="utf-8")
        options = CompileOptions(
            mapping=str(path) if has_files else None,
            mode=Mode.OFFLOAD if offloads else Mode.CHAIN,
            fuse=merges_late if has_files else bool(program.groups),
            search=SearchOptions(_objective(program)),
            importing=importing,
        )
        found = compile_model(reference_model(model), target, options).program
    assert found is not None
    return found


def same_layers(first: Program, second: Program, names: Collection[str]) -> bool:
    """Whether two programs have the same layers; their instructions may be others, or fewer, or more.

    Where those of some names are at other places, their mappings have to be the same, and most of their code.
    """
    if _layers(first) != _layers(second) or len(first.code) != len(second.code):
        return False
    first = with_missing_layers(first, second)
    if have_places_in_common(first, second, names):
        return True
    first = in_order(first, second)
    if have_places_in_common(first, second, names):
        return True
    mappings = [
        [(each.mapping, each.group) for each in program.layers if each.name in names] for program in (first, second)
    ]
    return mappings[0] == mappings[1] and _mostly_same_code(first, second, names)


def _mostly_same_code(first: Program, second: Program, names: Collection[str]) -> bool:
    made = sum(entry.end - entry.start for entry in second.debug if entry.layer in names)
    return 2 * len(edits(first, second, names)) <= made


def _layers(program: Program) -> list[tuple[object, ...]]:
    """What makes the layers of a program those of another one."""
    return [(each.name, each.kind == SEGMENT, each.nodes, each.inputs, each.outputs) for each in program.layers]


def _objective(program: Program) -> Objective | None:
    """What its mappings make least, as far as it says so: that of parts which no mapping file has words for."""
    found = {layer.search.objective for layer in program.layers if layer.search is not None}
    return Objective(found.pop()) if len(found) == 1 else None


def _mapping_file(
    program: Program, machine: Accelerator, offloads: bool, says_loops: bool, searched: Collection[str]
) -> Iterator[str]:
    """The groups of a program, and the loops and mappings of all other layers, under the names that its links have."""
    yield f"format = {FORMAT}"
    if offloads:
        yield f'{MODE} = "offload"'
    statements = [
        written_group([link for link, _ in mapping.branches], mapping)
        for group in program.groups
        for mapping in fused_mappings(group)
    ]
    if statements:
        yield f"{GROUPS} = '''\n{''.join(statements)}'''"
    kind = "gemm" if isinstance(machine, GemmMachine) else "mapping"
    links = [layer for layer in program.layers if layer.kind != SEGMENT]
    names = distinct_names([(layer.tensor or None, layer.nodes) for layer in links])
    for name, layer in zip(names, links, strict=True):
        if layer.mapping and not layer.group and layer.name not in searched:
            mapping = layer.mapping if layer.mapping == HOST else f"#schedule.{kind}<{layer.mapping}>"
            yield f"[{LAYERS}.{quoted_text(name)}]"
            if layer.work is not None and says_loops:
                yield f"loops = {quoted_text(loops_in(layer.work.nest))}"
            yield f"mapping = {quoted_text(mapping)}"


def or_reason(program: Program, model: Path, names: Collection[str]) -> tuple[Program | None, str]:
    """The program compiled again if layers of some names can be compared, else why not."""
    reasons: list[str] = []
    moved: Program | None = None
    # What is wrong may be the loops themselves: the model's are tried with the program's mappings last.
    for merges_late, says_loops in ((False, True), (True, True), (False, False)):
        try:
            found = recompiled(program, model, merges_late=merges_late, says_loops=says_loops)
        except CatenaError as error:
            message = error.diagnostics[0].message
            reasons.append(f"the program cannot be compiled again from its own mappings: {message}")
        else:
            if same_layers(program, found, names):
                if have_places_in_common(program, found, names):
                    return found, ""
                moved = moved or found
            other = "other layers" if _layers(program) != _layers(found) else "other mappings or mostly other code"
            reasons.append(f"compiled again from its own mappings, the program has {other}")
    if moved is None:
        moved = _searched_again(program, model, names)
    return (moved, "") if moved is not None else (None, reasons[0])


def _searched_again(program: Program, model: Path, names: Collection[str]) -> Program | None:
    """The program compiled again with new mappings of layers of some names, if it says them or follows them.

    Loops may be wrong in such a way that the program's mappings do not fit those of the model, and mappings that it
    says need not be those of its code.
    """
    try:
        found = recompiled(program, model, searched=names)
    except CatenaError:
        return None
    mappings = ([each.mapping for each in one.layers if each.name in names] for one in (program, found))
    is_same = len({tuple(each) for each in mappings}) == 1 or _mostly_same_code(program, found, names)
    return found if same_layers(program, found, names) and is_same else None
