"""Quantized layers: the interpreter, which defines them, and both engines of the emulator make the same words."""

from __future__ import annotations

import numpy as np
import onnx
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.container import parse_program, program_bytes
from backends.spatial.emulator import SpatialEmulator
from compiler.compilation import CompileOptions, compile_model
from compiler.targets import select_target
from dialects.gconv.interpreter import Interpreter
from tests.end_to_end.networks import inputs_of
from tests.end_to_end.quantized_layers import quantized_layers
from tests.examples import examples


@settings(derandomize=True, deadline=None, max_examples=examples(40))
@given(quantized_layers(), st.integers(0, 99))
def test_engines_and_interpreter_agree_to_the_bit(model: onnx.ModelProto, seed: int) -> None:
    target, inputs = select_target("eyeriss"), inputs_of(model, seed)
    expected = Interpreter(compile_model(model, target, CompileOptions(stop="mapped")).module).run(inputs)
    compiled = compile_model(model, target).program
    assert compiled is not None
    program = parse_program(program_bytes(compiled), "layer")
    for engine in ("blocks", "elements"):
        for name, array in SpatialEmulator(program, engine).run(inputs).items():
            assert array.dtype == expected[name].dtype
            np.testing.assert_array_equal(array, expected[name], err_msg=engine)
