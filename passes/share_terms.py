"""share-terms: what a reduction and the link after it both compute is computed once, where a layer costs more."""

from __future__ import annotations

import math
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass

from dialects.accelerator import Accelerator
from dialects.gconv import PASS, Dim, GConv, LinkOp, Reduce, Step, View, element_type_of_value, shape_of
from dialects.target import find_machine
from passes.chain_views import Source, only_reader_of, readers_of, source_of
from passes.elementwise import SWAPPED, Applied, Elementwise, compact_steps, elementwise, numbered
from passes.rewriting import chain_blocks, insert_before, replace
from passes.step_room import StepRoom


@dataclass(frozen=True)
class ShareTermsPass(ModulePass):
    """Let a reduction of f(x, r) and the element-wise link that computes f(x, r) again read one tensor of these terms.

    A softmax is three links: r = max x, s = 1 / sum exp(x - r), y = exp(x - r) * s. With the terms e = exp(x - r) in
    memory, each of r and s is only read, repeated, by what broadcast-reductions brings into it: two links, which read x
    and e twice. That moves 2 words more for each term and saves a layer. It pays if the off-chip link moves those words
    in the time that configuring a layer takes; `words` (by default those of the module's machine) says how many that
    is. Without a machine nothing is shared.

    r must be a reduction without a kernel that these two links alone read, y the only reader of s, and the machine must
    have the steps that broadcast-reductions then brings together.
    """

    name = "share-terms"

    words: int | None = None

    def __post_init__(self) -> None:
        if (self.words or 0) < 0:
            raise ValueError("words must not be negative")

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite every function. Raises `CatenaError` (CAT-R003) for functions of several blocks."""
        words = _words_while_configuring(find_machine(op)) if self.words is None else self.words
        room = StepRoom.of(op)
        for block in chain_blocks(op, self.name):
            _rewrite(block, words, room)


def _words_while_configuring(machine: Accelerator | None) -> int:
    """Words that cross the off-chip link in the time that the configuration of a layer takes."""
    return 0 if machine is None else math.floor(machine.configuration_us * machine.clock_mhz * machine.link_words)


@dataclass(frozen=True)
class _Sharing:
    """A reduction of terms, the link that computes them again, the steps they share, and what that link does next."""

    reduction: LinkOp
    reader: LinkOp
    shared: int
    rest: tuple[Applied, ...]


def _rewrite(block: Block, words: int, room: StepRoom) -> None:
    for link in list(block.ops):
        if not isinstance(link, LinkOp) or 2 * math.prod(shape_of(link.input)) > words:
            continue
        found = _sharing(link)
        if found is not None and _has_room(found, room):
            _share(found)


def _sharing(link: LinkOp) -> _Sharing | None:
    """How `link`, the reduction of s, shares its terms with the reader of s."""
    reader = only_reader_of(link.result)
    if not _reduces_terms(link) or not isinstance(reader, LinkOp) or reader.mapping is not None:
        return None
    assert link.kernel is not None
    repeated = source_of(link.kernel)
    if not _is_read_by(repeated.base.owner, link, reader):
        return None
    form = elementwise(reader)
    if form is None or not _is_term_of(form, link):
        return None
    mid = link.spec.mid
    shared = next((n for n, step in enumerate(mid) if form.after[n : n + 1] != (Applied(step),)), len(mid))
    rest = form.after[shared:]
    # The sum must be what comes next: broadcast-reductions takes it from there.
    if not rest or rest[0].operand is None or rest[0].operand.base is not link.result:
        return None
    return _Sharing(link, reader, shared, rest) if rest[0].step.function in SWAPPED else None


def _has_room(found: _Sharing, room: StepRoom) -> bool:
    """Whether both reductions have room for what broadcast-reductions would bring into them."""
    link = found.reduction
    assert link.kernel is not None
    first = source_of(link.kernel).base.owner
    terms = (
        Applied(Step(link.spec.main, operand=0), source_of(link.input)),
        *map(Applied, link.spec.mid[: found.shared]),
    )
    return isinstance(first, LinkOp) and room.will_hold(first, terms) and room.will_hold(link, found.rest)


def _reduces_terms(link: LinkOp) -> bool:
    """Whether a link reduces values that it computes from one element of its input and one of its kernel each."""
    spec = link.spec
    plain = all(dim.op == dim.opc == 1 and dim.is_plain for dim in spec.dims)
    return (
        link.mapping is None
        and link.acc is None
        and spec.main != PASS
        and spec.reduce is not Reduce.NONE
        and plain
        and shape_of(link.input) == spec.kernel_shape
        and len({element_type_of_value(value) for value in (*link.operands, link.result)}) == 1
    )


def _is_read_by(op: Operation | Block, *readers: LinkOp) -> bool:
    """Whether an op is a reduction without a kernel that all of `readers` and nothing else read."""
    if not isinstance(op, LinkOp) or op.spec.main != PASS or op.mapping is not None:
        return False
    return any(dim.ks > 1 for dim in op.nest.data) and set(readers_of(op.result)) == set(readers)


def _is_term_of(form: Elementwise, reduction: LinkOp) -> bool:
    """Whether a link begins with the terms of a reduction: the same function of the same elements."""
    spec = reduction.spec
    if (
        form.cast is not None
        or form.main != spec.main
        or form.pre != spec.pre
        or form.kernel is None
        or reduction.kernel is None
    ):
        return False
    pairs = ((form.input, source_of(reduction.input)), (form.kernel, source_of(reduction.kernel)))
    return all(mine.base is theirs.base and mine.view.reads_like(theirs.view) for mine, theirs in pairs)


def _share(found: _Sharing) -> None:
    link, reader, spec = found.reduction, found.reader, found.reduction.spec
    shape, result_shape = shape_of(link.input), shape_of(reader.result)
    rest = compact_steps(found.rest, result_shape)
    assert rest is not None, "operands of an element-wise link are in the shape of its result"
    parallel = tuple(Dim(dim.name, g=size) for dim, size in zip(spec.dims, shape, strict=True))
    terms = LinkOp.of(GConv(parallel, spec.main, pre=spec.pre, post=spec.mid[: found.shared]), link.input, link.kernel)
    insert_before(link, [terms], [link, reader])

    views, input = Source(terms.result, View.dense(result_shape)).materialise()
    extras: list[SSAValue] = []
    post, more = numbered(rest, extras)
    dims = tuple(Dim(dim.name, opc=dim.output_extent) for dim in reader.nest.data)
    tensor = reader.tensor.data if reader.tensor else None
    product = LinkOp.of(
        GConv(dims, post=post), input, None, extras, tensor=tensor, element_type=element_type_of_value(reader.result)
    )
    replace(reader, [*views, *more, product], product.result)

    folded = tuple(dim if dim.ks > 1 else Dim(dim.name, opc=dim.g) for dim in spec.dims)
    total = GConv(folded, PASS, spec.reduce, mid=spec.mid[found.shared :], post=spec.post)
    tensor = link.tensor.data if link.tensor else None
    reduction = LinkOp.of(total, terms.result, None, list(link.extras), tensor=tensor)
    replace(link, [reduction], reduction.result)
