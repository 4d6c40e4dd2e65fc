"""Driving ONNX's conformance runner over some cases on one engine, and noting what became of each."""

from __future__ import annotations

import gc
import unittest
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnx.backend.test import BackendTest

from compiler.conformance.cases import Case
from compiler.conformance.results import PASSED
from compiler.driver import SilentObserver, StageRun, without_garbage_collection
from compiler.onnx_backend import backend_on, engine_named
from dialects.diagnostics import CatenaError
from dialects.gconv import LinkOp, ScatterOp

if TYPE_CHECKING:
    from types import TracebackType

    from xdsl.dialects.builtin import ModuleOp

    Problem = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

DIFFERS = "differs"
SKIPPED = "skipped"
COLLECTION_PERIOD = 10
"""How many cases run between two searches for unreachable IR, of which some cases leave tens of megabytes."""


@dataclass(frozen=True)
class Outcome:
    """What became of a case on an engine.

    `status` is "passed", "differs" (outputs of other values, shapes or types than the case asks for), "skipped", the
    code of the first diagnostic, or the name of an exception that is none of ours; `message` says more. `links` is
    how many links the model was lowered to, None if it did not come that far.
    """

    status: str
    message: str = ""
    links: int | None = None


class LinkCounter(SilentObserver):
    """Counts the links of the last model after the gconv stage, before anything is fused; a scatter is one as well."""

    def __init__(self) -> None:
        self.links: int | None = None

    def after_stage(self, run: StageRun, module: ModuleOp) -> None:
        """A stage has run."""
        if run.stage == "gconv":
            self.links = sum(isinstance(op, LinkOp | ScatterOp) for op in module.walk())


def run_cases(cases: Iterable[Case], engine: str) -> dict[str, Outcome]:
    """What became of each case that is not excluded, by name.

    `engine` is a target, or the interpreter. Raises `CatenaError` (CAT-C001) if there is no such target.
    """
    counter = LinkCounter()
    recorder = _Recorder(counter)
    outcomes: dict[str, Outcome] = {}
    # Making the data of the cases warns, and so do some of their models.
    with warnings.catch_warnings(), without_garbage_collection(), _only_new_objects_searched():
        warnings.simplefilter("ignore")
        runner = BackendTest(backend_on(engine_named(engine, (counter,))))
        tests = {name: test for test in runner.test_cases.values() for name in dir(test)}
        for index, case in enumerate(case for case in cases if not case.excluded):
            method = f"test_{case.name}_cpu"
            tests[method](method).run(recorder)
            outcomes[case.name] = recorder.outcome
            if index % COLLECTION_PERIOD == COLLECTION_PERIOD - 1:
                gc.collect()
    return outcomes


@contextmanager
def _only_new_objects_searched() -> Iterator[None]:
    """What is there before the block, the data of all cases among it, is no garbage within it."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _Recorder(unittest.TestResult):
    """Keeps the outcome of the last test."""

    def __init__(self, counter: LinkCounter):
        super().__init__()
        self._counter = counter
        self._status = ""
        self._message = ""

    @property
    def outcome(self) -> Outcome:
        return Outcome(self._status, self._message, self._counter.links)

    def startTest(self, test: unittest.TestCase) -> None:
        self._status, self._message = "", ""
        self._counter.links = None

    def stopTest(self, test: unittest.TestCase) -> None:
        pass

    def addSuccess(self, test: unittest.TestCase) -> None:
        self._status = PASSED

    def addFailure(self, test: unittest.TestCase, err: Problem) -> None:
        self._status, self._message = DIFFERS, _shortened(str(err[1]))

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self._status, self._message = SKIPPED, reason

    def addError(self, test: unittest.TestCase, err: Problem) -> None:
        error = err[1]
        if isinstance(error, CatenaError):
            first = error.diagnostics[0]
            self._status = first.code
            self._message = "; ".join(part for part in (first.message, first.expected, first.found) if part)
        else:
            self._status, self._message = type(error).__name__, _shortened(str(error))


def _shortened(text: str) -> str:
    return " ".join(text.split())[:200]
