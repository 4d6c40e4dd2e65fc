"""Compilation: a model or IR in, IR or a program out, stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from backends.api import Backend
from backends.registry import find_backend
from compiler.compile_options import CompileOptions as CompileOptions
from compiler.descriptions.files import DEFAULT_TARGET
from compiler.displaying import Displayed, Part
from compiler.driver import (
    Failure,
    Observer,
    StageRun,
    run_stage,
    stage_of,
    watched_for_failure,
    without_garbage_collection,
)
from compiler.dumps import MappingDump
from compiler.fallback_hint import fallback_hint
from compiler.ir_text import new_context, read_module
from compiler.modes import Mode
from compiler.sources import SourceKind, kind_of, load_message, load_model
from compiler.stage_passes import ZEROS_STAGE, StagePasses, is_of_cores
from compiler.stages import (
    IMPORT,
    MAPPING_STAGE,
    PLACED_STAGE,
    PROGRAM,
    STAGE_NAMES,
    Stage,
    stage_named,
    stage_number,
    stages_after,
)
from compiler.tables import Table, number, table
from compiler.targets import Target, select_target
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.module_attributes import BACKEND, STAGE
from dialects.target import MachineOp, find_machine
from passes.verification import Verifier

if TYPE_CHECKING:
    import onnx

    from backends.program import Program
    from compiler.pipeline_choice import Way

PIPELINED = "schedule.pipelined"
"""The key of targets of cores that says whether layers run as a pipeline."""
TARGET_STAGE = "fused"
"""The first stage whose passes look at the machine; it is put into the module before them."""


@dataclass(frozen=True)
class Compiled(Displayed):
    """What a compilation made: the module after the last IR stage, the program if it went that far, and timings."""

    module: ModuleOp
    program: Program | None
    runs: tuple[StageRun, ...]

    def stage_table(self) -> Table:
        """The stages that ran."""
        rows = ((run.stage, f"{run.seconds:.3f}", run.detail) for run in self.runs)
        return table(("stage", number("wall s"), "what there is after it"), rows)

    def displayed(self) -> Iterable[Part]:
        """What notebooks show."""
        return [self.stage_table()]


def compile_source(
    source: str,
    options: CompileOptions | None = None,
    observers: Sequence[Observer] = (),
    verifier: Verifier | None = None,
) -> Compiled:
    """Compile an ONNX file, or go on from an IR file.

    `verifier` checks the module after every pass and stage; a new `Verifier` if None.

    Raises `CatenaError` with every problem of the first stage that finds any.
    """
    asked = options or CompileOptions()
    stage_number(asked.stop)
    if asked.reproducer is not None:
        # most compilations leave none
        from compiler.reproduction.keeping import keeping_failures

        without = replace(asked, reproducer=None)
        with keeping_failures(asked.reproducer, source, asked.importing, asked) as recorder:
            return compile_source(source, without, [recorder, *observers], verifier)
    with without_garbage_collection(), fallback_hint(asked.importing):
        if kind_of(source) is SourceKind.PROGRAM:
            raise CatenaError(Diagnostic("CAT-C001", f"{source} is a program already"))
        if kind_of(source) is SourceKind.MODEL:
            return _Compilation(asked, observers, verifier or Verifier()).from_model(source)
        return _Compilation(asked, observers, verifier or Verifier()).from_ir(source)


def resume_inside(
    source: str, options: CompileOptions, stage: str, done: int, observers: Sequence[Observer] = ()
) -> Compiled:
    """Finish a stage of which so many passes have run over the IR in a file, and no other one.

    Raises `CatenaError` as `compile_source`, and CAT-C001 if there is no such stage.
    """
    with without_garbage_collection(), fallback_hint(options.importing):
        return _Compilation(options, observers, Verifier()).inside(source, stage_named(stage), done)


def compile_model(
    model: onnx.ModelProto,
    target: Target,
    options: CompileOptions | None = None,
    observers: Sequence[Observer] = (),
    verifier: Verifier | None = None,
    unfused: Target | None = None,
) -> Compiled:
    """Compile a model in memory for a target, as `compile_source` does a file; `options` names no other target.

    Layers are not fused if that is predicted to cost more than without on the target `unfused`, which cores may need.
    """
    asked = options or CompileOptions()
    with without_garbage_collection():
        compilation = _Compilation(asked, observers, verifier or Verifier())
        return compilation.from_message(model, target, unfused)


class _Compilation:
    def __init__(self, options: CompileOptions, observers: Sequence[Observer], verifier: Verifier):
        self._options = options
        self._passes = StagePasses(options)
        self._observers = observers
        self._context = new_context()
        self._verifier = verifier
        self._runs: list[StageRun] = []

    def from_model(self, source: str) -> Compiled:
        options = self._options
        if options.start is not None:
            raise CatenaError(
                Diagnostic("CAT-C001", "--from needs an IR file", found=source, expected="a file that ends in .mlir")
            )
        stages = stages_after(None, options.stop)
        self._check_use(stages)
        # A wrong target shows before the work is done, not after.
        target = self._selected() if self._is_for_target(stages) else None
        target = target if _needs_target(stages) else None
        self._check_mapping_files(target)
        module = self._import(lambda: load_model(source, options.importing), target)
        return self._run(module, stages[1:], self._cheaper(module, target, self._unfused(target)))

    def from_message(self, model: onnx.ModelProto, target: Target, unfused: Target | None) -> Compiled:
        stages = stages_after(None, self._options.stop)
        self._check_use(stages)
        self._check_mapping_files(target)
        module = self._import(lambda: load_message(model, self._options.importing), target)
        return self._run(module, stages[1:], self._cheaper(module, target, unfused))

    def from_ir(self, source: str) -> Compiled:
        options = self._options
        parsed = read_module(source, self._context)
        module = parsed.module
        start = options.start or stage_of(module)
        if start is None:
            raise CatenaError(
                Diagnostic(
                    "CAT-C001",
                    "the IR does not say which stage it has passed",
                    where=source,
                    hint=f"name it with --from, one of {', '.join(STAGE_NAMES[:-1])}",
                )
            )
        stages = stages_after(start, options.stop)
        self._check_use(stages)
        module.attributes[STAGE] = StringAttr(start)
        legality = stage_named(start).legality
        self._verifier.verify(module, stage=start, legality=legality, positions=parsed.positions)
        target = self._target_of(module) if self._is_for_target(stages) else None
        target = target if _needs_target(stages) else None
        self._check_mapping_files(target)
        if find_machine(module) is None:
            target = self._cheaper(module, target, self._unfused(target))
        return self._run(module, stages, target)

    def inside(self, source: str, stage: Stage, done: int) -> Compiled:
        parsed = read_module(source, self._context)
        self._verifier.verify(parsed.module, stage=stage.name, positions=parsed.positions)
        target = self._target_of(parsed.module) if self._is_for_target([stage]) else None
        return self._run(parsed.module, [stage], target, done)

    def _is_for_target(self, stages: Sequence[Stage]) -> bool:
        """Whether a target is needed, or named: then what is wrong with it is said even where no stage reads it."""
        return _needs_target(stages) or self._options.target is not None or bool(self._options.settings)

    def _check_use(self, stages: Sequence[Stage]) -> None:
        """Options of the mapping stage need that stage."""
        options = self._options
        given = {"a mapping file": options.mapping is not None, f"mode {options.mode}": options.mode is not Mode.CHAIN}
        given |= {"--fuse": options.fuse} | dict.fromkeys(options.search.given, True)
        names = [stage.name for stage in stages]
        zeros = {"--calibrate": options.calibrate is not None, "--density": options.density is not None}
        if all(zeros.values()):
            raise CatenaError(Diagnostic("CAT-C001", "zeros are measured or stated: --calibrate or --density"))
        if ZEROS_STAGE not in names and any(zeros.values()):
            message = f"{' and '.join(what for what, is_given in zeros.items() if is_given)} is of no use without stage"
            raise CatenaError(Diagnostic("CAT-C001", f"{message} {ZEROS_STAGE}", hint="see --from, --to"))
        if MAPPING_STAGE in names:
            return
        problems = [
            Diagnostic("CAT-C001", f"{what} is of no use without stage {MAPPING_STAGE}", hint="see --from, --to")
            for what, is_given in given.items()
            if is_given
        ]
        if problems:
            raise CatenaError(problems)

    def _at_its_statement(self, problem: Diagnostic, module: ModuleOp) -> Diagnostic:
        """A problem of a group that the mapping file makes, with its place in the file."""
        if not self._passes.groups_by_hand or self._options.mapping is None:
            return problem
        from passes.mapping_file.blame import at_its_statement

        return at_its_statement(problem, module, Path(self._options.mapping), self._context)

    def _check_mapping_files(self, target: Target | None) -> None:
        """Mapping files have no words for how layers lie on cores."""
        if target is None or not is_of_cores(target):
            return
        given, observers = self._options.mapping, self._observers
        files = [] if given is None else [("--mapping", given)]
        files += [("--save-mapping", str(each.path)) for each in observers if isinstance(each, MappingDump)]
        message = f"the passes of {target.machine.name} lay layers over its cores: mapping files cannot say how"
        hint = "leave {} out; --set schedule.KEY=VALUE changes what the passes choose"
        problems = [
            Diagnostic("CAT-C001", f"{option}: {message}", "mapped", where=file, hint=hint.format(option))
            for option, file in files
        ]
        if problems:
            raise CatenaError(problems)

    def _import(self, load: Callable[[], ModuleOp], target: Target | None) -> ModuleOp:
        start = perf_counter()
        with watched_for_failure(self._observers, Failure(IMPORT.name, None)):
            module = load()
        passes = self._passes.of(IMPORT, target)
        self._runs.append(
            run_stage(
                module, IMPORT, passes, self._context, observers=self._observers, verifier=self._verifier, since=start
            )
        )
        return module

    def _run_stage(
        self, module: ModuleOp, stage: Stage, passes: Sequence[ModulePass], since: float | None = None
    ) -> StageRun:
        return run_stage(
            module,
            stage,
            passes,
            self._context,
            observers=self._observers,
            verifier=self._verifier,
            since=since,
        )

    def _run(self, module: ModuleOp, stages: Sequence[Stage], target: Target | None, done: int = 0) -> Compiled:
        """Run stages, the first without those of its passes that are done."""
        program: Program | None = None
        for stage in stages:
            if stage is PROGRAM:
                assert target is not None
                program = self._emit(module, target.backend)
                continue
            if target is not None and stage_number(stage.name) >= stage_number(TARGET_STAGE):
                _attach(module, target)
            passes = self._passes.of(stage, target)[done if stage is stages[0] else 0 :]
            try:
                self._runs.append(self._run_stage(module, stage, passes))
            except CatenaError as error:
                if target is None:
                    raise
                found = [target.misfit(self._at_its_statement(each, module)) for each in error.diagnostics]
                raise CatenaError(found) from error
        return Compiled(module, program, tuple(self._runs))

    def _emit(self, module: ModuleOp, backend: Backend) -> Program:
        start = perf_counter()
        with watched_for_failure(self._observers, Failure(PROGRAM.name, module)):
            program = backend.emit(module)
        run = StageRun(PROGRAM.name, perf_counter() - start, detail=_program_size(program))
        self._runs.append(run)
        for observer in self._observers:
            observer.after_program(run, program)
        return program

    def _selected(self) -> Target:
        """The target that is asked for."""
        options = self._options
        return target_for(options.target or DEFAULT_TARGET, options.settings, options.fuse)

    def _unfused(self, target: Target | None) -> Target | None:
        """The target as it is without fusing, if that is another one and nobody says how layers are to run."""
        options = self._options
        if not (options.fuse and is_of_cores(target)) or PIPELINED in options.settings:
            return None
        return select_target(options.target or DEFAULT_TARGET, options.settings)

    def _cheaper(self, module: ModuleOp, target: Target | None, unfused: Target | None) -> Target | None:
        """The target, or else the one without fusing, which is given up then."""
        if target is None or unfused is None or not self._options.fuse or target.machine == unfused.machine:
            return target
        if self._may_use_crossbars(module):
            return target
        fused, alone = self._tried(module, target, fuse=True), self._tried(module, unfused, fuse=False)
        if fused is None or alone is None or not fused.is_worse_than(alone):
            return target
        self._give_up_fusing()
        return unfused

    def _give_up_fusing(self) -> None:
        self._options = replace(self._options, fuse=False)
        self._passes = StagePasses(self._options)

    @staticmethod
    def _may_use_crossbars(module: ModuleOp) -> bool:
        # most compilations are for one target
        from compiler.pipeline_choice import may_use_crossbars

        return may_use_crossbars(module)

    def _tried(self, module: ModuleOp, target: Target, *, fuse: bool) -> Way | None:
        """What a copy of the module is predicted to cost, None if it cannot be compiled."""
        from compiler.pipeline_choice import Way

        options = replace(self._options, stop=PLACED_STAGE, fuse=fuse)
        copy = module.clone()
        try:
            _Compilation(options, (), Verifier())._run(copy, stages_after(stage_of(module), PLACED_STAGE), target)
        except CatenaError:
            return None
        return Way.of(copy, target)

    def _target_of(self, module: ModuleOp) -> Target:
        """The target of IR: the one it names, the one that is asked for, or the default; they must agree."""
        options = self._options
        machine = find_machine(module)
        if machine is None:
            return self._selected()
        noted = module.attributes.get(BACKEND)
        if options.target is None and not options.settings:
            return Target(find_backend(noted.data if isinstance(noted, StringAttr) else machine.name), machine)
        asked = self._selected()
        unfused = self._unfused(asked)
        if unfused is not None and unfused.machine == machine and not self._may_use_crossbars(module):
            # An earlier stage has given up fusing.
            self._give_up_fusing()
            return unfused
        if asked.machine != machine:
            raise CatenaError(
                Diagnostic(
                    "CAT-C001",
                    "the IR was made for another target",
                    expected=machine.name,
                    found=asked.machine.name + (" with other values" if asked.machine.name == machine.name else ""),
                    hint="go on from an earlier stage, or leave out --target and --set",
                )
            )
        return asked


def target_for(name: str, settings: Mapping[str, str], fuse: bool) -> Target:
    """A target for layers that are fused or not: groups of cores are pipelines, and run as such.

    Raises `CatenaError` as `select_target` does.
    """
    target = select_target(name, settings)
    if fuse and is_of_cores(target):
        return select_target(name, {PIPELINED: "true", **settings})
    return target


def write_compiled(compiled: Compiled, path: Path, require: Callable[[], None] = lambda: None) -> None:
    """Write the program, or the IR and its weights if there is none.

    What `require` raises once all is read that is written keeps the program or the IR from its place. Raises
    `CatenaError` (CAT-C002) if a file cannot be written.
    """
    from backends.container import write_program
    from compiler.ir_text import write_module

    if compiled.program is None:
        write_module(compiled.module, path, require)
    else:
        write_program(compiled.program, path, require)


def _needs_target(stages: Sequence[Stage]) -> bool:
    return bool(stages) and stage_number(stages[-1].name) >= stage_number(TARGET_STAGE)


def _attach(module: ModuleOp, target: Target) -> None:
    """Put the machine into a module that has none."""
    if any(isinstance(op, MachineOp) for op in module.ops):
        return
    op: Operation = target.machine_op.clone()
    first = module.body.block.first_op
    if first is None:
        module.body.block.add_op(op)
    else:
        module.body.block.insert_op_before(op, first)
    module.attributes[BACKEND] = StringAttr(target.backend.name)


def _program_size(program: Program) -> str:
    words = sum(len(code) for code in program.code) * 8 // max(program.metadata.word_bits, 1)
    return f"{words} instructions, {len(program.layers)} layers"
