"""What is refused, whole: unsupported nodes, results over sources, placed IR and inputs that do not fit."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.compiler.conftest import Cli
from tests.compiler.small_models import save_model, small_cnn


def _model(
    nodes: list[onnx.NodeProto], kind: int = TensorProto.FLOAT, shape: tuple[int, ...] = (2, 2)
) -> onnx.ModelProto:
    ports = [helper.make_tensor_value_info("x", kind, shape)]
    results = [helper.make_tensor_value_info(name, kind, None) for node in nodes for name in node.output]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my.dom", 1)]
    return helper.make_model(helper.make_graph(nodes, "g", ports, results), opset_imports=opsets, ir_version=8)


def test_check_names_nodes_of_every_reason_at_once(cli: Cli, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Bernoulli", ["x"], ["d"], name="noise"),
        helper.make_node("Foo", ["x"], ["f"], name="foo", domain="my.dom"),
        helper.make_node("NonZero", ["x"], ["n"], name="nonzero"),
    ]
    result = cli("check", str(save_model(_model(nodes), tmp_path / "m.onnx")))
    assert result.code == 3
    assert re.search(r"CAT-U003.*'foo'", result.err)
    assert re.search(r"CAT-U001.*'noise'", result.err)
    assert re.search(r"CAT-U001.*'nonzero'", result.err)


@pytest.mark.parametrize("results", [("-o", "m.onnx"), ("-o", "p.cat", "--save-mapping", "p.cat")])
def test_a_result_does_not_take_the_place_of_another_file(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = save_model(small_cnn(), tmp_path / "m.onnx")
    before = model.read_bytes()
    result = cli("compile", "m.onnx", *results)
    assert result.code == 2
    assert "CAT-C001" in result.err
    assert "the same file" in result.err
    assert model.read_bytes() == before
    assert not (tmp_path / "p.cat").exists()


@pytest.mark.parametrize(
    ("role", "address", "message"),
    [
        ("constant", 1, "overlaps another constant"),
        ("intermediate", 0, "lies among the constants"),
        ("intermediate", 1 << 31, "reaches beyond the off-chip memory"),
    ],
)
def test_buffers_that_lie_wrong_are_refused(cli: Cli, tmp_path: Path, role: str, address: int, message: str) -> None:
    model = save_model(small_cnn(), tmp_path / "m.onnx")
    assert cli("compile", str(model), "--dump-ir", str(tmp_path / "ir"), "-o", str(tmp_path / "p.cat")).code == 0
    placed = tmp_path / "ir" / "06-placed.mlir"
    text = placed.read_text()
    edited = re.sub(rf'(spatial.buffer "{role}" at )(?!0 )\d+', rf"\g<1>{address}", text, count=1)
    assert edited != text
    placed.write_text(edited)
    result = cli("compile", str(placed), "-o", str(tmp_path / "q.cat"))
    assert result.code == 2
    assert "CAT-R003" in result.err
    assert message in result.err
    assert not (tmp_path / "q.cat").exists()


def test_integers_of_64_bits_are_computed_exactly(cli: Cli, tmp_path: Path) -> None:
    model = _model([helper.make_node("Add", ["x", "x"], ["y"], name="add")], TensorProto.INT64, (2,))
    program, outputs = tmp_path / "p.cat", tmp_path / "y.npz"
    assert cli("compile", str(save_model(model, tmp_path / "m.onnx")), "-o", str(program)).code == 0
    words = np.array([3 - (1 << 60), (1 << 62) + 1])  # the second sum wraps around
    np.savez(tmp_path / "x.npz", x=words)
    assert cli("run", str(program), "-i", str(tmp_path / "x.npz"), "-o", str(outputs)).code == 0
    np.testing.assert_array_equal(np.load(outputs)["y"], words + words)


def test_an_encrypted_archive_is_no_file_of_arrays(cli: Cli, tmp_path: Path) -> None:
    program = tmp_path / "p.cat"
    assert cli("compile", str(save_model(small_cnn(), tmp_path / "m.onnx")), "-o", str(program)).code == 0
    arrays = tmp_path / "a.npz"
    np.savez(arrays, image=np.zeros((1, 2, 6, 6), np.float32))
    data = bytearray(arrays.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[central + 8] |= 1
    data[6] |= 1
    arrays.write_bytes(bytes(data))
    with zipfile.ZipFile(arrays) as archive:
        assert archive.infolist()[0].flag_bits & 1
    result = cli("run", str(program), "-i", str(arrays))
    assert (result.code, "CAT-C002" in result.err) == (2, True)
