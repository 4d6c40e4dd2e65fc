"""An observer that knows, when a pass fails, what the IR was before it."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from compiler.driver import Failure, SilentObserver
from passes.verification.facts import Facts, facts_of


class FailureRecorder(SilentObserver):
    """Keeps a copy of the IR from before the last pass, whose constants are shared, and the failure if one comes."""

    def __init__(self) -> None:
        self.failure: Failure | None = None
        self._before: ModuleOp | None = None
        self._facts: list[Facts] = []

    def before_pass(self, stage: str, step: ModulePass, module: ModuleOp) -> None:
        """Copy the IR, unless it is as it was: a pass that fails may leave it half changed."""
        facts = [facts_of(op) for op in module.walk()]
        if facts != self._facts:
            self._before, self._facts = module.clone(), facts

    def after_failure(self, failure: Failure) -> None:
        """Note the failure."""
        self.failure = failure

    @property
    def module(self) -> ModuleOp | None:
        """The IR from which the failure comes again, None if the model did not become any."""
        if self.failure is None:
            return None
        return self._before if self.failure.done < len(self.failure.passes) else self.failure.module
