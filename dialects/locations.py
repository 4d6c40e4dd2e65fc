"""ONNX node names as MLIR locations.

The importer gives every op the location `loc("node name")`; rewrites keep or fuse locations, so that an
instruction of the binary can still name the ONNX nodes it came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import cast

from xdsl.dialects.builtin import (
    ArrayAttr,
    CallSiteLoc,
    FusedLoc,
    LocationAttr,
    NameLoc,
    NoneAttr,
    StringAttr,
    UnknownLoc,
)
from xdsl.ir import Attribute, Operation

_KEPT = 1 << 14
"""So many locations are made once each: most ops of a chain have that of another op, before or after a pass."""


@lru_cache(_KEPT)
def node_location(name: str) -> NameLoc:
    """The location of an op imported from the ONNX node `name`."""
    return NameLoc(StringAttr(name), NoneAttr())


def node_names(location: Attribute) -> tuple[str, ...]:
    """The ONNX node names in a location, in order, without repeats."""
    return tuple(dict.fromkeys(_names(location)))


def names_a_node(location: Attribute) -> bool:
    """Whether there is any ONNX node name in a location."""
    return any(True for _ in _names(location))


def _names(location: Attribute) -> Iterator[str]:
    if isinstance(location, NameLoc):
        yield location.desc.data
    elif isinstance(location, FusedLoc):
        for inner in cast("ArrayAttr[Attribute]", location.locations):
            yield from _names(inner)
    elif isinstance(location, CallSiteLoc):
        yield from _names(location.callee)


def describe(op: Operation) -> str:
    """The ONNX nodes an op came from, for messages; empty when it has none."""
    return " + ".join(node_names(op.location))


def fuse_locations(locations: Iterable[LocationAttr]) -> LocationAttr:
    """One location that names every node of `locations` once, in order.

    Unknown locations vanish; a single name stays a plain `loc("name")`.
    """
    return _location_of(tuple(dict.fromkeys(name for location in locations for name in _names(location))))


@lru_cache(_KEPT)
def _location_of(names: tuple[str, ...]) -> LocationAttr:
    if not names:
        return UnknownLoc()
    if len(names) == 1:
        return node_location(names[0])
    return FusedLoc(tuple(node_location(name) for name in names), NoneAttr())
