"""CPU time and peak memory of Catena beside ONNX Runtime and ONNX's ReferenceEvaluator in the same run.

    python benchmarks/run.py [--depth 50] [--size 224] [--layers 12] [--repeat 3] [--json FILE]

A ResNet in float and in int8 (`catena quantize`, a scale for every channel), and the encoder of BERT-base. Every
measurement is a process of its own; the smallest CPU time of the repetitions counts. Ratios are to the same row of
ONNX Runtime where there is one. Compilations begin with an empty cache, but for those that say what is in it. The exit
code is 1 if a bound of memory is missed; budgets of CPU time are those of `benchmarks/budgets.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CATENA = Path(sys.executable).with_name("catena")

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Of the processes that are measured: Python keeps the bytecode of what it imports, as where Catena is installed."""
ENVIRONMENT["CATENA_CACHE_DIR"] = ""

ORT_LOAD = "import onnxruntime as o; o.InferenceSession({model!r})"
ORT_RUN = """
import numpy, onnxruntime as o
session = o.InferenceSession({model!r})
session.run(None, {{"input": numpy.random.default_rng(0).random((1, 3, {size}, {size}), dtype=numpy.float32)}})
"""
REFERENCE_LOAD = "from onnx.reference import ReferenceEvaluator; ReferenceEvaluator({model!r})"
REFERENCE_RUN = """
import numpy
from onnx.reference import ReferenceEvaluator
evaluator = ReferenceEvaluator({model!r})
evaluator.run(None, {{"input": numpy.random.default_rng(0).random((1, 3, {size}, {size}), dtype=numpy.float32)}})
"""
ONNX_CHECK = "import onnx; onnx.checker.check_model({model!r}, full_check=True)"


SLOWEST_SEARCH = """
import json, resource, time
from compiler.compilation import CompileOptions, compile_source
from passes.searching.watching import watched
times = []
with watched(lambda progress: times.append((time.process_time(), time.perf_counter()))):
    compile_source({model!r}, CompileOptions(stop="mapped"))
slowest = max(zip(times, times[1:]), key=lambda pair: pair[1][0] - pair[0][0])
spent = [after - before for before, after in zip(*slowest)]
print(json.dumps([*spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""
"""The CPU and wall seconds of the search for the mapping of one layer, the slowest of a network."""


@dataclass(frozen=True)
class Measurement:
    """The cost of one process: CPU seconds of user and system, wall seconds, peak resident MiB; and its bound."""

    task: str
    who: str
    cpu: float
    wall: float
    memory: float
    memory_bound: float | None = None

    @property
    def is_within_bound(self) -> bool:
        """Whether the bound that the project sets itself holds."""
        return self.memory_bound is None or self.memory <= self.memory_bound


def measure(words: list[str], repeat: int, emptied: Path | None = None) -> tuple[float, float, float]:
    """The smallest CPU and wall seconds of some runs of a command, and the peak memory of the last in MiB.

    A folder that is to be `emptied` is so before every run.
    """
    cpu, wall, memory = float("inf"), float("inf"), 0.0
    for _ in range(repeat):
        if emptied is not None:
            shutil.rmtree(emptied, ignore_errors=True)
        # A process of its own, because the peak of finished children can only grow.
        code = (
            "import json, resource, subprocess, sys, time\n"
            "start = time.perf_counter()\n"
            "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)\n"
            "wall = time.perf_counter() - start\n"
            "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
            "if done.returncode: sys.exit(done.stderr.decode())\n"
            "print(json.dumps([used.ru_utime + used.ru_stime, wall, used.ru_maxrss]))\n"
        )
        seconds, elapsed, peak = _figures([sys.executable, "-c", code, *words])
        cpu, wall, memory = min(cpu, seconds), min(wall, elapsed), peak / 1024
    return cpu, wall, memory


def slowest_search(model: Path, repeat: int) -> tuple[float, float, float]:
    """As `measure`, of the search for the mapping of one layer, the slowest of a model."""
    found = [_figures([sys.executable, "-c", SLOWEST_SEARCH.format(model=str(model))]) for _ in range(repeat)]
    cpu, wall, memory = zip(*found, strict=True)
    return min(cpu), min(wall), memory[-1] / 1024


def _figures(command: list[str]) -> list[float]:
    """The numbers that a process prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout)


@dataclass(frozen=True)
class Models:
    """The networks that are measured, each in a file: a ResNet for images of `size`, the same in int8, and BERT."""

    resnet: Path
    int8: Path
    bert: Path
    size: int


def make_models(folder: Path, depth: int, size: int, layers: int) -> Models:
    """Generate the networks in a folder."""
    models = Models(folder / "resnet.onnx", folder / "int8.onnx", folder / "bert.onnx", size)
    generators = HERE / "models"
    shape = ["--depth", str(depth), "--size", str(size)]
    for script, words, output in (
        ("resnet.py", shape, models.resnet),
        ("bert.py", ["--layers", str(layers)], models.bert),
    ):
        subprocess.run([sys.executable, str(generators / script), *words, "--output", str(output)], check=True)
    subprocess.run(quantize_words(models), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return models


def quantize_words(models: Models) -> list[str]:
    """The command that makes the int8 model."""
    sources = [str(models.resnet), "-o", str(models.int8), "--calibrate", "random:2", "--per-channel"]
    return [str(CATENA), "quantize", *sources]


def measurements(models: Models, folder: Path, repeat: int) -> list[Measurement]:
    """All measurements, in the order of the table."""
    catena = str(CATENA)
    resnet, program, int8_program = str(models.resnet), str(folder / "resnet.cat"), str(folder / "int8.cat")

    def python(code: str, model: Path = models.resnet) -> list[str]:
        return [sys.executable, "-c", code.format(model=str(model), size=models.size)]

    def compiling(model: Path, output: str, *words: str, cache: Path = folder / "cache") -> list[str]:
        return [catena, "compile", str(model), "-o", output, "--cache-dir", str(cache), *words]

    kept = folder / "kept"
    plan: list[tuple[str, str, list[str], float | None]] = [
        ("start", "catena --help", [catena, "--help"], None),
        ("load", "catena, to stage import", [*compiling(models.resnet, os.devnull), "--to", "import"], None),
        ("load", "ONNX Runtime session", python(ORT_LOAD), None),
        ("load", "ReferenceEvaluator", python(REFERENCE_LOAD), None),
        ("check", "catena check", [catena, "check", resnet], None),
        ("check", "onnx.checker, full", python(ONNX_CHECK), None),
        ("compile", "catena compile", compiling(models.resnet, program), 1024.0),
        ("compile", "catena, compiled before", compiling(models.resnet, program, cache=kept), None),
        ("compile", "catena, mappings kept", compiling(models.resnet, program, "--timing", cache=kept), None),
        ("run", "catena run (emulator)", [catena, "run", program, "--random"], None),
        ("run", "ONNX Runtime", python(ORT_RUN), None),
        ("run", "ReferenceEvaluator", python(REFERENCE_RUN), None),
        ("quantize", "catena quantize", quantize_words(models), None),
        ("int8 load", "ONNX Runtime session", python(ORT_LOAD, models.int8), None),
        ("int8 compile", "catena compile", compiling(models.int8, int8_program), 1024.0),
        ("int8 run", "catena run (emulator)", [catena, "run", int8_program, "--random"], None),
        ("int8 run", "ONNX Runtime", python(ORT_RUN, models.int8), None),
        ("BERT load", "ONNX Runtime session", python(ORT_LOAD, models.bert), None),
        ("BERT compile", "catena compile", compiling(models.bert, str(folder / "bert.cat")), None),
    ]
    subprocess.run([*compiling(models.resnet, program, cache=kept), "-q"], check=True)
    found = [
        Measurement(task, who, *measure(words, repeat, folder / "cache"), memory_bound)
        for task, who, words, memory_bound in plan
    ]
    search = Measurement("map a layer", "catena, the slowest", *slowest_search(models.resnet, repeat))
    place = next(index for index, each in enumerate(found) if each.task == "run")
    return [*found[:place], search, *found[place:]]


def table(found: list[Measurement]) -> str:
    """The measurements as text, with ratios to ONNX Runtime doing the same task."""
    base = {each.task: each.cpu for each in found if each.who.startswith("ONNX Runtime")}
    rows = [("task", "who", "CPU s", "wall s", "MiB", "to ORT", "bound")]
    for each in found:
        ratio = f"{each.cpu / base[each.task]:.1f}x" if each.task in base else ""
        bound = "" if each.memory_bound is None else f"{each.memory_bound:g} MiB"
        verdict = bound and f"{bound} {'ok' if each.is_within_bound else 'MISSED'}"
        rows.append((each.task, each.who, f"{each.cpu:.2f}", f"{each.wall:.2f}", f"{each.memory:.0f}", ratio, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def main() -> int:
    """Measure and print; the exit code is 1 if a bound of memory is missed."""
    parser = argparse.ArgumentParser(description="Measure Catena on ResNet-50 and BERT-base.")
    parser.add_argument("--depth", type=int, choices=(18, 50), default=50)
    parser.add_argument("--size", type=int, default=224, help="height and width of the image")
    parser.add_argument("--layers", type=int, default=12, help="layers of the BERT encoder")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measurements as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = make_models(folder, arguments.depth, arguments.size, arguments.layers)
        found = measurements(models, folder, arguments.repeat)
    cores = os.cpu_count()
    what = f"ResNet-{arguments.depth}, {arguments.size} x {arguments.size}, batch 1; BERT of {arguments.layers} layers"
    print(f"{what}; {cores} cores; best of {arguments.repeat}\n\n{table(found)}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(each) for each in found], indent=1) + "\n")
    return 0 if all(each.is_within_bound for each in found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
