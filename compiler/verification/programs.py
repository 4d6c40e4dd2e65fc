"""Verification of a model, which is compiled first, or of a program beside its model."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from backends.container import write_program
from compiler.arrays import Array
from compiler.compilation import CompileOptions, compile_source
from compiler.execution import load_program
from compiler.sources import SourceKind, kind_of
from compiler.stages import PROGRAM
from compiler.verification.layers import Verification, verify_program
from compiler.verification.measures import Tolerances
from dialects.diagnostics import CatenaError, Diagnostic


def verify_source(
    source: str,
    model: Path | None = None,
    inputs: Mapping[str, Array] | None = None,
    *,
    seed: int = 0,
    tolerances: Tolerances | None = None,
    options: CompileOptions | None = None,
) -> Verification:
    """Verify a program file beside the ONNX file `model`, or an ONNX file that is compiled for it.

    The emulator always loads the program from a file. Raises `CatenaError` as `compile_source` and `verify_program`.
    """
    kind = kind_of(source)
    if kind is SourceKind.PROGRAM:
        if model is None:
            raise CatenaError(
                Diagnostic("CAT-C001", "verifying a program needs its model", hint="add --model FILE.onnx")
            )
        program, emulator = load_program(Path(source))
        return verify_program(program, emulator, model, inputs, seed=seed, tolerances=tolerances)
    if kind is SourceKind.IR:
        raise CatenaError(
            Diagnostic("CAT-C001", f"{source} is IR", hint="compile it and verify the program with --model")
        )
    compiled = compile_source(source, replace(options or CompileOptions(), stop=PROGRAM.name))
    assert compiled.program is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "program.cat"
        write_program(compiled.program, path)
        program, emulator = load_program(path)
        return verify_program(program, emulator, Path(source), inputs, seed=seed, tolerances=tolerances)
