"""Nests for the links of fused groups on machines of rows and columns: the row-stationary mapping of the largest turn.

What a group has in the buffer leaves less room for tiles; an input that lies there needs none. The off-chip words of
tensors that lie in holds are not charged. They take no time either where all tensors do; where some do not, the search
takes the others to need the link as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import GConv
from dialects.hierarchy import Hierarchy
from dialects.schedule import Mapping, Node, Objective, Operand, Space, Storage
from passes.fusion.array_members import array_violations
from passes.fusion.memories import levels_of
from passes.fusion.shapes import largest, part_of
from passes.mapping.search import looks_at_all, search
from passes.mapping.tiling import span
from passes.searching.parts import Part
from passes.searching.task import Deadline, Found, Task

_AT_ONCE = 1e9
"""Words in a cycle over a link that nothing goes over."""
_MOVED = {"I": "dram.input.read", "K": "dram.kernel.read", "O": "dram.output.write"}


@dataclass(frozen=True)
class HeldRowStationaryTask(Task):
    """A search for the nest of a link of a group."""

    part: Part
    machine: Machine

    @property
    def space(self) -> Space:
        """Row-stationary mappings, or those of even shares where there are many."""
        is_all = looks_at_all(*self._link, self.machine)
        return Space.ROW_STATIONARY if is_all else Space.EVEN_ROW_STATIONARY

    @property
    def _link(self) -> tuple[GConv, tuple[int, ...]]:
        """The loops of the largest turn, and the input that it reads."""
        part = self.part
        spec = part_of(part.spec, largest(part.shapes)).bare
        extents = zip(part.input_shape, part.spec.dims, spec.dims, strict=True)
        return spec, tuple(extent // whole.g * dim.g for extent, whole, dim in extents)

    @property
    def signature(self) -> list[Any]:
        """Loops of the largest turn and of others, input shape, what lies in holds and what room they leave."""
        part = self.part
        spec = part_of(part.spec, largest(part.shapes)).bare
        return [astuple(spec), part.input_shape, sorted(part.kept), sorted(part.taken.items()), sorted(part.shapes)]

    def look(self, deadline: Deadline) -> Found:
        """Search with as much room for an input in a hold as it would need, then with less, until the nest fits."""
        part = self.part
        spec, shape = self._link
        problems: Sequence[Diagnostic] = ()
        for machine in self._machines():
            try:
                best = search(spec, shape, machine, self.objective, self.node, should_stop=deadline)
            except CatenaError as error:
                problems = problems or error.diagnostics
                break
            nest = _input_first(best.mapping) if "I" in part.kept else best.mapping
            problems = self.violations(nest)
            if not problems:
                return Found(nest, best.value, best.bound, deadline.was_met and best.bound < best.value)
        raise CatenaError(problems)

    def violations(self, mapping: Mapping) -> list[Diagnostic]:
        """Every rule of the machine that a mapping of the link breaks."""
        part = self.part
        taken = part.taken.get("glb", 0)
        return array_violations(part.spec, mapping, part.kept, part.shapes, self.machine, taken, "mapped", self.node)

    def _machines(self) -> Iterator[Machine]:
        """The machine with the banks that holds leave, and ever fewer for an input that needs none."""
        part, glb = self.part, self.machine.glb
        counting = self.machine.counting
        gone = {event for role, event in _MOVED.items() if role in part.kept}
        charged = counting.model_copy(update={"dram": tuple(event for event in counting.dram if event not in gone)})
        left = glb.banks - -(-part.taken.get("glb", 0) // glb.bank_words)
        spare = -(-self._input_words() // glb.bank_words) if "I" in part.kept else 0
        links = self.machine.links
        if gone == set(_MOVED.values()):
            links = links.model_copy(update={"dram": _AT_ONCE})
        while True:
            banks = glb.model_copy(update={"banks": max(left + spare, 1)})
            yield self.machine.model_copy(update={"glb": banks, "counting": charged, "links": links})
            if not spare:
                return
            spare //= 2

    def _input_words(self) -> int:
        """Words of the input of the largest turn, padding included."""
        words = 1
        for dim in part_of(self.part.spec, largest(self.part.shapes)).dims:
            words *= dim.g * span(dim.opc, dim.ks, dim)
        return words


def _input_first(mapping: Mapping) -> Mapping:
    """A mapping with its input stored before all loops."""
    nodes: list[Node] = [Storage("glb", (Operand.INPUT,))]
    for node in mapping.nodes:
        if not isinstance(node, Storage):
            nodes.append(node)
        elif others := tuple(each for each in node.operands if each is not Operand.INPUT):
            nodes.append(Storage(node.memory, others))
    return Mapping(tuple(nodes))


@dataclass(frozen=True)
class RowsOfGroups:
    """The nests of links of groups on a machine of rows and columns."""

    machine: Machine
    objective: Objective

    @property
    def levels(self) -> Hierarchy:
        """The memories that tensors of groups lie in."""
        return levels_of(self.machine)

    def violations(self, part: Part, nest: Mapping) -> list[Diagnostic]:
        """Every rule that a nest of a link breaks."""
        return self.task(part).violations(nest)

    def task(self, part: Part) -> HeldRowStationaryTask:
        """The search for the nest of a link."""
        return HeldRowStationaryTask(self.objective, part.node, part, self.machine)
