"""`catena explore`: what a network moves by size of the buffer, and what it costs on the points of a space."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compiler.cli.console import Console
from compiler.cli.options import (
    Amount,
    model_options,
    parse_input_shapes,
    parse_settings,
    reproducer_option,
    target_options_with,
)
from compiler.cli.outcome import Outcome
from compiler.cli.session import Session, verb
from dialects.diagnostics import CODES, CatenaError, Diagnostic, ExitCode

if TYPE_CHECKING:
    from compiler.design_space import Explored
    from compiler.design_space.exploring import Places, Progress
    from compiler.design_space.variants import Network

FORMATS = (".html", ".csv", ".svg", ".json")
"""What is written of a space, by how the name of the file ends."""


def _print_schema(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from compiler.design_space.schema import space_schema

        click.echo(json.dumps(space_schema(), indent=1))
        context.exit()


@verb("explore")
@click.argument("source", metavar="MODEL|IR")
@click.option(
    "--size",
    "sizes",
    type=click.IntRange(min=1),
    multiple=True,
    metavar="WORDS",
    help="A size of the buffer; may be repeated. [default: from 1/16 to 16 times the target's]",
)
@click.option(
    "--objective",
    type=click.Choice(["traffic", "energy", "latency"]),
    help="What is made least and drawn: words off-chip, or energy or cycles by the cost model. [default: traffic]",
)
@click.option("--space", metavar="FILE.toml", help="Try the points of this space file, and print the best of them.")
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="FILE",
    help="Draw the fronts there, as SVG; of a space also .html, .csv and .json, may be repeated.",
)
@target_options_with("generic")
@click.option("-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Try points in N processes. [default: 1]")
@click.option("--scheduler", metavar="ADDRESS", help="Try points on the workers of a Dask scheduler.")
@click.option(
    "--time-limit",
    type=Amount(min=0, min_open=True),
    metavar="SECONDS",
    help="Begin no point after this time, and print the best until then.",
)
@click.option(
    "--cache-dir",
    metavar="DIR",
    help="Keep points there. [default: the user's cache; env: CATENA_CACHE_DIR, nowhere if empty]",
)
@click.option("--no-cache", is_flag=True, help="Neither use nor keep points that were tried before.")
@click.option(
    "--schema",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_schema,
    help="Print the JSON schema of space files instead.",
)
@model_options
@reproducer_option
def explore_model(
    session: Session,
    source: str,
    sizes: tuple[int, ...],
    objective: str | None,
    space: str | None,
    outputs: tuple[str, ...],
    target: str | None,
    settings: tuple[str, ...],
    jobs: int | None,
    scheduler: str | None,
    time_limit: float | None,
    cache_dir: str | None,
    no_cache: bool,
    input_shapes: tuple[str, ...],
    batch: int | None,
    reproducer: Path | None,
) -> Outcome:
    """Print the least words that a network moves over the off-chip link, or energy or cycles, by size of the buffer.

    Layer by layer, fused, and fused with tensors that stay in the buffer between groups.
    Figures are those of the model of fused groups, which searches these at every size: layers alone cut by
    up to three loops, groups of up to three layers by up to two, of any kind. `catena compile --fuse` searches what
    code runs: no sum leaves the chip unfinished, only groups of one layer cut sums and, on machines of levels, layers
    alone are as they are mapped there. So it may move more, or less where layers are few and groups longer;
    `catena report` says how much.
    Energy and cycles are those that the cost model expects of groups with the nests that their layers get.

    With --space, every point of a space file is compiled instead: targets with any of their keys set to several values,
    fused or not, pruned, quantized. Printed are the points of which none is better in all figures that the file names.
    Ctrl-C ends it with the best until then; the same command goes on where it was, as every point is kept.
    """
    needs_space = {"-j": jobs, "--scheduler": scheduler, "--time-limit": time_limit, "--cache-dir": cache_dir}
    if space is not None:
        _refuse(
            "is not said beside --space",
            {"--size": sizes, "--objective": objective, "-t": target, "--set": settings, "--reproducer": reproducer},
        )
        from compiler.cache_folder import cache_folder
        from compiler.design_space.exploring import Places
        from compiler.design_space.variants import Network

        places = Places(jobs or 1, scheduler, time_limit, None if no_cache else cache_folder(cache_dir))
        network = Network(Path(source), parse_input_shapes(input_shapes), batch)
        return _explore_space(session, network, space, outputs, places)
    _refuse("needs --space", {**needs_space, "--no-cache": no_cache})
    if len(outputs) > 1:
        raise click.UsageError("one figure is drawn: name one file with -o")
    from compiler.cli.progress import activity
    from compiler.compilation import CompileOptions
    from compiler.exploration import explore
    from compiler.files import write_text
    from compiler.sources import ImportOptions
    from dialects.schedule import Objective

    importing = ImportOptions(parse_input_shapes(input_shapes), batch)
    options = CompileOptions(
        target=target, settings=parse_settings(settings), importing=importing, reproducer=reproducer
    )
    with activity(session.console, f"exploring {source}") as shown:
        found = explore(source, options, sizes, shown.show, Objective(objective or Objective.TRAFFIC))
    for output in outputs:
        write_text(Path(output), found.chart().svg())

    def show(console: Console) -> None:
        console.table(found.table())
        if found.left_out:
            several = found.left_out > 1
            which = f"{found.left_out} layers cannot be fused and are" if several else "1 layer cannot be fused and is"
            console.out(f"{which} left out")
        for output in outputs:
            console.out(f"figure: {output}")

    return Outcome(found.json, show, source)


def _refuse(why: str, given: Mapping[str, object]) -> None:
    for option, value in given.items():
        if value:
            raise click.UsageError(f"{option} {why}")


def _explore_space(session: Session, network: Network, space: str, outputs: tuple[str, ...], places: Places) -> Outcome:
    from compiler.cli.progress import activity, spaced
    from compiler.design_space import explore_space, read_space

    _require_formats(outputs)
    asked, source = read_space(Path(space)), str(network.path)
    with activity(session.console, f"exploring {source}") as shown:
        say = spaced(shown.say)

        def watch(progress: Progress) -> None:
            shown.show(f"exploring {source}: {progress}")
            say(str(progress), progress.done == progress.total)

        found = explore_space(network, asked, places, watch)
    if not found.good and not found.is_partial:
        raise CatenaError(dict.fromkeys(problem for each in found.failed for problem in each.problems))
    _write(found, outputs)

    def show(console: Console) -> None:
        console.table(found.table())
        console.out(found.summary)
        if found.failed:
            console.table(found.failures())
        for output in outputs:
            console.out(f"written: {output}")
        if found.is_partial:
            console.note(f"{found.total - len(found.tried)} points are left: the same command goes on with them")

    broken = tuple(dict.fromkeys(each for one in found.failed for each in one.problems if _is_bug(each)))
    return Outcome(found.json, show, source, broken, ExitCode.INTERNAL if broken else ExitCode.OK)


def _is_bug(problem: Diagnostic) -> bool:
    return CODES[problem.code].exit_code is ExitCode.INTERNAL


def _require_formats(outputs: tuple[str, ...]) -> None:
    problems = [
        Diagnostic("CAT-C001", "the name does not say what to write", expected=" or ".join(FORMATS), found=output)
        for output in outputs
        if Path(output).suffix not in FORMATS
    ]
    if problems:
        raise CatenaError(problems)


def _write(found: Explored, outputs: tuple[str, ...]) -> None:
    from compiler.cli.outcome import plain
    from compiler.files import write_text

    for output in outputs:
        match Path(output).suffix:
            case ".html":
                text = found.html()
            case ".csv":
                text = found.csv()
            case ".svg":
                text = found.svg()
            case _:
                text = json.dumps(plain(found.json), indent=1) + "\n"
        write_text(Path(output), text)
