"""Sums in narrow accumulators: how many bits products lose so that no sum can leave their range.

A product p becomes floor((p + 2^(shift - 1)) / 2^shift) before it is added; results are multiplied by 2^shift again.
No result can get larger than the sum of the magnitudes of a kernel's words times the largest one of the input's type.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dialects.element_types import numpy_dtype_of
from dialects.gconv import LinkOp, element_type_of_value
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import Sums
from dialects.weights import ConstantOp
from passes.gemm.streams import kernel_of, source_of_kernel


def fixed_sums(link: LinkOp, machine: GemmMachine) -> Sums | None:
    """How a link sums up products on a machine with `fixed_point`; None if it does not, or sums up something else."""
    spec = link.spec
    if not machine.fixed_point or link.kernel is None or not spec.is_multiply_accumulate or spec.mid:
        return None
    types = [numpy_dtype_of(element_type_of_value(each)) for each in (link.input, link.kernel)]
    acc = types[0] if link.acc is None else numpy_dtype_of(link.acc)
    if any(each.kind not in "iu" for each in (*types, acc)):
        return None
    largest = _magnitude(types[0]) * _most_weight(link, types[1])
    return Sums(machine.accumulator_bits, least_shift(largest, _terms(link), machine.accumulator_bits))


def least_shift(largest: int, terms: int, bits: int) -> int:
    """The fewest bits that products have to lose for sums of `terms` of them, `largest` at most, to fit `bits` bits."""
    shift = 0
    # Rounding moves every product by half a unit at most.
    while (largest >> shift) + 1 + (terms if shift else 0) // 2 >= 1 << (bits - 1) and largest >> shift:
        shift += 1
    return shift


def _magnitude(dtype: np.dtype[Any]) -> int:
    limits = np.iinfo(dtype)
    return max(-int(limits.min), int(limits.max))


def _terms(link: LinkOp) -> int:
    return math.prod(dim.ks for dim in link.spec.dims)


def _most_weight(link: LinkOp, dtype: np.dtype[Any]) -> int:
    """The largest sum of magnitudes of a parallel kernel's words; of one that is no constant, the largest possible."""
    if not isinstance(source_of_kernel(link).base.owner, ConstantOp):
        return _magnitude(dtype) * _terms(link)
    words = np.abs(kernel_of(link).astype(np.int64))
    return int(words.sum(axis=tuple(range(2, words.ndim, 3))).max(initial=0))
