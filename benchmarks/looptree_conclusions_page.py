"""The page of `looptree_conclusions`: what of the paper's conclusions was found, on which fusion sets, with charts.

A module of `benchmarks/looptree_conclusions.py`, no command of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from looptree_conclusions import EVERY_RANK, FEWEST_TURNS, GROWTH, LOOPS_OF_PAIR, MORE, PAIR, Pairs, recorded
from looptree_conclusions_sets import EDGES, sets

from compiler.line_chart import Chart, Line
from compiler.tables import number, table

FOLDER = "looptree-conclusions"
NOTICE = f"<!-- Made by `python benchmarks/looptree_conclusions.py --output docs/{FOLDER}.md`; do not edit. -->\n"
TENFOLD, NINEFOLD, HALF = 10, 9, 2
"""What the paper reports as its largest ratios: ranks and schedule, retention, recomputation."""
WITHOUT = "_without"
"""Keys that end so are of mappings without recomputation."""
_RETENTION_COLUMNS = ("one level for all (B)", "a level for each (B)", "ratio")
ROOMS = tuple(kibibytes * 1024 for kibibytes in (4, 8, 16, 32, 48, 64, 80, 96))
BUFFER_AXIS, TRAFFIC_AXIS = "buffer (bytes)", "off-chip traffic (bytes)"

_INTRODUCTION = """\
LoopTree (Gilbert, Wu, Emer, Sze: arXiv 2409.13625, section VI) concludes from case studies that ranks and schedule
change the buffer by up to 10 times at the same traffic, a retention of its own for every tensor by up to 9 times, that
recomputation halves the buffer for about 10 % more operations, and that fused layers lose to layer by layer in small
buffers. Its shapes are variables, and its figures are what it reaches at most. Here are layers of common networks, some
of each fusion set, so that it is seen what the factors depend on; every figure is found by a search (`passes/fusion`)
that comes to its end unless it is marked. A set has its network and the rows of its input in its name. Words are bytes,
windows are padded unless it is said, intermediates of a fused set never leave the chip.

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
        *_growth(recorded()[GROWTH]),
        *_sizes(found),
        _pair(recorded()[PAIR], recorded()[EVERY_RANK]),
    ]
    return "\n".join(parts)


def _sets(found: Mapping[str, Any]) -> str:
    rows: list[list[object]] = []
    for name, each in found.items():
        problem = sets()[name]
        rows.append([name, " x ".join(map(str, problem.input)), problem.title, f"{problem.compulsory:,}"])
        rows[-1].append(f"{each['recomputation']['operations']:,}")
    columns = ["set", "input", "layers", number("compulsory (B)"), number("operations")]
    return table(columns, rows).markdown() + "\n"


def _image(name: str, alternative: str) -> str:
    return f"![{alternative}]({FOLDER}/{name}.svg)\n"


def _file(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)


# Ranks and schedule ---------------------------------------------------------------------------------------------------


def ratio_of_schedules(found: Mapping[str, Any]) -> float:
    """The largest buffer by the smallest, of all ways to cut ranks: without recomputation, at compulsory traffic."""
    buffers = [row["buffer"] for row in found["schedules"] if row["schedule"] != "none"]
    return max(buffers) / min(buffers)


def ratio_of_orders(found: Mapping[str, Any]) -> float:
    """The same for the best ranks in any order."""
    best = min(found["schedules"], key=lambda row: row["buffer"])
    ranks = sorted(best["schedule"].split())
    return max(row["buffer"] for row in found["schedules"] if sorted(row["schedule"].split()) == ranks) / best["buffer"]


def _schedules(found: Mapping[str, Any]) -> list[str]:
    rows: list[list[object]] = []
    for name, each in found.items():
        cut = [row for row in each["schedules"] if row["schedule"] != "none"]
        best, worst = (choose(cut, key=lambda row: row["buffer"]) for choose in (min, max))
        none = next(row["buffer"] for row in each["schedules"] if row["schedule"] == "none")
        rows.append([name, f"{none:,}", worst["schedule"], f"{worst['buffer']:,}", best["schedule"]])
        rows[-1] += [f"{best['buffer']:,}{_mark(best['exact'])}", f"{ratio_of_schedules(each):,.1f}"]
        rows[-1].append(f"{ratio_of_orders(each):,.2f}")
    columns = ["set", number("nothing cut (B)"), "worst ranks", number("buffer (B)"), "best ranks"]
    columns += [number("buffer (B)"), number("ratio"), number("ratio of orders")]
    best_of = {name: ratio_of_schedules(each) for name, each in found.items()}
    return [
        "## Ranks and schedule: least buffer at compulsory traffic\n",
        "Without recomputation. Ranks are the last layer's, outermost first: `C.op` its channels, `C.ks` those that\n"
        "it reads, `H.opc` and `W.opc` rows and columns; tiles and retentions are the best for them. The worst choice\n"
        "may save nothing. The last column has the best ranks alone, in the worst order and in the best one.\n",
        table(columns, rows).markdown() + "\n",
        _reached("10 times less buffer", best_of, TENFOLD),
        *(_image(f"schedules-{_file(name)}", f"traffic by buffer and ranks of {name}") for name in _drawn(best_of)),
    ]


def _mark(exact: bool) -> str:
    return "" if exact else " (not proved)"


def _reached(what: str, ratios: Mapping[str, float], least: float) -> str:
    """In which sets a ratio is as large as the paper's, and how large it is in the others."""
    yes = [f"{name} ({ratio:,.1f})" for name, ratio in ratios.items() if ratio >= least]
    others = [ratio for ratio in ratios.values() if ratio < least]
    rest = f"; {min(others):.2f} to {max(others):.2f} in the {len(others)} others" if others else ""
    return f"**{what}**: reached by {_listed(yes)}{rest}.\n"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _drawn(ratios: Mapping[str, float]) -> list[str]:
    """Of every kind of fusion set the shape with the largest ratio, unless that is 1."""
    most: dict[str, str] = {}
    for name, ratio in ratios.items():
        kind = name.split()[0]
        if ratio > max(1.0, ratios.get(most.get(kind, ""), 0.0)):
            most[kind] = name
    return list(most.values())


# Retention ------------------------------------------------------------------------------------------------------------


def ratio_of_retention(found: Mapping[str, Any], suffix: str = "") -> tuple[float, int]:
    """How many times less buffer a level of its own for every tensor needs, where most, and the traffic there."""
    ratios: list[tuple[float, int]] = []
    for capacity, traffic in found["retention"][f"same{suffix}"]:
        ratios.append((capacity / _least_buffer(found["retention"][f"own{suffix}"], traffic), traffic))
    return max(ratios)


def ratios_of_retention(found: Mapping[str, Any], suffix: str = "") -> dict[str, float]:
    """The largest ratio of every set."""
    return {name: ratio_of_retention(each, suffix)[0] for name, each in found.items()}


def traffic_of_one_level(found: Mapping[str, Any], room: int) -> int | None:
    """What one level for all tensors moves in a buffer; None if there is no room for it."""
    return min((traffic for capacity, traffic in found["retention"]["same"] if capacity <= room), default=None)


def _least_buffer(front: Pairs, traffic: int) -> int:
    return next(capacity for capacity, moved in front if moved <= traffic)


def _retention(found: Mapping[str, Any]) -> list[str]:
    rows: list[list[object]] = []
    for name, each in found.items():
        compulsory = sets()[name].compulsory
        rows.append([name])
        for suffix in ("", WITHOUT):
            same, own = (_least_buffer(each["retention"][key + suffix], compulsory) for key in ("same", "own"))
            rows[-1] += [f"{same:,}", f"{own:,}", f"{same / own:.2f}"]
            if not suffix:
                ratio, traffic = ratio_of_retention(each)
                moved = traffic_of_one_level(each, own)
                rows[-1] += [f"{ratio:.2f} at {traffic / compulsory:.2f}", moved and f"{moved / compulsory:.3f}"]
    columns = ["set", *(number(title) for title in _RETENTION_COLUMNS)]
    columns += [number(title) for title in ("largest ratio", "one level moves there")]
    columns += [number(f"{title}, nothing made anew") for title in _RETENTION_COLUMNS]
    ratios, without = ratios_of_retention(found), ratios_of_retention(found, WITHOUT)
    return [
        "## Retention: one level for all tensors, or one for each\n",
        "Least buffer at compulsory traffic; the largest ratio, and at which traffic by compulsory it is found; and\n"
        "what, by compulsory, one level for all moves in the buffer that a level for each needs. With one level, the\n"
        "places of all tensors stand below the same loops. Ranks, order and tiles are the best on both sides. The\n"
        "last three columns are without recomputation, on either side.\n",
        table(columns, rows).markdown() + "\n",
        _reached("9 times less buffer", ratios, NINEFOLD),
        _reached("9 times less buffer, nothing made anew", without, NINEFOLD),
        "With one level, all tensors have lines as long as the image, or none has; and compulsory traffic needs lines\n"
        "of the input. With a level for each, the others have tiles. So the factor is about the channels of all lines\n"
        "by those of the lines that have to be: it is large where few channels come in and many lie between, in\n"
        "images so wide that kernels, which are kept either way, count for little. Where it is largest, though, an\n"
        "input of few channels is most of what one level fetches again, and it moves only a few percent more in as\n"
        "small a buffer.\n",
        *(_image(f"retention-{_file(name)}", f"traffic by buffer and retention of {name}") for name in _drawn(ratios)),
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
        rows[-1] += ["never" if halved is None else f"{halved / least - 1:.1%}"]
        rows[-1] += [f"{capacity:,}", f"{worked / least - 1:,.0%}"]
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
    return [
        "## Recomputation: buffer for operations\n",
        "Least buffer at compulsory traffic without recomputation, how many times less is needed with up to 10 % more\n"
        "operations, how many more halve it; then the traffic at which 10 % save most, both sides moving no more.\n",
        table(columns, rows).markdown() + "\n",
        _reached("Half the buffer for 10 % more operations, at compulsory traffic", at_floor, HALF),
        _reached("The same at the traffic where it saves most", anywhere, HALF),
        "Without it, the rows of an intermediate that two windows have in common are kept, as long as the image and\n"
        "of all its channels; with it, lines are kept of the input alone. So the factor grows with columns and with\n"
        "the intermediate's channels by the input's, as far as kernels do not outweigh both. The price is the share\n"
        "of the first layers in all operations, times the rows that tiles have in common by those of a tile: little\n"
        "where few channels come in. Matrix products have no rows in common, and nothing to make anew.\n",
        *(
            _image(f"recomputation-{_file(name)}", f"operations made again by buffer of {name}")
            for name in _drawn(at_floor)
        ),
    ]


# Growing images -------------------------------------------------------------------------------------------------------


def grown_ratios(found: Mapping[str, Any], more: str, less: str) -> dict[str, list[float]]:
    """By set, for every size of the image: how many times as much buffer one kind of mappings needs as another."""
    return {name: [each[str(edge)][more] / each[str(edge)][less] for edge in EDGES] for name, each in found.items()}


_GROWTH = {
    "retention": ("A level for each tensor, recomputation allowed on both sides", "same", "own"),
    "recomputation": ("Up to 10 % more operations", "without", "more"),
}
"""Titles and what is divided by what, by the name of a chart."""


def _growth(found: Mapping[str, Any]) -> list[str]:
    parts = [
        "## How the factors grow with the image\n",
        "How many times less buffer is needed at compulsory traffic, by rows of the image; it has as many columns.\n"
        "Where an image is so small that all of its tensors take less room than the kernels, these pass by in tiles.\n"
        "Then, too, a level for each tensor saves much.\n",
    ]
    for name, (title, more, less) in _GROWTH.items():
        rows = [[each, *(f"{ratio:.2f}" for ratio in ratios)] for each, ratios in _grown(found, more, less).items()]
        parts += [f"{title}:\n", table(["set", *(number(str(edge)) for edge in EDGES)], rows).markdown() + "\n"]
        parts.append(_image(f"growth-{name}", f"{title}: ratio by rows of the image"))
    return parts


def _grown(found: Mapping[str, Any], more: str, less: str) -> dict[str, list[float]]:
    """`grown_ratios`, by names without the rows of an image."""
    return {name.rsplit(" ", 1)[0]: ratios for name, ratios in grown_ratios(found, more, less).items()}


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
        f"**Fusion loses in small buffers**: {_listed(losing)}; at none of these sizes {_listed(others)}.\n",
        *(_image(f"sizes-{_file(name)}", f"traffic by size of the buffer of {name}") for name in _first(found)),
    ]


def _first(found: Mapping[str, Any]) -> list[str]:
    """The first shape of every fusion set."""
    first: dict[str, str] = {}
    for name in found:
        first.setdefault(name.split()[0], name)
    return list(first.values())


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
    for name in _drawn({name: ratio_of_schedules(each) for name, each in found.items()}):
        lines = [Line(row["schedule"], row["front"]) for row in found[name]["schedules"] if "front" in row]
        made[f"schedules-{_file(name)}"] = Chart(f"{name}: ranks that are cut", BUFFER_AXIS, TRAFFIC_AXIS, lines)
    for name in _drawn(ratios_of_retention(found)):
        same, own = found[name]["retention"]["same"], found[name]["retention"]["own"]
        lines = [Line("one level for all", same), Line("a level for each", own)]
        made[f"retention-{_file(name)}"] = Chart(f"{name}: retention", BUFFER_AXIS, TRAFFIC_AXIS, lines)
    for name in _drawn({name: ratio_of_recomputation(each) for name, each in found.items()}):
        least, front = (found[name]["recomputation"][key] for key in ("operations", "front"))
        lines = [Line("compulsory traffic", [(room, 100 * (worked / least - 1)) for room, worked in front])]
        made[f"recomputation-{_file(name)}"] = Chart(
            f"{name}: recomputation", BUFFER_AXIS, "more operations (%)", lines
        )
    for name, (title, more, less) in _GROWTH.items():
        lines = [
            Line(each, list(zip(EDGES, ratios, strict=True)))
            for each, ratios in _grown(recorded()[GROWTH], more, less).items()
        ]
        made[f"growth-{name}"] = Chart(title, "rows and columns of the image", "times less buffer", lines)
    for name in _first(found):
        made[f"sizes-{_file(name)}"] = Chart(
            f"{name}: fused or not", BUFFER_AXIS, TRAFFIC_AXIS, _lines_of_sizes(found[name])
        )
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
