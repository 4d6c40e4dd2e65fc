"""Verification of a model, which is compiled first, or of a program beside its model."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from backends.api import Emulator
from backends.container import write_program
from backends.program import Program
from compiler.arrays import Array
from compiler.compilation import CompileOptions, compile_source
from compiler.execution import load_program
from compiler.sources import SourceKind, kind_of
from compiler.stages import PROGRAM
from compiler.verification.layers import verify_program
from compiler.verification.measures import Tolerances
from compiler.verification.result import Verification
from dialects.diagnostics import CatenaError, Diagnostic


def verify_source(
    source: str,
    model: Path | None = None,
    inputs: Mapping[str, Array] | None = None,
    *,
    seed: int = 0,
    tolerances: Tolerances | None = None,
    options: CompileOptions | None = None,
    reproducer: Path | None = None,
) -> Verification:
    """Verify a program file beside the ONNX file `model`, or an ONNX file that is compiled for it.

    If it is wrong, says where, and writes what shows it again to the folder `reproducer`. The emulator always loads the
    program from a file. Raises `CatenaError` as `compile_source`, `verify_program` and `write_reproducer`.
    """
    kind = kind_of(source)
    if kind is SourceKind.PROGRAM:
        if model is None:
            raise CatenaError(
                Diagnostic("CAT-C001", "verifying a program needs its model", hint="add --model FILE.onnx")
            )
        program, emulator = load_program(Path(source))
        return _verified(program, emulator, model, inputs, seed, tolerances, reproducer)
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
        return _verified(program, emulator, Path(source), inputs, seed, tolerances, reproducer)


def _verified(
    program: Program,
    emulator: Emulator,
    model: Path,
    inputs: Mapping[str, Array] | None,
    seed: int,
    tolerances: Tolerances | None,
    reproducer: Path | None,
) -> Verification:
    found = verify_program(program, emulator, model, inputs, seed=seed, tolerances=tolerances)
    if found.evidence is None and found.stop is None and found.wrong_outputs is None:
        return found
    # The compiler is needed again only for programs that are wrong.
    from compiler.localising.locating import locate, locate_stop, locate_wrong_outputs
    from compiler.localising.reproducer import write_outputs, write_reproducer, write_run

    if found.wrong_outputs is not None:
        location, written = locate_wrong_outputs(program, emulator, model, found.wrong_outputs), None
        if reproducer is not None:
            written = write_outputs(reproducer, program, model, found.wrong_outputs, location, tolerances)
        return replace(found, location=location, reproducer=written)
    if found.evidence is None:
        assert found.stop is not None
        location = locate_stop(program, emulator, model, found.stop)
        written = None if reproducer is None else write_run(reproducer, program, found.stop, location)
        return replace(found, location=location, reproducer=written)
    location = locate(program, emulator, model, found.evidence)
    written = None
    if reproducer is not None:
        written = write_reproducer(reproducer, program, model, found.evidence, location, tolerances)
    return replace(found, location=location, reproducer=written)
