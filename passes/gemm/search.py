"""The best mapping of a link to matrix products, among all divisions of the array and the largest tiles that fit.

What mappings cost is known but for zeros: nothing is left out, and of a kernel in blocks the share of words there are.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from dialects.events import Counts
from dialects.gconv import PASS, GConv
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import GemmMapping
from dialects.schedule import Objective, Operand
from passes.gemm.candidates import candidates, in_order_of_results, with_groups, with_ring
from passes.gemm.cost import first_words, predict, steps_of
from passes.gemm.pricing import price_of_products
from passes.gemm.ring import PatchWords
from passes.gemm.streams import Encoded
from passes.gemm.tiles import GemmTiles


@dataclass(frozen=True)
class Problem:
    """A link to be mapped on a machine.

    `kernel` is what is known of one that lies in blocks, `kept` are the roles of tensors that lie in holds. With
    `in_order`, results leave in row-major order.
    """

    spec: GConv
    machine: GemmMachine
    input_shape: tuple[int, ...]
    kernel: Encoded | None = None
    kept: Collection[str] = ()
    in_order: bool = False


@dataclass(frozen=True)
class Chosen:
    """A mapping; no mapping of the space has a value below (1 - `gap`) times its own."""

    mapping: GemmMapping
    gap: float


def best_mapping(problem: Problem, objective: Objective = Objective.LATENCY) -> Chosen:
    """The best mapping of a link; a word of every tensor always fits.

    Of mappings that take hardly longer than the fastest one (`_CLOSE`), `latency` means the one that takes the least
    energy; of those that move as few words as any, `traffic` the fastest one.
    """
    search = _Search(problem)
    if problem.in_order or objective is Objective.LATENCY:
        return search.fastest()
    if objective is Objective.TRAFFIC:
        return search.fewest_words()
    return search.least_energy(with_time=objective is Objective.EDP)


_CLOSE = 1.001
"""Mappings that take at most so many times as long as the fastest are told apart by their energy."""
_WEIGHED = 6
"""Of these, as many as move the fewest words over the link and out of the memory of kernels have patches made."""


@dataclass(frozen=True)
class _Value:
    """A mapping's cycles, and no more than any has with more groups in a pass; words on the link; kernel words read."""

    cycles: float
    least_cycles: float
    words: int
    kernels: int


class _Search:
    """The mappings of a link and what they cost."""

    def __init__(self, problem: Problem):
        self._problem = problem

    def fastest(self) -> Chosen:
        """The mapping that takes the least energy, of those that are as good as the fastest one."""
        problem, energy = self._problem, self._problem.machine.energy
        found: list[tuple[_Value, GemmMapping]] = []
        least = bound = math.inf

        def most() -> float:
            return least * _CLOSE

        looked_at = (in_order_of_results if problem.in_order else candidates)(
            problem.spec, problem.machine, problem.input_shape, problem.kernel, most
        )
        for mapping in looked_at:
            value = self._value(mapping)
            bound = min(bound, value.least_cycles)
            if value.cycles <= most():
                found.append((value, mapping))
                least = min(least, value.cycles)

        def cheapest(each: tuple[_Value, GemmMapping]) -> float:
            return each[0].words * energy.dram + each[0].kernels * energy.sram

        close = sorted((each for each in found if each[0].cycles <= most()), key=cheapest)[:_WEIGHED]
        whole = [self._finished(mapping) for _, mapping in close]
        best = min(whole, key=lambda each: self._energy(each, self._counts(each)))
        return Chosen(best, 1 - min(bound / self._value(best).cycles, 1))

    def fewest_words(self) -> Chosen:
        """The fastest mapping of those that move the fewest words over the link."""
        values = {mapping: self._value(mapping) for mapping in self._all()}
        best = min(values, key=lambda each: (values[each].words, values[each].cycles))
        return Chosen(self._finished(best), 0.0)

    def least_energy(self, *, with_time: bool) -> Chosen:
        """The mapping with the least energy, or product of energy and cycles: patches are made in order of bounds."""
        bounds: dict[GemmMapping, float] = {}
        for mapping in self._all():
            value = self._value(mapping)
            bounds[mapping] = self._least_energy(mapping) * (value.least_cycles if with_time else 1)
        best, least = None, math.inf
        for mapping in sorted(bounds, key=bounds.__getitem__):
            if bounds[mapping] >= least:
                break
            whole = self._finished(mapping)
            value = self._energy(whole, self._counts(whole)) * (self._value(whole).cycles if with_time else 1)
            if value < least:
                best, least = whole, value
        assert best is not None
        return Chosen(best, 0.0)

    def _all(self) -> Iterable[GemmMapping]:
        problem = self._problem
        return candidates(problem.spec, problem.machine, problem.input_shape, problem.kernel, lambda: math.inf)

    def _finished(self, mapping: GemmMapping) -> GemmMapping:
        """A mapping with as many groups in a pass as fit, whose patches share what they can."""
        problem = self._problem
        spec, machine, shape = problem.spec, problem.machine, problem.input_shape
        return with_ring(spec, with_groups(spec, mapping, machine, shape, problem.kernel), machine, shape)

    def _counts(self, mapping: GemmMapping, patches: PatchWords | None = None) -> Counts:
        problem = self._problem
        return predict(problem.spec, mapping, problem.machine, problem.input_shape, kept=problem.kept, patches=patches)

    def _energy(self, mapping: GemmMapping, counts: Counts) -> float:
        """The energy of counts without zeros, but for kernel words that do not come, in units of the machine's."""
        problem, energy = self._problem, self._problem.machine.energy
        price = price_of_products(counts, problem.machine).total_energy / energy.picojoules
        if problem.kernel is None:
            return price
        return price - (1 - problem.kernel.share) * counts.events["dram.kernel.read"] * (energy.dram + energy.sram)

    def _least_energy(self, mapping: GemmMapping) -> float:
        """No more than the energy of a mapping: every input word that patches need is read once, and nothing else."""
        problem = self._problem
        tiles = GemmTiles(problem.spec, mapping, problem.input_shape)
        return self._energy(mapping, self._counts(mapping, PatchWords(memory=tiles.distinct_input_words)))

    def _value(self, mapping: GemmMapping) -> _Value:
        problem, machine = self._problem, self._problem.machine
        spec, kept, tiles = problem.spec, problem.kept, GemmTiles(problem.spec, mapping, problem.input_shape)
        steps = steps_of(tiles, machine)
        words = 0 if Operand.OUTPUT in kept else math.prod(spec.output_shape)
        if Operand.INPUT not in kept:
            words += tiles.repeats(Operand.INPUT) * tiles.input_words()
        has_kernel = spec.main != PASS and Operand.KERNEL not in kept
        if has_kernel:
            share = 1.0 if problem.kernel is None else problem.kernel.share
            words += tiles.repeats(Operand.KERNEL) * math.ceil(math.prod(spec.kernel_shape) * share)
        array, rate = machine.array, machine.dram.words_per_cycle
        filling = steps.passes * (array.rows // tiles.mapping.split + array.cols - 2) if array.fills else 0
        busy, ends = max(steps.cycles, steps.patch_rows), first_words(tiles, has_kernel, kept) / rate
        cycles = max(busy + filling, words / rate) + ends
        least = cycles if tiles.groups == 1 else max(busy, words / rate) + ends
        return _Value(cycles, least, words, steps.kernels)
