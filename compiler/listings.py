"""Lists of what there is, made from the tables in the code: for the command line and the reference pages."""

from __future__ import annotations

from collections.abc import Mapping

from backends.registry import installed_backends
from compiler.pipelines import PassInfo, describe_pass, known_passes
from compiler.stages import STAGES
from compiler.tables import Table, number, table
from dialects.diagnostics import CODES, ExitCode

EXIT_CODES: Mapping[ExitCode, str] = {
    ExitCode.OK: "success",
    ExitCode.INTERNAL: "internal error, a bug in Catena",
    ExitCode.USAGE: "wrong command line, file or configuration",
    ExitCode.UNSUPPORTED: "the model is not supported",
    ExitCode.DOES_NOT_FIT: "it does not fit the target, or there is no legal mapping",
    ExitCode.MISMATCH: "verification found a mismatch, or the emulator stopped at a fault",
    ExitCode.PARTIAL: "stopped by a limit with a partial result",
    ExitCode.INTERRUPTED: "interrupted",
}


def target_table() -> Table:
    """The installed targets; a backend that cannot be loaded is listed with the reason."""
    from compiler.targets import select_target
    from dialects.diagnostics import CatenaError

    rows: list[tuple[str, ...]] = []
    for installed in installed_backends():
        try:
            target = select_target(installed.name)
        except CatenaError as error:
            rows.append((installed.name, "-", "-", "-", error.diagnostics[0].message, installed.distribution))
            continue
        machine = target.machine
        array = f"{machine.array.rows} x {machine.array.cols}"
        buffer = f"{machine.glb.words * machine.word_bits // 8192} kB"
        rows.append((installed.name, array, buffer, f"{machine.clock_mhz:g}", machine.summary, installed.distribution))
    return table(("target", "array", "buffer", number("MHz"), "summary", "distribution"), rows)


def stage_table() -> Table:
    """The stages with the passes of the table and the IR after each."""
    rows = (
        (index, stage.name, ", ".join(stage.passes) or "of the backend", stage.doc)
        for index, stage in enumerate(STAGES, 1)
    )
    return table((number("no."), "stage", "passes", "afterwards"), rows, "Stages")


def pass_infos() -> list[PassInfo]:
    """Every pass, as a list shows it."""
    return [describe_pass(name, factory) for name, factory in known_passes().items()]


def pass_table() -> Table:
    """Every pass with its options."""
    rows: list[tuple[str, str, str]] = []
    for info in pass_infos():
        options = [
            option.name + (f"={option.default}" if option.default is not None else f" ({option.kind})")
            for option in info.options
        ]
        rows.append((info.name, ", ".join(options), info.doc))
    return table(("pass", "options", "what it does"), rows, "Passes")


def operator_table() -> Table:
    """The operators that can be lowered, what they become and what they demand of a node."""
    from passes.lower_onnx import FAMILIES

    rows = [
        (lowering.op_type, family, lowering.doc, "; ".join(each.doc for each in lowering.constraints))
        for family, lowerings in FAMILIES.items()
        for lowering in sorted(lowerings, key=lambda each: each.op_type)
    ]
    return table(("operator", "family", "becomes", "where"), rows, "Operators")


def error_table() -> Table:
    """Every diagnostic code."""
    rows = ((code.id, code.meaning, int(code.exit_code)) for code in CODES.values())
    return table(("code", "meaning", number("exit code")), rows, "Error codes")


def exit_code_table() -> Table:
    """Every exit code."""
    return table(
        (number("exit code"), "meaning"), ((int(code), text) for code, text in EXIT_CODES.items()), "Exit codes"
    )
