"""Running stages over a module: passes, verification after each, timing, observers.

The driver keeps nothing between passes but the module: what a stage decides is in the IR, so a module that is printed
after any stage and parsed again goes on as if nothing had happened.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import PassFailedException, VerifyException

from compiler.stages import Stage
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.module_attributes import STAGE
from passes.verification import Legality, Verifier

if TYPE_CHECKING:
    from backends.program import Program


@dataclass(frozen=True)
class PassRun:
    """One pass that ran: its spec as in a pipeline, wall seconds in it and in the verification after it."""

    spec: str
    seconds: float
    verify_seconds: float


@dataclass(frozen=True)
class StageRun:
    """One stage that ran: wall seconds in all, and its passes."""

    stage: str
    seconds: float
    passes: tuple[PassRun, ...] = ()
    detail: str = ""


@dataclass(frozen=True)
class Failure:
    """What did not go well: the stage, or none in a pipeline of its own, and how many of its `passes` had run by then.

    If all had, their result is not legal, or no program can be made of it. `module` is the IR as the failure left it,
    None if there was none yet.
    """

    stage: str
    module: ModuleOp | None
    passes: tuple[ModulePass, ...] = ()
    done: int = 0


class Observer(Protocol):
    """Told about a compilation as it goes: printers and dumps. None of them changes the module."""

    def before_passes(self, stage: str, module: ModuleOp) -> None:
        """The passes of a stage, or of a pipeline if `stage` is empty, are about to run."""
        ...

    def before_pass(self, stage: str, step: ModulePass, module: ModuleOp) -> None:
        """A pass is about to run."""
        ...

    def after_pass(self, stage: str, step: ModulePass, module: ModuleOp) -> None:
        """A pass has run and the module has been verified."""
        ...

    def after_stage(self, run: StageRun, module: ModuleOp) -> None:
        """A stage has run and the module is legal after it."""
        ...

    def after_program(self, run: StageRun, program: Program) -> None:
        """The program is there."""
        ...

    def after_failure(self, failure: Failure) -> None:
        """A stage has failed; the error goes on to whoever compiles."""
        ...


class SilentObserver:
    """Does nothing; a base for observers that watch one thing."""

    def before_passes(self, stage: str, module: ModuleOp) -> None:
        """Passes are about to run."""

    def before_pass(self, stage: str, step: ModulePass, module: ModuleOp) -> None:
        """A pass is about to run."""

    def after_pass(self, stage: str, step: ModulePass, module: ModuleOp) -> None:
        """A pass has run."""

    def after_stage(self, run: StageRun, module: ModuleOp) -> None:
        """A stage has run."""

    def after_program(self, run: StageRun, program: Program) -> None:
        """The program is there."""

    def after_failure(self, failure: Failure) -> None:
        """A stage has failed."""


@contextmanager
def watched_for_failure(observers: Sequence[Observer], failure: Failure) -> Iterator[None]:
    """Tell observers of a failure if anything is raised within the block but an interrupt."""
    try:
        yield
    except Exception:
        for observer in observers:
            observer.after_failure(failure)
        raise


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """No cyclic collection within the block: searching the IR, one large cycle, in vain costs half the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def run_passes(
    module: ModuleOp,
    passes: Sequence[ModulePass],
    context: Context,
    *,
    stage: str = "",
    observers: Sequence[Observer] = (),
    verifier: Verifier | None = None,
) -> tuple[PassRun, ...]:
    """Run passes in order and verify the module after each, with a `verifier` that knows it from before, if given.

    Raises `CatenaError`: what a pass reports, with the stage filled in; or CAT-I001 if a pass leaves a broken module.
    """
    runs: list[PassRun] = []
    checked = verifier or Verifier()
    for observer in observers:
        observer.before_passes(stage, module)
    for number, step in enumerate(passes):
        for observer in observers:
            observer.before_pass(stage, step, module)
        start = perf_counter()
        with watched_for_failure(observers, Failure(stage, module, tuple(passes), number)):
            _apply(step, module, context, stage)
            middle = perf_counter()
            _verify_after(checked, module, step.name, stage)
        runs.append(PassRun(str(step), middle - start, perf_counter() - middle))
        for observer in observers:
            observer.after_pass(stage, step, module)
    return tuple(runs)


def run_stage(
    module: ModuleOp,
    stage: Stage,
    passes: Sequence[ModulePass],
    context: Context,
    *,
    observers: Sequence[Observer] = (),
    verifier: Verifier | None = None,
    since: float | None = None,
) -> StageRun:
    """Run one stage: its passes, then the check that the module is legal after it.

    `since` is when the stage began, if it did before this call (`time.perf_counter`).
    Raises `CatenaError` as `run_passes`.
    """
    start = perf_counter() if since is None else since
    checked = verifier or Verifier()
    runs = run_passes(module, passes, context, stage=stage.name, observers=observers, verifier=checked)
    # Before the stage is noted: what the last pass left has been verified, and only its legality is looked at.
    with watched_for_failure(observers, Failure(stage.name, module, tuple(passes), len(passes))):
        _verify_after(checked, module, f"the passes of stage {stage.name}", stage.name, stage.legality)
    module.attributes[STAGE] = StringAttr(stage.name)
    run = StageRun(stage.name, perf_counter() - start, runs, _size_of(module))
    for observer in observers:
        observer.after_stage(run, module)
    return run


def _apply(step: ModulePass, module: ModuleOp, context: Context, stage: str) -> None:
    try:
        step.apply(context, module)
    except CatenaError as error:
        raise _staged(error, stage or step.name) from error
    except (PassFailedException, VerifyException) as error:
        raise CatenaError(
            Diagnostic("CAT-R002", f"pass {step.name} failed: {error}", stage=stage or step.name)
        ) from error


def stage_of(module: ModuleOp) -> str | None:
    """The stage that the module says it has passed."""
    noted = module.attributes.get(STAGE)
    return noted.data if isinstance(noted, StringAttr) else None


def _verify_after(
    verifier: Verifier, module: ModuleOp, culprit: str, stage: str, legality: Legality | None = None
) -> None:
    try:
        verifier.verify(module, stage=stage, legality=legality)
    except CatenaError as error:
        # The module was sound before, so it is the pass that is wrong, not what the user gave.
        first, *others = error.diagnostics
        blamed = replace(first, code="CAT-I001", message=f"after {culprit}: {first.message}")
        raise CatenaError([blamed, *(replace(other, code="CAT-I001") for other in others)]) from error


def _staged(error: CatenaError, stage: str) -> CatenaError:
    return CatenaError([each if each.stage else replace(each, stage=stage) for each in error.diagnostics])


def _size_of(module: ModuleOp) -> str:
    counts: dict[str, int] = {}
    for op in module.walk():
        counts[op.name] = counts.get(op.name, 0) + 1
    return f"{sum(counts.values())} ops"
