"""Control flow at import: branches that are taken, loops that are unrolled, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from compiler.importer import import_model, inlining
from dialects.diagnostics import CatenaError, Diagnostic, ExitCode
from dialects.gconv.interpreter import Interpreter
from dialects.locations import node_names
from dialects.onnx.verification import inference_problems
from passes.verification import verify_module
from tests.onnx_models import onnx_ops, returned_arrays
from tests.passes.lower_onnx.models import check

X = np.arange(6, dtype=np.float32).reshape(2, 3) - 2


def parsed(graph: str, opset: int = 17, constants: Mapping[str, np.ndarray] | None = None) -> onnx.ModelProto:
    """A model of a graph in ONNX's text form, with these initializers."""
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {graph}')
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in (constants or {}).items())
    return model


def names_in(model: onnx.ModelProto) -> list[str]:
    module = import_model(model)
    verify_module(module, stage="import")
    assert not [problem for op in onnx_ops(module) for problem in inference_problems(op)]
    return [node_names(op.location)[0] for op in onnx_ops(module)]


def refusal(model: onnx.ModelProto) -> Diagnostic:
    with pytest.raises(CatenaError) as caught:
        import_model(model)
    (problem,) = caught.value.diagnostics
    return problem


BRANCHES = """
agraph (float[2, 3] x) => (float[2, 3] y) {
    a = Relu (x)
    [choice] b = If (condition) <
        then_branch = yes () => (float[2, 3] r) { [add] r = Add (a, one) },
        else_branch = no () => (float[2, 3] r) { [half] h = Mul (a, two) [less] r = Sub (h, x) }
    >
    y = Neg (b)
}
"""
NUMBERS = {"one": np.float32(1), "two": np.float32(2), "three": np.int64(3)}


@pytest.mark.parametrize(("condition", "expected"), [(True, ["choice/add"]), (False, ["choice/half", "choice/less"])])
def test_an_if_takes_its_branch(condition: bool, expected: list[str]) -> None:
    model = parsed(BRANCHES, constants={**NUMBERS, "condition": np.array(condition)})
    assert names_in(model)[1:-1] == expected
    check(model, {"x": X})


def test_the_condition_may_follow_from_shapes() -> None:
    graph = BRANCHES.replace("a = Relu (x)", "a = Relu (x) n = Size (x) condition = Less (three, n)")
    model = parsed(graph, constants=NUMBERS)
    assert names_in(model)[1] == "choice/add"
    check(model, {"x": X})


def test_operators_of_the_other_branch_do_not_matter() -> None:
    model = parsed(BRANCHES.replace("Sub (h, x)", "Unknown (h, x)"), constants={**NUMBERS, "condition": np.array(True)})
    names_in(model)
    other = parsed(
        BRANCHES.replace("Sub (h, x)", "Unknown (h, x)"), constants={**NUMBERS, "condition": np.array(False)}
    )
    assert (refusal(other).code, refusal(other).node) == ("CAT-U001", "less")


def test_a_condition_that_depends_on_data_is_refused() -> None:
    graph = BRANCHES.replace("a = Relu (x)", "a = Relu (x) s = ReduceSum <keepdims = 0> (x) condition = Less (one, s)")
    problem = refusal(parsed(graph, constants=NUMBERS))
    assert (problem.code, problem.node) == ("CAT-U004", "choice")
    assert "the condition of If depends on the input data" in problem.message
    assert "'condition'" in problem.found
    with pytest.raises(CatenaError) as caught:
        import_model(parsed(graph, constants=NUMBERS))
    assert caught.value.exit_code is ExitCode.UNSUPPORTED


def test_a_branch_may_return_a_tensor_of_the_outer_graph_or_a_constant() -> None:
    graph = """
    agraph (float[2, 3] x) => (float[2, 3] y, float[1] z) {
        a = Relu (x)
        b, z = If (condition) <
            then_branch = yes () => (float[2, 3] r, float[1] s) {
                r = Identity (a) s = Constant <value_floats = [5.0]> ()
            },
            else_branch = no () => (float[2, 3] r, float[1] s) { r = Neg (a) s = Constant <value_floats = [6.0]> () }
        >
        y = Neg (b)
    }
    """
    for condition in (True, False):
        check(parsed(graph, constants={"condition": np.array(condition)}), {"x": X})


LOOP = """
agraph (float[2, 3] x) => (float[2, 3] y, float[k, 2, 3] all) {
    [loop] y, all = Loop (count, condition, x) <
        body = step (int64 i, bool c, float[2, 3] s) => (bool go, float[2, 3] t, float[2, 3] u) {
            [fall] f = Cast <to = 1> (i)
            [scale] h = Mul (s, two)
            [shift] t = Add (h, f)
            [out] u = Sub (t, x)
            go = Identity (c)
        }
    >
}
"""


def test_a_loop_is_unrolled() -> None:
    model = parsed(LOOP, constants={**NUMBERS, "count": np.int64(3), "condition": np.array(True)})
    names = names_in(model)
    steps = [name for name in names if "@" in name and "stack" not in name]
    assert steps == [f"loop/{node}@{step}" for step in range(3) for node in ("scale", "shift", "out")]
    check(model, {"x": X})


def test_the_outputs_of_an_unrolled_loop_keep_their_names() -> None:
    model = parsed(LOOP, constants={**NUMBERS, "count": np.int64(2), "condition": np.array(True)})
    outputs = [name for op in onnx_ops(import_model(model)) for name in op.output_names]
    assert "y" in outputs
    assert "all" in outputs
    assert "loop/t@0" in outputs
    assert len(set(outputs)) == len(outputs)


@pytest.mark.parametrize("opset", [11, 13, 16, 19, 21])
def test_loops_of_every_version(opset: int) -> None:
    check(parsed(LOOP, opset, {**NUMBERS, "count": np.int64(2), "condition": np.array(True)}), {"x": X})


def test_a_loop_without_trips_returns_what_it_was_given() -> None:
    graph = LOOP.replace("float[k, 2, 3] all", "float[0, 2, 3] all")
    model = parsed(graph, constants={**NUMBERS, "count": np.int64(0), "condition": np.array(True)})
    assert names_in(model) == []
    model = parsed(graph, constants={**NUMBERS, "count": np.int64(4), "condition": np.array(False)})
    assert names_in(model) == []


def test_a_loop_without_trips_whose_outputs_have_no_shape() -> None:
    graph = LOOP.replace("float[2, 3] u", "float[m, 3] u")
    problem = refusal(parsed(graph, constants={**NUMBERS, "count": np.int64(0), "condition": np.array(True)}))
    assert (problem.code, problem.node) == ("CAT-U002", "loop/stack.0")


UNTIL = """
agraph (float[2, 3] x) => (float[2, 3] y) {
    [loop] y = Loop (count, condition, x) <
        body = step (int64 i, bool c, float[2, 3] s) => (bool go, float[2, 3] t) {
            [add] t = Add (s, one)
            go = Less (i, three)
        }
    >
}
"""


@pytest.mark.parametrize("count", ["", "many"])
@pytest.mark.parametrize("condition", ["", "yes"])
def test_the_condition_ends_a_loop(count: str, condition: str) -> None:
    model = parsed(UNTIL, constants={**NUMBERS, "many": np.int64(2**62), "yes": np.array(True)})
    del model.graph.node[0].input[:]
    model.graph.node[0].input.extend([count, condition, "x"])
    assert names_in(model) == [f"loop/add@{step}" for step in range(4)]
    check(model, {"x": X})


def test_a_condition_of_rank_one() -> None:
    graph = UNTIL.replace("int64 i, bool c", "int64[1] i, bool[1] c").replace("bool go", "bool[1] go")
    model = parsed(graph, constants={**NUMBERS, "count": np.array([9]), "condition": np.array([True])})
    assert len(names_in(model)) == 4
    check(model, {"x": X})


def test_a_trip_count_that_depends_on_data_is_refused() -> None:
    graph = LOOP.replace("float[2, 3] x)", "float[2, 3] x, int64 count)")
    problem = refusal(parsed(graph, constants={**NUMBERS, "condition": np.array(True)}))
    assert (problem.code, problem.node) == ("CAT-U004", "loop")
    assert problem.message == "the trip count of Loop depends on the input data"
    assert "'count'" in problem.found


def test_the_declared_shape_of_what_a_loop_collects_is_its_trip_count() -> None:
    graph = """
    agraph (float[2, 3] x, int64 count, bool go) => (float[2, 3] y, float[3, 2, 3] all) {
        [loop] y, all = Loop (count, go, x) <
          body = trip (int64 i, bool c, float[2, 3] a) => (bool on, float[2, 3] b, float[2, 3] s) {
            on = Identity (c)
            b = Add (a, one)
            s = Mul (b, two)
        }>
    }
    """
    model = parsed(graph, constants=NUMBERS)
    for x in (X, X + 1):
        module = check(model, {"x": x, "count": np.array(3), "go": np.array(True)})
    chain = Interpreter(module)
    for count, go in ((2, True), (4, True), (3, False)):
        with pytest.raises(CatenaError, match="another shape than the model declares"):
            chain.run({"x": X, "count": np.array(count), "go": np.array(go)})


def test_a_loop_that_ends_when_data_say_so_is_refused() -> None:
    graph = UNTIL.replace("go = Less (i, three)", "m = ReduceMax <keepdims = 0> (t) go = Less (m, one)")
    problem = refusal(parsed(graph, constants={**NUMBERS, "count": np.int64(9), "condition": np.array(True)}))
    assert (problem.code, problem.node) == ("CAT-U004", "loop")
    assert "loop/go@0" in problem.found


def test_what_the_condition_says_after_the_last_trip_does_not_matter() -> None:
    graph = UNTIL.replace("go = Less (i, three)", "m = ReduceMax <keepdims = 0> (t) go = Less (m, one)")
    model = parsed(graph, constants={**NUMBERS, "count": np.int64(1), "condition": np.array(True)})
    check(model, {"x": X})


def test_a_loop_of_constants_only_folds() -> None:
    graph = """
    agraph () => (float[2, 3] y, float[4, 2, 3] all) {
        [loop] y, all = Loop (count, condition, x) <
            body = step (int64 i, bool c, float[2, 3] s) => (bool c, float[2, 3] t, float[2, 3] u) {
                t = Mul (s, two)
                u = Sub (t, x)
            }
        >
    }
    """
    model = parsed(graph, constants={**NUMBERS, "x": X, "count": np.int64(4), "condition": np.array(True)})
    last, every = returned_arrays(import_model(model))
    np.testing.assert_array_equal(last, X * 16)
    np.testing.assert_array_equal(every, np.stack([X * 2**n - X for n in range(1, 5)]))


def test_shapes_may_change_from_trip_to_trip() -> None:
    graph = """
    agraph (float[2, 3] x) => (float[n, 3] y) {
        [loop] y = Loop (count, condition, x) <
            body = step (int64 i, bool c, float[m, 3] s) => (bool d, float[k, 3] t) {
                d = Identity (c)
                t = Concat <axis = 0> (s, x)
            }
        >
    }
    """
    check(parsed(graph, constants={"count": np.int64(3), "condition": np.array(True)}), {"x": X})


NESTED = """
agraph (float[2, 3] x) => (float[2, 3] y) {
    [outer] y = Loop (two_times, condition, x) <
        body = step (int64 i, bool c, float[2, 3] s) => (bool go, float[2, 3] t) {
            [scale] h = Mul (s, two)
            [inner] t = Loop (three, c, h) <
                body = small (int64 j, bool d, float[2, 3] p) => (bool again, float[2, 3] q) {
                    [which] e = Equal (i, j)
                    [choice] q = If (e) <
                        then_branch = yes () => (float[2, 3] r) { [add] r = Add (p, s) },
                        else_branch = no () => (float[2, 3] r) { [mul] r = Mul (p, h) }
                    >
                    again = Identity (d)
                }
            >
            go = Identity (c)
        }
    >
}
"""


def test_nested_bodies_see_the_values_around_them() -> None:
    model = parsed(NESTED, constants={**NUMBERS, "two_times": np.int64(2), "condition": np.array(True)})
    names = names_in(model)
    assert names[:3] == ["outer/scale@0", "outer/inner@0/choice@0/add", "outer/inner@0/choice@1/mul"]
    assert names[4:6] == ["outer/scale@1", "outer/inner@1/choice@0/mul"]
    check(model, {"x": X})


def test_names_stay_unique() -> None:
    graph = LOOP.replace("agraph (float[2, 3] x) => (", "agraph (float[2, 3] x) => (float[2, 3] copy, ").replace(
        "[loop] y", "[taken] w = Neg (x) [other] copy = Abs (w) [loop] y"
    )
    model = parsed(graph, constants={**NUMBERS, "count": np.int64(2), "condition": np.array(True)})
    model.graph.node[0].name = "loop/shift@1"
    model.graph.node[0].output[0] = model.graph.node[1].input[0] = "loop/t@0"
    names = names_in(model)
    assert len(set(names)) == len(names)
    assert "loop/shift@1#2" in names
    check(model, {"x": X})


def test_names_may_repeat_in_bodies() -> None:
    """Inner names may be those of other bodies, which each have a scope of their own."""
    graph = """
    agraph (float[2, 3] x) => (float[2, 3] y) {
        [first] a = If (condition) <
            then_branch = yes () => (float[2, 3] r) { [n] q = Neg (x) [m] r = Abs (q) },
            else_branch = no () => (float[2, 3] r) { r = Identity (x) }
        >
        [second] y = If (condition) <
            then_branch = yes () => (float[2, 3] r) { [n] q = Exp (a) [m] r = Neg (q) },
            else_branch = no () => (float[2, 3] r) { r = Identity (x) }
        >
    }
    """
    model = parsed(graph, constants={"condition": np.array(True)})
    assert names_in(model) == ["first/n", "first/m", "second/n", "second/m"]
    check(model, {"x": X})


def test_initializers_of_bodies() -> None:
    model = parsed(
        LOOP.replace("Mul (s, two)", "Mul (s, own)"), constants={"count": np.int64(3), "condition": np.array(True)}
    )
    body = model.graph.node[0].attribute[0].g
    body.initializer.append(numpy_helper.from_array(np.float32([2, 3, 4]), "own"))
    check(model, {"x": X})


def test_nodes_are_ordered_by_what_their_bodies_use() -> None:
    model = parsed(BRANCHES, constants={**NUMBERS, "condition": np.array(True)})
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([nodes[1], nodes[0], nodes[2]])
    assert names_in(model)[:2] == ["Relu_1", "choice/add"]


def test_too_many_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compiler.importer.building.UNROLL_LIMIT", 100)
    endless = parsed(
        UNTIL.replace("Less (i, three)", "Identity (c)"), constants={**NUMBERS, "condition": np.array(True)}
    )
    endless.graph.node[0].input[0] = ""
    problem = refusal(endless)
    assert (problem.code, problem.node) == ("CAT-U004", "loop")
    assert problem.expected == "at most 100 nodes in all unrolled loops"


def test_the_limit_is_out_of_reach_of_ordinary_loops() -> None:
    assert inlining.UNROLL_LIMIT >= 10_000


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("bool c, float[2, 3] s", "float[2, 3] s", "3 inputs and 2 outputs"),
        ("(bool go, float[2, 3] t)", "(bool go)", "3 inputs and 2 outputs"),
    ],
)
def test_bodies_that_do_not_fit(old: str, new: str, message: str) -> None:
    graph = UNTIL.replace(old, new)
    problem = refusal(parsed(graph, constants={**NUMBERS, "count": np.int64(9), "condition": np.array(True)}))
    assert (problem.code, problem.node, problem.expected) == ("CAT-M001", "loop", message)


def test_bodies_that_use_what_nobody_makes() -> None:
    problem = refusal(
        parsed(UNTIL, constants={"three": np.int64(3), "count": np.int64(9), "condition": np.array(True)})
    )
    assert (problem.code, problem.node) == ("CAT-M001", "loop")
    assert "'one' is not made by anything" in problem.message


def test_a_problem_in_a_body_shows_once() -> None:
    graph = UNTIL.replace("Add (s, one)", "Concat <axis = 5> (s, s)")
    problem = refusal(parsed(graph, constants={**NUMBERS, "count": np.int64(9), "condition": np.array(True)}))
    assert (problem.code, problem.node) == ("CAT-M003", "loop/add@0")


def test_old_opsets_with_bodies_are_refused() -> None:
    problem = refusal(parsed(UNTIL, 6, {**NUMBERS, "count": np.int64(9), "condition": np.array(True)}))
    assert (problem.code, problem.node) == ("CAT-U005", "loop")


def scan_model(opset: int = 17, **attributes: object) -> onnx.ModelProto:
    """A running sum over two sequences; the second output is a function of the sum."""
    body = onnx.parser.parse_graph(
        """
        step (float[4] s, float[4] a, float[4] b) => (float[4] t, float[4] u, float[4] v) {
            [product] p = Mul (a, b)
            [sum] t = Add (s, p)
            [shown] u = Neg (t)
            [other] v = Sub (p, s)
        }
        """
    )
    node = helper.make_node(
        "Scan", ["start", "x", "y"], ["last", "shown", "other"], "scan", body=body, num_scan_inputs=2, **attributes
    )
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info(name, 1, None) for name in ("start", "x", "y")],
        [helper.make_tensor_value_info(name, 1, None) for name in ("last", "shown", "other")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def shaped(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    for value in model.graph.input:
        value.CopyFrom(helper.make_tensor_value_info(value.name, 1, feeds[value.name].shape))
    return model


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("opset", [9, 11, 16, 19, 21])
def test_scans_of_every_version(opset: int) -> None:
    feeds = {"start": drawn(4), "x": drawn(5, 4), "y": drawn(5, 4)[::-1].copy()}
    model = shaped(scan_model(opset), feeds)
    names = names_in(model)
    assert "scan/sum@4" in names
    check(model, feeds)


def test_a_scan_with_axes_and_directions() -> None:
    feeds = {"start": drawn(4), "x": drawn(4, 5), "y": drawn(5, 4)}
    attributes = {
        "scan_input_axes": [1, -2],
        "scan_input_directions": [0, 1],
        "scan_output_axes": [-1, 0],
        "scan_output_directions": [1, 0],
    }
    check(shaped(scan_model(**attributes), feeds), feeds)


def test_a_scan_with_a_batch() -> None:
    feeds = {"start": drawn(2, 4), "x": drawn(2, 3, 4), "y": drawn(2, 3, 4) + 1}
    model = shaped(scan_model(8), feeds)
    model.graph.node[0].input.insert(0, "")
    model.graph.node[0].attribute.append(helper.make_attribute("directions", [1, 0]))
    names = names_in(model)
    assert "scan/sum@1@2" in names
    check(model, feeds)


def test_sequences_of_different_lengths() -> None:
    feeds = {"start": drawn(4), "x": drawn(5, 4), "y": drawn(6, 4)}
    problem = refusal(shaped(scan_model(), feeds))
    assert (problem.code, problem.node) == ("CAT-M003", "scan")
    assert problem.found == "[5, 4], [6, 4]"
