"""Catena as one of ONNX's own backends (`onnx.backend.base.Backend`): prepare a model, run it on arrays.

    from compiler.onnx_backend import CatenaBackend

    outputs = CatenaBackend.prepare(model).run([image])

`backend_on` gives the same on another engine: the interpreter of the GCONV chain, or another target's emulator.
"""

from compiler.onnx_backend.backend import CatenaBackend, backend_on
from compiler.onnx_backend.engines import INTERPRETER, EmulatorEngine, Engine, InterpreterEngine, engine_named
from compiler.onnx_backend.representation import CatenaRep

__all__ = [
    "INTERPRETER",
    "CatenaBackend",
    "CatenaRep",
    "EmulatorEngine",
    "Engine",
    "InterpreterEngine",
    "backend_on",
    "engine_named",
]
