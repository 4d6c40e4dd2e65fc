"""Catena beside ONNX Runtime, ReferenceEvaluator, IREE, TVM, Vela and ZigZag in one run.

    python benchmarks/peers.py [--network NAME] [--mappings NAME] [--environments DIR] [--output docs/benchmarks.md]

Every peer is installed with pip into an environment of its own, in a temporary folder unless one is given; one that
does not install, or does not take a network, is a row that says why. Networks and the image are made up from a seed.
Every figure is of this run: CPU seconds of whole processes, user and system, the least of some runs; of a second run in
the same process; peak memory; how far outputs are from ONNX Runtime's. Mappings are compared by `benchmarks/zigzag.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE / "peers"
CATENA = Path(sys.executable).with_name("catena")
TARGET = "eyeriss"
NETWORKS = {
    "resnet50": ("ResNet-50", "resnet.py", ("--depth", "50")),
    "mobilenet_v2": ("MobileNet-v2", "mobilenet_v2.py", ()),
    "resnet18-64": ("ResNet-18, 64 x 64", "resnet.py", ("--depth", "18", "--size", "64")),
}
"""Networks by name: title, a script of `benchmarks/models` and its arguments."""
COMPILE, RUN = "compile", "run"
REASON = 110
"""Characters of why something was not measured."""


@dataclass(frozen=True)
class Peer:
    """A tool, the packages that pip installs for it, and what it is set beside ours in."""

    name: str
    packages: tuple[str, ...]
    what: str


PEERS = (
    Peer("IREE", ("iree-base-compiler", "iree-base-runtime", "onnx"), "compiles for this CPU (llvm-cpu, host)"),
    Peer("TVM", ("apache-tvm", "onnx"), "compiles for this CPU (llvm, untuned)"),
    Peer("Vela", ("ethos-u-vela",), "compiles TFLite and TOSA for Ethos-U, and has no emulator; reads no ONNX"),
    Peer("ZigZag", ("zigzag-dse==3.9.1", "six"), "searches mappings; makes no code"),
)


@dataclass(frozen=True)
class Row:
    """What one tool did with one network: CPU seconds and MiB, or the reason why there is nothing.

    `again` are the CPU seconds of a second run in the same process, `error` the largest difference to ONNX Runtime's
    outputs as a share of the largest of these.
    """

    network: str
    task: str
    who: str
    cpu: float | None = None
    memory: float | None = None
    again: float | None = None
    error: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class MappingRow:
    """Mappings of a network on one machine by both searches: ratios ours by ZigZag's, and CPU seconds of both."""

    network: str
    objective: str
    ratio: float
    worst: float
    ours: float
    theirs: float


@dataclass
class Bench:
    """One run: where it works, what is installed where or why not, and what was found."""

    folder: Path
    repeat: int
    pythons: dict[str, Path] = field(default_factory=dict[str, Path])
    missing: dict[str, str] = field(default_factory=dict[str, str])
    versions: dict[str, str] = field(default_factory=dict[str, str])
    rows: list[Row] = field(default_factory=list[Row])
    mappings: list[MappingRow] = field(default_factory=list[MappingRow])

    def install(self, environments: Path) -> None:
        """Every peer, in an environment of its own."""
        for peer in PEERS:
            try:
                self.pythons[peer.name] = installed(peer, environments)
            except RuntimeError as error:
                self.missing[peer.name] = str(error)
                continue
            self.versions[peer.name] = version_in(self.pythons[peer.name], peer.packages[0].partition("==")[0])

    def network(self, name: str) -> None:
        """All rows of a network."""
        title, script, words = NETWORKS[name]
        model, given = self.folder / f"{name}.onnx", self.folder / f"{name}.npy"
        subprocess.run([sys.executable, HERE / "models" / script, *words, "--output", model], check=True)
        np.save(given, np.random.default_rng(0).random(input_shape(model), dtype=np.float32))
        work = Work(self, title, model, given, self.folder)
        work.ours()
        for peer in PEERS:
            work.peer(peer)

    def compare_mappings(self, names: Sequence[str]) -> None:
        """Our mapper beside ZigZag's, on its own machine."""
        import zigzag

        if "ZigZag" not in self.pythons or not names:
            return
        chosen = [network for network in zigzag.NETWORKS if network.name in names]
        peer = zigzag.run_peer(chosen, self.pythons["ZigZag"])
        ours = zigzag.run_ours(chosen, peer, zigzag.EFFORT)
        for result in zigzag.results(chosen, peer, ours):
            for objective in zigzag.OBJECTIVES:
                ratio = result.total("ours", objective) / result.total("peer", objective)
                worst = max(layer.ratio(objective) for layer in result.layers)
                seconds = (result.seconds(side, objective) for side in ("ours", "peer"))
                self.mappings.append(MappingRow(result.network.title, objective, ratio, worst, *seconds))


@dataclass(frozen=True)
class Work:
    """One network for every tool."""

    bench: Bench
    title: str
    model: Path
    given: Path
    folder: Path

    def ours(self) -> None:
        """ONNX Runtime, whose outputs all others are compared with, the reference, and Catena."""
        program = self.folder / f"{self.model.stem}.cat"
        compiled = [CATENA, "compile", self.model, "-t", TARGET, "-o", program, "--no-cache", "-q"]
        self._compile(f"Catena ({TARGET})", [compiled])
        code = f"import onnxruntime as o; o.InferenceSession({str(self.model)!r})"
        self._compile("ONNX Runtime (session)", [[sys.executable, "-c", code]])
        self._run("ONNX Runtime", sys.executable, "onnx_runtime.py", self.model)
        self._run("ReferenceEvaluator", sys.executable, "reference.py", self.model)
        self._run(f"Catena's emulator ({TARGET})", sys.executable, "catena_run.py", program)

    def peer(self, peer: Peer) -> None:
        """One of the peers that take ONNX; the reason where it does not."""
        if peer.name in self.bench.missing:
            self._add(Row(self.title, COMPILE, peer.name, reason=self.bench.missing[peer.name]))
            return
        python = self.bench.pythons[peer.name]
        match peer.name:
            case "IREE":
                self._iree(python)
            case "TVM":
                library = self.folder / f"{self.model.stem}.so"
                self._compile("TVM", [[python, SCRIPTS / "tvm_compile.py", self.model, library]])
                self._run("TVM", python, "tvm_run.py", library)
            case "Vela":
                words = [python.with_name("vela"), self.model, "--output-dir", self.folder / "vela"]
                self._compile("Vela", [words])
            case _:
                pass  # what only searches mappings is compared in these

    def _iree(self, python: Path) -> None:
        self._compile("IREE", iree_words(python, self.model, self.folder))
        self._run("IREE", python, "iree_run.py", self.folder / f"{self.model.stem}.vmfb")

    def _compile(self, who: str, commands: Sequence[Sequence[object]]) -> None:
        total, memory = 0.0, 0.0
        for words in commands:
            try:
                seconds, peak, _ = measured(words, self.bench.repeat)
            except RuntimeError as error:
                self._add(Row(self.title, COMPILE, who, reason=explained(str(error))))
                return
            total, memory = total + seconds, max(memory, peak)
        self._add(Row(self.title, COMPILE, who, total, memory))

    def _run(self, who: str, python: object, script: str, what: Path) -> None:
        if not what.exists():
            return  # it was not compiled, which is said there
        output = self.folder / f"{self.model.stem}-{script}.npy"
        try:
            seconds, peak, printed = measured([python, SCRIPTS / script, what, self.given, output], self.bench.repeat)
        except RuntimeError as error:
            self._add(Row(self.title, RUN, who, reason=str(error)))
            return
        expected = np.load(self.folder / f"{self.model.stem}-onnx_runtime.py.npy").astype(np.float64)
        difference = np.abs(np.load(output).astype(np.float64) - expected).max() / np.abs(expected).max()
        again = min(float(text.split()[-1]) for text in printed)
        self._add(Row(self.title, RUN, who, seconds, peak, again, float(difference)))

    def _add(self, row: Row) -> None:
        self.bench.rows.append(row)
        print(row, file=sys.stderr, flush=True)


def installed(peer: Peer, environments: Path) -> Path:
    """The interpreter of an environment with what pip installs of a peer; raises `RuntimeError` with its complaint."""
    python = environments / peer.name.lower() / "bin" / "python"
    if not python.exists():
        venv.create(python.parents[1], with_pip=True)
    words = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *peer.packages]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"pip does not install it: {complaint(done.stderr)}")
    return python


def iree_words(python: Path, model: Path, folder: Path) -> tuple[list[object], list[object]]:
    """The commands by which IREE imports a model and compiles it for this CPU, to files of its name in a folder."""
    text, weights, module = (folder / f"{model.stem}{suffix}" for suffix in (".iree.mlir", ".irpa", ".vmfb"))
    imported = [python.with_name("iree-import-onnx"), model, "-o", text]
    imported += ["--externalize-params", "--save-params-to", weights]
    device = ["--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu"]
    return imported, [python.with_name("iree-compile"), text, *device, "--iree-llvmcpu-target-cpu=host", "-o", module]


def measured(words: Sequence[object], repeat: int) -> tuple[float, float, list[str]]:
    """The least CPU seconds of some runs of a command, its peak in MiB, and what the runs printed.

    Raises `RuntimeError` with its complaint if it fails.
    """
    from run import ENVIRONMENT

    code = (
        "import json, resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], capture_output=True, text=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "seconds = used.ru_utime + used.ru_stime\n"
        "print(json.dumps([done.returncode, seconds, used.ru_maxrss / 1024, done.stdout, done.stderr]))\n"
    )
    # Peers' interpreters find what they import in their own environments.
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "PYTHONPATH" or is_ours(words[0])}
    least, peak, printed = float("inf"), 0.0, list[str]()
    for _ in range(repeat):
        command = [sys.executable, "-c", code, *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        status, seconds, memory, out, err = json.loads(done.stdout)
        if status:
            raise RuntimeError(complaint(err or out))
        least, peak = min(least, seconds), max(peak, memory)
        printed.append(out)
    return least, peak, printed


def is_ours(command: object) -> bool:
    """Whether a command is of this interpreter's environment."""
    return Path(str(command)).parent == Path(sys.executable).parent


def explained(said: str) -> str:
    """What a complaint means, where it does not say so itself: Vela finds no network in a file that it cannot read."""
    return "reads TFLite and TOSA, no ONNX" if "No networks defined via GraphAPI" in said else said


def complaint(text: str) -> str:
    """The first line of what a command printed that says `error:`, else the last one, shortened."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("[notice]")]
    said = [line[line.index("error: ") :] for line in lines if "error: " in line]
    found = (said or lines[-1:] or ["it failed without a word"])[0]
    return found if len(found) <= REASON else f"{found[: REASON - 3]}..."


def version_in(python: Path, package: str) -> str:
    """The version of a package in an environment."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def input_shape(model: Path) -> tuple[int, ...]:
    """The shape of the first input of a model."""
    import onnx

    loaded = onnx.load(str(model), load_external_data=False)
    return tuple(each.dim_value for each in loaded.graph.input[0].type.tensor_type.shape.dim)


def main() -> int:
    """Measure, and print or write the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", 1)[0])
    parser.add_argument("--network", action="append", choices=NETWORKS, help="only this one; may be repeated")
    mappings = ("alexnet", "resnet18", "resnet50", "mobilenet_v2", "vgg16")
    parser.add_argument("--mappings", action="append", choices=mappings, help="networks that ZigZag maps, too")
    parser.add_argument("--environments", type=Path, metavar="DIR", help="install peers there, and keep them")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="write the page here instead of printing it")
    arguments = parser.parse_args()
    sys.path.insert(0, str(HERE))
    from peers_page import page

    with tempfile.TemporaryDirectory(prefix="catena-peers-") as name:
        bench = Bench(Path(name), arguments.repeat)
        bench.install(arguments.environments or Path(name) / "environments")
        for network in arguments.network or NETWORKS:
            bench.network(network)
        bench.compare_mappings(arguments.mappings or ["resnet18"])
    text = page(bench, PEERS, os.cpu_count() or 1)
    if arguments.output is not None:
        arguments.output.write_text(text, encoding="utf-8")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
