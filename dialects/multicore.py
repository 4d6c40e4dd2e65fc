"""The placed form of a link on a machine of cores with crossbars: a stream of operations for each core.

    spatial.layer %x : tensor<8x4xui8> by %w : tensor<8x16xi16> to %y : tensor<...> <...> "mul" add acc i32 ... {
      multicore.stream 3 {
        multicore.part groups [0, 1] rows [4, 4] columns [0, 16]
        multicore.vectors [0, 196]
        multicore.sums at 0 by 16
        multicore.program crossbars [0, 1] shift 0 resident
        multicore.run from 0 turns 196 {
          multicore.load "I"
          multicore.mvm
          multicore.wait 0 for 1 step 1 of 1 from 0 at most 196
          multicore.fetch
          multicore.activate
          multicore.store "O"
          multicore.signal 5 register 2 base 0 every 14
        }
      }
    }

A core works on `part` of a link's matrix, [first, count] of groups, rows and columns each, and on `vectors`, [first,
count] of the output positions in row-major order; `by [stretch, step]` if they come in stretches that begin `step`
apart. A turn is about one of them, or as many as are `abreast`: turn t of a run about those of number
`(from + t) mod turns`.

A layer of the vector units has `range`s of its loops, loops that cut them (`spatial.for`), and in the innermost one
what is done in every turn: loads, `compute`, `store`.

Sequence registers only ever grow. Before turn t, `wait` waits until its register holds at least
min(most, base + step * ((t + from) div of)), with `after N` only from turn N on, which it counts from; after turn t,
`signal` writes base + t + 1 to a register of another core, in every turn whose number t + 1 `every` divides, and in the
last one. Outside of a run there is one turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from xdsl.dialects.builtin import I64, ArrayAttr, IntegerAttr, StringAttr, UnitAttr, i64
from xdsl.ir import Attribute, Block, Dialect, Operation, Region
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    region_def,
    traits_def,
)
from xdsl.traits import NoTerminator
from xdsl.utils.exceptions import VerifyException

from dialects.multicore_mapping import CrossbarsAttr, VectorAttr
from dialects.schedule import LoopAttr
from dialects.spatial import integer
from dialects.vector_sets import VectorSet

Pair = ArrayAttr[IntegerAttr[I64]]
INPUT, KERNEL, EXTRAS, FIXED, OUTPUT, SUMS = "I", "K", "X", "B", "O", "S"
"""What a core loads and stores: X are operands of post functions, B those that are the same for all vectors, S sums."""


def pair(values: Sequence[int]) -> Pair:
    """First and count as an attribute."""
    return ArrayAttr([IntegerAttr(value, i64) for value in values])


@cache
def whole(value: int) -> IntegerAttr[I64]:
    """A number as an attribute."""
    return IntegerAttr(value, i64)


def span(attribute: Pair) -> range:
    """The indices that [first, count] stands for."""
    first, count = (integer(each) for each in attribute)
    return range(first, first + count)


class CoreOp(IRDLOperation):
    """What may stand in a stream."""

    @classmethod
    def of(cls, *body: Operation, **properties: Attribute | int | str | Sequence[int] | None) -> Operation:
        """The op with these properties, given as plain data or attributes, around a body."""
        given = {name: _attribute(value) for name, value in properties.items() if value is not None}
        regions = [Region(Block(body))] if body or cls.get_irdl_definition().regions else []
        return cls.create(properties=given, regions=regions)


def _attribute(value: Attribute | int | str | Sequence[int]) -> Attribute:
    match value:
        case Attribute():
            return value
        case int():
            return whole(value)
        case str():
            return StringAttr(value)
        case _:
            return pair(value)


def _verify_span(what: str, attribute: Pair) -> None:
    if len(attribute) != 2 or integer(attribute.data[0]) < 0 or integer(attribute.data[1]) < 1:
        raise VerifyException(f"{what} are [first, count], at least one")


def _verify_choice(what: str, attribute: StringAttr, choices: Sequence[str]) -> None:
    if attribute.data not in choices:
        raise VerifyException(f"unknown {what} {attribute.data!r}: expected one of {', '.join(choices)}")


@irdl_op_definition
class StreamOp(CoreOp):
    """What one core does for the layer."""

    name = "multicore.stream"

    core = prop_def(IntegerAttr[I64])
    body = region_def("single_block")

    irdl_options = (ParsePropInAttrDict(),)
    traits = traits_def(NoTerminator())
    assembly_format = "$core attr-dict-with-keyword $body"

    def verify_(self) -> None:
        if integer(self.core) < 0:
            raise VerifyException("cores are numbered from 0")


@irdl_op_definition
class PartOp(CoreOp):
    """The part of the matrix that the core's crossbars hold: groups, rows and columns as [first, count]."""

    name = "multicore.part"

    groups = prop_def(Pair)
    rows = prop_def(Pair)
    columns = prop_def(Pair)

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "`groups` $groups `rows` $rows `columns` $columns attr-dict"

    def verify_(self) -> None:
        for what, each in (("groups", self.groups), ("rows", self.rows), ("columns", self.columns)):
            _verify_span(what, each)


@irdl_op_definition
class ProgramOp(CoreOp):
    """Write the part into crossbars [first, count] of the core; resident weights are there before the network runs.

    Cells hold weights less `shift`; its product with the sum of the inputs is added to what they give.
    """

    name = "multicore.program"

    crossbars = prop_def(Pair)
    shift = prop_def(IntegerAttr[I64])
    resident = opt_prop_def(UnitAttr)

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "`crossbars` $crossbars `shift` $shift (`resident` $resident^)? attr-dict"

    def verify_(self) -> None:
        _verify_span("crossbars", self.crossbars)


@irdl_op_definition
class VectorsOp(CoreOp):
    """The output positions that the core works on, [first, count], in stretches of [length, step] if given.

    A turn is about `abreast` of them, one by default: crossbars hold as many copies of the part.
    """

    name = "multicore.vectors"

    vectors = prop_def(Pair)
    stretches = opt_prop_def(Pair)
    abreast = opt_prop_def(IntegerAttr[I64])

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$vectors (`by` $stretches^)? (`abreast` $abreast^)? attr-dict"

    @classmethod
    def of_set(cls, vectors: VectorSet) -> Operation:
        """The op for some positions."""
        by = None if vectors.stretch == vectors.count else (vectors.stretch, vectors.step)
        abreast = None if vectors.abreast == 1 else vectors.abreast
        return cls.of(vectors=(vectors.first, vectors.count), stretches=by, abreast=abreast)

    @property
    def positions(self) -> VectorSet:
        """The positions."""
        first, count = (integer(each) for each in self.vectors)
        abreast = 1 if self.abreast is None else integer(self.abreast)
        if self.stretches is None:
            return VectorSet.contiguous(first, count, abreast)
        stretch, step = (integer(each) for each in self.stretches)
        return VectorSet(first, count, stretch, step, abreast)

    def verify_(self) -> None:
        _verify_span("vectors", self.vectors)
        if self.stretches is not None:
            found = [integer(each) for each in self.stretches]
            if len(found) != 2 or not 1 <= found[0] <= found[1]:
                raise VerifyException("stretches are [length, step], which do not overlap")
        if self.abreast is not None and integer(self.abreast) < 1:
            raise VerifyException("a turn is about one vector at least")


@irdl_op_definition
class SumsOp(CoreOp):
    """Where partial sums of the part's columns for vector 0 would lie; those of the next one lie `stride` behind."""

    name = "multicore.sums"

    address = prop_def(IntegerAttr[I64])
    stride = prop_def(IntegerAttr[I64])

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "`at` $address `by` $stride attr-dict"

    def verify_(self) -> None:
        if integer(self.address) < 0 or integer(self.stride) < 1:
            raise VerifyException("sums begin at word 0 or behind it, and take a word at least")


@irdl_op_definition
class RunOp(CoreOp):
    """Turns, from that with number `start` on and around."""

    name = "multicore.run"

    start = prop_def(IntegerAttr[I64])
    turns = prop_def(IntegerAttr[I64])
    body = region_def("single_block")

    irdl_options = (ParsePropInAttrDict(),)
    traits = traits_def(NoTerminator())
    assembly_format = "`from` $start `turns` $turns attr-dict-with-keyword $body"

    def verify_(self) -> None:
        if integer(self.start) < 0 or integer(self.turns) < 1:
            raise VerifyException("a run has a turn at least, and starts at a vector")


@irdl_op_definition
class RangeOp(CoreOp):
    """The part of a loop that the core works on: [first, count]."""

    name = "multicore.range"

    loop = prop_def(LoopAttr)
    part = prop_def(Pair)

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$loop $part attr-dict"

    def verify_(self) -> None:
        _verify_span("indices", self.part)


@irdl_op_definition
class LoadOp(CoreOp):
    """Bring words from the shared memory: of the input (through `pre`), the kernel, or operands of `post`."""

    name = "multicore.load"

    tensor = prop_def(StringAttr)

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$tensor attr-dict"

    def verify_(self) -> None:
        _verify_choice("tensor", self.tensor, (INPUT, KERNEL, EXTRAS, FIXED))


@irdl_op_definition
class MvmOp(CoreOp):
    """All crossbars of the part multiply the input that was loaded; what those below one another give is added."""

    name = "multicore.mvm"
    assembly_format = "attr-dict"


@irdl_op_definition
class FetchOp(CoreOp):
    """Bring the partial sums of the vector from the shared memory and add them."""

    name = "multicore.fetch"
    assembly_format = "attr-dict"


@irdl_op_definition
class ComputeOp(CoreOp):
    """The vector unit works on the current ranges of the general convolution."""

    name = "multicore.compute"
    assembly_format = "attr-dict"


@irdl_op_definition
class ActivateOp(CoreOp):
    """Sums go through `post`: biases, activation, requantization."""

    name = "multicore.activate"
    assembly_format = "attr-dict"


@irdl_op_definition
class StoreOp(CoreOp):
    """Write partial sums (S) or results (O) to the shared memory."""

    name = "multicore.store"

    tensor = prop_def(StringAttr)

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$tensor attr-dict"

    def verify_(self) -> None:
        _verify_choice("tensor", self.tensor, (OUTPUT, SUMS))


@irdl_op_definition
class WaitOp(CoreOp):
    """Wait until a sequence register of the core holds at least min(most, base + step * ((turn + from) div of)).

    With `after`, that many turns do not wait, and others are counted from there. `by` names the core that signals to
    the register: each has one for every core that does.
    """

    name = "multicore.wait"

    register = prop_def(IntegerAttr[I64])
    base = prop_def(IntegerAttr[I64])
    step = prop_def(IntegerAttr[I64])
    period = prop_def(IntegerAttr[I64])
    start = prop_def(IntegerAttr[I64])
    most = prop_def(IntegerAttr[I64])
    after = opt_prop_def(IntegerAttr[I64])
    producer = opt_prop_def(IntegerAttr[I64])

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = (
        "$register `for` $base `step` $step `of` $period `from` $start `at` `most` $most (`after` $after^)? "
        "(`by` $producer^)? attr-dict"
    )

    def verify_(self) -> None:
        if integer(self.period) < 1 or integer(self.step) < 0 or integer(self.register) < 0:
            raise VerifyException("a wait has a register, a step from 0, and a period from 1")
        if self.after is not None and (integer(self.after) < 1 or integer(self.start)):
            raise VerifyException("a wait that begins after some turns counts from there")
        if self.producer is not None and integer(self.producer) < 0:
            raise VerifyException("a wait is for a core from 0")


@irdl_op_definition
class SignalOp(CoreOp):
    """Write base + turn + 1 to a register of another core, in every turn whose number `every` divides and the last."""

    name = "multicore.signal"

    core = prop_def(IntegerAttr[I64])
    register = prop_def(IntegerAttr[I64])
    base = prop_def(IntegerAttr[I64])
    every = prop_def(IntegerAttr[I64])

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$core `register` $register `base` $base `every` $every attr-dict"

    def verify_(self) -> None:
        if min(integer(self.core), integer(self.register), integer(self.base)) < 0 or integer(self.every) < 1:
            raise VerifyException("a signal has a core, a register and a base from 0, and a period from 1")


MULTICORE = Dialect(
    "multicore",
    [
        *(StreamOp, PartOp, ProgramOp, VectorsOp, SumsOp, RunOp, RangeOp, LoadOp, MvmOp, FetchOp, ComputeOp),
        *(ActivateOp, StoreOp, WaitOp, SignalOp),
    ],
    [CrossbarsAttr, VectorAttr],
)
