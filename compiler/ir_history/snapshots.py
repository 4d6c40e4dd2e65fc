"""A module as it was at some time: what every op said, kept after passes have changed or erased it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from xdsl.dialects.builtin import LocationAttr, ModuleOp
from xdsl.ir import Attribute, Block, BlockArgument, Operation, OpResult, SSAValue

from dialects.locations import node_names


@dataclass(frozen=True, eq=False)
class Said:
    """What an op said at the time: all of it but the ops in its regions."""

    name: str
    parent: Block | None
    attributes: Mapping[str, Attribute]
    operands: tuple[SSAValue, ...]
    types: tuple[Attribute, ...]
    location: LocationAttr

    @property
    def nodes(self) -> tuple[str, ...]:
        """The ONNX nodes that it came from."""
        return node_names(self.location)


@dataclass(frozen=True)
class Snapshot:
    """The ops of a module in the order of its text, the module itself left out, and what each said."""

    ops: Mapping[Operation, Said]

    @property
    def kinds(self) -> Counter[str]:
        """How many ops there are of each kind."""
        return Counter(said.name for said in self.ops.values())

    def is_like(self, other: Snapshot) -> bool:
        """Whether both have the same ops in the same order, which say the same."""
        return len(self.ops) == len(other.ops) and all(
            one is two and _same(said, other.ops[two])
            for (one, said), two in zip(self.ops.items(), other.ops, strict=True)
        )


def snapshot(module: ModuleOp) -> Snapshot:
    """The module as it is now. Attributes never change, so that none is copied."""
    return Snapshot({op: _said(op) for op in module.walk() if op is not module})


def place(value: SSAValue) -> tuple[Operation | None, int, bool]:
    """The op that makes a value, or in whose region it is an argument; which of them; whether it is an argument."""
    if isinstance(value, OpResult):
        return value.op, value.index, False
    assert isinstance(value, BlockArgument)
    return value.block.parent_op(), value.index, True


def _said(op: Operation) -> Said:
    return Said(
        op.name,
        op.parent,
        {**op.properties, **op.attributes},
        tuple(op.operands),
        tuple(each.type for each in op.results),
        op.location,
    )


def _same(one: Said, other: Said) -> bool:
    return (
        one.operands == other.operands
        and one.attributes == other.attributes
        and one.types == other.types
        and one.location == other.location
        and one.parent is other.parent
    )
