"""LoopTree's conclusions on fused layers, found again by search: buffer, off-chip traffic and recomputation.

    python benchmarks/looptree_conclusions.py [--set NAME] [--reprice] [--output FILE.md]

Fusion sets are those of the paper's case studies (arXiv 2409.13625, section VI): conv+conv, point-wise+depthwise+
point-wise, fc+fc, conv+conv+conv, as common networks have them (`looptree_conclusions_sets.py`). For each is found: the
least buffer at compulsory traffic by ranks that are cut and their order; what a level of its own for every tensor
saves; what recomputation saves, and of some sets how both grow with the image; least traffic by size of the buffer,
fused and layer by layer. `--reprice` takes what `benchmarks/looptree_conclusions/results.json` has recorded. Charts go
into a folder beside the page, named as it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fused_peers_problems import Problem

    from dialects.schedule import Loop
    from passes.fusion.group import Group
    from passes.fusion.search import GroupSearch, Limits

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "benchmarks" / "looptree_conclusions" / "results.json"
BUFFER = "buffer"
LOOPS = 2
"""Ranks that are cut, at most, and of the pair of the published figures."""
LOOPS_OF_PAIR = 3
FEWEST_TURNS = 4
"""Loops of fewer turns are left uncut: a kernel's rows and columns."""
EFFORT = 1_000_000
SIZES = tuple(int(2 ** (step / 2)) for step in range(24, 42))
"""Bytes of the buffer: 4 KiB to 1.4 MiB."""
MORE = 1.1
"""Operations that recomputation may take: a tenth more."""
RUNS = 7
"""Runs of the search whose CPU time is told: the least of them is."""

Pairs = list[list[int]]


PAIR = "resnet18_layer1"
"""The pair of the published figures, without padding."""
EVERY_RANK = f"{PAIR}, every rank"
GROWTH = "growing images"
"""What is recorded of sets whose images grow."""


def search(
    group: Group,
    limits: Limits | None = None,
    schedule: tuple[Loop, ...] | None = None,
    loops: int = LOOPS,
    one_level: bool = False,
) -> GroupSearch:
    """The front of a group, of all schedules or one."""
    from passes.fusion.search import GroupSearch
    from passes.fusion.space import Space
    from passes.mapper.effort import Effort

    space = Space(most_loops=loops, fewest_turns=FEWEST_TURNS, all_joins=False, schedule=schedule, one_level=one_level)
    return GroupSearch(group, BUFFER, space, limits, Effort(EFFORT)).run()


def operations(group: Group) -> int:
    """Operations of a group without recomputation."""
    return min(search(group, loops=0).costs[:, 2].tolist())


def schedules(group: Group) -> Iterator[tuple[Loop, ...]]:
    """Ranks that may be cut, in every order."""
    from passes.fusion.space import loops_of

    for count in range(LOOPS + 1):
        yield from permutations(loops_of(group, FEWEST_TURNS), count)


def written(schedule: Iterable[Loop]) -> str:
    """A schedule as text, outermost first; ranks are those of the last layer."""
    return " ".join(map(str, schedule)) or "none"


def by_schedule(problem: Problem) -> list[dict[str, Any]]:
    """The least buffer at compulsory traffic without recomputation, and how it falls with traffic, by schedule."""
    from passes.fusion.search import Limits

    group = problem.group()
    worked = operations(group)
    found: list[dict[str, Any]] = []
    for schedule in schedules(group):
        run = search(group, Limits(operations=worked), schedule, len(schedule))
        front = falling(run.costs[:, :2].tolist())
        least = min(capacity for capacity, traffic in front if traffic == problem.compulsory)
        found.append({"schedule": written(schedule), "buffer": least, "exact": run.exact, "front": front})
    best = min(found, key=lambda row: row["buffer"])
    for row in found:
        # What is drawn: one rank alone, and the best.
        if row is not best and " " in row["schedule"]:
            del row["front"]
    return found


def falling(points: Iterable[Sequence[int]]) -> Pairs:
    """Of points of buffer and traffic those that move less than all with less room."""
    found: Pairs = []
    for capacity, traffic in sorted(map(tuple, points)):
        if not found or traffic < found[-1][1]:
            found.append([capacity, traffic])
    return found


def by_retention(problem: Problem) -> dict[str, Pairs]:
    """Fronts of buffer and traffic with one level for all tensors and with a level for each; both without, too.

    Without: without recomputation.
    """
    from passes.fusion.search import Limits

    group = problem.group()
    once = Limits(operations=operations(group))
    found: dict[str, Pairs] = {}
    for key, one_level in (("same", True), ("own", False)):
        for suffix, limits in (("", None), ("_without", once)):
            run = search(group, limits, one_level=one_level)
            assert run.exact
            found[key + suffix] = falling(run.costs[:, :2].tolist())
    return found


def by_recomputation(problem: Problem) -> dict[str, Any]:
    """Buffer and operations at compulsory traffic, and where a tenth more operations save most of the buffer."""
    group = problem.group()
    run = search(group)
    costs = run.costs
    least = operations(group)
    at_floor = costs[costs[:, 1] == problem.compulsory]
    most: dict[str, Any] = {}
    for traffic in sorted({*costs[:, 1].tolist()}):
        within = costs[costs[:, 1] <= traffic]
        without = within[within[:, 2] == least][:, 0].tolist()
        some = within[within[:, 2] <= MORE * least].tolist()
        if without and (not most or min(without) / min(some)[0] > most["without"] / most["with"]):
            most = {"traffic": traffic, "without": min(without), "with": min(some)[0], "operations": min(some)[2]}
    return {
        "operations": least,
        "exact": run.exact,
        "front": [[capacity, worked] for capacity, _, worked in at_floor.tolist()],
        "most": most,
    }


def by_image(name: str) -> dict[str, dict[str, int]]:
    """Least buffers of a set at compulsory traffic, by rows of its image.

    Of mappings with one level for all tensors (`same`), of all (`own`), of those without recomputation (`without`) and
    with up to a tenth more operations (`more`).
    """
    from looptree_conclusions_sets import EDGES, grown

    found: dict[str, dict[str, int]] = {}
    for edge in EDGES:
        problem = grown(name, edge)
        runs = {"same": search(problem.group(), one_level=True), "own": search(problem.group())}
        assert all(run.exact for run in runs.values())
        floor = {key: run.costs[run.costs[:, 1] == problem.compulsory] for key, run in runs.items()}
        worked = floor["own"][:, 2]
        floor |= {"without": floor["own"][worked == worked.min()], "more": floor["own"][worked <= MORE * worked.min()]}
        found[str(edge)] = {key: int(costs[:, 0].min()) for key, costs in floor.items()}
    return found


def by_size(problem: Problem) -> list[dict[str, Any]]:
    """Least traffic by size of the buffer: the whole set fused, layer by layer, and the best of all ways to cut it."""
    from passes.fusion.front import Objective
    from passes.fusion.network import GroupSearches, Network, NetworkSearch, NetworkSpace
    from passes.fusion.search import GroupSearch, Limits
    from passes.mapper.effort import Effort

    group = problem.group()
    spaces = (NetworkSpace(longest=1, staying=0, parts=EFFORT), NetworkSpace(most_work=None, parts=EFFORT))
    singly, freely = (GroupSearches(BUFFER, space) for space in spaces)
    space = freely.space.groups
    tables = freely.tables(group)
    found: list[dict[str, Any]] = []
    for size in SIZES:
        limits, effort = Limits(capacity=size), Effort(EFFORT)
        fused = GroupSearch(group, BUFFER, space, limits, effort, Objective.TRAFFIC, tables=tables).run()
        alone = NetworkSearch(Network(group), size, singly).run()
        best = NetworkSearch(Network(group), size, freely).run()
        row = {"fused": min(fused.costs[:, 1].tolist(), default=None)}
        row |= {"alone": alone and alone.traffic, "best": best and best.traffic}
        exact = fused.exact and all(plan is None or plan.exact for plan in (alone, best))
        found.append({"size": size, **row, "exact": exact})
    return found


def pair() -> dict[str, Any]:
    """The front of the pair of the published figures, and the CPU seconds that it takes."""
    from fused_peers_problems import PAIRS

    from passes.fusion.search import GroupSearch
    from passes.fusion.space import Space

    problem = PAIRS[0]
    group = problem.group()

    def timed() -> tuple[float, GroupSearch]:
        before = sum(os.times()[:4])
        run = GroupSearch(group, BUFFER, Space(most_loops=LOOPS_OF_PAIR)).run()
        return sum(os.times()[:4]) - before, run

    seconds, run = min((timed() for _ in range(RUNS)), key=lambda found: found[0])
    costs = run.costs[run.costs[:, 1] == problem.compulsory]
    least = int(run.costs[:, 2].min())
    return {
        "cpu_seconds": round(seconds, 2),
        "exact": run.exact,
        "points": len(run.costs),
        "traffic": problem.compulsory,
        "buffer": int(costs[:, 0].min()),
        "without": int(costs[costs[:, 2] == least][:, 0].min()),
        "front": falling(run.costs[:, :2].tolist()),
    }


def every_rank() -> dict[str, Any]:
    """The front of the pair over mappings that cut any number of its ranks."""
    from fused_peers_problems import PAIRS

    from passes.fusion.search import GroupSearch
    from passes.fusion.space import Space

    problem = PAIRS[0]
    before = sum(os.times()[:4])
    run = GroupSearch(problem.group(), BUFFER, Space(most_loops=None, fewest_turns=FEWEST_TURNS)).run()
    return {
        "cpu_seconds": round(sum(os.times()[:4]) - before, 2),
        "exact": run.exact,
        "ranks": len(run.loops),
        "points": len(run.costs),
        "buffer": int(run.costs[run.costs[:, 1] == problem.compulsory][:, 0].min()),
        "front": falling(run.costs[:, :2].tolist()),
    }


def conclusions(problem: Problem) -> dict[str, Any]:
    """All that is found of a fusion set."""
    return {
        "schedules": by_schedule(problem),
        "retention": by_retention(problem),
        "recomputation": by_recomputation(problem),
        "sizes": by_size(problem),
    }


def recorded() -> dict[str, Any]:
    """What was found, by fusion set and for the pair."""
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}


def record(name: str, found: Mapping[str, Any]) -> None:
    """Write what was found of one set beside the others."""
    rows = recorded() | {name: found}
    lines = [f" {json.dumps(key)}: {json.dumps(row, separators=(',', ':'))}" for key, row in sorted(rows.items())]
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main() -> int:
    """Search what is asked for; print or write the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", 1)[0])
    parser.add_argument(
        "--set", action="append", metavar="NAME", help="only this set, the pair, or the growing images; may be repeated"
    )
    parser.add_argument("--reprice", action="store_true", help="take what was recorded: search nothing")
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="write the page here instead of printing it")
    arguments = parser.parse_args()
    sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT)]
    from looptree_conclusions_page import charts, page
    from looptree_conclusions_sets import GROWING, sets

    alone = {
        PAIR: pair,
        EVERY_RANK: every_rank,
        GROWTH: lambda: {name: by_image(name) for name in GROWING},
    }
    names = [*sets(), *alone]
    unknown = [name for name in arguments.set or () if name not in names]
    if unknown:
        parser.error(f"no set {unknown[0]!r}: there are {', '.join(names)}")
    for name in () if arguments.reprice else arguments.set or names:
        record(name, alone[name]() if name in alone else conclusions(sets()[name]))
        print(name, file=sys.stderr, flush=True)
    if arguments.output:
        arguments.output.write_text(page())
        folder = arguments.output.with_suffix("")
        folder.mkdir(exist_ok=True)
        for name, text in charts().items():
            (folder / name).write_text(text)
    else:
        print(page())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
