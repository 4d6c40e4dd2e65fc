"""The placed form of a link as matrix products: how the machine is configured, and where tiles lie on the chip.

    spatial.layer ... {
      gemm.configure split 4 ring 16 resumes
      gemm.place "K" at 0 words 9216
      gemm.blocks of 8 from %bitmaps : tensor<330xui16> words 74
      gemm.place "O" at 0 words 1792
      gemm.place "I" at 0 words 4176
      spatial.for <C.op> tile 32 {
        spatial.load "K"
        spatial.for <H.opc> tile 14 {
          spatial.open
          spatial.load "I"
          spatial.pass
          spatial.store
        }
      }
    }

Every tensor has a memory of its own. With `gemm.blocks` the kernel lies off-chip as `passes.gemm.streams` says. Loops,
transfers and passes are those of `dialects.spatial`.
"""

from __future__ import annotations

from xdsl.dialects.builtin import I64, IntegerAttr, StringAttr, TensorType, UnitAttr, i64
from xdsl.ir import Dialect, SSAValue
from xdsl.irdl import IRDLOperation, ParsePropInAttrDict, irdl_op_definition, operand_def, opt_prop_def, prop_def
from xdsl.utils.exceptions import VerifyException

from dialects.gemm_mapping import MOST_SUM_BITS, GemmMapping, Sums
from dialects.schedule import Operand
from dialects.spatial import integer


@irdl_op_definition
class ConfigureOp(IRDLOperation):
    """How the array is divided, and of how many channels im2col units keep words; patches share none without `ring`.

    With `resumes`, words are kept from one pass to the next, with `rewinds` those that a strip found until it is done.
    """

    name = "gemm.configure"

    split = prop_def(IntegerAttr[I64])
    ring = opt_prop_def(IntegerAttr[I64])
    resumes = opt_prop_def(UnitAttr)
    rewinds = opt_prop_def(UnitAttr)

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "`split` $split (`ring` $ring^)? (`resumes` $resumes^)? (`rewinds` $rewinds^)? attr-dict"

    @classmethod
    def of(cls, mapping: GemmMapping) -> ConfigureOp:
        """What a mapping says of array and patches."""
        ring = None if mapping.reserved is None else IntegerAttr(mapping.reserved, i64)
        kept = {"resumes": mapping.resumes, "rewinds": mapping.rewinds}
        flags = {name: UnitAttr() for name, is_set in kept.items() if is_set}
        return cls(properties={"split": IntegerAttr(mapping.split, i64), "ring": ring, **flags})

    def verify_(self) -> None:
        if self.resumes is not None and self.ring is None:
            raise VerifyException("nothing is kept of patches that share no words")
        if self.rewinds is not None and self.resumes is None:
            raise VerifyException("what strips do not resume from is not kept for their end")
        if integer(self.split) < 1 or (self.ring is not None and integer(self.ring) < 0):
            raise VerifyException("there is at least one array, and nothing less than nothing is kept")


@irdl_op_definition
class PlaceOp(IRDLOperation):
    """Where the tile of a tensor (I, K, O) is kept in its memory."""

    name = "gemm.place"

    operand_name = prop_def(StringAttr)
    address = prop_def(IntegerAttr[I64])
    words = prop_def(IntegerAttr[I64])

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$operand_name `at` $address `words` $words attr-dict"

    @classmethod
    def of(cls, operand: Operand, address: int, words: int) -> PlaceOp:
        """The place of `words` words from `address`."""
        properties = {"operand_name": StringAttr(operand), "address": IntegerAttr(address, i64)}
        return cls(properties={**properties, "words": IntegerAttr(words, i64)})

    def verify_(self) -> None:
        if self.operand_name.data not in tuple(Operand):
            raise VerifyException(f"unknown tensor {self.operand_name.data!r}: expected one of {', '.join(Operand)}")
        if integer(self.address) < 0 or integer(self.words) < 1:
            raise VerifyException("a place has words, from an address of at least 0")


@irdl_op_definition
class BlocksOp(IRDLOperation):
    """The kernel comes as streams of blocks, one for every tile: its buffer has the words of those that are kept.

    `bitmaps` is the buffer that says where tiles are and which blocks they keep, `words` what their bitmaps take on the
    chip at most.
    """

    name = "gemm.blocks"

    height = prop_def(IntegerAttr[I64])
    bitmaps = operand_def(TensorType)
    words = prop_def(IntegerAttr[I64])

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "`of` $height `from` $bitmaps `:` type($bitmaps) `words` $words attr-dict"

    @classmethod
    def of(cls, height: int, bitmaps: SSAValue, words: int) -> BlocksOp:
        """Blocks of `height` kernels, from the buffer of their bitmaps."""
        properties = {"height": IntegerAttr(height, i64), "words": IntegerAttr(words, i64)}
        return cls(operands=[bitmaps], properties=properties)

    def verify_(self) -> None:
        if integer(self.height) < 1 or integer(self.words) < 1:
            raise VerifyException("a block has at least one kernel, and bitmaps at least one word")


@irdl_op_definition
class AccumulateOp(IRDLOperation):
    """Integer products lose their lowest `shift` bits, rounded, and are added in `bits` bits, which wrap around."""

    name = "gemm.accumulate"

    bits = prop_def(IntegerAttr[I64])
    shift = prop_def(IntegerAttr[I64])

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$bits `shift` $shift attr-dict"

    @classmethod
    def of(cls, sums: Sums) -> AccumulateOp:
        """Accumulators as a mapping says."""
        return cls(properties={"bits": IntegerAttr(sums.bits, i64), "shift": IntegerAttr(sums.shift, i64)})

    def verify_(self) -> None:
        if not (2 <= integer(self.bits) <= MOST_SUM_BITS and 0 <= integer(self.shift) < MOST_SUM_BITS):
            raise VerifyException(f"accumulators have 2 to {MOST_SUM_BITS} bits, and products lose fewer")


GEMM = Dialect("gemm", [ConfigureOp, PlaceOp, BlocksOp, AccumulateOp], [])
