"""A page for every stage: its passes, what may stand in the IR after it, and a small network as it is then."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from backends.disassembly import listing_lines
from compiler.backend_kit.models import ModelBuilder, SmallModel
from compiler.backend_kit.operators import FLOAT
from compiler.compilation import compile_model
from compiler.ir_history import IrHistory, StageText
from compiler.pipelines import describe_pass, known_passes
from compiler.stages import PROGRAM, STAGE_NAMES, STAGES, Stage, stage_number
from compiler.tables import table
from compiler.targets import Target, select_target

EXAMPLE_TARGET = "eyeriss"
_MACHINE = re.compile(r"^( *target\.machine @\S+ ).*$", re.MULTILINE)
_DIGEST = re.compile(r'"[0-9a-f]{64}"')
_LISTED = 40
"""Instructions that are shown of the program."""

_EXAMPLE = (
    "The example is a convolution with batch normalisation and ReLU, a pooling and a matrix product, for the target "
    f"`{EXAMPLE_TARGET}`. Its text here is what the compiler writes today; the description of the machine and digests "
    "are left out."
)


def stage_pages() -> dict[str, str]:
    """The pages by file name, without a notice; compiling the example takes some tenths of a second."""
    target = select_target(EXAMPLE_TARGET)
    kept = IrHistory()
    program = compile_model(example().model, target, observers=(kept,)).program
    assert program is not None
    texts = {each.stage: each for each in kept.stages}
    lines = list(listing_lines(program, target.backend.isa()))
    first = next(number for number, line in enumerate(lines) if line.startswith(".core"))
    listing = "\n".join(lines[first : first + _LISTED])
    return {f"stage-{each.name}.md": _page(each, texts, listing, target) for each in STAGES}


def example() -> SmallModel:
    """The network of the examples."""
    builder = ModelBuilder("example", seed=1)
    made = builder.node("Conv", builder.input(FLOAT, (1, 2, 8, 8)), builder.weights(FLOAT, (4, 2, 3, 3)), pads=[1] * 4)
    scales = [builder.weights(FLOAT, (4,)) for _ in range(3)]
    variance = builder.node("Abs", builder.weights(FLOAT, (4,)))
    made = builder.node("Relu", builder.node("BatchNormalization", made, *scales, variance))
    pooled = builder.node("MaxPool", made, kernel_shape=[2, 2], strides=[2, 2])
    return builder.finished(builder.node("Gemm", builder.node("Flatten", pooled), builder.weights(FLOAT, (64, 3))))


def _page(stage: Stage, texts: Mapping[str, StageText], listing: str, target: Target) -> str:
    number = stage_number(stage.name)
    parts = [f"# Stage {number}: {stage.name}\n", f"Afterwards: {stage.doc}.\n"]
    parts += [" ".join(_around(number)) + "\n", *_legality(stage)]
    if stage is PROGRAM:
        parts += ["## The example\n", _EXAMPLE + "\n"]
        parts += [f"The first instructions, as `catena disasm` lists them:\n\n```\n{listing}\n```\n"]
        return "\n".join(parts)
    text = texts[stage.name]
    known = known_passes()
    names = [each.partition("{")[0] for each in text.passes]
    rows = [(f"`{name}`", describe_pass(name, known[name]).doc) for name in names if name in known]
    parts += ["## Passes\n", f"As they run for the target `{target.machine.name}`.\n"]
    parts += [table(("pass", "what it does"), rows).markdown() + "\n"]
    parts += [
        "## The example\n",
        _EXAMPLE + f" `catena compile MODEL --to {stage.name} -o FILE.mlir` writes such text.\n",
    ]
    parts += [f"```\n{_shortened(text.text.lines)}\n```\n"]
    return "\n".join(parts)


def _around(number: int) -> Iterator[str]:
    """Links to the stages before and after."""
    if number > 1:
        name = STAGE_NAMES[number - 2]
        yield f"Before: [{name}](stage-{name}.md)."
    if number < len(STAGE_NAMES):
        name = STAGE_NAMES[number]
        yield f"Next: [{name}](stage-{name}.md)."


def _legality(stage: Stage) -> Iterator[str]:
    if stage.legality is None:
        yield "What comes out is a file of instructions, constants and tables, which is all that the emulator sees.\n"
        return
    dialects = ", ".join(f"`{name}`" for name in sorted(stage.legality.dialects))
    besides = ", ".join(f"`{name}`" for name in sorted(stage.legality.ops))
    yield f"Legal afterwards: ops of the dialects {dialects}{f', and {besides}' if besides else ''}.\n"


def _shortened(lines: Sequence[str]) -> str:
    without = _MACHINE.sub(r"\1...", "\n".join(lines))
    return _DIGEST.sub('"..."', without).rstrip()
