"""Constants of a model: in the file, beside it, sparse, damaged; narrow and wide floats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compiler.importer import import_model
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.weights import ConstantOp
from tests.onnx_models import main_function, onnx_model, onnx_node, onnx_ops, returned_arrays

WEIGHTS = np.arange(2000, dtype=np.float32).reshape(40, 50)


def constant_model(tensor: onnx.TensorProto) -> onnx.ModelProto:
    """A model that returns the constant `w`."""
    model = onnx_model([onnx_node("Identity", "w", "y")], {}, "y")
    model.graph.initializer.append(tensor)
    return model


def problem_of(source: Path | onnx.ModelProto) -> Diagnostic:
    with pytest.raises(CatenaError) as caught:
        import_model(source)
    (problem,) = caught.value.diagnostics
    return problem


@pytest.fixture
def external(tmp_path: Path) -> Path:
    """A model in a folder of its own whose weights are in the file `data.bin` beside it."""
    folder = tmp_path / "model"
    folder.mkdir()
    path = folder / "m.onnx"
    model = constant_model(numpy_helper.from_array(WEIGHTS, "w"))
    onnx.save(model, path, save_as_external_data=True, location="data.bin", size_threshold=0)
    return path


def change_external(path: Path, **entries: str | None) -> None:
    model = onnx.load(path, load_external_data=False)
    tensor = model.graph.initializer[0]
    kept = {entry.key: entry.value for entry in tensor.external_data} | entries
    del tensor.external_data[:]
    for key, value in kept.items():
        if value is not None:
            tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())


def test_external_data_is_read_from_the_models_folder(external: Path) -> None:
    np.testing.assert_array_equal(returned_arrays(import_model(external))[0], WEIGHTS)


def test_external_data_from_the_middle_of_a_file(external: Path) -> None:
    data = external.parent / "data.bin"
    data.write_bytes(b"x" * 64 + data.read_bytes() + b"y")
    change_external(external, offset="64")
    np.testing.assert_array_equal(returned_arrays(import_model(external))[0], WEIGHTS)


def test_external_data_without_a_length_reaches_to_the_end(external: Path) -> None:
    change_external(external, length=None)
    np.testing.assert_array_equal(returned_arrays(import_model(external))[0], WEIGHTS)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "lost.bin"}, "the file is missing"),
        ({"location": "../model.bin"}, "outside the model's folder"),
        ({"location": "/etc/hostname"}, "outside the model's folder"),
        ({"location": None}, "no file is named"),
        ({"offset": "8"}, "the file is too short: 7992 bytes from offset 8 on"),
        ({"offset": "-8"}, "must not be negative"),
        ({"offset": "half"}, "must be integers"),
        ({"length": "4000"}, "cannot reshape"),
        ({"length": "7999"}, "buffer size"),
    ],
)
def test_damaged_external_data(external: Path, entries: dict[str, str | None], message: str) -> None:
    (external.parent.parent / "model.bin").write_bytes(WEIGHTS.tobytes())
    change_external(external, **entries)
    problem = problem_of(external)
    assert problem.code == "CAT-M004"
    assert "'w'" in problem.message
    assert message in problem.message


def test_a_link_out_of_the_models_folder_is_refused(external: Path) -> None:
    outside = external.parent.parent / "outside.bin"
    data = external.parent / "data.bin"
    data.rename(outside)
    data.symlink_to(outside)
    assert problem_of(external).code == "CAT-M004"


def test_a_short_external_file(external: Path) -> None:
    (external.parent / "data.bin").write_bytes(b"1234")
    assert problem_of(external).message.endswith("the file is too short: 4 bytes from offset 0 on")


def test_external_data_needs_a_path(external: Path) -> None:
    problem = problem_of(onnx.load(external, load_external_data=False))
    assert (problem.code, "not read from a file" in problem.message) == ("CAT-M004", True)


def test_every_lost_file_is_named(tmp_path: Path) -> None:
    constants = {name: np.full(300, index, np.float32) for index, name in enumerate("abc")}
    path = tmp_path / "m.onnx"
    model = onnx_model([onnx_node("Sum", "a b c x", "y")], {"x": [300]}, "y", constants)
    onnx.save(model, path, save_as_external_data=True, all_tensors_to_one_file=False, size_threshold=0)
    (tmp_path / "a").unlink()
    (tmp_path / "c").unlink()
    with pytest.raises(CatenaError) as caught:
        import_model(path)
    assert [problem.where for problem in caught.value.diagnostics] == ["a", "c"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensor: tensor.dims.append(2), "reshape"),
        (lambda tensor: tensor.dims.__setitem__(0, -1), "negative dimension"),
        (lambda tensor: tensor.ClearField("raw_data"), "reshape"),
        (lambda tensor: setattr(tensor, "data_type", 0), "UNDEFINED"),
        (lambda tensor: setattr(tensor, "data_type", 999), "999"),
        (lambda tensor: setattr(tensor, "raw_data", tensor.raw_data[:-1]), "buffer size"),
    ],
)
def test_damaged_tensors(change: Callable[[onnx.TensorProto], object], message: str) -> None:
    tensor = numpy_helper.from_array(np.zeros(3, np.float32), "w")
    change(tensor)
    problem = problem_of(constant_model(tensor))
    assert problem.code == "CAT-M001"
    assert message in problem.message


@pytest.mark.parametrize("coordinates", [False, True])
def test_sparse_initializers_become_dense(coordinates: bool) -> None:
    indices = [[0, 1], [1, 2]] if coordinates else [1, 5]
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.array([7.0, 9.0], np.float32), "w"),
        numpy_helper.from_array(np.array(indices, np.int64), "i"),
        [2, 3],
    )
    model = onnx_model([onnx_node("Identity", "w", "y")], {}, "y")
    model.graph.sparse_initializer.append(sparse)
    np.testing.assert_array_equal(returned_arrays(import_model(model))[0], [[0, 7, 0], [0, 0, 9]])


def test_sparse_indices_outside_the_shape() -> None:
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.array([7.0], np.float32), "w"),
        numpy_helper.from_array(np.array([6], np.int64), "i"),
        [2, 3],
    )
    model = onnx_model([onnx_node("Identity", "w", "y")], {}, "y")
    model.graph.sparse_initializer.append(sparse)
    assert "indices do not fit" in problem_of(model).message


def test_a_sparse_constant_node() -> None:
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.array([7.0], np.float32), "v"),
        numpy_helper.from_array(np.array([2], np.int64), "i"),
        [4],
    )
    model = onnx_model([onnx_node("Constant", "", "y", sparse_value=sparse)], {}, "y")
    np.testing.assert_array_equal(returned_arrays(import_model(model))[0], [0, 0, 7, 0])


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_floats_become_float32(dtype: np.dtype) -> None:
    element_type = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    constants = {"w": np.array([0.5, 2.0], dtype), "n": np.array([2], np.int64)}
    nodes = [
        onnx_node("Mul", "x w", "a"),
        onnx_node("Cast", "a", "b", to=TensorProto.INT32),
        onnx_node("Cast", "b", "c", to=element_type),
        onnx_node("ConstantOfShape", "n", "d", value=helper.make_tensor("v", element_type, [1], [1.5])),
        onnx_node("Add", "c d", "e"),
        onnx_node("Cast", "e", "f", to=TensorProto.FLOAT),
    ]
    module = import_model(onnx_model(nodes, {"x": [2]}, "f", constants, element_type=element_type))
    module.verify()
    function = main_function(module)
    types = [str(value.type) for op in function.body.block.ops for value in op.results]
    assert set(types) == {"tensor<2xf32>", "tensor<2xi32>"}
    assert [op.op_type for op in onnx_ops(module)] == ["Mul", "Cast", "Cast", "Add"]
    assert onnx_ops(module)[2].int_attribute("to") == TensorProto.FLOAT
    arrays = [op.array for op in module.walk() if isinstance(op, ConstantOp)]
    np.testing.assert_array_equal(arrays, np.array([[0.5, 2.0], [1.5, 1.5]], np.float32))


def test_shape_arithmetic_in_float64_keeps_its_precision() -> None:
    """The ceiling of a little more than 1 is 2 in double precision and 1 once rounded to single precision."""
    nodes = [
        onnx_node("Ceil", "c", "f"),
        onnx_node("Cast", "f", "size", to=TensorProto.INT64),
        onnx_node("Reshape", "x size", "y"),
    ]
    module = import_model(onnx_model(nodes, {"x": [2, 1]}, "y", {"c": np.array([1 + 2.0**-30])}))
    assert str(main_function(module).function_type.outputs.data[0]) == "tensor<2xf32>"


def test_a_double_constant_meets_a_run_time_value_as_float32() -> None:
    model = onnx_model(
        [onnx_node("Add", "x w", "y")], {"x": [2]}, "y", {"w": np.array([1.0, 2.0])}, element_type=TensorProto.DOUBLE
    )
    module = import_model(model)
    module.verify()
    (constant,) = (op for op in module.walk() if isinstance(op, ConstantOp))
    assert constant.array.dtype == np.float32


def test_integer_types_are_kept() -> None:
    for dtype in (np.int8, np.uint8, np.int32, np.int64, np.bool_):
        array = np.array([1, 0, 1], dtype)
        (found,) = returned_arrays(import_model(constant_model(numpy_helper.from_array(array, "w"))))
        assert found.dtype == dtype


def test_unsupported_element_types() -> None:
    tensor = helper.make_tensor("w", TensorProto.STRING, [1], [b"text"])
    problem = problem_of(constant_model(tensor))
    assert (problem.code, problem.message) == ("CAT-U002", "the element type of tensor 'y' is not supported")
