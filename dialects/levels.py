"""The placed form of a link on a machine of memories and axes: places, and a nest of loops and transfers.

    spatial.layer %x : tensor<4x8xf32> by %w : tensor<8x16xf32> to %y : tensor<4x16xf32> <...> "mul" add {
      levels.place "K" in "cache" at 0 words 16
      levels.place "O" in "cache" at 16 words 2
      spatial.for <N.op> tile 2 {
        levels.fill "K" from "dram" to "cache" once 0 shared []
        levels.par <M.opc> tile 1 on "x" {
          levels.open "cache" once 0
          levels.compute input "dram" shared [] kernel "cache" shared [] output "cache"
          levels.drain "cache" to "dram" once 0
        }
      }
    }

Buffers, layers and loops over time are those of `dialects.spatial`. What a transfer moves follows from the ranges of
all loops there, as in `dialects.gconv.spec`; `passes.mapper.transfers` says what `once`, `slides` and `shared` mean.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import I64, ArrayAttr, IntegerAttr, StringAttr, UnitAttr, i64
from xdsl.ir import Block, Dialect, Operation, Region
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

from dialects.schedule import LoopAttr, Operand
from dialects.spatial import integer

Numbers = ArrayAttr[IntegerAttr[I64]]


def numbers(values: Sequence[int]) -> Numbers:
    """Whole numbers as an attribute."""
    return ArrayAttr([IntegerAttr(value, i64) for value in values])


@irdl_op_definition
class PlaceOp(IRDLOperation):
    """Where the tile of a tensor (I, K, O) is kept in a memory, in each of them if there are several.

    In the outermost memory that is a place for sums that are not finished, at an address of that memory.
    """

    name = "levels.place"

    operand_name = prop_def(StringAttr)
    memory = prop_def(StringAttr)
    address = prop_def(IntegerAttr[I64])
    words = prop_def(IntegerAttr[I64])

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$operand_name `in` $memory `at` $address `words` $words attr-dict"

    @classmethod
    def of(cls, operand: Operand, memory: str, address: int, words: int) -> PlaceOp:
        """The place of `words` words from `address`."""
        return cls(
            properties={
                "operand_name": StringAttr(operand),
                "memory": StringAttr(memory),
                "address": IntegerAttr(address, i64),
                "words": IntegerAttr(words, i64),
            }
        )

    def verify_(self) -> None:
        _tensor(self.operand_name, *Operand)
        _at_least("address", self.address, 0)
        _at_least("words", self.words, 1)


@irdl_op_definition
class ParOp(IRDLOperation):
    """Tiles of a loop side by side along an axis of the array."""

    name = "levels.par"

    loop = prop_def(LoopAttr)
    tile = prop_def(IntegerAttr[I64])
    axis = prop_def(StringAttr)
    body = region_def("single_block")

    irdl_options = (ParsePropInAttrDict(),)
    traits = traits_def(NoTerminator())
    assembly_format = "$loop `tile` $tile `on` $axis attr-dict-with-keyword $body"

    @classmethod
    def of(cls, loop: LoopAttr, tile: int, axis: str, body: list[Operation]) -> ParOp:
        """Positions along `axis` around `body`."""
        properties = {"loop": loop, "tile": IntegerAttr(tile, i64), "axis": StringAttr(axis)}
        return cls(properties=properties, regions=[Region(Block(body))])

    def verify_(self) -> None:
        _at_least("tile", self.tile, 1)


@irdl_op_definition
class FillOp(IRDLOperation):
    """Bring the current tile of I or K from one memory into another further in."""

    name = "levels.fill"

    operand_name = prop_def(StringAttr)
    source = prop_def(StringAttr)
    memory = prop_def(StringAttr)
    once = prop_def(IntegerAttr[I64])
    slides = opt_prop_def(UnitAttr)
    shared = prop_def(ArrayAttr[IntegerAttr[I64]])

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = (
        "$operand_name `from` $source `to` $memory `once` $once (`slides` $slides^)? `shared` $shared attr-dict"
    )

    def verify_(self) -> None:
        _tensor(self.operand_name, Operand.INPUT, Operand.KERNEL)
        _at_least("once", self.once, 0)
        if self.slides is not None and self.operand_name.data != Operand.INPUT:
            raise VerifyException("only input tiles slide")


@irdl_op_definition
class OpenOp(IRDLOperation):
    """Begin a tile of sums in a memory: its words hold nothing until sums arrive."""

    name = "levels.open"

    memory = prop_def(StringAttr)
    once = prop_def(IntegerAttr[I64])

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$memory `once` $once attr-dict"

    def verify_(self) -> None:
        _at_least("once", self.once, 0)


@irdl_op_definition
class DrainOp(IRDLOperation):
    """Send the tile of sums that was opened to a memory further out; finished sums go through `post`."""

    name = "levels.drain"

    memory = prop_def(StringAttr)
    target = prop_def(StringAttr)
    once = prop_def(IntegerAttr[I64])

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$memory `to` $target `once` $once attr-dict"

    def verify_(self) -> None:
        _at_least("once", self.once, 0)


@irdl_op_definition
class ComputeOp(IRDLOperation):
    """Every element works through its ranges, with words of these memories."""

    name = "levels.compute"

    input_memory = prop_def(StringAttr)
    input_shared = prop_def(ArrayAttr[IntegerAttr[I64]])
    kernel_memory = opt_prop_def(StringAttr)
    kernel_shared = opt_prop_def(ArrayAttr[IntegerAttr[I64]])
    output_memory = prop_def(StringAttr)

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = (
        "`input` $input_memory `shared` $input_shared (`kernel` $kernel_memory^ `shared` $kernel_shared)?"
        " `output` $output_memory attr-dict"
    )


def _tensor(attribute: StringAttr, *choices: Operand) -> None:
    if attribute.data not in choices:
        raise VerifyException(f"unknown tensor {attribute.data!r}: expected one of {', '.join(choices)}")


def _at_least(what: str, attribute: IntegerAttr[I64], least: int) -> None:
    if integer(attribute) < least:
        raise VerifyException(f"{what} must be at least {least}, is {integer(attribute)}")


LEVELS = Dialect("levels", [PlaceOp, ParOp, FillOp, OpenOp, DrainOp, ComputeOp], [])
