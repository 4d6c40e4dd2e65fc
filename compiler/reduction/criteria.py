"""What "still fails" means: an error code, a wrong result, or what a command of the user says."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from backends.container import write_program
from compiler.compilation import CompileOptions, compile_source
from compiler.execution import load_program
from compiler.faults import diagnostics_of
from compiler.files import cannot, write_bytes
from compiler.stages import PROGRAM
from dialects.diagnostics import CatenaError, Diagnostic

if TYPE_CHECKING:
    import onnx

PLACE = "{}"
"""Where the file name of a model goes in a command."""
_SLOWER = 10.0
"""A command on a smaller model is stopped after so many times the time on the whole one, and as many seconds."""

Fails = Callable[["onnx.ModelProto"], bool]


@dataclass(frozen=True)
class Failure:
    """What is to be kept: in words, and as a question to a model."""

    description: str
    fails: Fails


def diagnosed(
    model: onnx.ModelProto, options: CompileOptions, *, code: str | None, verify: bool, message: str = ""
) -> Failure:
    """That compiling (and, if asked for, verifying) ends with a code: that of the model's first problem if None.

    `message` is text that the diagnostic has to have. Raises `CatenaError` (CAT-C001) if the model does not fail so.
    """
    found = problems(model, options, verify=verify)
    fitting = [each for each in found if code in (None, each.code) and message in each.message]
    if not fitting:
        codes = ", ".join(dict.fromkeys(each.code for each in found)) or "no problem"
        expected = " with ".join(part for part in (code or "any code", repr(message) if message else "") if part)
        hint = "" if verify else "add --verify to run it and compare"
        raise CatenaError(Diagnostic("CAT-C001", "the model does not fail", "", "", "", expected, codes, hint))
    wanted = fitting[0]
    # Of errors that nobody foresaw, another place is another error.
    place = wanted.where if wanted.code == "CAT-I001" else ""

    def fails(candidate: onnx.ModelProto) -> bool:
        return any(
            each.code == wanted.code and message in each.message and place in each.where
            for each in problems(candidate, options, verify=verify)
        )

    return Failure(f"{wanted.code}: {wanted.message}", fails)


def problems(model: onnx.ModelProto, options: CompileOptions, *, verify: bool) -> tuple[Diagnostic, ...]:
    """Everything that is wrong with a model when it is compiled, and verified."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        write_bytes(path, model.SerializeToString())
        try:
            compiled = compile_source(str(path), replace(options, stop=PROGRAM.name))
            return _differences(path, compiled.program, Path(folder)) if verify else ()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return diagnostics_of(error)


def _differences(model: Path, program: object, folder: Path) -> tuple[Diagnostic, ...]:
    from backends.program import Program
    from compiler.verification.layers import verify_program

    assert isinstance(program, Program)
    path = folder / "program.cat"
    write_program(program, path)
    return verify_program(*load_program(path), model).diagnostics()


def command_fails(model: onnx.ModelProto, command: str) -> Failure:
    """That a command ends with the exit code that it has for the whole model, which is not 0.

    `{}` in it is the file name of a model, which stands at the end without one. Raises `CatenaError`: CAT-C001 if the
    command succeeds, CAT-C002 if it cannot be executed.
    """
    from time import perf_counter

    words = shlex.split(command)
    start = perf_counter()
    wanted = _exit_code(words, model, None)
    limit = _SLOWER * (1 + perf_counter() - start)
    if wanted == 0:
        message, expected = "the command succeeds on the model", "an exit code other than 0"
        raise CatenaError(Diagnostic("CAT-C001", message, expected=expected, found="0"))
    return Failure(
        f"exit code {wanted} of {command!r}", lambda candidate: _exit_code(words, candidate, limit) == wanted
    )


def _exit_code(words: Sequence[str], model: onnx.ModelProto, limit: float | None) -> int | None:
    """The exit code of a command for a model; None if it takes too long."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        write_bytes(path, model.SerializeToString())
        named = [word.replace(PLACE, str(path)) for word in words]
        if named == list(words):
            named.append(str(path))
        try:
            done = subprocess.run(
                named, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=limit
            )
        except subprocess.TimeoutExpired:
            return None
        except (OSError, IndexError) as error:
            raise CatenaError(cannot("execute", words[0] if words else "''", error)) from error
        return done.returncode
