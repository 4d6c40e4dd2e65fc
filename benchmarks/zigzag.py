"""The mapper beside ZigZag's on five networks and an Eyeriss-like machine that both know: energy, delay, CPU time.

    python benchmarks/zigzag.py [--network NAME] [--peer-python PATH | --recorded] [--output docs/zigzag.md]

ZigZag (Mei et al., IEEE TC 2021) is installed with pip into `out/zigzag`, unless an interpreter that has it is given;
`--recorded` takes its run of `zigzag/peer.json` instead. Both search every shape of layer once, for least energy and
for least energy-delay product. The peer's mappings are rewritten in Catena's notation, and all are priced by a walk of
their loops that shares nothing with the cost model of either (`dimension_walk.py`). The exit code is 1 if a mapping of
ours is worse than the peer's, or a search less than 20 times as fast.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zigzag_layers import Layer
    from zigzag_mappings import Price

    from dialects.hierarchy import Hierarchy

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "benchmarks"
FOLDER = HERE / "zigzag"
PEER = ROOT / "out" / "zigzag"
PACKAGES = ("zigzag-dse==3.9.1", "six")
"""The peer and what its wheel forgets to name."""
TIMES_FASTER = 20
EFFORT = 200_000
"""Parts of mappings that our search looks at for a layer and an objective, at most."""
OBJECTIVES = ("energy", "edp")
ROUNDING = 1e-9
"""By how much of itself a price may be larger and is still no worse: sums of floats in another order."""


@dataclass(frozen=True)
class Network:
    """A network by name: a script of `benchmarks/models` and its arguments."""

    name: str
    title: str
    script: str
    arguments: tuple[str, ...] = ()


NETWORKS = (
    Network("alexnet", "AlexNet", "light.py", ("--network", "alexnet")),
    Network("resnet18", "ResNet-18", "resnet.py", ("--depth", "18")),
    Network("resnet50", "ResNet-50", "resnet.py", ("--depth", "50")),
    Network("mobilenet_v2", "MobileNet-v2", "mobilenet_v2.py"),
    Network("vgg16", "VGG-16", "vgg.py"),
)


@dataclass(frozen=True)
class Side:
    """What one of the two found for an objective: what the mapping costs, and CPU seconds of the search."""

    price: Price
    seconds: float

    def value(self, objective: str) -> float:
        """What was to be least: pJ, or pJ cycles."""
        return self.price.energy if objective == "energy" else self.price.edp


@dataclass(frozen=True)
class Compared:
    """A layer and both sides' best by objective; `unchecked` memories may hold less than the peer's mapping needs."""

    layer: Layer
    ours: Mapping[str, Side]
    peer: Mapping[str, Side]
    unchecked: tuple[str, ...]

    def ratio(self, objective: str) -> float:
        """Ours by the peer's: at most 1 if ours is no worse."""
        return self.ours[objective].value(objective) / self.peer[objective].value(objective)


@dataclass(frozen=True)
class Result:
    """All layers of a network."""

    network: Network
    layers: tuple[Compared, ...]

    def total(self, side: str, objective: str) -> float:
        """The whole network: energies added up; their sum by the sum of all cycles."""
        found = [(each.layer.times, getattr(each, side)[objective].price) for each in self.layers]
        energy = sum(times * price.energy for times, price in found)
        return energy if objective == "energy" else energy * sum(times * price.cycles for times, price in found)

    def seconds(self, side: str, objective: str) -> float:
        """CPU seconds of the searches of all shapes."""
        return sum(getattr(each, side)[objective].seconds for each in self.layers)

    def times_faster(self, objective: str) -> float:
        """The peer's CPU time by ours."""
        return self.seconds("peer", objective) / self.seconds("ours", objective)

    def problems(self) -> list[str]:
        """Where ours is worse or not fast enough."""
        found = [
            f"{self.network.title}, {each.layer.name}: {objective} {each.ratio(objective):.6f} of the peer's"
            for each in self.layers
            for objective in OBJECTIVES
            if each.ratio(objective) > 1 + ROUNDING
        ]
        return found + [
            f"{self.network.title}: the search for {objective} is {self.times_faster(objective):.1f} times as fast"
            for objective in OBJECTIVES
            if self.times_faster(objective) < TIMES_FASTER
        ]


@cache
def machine() -> Hierarchy:
    """The machine, as Catena has it."""
    from dialects.soundness import parse_hierarchy

    return parse_hierarchy(tomllib.loads((FOLDER / "target.toml").read_text()), "target.toml")


@cache
def recorded(file: str) -> dict[str, Any]:
    """A recorded run: `networks` by name and layer, and what is said of the whole."""
    return json.loads((FOLDER / file).read_text())


def compared(name: str, theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> Compared:
    """A layer as recorded of both sides, priced by the walk: of the peer's two mappings the better one counts.

    Raises `CatenaError` (CAT-F002) if ours needs more than there is.
    """
    from zigzag_layers import Layer
    from zigzag_mappings import exported, overruns, parse, price, walked

    from dialects.diagnostics import CatenaError, Diagnostic

    layer = Layer.read(name, theirs["layer"])
    mappings = [exported(layer, theirs[objective], machine()) for objective in OBJECTIVES]
    peer = [Side(price(walked(layer, each.mapping, machine())), theirs["cpu_seconds"]) for each in mappings]
    ours: dict[str, Side] = {}
    for objective in OBJECTIVES:
        walk = walked(layer, parse(mine[objective]["mapping"]), machine())
        if found := overruns(walk):
            raise CatenaError(Diagnostic("CAT-F002", "more than there is", "mapped", name, found=", ".join(found)))
        ours[objective] = Side(price(walk), mine[objective]["cpu_seconds"])
    return Compared(
        layer,
        ours,
        {objective: min(peer, key=lambda side: side.value(objective)) for objective in OBJECTIVES},
        tuple({memory for each in mappings for memory in each.moved}),
    )


def search(layer: Layer, objective: str, effort: float = EFFORT) -> dict[str, Any]:
    """Our best mapping of a layer as `ours.json` has it, and the CPU seconds of the search."""
    from dialects.schedule import MappingAttr
    from passes.mapper.effort import Effort
    from passes.mapper.free import best_mapping
    from passes.mapper.pricing import Objective

    before = time.process_time()
    best = best_mapping(layer.spec, machine(), layer.name, Objective(objective), Effort(effort))
    seconds = time.process_time() - before
    return {"cpu_seconds": round(seconds, 3), "mapping": str(MappingAttr(best.mapping))}


def interpreter() -> Path:
    """An interpreter that has ZigZag, in an environment of its own.

    Raises `SystemExit` with a line that says what to do if it cannot be installed.
    """
    python = PEER / "bin" / "python"
    if not python.exists():
        venv.create(PEER, with_pip=True)
    words = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit("cannot install ZigZag with pip; --recorded compares with its recorded run, without it")
    return python


def search_with_peer(python: Path, layers: Sequence[Layer]) -> dict[str, Any]:
    """What the peer finds for layers, by name, and its version."""
    with tempfile.TemporaryDirectory() as name:
        request, result = Path(name) / "layers.json", Path(name) / "result.json"
        request.write_text(json.dumps({layer.name: layer.written() for layer in layers}))
        words = [python, FOLDER / "search.py", request, FOLDER / "eyeriss_like.yaml", result]
        done = subprocess.run([str(word) for word in words], stdout=sys.stderr, check=False)
        if done.returncode:
            raise SystemExit(f"ZigZag's search failed in {python}: does it have {' and '.join(PACKAGES)}?")
        return json.loads(result.read_text())


def layers_of(network: Network) -> list[Layer]:
    """The layers of a generated network."""
    import zigzag_layers

    with tempfile.TemporaryDirectory() as name:
        model = Path(name) / "model.onnx"
        command = [sys.executable, str(HERE / "models" / network.script), *network.arguments, "--output", str(model)]
        subprocess.run(command, check=True)
        return zigzag_layers.layers_of(model)


def run_peer(networks: Iterable[Network], python: Path) -> dict[str, Any]:
    """The peer's run on networks, as `peer.json` has it."""
    found: dict[str, Any] = {}
    version = ""
    for network in networks:
        layers = layers_of(network)
        run = search_with_peer(python, layers)
        version = run["version"]
        found[network.name] = {layer.name: {"layer": layer.written(), **run["layers"][layer.name]} for layer in layers}
    return {"version": version, "networks": found}


def run_ours(networks: Iterable[Network], peer: Mapping[str, Any], effort: float) -> dict[str, Any]:
    """Our run on the layers of the peer's, as `ours.json` has it."""
    from zigzag_layers import Layer

    found: dict[str, Any] = {}
    for network in networks:
        rows = found.setdefault(network.name, {})
        for name, content in peer["networks"][network.name].items():
            layer = Layer.read(name, content["layer"])
            rows[name] = {objective: search(layer, objective, effort) for objective in OBJECTIVES}
            if sys.stderr.isatty():
                print(f"{network.title}, {name}", file=sys.stderr, flush=True)
    return {"effort": effort, "networks": found}


def results(networks: Iterable[Network], peer: Mapping[str, Any], ours: Mapping[str, Any]) -> list[Result]:
    """Both runs, priced."""
    found: list[Result] = []
    for network in networks:
        theirs, mine = (run["networks"][network.name] for run in (peer, ours))
        found.append(Result(network, tuple(compared(name, theirs[name], mine[name]) for name in theirs)))
    return found


def written(run: Mapping[str, Any]) -> str:
    """A run as JSON with a line for every layer."""
    head = {key: value for key, value in run.items() if key != "networks"}
    networks: list[str] = []
    for network, layers in run["networks"].items():
        rows = [f"  {json.dumps(name)}: {json.dumps(found, separators=(',', ':'))}" for name, found in layers.items()]
        networks.append(f" {json.dumps(network)}: {{\n" + ",\n".join(rows) + "\n }")
    return json.dumps(head)[:-1] + ', "networks": {\n' + ",\n".join(networks) + "\n}}\n"


def main() -> int:
    """Compare, and print or write the page; 1 if a bound does not hold."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", 1)[0])
    names = [network.name for network in NETWORKS]
    parser.add_argument("--network", action="append", choices=names, help="only this network; may be repeated")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--peer-python", type=Path, metavar="PATH", help="an interpreter that has ZigZag")
    source.add_argument("--recorded", action="store_true", help="take ZigZag's recorded run")
    source.add_argument("--reprice", action="store_true", help="take both recorded runs: search nothing")
    parser.add_argument("--record", action="store_true", help="record what is run, in benchmarks/zigzag")
    parser.add_argument("--effort", type=float, default=EFFORT, help="parts that our search looks at, at most")
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="write the page here instead of printing it")
    arguments = parser.parse_args()
    sys.path.insert(0, str(HERE))
    from zigzag_page import page

    chosen = [network for network in NETWORKS if network.name in (arguments.network or names)]
    if arguments.recorded or arguments.reprice:
        peer = recorded("peer.json")
    else:
        peer = run_peer(chosen, arguments.peer_python or interpreter())
    ours = recorded("ours.json") if arguments.reprice else run_ours(chosen, peer, arguments.effort)
    if arguments.record:
        (FOLDER / "peer.json").write_text(written(peer))
        (FOLDER / "ours.json").write_text(written(ours))
    found = results(chosen, peer, ours)
    text = page(found, peer, ours)
    if arguments.output:
        arguments.output.write_text(text)
    else:
        print(text)
    problems = [problem for result in found for problem in result.problems()]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
