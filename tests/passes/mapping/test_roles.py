"""Which loop plays which part, for the links that networks are made of."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given, settings

from dialects.gconv import PASS, Dim, GConv, LoopKind, Reduce
from dialects.schedule import Loop
from passes.mapping.roles import Roles, assign_roles, roles_in_nest
from tests.examples import examples
from tests.passes.mapping.drawing import Shape, links

WINDOW = {"opc": 13, "ks": 3, "pad": 1}
CASES: dict[str, tuple[GConv, dict[str, str]]] = {
    "convolution": (
        GConv((Dim("N", opc=4), Dim("C", op=64, ks=32), Dim("H", **WINDOW), Dim("W", **WINDOW)), "mul"),
        {
            "images": "N.opc", "rows_out": "H.opc", "rows_kernel": "H.ks", "slide": "W.opc", "slide_kernel": "W.ks",
            "channels": "C.ks", "filters": "C.op",
        },
    ),
    "grouped convolution": (
        GConv((Dim("N"), Dim("C", g=2, op=64, ks=32), Dim("H", **WINDOW), Dim("W", **WINDOW)), "mul"),
        {
            "rows_out": "H.opc", "rows_kernel": "H.ks", "slide": "W.opc", "slide_kernel": "W.ks",
            "channels": "C.ks", "filters": "C.op", "groups": "C.g",
        },
    ),
    "depthwise convolution": (
        GConv((Dim("C", g=32), Dim("H", **WINDOW), Dim("W", **WINDOW)), "mul"),
        {"rows_out": "H.opc", "rows_kernel": "H.ks", "slide": "W.opc", "slide_kernel": "W.ks", "groups": "C.g"},
    ),
    "pointwise convolution": (
        GConv((Dim("N", opc=4), Dim("C", op=64, ks=32), Dim("H", opc=13), Dim("W", opc=13)), "mul"),
        {"rows_out": "H.opc", "slide": "H.opc", "images": "W.opc", "channels": "C.ks", "filters": "C.op",
         "rest": "N.opc"},
    ),
    "one window": (
        GConv((Dim("N", opc=4), Dim("C", op=64, ks=32), Dim("W", **WINDOW)), "mul"),
        {"rows_out": "W.opc", "rows_kernel": "W.ks", "slide": "N.opc", "channels": "C.ks", "filters": "C.op"},
    ),
    "three windows": (
        GConv((Dim("C", op=64, ks=32), Dim("D", **WINDOW), Dim("H", **WINDOW), Dim("W", **WINDOW)), "mul"),
        {
            "rows_out": "H.opc", "rows_kernel": "H.ks", "slide": "W.opc", "slide_kernel": "W.ks",
            "channels": "C.ks", "filters": "C.op", "images": "D.opc", "rest": "D.ks",
        },
    ),
    "matrix product": (
        GConv((Dim("M", opc=7), Dim("K", ks=100), Dim("N", op=10)), "mul"),
        {"rows_out": "M.opc", "slide": "M.opc", "channels": "K.ks", "filters": "N.op"},
    ),
    "dense layer on an image": (
        GConv((Dim("C", op=4096, ks=256), Dim("H", ks=6), Dim("W", ks=5)), "mul"),
        {"channels": "C.ks", "rows_kernel": "H.ks", "slide_kernel": "W.ks", "filters": "C.op"},
    ),
    "pooling": (
        GConv((Dim("C", opc=32), Dim("H", **WINDOW), Dim("W", **WINDOW))),
        {"rows_out": "H.opc", "rows_kernel": "H.ks", "slide": "W.opc", "slide_kernel": "W.ks", "groups": "C.opc"},
    ),
    "element-wise": (
        GConv((Dim("C", opc=32), Dim("H", opc=56), Dim("W", opc=55))),
        {"rows_out": "H.opc", "slide": "H.opc", "groups": "W.opc", "images": "C.opc"},
    ),
    "sum of two tensors": (
        GConv((Dim("C", g=32), Dim("H", g=56)), "add"),
        {"groups": "H.g", "rest": "C.g"},
    ),
    "nothing to do": (GConv((Dim("C"),)), {}),
}  # fmt: skip


@pytest.mark.parametrize(("spec", "parts"), CASES.values(), ids=CASES.keys())
def test_parts(spec: GConv, parts: dict[str, str]) -> None:
    roles = assign_roles(spec)
    found = {field.name: getattr(roles, field.name) for field in fields(roles)}
    named = {
        part: ", ".join(map(str, value)) if part == "rest" else str(value) for part, value in found.items() if value
    }
    assert named == parts


@settings(max_examples=examples(200), derandomize=True, deadline=None)
@given(links(most_trips=10**6, largest=9))
def test_every_loop_with_several_indices_has_one_part(link: tuple[GConv, Shape, tuple[Shape, ...]]) -> None:
    spec = link[0]
    roles = assign_roles(spec)
    parts = [getattr(roles, field.name) for field in fields(Roles) if field.name != "rest"]
    given_out = [*(loop for loop in parts if loop is not None), *roles.rest]
    if roles.slide is not None and roles.slide == roles.rows_out:
        given_out.remove(roles.slide)
    several = {Loop(dim.name, kind) for dim in spec.dims for kind in LoopKind if spec.worked(dim, kind) > 1}
    assert len(given_out) == len(set(given_out))
    assert set(given_out) == several
    kinds = {
        "images": {LoopKind.OPC}, "rows_out": {LoopKind.OPC}, "slide": {LoopKind.OPC}, "filters": {LoopKind.OP},
        "channels": {LoopKind.KS}, "rows_kernel": {LoopKind.KS}, "slide_kernel": {LoopKind.KS},
        "groups": {LoopKind.G, LoopKind.OPC} if spec.main == PASS else {LoopKind.G},
    }  # fmt: skip
    assert all(loop is None or loop.kind in kinds[part] for part, loop in vars(roles).items() if part != "rest")


@pytest.mark.parametrize(
    ("dims", "rows", "slide", "images"),
    [
        ((Dim("N", opc=4), Dim("C", op=8, ks=4), Dim("H", opc=7), Dim("W", opc=9)), "H", "W", "N"),
        ((Dim("N", opc=4), Dim("C", op=8, ks=4), Dim("HW", opc=63)), "HW", "HW", "N"),
        ((Dim("M", opc=7), Dim("N", opc=9), Dim("C", op=8, ks=4)), "N", "N", "M"),
        ((Dim("C", op=8, ks=4), Dim("H", opc=7, ks=3), Dim("W", opc=9)), "H", "W", None),
    ],
    ids=["strides", "one dimension", "before the channels", "a window"],
)
def test_positions_in_nests(dims: tuple[Dim, ...], rows: str, slide: str, images: str | None) -> None:
    roles = roles_in_nest(GConv(dims, "mul", Reduce.ADD))
    assert roles.rows_out == Loop(rows, LoopKind.OPC)
    assert roles.slide == Loop(slide, LoopKind.OPC)
    assert roles.images == (Loop(images, LoopKind.OPC) if images else None)
    assert roles.filters == Loop("C", LoopKind.OP)
    assert not roles.rest
