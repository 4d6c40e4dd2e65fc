"""MatMul, Gemm and Einsum against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.passes.lower_onnx.models import check, links_in, normal, one_node

pytest.importorskip("onnxruntime")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3, 4), (4, 5)),
        ((4,), (4, 5)),
        ((3, 4), (4,)),
        ((4,), (4,)),
        ((2, 3, 4), (4, 5)),
        ((3, 4), (2, 4, 5)),
        ((2, 1, 3, 4), (5, 4, 2)),
        ((2, 5, 3, 4), (2, 5, 4, 2)),
        ((1, 3, 4), (6, 4, 2)),
        ((4,), (2, 4, 3)),
        ((2, 3, 4), (4,)),
        ((1, 1), (1, 1)),
    ],
)
@pytest.mark.parametrize("opset", [7, 9, 13])
@pytest.mark.parametrize("constant", [True, False])
def test_matmul_broadcasts_like_numpy(a, b, opset, constant):
    inputs, others = {"a": normal(*a)}, {"b": normal(*b, seed=1)}
    model = one_node("MatMul", inputs if constant else inputs | others, others if constant else {}, opset=opset)
    check(model, inputs if constant else inputs | others, links=1)


def test_integer_matmul():
    inputs = {"a": np.arange(6, dtype=np.int32).reshape(2, 3), "b": np.arange(12, dtype=np.int32).reshape(3, 4)}
    check(one_node("MatMul", inputs), inputs, links=1)


C_SHAPES = (None, (), (1,), (5,), (1, 5), (3, 1), (3, 5))


@settings(max_examples=examples(60), derandomize=True, deadline=None)
@given(
    st.sampled_from(C_SHAPES),
    st.sampled_from((1.0, 0.5, -2.0)),
    st.sampled_from((1.0, 0.25, 0.0, 3.0)),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from((7, 9, 11, 13)),
)
def test_gemm(c_shape, alpha, beta, trans_a, trans_b, constant, opset):
    if c_shape is None and opset < 11:
        c_shape = (5,)
    inputs = {"a": normal(*((4, 3) if trans_a else (3, 4)))}
    others = {"b": normal(*((5, 4) if trans_b else (4, 5)), seed=1)}
    others |= {} if c_shape is None else {"c": normal(*c_shape, seed=2)}
    attributes = {"alpha": alpha, "beta": beta, "transA": int(trans_a), "transB": int(trans_b)}
    feeds = inputs if constant else inputs | others
    check(one_node("Gemm", feeds, others if constant else {}, opset=opset, **attributes), feeds, links=1)


def test_a_fully_connected_layer_names_rows_contraction_and_columns():
    inputs = {"x": normal(2, 6)}
    constants = {"w": normal(4, 6), "b": normal(4)}
    (link,) = links_in(check(one_node("Gemm", inputs, constants, transB=1), inputs, links=1))
    assert str(link.nest) == "#gconv.nest<M opc 2, K ks 6, N op 4>"
    assert str(link.post) == "#gconv.steps<add[0]>"


@pytest.mark.parametrize(
    ("equation", "shapes", "links"),
    [
        ("ij,jk->ik", [(2, 3), (3, 4)], 1),
        ("ij,jk", [(2, 3), (3, 4)], 1),
        ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)], 1),
        ("bhid,bhjd->bhij", [(2, 3, 4, 5), (2, 3, 6, 5)], 1),
        ("i,j->ij", [(3,), (4,)], 1),
        ("i,i->", [(3,), (3,)], 1),
        ("i,i->i", [(3,), (3,)], 1),
        ("ij->ji", [(2, 3)], 1),
        ("ij->j", [(2, 3)], 1),
        ("ii->i", [(3, 3)], 1),
        ("ii->", [(3, 3)], 1),
        ("...ii->...i", [(2, 3, 3)], 1),
        ("...ij,...jk->...ik", [(2, 1, 3, 4), (1, 5, 4, 2)], 1),
        ("ijk,jil->kl", [(2, 3, 4), (3, 2, 5)], 1),
        ("ijm,jk->ik", [(2, 3, 4), (3, 5)], 2),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)], 2),
        ("b...,b->...", [(3, 2, 2), (3,)], 1),
        ("ij, ij", [(2, 3), (2, 3)], 1),
    ],
)
def test_einsum(equation, shapes, links):
    inputs = {f"x{index}": normal(*shape, seed=index) for index, shape in enumerate(shapes)}
    check(one_node("Einsum", inputs, opset=12, equation=equation), inputs, links=links)
