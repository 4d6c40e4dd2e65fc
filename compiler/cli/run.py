"""`catena run`: a program on the emulator."""

from __future__ import annotations

from pathlib import Path

import click

from compiler.cli.console import Console
from compiler.cli.outcome import Outcome
from compiler.cli.session import Session, verb
from dialects.diagnostics import CatenaError, Diagnostic


@verb("run")
@click.argument("program", metavar="PROGRAM")
@click.option(
    "-i",
    "--input",
    "inputs",
    multiple=True,
    metavar="FILE.npz|NAME=FILE.npy",
    help="Inputs by ONNX tensor name; may be repeated.",
)
@click.option(
    "--random",
    "at_random",
    is_flag=True,
    help="Make the inputs up: floats in [0, 1), any bytes, other integers below 10.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, metavar="N", help="Seed of --random. [default: 0]")
@click.option("-o", "--output", metavar="FILE.npz", help="Write the outputs by ONNX tensor name.")
@click.option("--stats", metavar="FILE.json", help="Write what was counted, for catena report.")
@click.option(
    "--engine",
    metavar="NAME",
    help="How to execute: blocks (default), or slowly, in the smallest steps: elements, words of generic, or steps of "
    "rram, which looks for races of cores.",
)
@click.option(
    "--physics",
    metavar="FILE.toml",
    help="Crossbars compute as these converters, cells and wires do; bits not given are the target's.",
)
@click.option("--trace", metavar="FILE", help="Write a line for every instruction that is executed.")
@click.option(
    "--timeline",
    multiple=True,
    metavar="FILE.svg|FILE.json",
    help="Write what each of several cores did when: as a picture, or as a trace for Perfetto; may be repeated.",
)
@click.option(
    "--reproducer",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="If the emulator stops, write program and inputs there, and the command that runs them.",
)
def run(
    session: Session,
    program: str,
    inputs: tuple[str, ...],
    at_random: bool,
    seed: int,
    output: str | None,
    stats: str | None,
    engine: str | None,
    physics: str | None,
    trace: str | None,
    timeline: tuple[str, ...],
    reproducer: Path | None,
) -> Outcome:
    """Execute PROGRAM on the emulator of its backend."""
    import json
    from contextlib import nullcontext
    from dataclasses import asdict

    from backends.api import TimedEmulator
    from compiler.arrays import read_arrays, write_arrays
    from compiler.cli.progress import activity
    from compiler.core_timeline import occupancy_line
    from compiler.execution import load_program, random_inputs, run_loaded
    from compiler.files import write_text
    from compiler.host_summary import describe_segments, segments_in_program
    from compiler.reports import statistics_json
    from compiler.reports.text import overflow_note
    from compiler.reproduction.programs import keeping_faults
    from compiler.timeline_files import timeline_files
    from compiler.units import shown_energy, shown_milliseconds

    if at_random and inputs:
        raise CatenaError(Diagnostic("CAT-C001", "--random and -i exclude each other"))
    device = None if physics is None else Path(physics)
    loaded, emulator = load_program(Path(program), engine, device)
    pictures = timeline_files(timeline, loaded, emulator)
    arrays = random_inputs(loaded, seed) if at_random else read_arrays(inputs)
    kept = nullcontext() if reproducer is None else keeping_faults(reproducer, Path(program), arrays, engine, device)
    with activity(session.console, f"running {program}"), kept:
        done = run_loaded(loaded, emulator, arrays, trace=None if trace is None else Path(trace))
    if output is not None:
        write_arrays(done.outputs, Path(output))
    pictures.write()
    statistics = statistics_json(done.report)
    if stats is not None:
        write_text(Path(stats), json.dumps(statistics, indent=1) + "\n")

    segments = segments_in_program(loaded)
    occupancy = emulator.occupancy if isinstance(emulator, TimedEmulator) else None

    def show(console: Console) -> None:
        if segments:
            console.out(describe_segments(segments))
        console.table(done.output_table())
        report = done.report
        time = shown_milliseconds(report.milliseconds)
        console.out(
            f"{report.cycles:,} cycles = {time} at {report.machine.clock_mhz:g} MHz, "
            f"{shown_energy(report.energy)}, {report.counts.events['operation.mac']:,} MACs ({report.provenance.value})"
            f"{overflow_note(report)}"
        )
        if occupancy is not None:
            console.out(f"{occupancy_line(occupancy)} ({report.provenance.value})")

    result = {
        "program": program,
        "output": output,
        "stats": stats,
        "outputs": {name: {"type": str(array.dtype), "shape": array.shape} for name, array in done.outputs.items()},
        "totals": statistics["totals"],
        **({} if occupancy is None else {"cores": asdict(occupancy)}),
    }
    return Outcome(result, show, output or program)
