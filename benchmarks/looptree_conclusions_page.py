"""The page of `looptree_conclusions`: what of the paper's conclusions was found, on which fusion sets, with charts.

A module of `benchmarks/looptree_conclusions.py`, no command of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from looptree_conclusions import EVERY_RANK, FEWEST_TURNS, LOOPS_OF_PAIR, MORE, PAIR, Pairs, recorded, sets

from compiler.line_chart import Chart, Line
from compiler.tables import number, table

FOLDER = "looptree-conclusions"
NOTICE = f"<!-- Made by `python benchmarks/looptree_conclusions.py --output docs/{FOLDER}.md`; do not edit. -->\n"
TENFOLD, NINEFOLD, HALF = 10, 9, 2
"""What the paper reports as its largest ratios: ranks and schedule, retention, recomputation."""
ROOMS = tuple(kibibytes * 1024 for kibibytes in (4, 8, 16, 32, 48, 64, 80, 96))
BUFFER_AXIS, TRAFFIC_AXIS = "buffer (bytes)", "off-chip traffic (bytes)"

_INTRODUCTION = """\
LoopTree (Gilbert, Wu, Emer, Sze: arXiv 2409.13625, section VI) concludes from case studies that ranks and schedule
change the buffer by up to 10 times at the same traffic, a retention of its own for every tensor by up to 9 times, that
recomputation halves the buffer for about 10 % more operations, and that fused layers lose to layer by layer in small
buffers. Its shapes are variables; here are some of each fusion set, and every figure is found by a search
(`passes/fusion`) that comes to its end unless it is marked. *WxH*: channels and rows of the input, as many columns;
fc+fc: rows. Words are bytes, convolutions of 3x3 are padded, intermediates of a fused set never leave the chip.

At most two ranks of the last layer are cut, each once, those of fewer than 4 indices never; tiles of every size up to
16, beyond that one for every number of turns. Layers have no loops of their own within a turn: a mapping of the paper's
that has some may need less room. *Compulsory* is the input, all kernels and the result once.
"""


def page() -> str:
    """The whole page."""
    found = {name: recorded()[name] for name in sets() if name in recorded()}
    parts = [NOTICE, "# LoopTree's conclusions, found by search\n", _INTRODUCTION, _sets(found)]
    parts += [
        *_schedules(found),
        *_retention(found),
        *_recomputation(found),
        *_sizes(found),
        _pair(recorded()[PAIR], recorded()[EVERY_RANK]),
    ]
    return "\n".join(parts)


def _sets(found: Mapping[str, Any]) -> str:
    rows = [
        [name, sets()[name].title, f"{sets()[name].compulsory:,}", f"{each['recomputation']['operations']:,}"]
        for name, each in found.items()
    ]
    return table(["set", "layers", number("compulsory (B)"), number("operations")], rows).markdown() + "\n"


def _image(name: str, alternative: str) -> str:
    return f"![{alternative}]({FOLDER}/{name}.svg)\n"


def _file(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)


# Ranks and schedule ---------------------------------------------------------------------------------------------------


def ratio_of_schedules(found: Mapping[str, Any]) -> float:
    """The largest buffer by the smallest, of all ways to cut ranks: without recomputation, at compulsory traffic."""
    buffers = [row["buffer"] for row in found["schedules"] if row["schedule"] != "none"]
    return max(buffers) / min(buffers)


def _schedules(found: Mapping[str, Any]) -> list[str]:
    rows: list[list[object]] = []
    for name, each in found.items():
        cut = [row for row in each["schedules"] if row["schedule"] != "none"]
        best, worst = (choose(cut, key=lambda row: row["buffer"]) for choose in (min, max))
        none = next(row["buffer"] for row in each["schedules"] if row["schedule"] == "none")
        rows.append([name, f"{none:,}", worst["schedule"], f"{worst['buffer']:,}", best["schedule"]])
        rows[-1] += [f"{best['buffer']:,}{_mark(best['exact'])}", f"{ratio_of_schedules(each):.1f}"]
    columns = ["set", number("nothing cut (B)"), "worst ranks", number("buffer (B)"), "best ranks"]
    columns += [number("buffer (B)"), number("ratio")]
    best_of = {name: ratio_of_schedules(each) for name, each in found.items()}
    return [
        "## Ranks and schedule: least buffer at compulsory traffic\n",
        "Without recomputation. Ranks are the last layer's, outermost first: `C.op` its channels, `C.ks` those that\n"
        "it reads, `H.opc` and `W.opc` rows and columns; tiles and retentions are the best for them. The worst choice\n"
        "may save nothing.\n",
        table(columns, rows).markdown() + "\n",
        _reached("10 times less buffer", best_of, TENFOLD),
        *(_image(f"schedules-{_file(name)}", f"traffic by buffer and ranks of {name}") for name in _drawn(found)),
    ]


def _mark(exact: bool) -> str:
    return "" if exact else " (not proved)"


def _reached(what: str, ratios: Mapping[str, float], least: float) -> str:
    """In which sets a ratio is as large as the paper's, and how large it is in the others."""
    yes = [f"{name} ({ratio:.1f})" for name, ratio in ratios.items() if round(ratio, 1) >= least]
    no = [f"{name} ({ratio:.1f})" for name, ratio in ratios.items() if round(ratio, 1) < least]
    return f"**{what}**: reached by {_listed(yes)}; not by {_listed(no)}.\n"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _drawn(found: Mapping[str, Any]) -> list[str]:
    """The first shape of every fusion set."""
    first: dict[str, str] = {}
    for name in found:
        first.setdefault(name.split()[0], name)
    return list(first.values())


# Retention ------------------------------------------------------------------------------------------------------------


def ratio_of_retention(found: Mapping[str, Any]) -> tuple[float, int]:
    """How many times less buffer a level of its own for every tensor needs, where most, and the traffic there."""
    ratios: list[tuple[float, int]] = []
    for capacity, traffic in found["retention"]["same"]:
        ratios.append((capacity / _least_buffer(found["retention"]["own"], traffic), traffic))
    return max(ratios)


def _least_buffer(front: Pairs, traffic: int) -> int:
    return next(capacity for capacity, moved in front if moved <= traffic)


def _retention(every: Mapping[str, Any]) -> list[str]:
    found = {name: each for name, each in every.items() if each["retention"]}
    missing = [name for name in every if name not in found]
    rows: list[list[object]] = []
    for name, each in found.items():
        compulsory = sets()[name].compulsory
        same, own = (_least_buffer(each["retention"][key], compulsory) for key in ("same", "own"))
        ratio, traffic = ratio_of_retention(each)
        rows.append([name, f"{same:,}", f"{own:,}", f"{same / own:.2f}", f"{traffic / compulsory:.2f}", f"{ratio:.2f}"])
    columns = ["set", number("one level for all (B)"), number("a level for each (B)"), number("ratio")]
    columns += [number("traffic by compulsory where most"), number("ratio there")]
    return [
        "## Retention: one level for all tensors, or one for each\n",
        "Least buffer at compulsory traffic, then where a level for each tensor saves most. With one level for all,\n"
        "below the same number of loops, every mapping of at most 16,384 turns is priced; of ranks longer than 144\n"
        "only with tiles that divide them. Ranks, order and tiles are the best on both sides.\n",
        table(columns, rows).markdown() + "\n",
        _reached("9 times less buffer", {name: ratio_of_retention(each)[0] for name, each in found.items()}, NINEFOLD),
        *([f"Not compared, for it takes too many turns: {_listed(missing)}.\n"] if missing else []),
        *(_image(f"retention-{_file(name)}", f"traffic by buffer and retention of {name}") for name in _drawn(found)),
    ]


# Recomputation --------------------------------------------------------------------------------------------------------


def ratio_of_recomputation(found: Mapping[str, Any]) -> float:
    """How many times less buffer a tenth more operations need at compulsory traffic."""
    least, front = found["recomputation"]["operations"], found["recomputation"]["front"]
    without = min(capacity for capacity, worked in front if worked == least)
    return without / min(capacity for capacity, worked in front if worked <= MORE * least)


def _recomputation(found: Mapping[str, Any]) -> list[str]:
    rows: list[list[object]] = []
    for name, each in found.items():
        run = each["recomputation"]
        least, front, most = run["operations"], run["front"], run["most"]
        without = min(capacity for capacity, worked in front if worked == least)
        capacity, worked = min(front)
        halved = min((work for room, work in front if room * HALF <= without), default=None)
        rows.append([name, f"{without:,}{_mark(run['exact'])}", f"{ratio_of_recomputation(each):.2f}"])
        rows[-1] += ["never" if halved is None else f"{halved / least - 1:.0%}"]
        rows[-1] += [f"{capacity:,}", f"{worked / least - 1:.0%}"]
        rows[-1] += [f"{most['traffic'] / sets()[name].compulsory:.2f}", f"{most['without'] / most['with']:.2f}"]
        rows[-1] += [f"{most['operations'] / least - 1:.1%}"]
    columns = ["set", number("none (B)"), number("ratio at 10 % more"), number("half the buffer costs")]
    columns += [number("least buffer (B)"), number("which costs"), number("traffic by compulsory where 10 % save most")]
    columns += [number("ratio there"), number("which costs")]
    at_floor = {name: ratio_of_recomputation(each) for name, each in found.items()}
    anywhere = {
        name: each["recomputation"]["most"]["without"] / each["recomputation"]["most"]["with"]
        for name, each in found.items()
    }
    drawn = [name for name in _drawn(found) if len(found[name]["recomputation"]["front"]) > 1]
    return [
        "## Recomputation: buffer for operations\n",
        "Least buffer at compulsory traffic without recomputation, how many times less is needed with up to 10 % more\n"
        "operations, how many more halve it; then the traffic at which 10 % save most, both sides moving no more.\n",
        table(columns, rows).markdown() + "\n",
        _reached("Half the buffer for 10 % more operations, at compulsory traffic", at_floor, HALF),
        _reached("The same at the traffic where it saves most", anywhere, HALF),
        *(_image(f"recomputation-{_file(name)}", f"operations by buffer of {name}") for name in drawn),
    ]


# Sizes ----------------------------------------------------------------------------------------------------------------


def crossing(found: Mapping[str, Any]) -> tuple[int, int]:
    """The largest buffer in which the fused set moves more than layers one by one, the smallest where it does less."""
    rows = [row for row in found["sizes"] if row["alone"] is not None]
    loses = [row["size"] for row in rows if row["fused"] is None or row["fused"] > row["alone"]]
    wins = [row["size"] for row in rows if row["fused"] is not None and row["fused"] < row["alone"]]
    return max(loses, default=0), min(wins, default=0)


def _sizes(found: Mapping[str, Any]) -> list[str]:
    rows: list[list[object]] = []
    for name, each in found.items():
        loses, wins = crossing(each)
        at = next((row for row in each["sizes"] if row["size"] == loses), None)
        rows.append([name, f"{loses:,}" if at else "nowhere"])
        rows[-1] += [f"{at[key]:,}" if at and at[key] else "no room" if at else "" for key in ("fused", "alone")]
        rows[-1] += [f"{wins:,}" if wins else "nowhere"]
        rows[-1] += ["yes" if all(row["exact"] for row in each["sizes"]) else "no"]
    columns = ["set", number("loses up to (B)"), number("fused moves there"), number("layer by layer")]
    columns += [number("wins from (B)"), "all proved"]
    losing = [name for name, each in found.items() if crossing(each)[0]]
    others = [name for name in found if name not in losing]
    return [
        "## Size of the buffer: fused, or layer by layer\n",
        "Least traffic within a buffer: all layers as one group, each layer alone (up to three of its ranks cut, and\n"
        "everything off-chip in between), and the best of all ways to cut the set into groups with tensors that\n"
        "may stay in between. Sizes grow by the root of two.\n",
        table(columns, rows).markdown() + "\n",
        f"**Fusion loses in small buffers**: {_listed(losing)}; nowhere in {_listed(others)}.\n",
        *(_image(f"sizes-{_file(name)}", f"traffic by size of the buffer of {name}") for name in _drawn(found)),
    ]


# The pair of the published figures ------------------------------------------------------------------------------------


def least_within(front: Sequence[Sequence[int]], room: int) -> int:
    """The least traffic of a front within so much buffer, which holds one of its points."""
    return min(traffic for buffer, traffic in front if buffer <= room)


def _fronts(some: Mapping[str, Any], every: Mapping[str, Any]) -> str:
    """The least traffic within some buffers, by how many ranks may be cut."""
    lines: list[list[object]] = []
    for room in ROOMS:
        least = [least_within(each["front"], room) for each in (some, every)]
        lines.append([f"{room:,}", *(f"{each:,}" for each in least), f"{least[1] / least[0]:.3f}"])
    columns = [number("buffer (B)"), number(f"{LOOPS_OF_PAIR} ranks"), number("every rank"), number("ratio")]
    return table(columns, lines).markdown()


def _pair(found: Mapping[str, Any], every: Mapping[str, Any]) -> str:
    return f"""## ResNet-18's first pair

Two 3x3 convolutions of 64 channels without padding, 60 to 56 rows and columns, {LOOPS_OF_PAIR} ranks cut at most, those
of kernels too. The authors' model prices the best mappings that were written for it by hand at 93,568 B, and at
104,128 B without recomputation, both at {found["traffic"]:,} B of traffic. Over these mappings the whole front of
buffer, traffic and operations has {found["points"]} points; at that traffic they begin at **{found["buffer"]:,} B**,
and at **{found["without"]:,} B** without recomputation. It takes **{found["cpu_seconds"]:.2f} CPU s** (least of seven
runs, on a busy machine; 2 s are allowed)\
{"" if found["exact"] else ", and did not come to its end"}.

More ranks are of use in small buffers. Where all {every["ranks"]} ranks of at least {FEWEST_TURNS} indices may be cut,
in any order, and kernel rows and columns not, the whole front has {every["points"]} points, and at compulsory traffic
it begins at {every["buffer"]:,} B. That takes {every["cpu_seconds"]:.1f} CPU s\
{"" if every["exact"] else ", and did not come to its end"}. Least traffic (B):

{_fronts(found, every)}

{_image("front-of-the-pair", "traffic by buffer of ResNet-18's first pair")}"""


# Charts ---------------------------------------------------------------------------------------------------------------


def charts() -> dict[str, str]:
    """All charts, by the name of their file."""
    found = {name: recorded()[name] for name in sets() if name in recorded()}
    made: dict[str, Chart] = {}
    for name in _drawn(found):
        file, each = _file(name), found[name]
        lines = [Line(row["schedule"], row["front"]) for row in each["schedules"] if "front" in row]
        made[f"schedules-{file}"] = Chart(f"{name}: ranks that are cut", BUFFER_AXIS, TRAFFIC_AXIS, lines)
        if each["retention"]:
            same, own = each["retention"]["same"], each["retention"]["own"]
            lines = [Line("one level for all", same), Line("a level for each", own)]
            made[f"retention-{file}"] = Chart(f"{name}: retention", BUFFER_AXIS, TRAFFIC_AXIS, lines)
        front = each["recomputation"]["front"]
        if len(front) > 1:
            chart = Chart(f"{name}: recomputation", BUFFER_AXIS, "operations", [Line("compulsory traffic", front)])
            made[f"recomputation-{file}"] = chart
        made[f"sizes-{file}"] = Chart(f"{name}: fused or not", BUFFER_AXIS, TRAFFIC_AXIS, _lines_of_sizes(each))
    fronts = {f"{LOOPS_OF_PAIR} ranks": PAIR, "every rank": EVERY_RANK}
    lines = [Line(title, recorded()[name]["front"]) for title, name in fronts.items()]
    made["front-of-the-pair"] = Chart("ResNet-18's first pair", BUFFER_AXIS, TRAFFIC_AXIS, lines)
    return {f"{name}.svg": chart.svg() for name, chart in made.items()}


def _lines_of_sizes(found: Mapping[str, Any]) -> Sequence[Line]:
    names = {"fused": "all fused", "alone": "layer by layer", "best": "best groups"}
    return [
        Line(title, [(row["size"], row[key]) for row in found["sizes"] if row[key] is not None])
        for key, title in names.items()
    ]


if __name__ == "__main__":
    raise SystemExit("this is a module of benchmarks/looptree_conclusions.py")
