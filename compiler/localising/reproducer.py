"""A folder that shows one wrong layer again: its part of the model, its inputs, its code, and how to run them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backends.container import write_program
from backends.program import LayerEntry, Program, Role
from backends.registry import find_backend
from compiler.arrays import Array, write_arrays
from compiler.compilation import CompileOptions
from compiler.execution import load_program
from compiler.files import make_folder, read_bytes, write_bytes, write_text
from compiler.localising.cut_model import cut_model
from compiler.localising.cut_program import cut_program
from compiler.localising.evidence import Evidence, Stop, WrongOutputs, run_inputs
from compiler.localising.locating import Location
from compiler.reproduction.models import external_data
from compiler.targets import select_target
from compiler.verification.layers import verify_program
from compiler.verification.measures import Tolerances
from compiler.verification.programs import verify_source
from compiler.verification.reference import reference_model
from compiler.verification.result import Verification
from dialects.diagnostics import CatenaError
from dialects.machine_kinds import parse_machine

MODEL, INPUTS, EXPECTED, PROGRAM, NOTE = "model.onnx", "inputs.npz", "expected.npz", "layer.cat", "README.txt"
WHOLE, WHOLE_MODEL, WHOLE_INPUTS, WHOLE_EXPECTED = (
    "program.cat",
    "program.onnx",
    "program-inputs.npz",
    "program-expected.npz",
)


@dataclass(frozen=True)
class Reproducer:
    """What was written, and a command that was seen to show a difference, if any; `remark` says what is missing."""

    files: tuple[Path, ...]
    command: str
    remark: str = ""


def write_reproducer(
    folder: Path,
    program: Program,
    model: Path,
    evidence: Evidence,
    location: Location | None,
    tolerances: Tolerances | None = None,
) -> Reproducer:
    """Write a model of the wrong layer alone, its inputs, what it should make of them, and the layer's own program.

    Where that shows no difference, or cannot be made, the whole program, its model and its inputs are written beside
    it. Raises `CatenaError` (CAT-C002) if a file cannot be written.
    """
    layer = evidence.layer
    make_folder(folder)
    files, command, source, is_shown = _written_alone(folder, program, model, evidence)
    remark = "" if not command or (folder / PROGRAM) in files else f"{source}: the command compiles the model again"
    if not is_shown:
        run = Stop(run_inputs(program, evidence.reference), evidence.faults)
        if run.faults and not run.runs(program, find_backend(program.metadata.backend).load(program, None)):
            command = _written_run(folder, program, run, WHOLE_INPUTS)
            remark = f"{source}: the command runs all layers"
            files += [folder / WHOLE, folder / WHOLE_INPUTS]
        else:
            command, written = _written_whole(
                folder,
                program,
                model,
                run.inputs,
                evidence.reference,
                tolerances or Tolerances(),
                lambda again: again.evidence is not None and again.evidence.layer.name == layer.name,
            )
            shows = "the command verifies the whole program" if command else "no command shows it"
            remark = f"{source}: {shows}"
            files += written
    lines = [
        *(location.lines() if location is not None else [f"layer {layer.name!r} differs"]),
        *(["", f"In this folder: {command}"] if command else []),
    ]
    write_text(folder / NOTE, "\n".join([*lines, *([remark] if remark else []), ""]))
    return Reproducer((*files, folder / NOTE), command, remark)


def _written_alone(
    folder: Path, program: Program, model: Path, evidence: Evidence
) -> tuple[list[Path], str, str, bool]:
    """Write the layer's part of the model and of the program: files, command, what of it there is, if it shows it."""
    layers, output = _layers_to_show(program, evidence)
    names = {tensor.name: tensor.onnx for tensor in program.tensors}
    made = {name for each in layers for name in each.outputs}
    read = {names[name] for each in layers for name in each.inputs if name not in made}
    nodes = {node for each in layers for node in each.nodes}
    cut = cut_model(reference_model(model), nodes, read, output, evidence.reference)
    if cut is None:
        return [], "", "the layer cannot be cut out of the model", False
    content = cut.SerializeToString(deterministic=True)
    inputs: dict[str, Array] = {value.name: evidence.reference[value.name] for value in cut.graph.input}
    write_bytes(folder / MODEL, content)
    write_arrays(inputs, folder / INPUTS)
    write_arrays({output: evidence.reference[output]}, folder / EXPECTED)
    files = [folder / MODEL, folder / INPUTS, folder / EXPECTED]
    isa = find_backend(program.metadata.backend).isa()
    digest = hashlib.sha256(content).hexdigest()
    alone = cut_program(program, layers, isa, evidence.reference, Path(MODEL).stem, digest)
    if alone is None:
        command = f"catena verify {MODEL} -i {INPUTS} -t {program.metadata.target}"
        is_shown = _is_plain(program) and _differs(
            folder, MODEL, inputs, program.metadata.target, stops=bool(evidence.faults)
        )
        return files, command, "the layer's own code cannot run alone", is_shown
    write_program(alone, folder / PROGRAM)
    command = f"catena verify {PROGRAM} --model {MODEL} -i {INPUTS}"
    is_shown = _differs(folder, PROGRAM, inputs, stops=bool(evidence.faults))
    return [*files, folder / PROGRAM], command, "the layer's own code is right alone", is_shown


def _layers_to_show(program: Program, evidence: Evidence) -> tuple[Sequence[LayerEntry], str]:
    """The layers that make a tensor of the model again, and that tensor.

    If the emulator stops at a layer whose result the model does not have, the later ones of its operator belong to it.
    """
    layers, output = list(evidence.suspects), evidence.tensor.onnx
    onnx = {tensor.name: tensor.onnx for tensor in program.tensors}
    following = program.layers[program.layers.index(evidence.layer) + 1 :]
    while not output and following and set(following[0].nodes) & set(evidence.layer.nodes):
        (layer, *following) = following
        layers.append(layer)
        output = next((onnx[name] for name in layer.outputs if onnx[name] in evidence.reference), "")
    return layers, output


def write_run(folder: Path, program: Program, stop: Stop, location: Location) -> Reproducer:
    """Write a program whose run the emulator stops, its inputs, and how to run them.

    Raises `CatenaError` (CAT-C002) if a file cannot be written.
    """
    make_folder(folder)
    command = _written_run(folder, program, stop, INPUTS)
    write_text(folder / NOTE, "\n".join([*location.lines(), "", f"In this folder: {command}", ""]))
    return Reproducer((folder / WHOLE, folder / INPUTS, folder / NOTE), command)


def write_outputs(
    folder: Path,
    program: Program,
    model: Path,
    wrong: WrongOutputs,
    location: Location,
    tolerances: Tolerances | None = None,
) -> Reproducer:
    """Write a program whose outputs are wrong though every layer alone is right, its model, inputs and outputs.

    Raises `CatenaError` (CAT-C002) if a file cannot be written.
    """
    make_folder(folder)
    asked, run = tolerances or Tolerances(), (wrong.inputs, wrong.reference)
    command, written = _written_whole(
        folder, program, model, *run, asked, lambda again: again.wrong_outputs is not None
    )
    remark = "the command verifies the whole program" if command else "no command shows it"
    shown = ["", f"In this folder: {command}"] if command else []
    write_text(folder / NOTE, "\n".join([*location.lines(), *shown, remark, ""]))
    return Reproducer((*written, folder / NOTE), command, remark)


def _written_run(folder: Path, program: Program, stop: Stop, inputs: str) -> str:
    """Write a program and the inputs of a run; the command that runs it in the folder."""
    write_program(program, folder / WHOLE)
    write_arrays(stop.inputs, folder / inputs)
    return f"catena run {WHOLE} -i {inputs}"


def _written_whole(
    folder: Path,
    program: Program,
    model: Path,
    inputs: Mapping[str, Array],
    reference: Mapping[str, Array],
    tolerances: Tolerances,
    shows: Callable[[Verification], bool],
) -> tuple[str, list[Path]]:
    """Write a program, its model, inputs and outputs; the command that verifies it there, if it shows the fault."""
    beside = external_data(model)
    for name in beside:
        make_folder((folder / name).parent)
        write_bytes(folder / name, read_bytes(str(model.parent / name)))
    write_bytes(folder / WHOLE_MODEL, read_bytes(str(model)))
    write_program(program, folder / WHOLE)
    write_arrays(inputs, folder / WHOLE_INPUTS)
    outputs = {each.onnx for each in program.tensors if each.role is Role.OUTPUT} & set(reference)
    write_arrays({name: reference[name] for name in sorted(outputs)}, folder / WHOLE_EXPECTED)
    files = [folder / name for name in (WHOLE, WHOLE_MODEL, *beside, WHOLE_INPUTS, WHOLE_EXPECTED)]
    try:
        again = verify_program(*load_program(folder / WHOLE), folder / WHOLE_MODEL, inputs, tolerances=tolerances)
    except CatenaError:
        return "", files
    if not shows(again):
        return "", files
    given = {"--tolerance": tolerances.relative, "--lsb": tolerances.lsb}
    asked = "".join(f" {option} {value!r}" for option, value in given.items() if value is not None)
    return f"catena verify {WHOLE} --model {WHOLE_MODEL} -i {WHOLE_INPUTS}{asked}", files


def _is_plain(program: Program) -> bool:
    """Whether the program is for a target as it is found by its name, without other settings."""
    try:
        plain = select_target(program.metadata.target).machine
    except CatenaError:
        return False
    return plain == parse_machine(program.metadata.description, where="program metadata")


def _differs(folder: Path, source: str, inputs: Mapping[str, Array], target: str | None = None, *, stops: bool) -> bool:
    """Whether verifying what was written finds a difference, or that the emulator `stops`."""
    options = None if target is None else CompileOptions(target=target)
    try:
        found = verify_source(str(folder / source), folder / MODEL, inputs, options=options)
    except CatenaError:
        return False
    return not found.is_equal and bool(found.faults) == stops
