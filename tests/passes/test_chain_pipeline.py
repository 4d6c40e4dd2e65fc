"""All passes on gconv chains together: what they leave, how long the chains of known networks become."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from onnx import TensorProto, helper
from xdsl.dialects.builtin import ModuleOp

from compiler.importer import import_model
from compiler.stages import stage_named
from dialects.gconv import LinkOp
from dialects.gconv.interpreter import Interpreter
from dialects.target import MachineOp
from passes.statistics import chain_statistics
from passes.verification import verify_module
from tests.end_to_end.networks import inputs_of, reference_outputs
from tests.examples import examples
from tests.filechecking import print_module, run_passes
from tests.passes.chains import Chain, assert_close, check_pass, random_chains
from tests.passes.mapping.machines import EYERISS
from tests.passes.random_networks import random_networks

PASSES = stage_named("fused").passes


def _without_names(module: Chain) -> str:
    """The text of a module whose dimensions of copies are called alike: what they are called means nothing."""
    return re.sub(r"\b(d\d+)+\b", "d", print_module(module))


@pytest.mark.parametrize("name", PASSES)
def test_every_pass_ends_in_one_sweep(name: str) -> None:
    @settings(derandomize=True, deadline=None, max_examples=examples(30))
    @given(random_chains())
    def check(module: Chain) -> None:
        run_passes(module, name)
        once = _without_names(module)
        run_passes(module, name)
        assert _without_names(module) == once

    check()


@settings(derandomize=True, deadline=None, max_examples=examples(60))
@given(random_chains())
def test_the_pipeline_keeps_the_meaning(module: Chain) -> None:
    check_pass(module, ",".join(PASSES), 1e-12)


@settings(derandomize=True, deadline=None, max_examples=examples(150))
@given(random_networks())
def test_a_random_network_computes_what_onnx_runtime_does(model: onnx.ModelProto) -> None:
    module = on_eyeriss(import_model(model))
    run_passes(module, ",".join(("fold-constants", "lower-onnx", *PASSES)))
    inputs = inputs_of(model)
    found = Interpreter(module).run(inputs)
    for name, expected in reference_outputs(model, inputs).items():
        assert_close(found[name], expected, 1e-4)


def light_model(name: str) -> Path:
    """A network that the onnx package brings for its own tests."""
    path = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / f"light_{name}.onnx"
    if not path.exists():
        pytest.skip(f"this onnx package has no {path.name}")
    return path


@pytest.mark.parametrize(
    ("name", "lowered", "fused", "contractions", "mega_words"),
    # Words are those that links read and write: the traffic of a chain that keeps nothing on the chip.
    [
        pytest.param("bvlc_alexnet", 25, 15, 8, 63.92, marks=pytest.mark.exhaustive),
        ("zfnet512", 25, 15, 8, 95.03),
        ("inception_v1", 136, 76, 58, 20.48),
        pytest.param("inception_v2", 362, 85, 70, 25.02, marks=pytest.mark.exhaustive),
        ("resnet50", 177, 58, 54, 52.86),
        pytest.param("densenet121", 610, 188, 121, 52.94, marks=pytest.mark.exhaustive),
        ("squeezenet", 59, 32, 26, 7.41),
        ("shufflenet", 169, 57, 50, 9.65),
        pytest.param("vgg19", 45, 26, 19, 176.60, marks=pytest.mark.exhaustive),
    ],
)
def test_chain_lengths(name: str, lowered: int, fused: int, contractions: int, mega_words: float) -> None:
    module = on_eyeriss(import_model(light_model(name)))
    run_passes(module, "fold-constants,lower-onnx")
    before = chain_statistics(module)
    run_passes(module, ",".join(PASSES))
    verify_module(module)
    after = chain_statistics(module)
    assert before.links <= lowered
    assert after.links <= fused
    assert after.mac_links == before.mac_links == contractions
    assert after.mac_trips == before.mac_trips
    assert after.words / 1e6 < mega_words + 0.01
    links = [op for op in module.walk() if isinstance(op, LinkOp)]
    assert max(len(link.nest.data) for link in links) <= 4
    # What the networks need of the machine: less than it has (`backends/eyeriss/target.toml`).
    assert all(len(link.spec.pre) <= 1 and not link.spec.mid for link in links)
    assert all(len(link.spec.post) <= 3 and len(link.extras) <= 1 for link in links)


@pytest.mark.parametrize(("rows", "links"), [(1, 2), (100, 3)])
def test_a_softmax_is_two_links_or_three_by_what_they_move(rows: int, links: int) -> None:
    """2 links move 2 words more for each element, which 24000 words across the link in 100 us must cover."""
    module = on_eyeriss(node_module("Softmax", {"x": (rows, 1000)}))
    assert fused_links(module) == links


def test_a_layer_normalisation_with_an_activation_needs_what_eyeriss_has() -> None:
    for rows, links in ((1, 2), (100, 3)):
        nodes = [("LayerNormalization", ["x", "s", "b"], "n"), ("Relu", ["n"], "y")]
        module = on_eyeriss(chain_module(nodes, {"x": (rows, 768), "s": (768,), "b": (768,)}))
        assert fused_links(module) == links
        last = [op for op in module.walk() if isinstance(op, LinkOp)][-1]
        assert len(last.spec.post) == (6 if links == 2 else 4)
        assert len(last.extras) == 3


def on_eyeriss(module: ModuleOp) -> ModuleOp:
    """The module, compiled for the chip."""
    first = module.body.block.first_op
    assert first is not None
    module.body.block.insert_op_before(MachineOp.of(EYERISS), first)
    return module


def chain_module(nodes: list[tuple[str, list[str], str]], inputs: dict[str, tuple[int, ...]]) -> ModuleOp:
    """A network of nodes (operator, inputs, output), whose last output is the result."""
    made = [helper.make_node(kind, sources, [result], name=result) for kind, sources, result in nodes]
    shape = inputs[nodes[0][1][0]]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, extents) for name, extents in inputs.items()]
    result = helper.make_tensor_value_info(nodes[-1][2], TensorProto.FLOAT, shape)
    graph = helper.make_graph(made, "g", values, [result])
    return import_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


def node_module(kind: str, inputs: dict[str, tuple[int, ...]]) -> ModuleOp:
    """A network of one node."""
    return chain_module([(kind, list(inputs), "y")], inputs)


def fused_links(module: ModuleOp) -> int:
    """How many links a network has after stage `fused`."""
    run_passes(module, ",".join(("fold-constants", "lower-onnx", *PASSES)))
    return chain_statistics(module).links


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_a_network_computes_the_same(name: str) -> None:
    module = import_model(light_model(name))
    run_passes(module, "fold-constants,lower-onnx")
    words = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    inputs = {"data_0": words, "gpu_0/data_0": words}
    first = Interpreter(module)
    first.run(inputs)
    run_passes(module, ",".join(PASSES))
    second = Interpreter(module)
    second.run(inputs)
    shared = first.tensors.keys() & second.tensors.keys()
    assert len(shared) > 10
    for tensor in shared:
        assert_close(second.tensors[tensor].reshape(-1), first.tensors[tensor].reshape(-1), 1e-4)
