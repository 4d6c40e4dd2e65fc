"""Einsum: any contraction of two tensors is one link, a loop for every label."""

from __future__ import annotations

from dataclasses import dataclass

from dialects.gconv import Dim, GConv, Reduce, View
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.tensor import Tensor


@dataclass(frozen=True)
class _Labelled:
    """A tensor with a label for every dimension, none twice."""

    tensor: Tensor
    labels: str

    def extent(self, label: str) -> int:
        """The extent along a label, 1 if the tensor does not have it."""
        return self.tensor.shape[self.labels.index(label)] if label in self.labels else 1

    def arranged(self, order: str) -> Tensor:
        """The tensor with one dimension for every label of `order`, of extent 1 where it has none."""
        own = [label for label in order if label in self.labels]
        permuted = self.tensor.permute([self.labels.index(label) for label in own])
        return permuted.insert(*(place for place, label in enumerate(order) if label not in self.labels))


def _equation(node: Node) -> tuple[list[str], str]:
    """The labels of every operand and of the result; an ellipsis becomes digits, its last dimension `0`."""
    text = node.text("equation").replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    ranks = [len(node.shape(index)) for index in range(len(node.op.operands))]
    extra = [rank - len(term.replace("...", "")) for rank, term in zip(ranks, terms, strict=True)]
    if not arrow:
        letters = sorted({label for label in left if label.isalpha()})
        right = ("..." if "..." in left else "") + "".join(c for c in letters if left.count(c) == 1)
    most = max((n for n, term in zip(extra, terms, strict=True) if "..." in term), default=0)
    expanded = [term.replace("...", _ellipsis(n)) for n, term in zip(extra, terms, strict=True)]
    return expanded, right.replace("...", _ellipsis(most))


def _ellipsis(count: int) -> str:
    return "".join(str(n) for n in range(count - 1, -1, -1))


@constraint(hint="split the equation into steps of two operands")
def fits_operands(node: Node) -> str | None:
    """`equation` names every dimension of every operand"""
    text = node.text("equation").replace(" ", "").partition("->")[0]
    terms = text.split(",")
    if len(terms) != len(node.op.operands):
        return f"{len(terms)} terms for {len(node.op.operands)} operands"
    for index, term in enumerate(terms):
        named, rank = len(term.replace("...", "")), len(node.shape(index))
        if named > rank or ("..." not in term and named != rank):
            return f"term {term!r} for rank {rank}"
    return None


@lowering("Einsum", constraints=(fits_operands,))
def einsum(node: Node, chain: Chain) -> Tensor:
    """one link for every operand after the first; a single operand is a view and a reduction"""
    terms, output = _equation(node)
    operands = [_diagonal(tensor, labels) for tensor, labels in zip(chain.inputs(node), terms, strict=True)]
    first, others = operands[0], operands[1:]
    for index, other in enumerate(others):
        later = "".join(operand.labels for operand in others[index + 1 :]) + output
        first = _contracted(chain, first, other, later)
    return _summed(chain, first, output).arranged(output)


def _diagonal(tensor: Tensor, labels: str) -> _Labelled:
    """A label that occurs several times in one operand moves along all those dimensions at once."""
    view = tensor.view
    unique = "".join(dict.fromkeys(labels))
    places = [[axis for axis, name in enumerate(labels) if name == label] for label in unique]
    shape = tuple(view.shape[axes[0]] for axes in places)
    strides = tuple(sum(view.strides[axis] for axis in axes) for axes in places)
    return _Labelled(Tensor(tensor.base, View(shape, strides, view.offset)), unique)


def _summed(chain: Chain, operand: _Labelled, keep: str) -> _Labelled:
    """The operand summed over the labels that are not in `keep`."""
    kept = "".join(label for label in operand.labels if label in keep)
    if len(kept) == len(operand.labels):
        return operand
    dims = tuple(
        Dim(f"X{label}", opc=n) if label in keep else Dim(f"X{label}", ks=n)
        for label, n in zip(operand.labels, operand.tensor.shape, strict=True)
    )
    total = chain.link(GConv(dims, reduce=Reduce.ADD), operand.tensor)
    return _Labelled(chain.reshape(total, [operand.extent(label) for label in kept]), kept)


def _contracted(chain: Chain, a: _Labelled, b: _Labelled, later: str) -> _Labelled:
    """The product of two operands, summed over the labels that neither the result nor another operand needs."""
    a = _summed(chain, a, b.labels + later)
    b = _summed(chain, b, a.labels + later)
    order = "".join(dict.fromkeys(a.labels + b.labels))
    kept = "".join(label for label in order if label in later)
    order = kept + "".join(label for label in order if label not in later)
    dims = tuple(_dim(label, a.extent(label), b.extent(label), label in later) for label in order)
    reduce = Reduce.ADD if any(dim.ks > 1 for dim in dims) else Reduce.NONE
    x, k = a.arranged(order), b.arranged(order)
    summed = [place for place, label in enumerate(order) if label not in later]
    k = k.expand([max(n, m) if p in summed else m for p, (n, m) in enumerate(zip(x.shape, k.shape, strict=True))])
    x = x.expand([max(n, m) if p in summed else n for p, (n, m) in enumerate(zip(x.shape, k.shape, strict=True))])
    result = chain.link(GConv(dims, "mul", reduce), x, k)
    return _Labelled(chain.reshape(result, [max(a.extent(c), b.extent(c)) for c in kept]), kept)


def _dim(label: str, input_extent: int, kernel_extent: int, kept: bool) -> Dim:
    name = f"X{label}"
    if not kept:
        return Dim(name, ks=max(input_extent, kernel_extent))
    if kernel_extent == 1:
        return Dim(name, opc=input_extent)
    if input_extent == 1:
        return Dim(name, op=kernel_extent)
    return Dim(name, g=input_extent)


EINSUM = (*einsum,)
