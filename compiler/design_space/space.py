"""Space files: which machines, ways of fusing, prunings and number formats are tried together, and what is wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import core_schema

from compiler.descriptions.data import read_description
from compiler.descriptions.files import DEFAULT_TARGET, described_target
from compiler.descriptions.lines import line_of, located, nearest_line
from compiler.design_space.figures import FIGURES
from compiler.pruning.options import PruneOptions, Structure
from compiler.quantization.options import ACTIVATION_TYPES, WEIGHT_TYPES, Format, Method, QuantizeOptions
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.machine_kinds import read_machine
from dialects.schedule import Objective
from dialects.toml_text import dotted, key_in, written
from dialects.validation import validated

STAGE = "explore"
AS_IT_IS = "none"
"""The scheme that changes no numbers."""
MOST_VALUES = 100
"""Values of one key of a target."""
MOST_POINTS = 10_000
"""Points that are tried without being asked for a number."""

Names = tuple[str, ...]
Setting = tuple[str, str]
"""A key of a target description, dotted, and a value as TOML writes it."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


@dataclass(frozen=True)
class _OneOf:
    """A text that is one of some names."""

    names: tuple[str, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.literal_schema([str(name) for name in self.names])


class Pruning(_Model):
    """How weights are pruned, where `sparsity` says how many."""

    structure: Annotated[Annotated[str, _OneOf(tuple(Structure))], Field(description="what is pruned as a whole")] = (
        "unstructured"
    )
    group: Annotated[int | None, Field(ge=1, description="filters of a group, in structure group")] = None
    block: Annotated[
        tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None,
        Field(strict=False, description="filters by positions of a block, in structure block"),
    ] = None

    def options(self, sparsity: float) -> PruneOptions:
        """Options of `compiler.pruning`. Raises `CatenaError` (CAT-C001) if they do not go together."""
        return PruneOptions(Structure(self.structure), sparsity, self.group, self.block)


class Quantizing(_Model):
    """How models are quantized, where `schemes` asks for it."""

    activations: Annotated[
        Annotated[str, _OneOf(ACTIVATION_TYPES)] | None, Field(description="type of activations")
    ] = None
    weights: Annotated[Annotated[str, _OneOf(WEIGHT_TYPES)] | None, Field(description="type of weights")] = None
    per_channel: Annotated[bool, Field(description="a scale for every output channel of a weight")] = False
    symmetric: Annotated[bool, Field(description="all ranges are symmetric about zero")] = False
    method: Annotated[Annotated[str, _OneOf(tuple(Method))], Field(description="how a range is made of values")] = (
        "minmax"
    )

    def options(self, scheme: str) -> QuantizeOptions:
        """Options of `compiler.quantization`. Raises `CatenaError` (CAT-C001) if they do not go together."""
        return QuantizeOptions(
            Format(scheme), self.activations, self.weights, self.per_channel, self.symmetric, Method(self.method)
        )


class Space(_Model):
    """Every combination of what these lists hold is a point."""

    targets: Annotated[
        dict[str, dict[str, Any]],
        Field(
            description="tables called by the names or TOML files of targets; each key of the description in such a "
            "table has a list of values, all of which are tried"
        ),
    ] = Field(default_factory=dict[str, dict[str, Any]])
    fuse: Annotated[
        tuple[bool, ...], Field(strict=False, min_length=1, description="whether layers are fused (`--fuse`)")
    ] = (False,)
    sparsity: Annotated[
        tuple[Annotated[float, Field(ge=0, lt=1)], ...],
        Field(strict=False, min_length=1, description="shares of every layer's weights that are pruned to zero"),
    ] = (0.0,)
    schemes: Annotated[
        tuple[Annotated[str, _OneOf((AS_IT_IS, *Format))], ...],
        Field(strict=False, min_length=1, description=f"formats of `catena quantize`; {AS_IT_IS}: the model as it is"),
    ] = (AS_IT_IS,)
    mapped_for: Annotated[
        tuple[Annotated[str, _OneOf(tuple(Objective))], ...],
        Field(strict=False, description="what mappings make least (`--objective`); none: what the target prefers"),
    ] = ()
    front: Annotated[
        tuple[Annotated[str, _OneOf(tuple(FIGURES))], ...],
        Field(strict=False, min_length=1, description="the figures that the points on the front make small"),
    ] = ("latency", "energy")
    emulate: Annotated[
        bool, Field(description="every point runs on the emulator, and its figures are those that were counted")
    ] = False
    points: Annotated[
        int | None,
        Field(ge=1, le=MOST_POINTS, description="how many points are tried, drawn by chance; none: all of them"),
    ] = None
    seed: Annotated[
        int, Field(ge=0, le=1 << 32, description="of the order of points, and of made-up inputs of the network")
    ] = 0
    calibrate: Annotated[
        str,
        Field(
            description="inputs by tensor name (.npz), or random:N: ranges are measured and outputs compared on them"
        ),
    ] = "random:1"
    prune: Annotated[Pruning, Field(description="how weights are pruned")] = Pruning.model_construct()
    quantize: Annotated[Quantizing, Field(description="how models are quantized")] = Quantizing.model_construct()

    @property
    def settings(self) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        """For every target the keys that differ, each with its values as TOML writes them."""
        return {
            name: {key: tuple(map(written, values)) for key, values in _leaves(table)}
            for name, table in (self.targets or {DEFAULT_TARGET: {}}).items()
        }


def read_space(path: Path) -> Space:
    """The space of a file, with files of targets relative to it.

    Raises `CatenaError` with all that is wrong: CAT-C002 if the file cannot be read, CAT-C003 at the line of every key
    that is wrong, or whose value a target cannot take.
    """
    description = read_description(path, "space")
    try:
        space = validated(Space, description)
    except CatenaError as error:
        raise CatenaError(
            located(replace(each, stage=STAGE, where=str(path)), [path]) for each in error.diagnostics
        ) from error
    if problems := [*_problems(space, path)]:
        raise CatenaError(dict.fromkeys(problems))
    return _beside(space, path.parent)


def _beside(space: Space, folder: Path) -> Space:
    """A space that is meant from the folder of its file."""
    changes: dict[str, Any] = {"targets": {_from(folder, name): table for name, table in space.targets.items()}}
    if not space.calibrate.startswith("random:"):
        changes["calibrate"] = str(folder / space.calibrate)
    return space.model_copy(update=changes)


def _from(folder: Path, name: str) -> str:
    return str(folder / name) if name.endswith(".toml") else name


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, list[Any]]]:
    """The dotted keys of a table, and what stands there; tables may be dotted keys, too."""
    for name, value in table.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _leaves(cast("dict[str, Any]", value), f"{key}.")
        else:
            yield key, value if isinstance(value, list) else [value]


def _problems(space: Space, path: Path) -> Iterator[Diagnostic]:
    """What targets, or options of pruning and quantizing, do not take, at the lines that ask for it."""
    for make in (
        *(lambda share=share: space.prune.options(share) for share in space.sparsity if share),
        *(lambda scheme=scheme: space.quantize.options(scheme) for scheme in space.schemes if scheme != AS_IT_IS),
    ):
        try:
            make()
        except CatenaError as error:
            yield from (replace(each, stage=STAGE, where=str(path)) for each in error.diagnostics)
    for name, table in space.targets.items():
        yield from _problems_of_target(name, table, path)


def _problems_of_target(name: str, table: Mapping[str, Any], path: Path) -> Iterator[Diagnostic]:
    """Every key of a target on its own, with each of its values; what keys say of each other is for points."""
    there, own = _from(path.parent, name), ("targets", name)
    try:
        described_target(there)
    except CatenaError as error:
        yield from (each if each.where else _at(each, path, own) for each in error.diagnostics)
        return
    for key, values in _leaves(table):
        if len(values) > MOST_VALUES:
            message, hint = f"{key}: has too many values", "a space is drawn from a few values of each key"
            expected = f"at most {MOST_VALUES:,}"
            problem = Diagnostic("CAT-C003", message, expected=expected, found=f"{len(values):,}", hint=hint)
            yield _at(problem, path, own, key)
            continue
        if not values:
            message, hint = f"{key}: must not be empty", "give the values to try in a list"
            yield _at(
                Diagnostic("CAT-C003", message, expected="one or more values", found="[]", hint=hint), path, own, key
            )
        for value in values:
            try:
                read_machine(described_target(there, {key: written(value)}).description)
            except CatenaError as error:
                yield from (_at(each, path, own, key_in(each.message), key) for each in error.diagnostics)


def _at(problem: Diagnostic, path: Path, table: tuple[str, ...], *keys: str) -> Diagnostic:
    """A problem at the line of the space file that gives a key of a table: the first of some that is there."""
    tables = dotted(table)
    lines = [line_of(f"{tables}.{key}", path) for key in keys]
    line = next((each for each in lines if each is not None), None) or nearest_line(tables, path) or 1
    return replace(problem, stage=STAGE, where=f"{path}, line {line}")
