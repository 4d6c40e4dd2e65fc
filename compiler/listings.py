"""Lists of what there is, made from the tables in the code: for the command line and the reference pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from backends.registry import InstalledBackend, Offer, installed_backends, installed_targets
from compiler.pipelines import PassInfo, describe_pass, known_passes
from compiler.stages import STAGES
from compiler.tables import Table, number, table
from dialects.accelerator import Accelerator
from dialects.diagnostics import CODES, ExitCode
from dialects.gemm_machine import GemmMachine
from dialects.machine_kinds import spatial_machine
from dialects.multicore_machine import MulticoreMachine
from dialects.nest_machine import NestMachine

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
    from compiler.targets import select_target, target_names
    from dialects.diagnostics import CatenaError

    rows: list[tuple[str, ...]] = []

    def failed(name: str, installed: Offer, error: CatenaError) -> None:
        rows.append((name, "-", "-", "-", error.diagnostics[0].message, installed.distribution))

    for installed in (*installed_backends(), *installed_targets()):
        try:
            names = target_names(installed) if isinstance(installed, InstalledBackend) else (installed.name,)
        except CatenaError as error:
            failed(installed.name, installed, error)
            continue
        for name in names:
            try:
                machine = select_target(name).machine
            except CatenaError as error:
                failed(name, installed, error)
                continue
            clock = f"{machine.clock_mhz:g}"
            rows.append((name, _array(machine), _buffer(machine), clock, machine.summary, installed.distribution))
    return table(("target", "array", "buffer", number("MHz"), "summary", "distribution"), rows)


def _array(machine: Accelerator) -> str:
    """How many elements there are along each axis: cores, crossbars of each, rows and columns of cells."""
    if isinstance(machine, NestMachine):
        return " x ".join(str(axis.size) for axis in machine.axes) or "1"
    if isinstance(machine, MulticoreMachine):
        return (
            f"{machine.cores.count} x {machine.cores.crossbars} x {machine.crossbar.rows} x {machine.crossbar.columns}"
        )
    array = machine.array if isinstance(machine, GemmMachine) else spatial_machine(machine, "targets").array
    return f"{array.rows} x {array.cols}"


def _buffer(machine: Accelerator) -> str:
    """The memory on chip that is next to the outermost one."""
    if isinstance(machine, NestMachine):
        words = next((memory.words for memory in machine.memories[1:] if memory.words is not None), None)
    elif isinstance(machine, GemmMachine):
        sram = machine.sram
        words = sram.input_words + sram.kernel_words + sram.output_words
    elif isinstance(machine, MulticoreMachine):
        words = machine.cores.buffer_bytes * machine.cores.count * 8 // machine.word_bits
    else:
        words = spatial_machine(machine, "targets").glb.words
    return "-" if words is None else f"{words * machine.word_bits / 8192:.3g} kB"


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
    """Every ONNX operator: what becomes of it, what it demands of a node, conformance cases passed on each engine."""
    from compiler.operators import operators

    found = operators()
    engines = list(dict.fromkeys(engine for each in found for engine in each.passed))
    rows = [
        (
            each.name,
            each.family,
            ", ".join(map(str, each.versions)),
            each.status,
            _range(each.links),
            each.doc,
            each.limits,
            *(f"{each.passed[engine]} / {each.cases}" if each.cases else "" for engine in engines),
        )
        for each in found
    ]
    columns = ("operator", "family", "opsets", "status", number("links"), "becomes, or why not", "where")
    return table((*columns, *map(number, engines)), rows, "Operators")


def _range(links: tuple[int, int] | None) -> str:
    if links is None:
        return ""
    fewest, most = links
    return str(fewest) if fewest == most else f"{fewest}..{most}"


def conformance_table() -> Table:
    """How many of the cases of ONNX's conformance suite pass on each engine."""
    from compiler.conformance.results import read_results
    from compiler.operators import shares

    rows = read_results().rows
    kinds = sorted({row.kind for row in rows})
    lines = [
        (kind, engine, passed, count, f"{passed / count:.1%}")
        for kind in kinds
        for engine, passed, count in shares(rows, kind)
    ]
    columns = ("cases", "engine", number("passed"), number("of"), number("share"))
    return table(columns, lines, "Conformance")


def compile_time_table() -> Table:
    """The inputs of operators that must be constants when a model is compiled."""
    from compiler.onnx_backend.compile_time import COMPILE_TIME

    rows = ((op_type, index, why) for (op_type, index), why in COMPILE_TIME.items())
    return table(("operator", number("input"), "what it says"), rows, "Compile-time inputs")


def exclusion_table() -> Table:
    """The cases of the conformance suite that do not count."""
    from compiler.conformance.exclusions import REASONS
    from compiler.conformance.results import read_results

    counts = Counter(row.excluded for row in read_results().rows if row.excluded)
    rows = ((reason, count, REASONS[reason]) for reason, count in sorted(counts.items()))
    return table(("reason", number("cases"), "which"), rows, "Excluded cases")


def error_table() -> Table:
    """Every diagnostic code."""
    rows = ((code.id, code.meaning, int(code.exit_code)) for code in CODES.values())
    return table(("code", "meaning", number("exit code")), rows, "Error codes")


def exit_code_table() -> Table:
    """Every exit code."""
    return table(
        (number("exit code"), "meaning"), ((int(code), text) for code, text in EXIT_CODES.items()), "Exit codes"
    )
