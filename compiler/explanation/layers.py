"""The mapped layers of a program, as data; which of them somebody means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from xdsl.context import Context
from xdsl.ir import Attribute
from xdsl.utils.exceptions import ParseError, VerifyException

from backends.program import LayerEntry, LayerWork, Program, Role
from backends.segments import SEGMENT
from compiler.ir_text import HOSTILE_TEXT, new_context
from compiler.layer_names import told
from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean
from dialects.dtypes import dtype_named
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import GemmAttr, GemmMapping
from dialects.machine_kinds import kind_of
from dialects.multicore_machine import MulticoreMachine
from dialects.multicore_mapping import CrossbarMapping, CrossbarsAttr, VectorAttr, VectorMapping
from dialects.schedule import Mapping as LinkMapping
from dialects.schedule import MappingAttr
from dialects.unicode_parser import UnicodeParser
from passes.work import ATTRIBUTES, Work, work_from

HOST = "host"
"""The mapping of a layer that the host core executes."""


@dataclass(frozen=True)
class ExplainedLayer:
    """A layer of a program: its number, from 1, what it computes, and how.

    `mapping` is None if a host does it, a group of layers whose mapping says it for all of them, or several cores:
    theirs is `on_cores`. Words of its results have `output_bytes` bytes.
    """

    number: int
    entry: LayerEntry
    work: Work | None
    mapping: LinkMapping | GemmMapping | None
    on_cores: CrossbarMapping | VectorMapping | None = None
    output_bytes: int = 1

    @property
    def told(self) -> str:
        """Its name as tables show it."""
        return told(self.entry.name, self.entry.nodes)

    @property
    def names(self) -> tuple[str, ...]:
        """All names that somebody may call it by: its own, its ONNX nodes, the tensors it makes."""
        return tuple(dict.fromkeys((self.entry.name, *self.entry.nodes, *self.entry.outputs)))


def explained_layers(program: Program) -> list[ExplainedLayer]:
    """All layers of a program.

    Raises `CatenaError` (CAT-P003) if the program does not say what they compute, as those of older versions, or says
    what cannot be read.
    """
    context = new_context()
    machine = kind_of(program.metadata.description).model
    # What several cores do together has no mapping of single layers.
    has_mappings = machine is not MulticoreMachine
    read = {tensor.name: tensor.role not in (Role.CONSTANT, Role.INPUT) for tensor in program.tensors}
    sizes = {tensor.name: dtype_named(tensor.dtype).itemsize for tensor in program.tensors}
    found: list[ExplainedLayer] = []
    for number, entry in enumerate(program.layers, 1):
        if entry.kind == SEGMENT:
            found.append(ExplainedLayer(number, entry, None, None))
            continue
        if entry.work is None:
            hint = "compile the model again"
            raise CatenaError(Diagnostic("CAT-P003", f"layer {entry.name!r} does not say what it computes", hint=hint))
        if not has_mappings and entry.predicted and entry.alone is None:
            message = f"layer {entry.name!r} does not say how long it takes alone"
            raise CatenaError(Diagnostic("CAT-P003", message, hint="compile the model again"))
        try:
            work = _work(entry.work, read, context)
            is_mapped = entry.predicted and entry.mapping != HOST and not entry.group and has_mappings
            mapping = _mapping(entry.mapping, machine is GemmMachine, context) if is_mapped else None
            on_cores = None if has_mappings or entry.alone is None else _on_cores(entry.mapping, context)
        except (ParseError, VerifyException, *HOSTILE_TEXT) as error:
            message = f"what layer {entry.name!r} computes cannot be read: {error}"
            raise CatenaError(Diagnostic("CAT-P003", message)) from error
        size = max((sizes.get(name, 1) for name in entry.outputs), default=1)
        found.append(ExplainedLayer(number, entry, work, mapping, on_cores, size))
    return found


def selected(layers: Sequence[ExplainedLayer], name: str) -> list[ExplainedLayer]:
    """The layers that `name` means: a number, an ONNX node, a tensor or layer, or a pattern of such names.

    Raises `CatenaError` (CAT-C001) if there is none.
    """
    exact = [layer for layer in layers if name in layer.names]
    if exact:
        return exact
    if name.isdecimal() and 1 <= int(name) <= len(layers):
        return [layers[int(name) - 1]]
    matching = [layer for layer in layers if any(fnmatchcase(each, name) for each in layer.names)]
    if matching:
        return matching
    known = [each for layer in layers for each in layer.names]
    raise CatenaError(
        Diagnostic(
            "CAT-C001",
            f"no layer is called {name!r}",
            expected=f"an ONNX node, a tensor, a number from 1 to {len(layers)}, or a pattern such as 'conv*'",
            hint=did_you_mean(name, known),
        )
    )


def _work(entry: LayerWork, is_made: Mapping[str, bool], context: Context) -> Work:
    attributes = {name: _attribute(text, context) for name in ATTRIBUTES if (text := getattr(entry, name))}
    return work_from(attributes, tuple(is_made[name] for name in entry.tensors))


def _mapping(text: str, is_of_products: bool, context: Context) -> LinkMapping | GemmMapping:
    attribute = _attribute(f"#schedule.{'gemm' if is_of_products else 'mapping'}<{text}>", context)
    if not isinstance(attribute, MappingAttr | GemmAttr):
        raise TypeError(f"{text!r} is no mapping")
    return attribute.data


def _on_cores(text: str, context: Context) -> CrossbarMapping | VectorMapping:
    attribute = _attribute(text, context)
    if not isinstance(attribute, CrossbarsAttr | VectorAttr):
        raise TypeError(f"{text!r} is no mapping onto cores")
    return attribute.data


def _attribute(text: str, context: Context) -> Attribute:
    parser = UnicodeParser(context, text)
    attribute = parser.parse_attribute()
    if text[parser.pos :].strip():
        raise TypeError(f"unexpected text: {text[parser.pos :]!r}")
    return attribute
