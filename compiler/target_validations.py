"""What each target that comes along was compared with, as the pages of the targets say it."""

from __future__ import annotations

from dataclasses import dataclass

from compiler.tables import Table, table


@dataclass(frozen=True)
class Validation:
    """What of a target was compared with what; `page` is the page of figures, or empty if a command makes them."""

    compared: str
    against: str
    page: str = ""


_SIX_DATAFLOWS = Validation(
    "energy by kind of access of its dataflow, best mappings", "published figures of ISCA 2016", "isca16.md"
)
_CHAIN = Validation(
    "time and energy of whole networks, as a chain and offloaded",
    "the published averages of GCONV Chain",
    "chain-claim.md",
)
_RRAM = (
    Validation("results of quantized networks", "the interpreter, to the bit, and ONNX Runtime", "rram-networks.md"),
    Validation(
        "speed-up of schemes of cores, by crossbars and buses", "the most that is possible (P_V)", "rram-grid.md"
    ),
    Validation("crossbars that networks take, products of them", "published counts", "crossbar-counts.md"),
    Validation("errors by resolution of converters", "those of two simulators", "rram-ladder.md"),
)
_SCHEDULES = Validation("results under random schedules", "the interpreter; races and deadlocks", "rram-schedules.md")
_VALIDATED: dict[str, tuple[Validation, ...]] = {
    "eyeriss": (
        Validation(
            "traffic, time, power of AlexNet's convolutions", "measurements of the chip (JSSC 2017)", "eyeriss-chip.md"
        ),
        _CHAIN,
    ),
    "nlr": (_CHAIN,),
    "systolic": (_CHAIN,),
    "spots": (
        Validation("dense latencies of four networks", "closed forms over tables of layers", "spots.md"),
        Validation(
            "events of pruned networks, emulated", "closed forms, and ONNX Runtime for results", "spots-networks.md"
        ),
    ),
    "rram": (*_RRAM, _SCHEDULES),
    "rram-mesh": (
        Validation("cycles and results of networks", "predictions, and the same cores on a bus", "rram-mesh.md"),
        _SCHEDULES,
    ),
    **{f"isca16-{name}": (_SIX_DATAFLOWS,) for name in ("nlr", "osa", "osb", "osc", "rs", "ws")},
}


def validations(target: str) -> tuple[Validation, ...]:
    """What a target was compared with; the conformance kit is for every one, and last."""
    kit = Validation(
        "results of operators and small networks; emulated counts",
        f"the interpreter; predicted counts, where zeros do not change them (`catena conformance {target}`)",
    )
    return (*_VALIDATED.get(target, ()), kit)


def validation_table(target: str) -> Table:
    """The same as a table."""
    rows = (
        (each.compared, each.against, f"[{each.page}]({each.page})" if each.page else "")
        for each in validations(target)
    )
    return table(("compared", "with", "figures"), rows)
