"""The stage table: from ONNX to the program in seven steps, each with its passes and what is legal after it.

The driver, the `--from` and `--to` options, the dumps, the legality checks and the pipeline page all read this table.
"""

from __future__ import annotations

from dataclasses import dataclass

from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean
from passes.verification import Legality

CHAIN = frozenset({"gconv", "weights", "host"})
"""The dialects of a GCONV chain, with the host segments in it."""

MAPPED = {"gconv.link": ("mapping",), "gconv.fused": ("mapping",)}
"""What the ops of a mapped chain carry."""


@dataclass(frozen=True)
class Stage:
    """A step of the compilation.

    `passes` are pipeline texts, run one after the other on the IR of the stage before; a backend may put its own in
    their place. `legality` says what may stand in the IR afterwards; None for the program, which is no IR.
    """

    name: str
    doc: str
    passes: tuple[str, ...]
    legality: Legality | None


STAGES: tuple[Stage, ...] = (
    Stage(
        "import",
        "`onnx.*` ops of the model's own opset versions, constants folded, weights external",
        ("fold-constants",),
        Legality(dialects=frozenset({"onnx", "weights", "host"})),
    ),
    Stage(
        "gconv",
        "`gconv.link`, `gconv.view`, `gconv.indexed`, `gconv.concat`, `gconv.scatter`, `weights.constant`",
        ("lower-onnx",),
        Legality(dialects=CHAIN),
    ),
    Stage(
        "fused",
        "the same ops; element-wise links absorbed into pre and post, constants folded into weights",
        (
            "fold-views",
            "fold-quantization",
            "evaluate-constants",
            "match-activations",
            "fold-copies",
            "fold-pad",
            "fuse-elementwise",
            "share-terms",
            "broadcast-reductions",
            "fold-weights",
            "split-steps",
            "fuse-pre",
            "fold-lookups",
            "merge-dims",
            "order-segments",
            "copy-concat",
        ),
        Legality(dialects=CHAIN, ops=frozenset({"target.machine"})),
    ),
    Stage(
        "encoded",
        "the same ops; word types set, what the target cannot express refused, encodings of sparse tensors chosen",
        ("legalize-words", "choose-encodings"),
        Legality(dialects=CHAIN, ops=frozenset({"target.machine"})),
    ),
    Stage(
        "mapped",
        "every link carries a `#schedule.mapping`, every group of links a `#schedule.fused`",
        ("map-row-stationary", "choose-layouts"),
        Legality(dialects=CHAIN, ops=frozenset({"target.machine"}), required=MAPPED),
    ),
    Stage(
        "placed",
        "buffers with addresses, layers with loops, loads, passes, stores; groups of layers and their turns",
        ("order-segments", "place-spatial"),
        Legality(
            dialects=frozenset({"spatial", "levels", "gemm", "group", "multicore", "weights", "host"}),
            ops=frozenset({"target.machine"}),
        ),
    ),
    Stage("program", "the binary container", (), None),
)

PLACED_STAGE = "placed"
"""The stage after which all is known that predictions need."""
MAPPING_STAGE = "mapped"
"""Mapping files are applied before the passes of this stage and written after them."""

IMPORT = STAGES[0]
PROGRAM = STAGES[-1]
STAGE_NAMES: tuple[str, ...] = tuple(stage.name for stage in STAGES)


def stage_number(name: str) -> int:
    """The place of a stage in the table, from 1, as in `03-fused.mlir`.

    Raises `CatenaError` (CAT-C001) if there is no such stage.
    """
    if name not in STAGE_NAMES:
        raise CatenaError(Diagnostic("CAT-C001", f"no stage is called {name!r}", hint=did_you_mean(name, STAGE_NAMES)))
    return STAGE_NAMES.index(name) + 1


def stage_named(name: str) -> Stage:
    """The stage of that name. Raises `CatenaError` (CAT-C001) if there is none."""
    return STAGES[stage_number(name) - 1]


def stages_after(name: str | None, last: str) -> tuple[Stage, ...]:
    """The stages that lead from after `name` (None: from the ONNX file) to `last`, inclusive.

    Raises `CatenaError` (CAT-C001) if a stage is unknown or `last` does not come after `name`.
    """
    start = 0 if name is None else stage_number(name)
    end = stage_number(last)
    if end <= start:
        raise CatenaError(
            Diagnostic("CAT-C001", f"stage {last} does not come after stage {name}", found=f"--from {name} --to {last}")
        )
    return STAGES[start:end]


def dump_name(stage: str) -> str:
    """The name of a stage's IR file: `03-fused.mlir`."""
    return f"{stage_number(stage):02d}-{stage}.mlir"
