"""The IR after every stage of a compilation, kept for the report."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from xdsl.dialects.builtin import ModuleOp

from compiler.driver import SilentObserver, StageRun
from compiler.ir_text import print_module

LONGEST = 400_000
"""Characters of a stage that a report holds; the rest is for `catena compile --stop-at`."""


@dataclass(frozen=True)
class StageText:
    """The IR after a stage, as far as it is kept, the wall seconds of the stage, and the specs of its passes."""

    stage: str
    text: str
    is_whole: bool
    seconds: float
    passes: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """Plain data."""
        return asdict(self)


@dataclass
class StageTexts(SilentObserver):
    """Keeps the text of the module after every stage."""

    texts: list[StageText] = field(default_factory=list[StageText])

    def after_stage(self, run: StageRun, module: ModuleOp) -> None:
        """Print the module, and keep so much of it as a report can show."""
        text = print_module(module)
        is_whole = len(text) <= LONGEST
        kept = text if is_whole else text[: text.rfind("\n", 0, LONGEST) + 1]
        self.texts.append(StageText(run.stage, kept, is_whole, run.seconds, tuple(each.spec for each in run.passes)))
