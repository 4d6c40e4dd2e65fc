"""Entry point: parse, run a verb, and turn whatever happens into messages and an exit code."""

from __future__ import annotations

import gc
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from io import TextIOWrapper
from time import perf_counter
from types import FrameType
from typing import NoReturn

import click

from compiler.cli.console import Color, Console
from compiler.cli.group import LazyGroup, Verb
from compiler.cli.outcome import envelope
from compiler.faults import diagnostics_of, exit_code_of
from dialects.diagnostics import Diagnostic, ExitCode

VERBS = {
    "check": Verb("compiler.cli.check:check", "Say what in a model is not supported, all at once."),
    "compile": Verb("compiler.cli.compile:compile_model", "Compile an ONNX model, or go on from IR."),
    "quantize": Verb("compiler.cli.quantize:quantize", "Quantize a float model for integer targets."),
    "prune": Verb("compiler.cli.prune:prune", "Set small weights of a float model to zero."),
    "run": Verb("compiler.cli.run:run", "Execute a program on the emulator."),
    "verify": Verb("compiler.cli.verify:verify", "Compare every layer with ONNX Runtime."),
    "reduce": Verb("compiler.cli.reduce:reduce_model", "Shrink a model that fails to the smallest one that does."),
    "accuracy": Verb("compiler.cli.accuracy:accuracy", "What converters and physics of crossbars do to results."),
    "inspect": Verb("compiler.cli.inspect:inspect", "Summarise a model, IR or program."),
    "opt": Verb("compiler.cli.opt:opt", "Run passes over IR text or a model and print the IR."),
    "asm": Verb("compiler.cli.assembly:asm", "Assemble text into a program."),
    "disasm": Verb("compiler.cli.assembly:disasm", "Disassemble a program, annotated."),
    "explore": Verb(
        "compiler.cli.explore:explore_model",
        "Sweep --space: Pareto front, resumable; or buffer sizes.",
    ),
    "report": Verb("compiler.cli.report:report", "Table of cycles, energy and traffic by layer."),
    "diff": Verb("compiler.cli.diff:diff", "Compare two programs, or what they counted."),
    "explain": Verb("compiler.cli.explain:explain", "Say why layers cost what they cost."),
    "targets": Verb("compiler.cli.listings:targets", "List the targets."),
    "passes": Verb("compiler.cli.listings:passes", "List the stages and passes."),
    "ops": Verb("compiler.cli.listings:operators", "List the supported ONNX operators."),
    "errors": Verb("compiler.cli.listings:errors", "List the error and exit codes."),
    "new-backend": Verb("compiler.cli.new_backend:new_backend", "Write a package for a machine of your own."),
    "conformance": Verb("compiler.cli.conformance:conformance", "Check a target against the conformance kit."),
    "cache": Verb("compiler.cli.cache:cache", "Show or remove what was kept of earlier compilations."),
    "completion": Verb("compiler.cli.completion:completion", "Print a script for completion in a shell."),
    "doctor": Verb("compiler.cli.doctor:doctor", "Show versions and optional dependencies."),
}

BROKEN_PIPE = 128 + signal.SIGPIPE
TERMINATED = 128 + signal.SIGTERM

_REPRODUCER = "--reproducer"
_KEEPING = (_REPRODUCER, "--run-reproducer")
"""The option that keeps what shows a failure again, and the one that runs it."""

_EPILOG = (
    "Exit codes: 0 success, 1 internal error, 2 usage, 3 not supported, 4 does not fit, 5 mismatch, 6 partial result, "
    "130 interrupted. "
    "Ctrl-C while `compile` searches for mappings ends the searches only, as --time-limit does: the program is written "
    "with the best ones found, and the exit code is 0; once more, and it is 130 and nothing is written."
)


def _print_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"catena {version('catena')}")
        context.exit()


CATENA = LazyGroup(
    VERBS,
    name="catena",
    help="Compile ONNX networks for CNN accelerators, and run and verify the programs.",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_print_version,
            help="Print the version.",
        )
    ],
    no_args_is_help=True,
)


def main() -> int:
    """Run the `catena` command on the process's arguments and return its exit code (`ExitCode`, or 141, 143)."""
    for stream in (sys.stdout, sys.stderr):
        # Names from a model may hold any character; a terminal that cannot show one must not end the command.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _terminate)
    # What a command leaves in cycles is little, and searching modules and IR for it takes a tenth of its time.
    gc.disable()
    # Emulators and searches use one thread of NumPy's BLAS, which at its import starts one for every core.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        return execute(sys.argv[1:])
    finally:
        # The interpreter searches all that is left for cycles before it exits; the process gives it back anyway.
        gc.freeze()


def execute(words: Sequence[str]) -> int:
    """Run one command line. Output goes to the current standard streams; nothing but `SystemExit` is raised."""
    start = perf_counter()
    try:
        result = CATENA.main(list(words), prog_name="catena", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has enough of it; the interpreter must not fail again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (KeyboardInterrupt, click.Abort):
        sys.stderr.write("interrupted\n")
        return ExitCode.INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        sys.stderr.write(error.format_message() + "\n")
        return ExitCode.USAGE
    except SystemExit:
        raise
    except BaseException as error:
        return _report(error, words, perf_counter() - start)
    return result if isinstance(result, int) else ExitCode.OK


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(TERMINATED)


def _report(error: BaseException, words: Sequence[str], seconds: float) -> int:
    """Show an error as `--json` and `--debug` ask; they may be wrongly placed, so the bare words are searched."""
    given = words[: words.index("--")] if "--" in words else words
    verb = next((word for word in given if word in VERBS), "")
    diagnostics = _usage_problem(error) if isinstance(error, click.ClickException) else diagnostics_of(error)
    if any(each.code.startswith(("CAT-I", "CAT-R")) for each in diagnostics):
        diagnostics = _kept(diagnostics, given)
    diagnostics = tuple(_with_advice(each, verb, given) for each in diagnostics)
    exit_code = exit_code_of(diagnostics)
    if "--debug" in given:
        traceback.print_exception(error)
    if "--json" in given:
        sys.stdout.write(envelope(verb, exit_code, seconds, {}, diagnostics) + "\n")
        return exit_code
    quiet = "-q" in given or "--quiet" in given
    verbose = "-v" in given or "--verbose" in given
    console = Console(Color.AUTO, -1 if quiet else int(verbose))
    console.errors(diagnostics)
    console.verdict(False, seconds, "")
    return exit_code


def _kept(diagnostics: Sequence[Diagnostic], given: Sequence[str]) -> tuple[Diagnostic, ...]:
    """Bugs and IR that is wrong, with where the command lies that shows them again, if that was asked for."""
    from compiler.reproduction.commands import keeping_command

    return tuple(keeping_command(given, diagnostics))


def _with_advice(problem: Diagnostic, verb: str, given: Sequence[str]) -> Diagnostic:
    """A bug, with the option that keeps what shows it again, if the verb has it and it was not given."""
    if problem.code != "CAT-I001" or any(word.partition("=")[0] in _KEEPING for word in given):
        return problem
    command = CATENA.get_command(click.Context(CATENA), verb)
    if command is None or not any(_REPRODUCER in option.opts for option in command.params):
        return problem
    advice = f"{_REPRODUCER} DIR keeps what shows it again, for a report"
    return replace(problem, hint=f"{problem.hint}; {advice}" if problem.hint else advice)


def _usage_problem(error: click.ClickException) -> tuple[Diagnostic, ...]:
    context = getattr(error, "ctx", None)
    hint = f"see {context.command_path} --help" if isinstance(context, click.Context) else ""
    return (Diagnostic("CAT-C001", error.format_message(), hint=hint),)
