"""What a mapping of a fused group may say: one list of rules for groups in IR and as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from dialects.diagnostics import did_you_mean
from dialects.fused_mapping import FusedMapping, quoted
from dialects.gconv.spec import Dim
from dialects.multicore_mapping import CrossbarMapping, VectorMapping
from dialects.schedule import Spatial, Storage, Temporal


class About(StrEnum):
    """What of a mapping a problem is about."""

    LOOP = "loop"
    TENSOR = "tensor"
    LINK = "link"


@dataclass(frozen=True)
class MappingProblem:
    """Something that a mapping says, or leaves out, that does not go together with itself or its group."""

    about: About
    name: str
    """The loop with its tile as text, or the name of the tensor or link."""
    message: str
    hint: str = ""


@dataclass(frozen=True)
class GroupNames:
    """What mappings name of a group: links with their dimensions and results, and what else it reads."""

    dims: Mapping[str, tuple[Dim, ...]]
    """By link, in their order."""
    results: Mapping[str, str]
    """The tensors that links make, by link."""
    reads: tuple[str, ...]
    head: str
    """The one link whose result no other reads."""


def contradictions(mapping: FusedMapping) -> Iterator[MappingProblem]:
    """Everything in which a mapping does not go together with itself."""
    yield from _twice(About.LOOP, (str(node.loop) for node in mapping.loops))
    yield from _twice(About.TENSOR, (each.tensor for each in mapping.retentions))
    yield from _twice(About.LINK, (name for name, _ in mapping.branches))
    for each in mapping.retentions:
        if each.level is not None and not 0 <= each.level <= len(mapping.loops):
            message = f"{quoted(each.tensor)}: below {each.level} of {len(mapping.loops)} loops"
            yield MappingProblem(About.TENSOR, each.tensor, message)
        elif each.resident and (each.level != 0 or not each.reuse):
            message = f"{quoted(each.tensor)} stays from one group to another: its place is outside of all loops"
            yield MappingProblem(About.TENSOR, each.tensor, message)


def _twice(about: About, names: Iterable[str]) -> Iterator[MappingProblem]:
    for name, times in Counter(names).items():
        if times > 1:
            shown = name if about is About.LOOP else quoted(name)
            yield MappingProblem(about, name, f"{about} {shown} is there {'twice' if times == 2 else f'{times} times'}")


def mapping_problems(group: GroupNames, mapping: FusedMapping) -> Iterator[MappingProblem]:
    """Everything in which a mapping and a group do not go together."""
    for node in mapping.loops:
        if (reason := _loop_problem(node, group.dims[group.head])) is not None:
            message = f"{node}: the head {quoted(group.results[group.head])} {reason[0]}"
            yield MappingProblem(About.LOOP, str(node), message, reason[1])
    known = [*group.reads, *group.results.values()]
    made = {result: link for link, result in group.results.items()}
    retained = {each.tensor: each for each in mapping.retentions}
    for name, retention in retained.items():
        if name not in known:
            message, hint = f"{quoted(name)} is no tensor of the group", did_you_mean(name, known)
            yield MappingProblem(About.TENSOR, name, message, hint)
        elif retention.level is None and made.get(name, group.head) != group.head:
            message = f"{quoted(name)} lives from one link to another: its place cannot be within links"
            yield MappingProblem(About.TENSOR, name, message)
    for name in known:
        if name not in retained:
            yield MappingProblem(About.TENSOR, name, f"{quoted(name)} has no place")
    for name, branch in mapping.branches:
        if name not in group.dims:
            message, hint = f"{quoted(name)} is no link of the group", did_you_mean(name, group.dims)
            yield MappingProblem(About.LINK, name, message, hint)
            continue
        if isinstance(branch, CrossbarMapping | VectorMapping):
            continue
        for node in branch.nodes:
            if not isinstance(node, Storage) and (reason := _loop_problem(node, group.dims[name])) is not None:
                yield MappingProblem(About.LINK, name, f"{node}: the link {quoted(name)} {reason[0]}", reason[1])


def _loop_problem(node: Temporal | Spatial, dims: Iterable[Dim]) -> tuple[str, str] | None:
    """What is wrong with a loop of a link of such dimensions, and a hint."""
    known = {dim.name: dim for dim in dims}
    dim = known.get(node.loop.dim)
    if dim is None:
        return f"has no dimension {node.loop.dim}, it has {', '.join(known)}", "cut a loop of one of these"
    count = dim.count(node.loop.kind)
    if 1 <= node.tile <= count:
        return None
    return f"has {count} indices of {node.loop}", f"write a tile of 1 to {count}" if count > 1 else "leave the loop out"
