"""An observer that knows, when a pass fails, what the IR was before it."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from compiler.driver import Failure, SilentObserver


class FailureRecorder(SilentObserver):
    """Keeps a copy of the IR from before the last pass, whose constants are shared, and the failure if one comes."""

    def __init__(self) -> None:
        self.failure: Failure | None = None
        self._before: ModuleOp | None = None

    def before_pass(self, stage: str, step: ModulePass, module: ModuleOp) -> None:
        """Copy the IR: a pass that fails may leave it half changed."""
        self._before = module.clone()

    def after_failure(self, failure: Failure) -> None:
        """Note the failure."""
        self.failure = failure

    @property
    def module(self) -> ModuleOp | None:
        """The IR from which the failure comes again, None if the model did not become any."""
        if self.failure is None:
            return None
        return self._before if self.failure.done < len(self.failure.passes) else self.failure.module
