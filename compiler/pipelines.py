"""Pass pipelines as text: `fold-views,fuse-elementwise{limit=4}`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from types import MappingProxyType

from xdsl.passes import ModulePass
from xdsl.transforms import get_all_passes
from xdsl.utils.arg_spec import ArgSpec, parse_pipeline
from xdsl.utils.exceptions import ArgSpecParseError

from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean
from passes.registry import available_passes

STOCK_PASSES = {
    "canonicalize": "xDSL: apply the canonicalization patterns and folders of every op",
    "cse": "xDSL: remove ops that compute what an earlier op computes",
    "dce": "xDSL: remove ops without effect whose results nobody uses",
}
"""Passes of xDSL that are of use on our dialects, and what they do."""

PassFactory = Callable[[], type[ModulePass]]
NO_PASSES: Mapping[str, PassFactory] = MappingProxyType({})


@dataclass(frozen=True)
class PassOption:
    """An option of a pass: its name as written in a pipeline, its type and its default value, None if it has none."""

    name: str
    kind: str
    default: str | None


@dataclass(frozen=True)
class PassInfo:
    """What a list of passes shows: name, one line of documentation, options."""

    name: str
    doc: str
    options: tuple[PassOption, ...]


@cache
def known_passes() -> Mapping[str, PassFactory]:
    """Every pass that a pipeline may name: ours, then xDSL's."""
    stock = get_all_passes()
    return MappingProxyType({**available_passes(), **{name: stock[name] for name in STOCK_PASSES}})


def parse_passes(pipeline: str, extra: Mapping[str, PassFactory] = NO_PASSES) -> tuple[ModulePass, ...]:
    """The passes that a pipeline names, in order; `extra` are passes of a backend.

    Raises `CatenaError` (CAT-C001) naming every unknown pass and every option that is unknown or has a wrong value.
    """
    return _parse(pipeline, {**known_passes(), **extra}) if extra else _parse_known(pipeline)


@cache
def _parse_known(pipeline: str) -> tuple[ModulePass, ...]:
    """Passes keep no state, so the stages' pipelines are parsed once however many models are compiled."""
    return _parse(pipeline, known_passes())


def _parse(pipeline: str, known: Mapping[str, PassFactory]) -> tuple[ModulePass, ...]:
    try:
        specs = tuple(parse_pipeline(pipeline))
    except ArgSpecParseError as error:
        raise CatenaError(
            Diagnostic("CAT-C001", f"the pass pipeline cannot be read: {_reason(error)}", found=pipeline)
        ) from error
    passes: list[ModulePass] = []
    problems: list[Diagnostic] = []
    for spec in specs:
        if spec.name not in known:
            problems.append(
                Diagnostic("CAT-C001", f"no pass is called {spec.name!r}", hint=did_you_mean(spec.name, known))
            )
            continue
        kind = known[spec.name]()
        problems.extend(_option_problems(spec, kind))
        if not problems:
            try:
                passes.append(kind.from_spec(spec))
            except ValueError as error:
                problems.append(Diagnostic("CAT-C001", f"{spec.name}: {error}", found=str(spec)))
    if problems:
        raise CatenaError(problems)
    return tuple(passes)


def describe_pass(name: str, factory: PassFactory) -> PassInfo:
    """What to say about a pass in a list."""
    kind = factory()
    doc = STOCK_PASSES.get(name) or (kind.__doc__ or "").strip()
    return PassInfo(name, doc.partition("\n")[0], tuple(_options(kind)))


def _options(kind: type[ModulePass]) -> list[PassOption]:
    options: list[PassOption] = []
    for field in fields(kind):
        default = getattr(kind, field.name, None)
        shown = None if default is None else str(default).lower() if isinstance(default, bool) else str(default)
        options.append(PassOption(field.name.replace("_", "-"), str(field.type), shown))
    return options


def _option_problems(spec: ArgSpec, kind: type[ModulePass]) -> list[Diagnostic]:
    known = [option.name for option in _options(kind)]
    return [
        Diagnostic("CAT-C001", f"pass {spec.name} has no option {name!r}", hint=did_you_mean(name, known))
        for name in spec.parameters
        if name.replace("_", "-") not in known
    ]


def _reason(error: ArgSpecParseError) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    # xDSL shows the text with carets; the last line without them is the reason.
    reasons = [line.strip("^ ") for line in lines if line.strip("^ ")]
    return reasons[-1] if reasons else "unexpected text"
