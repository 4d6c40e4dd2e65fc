"""`catena reduce`: what is left of models that fail, and that it goes on failing."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from compiler.backend_kit.models import SmallModel
from compiler.backend_kit.networks import NETWORKS, build_network
from compiler.compilation import CompileOptions
from compiler.reduction.criteria import diagnosed, problems
from compiler.reduction.parts import known_values, names_read, part_of
from compiler.reduction.reducing import Reduction
from compiler.reduction.shrinking import size_of
from compiler.scaffold.project import write_project
from dialects.diagnostics import ExitCode
from tests.compiler.conftest import Cli
from tests.examples import examples
from tests.onnx_models import onnx_model, onnx_node
from tests.plugin.test_plugin import install

BUILT = {name: build_network(name) for name in NETWORKS}


@pytest.fixture
def unsupported(tmp_path: Path) -> Path:
    """The small classifier, with random numbers in its middle."""
    model = onnx.ModelProto()
    model.CopyFrom(BUILT["classifier"].model)
    nodes = list(model.graph.node)
    middle = nodes[3]
    assert middle.op_type == "Conv"
    noise = onnx_node("Bernoulli", middle.input[0], "noise")
    middle.input[0] = "noise"
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:3], noise, *nodes[3:]])
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    return path


def test_an_error_code_is_kept_with_one_node(unsupported: Path, cli: Cli) -> None:
    done = cli("reduce", unsupported, "--json")
    assert done.code == ExitCode.OK
    result = done.json["result"]
    assert result["finished"]
    assert result["failure"].startswith("CAT-U001")
    assert result["before"]["nodes"] == 10
    small = onnx.load(result["output"])
    assert result["output"] == str(unsupported.with_name("model.reduced.onnx"))
    assert [node.op_type for node in small.graph.node] == ["Bernoulli"]
    assert [dim.dim_value for dim in small.graph.input[0].type.tensor_type.shape.dim] == [1, 1, 1, 1]
    assert not small.graph.initializer
    assert [each.code for each in problems(small, CompileOptions(), verify=False)] == ["CAT-U001"]


def test_a_model_that_does_not_fail_is_refused(cnn: Path, tmp_path: Path, cli: Cli) -> None:
    done = cli("reduce", cnn, "-o", tmp_path / "out.onnx")
    assert done.code == ExitCode.USAGE
    assert "the model does not fail" in done.err
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize("words", [("--code", "CAT-F001"), ("--message", "no such text")])
def test_a_failure_of_another_kind_is_none(unsupported: Path, cli: Cli, words: tuple[str, str]) -> None:
    done = cli("reduce", unsupported, *words)
    assert done.code == ExitCode.USAGE
    assert "CAT-U001" in done.err


WRONG = """        inputs = core.take(Tensor.INPUT, core.operations)
        if any(dim.dilation == 2 for dim in core.layer.dims):
            inputs = inputs + inputs.dtype.type(1)
"""


def test_a_wrong_result_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    pytest.importorskip("onnxruntime")
    write_project("reducing", 1, tmp_path / "project")
    module = tmp_path / "project" / "catena_reducing" / "machine.py"
    text = module.read_text()
    assert WRONG.splitlines()[0] in text
    module.write_text(text.replace(WRONG.splitlines(keepends=True)[0], WRONG))
    (tmp_path / "site").mkdir()
    install(tmp_path / "project", tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    random = np.random.default_rng(2)
    weights = {f"w{n}": random.normal(size=(4, 4, 3, 3)).astype(np.float32) for n in range(3)}
    nodes = [
        onnx_node("Conv", "x w0", "a", pads=[1, 1, 1, 1]),
        onnx_node("Relu", "a", "b"),
        onnx_node("Conv", "b w1", "c", dilations=[2, 2], pads=[2, 2, 2, 2]),
        onnx_node("Sigmoid", "c", "d"),
        onnx_node("Conv", "d w2", "y"),
    ]
    path = tmp_path / "dilated.onnx"
    onnx.save(onnx_model(nodes, {"x": [1, 4, 9, 9]}, "y", weights), path)
    assert cli("reduce", path, "-t", "reducing").code == ExitCode.USAGE
    done = cli("reduce", path, "-t", "reducing", "--verify")
    assert done.code == ExitCode.OK, done.err
    (node,) = onnx.load(path.with_name("dilated.reduced.onnx")).graph.node
    assert node.op_type == "Conv"
    assert [each.name for each in node.attribute if each.name == "dilations"] == ["dilations"]
    assert "CAT-V001" in done.out


SCRIPT = """
import sys
content = open(sys.argv[1], "rb").read()
sys.exit(7 if b"Softmax" in content and b"Gemm" in content else 0)
"""


def test_the_exit_code_of_a_command_is_kept(tmp_path: Path, cli: Cli) -> None:
    script, path = tmp_path / "check.py", tmp_path / "model.onnx"
    script.write_text(SCRIPT)
    onnx.save(BUILT["classifier"].model, path)
    command = shlex.join([sys.executable, str(script), "{}"])
    assert cli("reduce", path, "--command", command).code == ExitCode.OK
    small = onnx.load(path.with_name("model.reduced.onnx"))
    assert [node.op_type for node in small.graph.node] == ["Gemm", "Softmax"]
    assert cli("reduce", path, "--command", f"{sys.executable} -c pass").code == ExitCode.USAGE
    assert cli("reduce", path, "--command", str(tmp_path / "nothing")).code == ExitCode.USAGE
    assert cli("reduce", path, "--command", "x", "--verify").code == ExitCode.USAGE


def softmaxes(model: onnx.ModelProto) -> bool:
    return any(node.op_type == "Softmax" for node in model.graph.node)


def test_an_interrupt_keeps_the_best() -> None:
    whole, kept = BUILT["classifier"].model, list[onnx.ModelProto]()

    def fails(model: onnx.ModelProto) -> bool:
        if len(kept) == 2:
            raise KeyboardInterrupt
        return softmaxes(model)

    reduction = Reduction(whole, fails, kept.append)
    reduction.run()
    assert not reduction.is_finished
    assert len(kept) == 2
    assert reduction.model is kept[-1]
    assert size_of(kept[-1]) < size_of(kept[0]) < size_of(whole)


def test_the_time_limit_ends_with_what_there_is(unsupported: Path, cli: Cli) -> None:
    done = cli("reduce", unsupported, "--time-limit", "0")
    assert done.code == ExitCode.PARTIAL
    assert "stopped before everything was tried" in done.out
    assert len(onnx.load(unsupported.with_name("model.reduced.onnx")).graph.node) == 10


def test_what_is_valid_stays_valid() -> None:
    kept: list[onnx.ModelProto] = []
    reduction = Reduction(
        BUILT["classifier"].model,
        lambda model: any(node.op_type == "MaxPool" for node in model.graph.node),
        kept.append,
    )
    reduction.run()
    for model in kept:
        onnx.checker.check_model(model)
    (node,) = reduction.model.graph.node
    assert "kernel_shape" in [each.name for each in node.attribute]
    assert all(dim.dim_value > 0 for dim in known_values(reduction.model)[node.output[0]].type.tensor_type.shape.dim)


def test_constants_and_attributes_become_plain() -> None:
    def has_convolution(model: onnx.ModelProto) -> bool:
        return any(node.op_type == "Conv" and len(node.input) > 1 for node in model.graph.node)

    reduction = Reduction(BUILT["classifier"].model, has_convolution)
    reduction.run()
    assert reduction.is_finished
    (node,) = reduction.model.graph.node
    assert not node.attribute
    assert reduction.size == (1, 2, 0, 2, 0)


def test_dynamic_inputs_get_their_shapes(tmp_path: Path, cli: Cli) -> None:
    model = onnx_model([onnx_node("Relu", "x", "a"), onnx_node("Bernoulli", "a", "y")], {"x": ["n", 3]}, "y")
    onnx.save(model, tmp_path / "m.onnx")
    assert cli("reduce", tmp_path / "m.onnx", "--batch", "4", "--code", "CAT-U001").code == ExitCode.OK
    (value,) = onnx.load(tmp_path / "m.reduced.onnx").graph.input
    assert all(dim.dim_value for dim in value.type.tensor_type.shape.dim)


def test_graphs_in_attributes_read_from_outside() -> None:
    def graph(name: str, output: str) -> onnx.GraphProto:
        inner = [onnx_node("Add", "outside inside", output)]
        inner.insert(0, helper.make_node("Constant", [], ["inside"], value_float=1.0))
        return helper.make_graph(inner, name, [], [helper.make_tensor_value_info(output, TensorProto.FLOAT, [2])])

    node = onnx_node("If", "which", "y", then_branch=graph("yes", "a"), else_branch=graph("no", "b"))
    assert set(names_read(node)) == {"which", "outside"}


@given(st.sampled_from(sorted(NETWORKS)), st.data())
@settings(max_examples=examples(30), deadline=None, derandomize=True)
def test_a_part_computes_what_the_whole_computes_there(name: str, data: st.DataObject) -> None:
    small = BUILT[name]
    count = len(small.model.graph.node)
    kept = data.draw(st.sets(st.integers(0, count - 1), min_size=1))
    part = part_of(small.model, kept, known_values(small.model))
    assert part is not None
    onnx.checker.check_model(part)
    assert [node.name for node in part.graph.node] == [small.model.graph.node[n].name for n in sorted(kept)]
    values = all_values(small)
    found = ReferenceEvaluator(part).run(None, {each.name: values[each.name] for each in part.graph.input})
    for value, array in zip(part.graph.output, found, strict=True):
        np.testing.assert_array_equal(array, values[value.name])


def all_values(small: SmallModel) -> Mapping[str, Any]:
    """Every tensor of a model."""
    model = onnx.ModelProto()
    model.CopyFrom(small.model)
    del model.graph.output[:]
    names = [name for node in model.graph.node for name in node.output]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    found = ReferenceEvaluator(model).run(None, dict(small.inputs))
    return {**small.inputs, **dict(zip(names, found, strict=True))}


def test_unforeseen_errors_are_kept_by_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(source: str, options: object) -> object:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("compiler.reduction.criteria.compile_source", broken)
    failure = diagnosed(BUILT["attention"].model, CompileOptions(), code=None, verify=False)
    assert "unexpected ZeroDivisionError" in failure.description
    assert failure.fails(BUILT["classifier"].model)


def test_ctrl_c_ends_with_the_smallest_so_far(tmp_path: Path) -> None:
    path, output = tmp_path / "model.onnx", tmp_path / "small.onnx"
    onnx.save(BUILT["classifier"].model, path)
    code = "import sys; from compiler.cli import main; sys.exit(main())"
    slow = shlex.join([sys.executable, "-c", "import sys, time; time.sleep(0.1); sys.exit(3)"])
    with subprocess.Popen(
        [sys.executable, "-c", code, "reduce", str(path), "-o", str(output), "--command", slow],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        whole = path.stat().st_size
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (output.exists() and output.stat().st_size < whole / 2):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.PARTIAL, err
    assert "stopped before everything was tried" in out
    assert "Traceback" not in err
    onnx.checker.check_model(onnx.load(output))
    assert {each.name for each in tmp_path.iterdir()} == {"model.onnx", "small.onnx"}
