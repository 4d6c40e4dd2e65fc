"""A group of links as data: which tensors they share, and which index of a tensor each of their operands reads.

This is all that inference, model and search know of a network; `from_ir` makes it of links.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from dialects.gconv.spec import GConv


class Role(StrEnum):
    """What a link does with an operand."""

    INPUT = "I"
    KERNEL = "K"
    POST = "P"


@dataclass(frozen=True)
class AxisIndex:
    """An index of a tensor's axis as a function of the indices of an operand: offset + sum of step * index.

    `terms` are pairs of the operand's dimension, which is that of its link, and a step. No term: always `offset`.
    """

    offset: int = 0
    terms: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Operand:
    """An operand of a link: a window of `shape`, one extent for each dimension of the link, on a tensor.

    The operand's dimension d has the index i_d, k_d or (for `POST`) o_d of `dialects.gconv.spec`; a post operand's is 0
    where its extent is 1.
    """

    role: Role
    tensor: str
    shape: tuple[int, ...]
    axes: tuple[AxisIndex, ...]
    """One for each axis of the tensor."""

    def moves(self, dim: int) -> bool:
        """Whether other indices of a dimension are other elements: if not, it repeats them."""
        return any(index == dim for axis in self.axes for index, _ in axis.terms)

    @staticmethod
    def whole(role: Role, tensor: str, shape: tuple[int, ...]) -> Operand:
        """An operand that sees a tensor as it is."""
        return Operand(role, tensor, shape, tuple(AxisIndex(0, ((axis, 1),)) for axis in range(len(shape))))


@dataclass(frozen=True)
class GroupLink:
    """A link of a group; its result is a tensor with one axis for each dimension."""

    name: str
    spec: GConv
    operands: tuple[Operand, ...]
    result: str

    @property
    def input(self) -> Operand:
        """The operand that the windows slide over."""
        return next(each for each in self.operands if each.role is Role.INPUT)

    @property
    def extra_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The extents of its post operands without repetition."""
        return tuple(
            tuple(extent if each.moves(dim) else 1 for dim, extent in enumerate(each.shape))
            for each in self.operands
            if each.role is Role.POST
        )


@dataclass(frozen=True)
class GroupTensor:
    """A tensor that links of a group read or make."""

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Elements, each one word."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Group:
    """Links in an order in which each reads only what earlier ones make or what lies off-chip.

    `exported` names results of links, besides the head's, that are wanted off-chip as well.
    """

    links: tuple[GroupLink, ...]
    tensors: tuple[GroupTensor, ...]
    exported: frozenset[str] = frozenset()

    def __hash__(self) -> int:
        return self._hash

    def __getstate__(self) -> dict[str, object]:
        """Names have other hashes in other processes."""
        return {name: value for name, value in self.__dict__.items() if name != "_hash"}

    @cached_property
    def _hash(self) -> int:
        """Searches look groups up again and again."""
        return hash((self.links, self.tensors, self.exported))

    @cached_property
    def _tensors(self) -> dict[str, GroupTensor]:
        return {tensor.name: tensor for tensor in self.tensors}

    @cached_property
    def makers(self) -> dict[str, GroupLink]:
        """The link that makes a tensor, for tensors made in the group."""
        return {link.result: link for link in self.links}

    def tensor(self, name: str) -> GroupTensor:
        """The tensor of a name."""
        return self._tensors[name]

    def link(self, name: str) -> GroupLink:
        """The link of a name."""
        return next(link for link in self.links if link.name == name)

    def readers(self, tensor: str) -> Iterator[tuple[GroupLink, Operand]]:
        """The links that read a tensor, once for every operand that does."""
        for link in self.links:
            for operand in link.operands:
                if operand.tensor == tensor:
                    yield link, operand

    def is_kernel_alone(self, tensor: str) -> bool:
        """Whether a tensor lies off-chip and is read once, as the whole kernel of a link."""
        return tensor in self._kernels_alone

    @cached_property
    def _kernels_alone(self) -> frozenset[str]:
        return frozenset(tensor.name for tensor in self.tensors if self._is_kernel_alone(tensor.name))

    def _is_kernel_alone(self, tensor: str) -> bool:
        readers = list(self.readers(tensor))
        if tensor in self.makers or len(readers) != 1:
            return False
        link, operand = readers[0]
        shape = self.tensor(tensor).shape
        if operand.role is not Role.KERNEL or not shape == operand.shape == link.spec.kernel_shape:
            return False
        whole = Operand.whole(Role.KERNEL, tensor, shape)
        pairs = zip(shape, operand.axes, whole.axes, strict=True)
        return all(extent == 1 or axis == plain for extent, axis, plain in pairs)

    @cached_property
    def heads(self) -> tuple[GroupLink, ...]:
        """The links whose results nobody in the group reads; a group that can be tiled has one."""
        read = {operand.tensor for link in self.links for operand in link.operands}
        return tuple(link for link in self.links if link.result not in read)

    @property
    def head(self) -> GroupLink:
        """The last link. Raises `ValueError` unless there is exactly one."""
        (head,) = self.heads
        return head

    @cached_property
    def intermediates(self) -> tuple[str, ...]:
        """Results that links of the group read."""
        read = {operand.tensor for link in self.links for operand in link.operands}
        return tuple(link.result for link in self.links if link.result in read)

    @cached_property
    def external(self) -> tuple[str, ...]:
        """Tensors that are read and not made here: inputs, kernels, post operands."""
        return tuple(tensor.name for tensor in self.tensors if tensor.name not in self.makers)
