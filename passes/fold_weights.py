"""fold-weights: arithmetic on constants is done at compile time (rule F4)."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace as replaced

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass

from dialects.element_types import numpy_dtype_of
from dialects.gconv import GConv, LinkOp, Reduce, Step, ViewOp, element_type_of_value, shape_of
from dialects.gconv.scalar import Array
from dialects.weights import ConstantOp
from passes.chain_views import constant_words
from passes.clamping_steps import without_idle_clamps
from passes.linear_steps import Linear, Term, has_exact_reciprocal, linear, merged, offset_only, reciprocal, unary_terms
from passes.rewriting import chain_blocks, replace, require_bound_weights

_DOUBLES_AT_ONCE = 1024
"""Words that NumPy converts at a time: few enough for the fastest cache, in two thirds of the time."""


class FoldWeightsPass(ModulePass):
    """Fold constant scales into kernels, merge constant steps, drop steps without effect.

    In links of floating-point type:
    - a leading post multiplication by a constant that depends on g and op indices only goes into the constant kernel
      of a multiply-add link (batch normalisation into convolution weights), an addition into that of an adding link;
    - adjacent multiplications and additions of constants become one of each at most: `add c, mul s` is `mul s, add cs`;
    - subtractions of constants become additions; divisions become multiplications where the reciprocal is exact (powers
      of two) or where the factor goes into a kernel anyway;
    - adjacent clamps become one; clamps, multiplications by 1 and additions of 0 without effect go.
    Computed in float64 and rounded once. A kernel that another link reads too is left as it is.
    """

    name = "fold-weights"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite every function.

        Raises `CatenaError` for functions of several blocks (CAT-R003) and words that are not at hand (CAT-R004).
        """
        for block in chain_blocks(op, self.name):
            require_bound_weights(block, self.name)
            _fold_block(block)


def _fold_block(block: Block) -> None:
    for op in list(block.ops):
        if isinstance(op, LinkOp) and op.mapping is None and _is_float(op):
            _fold_link(op)


def _is_float(link: LinkOp) -> bool:
    kinds = {element_type_of_value(value) for value in link.operands}
    return len(kinds) == 1 and numpy_dtype_of(kinds.pop()).kind == "f"


def _fold_link(link: LinkOp) -> None:
    spec = link.spec
    extras = list(link.extras)
    post = [
        Term(step.function, step.parameters, None if step.operand is None else extras[step.operand])
        for step in spec.post
    ]
    old_post = list(post)
    sources: list[Operation] = []
    kernel = _Kernel.of(link)
    if kernel is not None:
        post = kernel.absorb(post)
    post = without_idle_clamps(merged(post))
    pre, mid = (without_idle_clamps(merged(unary_terms(steps))) for steps in (spec.pre, spec.mid))
    if kernel is not None and kernel.changed:
        sources += kernel.path
    elif _same(pre, spec.pre) and _same(mid, spec.mid) and post == old_post:
        return
    writer = _Writer(numpy_dtype_of(element_type_of_value(link.input)))
    value = writer.constant(kernel.words) if kernel is not None and kernel.changed else link.kernel
    spec = replaced(
        spec,
        main=spec.main if kernel is None else kernel.main,
        pre=tuple(Step(term.function, term.parameters) for term in pre),
        mid=tuple(Step(term.function, term.parameters) for term in mid),
        post=tuple(writer.step(term) for term in post),
    )
    folded = LinkOp.of(
        spec,
        link.input,
        value,
        writer.extras,
        tensor=link.tensor.data if link.tensor else None,
        element_type=element_type_of_value(link.result),
    )
    sources += [extra.owner for extra in extras if isinstance(extra.owner, Operation) and extra not in writer.extras]
    replace(link, [*writer.constants, folded], folded.result, _constants_among(sources))


def _constants_among(ops: Sequence[Operation]) -> list[Operation]:
    """The constants and views of constants among ops, without repeats: what a new constant was made from."""
    return list(dict.fromkeys(op for op in ops if isinstance(op, ConstantOp | ViewOp)))


def _same(terms: Sequence[Term], steps: Sequence[Step]) -> bool:
    return [(t.function, t.parameters) for t in terms] == [(s.function, s.parameters) for s in steps]


class _Writer:
    """Terms back to steps, operands and constants."""

    def __init__(self, dtype: np.dtype[np.generic]):
        self._dtype = dtype
        self.constants: list[Operation] = []
        self.extras: list[SSAValue] = []

    def constant(self, words: Array) -> SSAValue:
        op = ConstantOp.of(words.astype(self._dtype, copy=False))
        self.constants.append(op)
        return op.result

    def step(self, term: Term) -> Step:
        if term.operand is None:
            return Step(term.function, term.parameters)
        value = term.operand if isinstance(term.operand, SSAValue) else self.constant(term.operand)
        self.extras.append(value)
        return Step(term.function, term.parameters, len(self.extras) - 1)


class _Kernel:
    """The constant kernel of a link that can take over constant factors or summands of its post steps."""

    def __init__(self, spec: GConv, main: str, path: list[Operation], words: Array, changed: bool):
        self._spec = spec
        self.main = main
        self.path = path
        """The constant and the views that make the kernel, which nothing else reads."""
        self.words = words
        self.changed = changed

    @classmethod
    def of(cls, link: LinkOp) -> _Kernel | None:
        """The kernel of `link`, subtractions and exact divisions rewritten; None if it has none to fold into."""
        spec = link.spec
        reduces = any(dim.ks > 1 for dim in spec.dims)
        foldable = {"mul", "div"} if not reduces or spec.reduce is Reduce.ADD else set[str]()
        if not reduces:
            foldable |= {"add", "sub"}
        if spec.mid or spec.main not in foldable or link.kernel is None:
            return None
        path = _private_path(link.kernel)
        words = constant_words(link.kernel)
        if path is None or words is None or words.size > _words_stored(path[0]):
            return None
        if spec.main == "sub":
            return cls(spec, "add", path, -words, changed=True)
        if spec.main == "div":
            if not has_exact_reciprocal(words):
                return None
            return cls(spec, "mul", path, reciprocal(words), changed=True)
        return cls(spec, spec.main, path, words, changed=False)

    def absorb(self, terms: list[Term]) -> list[Term]:
        """Take over as many leading terms as go into the kernel; what remains to be done after it."""
        total: Linear | None = None
        count = 0
        for index, term in enumerate(terms):
            current = linear(term)
            joined = current if total is None or current is None else total.then(current)
            if joined is None or not self._spreads(joined.scale if self.main == "mul" else joined.offset):
                break
            if self.main == "add" and (joined.scale != 1).any():
                break
            total, count = joined, index + 1
        if total is None or not self._fold(total):
            return terms
        rest = offset_only(total.offset).terms() if self.main == "mul" else []
        return [*rest, *terms[count:]]

    def _spreads(self, part: Array) -> bool:
        """Whether an array over the result depends on nothing but g and op indices."""
        return part.ndim == 0 or all(
            size == 1 or dim.opc == 1 for size, dim in zip(part.shape, self._spec.dims, strict=True)
        )

    def _fold(self, total: Linear) -> bool:
        part = total.scale if self.main == "mul" else total.offset
        if part.ndim == 0 and part == (1 if self.main == "mul" else 0):
            return False
        words = np.empty([n for dim in self._spec.dims for n in (dim.g * dim.op, dim.ks)], self.words.dtype)
        spread = part.reshape([n for size in part.shape for n in (size, 1)])
        function = np.multiply if self.main == "mul" else np.add
        with np.errstate(over="ignore"), _small_buffers():
            function(self.words.reshape(words.shape), spread, out=words, casting="same_kind", dtype=np.float64)
        if not np.isfinite(words).all():
            return False
        self.words, self.changed = words.reshape(self._spec.kernel_shape), True
        return True


@contextmanager
def _small_buffers() -> Generator[None]:
    previous = np.setbufsize(_DOUBLES_AT_ONCE)
    try:
        yield
    finally:
        np.setbufsize(previous)


def _words_stored(op: Operation) -> int:
    """Words of a constant, before any view repeats them."""
    return math.prod(shape_of(op.results[0]))


def _private_path(value: SSAValue) -> list[Operation] | None:
    """The constant behind a value and the views between, if nothing reads them but for that value's one use."""
    path: list[Operation] = []
    while value.has_one_use():
        owner = value.owner
        if isinstance(owner, ConstantOp):
            return [owner, *reversed(path)]
        if not isinstance(owner, ViewOp):
            return None
        path.append(owner)
        value = owner.base
    return None
