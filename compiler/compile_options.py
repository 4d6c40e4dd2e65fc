"""What a compilation is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from compiler.modes import Mode
from compiler.sources import ImportOptions
from compiler.stages import PROGRAM
from passes.searching.options import SearchOptions


@dataclass(frozen=True)
class CompileOptions:
    """What a compilation is asked to do.

    `target` is a name or a TOML file (None: what the IR says, else the default target) and `settings` its overrides.
    `start` is the stage that IR has passed (None: what the IR says), `stop` the last stage to run. `mapping` is a
    mapping file as `passes.pin_mappings` reads it, `calibrate` and `density` are those of `passes.measure_zeros` (None:
    nothing is known of zeros but what the mapping file says), `search` how other mappings are found, `mode` how the
    accelerator is used, `fuse` whether layers are fused. `without` names passes to leave out. `reproducer` is a folder
    that gets what shows a failure again (`compiler.reproduction`), if there is one.
    """

    target: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    start: str | None = None
    stop: str = PROGRAM.name
    mapping: str | None = None
    calibrate: str | None = None
    density: float | None = None
    search: SearchOptions = field(default_factory=SearchOptions)
    mode: Mode = Mode.CHAIN
    fuse: bool = False
    without: frozenset[str] = frozenset()
    importing: ImportOptions = field(default_factory=ImportOptions)
    reproducer: Path | None = None
