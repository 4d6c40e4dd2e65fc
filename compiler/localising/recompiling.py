"""A program compiled again from the model and from the decisions that it carries: its target, mappings and segments."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from backends.program import LayerEntry, Program
from backends.registry import find_backend
from backends.segments import SEGMENT
from compiler.compilation import CompileOptions, compile_model
from compiler.execution import program_inputs
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
from passes.mapping_file import FORMAT, HOST, LAYERS, MODE


def recompiled(program: Program, model: Path) -> Program:
    """What the compiler makes of a model with the target, mappings and groups of a program.

    Raises `CatenaError` if it cannot be compiled so.
    """
    machine = parse_machine(program.metadata.description, where="program metadata")
    offloads = any(layer.mapping == HOST for layer in program.layers)
    importing = ImportOptions(
        input_shapes={tensor.onnx or tensor.name: tensor.shape for tensor in program_inputs(program)},
        fallback="host" if any(layer.kind == SEGMENT for layer in program.layers) else None,
    )
    target = Target(find_backend(program.metadata.backend), machine)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mapping.toml"
        path.write_text("\n".join(_mapping_file(program, machine, offloads)), encoding="utf-8")
        options = CompileOptions(
            mapping=str(path) if isinstance(machine, Machine | NestMachine | GemmMachine) else None,
            mode=Mode.OFFLOAD if offloads else Mode.CHAIN,
            fuse=bool(program.groups),
            importing=importing,
        )
        found = compile_model(reference_model(model), target, options).program
    assert found is not None
    return found


def same_layers(first: Program, second: Program, names: Collection[str]) -> bool:
    """Whether two programs have the same layers, and those of some names their instructions at the same places."""
    programs = (first, second)
    layers = [[(each.name, each.inputs, each.outputs) for each in program.layers] for program in programs]
    places = [
        [(each.core, each.start, each.end, each.layer) for each in program.debug if each.layer in names]
        for program in programs
    ]
    return layers[0] == layers[1] and places[0] == places[1] and len(first.code) == len(second.code)


def _mapping_file(program: Program, machine: Accelerator, offloads: bool) -> Iterator[str]:
    """The mappings of all layers that are in no group; groups are searched again."""
    yield f"format = {FORMAT}"
    if offloads:
        yield f'{MODE} = "offload"'
    kind = "gemm" if isinstance(machine, GemmMachine) else "mapping"
    names = {tensor.name: tensor.onnx or tensor.name for tensor in program.tensors}
    seen: set[str] = set()
    for layer in program.layers:
        name = _name(layer, names)
        if layer.mapping and not layer.group and name not in seen:
            seen.add(name)
            mapping = layer.mapping if layer.mapping == HOST else f"#schedule.{kind}<{layer.mapping}>"
            yield f"[{LAYERS}.{_quoted(name)}]"
            yield f"mapping = {_quoted(mapping)}"


def _name(layer: LayerEntry, names: dict[str, str]) -> str:
    return names[layer.outputs[0]] if layer.outputs else layer.name


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(each if each.isprintable() else f"\\U{ord(each):08x}" for each in escaped) + '"'


def or_reason(program: Program, model: Path, names: Collection[str]) -> tuple[Program | None, str]:
    """The program compiled again if layers of some names can be compared, else why not."""
    try:
        found = recompiled(program, model)
    except CatenaError as error:
        return None, f"the program cannot be compiled again from its own mappings: {error.diagnostics[0].message}"
    if not same_layers(program, found, names):
        return None, "compiled again from its own mappings, the program has other layers"
    return found, ""
