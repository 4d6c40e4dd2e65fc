"""The page of `fused_peers`: what each side moves by size of the buffer, how long it looked, what failed.

A module of `benchmarks/fused_peers.py`, no command of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fused_peers import NOT_ENDED, PATIENCE, SIZES, TIMES_FASTER, Peer, problems, recorded
from fused_peers_mappings import NotExpressibleError, rewritten, with_room
from fused_peers_ours import price

from compiler.tables import Column, number, table

if TYPE_CHECKING:
    from fused_peers_problems import Problem

NOTICE = "<!-- Made by `python benchmarks/fused_peers.py --reprice --output docs/fused-peers.md`; do not edit. -->\n"

UNPROVED = r"\*"
"""Behind what we move by a plan of which the search does not say that it is the best."""

_INTRODUCTION = """\
Tools that can be installed with pip and know fused layers, on the same problems and the same machine: an off-chip link,
one buffer of a given size for everything, words of one byte, and an array that is never in the way. Asked for is least
traffic over the link. The figures of a peer are its own model's. Where our notation can say a peer's mapping, our model
prices it as well, which equals a walk of all elements (tests); the smaller figure of both counts. CPU seconds are user
and system time of the search alone, on one thread, without imports.

Ours is `NetworkSearch` in the space `IN_PIECES`: groups of up to three layers (four where the network has no more), up
to two ranks of a group's last layer cut, within a turn loops of each layer's own that bring its input and its kernel in
pieces, up to two tensors that stay on the chip whole from one group to the next. Its CPU time is the least of seven
runs; sizes of one problem share the tables of their groups, which count for the first one. Rows of a peer that finds a
frontier in one run are compared with that whole run; below its table is what ours takes for all sizes together.

Ours, too, are figures of a model. Code is made of loops over `ks` of a group's last layer around its layers, and of
pieces on some machines, where a mapping file asks for them. `--fuse` of the compiler searches a smaller space, with
`ks` cut around single layers alone and without pieces; [what fusing layers saves](fused-networks.md) has what it finds,
compiled.

An asterisk behind a figure of ours marks a plan that is not proved to move least in its space: the search of a group
with which a plan might move less ended with its effort, 15,000 parts of mappings. No plan moves less than the
compulsory words.
"""

_MACHINE = """\
- AccelForge is given a memory whose bits cost 1 to move and a buffer that costs nothing; all tensors pass through the
  buffer; energy is its objective, beside the use of the buffer: one run gives the frontier, and a row has its best
  point that fits. Default settings: tiles divide their ranks, a rank is cut once around several layers, halos are kept.
  Chains have no padding: its windows are cut where a tensor ends, which moves and works less than there is; so it is in
  whole networks, which have padding. These have rows for the sizes that ours was asked for.
- Stream minimises time; the off-chip link moves a byte a cycle, so that traffic is time. It chooses groups and tiles.
  Networks are given as ONNX with 8-bit tensors. What it counts has every word of a halo once even if the tiles that it
  reports have no room to keep it. Our model's figure has, of all retentions that fit beside the reported tiles, the
  one that moves least.
- ZigZag maps layer by layer; with `exploit_data_locality` whole tensors stay in the buffer between layers. Only words
  over the link cost energy. Its API drops the network's own input and result as well; they are kept off-chip here, by
  an argument of its own stage. Of whole networks loops are split into at most four parts, not six, which is quicker.
"""


@dataclass(frozen=True)
class Row:
    """A problem and a size: what the peer found, and what ours; `again` is the peer's mapping priced by our model."""

    problem: Problem
    size: int
    theirs: int | None
    failed: str
    seconds: float
    again: tuple[int, int] | None
    why_not: str
    ours: dict[str, Any]

    @property
    def ratio(self) -> float | None:
        """Ours by the peer's: at most 1 if ours is no worse."""
        if self.theirs is None or "traffic" not in self.ours:
            return None
        return self.ours["traffic"] / self.theirs

    @property
    def has_ended(self) -> bool:
        """Whether the peer was not stopped."""
        return self.failed != NOT_ENDED.format(round(self.seconds))

    @property
    def told(self) -> str:
        """What the peer moves, or what became of its run."""
        if self.theirs is not None:
            return f"{self.theirs:,}"
        return "failed" if self.has_ended else f"{self.failed} (ours: {self.ours.get('cpu_seconds', 'failed')})"

    @property
    def times_faster(self) -> float | None:
        """The peer's CPU time by ours."""
        return self.seconds / max(self.ours["cpu_seconds"], 0.01) if "traffic" in self.ours else None


def rows(peer: Peer) -> Iterator[Row]:
    """All that a peer was asked, beside ours."""
    runs, mine = recorded(peer.name), recorded("ours")
    for problem in problems(peer):
        run = runs.get(problem.name)
        if run is None:
            continue
        for size in SIZES:
            key = str(size)
            if key not in (mine.get(problem.name, {}) if peer.frontier else run):
                continue
            if peer.frontier:
                best = run["best"].get(key)
                failed = run.get("failed", "" if best else "nothing fits")
            else:
                best = run[key] if "traffic" in run[key] else None
                failed = run[key].get("failed", "")
            again, why_not = _again(peer, problem, best, size) if best else (None, "")
            seconds = (run if peer.frontier else run[key]).get("cpu_seconds", PATIENCE)
            ours = mine.get(problem.name, {}).get(key, {})
            yield Row(problem, size, best["traffic"] if best else None, failed, seconds, again, why_not, ours)


def _again(peer: Peer, problem: Problem, best: dict[str, Any], size: int) -> tuple[tuple[int, int] | None, str]:
    """A peer's mapping priced by our model, or why it is not."""
    try:
        match peer.name:
            case "accelforge":
                return price(problem, rewritten(problem, best["mapping"])), ""
            case "stream":
                return price(problem, with_room(problem, best["groups"], size)), ""
            case _:
                return None, ""
    except NotExpressibleError as error:
        return None, str(error)


def shortfalls(peers: Sequence[Peer]) -> list[str]:
    """Where ours is worse or not fast enough."""
    found: list[str] = []
    for peer in peers:
        for row in rows(peer):
            where = f"{peer.title}, {row.problem.name}, {row.size // 1024} KiB"
            if row.ratio is not None and row.ratio > 1:
                found.append(f"{where}: ours moves {row.ratio:.4f} of the peer's words")
            if row.times_faster is not None and row.times_faster < TIMES_FASTER:
                found.append(f"{where}: ours is {row.times_faster:.1f} times as fast")
    return found


def page(peers: Sequence[Peer]) -> str:
    """The whole page."""
    parts = [NOTICE, "# Fused groups beside peers\n", _INTRODUCTION, _MACHINE]
    for peer in peers:
        found = list(rows(peer))
        parts += [f"## {peer.title}\n", f"`pip install {' '.join(peer.packages)}`\n", _table(found)]
        parts += [_failures(found)]
        if peer.frontier:
            parts.append(_together(found))
    bounds = shortfalls(peers)
    parts.append("## Bounds\n")
    parts.append("\n".join(f"- {line}" for line in bounds) + "\n" if bounds else _NONE)
    return "\n".join(parts)


_NONE = (
    f"Ours never moves more words than a peer's, and was found at least {TIMES_FASTER} times as fast in every row.\n"
)


def _table(found: Sequence[Row]) -> str:
    columns: list[str | Column] = ["problem", number("buffer (KiB)"), number("compulsory"), number("theirs")]
    columns += [number("by our model"), number("their buffer"), number("ours"), number("our buffer"), number("ratio")]
    columns += [number("their CPU s"), number("ours"), number("times faster")]
    lines: list[Sequence[object]] = []
    for row in found:
        line: list[object] = [row.problem.name, row.size // 1024, f"{row.problem.compulsory:,}"]
        line += [row.told]
        line += [f"{row.again[0]:,}" if row.again else "", f"{row.again[1]:,}" if row.again else ""]
        is_least = row.ours.get("exact", True) or row.ours.get("traffic") == row.problem.compulsory
        proved = "" if is_least else UNPROVED
        line += [f"{row.ours['traffic']:,}{proved}" if "traffic" in row.ours else ""]
        line += [f"{row.ours['buffer']:,}" if "buffer" in row.ours else ""]
        line += ["" if row.ratio is None else f"{row.ratio:.3f}", f"{row.seconds:.1f}"]
        line += [row.ours.get("cpu_seconds", "")]
        line += ["" if row.times_faster is None else f"{'' if row.has_ended else '> '}{row.times_faster:.0f}"]
        lines.append(line)
    return table(columns, lines).markdown() + "\n"


def _together(found: Sequence[Row]) -> str:
    """What ours takes for all sizes of a problem, beside the peer's one run."""
    seconds: dict[str, tuple[float, float]] = {}
    ended: dict[str, str] = {}
    for row in found:
        name = row.problem.name
        seconds[name] = row.seconds, seconds.get(name, (0, 0))[1] + row.ours.get("cpu_seconds", math.nan)
        ended[name] = "" if row.has_ended else "more than "
    told = (
        f"{name} {own:.2f} s ({ended[name]}{peer / own:.0f} times as fast)" for name, (peer, own) in seconds.items()
    )
    return f"All sizes together take ours {', '.join(told)}.\n"


def _failures(found: Sequence[Row]) -> str:
    said: dict[str, list[str]] = {}
    for row in found:
        if row.failed and row.has_ended:
            said.setdefault(row.failed, []).append(f"{row.problem.name} at {row.size // 1024} KiB")
        if row.why_not:
            said.setdefault(f"Not priced by our model: {row.why_not}", []).append(
                f"{row.problem.name} at {row.size // 1024} KiB"
            )
    return "".join(f"- {why}: {', '.join(where)}.\n" for why, where in said.items())


if __name__ == "__main__":
    raise SystemExit("this is a module of benchmarks/fused_peers.py: run that one")
