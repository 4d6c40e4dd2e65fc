"""What the layers of a program do and cost, wherever the counts come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from backends.program import SearchEntry
from backends.segments import SEGMENT
from compiler.displaying import Displayed, Part
from dialects.accelerator import Accelerator
from dialects.events import Counts
from dialects.multicore_machine import MulticoreMachine
from passes.mapping.cost import Price
from passes.pricing import price, slots

ARRAY_USE = (
    "of the elements' cycles in which the array computes or is filled, the share with an operation; "
    "cycles in which the array waits for memories, cores or the host are left out; on several cores the array is, of "
    "the cores that a layer is on, the crossbars, or the vector units where these do its operations"
)
"""What `utilisation` is."""


class Provenance(StrEnum):
    """Where counts come from."""

    EMULATED = "emulated"
    PREDICTED = "predicted from the mapping"


class KnownZeros(StrEnum):
    """What predictions know of the zeros of a layer's data: what they leave out, shares of them, or nothing."""

    MEASURED = "measured"
    ESTIMATED = "estimated"
    NONE = "taken as none"


@dataclass(frozen=True)
class Layer:
    """A layer by name, with its kind, the ONNX nodes it came from, and how good its mapping is if it was searched.

    `zeros` says what predictions know of those of its data.
    """

    name: str
    kind: str
    nodes: tuple[str, ...]
    search: SearchEntry | None = None
    zeros: KnownZeros = KnownZeros.NONE


@dataclass(frozen=True)
class LayerReport:
    """Counts of one layer, and their price: energy in pJ, cycles of the target's clock."""

    layer: Layer
    counts: Counts
    price: Price

    def utilisation(self, machine: Accelerator) -> float:
        """From 0 to 1, as `ARRAY_USE` says; operations that are left out are none."""
        possible = slots(self.counts, machine)
        return _done(self.counts) / possible if possible else 0.0


@dataclass(frozen=True)
class Report(Displayed):
    """All layers of a program on a machine; the totals are sums over layers, which run one after the other."""

    model: str
    machine: Accelerator
    provenance: Provenance
    layers: tuple[LayerReport, ...]

    @property
    def counts(self) -> Counts:
        """The sum of all layers' counts."""
        total = Counts(dict.fromkeys(self.layers[0].counts.events, 0)) if self.layers else Counts()
        for each in self.layers:
            total.add(each.counts)
        return total

    @property
    def cycles(self) -> int:
        """Cycles from start to end, or as `cycles_note` says."""
        return sum(each.price.cycles for each in self.layers)

    @property
    def cycles_note(self) -> str:
        """What cycles of layers are, if not simply those that they take: on cores, layers overlap."""
        if self.provenance is not Provenance.PREDICTED or not isinstance(self.machine, MulticoreMachine):
            return ""
        note = "cycles are those by which each layer puts off the end, with those in which cores wait, as in a run"
        # In a pipeline a layer that is done early may wait for room, and has the cycles of what it waits for.
        return f"{note}, for room, too" if self.machine.pipelines_layers else note

    @property
    def milliseconds(self) -> float:
        """Time from start to end at the target's clock."""
        return self.cycles / (self.machine.clock_mhz * 1e3)

    @property
    def host_segments(self) -> tuple[LayerReport, ...]:
        """The layers that ONNX Runtime executes; neither their time nor their energy is known."""
        return tuple(each for each in self.layers if each.layer.kind == SEGMENT)

    @property
    def host_cycles(self) -> int:
        """Cycles in which the accelerator waits for the host core."""
        return sum(each.price.host_cycles for each in self.layers)

    @property
    def host_energy(self) -> float:
        """Energy in pJ of the host core, its memories and the link."""
        return sum(each.price.energy["host"] for each in self.layers)

    @property
    def energy(self) -> float:
        """Energy in pJ."""
        return sum(each.price.total_energy for each in self.layers)

    @property
    def utilisation(self) -> float:
        """From 0 to 1, as `ARRAY_USE` says; operations that are left out are none."""
        both = [(_done(each.counts), slots(each.counts, self.machine)) for each in self.layers]
        possible = sum(most for _, most in both)
        # What takes no time, as products in 0 cycles, uses nothing.
        return sum(done for done, most in both if most) / possible if possible else 0.0

    def displayed(self) -> Iterable[Part]:
        """What notebooks show."""
        from compiler.reports.text import layer_table

        return [layer_table(self)]


def _done(counts: Counts) -> int:
    return counts.operations - counts.events.get("operation.skipped", 0)


def build_report(
    model: str, machine: Accelerator, provenance: Provenance, layers: Iterable[Layer], counts: Mapping[str, Counts]
) -> Report:
    """The report of a program's layers, in their order; a layer that was not counted is left out."""
    priced = tuple(
        LayerReport(layer, counts[layer.name], price(counts[layer.name], machine))
        for layer in layers
        if layer.name in counts
    )
    return Report(model, machine, provenance, priced)
