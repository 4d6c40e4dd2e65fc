"""Matrix products: rows are `opc` (M), columns `op` (N), the contraction `ks` (K), shared batches `g`."""

from __future__ import annotations

from xdsl.ir import Attribute

from dialects.gconv import Dim, GConv, Reduce, Step
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.lowering import lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.tensor import Tensor


def product(
    chain: Chain,
    a: Tensor,
    b: Tensor,
    post: tuple[Step, ...] = (),
    extras: tuple[Tensor, ...] = (),
    *,
    acc: str | None = None,
    element_type: Attribute | None = None,
) -> Tensor:
    """a (..., M, K) times b (..., K, N) in dimensions (..., M, K, N); `extras` have the rank of the result plus one."""
    rank = max(a.rank, b.rank)
    a, b = a.with_rank(rank), b.with_rank(rank)
    batch = tuple(
        Dim(f"B{axis}", g=n) if n == m else Dim(f"B{axis}", op=m) if n == 1 else Dim(f"B{axis}", opc=n)
        for axis, (n, m) in enumerate(zip(a.shape[:-2], b.shape[:-2], strict=True))
    )
    dims = (*batch, Dim("M", opc=a.shape[-2]), Dim("K", ks=a.shape[-1]), Dim("N", op=b.shape[-1]))
    spec = GConv(dims, "mul", Reduce.ADD, post=post, acc=acc)
    return chain.link(spec, a.insert(rank), b.insert(rank - 2), extras, element_type)


@lowering("MatMul")
def matmul(node: Node, chain: Chain) -> Tensor:
    """one link"""
    a, b = chain.input(node, 0), chain.input(node, 1)
    return product(chain, a if a.rank > 1 else a.insert(0), b if b.rank > 1 else b.insert(1))


@lowering("Gemm")
def gemm(node: Node, chain: Chain) -> Tensor:
    """one link; alpha, beta and C are post steps"""
    a, b, c = chain.input(node, 0), chain.input(node, 1), chain.optional_input(node, 2)
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    a = a.permute((1, 0)) if node.integer("transA") else a
    b = b.permute((1, 0)) if node.integer("transB") else b
    if c is None or beta == 0:
        return product(chain, a, b, _scale(alpha))
    constant = chain.constant_of(c)
    if constant is not None and beta != 1:
        c, beta = chain.constant((constant * constant.dtype.type(beta)).astype(constant.dtype)), 1.0
    # (alpha / beta * AB + C) * beta needs no link of its own for beta * C.
    post = (*_scale(alpha / beta), Step("add", operand=0), *_scale(beta))
    return product(chain, a, b, post, (c.with_rank(2).insert(1),))


def _scale(factor: float) -> tuple[Step, ...]:
    return () if factor == 1 else (Step("affine", (factor, 0.0)),)


MATMUL = (*matmul, *gemm)
