"""What a layer computes, apart from how it is mapped: all that the counts of a mapping depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar, cast

from xdsl.dialects.builtin import ArrayAttr, StringAttr
from xdsl.ir import Attribute

from dialects.gconv import (
    PASS,
    GConv,
    NestAttr,
    Reduce,
    ReduceAttr,
    ScalarAttr,
    StepsAttr,
    View,
    Zeros,
    ZerosAttr,
    gconv_of,
)
from dialects.gemm_live import Live, LiveAttr
from dialects.spatial import BufferOp, LayerOp, Role
from dialects.spatial_access import AccessAttr, LookupAttr
from passes.mapping.lookups import IN_PLACE, Lookups

KindT = TypeVar("KindT", bound=Attribute)

ATTRIBUTES = (
    *("nest", "main", "reduce", "accesses", "acc", "pad", "pre", "mid", "post"),
    *("read_lookup", "write_lookup", "update", "zeros", "live"),
)
"""The properties of a `spatial.layer` that say what it computes."""

_NO_ZEROS = Zeros()


@dataclass(frozen=True)
class Work:
    """A layer's general convolution, where its tensors lie, and what is known of their data.

    `views` and `compressed` have an entry for every tensor: input, kernel if there is one, post operands, output; the
    latter says which go compressed where the link does that. `in_order` asks that results leave in row-major order;
    `live` is what zeros leave of matrix products, as it was measured.
    """

    spec: GConv
    views: tuple[View, ...]
    compressed: tuple[bool, ...]
    lookups: Lookups = IN_PLACE
    in_order: bool = False
    zeros: Zeros = _NO_ZEROS
    live: Live | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The extents of the input."""
        return self.views[0].shape

    @property
    def has_kernel(self) -> bool:
        """Whether it has a kernel."""
        return self.spec.main != PASS

    @property
    def extra_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The extents of the post operands without repetition."""
        first = 2 if self.has_kernel else 1
        return tuple(distinct_extents(view) for view in self.views[first:-1])


def work_of(op: LayerOp) -> Work:
    """What a placed layer computes."""
    return work_from(op.properties, tuple(is_compressed(cast("BufferOp", value.owner)) for value in op.tensors))


def work_from(attributes: Mapping[str, Attribute], compressed: tuple[bool, ...]) -> Work:
    """What the `ATTRIBUTES` of a layer say; `compressed` says which of its tensors may go compressed.

    Raises `TypeError` or `KeyError` for attributes that are not those of a layer.
    """
    live = _get(attributes, "live", LiveAttr)
    zeros, update = _get(attributes, "zeros", ZerosAttr), _get(attributes, "update", ReduceAttr)
    read, written = (_index_shape(_get(attributes, name, LookupAttr)) for name in ("read_lookup", "write_lookup"))
    accesses = attributes["accesses"]
    if not isinstance(accesses, ArrayAttr):
        raise TypeError(f"expected accesses, found {accesses}")
    views = tuple(_is(each, AccessAttr).data for each in cast("ArrayAttr[Attribute]", accesses))
    spec = gconv_of(
        _is(attributes["nest"], NestAttr),
        _is(attributes["main"], StringAttr),
        _is(attributes["reduce"], ReduceAttr),
        _get(attributes, "pad", ScalarAttr),
        _get(attributes, "pre", StepsAttr),
        _get(attributes, "mid", StepsAttr),
        _get(attributes, "post", StepsAttr),
        attributes.get("acc"),
    )
    combines = update is not None and update.data is not Reduce.NONE
    lookups = Lookups(read, written, combines)
    known = _NO_ZEROS if zeros is None else zeros.data, None if live is None else live.data
    return Work(spec, views, compressed, lookups, update is not None, *known)


def is_compressed(buffer: BufferOp) -> bool:
    """Feature maps are, as on the Eyeriss chip; constants and inputs of the network are not."""
    return buffer.role.data not in (Role.CONSTANT, Role.INPUT)


def _is(value: Attribute, kind: type[KindT]) -> KindT:
    if not isinstance(value, kind):
        raise TypeError(f"expected #{kind.name}, found {value}")
    return value


def _get(attributes: Mapping[str, Attribute], name: str, kind: type[KindT]) -> KindT | None:
    return _is(attributes[name], kind) if name in attributes else None


def _index_shape(lookup: LookupAttr | None) -> tuple[int, ...] | None:
    return None if lookup is None else (*distinct_extents(lookup.data.index), len(lookup.data.terms))


def distinct_extents(view: View) -> tuple[int, ...]:
    """The extents of a view without repetition: a word that a stride of 0 repeats is read once."""
    return tuple(1 if stride == 0 else extent for extent, stride in zip(view.shape, view.strides, strict=True))
