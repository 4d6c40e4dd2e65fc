"""The search for mappings as the command line asks for it: the cache, marks, limits, objectives, interrupts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

import compiler
from backends.container import read_program
from compiler.cache_folder import VARIABLE, cache_folder
from compiler.compilation import CompileOptions, compile_source, target_for
from compiler.searching import search_options
from compiler.stage_passes import StagePasses
from compiler.stages import stage_named
from dialects.diagnostics import CatenaError
from passes.searching.options import SearchingPass, SearchOptions
from tests.compiler.conftest import Cli
from tests.onnx_models import onnx_model, onnx_node

OBJECTIVES = ("energy", "latency", "edp", "traffic")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for the test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv(VARIABLE, str(folder))
    return folder


@pytest.fixture(scope="session")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two convolutions with so many mappings on a machine without a dataflow that no test waits for the best."""
    nodes = [onnx_node("Conv", "x v", "y", "first"), onnx_node("Conv", "y w", "z", "second")]
    random = np.random.default_rng(0)
    weights = {name: random.random((48, 48, 3, 3), np.float32) for name in "vw"}
    path = tmp_path_factory.mktemp("slow") / "slow.onnx"
    onnx.save(onnx_model(nodes, {"x": [1, 48, 20, 20]}, "z", weights), path)
    return path


FREE = """
name = "free"
clock_mhz = 100
word_bits = 16
[levels.dram]
kind = "memory"
read = 4
[levels.buffer]
kind = "memory"
words = 4096
[levels.x]
kind = "axis"
size = 12
multicast = ["I", "K"]
reduces = true
[levels.rf]
kind = "memory"
words = 64
operands = ["O"]
[accesses.dram]
energy = 200
events = { "dram.input.read" = 1, "dram.kernel.read" = 1, "dram.output.update" = 1, "dram.output.add" = 1 }
[accesses.buffer]
energy = 6
events = { "buffer.input.read" = 1, "buffer.kernel.read" = 1, "buffer.output.update" = 1, "buffer.output.add" = 1 }
"""


@pytest.fixture(scope="session")
def free(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine without a dataflow: the search is among all mappings."""
    path = tmp_path_factory.mktemp("free") / "free.toml"
    path.write_text(FREE)
    return path


def searches(cli: Cli, cnn: Path, output: Path, *words: object) -> dict[str, int]:
    """How many mappings of a model were known and searched, in a compilation that is timed, and so really made."""
    result = cli("compile", cnn, "-o", output, "--json", "--timing", *words)
    assert result.code == 0
    return result.json["result"]["searches"]


def test_a_warm_cache_gives_the_same_bytes(cli: Cli, cnn: Path, program: Path, cache: Path, tmp_path: Path) -> None:
    output = tmp_path / "p.cat"
    assert searches(cli, cnn, output) == {"total": 3, "cached": 0, "searched": 3}
    for words, cached in (((), 3), (("--cache-dir", tmp_path / "other"), 0), (("--no-cache",), 0), (("-j", "2"), 3)):
        output.unlink()
        assert searches(cli, cnn, output, *words)["cached"] == cached
        assert output.read_bytes() == program.read_bytes()
    assert len(list((cache / "mappings").rglob("*.json"))) == 3


def test_without_a_folder_nothing_is_kept(cli: Cli, cnn: Path, tmp_path: Path) -> None:
    assert os.environ[VARIABLE] == ""
    for _ in range(2):
        assert searches(cli, cnn, tmp_path / "p.cat")["cached"] == 0


@pytest.mark.parametrize(
    "words",
    [("--objective", "energy"), ("--set", "glb.banks=20"), ("-t", "systolic")],
    ids=["objective", "machine", "target"],
)
def test_what_differs_is_searched_again(cli: Cli, cnn: Path, cache: Path, tmp_path: Path, words: tuple[str]) -> None:
    searches(cli, cnn, tmp_path / "p.cat")
    assert searches(cli, cnn, tmp_path / "q.cat", *words)["cached"] == 0


def test_every_layer_says_how_good_its_mapping_is(cli: Cli, cnn: Path, tmp_path: Path) -> None:
    path, statistics = tmp_path / "p.cat", tmp_path / "s.json"
    assert cli("compile", cnn, "-o", path, "--dump-ir", tmp_path / "ir").code == 0
    for stage in ("05-mapped", "06-placed"):
        text = (tmp_path / "ir" / f"{stage}.mlir").read_text()
        assert text.count("search = #schedule.search<edp in row_stationary, optimal>") == 3
    found = {"objective": "edp", "space": "row_stationary", "gap": 0.0}
    assert [layer["search"] for layer in cli("report", path, "--json").json["result"]["layers"]] == [found] * 3
    shown = cli("report", path).out
    assert "mapped for least edp among row-stationary mappings: optimal" in shown
    assert sum(line.endswith("  optimal") for line in shown.splitlines()) == 3
    assert cli("run", path, "--random", "--stats", statistics).code == 0
    assert cli("report", path, "--stats", statistics).out.count("  optimal") == 3
    assert json.loads(statistics.read_text())["layers"][0]["search"] == found
    assert cli("disasm", path, "-o", tmp_path / "p.s").code == 0
    assert cli("asm", tmp_path / "p.s", "-o", tmp_path / "q.cat").code == 0
    assert (tmp_path / "q.cat").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("target", "objectives"),
    [("eyeriss", OBJECTIVES), ("eyeriss-256", OBJECTIVES), ("free", ("energy", "traffic"))],
    ids=["row-stationary", "dataflow", "free"],
)
def test_the_objective_acts_on_every_kind_of_machine(
    cnn: Path, free: Path, target: str, objectives: tuple[str, ...]
) -> None:
    machine = free if target == "free" else target
    compiled = {each: compiler.compile(cnn, target=machine, objective=each, no_cache=True) for each in objectives}
    for objective, found in compiled.items():
        assert found.program is not None
        assert {layer.search.objective for layer in found.program.layers if layer.search} == {objective}
    mappings = {tuple(layer.mapping for layer in found.program.layers) for found in compiled.values() if found.program}
    assert len(mappings) > 1


def test_a_time_limit_leaves_a_program_with_gaps(cli: Cli, slow: Path, free: Path, cache: Path, tmp_path: Path) -> None:
    words = ("-t", free, "--time-limit", "0.01")
    assert searches(cli, slow, tmp_path / "p.cat", *words)["searched"] == 2
    gaps = [layer.search.gap for layer in read_program(tmp_path / "p.cat").layers if layer.search]
    assert len(gaps) == 2
    assert min(gaps) > 0
    assert "gaps up to" in cli("report", tmp_path / "p.cat").out
    assert searches(cli, slow, tmp_path / "q.cat", *words)["searched"] == 0
    assert (tmp_path / "q.cat").read_bytes() == (tmp_path / "p.cat").read_bytes()
    assert cli("verify", tmp_path / "p.cat", "--model", slow).code == 0


@pytest.mark.parametrize("words", [("--objective", "energy"), ("--time-limit", "3"), ("-j", "2"), ("--scheduler", "x")])
def test_options_that_would_not_be_used_are_refused(cli: Cli, cnn: Path, words: tuple[str, str]) -> None:
    result = cli("compile", cnn, "--to", "fused", "-o", "-", *words)
    assert result.code == 2
    assert "is of no use without stage mapped" in result.err


@pytest.mark.parametrize("words", [("-j", "0"), ("--time-limit", "0"), ("--objective", "speed")])
def test_values_that_make_no_sense_are_refused(cli: Cli, cnn: Path, words: tuple[str, str]) -> None:
    assert cli("compile", cnn, "-o", os.devnull, *words).code == 2


def test_a_limit_that_is_no_number_is_refused_as_an_option(cli: Cli, cnn: Path) -> None:
    result = cli("compile", cnn, "-o", os.devnull, "--time-limit", "nan")
    assert result.code == 2
    assert "'--time-limit': nan is not a number" in result.err


@pytest.mark.parametrize("target", ["eyeriss", "generic", "spots"])
def test_groups_are_judged_by_an_objective_on_every_machine_that_has_them(cli: Cli, cnn: Path, target: str) -> None:
    words = ("compile", cnn, "-t", target, "-o", os.devnull, "--fuse", "--timing", "--no-cache")
    asked, not_asked = cli(*words, "--objective", "latency"), cli(*words)
    assert (asked.code, not_asked.code) == (0, 0), asked.err + not_asked.err
    # on levels groups are chosen by it, elsewhere those that cost more are taken apart
    how = 'least="latency"' if target == "generic" else "dissolve-groups"
    assert how in asked.err + asked.out
    by_product = "dissolve-groups{product=true}" in not_asked.err + not_asked.out
    assert by_product is (target == "eyeriss")
    assert by_product or "dissolve-groups" not in not_asked.err + not_asked.out
    if target == "eyeriss":
        # nests would have less room beside what stays
        assert "fuse-layers{staying=0}" in not_asked.err + not_asked.out


def test_an_objective_that_does_not_exist_has_a_hint() -> None:
    with pytest.raises(CatenaError) as caught:
        search_options("enrgy")
    assert "energy" in caught.value.diagnostics[0].hint


def test_a_scheduler_that_does_not_answer_is_named(cli: Cli, cnn: Path) -> None:
    pytest.importorskip("distributed")
    result = cli("compile", cnn, "-o", os.devnull, "--scheduler", "nonsense://nowhere")
    assert result.code == 2
    assert "no Dask scheduler answers at nonsense://nowhere" in result.err
    assert "start one with `dask scheduler`" in result.err


def test_two_compilations_at_once_share_a_cache(cnn: Path, program: Path, cache: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / f"{index}.cat" for index in range(3)]
    catena = Path(sys.executable).with_name("catena")
    running = [subprocess.Popen([catena, "compile", cnn, "-o", output, "-q"]) for output in outputs]
    assert [each.wait() for each in running] == [0, 0, 0]
    assert {output.read_bytes() for output in outputs} == {program.read_bytes()}


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupt_ends_with_130_and_nothing_half_done(
    slow: Path, free: Path, cache: Path, tmp_path: Path, jobs: int
) -> None:
    catena, output = Path(sys.executable).with_name("catena"), tmp_path / "p.cat"
    words = [catena, "compile", slow, "-o", output, "-t", free, "--time-limit", "600", "-j", str(jobs), "-v"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("0/2 distinct layers mapped" in line for line in process.stderr)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline().startswith("interrupted: going on")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
        assert process.stderr.read().endswith("interrupted\n")
    assert not output.exists()
    assert all(path.suffix == ".json" for path in cache.rglob("*") if path.is_file())


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_first_interrupt_ends_searches_with_the_best_found(
    cli: Cli, slow: Path, free: Path, cache: Path, tmp_path: Path, jobs: int
) -> None:
    """To all processes, as from a terminal, as soon as searches begin: those of others must not end by it."""
    catena, output = Path(sys.executable).with_name("catena"), tmp_path / "p.cat"
    words = [catena, "compile", slow, "-o", output, "-t", free, "--time-limit", "600", "-j", str(jobs), "-v"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        assert any("0/2 distinct layers mapped" in line for line in process.stderr)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=120) == 0
        said = process.stderr.read()
    assert "interrupted: going on" in said
    assert "searches were interrupted" in said
    layers = cli("report", output, "--json").json["result"]["layers"]
    assert any(each["search"]["gap"] > 0 for each in layers if each.get("search"))
    again = cli("compile", slow, "-o", tmp_path / "q.cat", "-t", free, "--time-limit", "1", "--json").json["result"]
    assert again["searches"]["cached"] == 0


@pytest.mark.parametrize("objective", [[], ["--objective", "edp"]])
def test_the_first_interrupt_ends_the_choice_of_groups(cnn: Path, tmp_path: Path, objective: list[str]) -> None:
    """As soon as groups are being chosen, before any mapping is searched."""
    catena, output = Path(sys.executable).with_name("catena"), tmp_path / "p.cat"
    words = [catena, "compile", cnn, "-o", output, "-t", "generic", "--fuse", "--no-cache", "-v", *objective]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        assert any("choosing groups of layers" in line for line in process.stderr)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=120) == 0
        said = process.stderr.read()
    assert "interrupted: going on" in said
    assert "searches were interrupted" in said
    assert output.exists()


@pytest.mark.parametrize("target", ["generic", "eyeriss"])
def test_the_time_limit_is_of_all_passes_that_search(target: str, cnn: Path) -> None:
    options = CompileOptions(target=target, fuse=True, search=SearchOptions(time_limit=8))
    known = target_for(target, {}, True)
    passes = StagePasses(options).of(stage_named("mapped"), known)
    limits = {step.name: step.time_limit for step in passes if isinstance(step, SearchingPass)}
    assert limits["fuse-layers"] == 4
    judging = limits.get("dissolve-groups") or 0
    assert sum(limit or 0 for limit in limits.values()) + judging == 8
    _compile_in_no_time(cnn, target)


def test_the_choice_of_groups_has_a_limit_where_mappings_are_found_at_once(cnn: Path) -> None:
    _compile_in_no_time(cnn, "spots")


def _compile_in_no_time(cnn: Path, target: str) -> None:
    """No groups are found."""
    nothing = CompileOptions(target=target, fuse=True, search=SearchOptions(time_limit=1e-6))
    program = compile_source(str(cnn), nothing).program
    assert program is not None
    assert not program.groups


def test_the_cache_is_shown_and_cleared(cli: Cli, cnn: Path, cache: Path, tmp_path: Path) -> None:
    searches(cli, cnn, tmp_path / "p.cat")
    stranger = cache / "mappings" / "ab" / "notes.txt"
    stranger.parent.mkdir(exist_ok=True)
    stranger.write_text("not ours\n")
    kept = cli("cache", "--json").json["result"]
    assert kept["folder"] == str(cache)
    assert {each["kind"]: each["files"] for each in kept["kept"]}["mappings"] == 3
    assert str(cache) in cli("cache").out
    assert cli("cache", "--clear").code == 0
    assert [path for path in cache.rglob("*") if path.is_file()] == [stranger]
    assert cli("cache", "--cache-dir", tmp_path / "none").code == 0
    assert "nothing is kept" in cli("cache", "--cache-dir", "").out


def test_the_cache_lies_where_the_platform_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / ".cache" / "catena"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_folder() == tmp_path / "x" / "catena"
    monkeypatch.setenv(VARIABLE, "")
    assert cache_folder() is None
    assert cache_folder("here") == Path("here")
