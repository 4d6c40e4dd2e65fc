"""The builder of the chain: links, concatenations and constants in place of ONNX ops.

Views are composed and cost nothing until a link needs an operand in its own shape; then one `gconv.view` is made,
shared by all that need the same one.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import LocationAttr, StringAttr, UnknownLoc
from xdsl.ir import Attribute, Block, Operation, SSAValue

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import (
    ConcatOp,
    Dim,
    GConv,
    IndexedOp,
    IndexedView,
    LinkOp,
    Reduce,
    ScatterOp,
    View,
    ViewOp,
)
from dialects.gconv.interpreter import take_view
from dialects.gconv.scalar import Array
from dialects.locations import describe, node_location
from dialects.weights import ConstantOp
from passes.constant_evaluation.budget import BUDGET, ConstantBudget
from passes.lower_onnx.node import Node
from passes.lower_onnx.tensor import Tensor

_NAMES = {1: ("C",), 2: ("N", "C"), 3: ("N", "C", "W"), 4: ("N", "C", "H", "W"), 5: ("N", "C", "D", "H", "W")}


def dimension_names(rank: int) -> tuple[str, ...]:
    """Names of a tensor's dimensions by their usual roles."""
    return _NAMES.get(rank) or tuple(f"X{axis}" for axis in range(rank))


class Chain:
    """Emits the chain before the ONNX op it stands at and knows the tensor that each ONNX value became."""

    def __init__(self, block: Block, budget: ConstantBudget):
        self._block = block
        self._budget = budget
        self._anchor: Operation | None = None
        self._location: LocationAttr = UnknownLoc()
        self._tensors: dict[SSAValue, Tensor] = {}
        self._views: dict[tuple[SSAValue, View], SSAValue] = {}
        self._fresh: set[Operation] = set()

    def stand_at(self, op: Operation) -> None:
        """Emit before `op` from now on, with its location."""
        self._anchor = op
        self._location = op.location
        self._fresh.clear()

    def define(self, value: SSAValue, tensor: Tensor, name: str) -> None:
        """Record what an ONNX value became; the op that computes exactly this tensor gets its name.

        Raises `CatenaError` (CAT-R002) if the value's type does not follow from the operands of its op.
        """
        expected = Tensor.whole(value)
        if tensor.size != expected.size or tensor.element_type != expected.element_type:
            assert self._anchor is not None
            raise CatenaError(
                Diagnostic(
                    "CAT-R002",
                    f"the type of result {name!r} does not follow from the operands",
                    node=describe(self._anchor),
                    expected=f"{tensor.size} elements of {tensor.element_type}",
                    found=f"{value.type}",
                )
            )
        tensor = self.reshape(tensor, expected.shape)
        self._name(tensor, name)
        self._tensors[value] = tensor

    def tensor(self, value: SSAValue) -> Tensor:
        """What an ONNX value became; an argument or a constant is itself."""
        return self._tensors.get(value) or Tensor.whole(value)

    def input(self, node: Node, index: int) -> Tensor:
        """The tensor of a node's input that must be there."""
        return self.tensor(node.required(index))

    def optional_input(self, node: Node, index: int) -> Tensor | None:
        """The tensor of a node's optional input, None if it is left out."""
        value = node.input(index)
        return None if value is None else self.tensor(value)

    def inputs(self, node: Node) -> list[Tensor]:
        """The tensors of all inputs of a node that has no optional ones."""
        return [self.tensor(value) for value in node.op.operands]

    def constant(self, array: Array) -> Tensor:
        """A new constant.

        Raises `CatenaError` (CAT-U002) if the budget has no room for it.
        """
        if not self._budget.has(array.nbytes):
            assert self._anchor is not None
            raise CatenaError(
                Diagnostic(
                    "CAT-U002",
                    "a constant that the node becomes has no room",
                    "gconv",
                    describe(self._anchor),
                    expected=BUDGET,
                    found=f"{array.nbytes} bytes more",
                )
            )
        self._budget.take((array,))
        return Tensor.whole(self._emit(ConstantOp.of(array)))

    def constant_of(self, tensor: Tensor) -> Array | None:
        """The words of a tensor that is known at compile time, else None."""
        owner = tensor.base.owner
        return take_view(tensor.view, owner.array) if isinstance(owner, ConstantOp) else None

    def link(
        self,
        spec: GConv,
        input: Tensor,
        kernel: Tensor | None = None,
        extras: Sequence[Tensor] = (),
        element_type: Attribute | None = None,
    ) -> Tensor:
        """The result of a general convolution; the element type is the input's unless given."""
        link = LinkOp.of(
            spec,
            self._value(input),
            None if kernel is None else self._value(kernel),
            [self._value(extra) for extra in extras],
            element_type=element_type,
        )
        return Tensor.whole(self._emit(link))

    def concat(self, parts: Sequence[Tensor], axis: int) -> Tensor:
        """Tensors side by side along `axis`; a single one is itself."""
        if len(parts) == 1:
            return parts[0]
        return Tensor.whole(self._emit(ConcatOp.of([self._value(part) for part in parts], axis)))

    def gather(self, reach: Tensor, index: Tensor) -> Tensor:
        """A copy of the elements of `reach` that `index` names along the last dimensions of `reach`.

        `index` has one component in its last dimension for each of those; the other dimensions of `index` have the
        extents of the rest of `reach`, or 1.
        """
        components = index.shape[-1]
        if index.rank == 1:
            return self.reshape(self.gather(reach.insert(0), index.insert(0)), ())
        view = IndexedView(reach.view, components)
        return self.copy(Tensor.whole(self._emit(IndexedOp.of(reach.base, self._value(index), view))))

    def scatter(
        self, updates: Tensor, index: Tensor, reach: View, data: Tensor | Sequence[int], reduce: Reduce = Reduce.NONE
    ) -> Tensor:
        """`data` with updates at the elements that `index` names along the last dimensions of `reach`.

        `reach` is a view of the row-major result, with the dimensions of the updates before those of the index. In
        place of data, the shape of a result that the updates fill.
        """
        if index.rank == 1:
            return self.scatter(updates.insert(0), index.insert(0), reach.insert(0), data, reduce)
        old, shape = (self._value(data), data.shape) if isinstance(data, Tensor) else (None, tuple(data))
        view = IndexedView(reach, index.shape[-1])
        return Tensor.whole(
            self._emit(ScatterOp.of(self._value(updates), self._value(index), view, shape, old, reduce))
        )

    def reshape(self, tensor: Tensor, shape: Sequence[int]) -> Tensor:
        """The same elements in another shape: a view where one stride per dimension can say it, else of a copy."""
        view = tensor.view.reshape(shape)
        if view is None:
            tensor = self.copy(tensor)
            view = tensor.view.reshape(shape)
            assert view is not None
        return Tensor(tensor.base, view)

    def copy(self, tensor: Tensor) -> Tensor:
        """The same elements one after another in memory of their own."""
        flat = tensor if tensor.rank else tensor.insert(0)
        dims = tuple(Dim(name, opc=n) for name, n in zip(dimension_names(flat.rank), flat.shape, strict=True))
        return self.reshape(self.link(GConv(dims), flat), tensor.shape)

    def result(self, value: SSAValue, name: str) -> SSAValue:
        """What a function returns for an ONNX value: in memory of its own, computed by an op called `name`.

        Without elements there is nothing to compute: it returns the constant.
        """
        tensor = self.tensor(value)
        if not tensor.size and isinstance(value.owner, ConstantOp):
            return value
        owner = tensor.base.owner
        self._location = value.owner.location if isinstance(value.owner, Operation) else node_location(name)
        if not tensor.is_whole or not isinstance(owner, LinkOp | ConcatOp | ScatterOp):
            tensor = self.copy(tensor)
            self._name(tensor, name)
        return self._value(tensor)

    def _name(self, tensor: Tensor, name: str) -> None:
        """Give the op that computes exactly this tensor its ONNX name, if it has been made for it."""
        owner = tensor.base.owner
        if (
            tensor.is_whole
            and isinstance(owner, LinkOp | ConcatOp | ScatterOp)
            and owner in self._fresh
            and owner.tensor is None
        ):
            owner.properties["tensor"] = StringAttr(name)

    def _value(self, tensor: Tensor) -> SSAValue:
        """The tensor as one value in its own shape."""
        if tensor.is_base:
            return tensor.base
        key = (tensor.base, tensor.view)
        if key not in self._views:
            self._views[key] = self._emit(ViewOp.of(tensor.base, tensor.view))
        return self._views[key]

    def _emit(self, op: LinkOp | ViewOp | ConcatOp | IndexedOp | ScatterOp | ConstantOp) -> SSAValue:
        assert self._anchor is not None
        op.location = self._location
        self._block.insert_op_before(op, self._anchor)
        self._fresh.add(op)
        return op.result
