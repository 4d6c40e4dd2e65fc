"""prune: weights of the layers and nothing else, in the unit that is asked; what outputs lose; equal bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import compiler
from dialects.diagnostics import CatenaError
from tests.compiler.conftest import Cli
from tests.compiler.small_models import save_model, small_cnn
from tests.onnx_models import onnx_model, onnx_node

ort = pytest.importorskip("onnxruntime")


def weights_of(path: Path) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


def test_weights_are_pruned_and_nothing_else(cnn: Path, tmp_path: Path) -> None:
    found = compiler.prune(cnn, tmp_path / "p.onnx", structure="group", sparsity=0.5, group=2)
    before, after = weights_of(cnn), weights_of(tmp_path / "p.onnx")
    for name in ("b1", "b2"):
        np.testing.assert_array_equal(after[name], before[name])
    for name in ("w1", "w2"):
        assert np.all((after[name] == before[name]) | (after[name] == 0))
        assert not np.signbit(after[name][after[name] == 0]).any()
    pairs = after["w1"].reshape(2, 2, -1) == 0
    np.testing.assert_array_equal(pairs[:, 0], pairs[:, 1])
    # The filters of the product are columns: two of three, and the third by itself.
    np.testing.assert_array_equal(after["w2"][:, 0] == 0, after["w2"][:, 1] == 0)
    assert [(layer.node, layer.weights) for layer in found.layers] == [("conv1", 72), ("dense1", 108)]
    for layer, name in zip(found.layers, ("w1", "w2"), strict=True):
        assert (layer.before, layer.asked) == (0.0, 0.5)
        assert layer.reached == pytest.approx(np.mean(after[name] == 0))
        assert layer.reached == pytest.approx(0.5, abs=0.02)
    assert found.zeros == pytest.approx(np.mean(np.concatenate([after[name].ravel() == 0 for name in ("w1", "w2")])))


def test_losses_are_those_of_the_outputs(cnn: Path, tmp_path: Path) -> None:
    image = np.random.default_rng(3).standard_normal((2, 1, 2, 6, 6)).astype(np.float32)
    found = compiler.prune(cnn, tmp_path / "p.onnx", structure="unstructured", sparsity=0.6, calibrate={"image": image})
    sessions = [
        ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]) for path in (cnn, tmp_path / "p.onnx")
    ]
    a, b = (np.concatenate([each.run(None, {"image": one})[0] for one in image]).ravel() for each in sessions)
    (loss,) = found.losses
    assert (loss.name, found.samples) == ("scores", 2)
    assert loss.relative == pytest.approx(np.linalg.norm(a - b) / np.linalg.norm(a), rel=1e-4)
    assert loss.cosine == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), rel=1e-4)


def test_nothing_pruned_is_nothing_lost(cnn: Path, tmp_path: Path) -> None:
    found = compiler.prune(cnn, tmp_path / "p.onnx", structure="channel", sparsity=0.0)
    assert (found.zeros, found.losses[0].relative) == (0.0, 0.0)
    assert found.losses[0].cosine == pytest.approx(1.0)


@pytest.mark.parametrize("structure", ["group", "block", "channel", "unstructured"])
def test_equal_arguments_give_equal_files(cnn: Path, tmp_path: Path, structure: str) -> None:
    for name in ("a", "b"):
        compiler.prune(cnn, tmp_path / name, structure=structure, sparsity=0.7)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_groups_of_a_convolution_are_pruned_apart(tmp_path: Path) -> None:
    """Two groups of three filters: pairs of filters do not reach from one group into the other."""
    words = {"w": np.random.default_rng(0).standard_normal((6, 2, 3, 3)).astype(np.float32)}
    node = onnx_node("Conv", "x w", "y", group=2)
    path = save_model(onnx_model([node], {"x": (1, 4, 5, 5)}, "y", words), tmp_path / "m.onnx")
    compiler.prune(path, tmp_path / "p.onnx", structure="group", sparsity=0.5, group=2)
    zeros = weights_of(tmp_path / "p.onnx")["w"].reshape(2, 3, -1) == 0
    np.testing.assert_array_equal(zeros[:, 0], zeros[:, 1])
    assert (zeros[0, 2] != zeros[1, 0]).any()


def test_excluded_layers_and_shared_weights_stay(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    words = {name: random.standard_normal((4, 4)).astype(np.float32) for name in ("v", "w", "s")}
    nodes = [
        onnx_node("MatMul", "x v", "a"),
        onnx_node("MatMul", "a w", "b"),
        onnx_node("MatMul", "b s", "c"),
        onnx_node("MatMul", "c s", "y"),
    ]
    path = save_model(onnx_model(nodes, {"x": (2, 4)}, "y", words), tmp_path / "m.onnx")
    found = compiler.prune(path, tmp_path / "p.onnx", structure="unstructured", sparsity=0.5, exclude=["make b"])
    assert [layer.node for layer in found.layers] == ["make a"]
    after = weights_of(tmp_path / "p.onnx")
    np.testing.assert_array_equal(after["w"], words["w"])
    np.testing.assert_array_equal(after["s"], words["s"])


def test_a_model_without_weights_is_refused(tmp_path: Path) -> None:
    path = save_model(onnx_model([onnx_node("Relu", "x", "y")], {"x": (2, 4)}, "y"), tmp_path / "m.onnx")
    with pytest.raises(CatenaError) as raised:
        compiler.prune(path, tmp_path / "p.onnx", structure="group", sparsity=0.5)
    assert raised.value.diagnostics[0].code == "CAT-Q002"
    assert not (tmp_path / "p.onnx").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--structure", "groups", "--sparsity", "0.5"), "unknown --structure"),
        (("--structure", "group", "--sparsity", "70"), "no share of weights"),
        (("--structure", "group", "--sparsity", "x"), "--sparsity"),
        (("--structure", "block", "--sparsity", "0.5", "--block", "4"), "--block"),
        (("--structure", "block", "--sparsity", "0.5", "--group", "4"), "of no use"),
        (("--structure", "group", "--sparsity", "0.5", "--exclude", "conv2"), "did you mean conv1"),
        (("--structure", "group", "--sparsity", "0.5", "--calibrate", "random:x"), "random"),
        (("--sparsity", "0.5"), "--structure"),
    ],
)
def test_wrong_arguments_are_refused(cli: Cli, cnn: Path, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    found = cli("prune", cnn, "-o", tmp_path / "p.onnx", *words)
    assert found.code == 2
    assert message in found.err
    assert not (tmp_path / "p.onnx").exists()


def test_the_table_has_every_layer(cli: Cli, cnn: Path, tmp_path: Path) -> None:
    found = cli("prune", cnn, "-o", tmp_path / "p.onnx", "--structure", "group", "--sparsity", "0.5")
    assert found.code == 0
    assert all(text in found.out for text in ("conv1", "dense1", "50.00%", "cosine similarity", "relative error"))
    same = cli("prune", cnn, "-o", cnn, "--structure", "group", "--sparsity", "0.5")
    assert (same.code, "same file" in same.err) == (2, True)


def test_pruned_models_compile(tmp_path: Path) -> None:
    path = save_model(small_cnn(), tmp_path / "m.onnx")
    compiler.prune(path, tmp_path / "p.onnx", structure="block", sparsity=0.7, block=(2, 3))
    with pytest.raises(CatenaError) as caught:
        compiler.prune(path, tmp_path / "p.onnx", structure="block", sparsity=0.7, block=(0, 2))
    assert [each.found for each in caught.value.diagnostics] == ["0x2"]
    assert list(onnx.load(tmp_path / "p.onnx").graph.node) == list(onnx.load(path).graph.node)
    assert compiler.verify(tmp_path / "p.onnx").is_equal
