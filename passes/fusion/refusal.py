"""What machines of rows and columns do not do for groups: search within them, and run them."""

from __future__ import annotations

from xdsl.dialects.func import FuncOp

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.fused_attribute import FusedAttr
from dialects.fused_mapping import quoted
from dialects.gconv.fused import FusedOp
from dialects.locations import describe


def groups_of(function: FuncOp) -> list[FusedOp]:
    """The groups of a function, in order."""
    return [op for op in function.body.block.ops if isinstance(op, FusedOp)]


def require_mapped_groups(function: FuncOp) -> None:
    """Check that the mapping of every group says what each of its links does in a turn: this is not searched.

    Raises `CatenaError` (CAT-U006) with every group of which it does not.
    """
    problems: list[Diagnostic] = []
    for group in groups_of(function):
        branches = dict(group.mapping.data.branches) if isinstance(group.mapping, FusedAttr) else {}
        missing = [name for name in group.link_names if name not in branches]
        if missing:
            found = f"nothing of {', '.join(map(quoted, missing))}"
            message = "the mapping of a group has to say what each of its links does in a turn: it is not searched"
            hint = 'write "link": <nodes> in the braces; to run groups, take a machine of levels, such as generic'
            problems.append(Diagnostic("CAT-U006", message, "mapped", describe(group), found=found, hint=hint))
    if problems:
        raise CatenaError(problems)


def refuse_groups(function: FuncOp) -> None:
    """Raises `CatenaError` (CAT-U006) if there are groups: this kind of machine has no layers for them yet."""
    problems = [
        Diagnostic(
            "CAT-U006",
            "a fused group cannot be placed on this kind of machine: it is mapped, and goes no further",
            "placed",
            describe(group),
            hint="take a machine of levels, such as generic, or the fuse statement out of the mapping file",
        )
        for group in groups_of(function)
    ]
    if problems:
        raise CatenaError(problems)
