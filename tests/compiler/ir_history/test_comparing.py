"""What passes are said to have done: every op that is not named says after the pass what it said before it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from xdsl.dialects.builtin import ModuleOp

from compiler.compilation import CompileOptions, compile_source
from compiler.ir_history import Change, IrHistory, Kind, changes
from compiler.ir_history.comparing import LOCATION, OPERANDS
from compiler.ir_history.snapshots import snapshot
from compiler.ir_text import parse_module, print_module

TEXT = """builtin.module {
  func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
    %0 = gconv.view %x <[1]> : tensor<4xf32> -> tensor<4xf32> loc("a")
    %1 = gconv.view %0 <[1]> : tensor<4xf32> -> tensor<4xf32> loc("b")
    %2 = gconv.view %0 <[1]> : tensor<4xf32> -> tensor<4xf32> loc("c")
    func.return %2 : tensor<4xf32>
  }
}
"""


def anonymous(line: str) -> str:
    """A line of IR without the numbers of values, which follow from where it stands."""
    return re.sub(r"%\d+", "%", line.strip())


@pytest.mark.parametrize("options", [("eyeriss", False), ("spots", False), ("generic", True), ("rram", False)])
def test_ops_that_are_not_named_say_the_same(cnn: Path, options: tuple[str, bool]) -> None:
    history = IrHistory()
    target, fuse = options
    compile_source(str(cnn), CompileOptions(target=target, fuse=fuse, stop="placed"), [history])
    assert sum(bool(step.changes) for step in history.steps) >= 4
    for step in history.steps:
        counts = step.counts
        assert sum(step.kinds.values()) == sum(step.kinds_before.values()) + counts[Kind.ADDED] - counts[Kind.REMOVED]
        named_before = {each.before for each in step.changes} - {None}
        named_after = {each.after for each in step.changes} - {None}
        lines = [
            Counter(anonymous(text.lines[at]) for op, at in text.starts.items() if op not in named and at > 0)
            for text, named in ((step.before, named_before), (step.after, named_after))
        ]
        assert lines[0] == lines[1], step.spec
        for each in step.changes:
            if each.kind is Kind.CHANGED and each.what not in ((OPERANDS,), ()):
                assert step.line_before(each) != step.line_after(each)


def test_the_last_text_is_that_of_the_module(cnn: Path) -> None:
    history = IrHistory()
    module = compile_source(str(cnn), CompileOptions(stop="placed"), [history]).module
    assert "\n".join(history.stages[-1].text.lines) + "\n" == print_module(module)
    idle = [step for step in history.steps if not step.changes]
    assert idle
    assert all(step.before is step.after for step in idle)


def compared(module: ModuleOp, edit: str) -> tuple[Change, ...]:
    """What is said when an edit is made by hand."""
    before = snapshot(module)
    main = next(iter(module.ops))
    a, b, c, _ = main.body.block.ops  # type: ignore[attr-defined]
    if edit == "operand":
        c.operands[0] = b.results[0]
    elif edit == "rebuilt":
        new = a.clone()
        main.body.block.insert_op_before(new, a)  # type: ignore[attr-defined]
        a.results[0].replace_all_uses_with(new.results[0])
        a.detach()
        a.erase()
    elif edit == "moved":
        b.detach()
        main.body.block.insert_op_before(b, a)  # type: ignore[attr-defined]
    elif edit == "renamed":
        b.location = c.location
    elif edit == "removed":
        b.detach()
        b.erase()
    return changes(before, snapshot(module))


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        ("operand", [(Kind.CHANGED, ("c",), (OPERANDS,))]),
        ("rebuilt", []),
        ("moved", [(Kind.MOVED, ("b",), ())]),
        ("renamed", [(Kind.CHANGED, ("c",), (LOCATION,))]),
        ("removed", [(Kind.REMOVED, ("b",), ())]),
        ("none", []),
    ],
)
def test_edits_by_hand(edit: str, expected: list[tuple[Kind, tuple[str, ...], tuple[str, ...]]]) -> None:
    found = compared(parse_module(TEXT).module, edit)
    assert [(each.kind, each.nodes, each.what) for each in found] == expected
