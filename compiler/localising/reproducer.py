"""A folder that shows one wrong layer again: its part of the model, its inputs, its code, and how to run them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from backends.container import write_program
from backends.program import Program
from backends.registry import find_backend
from compiler.arrays import Array, write_arrays
from compiler.files import make_folder, write_bytes, write_text
from compiler.localising.cut_model import cut_model
from compiler.localising.cut_program import cut_program
from compiler.localising.evidence import Evidence
from compiler.localising.locating import Location
from compiler.verification.reference import reference_model
from dialects.diagnostics import CatenaError, Diagnostic

MODEL, INPUTS, EXPECTED, PROGRAM, NOTE = "model.onnx", "inputs.npz", "expected.npz", "layer.cat", "README.txt"


@dataclass(frozen=True)
class Reproducer:
    """What was written, and the command that shows the difference again; `remark` says what could not be written."""

    files: tuple[Path, ...]
    command: str
    remark: str = ""


def write_reproducer(
    folder: Path, program: Program, model: Path, evidence: Evidence, location: Location | None
) -> Reproducer:
    """Write a model of the wrong layer alone, its inputs, what it should make of them, and the layer's own program.

    Raises `CatenaError`: CAT-V002 if the layer is no part of the model that can be cut out, CAT-C002 if a file cannot
    be written.
    """
    layer, output = evidence.layer, evidence.tensor.onnx
    names = {tensor.name: tensor.onnx for tensor in program.tensors}
    read = {names[name] for name in layer.inputs}
    cut = cut_model(reference_model(model), layer.nodes, read, output, evidence.reference)
    if cut is None:
        message = f"{layer.name!r} cannot be cut out of the model"
        raise CatenaError(
            Diagnostic("CAT-V002", message, "verification", " + ".join(layer.nodes), found=output or "no tensor")
        )
    content = cut.SerializeToString(deterministic=True)
    inputs: dict[str, Array] = {value.name: evidence.reference[value.name] for value in cut.graph.input}
    make_folder(folder)
    write_bytes(folder / MODEL, content)
    write_arrays(inputs, folder / INPUTS)
    write_arrays({output: evidence.reference[output]}, folder / EXPECTED)
    files = [folder / MODEL, folder / INPUTS, folder / EXPECTED]
    isa = find_backend(program.metadata.backend).isa()
    alone = cut_program(program, layer, isa, evidence.reference, Path(MODEL).stem, hashlib.sha256(content).hexdigest())
    if alone is not None:
        write_program(alone, folder / PROGRAM)
        files.append(folder / PROGRAM)
        command, remark = f"catena verify {PROGRAM} --model {MODEL} -i {INPUTS}", ""
    else:
        command = f"catena verify {MODEL} -i {INPUTS} -t {program.metadata.target}"
        remark = "the layer's own code cannot run alone: the command compiles the model again"
    lines = [
        *(location.lines() if location is not None else [f"layer {layer.name!r} differs"]),
        "",
        f"In this folder: {command}",
    ]
    write_text(folder / NOTE, "\n".join([*lines, *([remark] if remark else []), ""]))
    return Reproducer((*files, folder / NOTE), command, remark)
