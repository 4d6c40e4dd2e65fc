"""Fused groups beside three peers' on the same problems and the same machine: off-chip traffic by size of the buffer.

    python benchmarks/fused_peers.py [--problem NAME] [--peer NAME [--python PATH]] [--reprice] [--output FILE.md]

AccelForge, Stream and ZigZag are installed with pip into `out/fused_peers`, each into an environment of its own, unless
an interpreter that has the peer is given. The machine has one buffer for everything and an off-chip link; the objective
is traffic over the link. `--reprice` takes what `benchmarks/fused_peers/*.json` has recorded. Mappings of a peer that
our notation can say are priced by our model, which equals the element-exact walk; of others the peer's own figure
counts. The exit code is 1 if ours moves more in any row, or was found less than 20 times as fast.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fused_peers_problems import Problem

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "benchmarks" / "fused_peers"
INSTALLED = ROOT / "out" / "fused_peers"
SIZES = tuple(kilobytes * 1024 for kilobytes in (64, 96, 108, 128, 216, 256))
"""Bytes of the buffer."""
TIMES_FASTER = 20
PATIENCE = 1800
"""CPU seconds that a peer may take for one run, unless others are given."""
NOT_ENDED = "did not end in {} CPU s"


@dataclass(frozen=True)
class Peer:
    """A peer: its name, its script in `benchmarks/fused_peers`, what pip installs, and whether one run is a frontier.

    `padded`: whether it is given layers with padding; else chains without. It needs Python 3 of a `minor` version.
    """

    name: str
    title: str
    packages: tuple[str, ...]
    frontier: bool
    padded: bool
    minor: int

    @property
    def script(self) -> Path:
        """The script that runs in the peer's interpreter."""
        return FOLDER / f"{self.name}_search.py"


PEERS = (
    Peer("accelforge", "AccelForge", ("accelforge==1.0.467",), frontier=True, padded=False, minor=12),
    Peer("stream", "Stream", ("stream-dse==2.1.1", "six"), frontier=False, padded=True, minor=12),
    Peer("zigzag", "ZigZag", ("zigzag-dse==3.9.1", "six"), frontier=False, padded=True, minor=11),
)


def interpreter(peer: Peer) -> Path:
    """An interpreter that has a peer, in an environment of its own.

    Raises `SystemExit` with a line that says what to do if it cannot be installed.
    """
    python = INSTALLED / peer.name / "bin" / "python"
    if not python.exists():
        subprocess.run([_base_interpreter(peer), "-m", "venv", str(INSTALLED / peer.name)], check=True)
    words = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *peer.packages]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [""])[-1]
        raise SystemExit(f"cannot install {peer.title} with pip; --reprice takes its recorded run. {said}")
    return python


def _base_interpreter(peer: Peer) -> str:
    """The interpreter that runs this, or a newer one on the path if the peer needs that."""
    if sys.version_info >= (3, peer.minor):
        return sys.executable
    newer = (shutil.which(f"python3.{minor}") for minor in range(peer.minor, peer.minor + 4))
    if (found := next((each for each in newer if each and _runs(each)), None)) is None:
        raise SystemExit(f"{peer.title} needs Python 3.{peer.minor} or newer: --peer {peer.name} --python PATH")
    return found


def _runs(python: str) -> bool:
    """Whether an interpreter runs: managers of versions have names on the path for those that are switched off."""
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def ask(
    peer: Peer, python: Path, problem: Problem, size: int | None = None, patience: int = PATIENCE
) -> dict[str, Any]:
    """What a peer finds for a problem in so many CPU seconds of each of its processes, or `failed` and why."""
    with tempfile.TemporaryDirectory() as name:
        request, result = Path(name) / "problem.json", Path(name) / "result.json"
        layers = [asdict(layer) | {"shape": problem.shapes[layer.name]} for layer in problem.layers]
        request.write_text(json.dumps({**problem.einsums(), "input": problem.input, "layers": layers}))
        words = [str(python), str(peer.script), str(request), str(result)]
        words += [] if size is None else ["--size", str(size)]
        limited = ["sh", "-c", f'ulimit -t {patience}; exec "$@"', "sh", *words]
        done = subprocess.run(limited, capture_output=True, text=True, check=False, cwd=name)
        if result.exists():
            return json.loads(result.read_text())
        if -done.returncode in (signal.SIGXCPU, signal.SIGKILL):
            return {"failed": NOT_ENDED.format(patience), "cpu_seconds": patience}
        return {"failed": (done.stderr.strip().splitlines() or ["no result"])[-1][:400]}


def run_peer(
    peer: Peer, python: Path, problem: Problem, sizes: Sequence[int], patience: int = PATIENCE
) -> dict[str, Any]:
    """A peer's runs on a problem, as its record has them: a frontier and its best points by size, or runs by size."""
    if not peer.frontier:
        return {str(size): ask(peer, python, problem, size, patience) for size in sizes}
    found = ask(peer, python, problem, patience=patience)
    points = found.pop("points", [])
    found["front"] = [[point["buffer"], point["traffic"]] for point in points]
    found["best"] = {str(size): best for size in SIZES if (best := _least(points, size)) is not None}
    return found


def _least(points: Iterable[dict[str, Any]], size: int) -> dict[str, Any] | None:
    fitting = [point for point in points if point["buffer"] <= size]
    return min(fitting, key=lambda point: (point["traffic"], point["buffer"]), default=None)


@cache
def recorded(name: str) -> dict[str, Any]:
    """A recorded run by problem; nothing if there is none yet."""
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def record(name: str, problem: Problem, found: Mapping[str, Any]) -> None:
    """Write one problem's run beside those that are recorded, one line each."""
    rows = recorded(name)
    rows[problem.name] = {**rows.get(problem.name, {}), **found}
    lines = [f" {json.dumps(key)}: {json.dumps(row, separators=(',', ':'))}" for key, row in sorted(rows.items())]
    (FOLDER / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def problems(peer: Peer) -> Sequence[Problem]:
    """The problems that a peer is given."""
    from fused_peers_problems import NETWORKS, PADDED, PAIRS

    return (*(PADDED if peer.padded else PAIRS), *NETWORKS)


def main() -> int:
    """Run what is asked for; print or write the page; 1 if a bound does not hold."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", 1)[0])
    parser.add_argument("--problem", action="append", metavar="NAME", help="only this problem; may be repeated")
    parser.add_argument(
        "--size", action="append", type=int, metavar="KIB", help="only buffers of this size; repeatable"
    )
    parser.add_argument("--peer", choices=[peer.name for peer in PEERS], help="run only this peer")
    parser.add_argument("--python", type=Path, metavar="PATH", help="an interpreter that has the peer")
    parser.add_argument(
        "--patience", type=int, default=PATIENCE, metavar="S", help="CPU seconds that a peer may take for a run"
    )
    parser.add_argument("--ours", action="store_true", help="run our search, and no peer")
    parser.add_argument("--reprice", action="store_true", help="take the recorded runs: search nothing")
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="write the page here instead of printing it")
    arguments = parser.parse_args()
    if arguments.python and not arguments.peer:
        parser.error("--python needs --peer")
    sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT)]
    from fused_peers_ours import run_ours
    from fused_peers_page import page, shortfalls

    def chosen(names: Sequence[Problem]) -> list[Problem]:
        return [each for each in names if arguments.problem is None or each.name in arguments.problem]

    def asking(peer: Peer, python: Path) -> Callable[[Problem], dict[str, Any]]:
        return lambda problem: run_peer(peer, python, problem, sizes, arguments.patience)

    sizes = [kilobytes * 1024 for kilobytes in arguments.size] if arguments.size else SIZES
    runs: list[tuple[str, Sequence[Problem], Callable[[Problem], dict[str, Any]]]] = []
    if not arguments.reprice and not arguments.ours:
        for peer in PEERS:
            if arguments.peer in (None, peer.name):
                python = arguments.python or interpreter(peer)
                runs.append((peer.name, problems(peer), asking(peer, python)))
    if not arguments.reprice and not arguments.peer:
        every = {each.name: each for peer in PEERS for each in problems(peer)}
        runs.append(("ours", list(every.values()), lambda each: run_ours(each, sizes)))
    for name, given, run in runs:
        for problem in chosen(given):
            record(name, problem, run(problem))
            print(f"{name}, {problem.name}", file=sys.stderr, flush=True)
    text = page(PEERS)
    if arguments.output:
        arguments.output.write_text(text)
    elif arguments.reprice:
        print(text)
    found = shortfalls(PEERS)
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
