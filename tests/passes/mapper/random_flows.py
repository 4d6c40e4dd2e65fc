"""Random links and machines: with nests that have a bar anywhere, or smaller ones of those that are delivered."""

from __future__ import annotations

from random import Random
from typing import Any

from compiler.targets import select_target
from dialects.diagnostics import CatenaError
from dialects.gconv import Dim, GConv, Reduce
from dialects.hierarchy import Axis, Hierarchy, Level
from passes.mapper.dataflow import parse_dataflow
from tests.passes.mapper.test_search import machine

TARGETS = (
    "isca16-rs",
    "isca16-ws",
    "isca16-osa",
    "isca16-osb",
    "isca16-osc",
    "isca16-nlr",
    "generic",
    "tpu",
    "gemmini",
)
PARTS = {"filters": "f", "channels": "c", "rows_out": "r", "rows_kernel": "k"}
RATES = (None, 0.25, 1.0, 3.0)


def random_link(random: Random) -> GConv:
    """A small convolution of one or two dimensions, of a few images or none."""
    images = [Dim("N", opc=random.randint(1, 4))] if random.random() < 0.3 else []
    channels = Dim("C", op=random.randint(1, 13), ks=random.randint(1, 8))
    rows = Dim(
        "H",
        opc=random.randint(1, 9),
        ks=random.randint(1, 3),
        stride=random.randint(1, 3),
        dilation=random.randint(1, 2),
    )
    columns = [Dim("W", opc=random.randint(1, 5), ks=random.randint(1, 3))] if random.random() < 0.3 else []
    return GConv((*images, channels, rows, *columns), "mul", Reduce.ADD)


def random_machine(random: Random) -> Hierarchy | None:
    """A buffer, an axis and registers with a random nest; None if its description is senseless."""
    words, register = random.randint(4, 150), random.randint(1, 40)
    bank = random.choice([None, None, None, 3, 8])
    reserve = random.choice(["0", "0", "0", "f0", "f0*r0", "9 - f0", "12 - 2*r0", "20 - f0*c0"])
    try:
        found = machine(
            _nest(random),
            words if bank is None else max(bank, words // bank * bank),
            random.choice([1, 2, 4, 8, 64]),
            register,
            slides=random.random() < 0.5,
            bank=bank,
            rooms={random.choice("IKO"): random.randint(1, min(8, register))} if random.random() < 0.2 else None,
            even=tuple(random.sample(["filters", "channels", "rows_out"], random.randint(0, 2))),
            buffers=random.choice([1, 1, 2]),
            rates=(random.choice(RATES), random.choice(RATES)),
            reserve=reserve,
        )
        parse_dataflow(found)
    except CatenaError:
        return None
    stays = {each.name: random.random() < 0.6 for each in found.memories[1:]}
    return _changed(found, {name: {"stays": value} for name, value in stays.items()}, nested=random.random() < 0.8)


def with_other_prices(random: Random) -> Hierarchy | None:
    """A random machine on which sums may cost less further out, or on their way."""
    found = random_machine(random)
    if found is None:
        return None
    prices = (each.model_copy(update={"energy": random.choice([0.0, 0.5, 1.0, 6.0, 50.0])}) for each in found.accesses)
    return _changed(found, {}, accesses=tuple(prices))


def with_several_reserving(random: Random) -> Hierarchy | None:
    """A random machine that reserves less with more of a parameter, for some values of others at least."""
    found = random_machine(random)
    reserve = random.choice(["9 - 2*f0 + f0*r0", "12 - 2*r0 + r0*c0", "15 - 4*f0 + f0*f0", "9 - 3*c0 + 2*c0"])
    if found is None:
        return None
    try:
        changed = _changed(found, {"glb": {"reserve": reserve}})
        parse_dataflow(changed)
    except CatenaError:
        return None
    return changed


def cut_on_both_sides(random: Random) -> Hierarchy | None:
    """A machine whose nest cuts loops left of the bar, and again right of it; stores and axes lie anywhere between."""
    parts = {part: letter for part, letter in PARTS.items() if part != "rows_kernel"}

    def cuts(*tiles: str) -> list[str]:
        chosen = random.sample(sorted(parts), random.randint(1, len(parts)))
        return [f"for {part} {random.choice(tiles).replace('_', parts[part])}" for part in chosen]

    left = cuts("_1", "_1", "_0*_1")
    loops = [*left, *cuts("_0", "_0", "1"), *cuts("1")[: random.randint(0, 2)]]
    laid = f"par {random.choice(sorted(parts))} {random.choice('1z')} on pe"
    levels = [f"store glb [{each}]" for each in random.sample("IKO", 3)[: random.randint(0, 3)]]
    levels += [laid, *(f"store rf [{each}]" for each in random.sample("IKO", random.randint(1, 3)))]
    places = sorted(random.randint(0, len(loops)) for _ in levels)
    nodes: list[str] = []
    for number in range(len(loops) + 1):
        nodes += [level for place, level in zip(places, levels, strict=True) if place == number]
        nodes += loops[number : number + 1]
    bar = nodes.index(left[-1]) + 1
    try:
        found = machine(
            f"{', '.join(nodes[:bar])} | {', '.join(nodes[bar:])}",
            random.randint(6, 80),
            random.choice([1, 2, 4, 8]),
            random.randint(4, 40),
            slides=random.random() < 0.5,
        )
        parse_dataflow(found)
    except CatenaError:
        return None
    prices = (each.model_copy(update={"energy": random.choice([0.0, 0.5, 1.0, 6.0, 50.0])}) for each in found.accesses)
    return _changed(found, {}, accesses=tuple(prices))


def small_target(random: Random, names: tuple[str, ...] = TARGETS) -> Hierarchy:
    """A machine that is delivered, with small memories and axes, and other rules of what stays or slides there."""
    delivered = select_target(random.choice(names)).machine
    assert isinstance(delivered, Hierarchy)
    most = random.choice([8, 20, 60, 200])
    changes: dict[str, dict[str, Any]] = {}
    for level in delivered.levels[1:]:
        if isinstance(level, Axis):
            changes[level.name] = {"size": random.randint(1, 8)}
            continue
        words = None if level.words is None else random.randint(2, most)
        if words is not None and level.bank:
            words = max(4, words // 4 * 4)
        changes[level.name] = {
            "words": words,
            "bank": 4 if words is not None and level.bank else None,
            "rooms": {each: random.randint(1, words or 1) for each in level.rooms},
            "stays": random.choice([level.stays, True, False]),
            "slides": random.choice([level.slides, True, False]),
            "buffers": random.choice([1, 1, 2]),
            "read": random.choice(RATES),
            "write": random.choice(RATES),
        }
    elements = None if delivered.elements is None else random.randint(1, 10)
    assert delivered.dataflow is not None
    dataflow = delivered.dataflow.model_copy(update={"weigh": {}})
    return _changed(delivered, changes, elements=elements, dataflow=dataflow, nested=random.random() < 0.8)


def _nest(random: Random) -> str:
    """Loops cut and laid at random, with stores in places that descriptions may have them in, and a bar."""
    names = {part: [f"{letter}{number}" for number in range(random.randint(1, 3))] for part, letter in PARTS.items()}
    loops: list[str] = []
    for part in PARTS:
        for _ in range(random.choice([0, 1, 1, 2, 2, 3])):
            tile = "*".join(random.sample(names[part], random.randint(0, len(names[part])))) or random.choice("12")
            if random.random() < 0.05:
                tile = random.choice([f"{tile} + 1", f"2*{tile} - 1", f"2*{tile}", f"z*{tile}"])
            loops.append(f"par {part} {tile} on pe" if random.random() < 0.3 else f"for {part} {tile}")
    random.shuffle(loops)
    laid = [number for number, loop in enumerate(loops) if loop.startswith("par")]
    first, last = (laid[0], laid[-1] + 1) if laid else (len(loops), 0)
    outside = sorted((random.randint(0, first), each) for each in "IKO" if random.random() < 0.6)
    last = max([last, *(place for place, _ in outside)])
    inside = sorted((random.randint(last, len(loops)), each) for each in "IKO" if random.random() < 0.6)
    nodes: list[str] = []
    for number in range(len(loops) + 1):
        nodes += [f"store glb [{each}]" for place, each in outside if place == number]
        nodes += [f"store rf [{each}]" for place, each in inside if place == number]
        nodes += loops[number : number + 1]
    bar = random.randint(1, max(1, len(nodes)))
    return f"{', '.join(nodes[:bar])} | {', '.join(nodes[bar:])}"


def _changed(hierarchy: Hierarchy, levels: dict[str, dict[str, Any]], **more: Any) -> Hierarchy:
    """A machine with other numbers, whether or not a description may say so."""
    values: dict[str, Any] = {name: getattr(hierarchy, name) for name in type(hierarchy).model_fields}
    made: list[Level] = [level.model_copy(update=levels.get(level.name, {})) for level in hierarchy.levels]
    return type(hierarchy).model_construct(None, **values | more | {"levels": tuple(made)})
