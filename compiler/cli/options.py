"""Options that several verbs share, and how their values are read."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from compiler.compilation import CompileOptions

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


class Amount(click.FloatRange):
    """A number in a range, in which nan is not: no comparison with it holds, so that click lets it pass."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number. Raises `click.BadParameter` if there is none, or it is out of range."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value} is not a number.", param, ctx)
        return number


def parse_input_shapes(values: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """`x:1,3,224,224` as name and shape; names may hold colons.

    Raises `click.BadParameter` for anything else and for a name given twice.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for value in values:
        name, colon, text = value.rpartition(":")
        try:
            shape = tuple(int(extent) for extent in text.split(",")) if text else ()
        except ValueError:
            shape = (0,)
        if not colon or not name or any(extent < 1 for extent in shape):
            raise click.BadParameter(f"{value!r} is not of the form NAME:1,3,224,224", param_hint="--input-shape")
        if name in shapes:
            raise click.BadParameter(f"input {name!r} is given twice", param_hint="--input-shape")
        shapes[name] = shape
    return shapes


def parse_settings(values: Sequence[str]) -> dict[str, str]:
    """`key=value` pairs. Raises `click.BadParameter` for anything else and for a key given twice."""
    settings: dict[str, str] = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or not key.strip():
            raise click.BadParameter(f"{value!r} is not of the form key=value", param_hint="--set")
        if key.strip() in settings:
            raise click.BadParameter(f"{key.strip()!r} is given twice", param_hint="--set")
        settings[key.strip()] = text.strip()
    return settings


def model_options(command: CommandT) -> CommandT:
    """`--input-shape` and `--batch`, for verbs that import models."""
    shape = click.option(
        "--input-shape",
        "input_shapes",
        multiple=True,
        metavar="NAME:D,D,...",
        help="Shape of a dynamic input; may be repeated.",
    )
    batch = click.option("--batch", type=click.IntRange(min=1), metavar="N", help="Batch size of dynamic inputs.")
    return shape(batch(command))


def fallback_option(command: CommandT) -> CommandT:
    """`--allow-fallback`, for verbs that make programs."""
    return click.option(
        "--allow-fallback",
        "fallback",
        type=click.Choice(("host",)),
        help="Let ONNX Runtime on the host execute what cannot be compiled, as segments of the program.",
    )(command)


def target_options(command: CommandT) -> CommandT:
    """`--target` and `--set`, for verbs that need a machine."""
    return target_options_with("eyeriss")(command)


def target_options_with(default: str) -> Callable[[CommandT], CommandT]:
    """`--target` and `--set`, for verbs whose target is that one if none is given."""
    target = click.option(
        "-t",
        "--target",
        envvar="CATENA_TARGET",
        metavar="NAME|TOML",
        help=f"Target: a name of `catena targets` or a TOML file. [default: {default}; env: CATENA_TARGET]",
    )
    settings = click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override a value of the target, such as glb.banks=20; may be repeated.",
    )
    return lambda command: target(settings(command))


def mode_option(command: CommandT) -> CommandT:
    """`--mode`, for verbs that compile."""
    return click.option(
        "--mode",
        default="chain",
        metavar="chain|offload",
        help="chain: everything on the accelerator; offload: all but convolutions on the host. [default: chain]",
    )(command)


def fuse_option(command: CommandT) -> CommandT:
    """`--fuse`, for verbs that compile."""
    text = (
        "Let layers take turns on tiles where less is moved off-chip; with --objective, where that costs less of it. "
        "Groups that a mapping file names stay as they are. "
        "Groups have up to six layers in a row of up to 11 that can be fused, up to three in one of 18 or more. "
        "Tensors may stay on the chip from one group to others on machines of levels and, with --objective traffic, of "
        "rows and columns. "
        "On cores with crossbars, let them run as a pipeline that keeps few rows of what they hand on; a network with "
        "nothing for crossbars does not if that is predicted to move more and to be no faster."
    )
    return click.option("--fuse", is_flag=True, help=text)(command)


def reproducer_option(command: CommandT) -> CommandT:
    """`--reproducer`, for verbs that run passes."""
    text = "If a pass or stage fails, write there what shows it again: IR before the pass, options, the command."
    return click.option("--reproducer", type=click.Path(path_type=Path), metavar="DIR", help=text)(command)


def bug_option(command: CommandT) -> CommandT:
    """`--reproducer`, for verbs that run no passes: whoever reports errors reads it (`compiler.reproduction`)."""
    text = "If a bug ends the command, write there what shows it again: the command and its files."
    return click.option("--reproducer", metavar="DIR", expose_value=False, help=text)(command)


def zeros_options(command: CommandT) -> CommandT:
    """What is known of zeros in a network's data, for verbs that compile."""
    stated = "Share of tensors between layers that is not zero, if stated: where, is left to chance."
    measured = "Inputs by tensor name. Predictions and encodings go by their zeros, of several samples by the mean."
    command = click.option("--density", type=float, metavar="X", help=stated)(command)
    return click.option("--calibrate", metavar="FILE.npz", help=measured)(command)


def search_options(command: CommandT) -> CommandT:
    """What `compiler.searching` takes, for verbs that search for mappings."""
    options = (
        click.option(
            "--objective",
            type=click.Choice(("energy", "latency", "edp", "traffic")),
            help="What mappings make least; edp is energy times latency. [default: the target's]",
        ),
        click.option(
            "--time-limit",
            type=Amount(min=0, min_open=True),
            metavar="SECONDS",
            help="Stop searching for mappings after this time, and use the best ones found.",
        ),
        click.option(
            "-j",
            "--jobs",
            type=click.IntRange(min=1),
            default=1,
            metavar="N",
            help="Search for mappings in N processes. [default: 1]",
        ),
        click.option(
            "--scheduler", metavar="ADDRESS", help="Search on the workers of a Dask scheduler, such as tcp://host:8786."
        ),
        click.option(
            "--cache-dir",
            metavar="DIR",
            help="Keep what was found there. [default: the user's cache; env: CATENA_CACHE_DIR, nowhere if empty]",
        ),
        click.option("--no-cache", is_flag=True, help="Neither use nor keep what was found before."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def compile_options(
    target: str | None,
    settings: tuple[str, ...],
    mode: str,
    fuse: bool,
    mapping: str | None,
    input_shapes: tuple[str, ...],
    batch: int | None,
    fallback: str | None,
    search: dict[str, Any],
    calibrate: str | None = None,
    density: float | None = None,
    reproducer: Path | None = None,
) -> CompileOptions:
    """The options of verbs that compile a model first, unless they are given a program."""
    from compiler.compilation import CompileOptions
    from compiler.modes import mode_named
    from compiler.searching import search_options as parse_search
    from compiler.sources import ImportOptions

    return CompileOptions(
        target=target,
        settings=parse_settings(settings),
        mode=mode_named(mode),
        fuse=fuse,
        mapping=mapping,
        calibrate=calibrate,
        density=density,
        search=parse_search(**search),
        importing=ImportOptions(parse_input_shapes(input_shapes), batch, fallback=fallback),
        reproducer=reproducer,
    )
