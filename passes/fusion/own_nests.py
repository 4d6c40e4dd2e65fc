"""Own loops that bring what links have within themselves in the least room, each piece once.

Of a link's loops `op` and `ks` are cut, and below all that is not the kernel those of the kernel (`g` as well), index
by index: larger tiles only take more room. Its input comes by channels, its kernel word by word, if that is a tensor of
its own and no view of one. Positions of a window are channels where each has as much of the input, and none is padding.
The head, whose loops around the group are its own as well, brings its input by channels or makes its result by
channels, whichever takes less room: both would bring the input again for every channel that is made.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from dialects.fused_mapping import FusedMapping
from dialects.gconv.spec import LoopKind
from dialects.schedule import Loop, Mapping, Node, Operand, Storage, Temporal
from passes.fusion.group import Group, GroupLink, Role
from passes.fusion.pieces import is_cut_evenly, part_of_link, piece_problems


@dataclass(frozen=True)
class OwnNests:
    """What can come in pieces in a group, besides kernels, word by word.

    `inputs` has, by link, a tensor from off-chip that is its input and the loops that cut it; `result` has the loops
    that cut the head's result.
    """

    group: Group
    inputs: dict[str, tuple[str, tuple[Loop, ...]]]
    result: tuple[Loop, ...]

    @staticmethod
    def of(group: Group) -> OwnNests:
        """The pieces of a group."""
        found: dict[str, tuple[str, tuple[Loop, ...]]] = {}
        for link in group.links:
            tensor = link.input.tensor
            if tensor in group.makers or part_of_link(link, tensor) is not Operand.INPUT:
                continue
            loops = tuple(each for each in _loops(link, LoopKind.KS) if is_cut_evenly(group, link, tensor, each))
            if loops:
                found[link.name] = tensor, loops
        return OwnNests(group, found, tuple(_loops(group.head, LoopKind.OP)))

    def on(self, mapping: FusedMapping, *, by_result: bool) -> FusedMapping:
        """A mapping with the nests of links that bring what lies within them in pieces, where the model allows it."""
        inside = [each.tensor for each in mapping.retentions if each.level is None]
        memory = mapping.retention(self.group.head.result).memory
        nests = [(link.name, self.nest(link, memory, inside, by_result=by_result)) for link in self.group.links]
        cut = replace(mapping, branches=tuple((name, nest) for name, nest in nests if nest is not None))
        refused = {name for name, *_ in piece_problems(self.group, cut)}
        return replace(cut, branches=tuple(branch for branch in cut.branches if branch[0] not in refused))

    def nest(self, link: GroupLink, memory: str, within: Iterable[str], *, by_result: bool) -> Mapping | None:
        """The nest of a link for tensors within it, None if there is nothing to cut.

        `by_result`: whether the head makes its result by channels, rather than bringing its input so.
        """
        cuts = dict(self._cuts(link, {*within}, by_result=by_result))
        operands = (*(Operand(each.role) for each in link.operands if each.role is not Role.POST), Operand.OUTPUT)
        nodes: list[Node] = [Storage(memory, tuple(each for each in operands if each not in cuts))]
        for operand, loops in cuts.items():
            nodes += [Temporal(each, 1) for each in loops if Temporal(each, 1) not in nodes]
            nodes.append(Storage(memory, (operand,)))
        return (
            Mapping(tuple(node for node in nodes if not isinstance(node, Storage) or node.operands)) if cuts else None
        )

    def _cuts(
        self, link: GroupLink, within: set[str], *, by_result: bool
    ) -> Iterator[tuple[Operand, tuple[Loop, ...]]]:
        """What comes in pieces, from the outside in, and the loops that cut it."""
        tensor, loops = self.inputs.get(link.name, ("", ()))
        if by_result and link is self.group.head and link.result in within and self.result:
            yield Operand.OUTPUT, self.result
        elif tensor in within:
            yield Operand.INPUT, loops
        kernel = next((each.tensor for each in link.operands if self.group.is_kernel_alone(each.tensor)), None)
        every = tuple(each for kind in (LoopKind.G, LoopKind.OP, LoopKind.KS) for each in _loops(link, kind))
        if kernel in within and every:
            yield Operand.KERNEL, every


def indices(link: GroupLink, loops: Iterable[Loop]) -> int:
    """How many indices some loops of a link have together."""
    dims = {dim.name: dim for dim in link.spec.dims}
    return math.prod(dims[loop.dim].count(loop.kind) for loop in loops)


def _loops(link: GroupLink, kind: LoopKind) -> Iterator[Loop]:
    return (Loop(dim.name, kind) for dim in link.spec.dims if dim.count(kind) > 1)
