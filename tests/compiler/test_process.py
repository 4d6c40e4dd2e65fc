"""The installed commands as processes: start-up, pipes, signals, stock xdsl-opt."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
HELP_SECONDS = 0.3
LIGHT = {"catena": "import compiler.cli", "help": "from compiler.cli.main import execute; execute(['--help'])"}
HEAVY = {"numpy", "onnx", "onnxruntime", "xdsl", "rich", "pydantic", "lark", "safetensors"}


def catena(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "catena"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]


@pytest.mark.parametrize("statement", LIGHT)
def test_help_imports_nothing_heavy(statement: str) -> None:
    code = f"import sys\n{LIGHT[statement]}\nprint(sorted(set(sys.modules) & {HEAVY!r}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


UNUSED = {
    "check": ["multiprocessing", "backends.isa", "passes.mapping", "compiler.cli.observers", "compiler.pages"],
    "compile": [
        "multiprocessing",
        "backends.spatial.layer",
        "passes.mapper",
        "passes.mapping_file",
        "passes.pin_mappings",
        "passes.multicore",
        "passes.place_groups",
        "passes.searching.parts",
        "passes.shortest_formats",
        "dialects.encodings.names",
        "dialects.gemm_machine",
        "dialects.hierarchy",
        "dialects.multicore_machine",
        "dialects.validation_messages",
    ],
    "compile --target generic": [
        "backends.generic.emulator",
        "backends.spatial.emulator",
        "passes.multicore",
        "passes.place_groups",
        "passes.searching.parts",
        "dialects.gemm_machine",
        "dialects.multicore_machine",
        "dialects.validation_messages",
    ],
}
"""What the usual call of a verb has no use for, and what takes its time to import."""


@pytest.mark.parametrize("name", UNUSED)
def test_what_a_verb_does_not_use_is_not_imported(name: str, cnn: Path, tmp_path: Path) -> None:
    output = ["-o", str(tmp_path / "p.cat"), "--no-cache"] if name.startswith("compile") else []
    words = [*name.split(), str(cnn), *output]
    code = (
        "import sys; from compiler.cli.main import execute\n"
        f"assert execute({words!r}) == 0\n"
        f"print(sorted(set(sys.modules) & set({UNUSED[name]!r})))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("asked", [None, "2"])
def test_commands_start_no_threads_unless_asked_to(asked: str | None) -> None:
    code = "import os, sys\nfrom compiler.cli.main import main\nsys.argv[1:] = ['--help']\nmain()\n"
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    environment |= {} if asked is None else {"OPENBLAS_NUM_THREADS": asked}
    told = [sys.executable, "-c", f"{code}print(os.environ['OPENBLAS_NUM_THREADS'])"]
    result = subprocess.run(told, capture_output=True, text=True, check=True, env=environment)
    assert result.stdout.splitlines()[-1] == (asked or "1")


def test_help_is_quick() -> None:
    """In CPU seconds of the process, which a busy machine does not stretch as it does wall seconds."""
    seconds: list[float] = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert catena("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) <= HELP_SECONDS


def test_a_closed_pipe_is_no_error(cnn: Path) -> None:
    command = f"{BIN}/catena ops | head -n 1; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[0] == "Operators"
    assert result.stdout.splitlines()[-1] in ("0", "141")
    assert "Traceback" not in result.stderr
    assert "BrokenPipe" not in result.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_no_output(tmp_path: Path, number: int, code: int) -> None:
    # A pipe as input holds the command in the middle of its work.
    pipe = tmp_path / "never.onnx"
    os.mkfifo(pipe)
    output = tmp_path / "x.cat"
    process = subprocess.Popen(
        [str(BIN / "catena"), "compile", str(pipe), "-o", str(output)], stderr=subprocess.PIPE, text=True
    )
    descriptor = os.open(pipe, os.O_WRONLY)
    try:
        time.sleep(0.2)
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    finally:
        os.close(descriptor)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert set(tmp_path.iterdir()) == {pipe}


def test_output_survives_a_terminal_that_knows_ascii_only(tmp_path: Path) -> None:
    path = tmp_path / "x.mlir"
    path.write_text('builtin.module { func.func @main() { "é"() : () -> () } }', encoding="utf-8")
    result = catena("opt", path, env={**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_stock_xdsl_opt_knows_our_dialects_and_passes(cnn: Path, tmp_path: Path) -> None:
    help_text = subprocess.run([str(BIN / "xdsl-opt"), "--help"], capture_output=True, text=True, check=True).stdout
    for name in ("lower-onnx", "fold-views", "fuse-elementwise", "map-row-stationary", "place-spatial"):
        assert name in "".join(help_text.split())
    path = tmp_path / "x.mlir"
    assert catena("opt", cnn, "-o", path).returncode == 0
    pipeline = f'bind-weights{{folder="{tmp_path}/weights"}},lower-onnx,fold-views,cse'
    result = subprocess.run(
        [str(BIN / "xdsl-opt"), str(path), "-p", pipeline],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "gconv.link" in result.stdout
    assert "onnx." not in result.stdout.replace("onnx.name", "")


def test_the_universe_clashes_with_nothing() -> None:
    from xdsl.universe import XDSL_UNIVERSE

    from compiler.universe import UNIVERSE

    assert not set(UNIVERSE.all_dialects) & set(XDSL_UNIVERSE.all_dialects)
    assert not set(UNIVERSE.all_passes) & set(XDSL_UNIVERSE.all_passes)
    for name, factory in UNIVERSE.all_passes.items():
        assert factory().name == name
    for name, dialect in UNIVERSE.all_dialects.items():
        assert dialect().name == name
