"""Summaries of models, IR and programs: what `catena inspect` shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, StringAttr, TensorType
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute

from backends.container import read_program
from backends.program import Program
from compiler.displaying import Displayed, Part
from compiler.driver import run_passes, stage_of
from compiler.host_summary import describe_segments, segments_in_program
from compiler.ir_text import new_context
from compiler.optimization import load_module
from compiler.pipelines import parse_passes
from compiler.sources import ImportOptions, SourceKind, kind_of
from compiler.stages import stage_named
from compiler.tables import Table, number, table
from dialects.diagnostics import CODES, CatenaError, Diagnostic, ExitCode
from dialects.gconv import shape_of
from dialects.target import find_machine
from dialects.weights import ConstantOp
from passes.statistics import chain_statistics


@dataclass(frozen=True)
class Inspection(Displayed):
    """What there is to say about a file: single facts, then tables."""

    kind: SourceKind
    facts: Mapping[str, Any]
    tables: tuple[Table, ...]

    def displayed(self) -> Iterable[Part]:
        """What notebooks show."""
        return [table((self.kind.value, ""), self.facts.items()), *self.tables]


def inspect_source(source: str, options: ImportOptions | None = None) -> Inspection:
    """Summarise an ONNX model, an IR file or a program; of a model that is not supported, what its file says.

    Raises `CatenaError` as reading it does.
    """
    kind = kind_of(source)
    if kind is SourceKind.PROGRAM:
        return _inspect_program(read_program(Path(source)))
    try:
        module = load_module(source, options or ImportOptions())
    except CatenaError as error:
        is_unsupported = all(CODES[each.code].exit_code is ExitCode.UNSUPPORTED for each in error.diagnostics)
        if kind is not SourceKind.MODEL or not is_unsupported:
            raise
        return _inspect_message(source, error.diagnostics)
    facts = _module_facts(module)
    tables = [_ports(module), _operations(module)]
    if kind is SourceKind.MODEL:
        facts.update(_chain_facts(module))
    elif any(op.name == "gconv.link" for op in module.walk()):
        facts.update(_statistics(module))
    return Inspection(kind, facts, tuple(tables))


def _inspect_message(source: str, problems: tuple[Diagnostic, ...]) -> Inspection:
    from compiler.model_summary import model_facts, model_tables, read_message

    message = read_message(source)
    return Inspection(SourceKind.MODEL, model_facts(message, problems), tuple(model_tables(message, problems)))


def _module_facts(module: ModuleOp) -> dict[str, Any]:
    weights = [op for op in module.walk() if isinstance(op, ConstantOp)]
    words = sum(_size(op.result.type) for op in weights)
    facts: dict[str, Any] = {name.removeprefix("catena."): _plain(value) for name, value in module.attributes.items()}
    machine = find_machine(module)
    if machine is not None:
        facts["target"] = machine.name
    if any(op.name == "host.segment" for op in module.walk()):
        facts["host segments"] = sum(op.name == "host.segment" for op in module.walk())
    facts["stage"] = stage_of(module) or "import"
    facts["constants"] = len({op.value.data for op in weights})
    facts["constant words"] = words
    return facts


def _chain_facts(module: ModuleOp) -> dict[str, Any]:
    """Links and MACs of a model; nothing if it cannot be lowered."""
    try:
        run_passes(module, [step for text in stage_named("gconv").passes for step in parse_passes(text)], new_context())
    except CatenaError as error:
        return {"not supported": f"{len(error.diagnostics)} problems, see catena check"}
    return _statistics(module)


def _statistics(module: ModuleOp) -> dict[str, Any]:
    chain = chain_statistics(module)
    return {
        "links": chain.links,
        "links that multiply and add": chain.mac_links,
        "MACs": chain.mac_trips,
        "other operations": chain.other_trips,
        "words read by links": chain.words_read,
        "words written by links": chain.words_written,
    }


def _ports(module: ModuleOp) -> Table:
    rows: list[tuple[str, str, str, str]] = []
    for function in module.ops:
        if isinstance(function, FuncOp):
            kind = function.function_type
            for role, names, types in (
                ("input", function.arg_attrs, kind.inputs),
                ("output", function.res_attrs, kind.outputs),
            ):
                rows += [(role, _port_name(names, index), *_type_text(each)) for index, each in enumerate(types.data)]
    return table(("port", "tensor", "shape", "type"), rows, "Inputs and outputs")


def _operations(module: ModuleOp) -> Table:
    counts = Counter(op.name for op in module.walk() if op.dialect_name() not in ("builtin", "func"))
    return table(("operation", number("count")), sorted(counts.items()), "Operations")


def _inspect_program(program: Program) -> Inspection:
    metadata = program.metadata
    facts = {
        "model": metadata.model,
        "model_hash": metadata.model_sha256,
        "target": metadata.target,
        "target_hash": metadata.target_sha256,
        "backend": metadata.backend,
        "instruction set": f"{metadata.isa} version {metadata.isa_version}, {metadata.word_bits} bits a word",
        "made by": metadata.tool,
        "layers": len(program.layers),
        "instructions": sum(len(code) * 8 // metadata.word_bits for code in program.code),
    }
    segments = segments_in_program(program)
    if segments:
        facts["host segments"] = describe_segments(segments)
    code = [(f"code.{core}", "", "", len(words)) for core, words in enumerate(program.code)]
    images = [
        (f"constants.{index}", image.memory, image.base, image.size * image.dtype.itemsize)
        for index, image in enumerate(program.constants)
    ]
    sections = table(("section", "memory", number("address"), number("bytes")), [*code, *images], "Sections")
    tensors = table(
        ("tensor", "role", "memory", number("address"), number("words"), "shape", "type", "made by"),
        (
            (
                each.name,
                each.role.value,
                each.memory,
                each.address,
                each.words,
                "x".join(map(str, each.shape)) or "scalar",
                each.dtype,
                each.produced_by,
            )
            for each in program.tensors
        ),
        "Tensors",
    )
    layers = table(
        ("layer", "kind", "nodes", "inputs", "outputs"),
        (
            (each.name, each.kind, " + ".join(each.nodes), ", ".join(each.inputs), ", ".join(each.outputs))
            for each in program.layers
        ),
        "Layers",
    )
    return Inspection(SourceKind.PROGRAM, facts, (sections, tensors, layers))


def _port_name(attributes: Attribute | None, index: int) -> str:
    if isinstance(attributes, ArrayAttr) and index < len(attributes.data):
        port = attributes.data[index]
        name = port.data.get("onnx.name") if isinstance(port, DictionaryAttr) else None
        if isinstance(name, StringAttr):
            return name.data
    return f"#{index}"


def _type_text(kind: Attribute) -> tuple[str, str]:
    if not isinstance(kind, TensorType):
        return "", str(kind)
    return "x".join(map(str, shape_of(kind))) or "scalar", str(kind.element_type)


def _size(kind: Attribute) -> int:
    total = 1
    for extent in shape_of(kind):
        total *= extent
    return total


def _plain(attribute: Attribute) -> str:
    return attribute.data if isinstance(attribute, StringAttr) else str(attribute)
