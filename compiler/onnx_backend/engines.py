"""What a prepared model runs on: the interpreter of the GCONV chain, or a backend's emulator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import onnx

from backends.container import parse_program, program_bytes
from compiler.arrays import Array
from compiler.compilation import CompileOptions, compile_model
from compiler.descriptions.files import DEFAULT_TARGET
from compiler.driver import Observer
from compiler.execution import program_inputs
from compiler.sources import ImportOptions
from compiler.targets import Target, select_target
from dialects.gconv.interpreter import Interpreter

INTERPRETER = "interpreter"
"""The name of the engine that is no target."""

Execute: TypeAlias = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""Output tensors by name from input tensors by name."""

Shapes: TypeAlias = Mapping[str, Sequence[int]]


class Engine(Protocol):
    """Something that executes models."""

    def load(self, model: onnx.ModelProto, shapes: Shapes) -> Execute:
        """Compile a model, whose dynamic inputs have these shapes, and load what came out.

        Raises `CatenaError` if it cannot be compiled.
        """
        ...


@dataclass(frozen=True)
class InterpreterEngine:
    """The chain as a target gets it, after the fused stage, on NumPy arrays."""

    target: Target
    observers: tuple[Observer, ...] = ()

    def load(self, model: onnx.ModelProto, shapes: Shapes) -> Execute:
        """See `Engine`."""
        options = CompileOptions(stop="fused", importing=ImportOptions(shapes))
        compiled = compile_model(model, self.target, options, self.observers)
        return Interpreter(compiled.module).run


@dataclass(frozen=True)
class EmulatorEngine:
    """A target's emulator, which gets the bytes of the program file and nothing else."""

    target: Target
    observers: tuple[Observer, ...] = ()

    def load(self, model: onnx.ModelProto, shapes: Shapes) -> Execute:
        """See `Engine`."""
        compiled = compile_model(model, self.target, CompileOptions(importing=ImportOptions(shapes)), self.observers)
        assert compiled.program is not None
        program = parse_program(program_bytes(compiled.program), model.graph.name)
        emulator = self.target.backend.load(program, None)
        dtypes = {tensor.name: np.dtype(tensor.dtype) for tensor in program_inputs(program)}

        def execute(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
            # Words have the type of the tensor table, which may be a wider one than the model's.
            return emulator.run({name: inputs[name].astype(dtype, copy=False) for name, dtype in dtypes.items()})

        return execute


def engine_named(name: str, observers: tuple[Observer, ...] = ()) -> Engine:
    """The interpreter, or the emulator of the target of that name (or TOML file).

    Raises `CatenaError` as `compiler.targets.select_target`.
    """
    if name == INTERPRETER:
        return InterpreterEngine(select_target(DEFAULT_TARGET), observers)
    return EmulatorEngine(select_target(name), observers)
