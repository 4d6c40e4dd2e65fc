"""Which passes run in a stage, by what a compilation is asked to do and for which target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

from xdsl.passes import ModulePass

from backends.api import Backend
from compiler.compile_options import CompileOptions
from compiler.pipelines import parse_passes
from compiler.stages import MAPPING_STAGE, Stage
from compiler.targets import Target
from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.schedule import Objective
from passes.merge_dims import MergeDimsPass
from passes.searching.options import ObjectivePass

ZEROS_STAGE = "encoded"
"""The stage in which zeros are measured."""


@dataclass(frozen=True)
class StagePasses:
    """The passes that options ask for. Raises `CatenaError` (CAT-C001) where the target cannot do what they ask."""

    options: CompileOptions

    def of(self, stage: Stage, target: Target | None) -> list[ModulePass]:
        """The passes of a stage, in their order."""
        pipeline = stage_pipeline(stage, target.backend if target is not None else None)
        extra = target.backend.pass_types if target is not None else {}
        passes = [
            step for text in pipeline for step in parse_passes(text, extra) if step.name not in self.options.without
        ]
        if stage.name == ZEROS_STAGE:
            return self._measuring(passes)
        if stage.name == MAPPING_STAGE:
            fusing = [] if is_of_cores(target) else self._fusing(target)
            behind = [*self._judging(target), *self._fusing_rows(target)]
            searching = self._searching([*passes, *behind], fusing, target)
            return [*self._decided(target), *fusing, *searching, *self._measuring_skips(target)]
        if self._merges_late(target):
            # Groups are tiled along dimensions that merging would hide; what is left is merged behind them.
            return [step for step in passes if not isinstance(step, MergeDimsPass)]
        return [self._merging() if isinstance(step, MergeDimsPass) else step for step in passes]

    def _measuring(self, passes: Sequence[ModulePass]) -> list[ModulePass]:
        """The passes of the stage that chooses encodings, which go by what is known of zeros."""
        file, density = self.options.calibrate, self.options.density
        if file is None and density is None:
            return [*passes]
        # most compilations measure nothing
        from passes.choose_encodings import ChooseEncodingsPass
        from passes.measure_zeros import MeasureZerosPass

        first = next((i for i, step in enumerate(passes) if isinstance(step, ChooseEncodingsPass)), len(passes))
        return [*passes[:first], MeasureZerosPass(file, density), *passes[first:]]

    def _measuring_skips(self, target: Target | None) -> list[ModulePass]:
        """The pass that measures what mapped links leave out, on machines that do so."""
        if self.options.calibrate is None or target is None:
            return []
        # most compilations measure nothing
        from dialects.gemm_machine import GemmMachine
        from passes.measure_skips import MeasureSkipsPass

        return [MeasureSkipsPass(self.options.calibrate)] if isinstance(target.machine, GemmMachine) else []

    def _merges_late(self, target: Target | None) -> bool:
        """Whether dimensions merge behind the fusing of layers."""
        return (self.options.fuse or self.groups_by_hand) and not is_of_cores(target)

    def _merging(self) -> MergeDimsPass:
        """The pass that merges dimensions, except of layers that the mapping file maps as they are."""
        file = self.options.mapping
        return MergeDimsPass(mappings=file, only_named=file is not None and self.options.fuse)

    @cached_property
    def groups_by_hand(self) -> bool:
        """Whether there is a mapping file that fuses links."""
        if self.options.mapping is None:
            return False
        from passes.mapping_file.reading import links_in_groups

        return bool(links_in_groups(Path(self.options.mapping)))

    def _decided(self, target: Target | None) -> list[ModulePass]:
        """The passes that decide where links run, and how those run that a mapping file names."""
        file, mode = self.options.mapping, self.options.mode
        if file is None:
            return [*mode.passes]
        # mapping files bring the searches of all kinds of machines with them
        from passes.form_groups import FormGroupsPass
        from passes.pin_mappings import PinMappingsPass

        objective = self.options.search.objective
        before = PinMappingsPass(file, mode.value, objective=None if objective is None else objective.value)
        grouping = [FormGroupsPass(file)] if self.groups_by_hand else []
        merging = [self._merging()] if self._merges_late(target) else []
        if not mode.passes:
            return [*grouping, *merging, before]
        return [before, *mode.passes, *grouping, *merging, replace(before, after_assign_host=True)]

    def _fusing(self, target: Target | None) -> list[ModulePass]:
        """The passes that fuse layers.

        Without an objective nothing stays between groups of rows and columns: nests have less room beside it, and of
        groups that cost more for it all would be taken apart together.
        """
        if not self.options.fuse:
            return []
        # most compilations fuse nothing
        from passes.fuse_layers import FuseLayersPass

        objective = self.options.search.objective
        is_array = target is not None and isinstance(target.machine, Machine)
        plain = FuseLayersPass(staying=0) if is_array else FuseLayersPass()
        is_for_words = objective is Objective.TRAFFIC
        fusing = plain if objective is None else FuseLayersPass(least=objective.value, words_alone=is_for_words)
        return [self.options.search.share(1 / 2).applied_to(fusing), MergeDimsPass()]

    def _fusing_rows(self, target: Target | None) -> list[ModulePass]:
        """The pass that fuses layers that are mapped already, on machines whose groups are pipelines of cores."""
        if not (self.options.fuse and is_of_cores(target)):
            return []
        from passes.fuse_rows import FuseRowsPass

        return [FuseRowsPass()]

    def _judging(self, target: Target | None) -> list[ModulePass]:
        """The pass that takes groups apart which cost more than their links alone, by the objective that is asked for.

        Without one it is energy times time on machines of rows and columns, where few words that are saved can cost
        much time; groups of machines of matrix products are compared as they are formed.
        """
        options, machine = self.options, None if target is None else target.machine
        if not options.fuse:
            return []
        from dialects.gemm_machine import GemmMachine

        if not isinstance(machine, GemmMachine | Machine):
            return []  # on levels groups have prices
        without = options.search.objective is None
        if without and not isinstance(machine, Machine):
            return []
        from passes.dissolve_groups import DissolveGroupsPass

        return [DissolveGroupsPass(product=without)]

    def _searching(
        self, passes: Sequence[ModulePass], fusing: Sequence[ModulePass], target: Target | None
    ) -> list[ModulePass]:
        """The passes of the mapping stage as the options want mappings to be found, behind those that fuse layers."""
        search = self.options.search
        known = {each.name for step in (*fusing, *passes) if isinstance(step, ObjectivePass) for each in fields(step)}
        if unknown := [each for each in search.given if each.removeprefix("--").replace("-", "_") not in known]:
            name = "" if target is None else target.machine.name
            message = f"the target {name} searches for {'mappings at once' if known else 'no mappings'}"
            hint = "--objective is all that it can be asked for" if known else ""
            raise CatenaError(Diagnostic("CAT-C001", message, "mapped", found=", ".join(unknown), hint=hint))
        if self.options.fuse and search.objective is None:
            from passes.map_nest import MapNestPass

            # by energy alone links would lie on few elements in turns whose parts of them are small
            passes = [replace(step, groups="edp") if isinstance(step, MapNestPass) else step for step in passes]
        if not self._merges_late(target) or not self.options.fuse:
            return [search.applied_to(step) for step in passes]
        # `fuse-layers` has half of the time; who judges groups searches up to twice
        judges = {step: search.share(1 / 8) for step in passes if step.name == "dissolve-groups"}
        mapping = search.share(1 / 4 if judges else 1 / 2)
        return [judges.get(step, mapping).applied_to(step) for step in passes]


def stage_pipeline(stage: Stage, backend: Backend | None) -> tuple[str, ...]:
    """The pipeline texts of a stage: the backend's own, if it has any, in place of the table's."""
    return stage.passes if backend is None else backend.passes.get(stage.name, stage.passes)


def is_of_cores(target: Target | None) -> bool:
    """Whether layers run on cores, over which passes of their own lay them."""
    return target is not None and target.machine.runs_on_cores
