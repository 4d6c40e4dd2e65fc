"""The IR before and after every pass, kept as text, with what each pass did to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from compiler.driver import SilentObserver, StageRun
from compiler.ir_history.comparing import Change, Kind, changes
from compiler.ir_history.snapshots import Snapshot, snapshot
from compiler.ir_text import ModuleText, print_lines, print_module


@dataclass(frozen=True)
class Step:
    """A pass that ran: the IR before and after it, how many ops of each kind there are then, and what it did.

    `stage` is empty where passes ran by themselves; `seconds` are wall time, None until the stage is done.
    """

    stage: str
    name: str
    spec: str
    before: ModuleText
    after: ModuleText
    kinds_before: Counter[str]
    kinds: Counter[str]
    changes: tuple[Change, ...]
    seconds: float | None = None

    @property
    def counts(self) -> Mapping[Kind, int]:
        """How many changes there are of each kind."""
        found = Counter(each.kind for each in self.changes)
        return {kind: found[kind] for kind in Kind}

    def line_before(self, change: Change) -> str | None:
        """The op before the pass as text; of an op with regions its first line."""
        return None if change.before is None else self.before.lines[self.before.starts[change.before]].strip()

    def line_after(self, change: Change) -> str | None:
        """The op after the pass as text; of an op with regions its first line."""
        return None if change.after is None else self.after.lines[self.after.starts[change.after]].strip()


@dataclass(frozen=True)
class StageText:
    """The IR after a stage, wall seconds of the stage, and the specs of its passes."""

    stage: str
    text: ModuleText
    seconds: float
    passes: tuple[str, ...]


@dataclass
class IrHistory(SilentObserver):
    """Watches a compilation, and keeps its steps and the IR after every stage.

    The module is printed only where it is not what it was: most passes leave most networks alone.
    """

    steps: list[Step] = field(default_factory=list[Step])
    stages: list[StageText] = field(default_factory=list[StageText])
    _last: Snapshot = field(default_factory=lambda: Snapshot({}))
    _text: ModuleText = field(default_factory=lambda: ModuleText((), {}))

    def before_passes(self, stage: str, module: ModuleOp) -> None:
        """Take the module as it is: what was read, or what was put into it since the last stage."""
        now = snapshot(module)
        if not now.is_like(self._last) or not self._text.lines:
            self._last, self._text = now, print_lines(module)

    def after_pass(self, stage: str, step: ModulePass, module: ModuleOp) -> None:
        """Note what the pass did."""
        before, text = self._last, self._text
        now = snapshot(module)
        found: tuple[Change, ...] = ()
        if not now.is_like(before):
            found = changes(before, now)
            self._last, self._text = now, print_lines(module)
        self.steps.append(Step(stage, step.name, str(step), text, self._text, before.kinds, self._last.kinds, found))

    def after_stage(self, run: StageRun, module: ModuleOp) -> None:
        """Note the seconds of its passes, and the IR as the stage leaves it."""
        first = len(self.steps) - len(run.passes)
        for number, each in enumerate(run.passes, first):
            self.steps[number] = replace(self.steps[number], seconds=each.seconds)
        # The stage is noted in the module itself, whose attributes stand on the first line.
        head = print_module(ModuleOp([], dict(module.attributes))).partition("\n")[0]
        self._text = ModuleText((head, *self._text.lines[1:]), self._text.starts)
        self.stages.append(StageText(run.stage, self._text, run.seconds, tuple(each.spec for each in run.passes)))
