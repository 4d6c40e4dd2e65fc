"""Groups by what they are and not by how they are called, so that alike ones are searched once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from dialects.fused_mapping import FusedMapping
from passes.fusion.group import Group, GroupLink, GroupTensor


@dataclass(frozen=True)
class Alike:
    """A group whose links and tensors are numbered, and the names that it has for those of another group."""

    group: Group
    names: Mapping[str, str]
    links: tuple[str, ...]
    """The names of the other group's links, in order."""

    def called(self, names: Collection[str]) -> frozenset[str]:
        """What it calls these tensors."""
        return frozenset(self.names[name] for name in names)

    def mapping(self, mapping: FusedMapping) -> FusedMapping:
        """A mapping of the other group as one of the numbered group."""
        retentions = tuple(replace(each, tensor=self.names[each.tensor]) for each in mapping.retentions)
        numbers = {name: link.name for name, link in zip(self.links, self.group.links, strict=True)}
        branches = tuple((numbers[name], nest) for name, nest in mapping.branches)
        return replace(mapping, retentions=retentions, branches=branches)

    def mapping_of_other(self, mapping: FusedMapping) -> FusedMapping:
        """A mapping of the numbered group as one of the other."""
        back = {mine: name for name, mine in self.names.items()}
        retentions = tuple(replace(each, tensor=back[each.tensor]) for each in mapping.retentions)
        names = {link.name: name for name, link in zip(self.links, self.group.links, strict=True)}
        branches = tuple((names[name], nest) for name, nest in mapping.branches)
        return replace(mapping, retentions=retentions, branches=branches)


def numbered(group: Group) -> Alike:
    """A group with numbers for names, which is equal for groups that differ in names only."""
    names = {tensor.name: f"t{number}" for number, tensor in enumerate(group.tensors)}
    tensors = tuple(GroupTensor(names[tensor.name], tensor.shape) for tensor in group.tensors)
    links = tuple(
        GroupLink(
            f"l{number}",
            link.spec,
            tuple(replace(operand, tensor=names[operand.tensor]) for operand in link.operands),
            names[link.result],
        )
        for number, link in enumerate(group.links)
    )
    exported = frozenset(names[name] for name in group.exported)
    return Alike(Group(links, tensors, exported), names, tuple(link.name for link in group.links))


def as_read(group: Group) -> Group:
    """A group with its tensors in the order in which its links read and make them."""
    names = (name for link in group.links for name in (*(each.tensor for each in link.operands), link.result))
    seen = {name: group.tensor(name) for name in dict.fromkeys(names)}
    unused = (tensor for tensor in group.tensors if tensor.name not in seen)
    return Group(group.links, (*seen.values(), *unused), group.exported)
