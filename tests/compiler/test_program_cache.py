"""Whole programs that were compiled before: taken only if nothing they are made of differs, never when damaged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

import compiler.program_cache
from backends.sections import write_sections
from compiler.cache_folder import VARIABLE
from tests.compiler.conftest import Cli
from tests.onnx_models import onnx_model, onnx_node


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for the test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv(VARIABLE, str(folder))
    return folder / "programs"


@pytest.fixture
def model(cnn: Path, tmp_path: Path) -> Path:
    """The small CNN, to be changed."""
    return Path(shutil.copy(cnn, tmp_path / "cnn.onnx"))


def is_taken(cli: Cli, model: Path, output: Path, *words: object) -> bool:
    """Whether the program comes from the cache."""
    output.unlink(missing_ok=True)
    result = cli("compile", model, "-o", output, "--json", *words)
    assert result.code == 0, result.out
    assert output.is_file()
    return result.json["result"]["is_from_cache"]


def test_what_was_compiled_before_is_the_same_file(
    cli: Cli, model: Path, program: Path, cache: Path, tmp_path: Path
) -> None:
    output = tmp_path / "p.cat"
    assert not is_taken(cli, model, output)
    assert is_taken(cli, model, output)
    assert output.read_bytes() == program.read_bytes()
    assert is_taken(cli, model, tmp_path / "q.cat", "-j", "2")
    result = cli("compile", model, "-o", output, "-v")
    assert "(from the cache)" in result.err
    assert "--no-cache compiles it again" in result.err
    assert sorted(path.suffix for path in cache.iterdir()) == [".cat", ".json"]


@pytest.mark.parametrize(
    "words",
    [
        ("--set", "glb.banks=20"),
        ("-t", "systolic"),
        ("--objective", "energy"),
        ("--mode", "offload"),
        ("--allow-fallback", "host"),
        ("--no-cache",),
        ("--timing",),
        ("--time-limit", "5"),
    ],
    ids=lambda words: words[0],
)
def test_what_differs_is_compiled(cli: Cli, model: Path, cache: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    is_taken(cli, model, tmp_path / "p.cat")
    assert not is_taken(cli, model, tmp_path / "q.cat", *words)


def test_another_model_name_and_code_are_compiled(
    cli: Cli, model: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "p.cat"
    is_taken(cli, model, output)
    assert not is_taken(cli, Path(shutil.copy(model, tmp_path / "other.onnx")), output)
    content = onnx.load(model)
    content.graph.initializer[1].raw_data = np.ones(4, np.float32).tobytes()
    onnx.save(content, tmp_path / "cnn.onnx")
    assert not is_taken(cli, model, output)
    assert is_taken(cli, model, output)
    monkeypatch.setattr(compiler.program_cache, "code_digest", lambda *_: "other")
    assert not is_taken(cli, model, output)


def test_a_mapping_file_and_a_description_are_looked_into(cli: Cli, model: Path, cache: Path, tmp_path: Path) -> None:
    mapping, target, output = tmp_path / "m.toml", tmp_path / "t.toml", tmp_path / "p.cat"
    assert cli("compile", model, "-o", output, "--save-mapping", mapping).code == 0
    target.write_text('extends = "eyeriss"\n')
    words = ("--mapping", mapping, "-t", target)
    assert [is_taken(cli, model, output, *words) for _ in range(2)] == [False, True]
    mapping.write_text(mapping.read_text() + "\n")
    assert not is_taken(cli, model, output, *words)
    target.write_text('extends = "eyeriss"\nclock_mhz = 100\n')
    assert not is_taken(cli, model, output, *words)


def test_external_data_are_looked_into(cli: Cli, cache: Path, tmp_path: Path) -> None:
    path, weights, output = tmp_path / "m.onnx", tmp_path / "weights.bin", tmp_path / "p.cat"
    content = onnx_model(
        [onnx_node("MatMul", "x w", "y", "n")], {"x": [2, 40]}, "y", {"w": np.ones((40, 40), np.float32)}
    )
    onnx.save(content, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    os.utime(weights, (time.time() - 60,) * 2)
    assert [is_taken(cli, path, output) for _ in range(2)] == [False, True]
    before = output.read_bytes()
    weights.write_bytes(np.full((40, 40), 2, np.float32).tobytes())
    os.utime(weights, (time.time() - 30,) * 2)
    assert not is_taken(cli, path, output)
    assert output.read_bytes() != before
    assert is_taken(cli, path, output)


def test_what_changes_while_it_is_compiled_is_not_kept(
    cli: Cli, model: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = compiler.program_cache.KeptProgram.take

    def taking(*arguments: object) -> object:
        # another file in its place, as one that is written to is refused
        os.utime(shutil.copy(model, tmp_path / "other.onnx"))
        (tmp_path / "other.onnx").replace(model)
        return read(*arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(compiler.program_cache.KeptProgram, "take", taking)
    assert [is_taken(cli, model, tmp_path / "p.cat") for _ in range(2)] == [False, False]
    assert not cache.exists()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def write_another(path: Path) -> None:
    """Put a file in the place of a program that is intact, too."""
    with path.open("wb") as stream:
        write_sections([("metadata", [b"{}"])], stream)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a bit of the program": lambda folder: flip(next(folder.glob("*.cat"))),
    "another program": lambda folder: write_another(next(folder.glob("*.cat"))),
    "half a program": lambda folder: next(folder.glob("*.cat")).write_bytes(b"\x89CAT"),
    "no program": lambda folder: next(folder.glob("*.cat")).unlink(),
    "no note": lambda folder: next(folder.glob("*.json")).unlink(),
    "half a note": lambda folder: next(folder.glob("*.json")).write_text('{"digest":'),
    "another note": lambda folder: next(folder.glob("*.json")).write_text("[]"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_damaged_is_compiled_and_kept_anew(
    cli: Cli, model: Path, program: Path, cache: Path, tmp_path: Path, damage: str
) -> None:
    is_taken(cli, model, tmp_path / "p.cat")
    DAMAGE[damage](cache)
    assert [is_taken(cli, model, tmp_path / "p.cat") for _ in range(2)] == [False, True]
    assert (tmp_path / "p.cat").read_bytes() == program.read_bytes()


def test_what_is_kept_is_the_output_and_its_changes_are_noticed(
    cli: Cli, model: Path, program: Path, cache: Path, tmp_path: Path
) -> None:
    first = tmp_path / "p.cat"
    is_taken(cli, model, first)
    assert next(cache.glob("*.cat")).samefile(first)
    os.utime(first, (1, 1))
    assert is_taken(cli, model, tmp_path / "q.cat")
    assert first.stat().st_mtime == 1
    assert not first.samefile(tmp_path / "q.cat")
    flip(first)
    assert [is_taken(cli, model, tmp_path / "q.cat") for _ in range(2)] == [False, True]
    assert (tmp_path / "q.cat").read_bytes() == program.read_bytes()


def test_errors_are_those_of_the_compiler(cli: Cli, model: Path, cache: Path, tmp_path: Path) -> None:
    for words in (("-t", "none"), ("--mapping", tmp_path / "none.toml"), ("--set", "glb.banks=x")):
        result = cli("compile", model, "-o", tmp_path / "p.cat", *words)
        assert result.code == 2
        assert "error[CAT-C00" in result.err
    assert cli("compile", tmp_path / "none.onnx", "-o", tmp_path / "p.cat").code == 2


def test_the_programs_that_were_not_used_for_the_longest_time_go(
    cli: Cli, model: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "p.cat"
    is_taken(cli, model, output)
    size = output.stat().st_size
    monkeypatch.setattr(compiler.program_cache, "MOST_BYTES", size * 5 // 2)
    abandoned = cache / ".x.tmp"
    abandoned.write_text("")
    os.utime(abandoned, (0, 0))
    for path in cache.glob("*.json"):
        os.utime(path, (1, 1))
    is_taken(cli, model, output, "--set", "glb.banks=24")
    for path in cache.glob("*.json"):
        if path.stat().st_mtime > 1:
            os.utime(path, (2, 2))
    is_taken(cli, model, output, "--set", "glb.banks=23")
    assert not abandoned.exists()
    assert len(list(cache.glob("*.cat"))) == len(list(cache.glob("*.json"))) == 2
    assert is_taken(cli, model, output, "--set", "glb.banks=24")
    assert not is_taken(cli, model, output)
    monkeypatch.setattr(compiler.program_cache, "MOST_BYTES", 1)
    assert not is_taken(cli, model, output, "--set", "glb.banks=22")
    assert not is_taken(cli, model, output, "--set", "glb.banks=22")


def test_what_is_said_of_host_segments_is_said_again(cli: Cli, cache: Path, tmp_path: Path) -> None:
    nodes = [onnx_node("Relu", "x", "r"), onnx_node("NonZero", "r", "z", "where")]
    path = tmp_path / "m.onnx"
    onnx.save(onnx_model(nodes, {"x": [2, 3]}, "z"), path)
    words = ("compile", path, "-o", tmp_path / "p.cat", "--allow-fallback", "host")
    first, second = cli(*words), cli(*words)
    assert first.out == second.out != ""
    assert "(from the cache)" in second.err


def test_the_cache_is_cleared(cli: Cli, model: Path, cache: Path, tmp_path: Path) -> None:
    is_taken(cli, model, tmp_path / "p.cat")
    assert cli("cache", "--clear").code == 0
    assert list(cache.iterdir()) == []


def test_a_program_from_the_cache_needs_none_of_the_compiler(model: Path, cache: Path, tmp_path: Path) -> None:
    catena = Path(sys.executable).with_name("catena")
    words = [catena, "compile", model, "-o", tmp_path / "p.cat", "-q"]
    subprocess.run(words, check=True)
    code = (
        "import sys; from compiler.cli.main import execute\n"
        f"assert execute({[str(each) for each in words[1:]]!r}) == 0\n"
        "assert not {'xdsl', 'onnx', 'numpy', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_cache_that_cannot_be_written_is_named(
    cli: Cli, model: Path, cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.parent.parent.mkdir(parents=True, exist_ok=True)
    cache.parent.write_text("a file where the folder should be")
    assert cli("compile", model, "-o", tmp_path / "p.cat").code == 0
    said = f"the program is not kept for the next time: cannot write {cache}: Not a directory"
    assert said in [record.getMessage() for record in caplog.records]
