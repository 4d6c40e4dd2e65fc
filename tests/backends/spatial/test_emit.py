"""Emitting: tables of the program, names, predictions, regions of the debug map."""

from __future__ import annotations

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp, StringAttr, TensorType, f32
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Region

from backends.eyeriss import BACKEND
from backends.program import Role, target_digest
from backends.spatial.emit import emit
from backends.spatial.isa import ISA
from backends.spatial.isa import Layer as LayerInstruction
from dialects.diagnostics import CatenaError
from dialects.events import Counts
from dialects.gconv import Dim, GConv, LinkOp, Reduce, Step
from dialects.gconv.interpreter import main_function
from dialects.locations import node_location
from dialects.spatial import LayerOp, PassOp
from dialects.target import MachineOp
from dialects.weights import ConstantOp
from tests.backends.spatial.layers import MACHINES, Layer, compile_chain, integers, lowered, names, steps

RELU = GConv((Dim("A", opc=2), Dim("B", opc=3)), post=steps("relu"))
BIAS = GConv((Dim("A", opc=2), Dim("B", opc=3)), post=steps(("add", 0)))


def chain(*specs: GConv, nodes: tuple[str, ...], tensors: tuple[str | None, ...]) -> ModuleOp:
    """Links over [2, 3], one after the other; an extra operand is a constant."""
    kind = TensorType(f32, (2, 3))
    block = Block(arg_types=[kind])
    value = block.args[0]
    for spec, node, tensor in zip(specs, nodes, tensors, strict=True):
        extras = []
        if any(step.operand is not None for step in spec.post):
            extras = [ConstantOp.of(integers((1, 3), len(block.ops)))]
            extras[0].location = node_location(f"weights of {node}")
            block.add_ops(extras)
        link = LinkOp.of(spec, value, None, [extra.result for extra in extras], tensor=tensor)
        link.location = node_location(node)
        block.add_op(link)
        value = link.result
    block.add_op(ReturnOp(value))
    function = FuncOp("main", ([kind], [kind]), Region(block), arg_attrs=names("x"), res_attrs=names("y"))
    module = ModuleOp([MachineOp.of(MACHINES["tiny"]), function])
    module.attributes["catena.model"] = StringAttr("some model")
    return module


def test_layers_and_tensors_have_names_of_their_own() -> None:
    module = chain(RELU, BIAS, RELU, nodes=("n", "n", "m"), tensors=("x", "t", None))
    program = emit(lowered(module), "eyeriss")
    assert [layer.name for layer in program.layers] == ["n", "n#2", "m"]
    assert [layer.nodes for layer in program.layers] == [("n",), ("n",), ("m",)]
    named = {tensor.role: tensor for tensor in program.tensors}
    # The user's names are the user's; what is inside gives way.
    assert named[Role.INPUT].name == "x"
    assert named[Role.OUTPUT].name == "y"
    assert [each.name for each in program.tensors if each.role is Role.INTERMEDIATE] == ["x#2", "t"]
    assert named[Role.CONSTANT].name == "weights of n"


def test_the_tables_say_where_tensors_are_and_who_made_them() -> None:
    program = emit(lowered(chain(BIAS, RELU, nodes=("a", "b"), tensors=("t", None))), "eyeriss")
    tensors = {tensor.name: tensor for tensor in program.tensors}
    weights, x, t, y = (tensors[name] for name in ("weights of a", "x", "t", "y"))
    assert (weights.address, weights.words, weights.shape, weights.role) == (0, 3, (1, 3), Role.CONSTANT)
    assert [each.produced_by for each in (weights, x, t, y)] == ["", "", "a", "b"]
    assert [each.onnx for each in (x, t, y)] == ["x", "t", "y"]
    assert [(layer.inputs, layer.outputs) for layer in program.layers] == [
        (("x", "weights of a"), ("t",)),
        (("t",), ("y",)),
    ]
    spans = [range(each.address, each.address + each.words) for each in (weights, x, t)]
    assert all(set(a).isdisjoint(b) for i, a in enumerate(spans) for b in spans[:i])
    (image,) = program.constants
    np.testing.assert_array_equal(image.array(), integers((1, 3), 0).reshape(-1))


def test_the_metadata_say_what_the_program_is_for() -> None:
    metadata = emit(lowered(chain(RELU, nodes=("a",), tensors=(None,))), "eyeriss").metadata
    assert (metadata.backend, metadata.isa, metadata.isa_version, metadata.target) == ("eyeriss", "spatial", 3, "tiny")
    assert metadata.model == "some model"
    assert metadata.model_sha256 == "0" * 64
    assert metadata.target_sha256 == target_digest(metadata.description)


def test_every_layer_is_one_region_that_begins_with_its_instruction() -> None:
    program = emit(lowered(chain(RELU, BIAS, RELU, nodes=("a", "b", "c"), tensors=(None,) * 3)), "eyeriss")
    code = list(ISA.decode(program.code[0]))
    starts = [address for address, each in enumerate(code) if isinstance(each, LayerInstruction)]
    assert [(entry.start, entry.layer) for entry in program.debug] == list(zip(starts, "abc", strict=True))
    assert [entry.end for entry in program.debug] == [*starts[1:], len(code) - 1]


def test_predictions_are_those_in_the_program() -> None:
    module = lowered(chain(RELU, BIAS, nodes=("a", "b"), tensors=(None,) * 2))
    predicted = BACKEND.predict(module)
    program = emit(module, "eyeriss")
    assert predicted.keys() == {layer.name for layer in program.layers}
    for layer in program.layers:
        assert Counts.of(layer.predicted).flat() == predicted[layer.name].flat()


def test_a_layer_without_mapping_runs_unpredicted() -> None:
    module = lowered(chain(RELU, nodes=("a",), tensors=(None,)))
    (op,) = [op for op in main_function(module).body.block.ops if isinstance(op, LayerOp)]
    del op.properties["mapping"]
    program = emit(module, "eyeriss")
    assert (program.layers[0].mapping, program.layers[0].predicted) == ("", {})
    x = np.array([[1, -2, 3], [-4, 5, -6]], np.float32)
    np.testing.assert_array_equal(BACKEND.load(program, None).run({"x": x})["y"], np.maximum(x, 0))


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (GConv((Dim("A", op=2, ks=3), Dim("B", opc=3, ks=2)), "mul", Reduce.ADD), "conv"),
        (GConv((Dim("A", op=2, ks=3),), "mul", Reduce.ADD), "matmul"),
        (GConv((Dim("A", opc=2, ks=2),), "pass", Reduce.MAX), "pool"),
        (GConv((Dim("A", ks=3),), "pass", Reduce.MAX), "reduce"),
        (GConv((Dim("A", opc=3, stride=2),)), "move"),
        (GConv((Dim("A", opc=3),), pre=(Step("relu"),)), "map"),
        (GConv((Dim("A", g=3),), "add"), "map"),
    ],
)
def test_kinds_of_layers(spec: GConv, kind: str) -> None:
    shape = tuple(dim.g * (dim.window[1] + 1) for dim in spec.dims)
    assert compile_chain(Layer.of(spec, shape).module(MACHINES["tiny"])).layers[0].kind == kind


def test_ops_that_do_not_belong_into_a_layer_are_named() -> None:
    module = lowered(chain(RELU, nodes=("a",), tensors=(None,)))
    (op,) = [op for op in main_function(module).body.block.ops if isinstance(op, LayerOp)]
    stray = FuncOp("stray", ([], []))
    stray.location = node_location("lost")
    op.body.block.insert_op_before(stray, next(each for each in op.body.block.walk() if isinstance(each, PassOp)))
    with pytest.raises(CatenaError) as caught:
        emit(module, "eyeriss")
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.node) == ("CAT-R003", "lost")


def test_a_module_without_machine_is_not_placed() -> None:
    module = chain(RELU, nodes=("a",), tensors=(None,))
    next(iter(module.ops)).detach()
    with pytest.raises(CatenaError) as caught:
        emit(module, "eyeriss")
    assert [each.code for each in caught.value.diagnostics] == ["CAT-R003"]
