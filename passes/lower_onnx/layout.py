"""Operators that only say where words are: views."""

from __future__ import annotations

from dialects.gconv import Dim, GConv
from passes.lower_onnx.chain import Chain, dimension_names
from passes.lower_onnx.constraints import attribute_is, constant_input
from passes.lower_onnx.lowering import ALL_RESULTS, constraint, lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.tensor import Tensor


@lowering("Reshape", "Flatten", "Identity", "Squeeze", "Unsqueeze")
def same_elements(node: Node, chain: Chain) -> Tensor:
    """a view, or one copying link where a strided view cannot say it"""
    return chain.input(node, 0)


@constraint(hint="export the model for inference")
def no_training(node: Node) -> str | None:
    """`training_mode` is absent or a constant false"""
    if node.input(2) is None:
        return None
    mode = node.constant(2)
    return "computed at run time" if mode is None else "true" if mode.any() else None


@lowering("Dropout", constraints=(no_training,))
def dropout(node: Node, chain: Chain) -> Tensor:
    """nothing: the input itself"""
    return chain.input(node, 0)


@lowering("Transpose")
def transpose(node: Node, chain: Chain) -> Tensor:
    """a view"""
    x = chain.input(node, 0)
    return x.permute(node.integers("perm") or tuple(reversed(range(x.rank))))


@lowering("Expand")
def expand(node: Node, chain: Chain) -> Tensor:
    """a view that repeats words"""
    return chain.input(node, 0).expand(node.result_shape())


@lowering("Split", results=ALL_RESULTS)
def split(node: Node, chain: Chain) -> list[Tensor]:
    """views"""
    x = chain.input(node, 0)
    axis = node.integer("axis", 0) % x.rank
    parts: list[Tensor] = []
    start = 0
    for index in range(len(node.op.results)):
        size = node.result_shape(index)[axis]
        parts.append(x.slice(axis, start, size))
        start += size
    return parts


@lowering("Concat")
def concat(node: Node, chain: Chain) -> Tensor:
    """a `gconv.concat`"""
    parts = [part for part in chain.inputs(node) if part.size]
    return chain.concat(parts, node.integer("axis") % parts[0].rank)


_BLOCK_MODE = attribute_is("mode", "DCR", "CRD")


@lowering("DepthToSpace", constraints=(_BLOCK_MODE,))
def depth_to_space(node: Node, chain: Chain) -> Tensor:
    """a view of rank six, copied by one link where it is needed in its own shape"""
    x, block = chain.input(node, 0), node.integer("blocksize")
    n, c, h, w = x.shape
    if node.text("mode", "DCR") == "DCR":
        return chain.reshape(x, (n, block, block, c // block**2, h, w)).permute((0, 3, 4, 1, 5, 2))
    return chain.reshape(x, (n, c // block**2, block, block, h, w)).permute((0, 1, 4, 2, 5, 3))


@lowering("SpaceToDepth", constraints=(_BLOCK_MODE,))
def space_to_depth(node: Node, chain: Chain) -> Tensor:
    """a view of rank six, copied by one link where it is needed in its own shape"""
    x, block = chain.input(node, 0), node.integer("blocksize")
    n, c, h, w = x.shape
    blocks = chain.reshape(x, (n, c, h // block, block, w // block, block))
    return blocks.permute((0, 3, 5, 1, 2, 4) if node.text("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4))


@lowering("Tile", constraints=(constant_input(1, "repeats"),))
def tile(node: Node, chain: Chain) -> Tensor:
    """a view where dimensions of extent 1 repeat, else one copying link"""
    x, shape = chain.input(node, 0), node.result_shape()
    if all(old in (1, new) for old, new in zip(x.shape, shape, strict=True)):
        return x.expand(shape)
    dims = tuple(
        Dim(name, op=new // old, opc=old)
        for name, old, new in zip(dimension_names(x.rank), x.shape, shape, strict=True)
    )
    return chain.link(GConv(dims), x)


LAYOUT = (
    *same_elements,
    *dropout,
    *transpose,
    *expand,
    *split,
    *concat,
    *depth_to_space,
    *space_to_depth,
    *tile,
)
