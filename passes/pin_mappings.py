"""Mapping files: how some layers are mapped, and what is known of their data, put on the links before the search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from dialects.accelerator import Accelerator
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import LinkOp
from dialects.gconv.fused import FusedOp
from dialects.gconv.interpreter import main_function
from dialects.gemm_mapping import GemmAttr
from dialects.locations import describe
from dialects.schedule import MappingAttr, Objective
from dialects.target import find_machine
from passes.mapping_file.checking import (
    loop_problems,
    mapping_problems,
    mode_problems,
    pinned_links,
    target_problems,
    wrong_statements,
)
from passes.mapping_file.completing import Completion
from passes.mapping_file.reading import MappingFile, Pin, read_mapping_file
from passes.mapping_file.seal import checksum
from passes.storage import Storage


@dataclass(frozen=True)
class PinMappingsPass(ModulePass):
    """Put the mappings of a file, and what it says about zeros, on the links it names.

    In mode `offload` it runs before and after the pass that assigns work to the host: a file whose layers are those of
    that mode is for the second time, any other for the first, and keeps on the accelerator what it maps. A mapping that
    is given in part is completed to make `objective` least, or what the machine's mapper prefers.

    Raises `CatenaError` with every problem and its line: CAT-C002 for a file that cannot be read; CAT-C003 for text
    that is no mapping file, a layer that does not exist, is named twice or has other loops, and a file for another
    target; CAT-F002 for mappings that do not fit the module's machine.
    """

    name = "pin-mappings"

    file: str
    mode: Literal["chain", "offload"] = "chain"
    after_assign_host: bool = False
    objective: Literal["energy", "latency", "edp", "traffic"] | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Pin the mappings of the file."""
        file = read_mapping_file(Path(self.file), ctx)
        if self.mode == "offload" and self.after_assign_host != (file.mode == "offload"):
            return
        machine = find_machine(op)
        pinned, problems = pinned_links(file, [link for link in op.walk() if isinstance(link, LinkOp)])
        other_target = [*target_problems(file, machine), *mode_problems(file, self.mode)]
        problems += [*file.problems, *other_target]
        storage = Storage(main_function(op).body.block)
        for link, layer in pinned.zeros.items():
            link.properties["zeros"] = file.zeros[layer][0]
        for link, pin in pinned.pins.items():
            changed = [*loop_problems(file, link, pin)]
            problems += changed
            if pin.written is None:
                continue
            if isinstance(link.parent_op(), FusedOp):
                message = "the layer is a link of a group: say what it does within a turn in the mapping of the group"
                problems.append(replace(file.problem(pin.mapping_line, message), node=describe(link)))
                continue
            checkable = None if changed or other_target else machine
            in_order = storage.update(link.result) is not None
            if pin.written.readable is not None:
                problems += [] if checkable is None else wrong_statements(file, link, pin.written.readable, checkable)
            elif pin.written.pattern is not None:
                objective = None if self.objective is None else Objective(self.objective)
                problems += _complete(file, link, pin, checkable, objective, in_order=in_order)
            elif checkable is not None:
                problems += mapping_problems(file, link, pin, checkable, in_order=in_order)
            link.properties.pop("search", None)
            if pin.written.mapping is not None:
                link.properties["mapping"] = pin.written.mapping
                _note_search(link, pin, checkable)
        if problems:
            raise CatenaError(problems)


def _note_search(link: LinkOp, pin: Pin, machine: Accelerator | None) -> None:
    """Note how good a pinned mapping is, if the file knows."""
    mapping = link.mapping
    if machine is None or pin.search is None or not isinstance(mapping, MappingAttr | GemmAttr):
        return
    if pin.checksum == checksum(link, mapping, pin.search, machine):
        link.properties["search"] = pin.search


def _complete(
    file: MappingFile,
    link: LinkOp,
    pin: Pin,
    machine: Accelerator | None,
    objective: Objective | None,
    *,
    in_order: bool,
) -> Sequence[Diagnostic]:
    """Give a link the best mapping of the form that a file gives; what stands in the way.

    Without a machine, because something is wrong already, nothing is searched.
    """
    if machine is None:
        return []
    if in_order:
        message = "updates at computed addresses are made in order: their mapping is not searched"
        problem = file.problem(pin.mapping_line, message, hint="give it whole, or take it out")
        return [replace(problem, node=describe(link))]
    try:
        link.properties["mapping"] = MappingAttr(Completion(file, link, pin, machine, objective).best())
    except CatenaError as error:
        return error.diagnostics
    return []
