"""Killed at any moment, on a full disk, in a locked folder, beside another: nothing half is ever accepted."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from xml.etree import ElementTree

import pytest

from backends import files
from backends.container import read_program
from compiler.cache_folder import VARIABLE
from compiler.optimization import load_module
from compiler.sources import ImportOptions
from tests.compiler.conftest import Cli
from tests.compiler.processes import Command
from tests.compiler.small_models import save_model
from tests.end_to_end.networks import NETWORKS

NOBODY = 65534

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked")


@pytest.fixture
def shared_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that all commands of a test use."""
    folder = tmp_path / "cache"
    monkeypatch.setenv(VARIABLE, str(folder))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_model(NETWORKS["residual"](), tmp_path / "model.onnx")


def finished(*words: object) -> float:
    """Run a command to its end; the seconds that it took."""
    ended = Command(words).wait()
    assert ended.code == 0, ended.text
    return ended.seconds


def kills(count: int) -> pytest.MarkDecorator:
    """So many kills in every test run, or all fifty of them in the exhaustive one."""
    return pytest.mark.parametrize("count", [count, pytest.param(50, marks=pytest.mark.exhaustive)])


def killed_turns(count: int, seconds: float, words_of_turn: Callable[[int], list[object]]) -> Iterator[int]:
    """Run commands until so many were killed, at random moments of the time that they take; the number of each.

    A command that ends before its moment counts as a turn, not as killed, and says how long one takes: the first, which
    `seconds` is of, found nothing in memory or in the cache.
    """
    random, killed, turn = Random(count), 0, 0
    while killed < count:
        assert turn < 20 * count, "hardly any command was killed"
        ended = Command(words_of_turn(turn)).kill_after(random.random() * seconds)
        if ended.code < 0:
            killed += 1
        else:
            assert ended.code == 0, ended.text
            seconds = min(seconds, ended.seconds)
        yield turn
        turn += 1


@kills(8)
def test_compile_killed_at_random_moments(count: int, model: Path, shared_cache: Path, tmp_path: Path) -> None:
    """The program is not there, or whole; so is every stage's IR; and the cache never changes what comes out."""
    right = tmp_path / "right.cat"
    seconds = finished("compile", model, "-o", right, "--no-cache")

    def words_of_turn(turn: int) -> list[object]:
        folder = tmp_path / str(turn)
        folder.mkdir()
        return ["compile", model, "-o", folder / "p.cat", "--dump-ir", folder / "ir"]

    for turn in killed_turns(count, seconds, words_of_turn):
        folder = tmp_path / str(turn)
        if (folder / "p.cat").exists():
            assert (folder / "p.cat").read_bytes() == right.read_bytes()
        for path in (folder / "ir").glob("*.mlir"):
            load_module(str(path), ImportOptions())
        again = tmp_path / "again.cat"
        if turn % 4 == 3:
            finished("compile", model, "-o", again)
            assert again.read_bytes() == right.read_bytes()


@kills(4)
def test_explore_killed_at_random_moments(count: int, model: Path, shared_cache: Path, tmp_path: Path) -> None:
    """The figure is not there, or a whole SVG file."""
    figure = tmp_path / "figure.svg"
    words: list[object] = ["explore", model, "-t", "generic", "--size", 512, "-o", figure]
    seconds = finished(*words)
    right = figure.read_bytes()

    def words_of_turn(turn: int) -> list[object]:
        if turn % 2 == 0:
            figure.unlink()
        return words

    for turn in killed_turns(count, seconds, words_of_turn):
        if figure.exists() or turn % 2:
            assert figure.read_bytes() == right
            ElementTree.fromstring(right)
        figure.write_bytes(right)


SPACE = """\
[targets.eyeriss]
glb.banks = [20, 27]
"""


@kills(3)
def test_a_space_killed_at_random_moments(count: int, model: Path, shared_cache: Path, tmp_path: Path) -> None:
    """Files are not there, or whole; points that were tried are kept, and no half of one is ever taken for one."""
    space, table = tmp_path / "space.toml", tmp_path / "points.csv"
    space.write_text(SPACE)
    words: list[object] = ["explore", model, "--space", space, "-o", table]
    seconds = finished(*words, "--no-cache")
    right = table.read_bytes()

    def words_of_turn(turn: int) -> list[object]:
        table.unlink(missing_ok=True)
        if turn % 3 == 0:
            shutil.rmtree(shared_cache, ignore_errors=True)
        return words

    for turn in killed_turns(count, seconds, words_of_turn):
        assert not table.exists() or table.read_bytes() == right
        if turn % 8 == 7:
            finished(*words)
            assert table.read_bytes() == right
    finished(*words)
    assert table.read_bytes() == right


VERBS: dict[str, Callable[[Path, Path, Path], list[object]]] = {
    "compile": lambda model, program, out: ["compile", model, "-o", out / "new.cat"],
    "compile to IR": lambda model, program, out: ["compile", model, "--to", "fused", "-o", out / "new.mlir"],
    "run": lambda model, program, out: ["run", program, "--random", "-o", out / "new.npz"],
    "disasm": lambda model, program, out: ["disasm", program, "-o", out / "new.s"],
    "explore": lambda model, program, out: [
        "explore",
        model,
        "--space",
        program.parent / "space.toml",
        "-o",
        out / "new.html",
    ],
}
"""Commands that write files."""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model and its program."""
    folder = tmp_path_factory.mktemp("compiled")
    source = save_model(NETWORKS["residual"](), folder / "model.onnx")
    finished("compile", source, "-o", folder / "p.cat")
    (folder / "space.toml").write_text("[targets.eyeriss]\n")
    return source, folder / "p.cat"


@pytest.mark.parametrize("room", [0, 100])
@pytest.mark.parametrize("verb", VERBS)
def test_a_file_that_may_not_grow(verb: str, room: int, compiled: tuple[Path, Path], tmp_path: Path) -> None:
    """As on a disk that is full: an error that says so, the old file as it was, nothing left behind."""
    out = tmp_path / "out"
    out.mkdir()
    words = VERBS[verb](*compiled, out)
    old = Path(str(words[-1]))
    old.write_bytes(b"what was there before")

    limit = (room, resource.RLIM_INFINITY)
    ended = Command(words, partial(resource.setrlimit, resource.RLIMIT_FSIZE, limit)).wait()
    assert ended.code == 2, ended.text
    assert "CAT-C002" in ended.text
    assert "Traceback" not in ended.text
    assert old.read_bytes() == b"what was there before"
    assert {path.name for path in out.iterdir()} <= {old.name, "weights"}
    assert not [path for path in out.rglob("*") if path.suffix == ".tmp"]


@pytest.mark.parametrize("written", [0, 1, 700])
def test_a_full_disk(
    written: int, compiled: tuple[Path, Path], tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No space is left after some bytes: the same."""
    out = tmp_path / "new.cat"
    out.write_bytes(b"old")
    real = os.fdopen

    class Full:
        def __init__(self, handle: int, mode: str):
            self._stream, self._left = real(handle, mode), written

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self._stream.close()

        def write(self, data: bytes) -> int:
            self._left -= len(data)
            if self._left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self._stream.write(data)

        def __getattr__(self, name: str) -> object:
            return getattr(self._stream, name)

    monkeypatch.setattr(files.os, "fdopen", Full)
    result = cli("compile", compiled[0], "-o", out)
    monkeypatch.undo()
    assert (result.code, out.read_bytes()) == (2, b"old")
    assert "No space left on device" in result.err
    assert f"hint:     there is no room left for it in {tmp_path}; nothing was written" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["new.cat"]


@pytest.fixture
def locked() -> Iterator[Path]:
    """A folder that nobody may write to, not even root who becomes somebody else."""
    folder = Path(tempfile.mkdtemp())
    (folder / "old.cat").write_bytes(b"old")
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
    yield folder
    folder.chmod(stat.S_IRWXU)
    shutil.rmtree(folder)


def become_nobody() -> None:
    """So that permissions count."""
    if os.geteuid() == 0:
        os.setuid(NOBODY)


def test_a_folder_that_cannot_be_written(
    locked: Path, compiled: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(locked / "cache"))
    # The model has to be where others may read it.
    model = Path(tempfile.gettempdir()) / f"{locked.name}.onnx"
    shutil.copy(compiled[0], model)

    try:
        # Whoever cannot read the compiler's own files has another reason to fail.
        allowed = Command(["check", model], become_nobody).wait()
        if allowed.code != 0:
            pytest.skip("another user cannot run the compiler")
        for name in ("new.cat", "old.cat"):
            ended = Command(["compile", model, "-o", locked / name], become_nobody).wait()
            assert ended.code == 2, ended.text
            assert "CAT-C002" in ended.text
            assert "ermission denied" in ended.text
            assert f"this user may not write in {locked}: choose another folder" in ended.text
    finally:
        model.unlink()
    assert [path.name for path in locked.iterdir()] == ["old.cat"]
    assert (locked / "old.cat").read_bytes() == b"old"


@pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=pytest.mark.exhaustive)])
def test_compiles_that_share_a_cache(rounds: int, shared_cache: Path, tmp_path: Path) -> None:
    """Two compilations of one model and one of another at the same time, again and again: always the same programs."""
    models = {name: save_model(NETWORKS[name](), tmp_path / f"{name}.onnx") for name in ("residual", "classifier")}
    right: dict[str, bytes] = {}
    for name, path in models.items():
        finished("compile", path, "-o", tmp_path / "right.cat", "--no-cache")
        right[name] = (tmp_path / "right.cat").read_bytes()
    for turn in range(rounds):
        if turn % 2 == 0:
            shutil.rmtree(shared_cache, ignore_errors=True)
        jobs = ["residual", "residual", "classifier"]
        outputs = [tmp_path / f"{turn}-{number}.cat" for number in range(len(jobs))]
        running = [Command(["compile", models[name], "-o", output]) for name, output in zip(jobs, outputs, strict=True)]
        assert [command.wait().code for command in running] == [0] * len(jobs)
        for name, output in zip(jobs, outputs, strict=True):
            assert output.read_bytes() == right[name]
            read_program(output)
    kept = list((shared_cache / "programs").glob("*.cat"))
    assert len(kept) == len(models)
    assert not list(shared_cache.rglob("*.tmp"))
