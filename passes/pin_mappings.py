"""Mapping files: how some layers are mapped, and what is known of their data, put on the links before the search.

    [layers]
    "conv1" = "#schedule.row_stationary<m 96, n 1, e 7, p 16, q 1, r 1, t 2>"
    "fc6" = "#schedule.mapping<for C.op 64, store glb [O], ...>"
    "prob" = "#schedule.host"

    [zeros]
    "conv2" = { input = 0.387, output = 0.83 }

A layer is named by an ONNX node or by the tensor it makes. Layers that the file does not name are left to the mapper.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Attribute
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import ParseError, VerifyException

from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean
from dialects.gconv import LinkOp, Zeros, ZerosAttr
from dialects.locations import node_names
from dialects.schedule import HostAttr, MappingAttr, RowStationaryAttr
from dialects.unicode_parser import UnicodeParser

LAYERS, ZEROS = "layers", "zeros"


@dataclass(frozen=True)
class Pins:
    """What a file says: mappings and shares of zeros by layer name."""

    mappings: Mapping[str, Attribute]
    zeros: Mapping[str, ZerosAttr]


@dataclass(frozen=True)
class PinMappingsPass(ModulePass):
    """Put the mappings of a file, and what it says about zeros, on the links it names.

    Raises `CatenaError` with every problem: CAT-C002 for a file that cannot be read, CAT-C003 for text that is not
    TOML, a mapping that does not parse, shares that are none, a layer that does not exist or is named twice.
    """

    name = "pin-mappings"

    file: str

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Pin the mappings of the file."""
        pins = read_mappings(Path(self.file), ctx)
        links = [link for link in op.walk() if isinstance(link, LinkOp)]
        known = named_links(links)
        problems: list[Diagnostic] = []
        for name, entries in (("mapping", pins.mappings), (ZEROS, pins.zeros)):
            pinned: dict[LinkOp, str] = {}
            for layer, value in entries.items():
                link = known.get(layer)
                if link is None:
                    hint = did_you_mean(layer, known)
                    problems.append(_wrong(self.file, f"no layer is called {layer!r}", hint))
                elif link in pinned:
                    problems.append(_wrong(self.file, f"{layer!r} and {pinned[link]!r} are the same layer"))
                else:
                    pinned[link] = layer
                    link.properties[name] = value
        if problems:
            raise CatenaError(problems)


def primary_names(links: Sequence[LinkOp]) -> list[str]:
    """One name for each link: the tensor it makes, else its first node, made different by `#2`, `#3` ..."""
    taken: set[str] = set()
    names: dict[LinkOp, str] = {}
    # Tensors first: a node of the same name does not take the name of a tensor away.
    for link in sorted(links, key=lambda each: each.tensor is None):
        nodes = node_names(link.location)
        base = link.tensor.data if link.tensor is not None else nodes[0] if nodes else "link"
        name, count = base, 1
        while name in taken:
            count += 1
            name = f"{base}#{count}"
        taken.add(name)
        names[link] = name
    return [names[link] for link in links]


def named_links(links: Sequence[LinkOp]) -> dict[str, LinkOp]:
    """Links by every name that a mapping file may use: primary names, then nodes (the first link of a node)."""
    known = dict(zip(primary_names(links), links, strict=True))
    for link in links:
        for node in node_names(link.location):
            known.setdefault(node, link)
    return known


def read_mappings(path: Path, context: Context) -> Pins:
    """The mappings of a file, and the shares of zeros it gives, by layer name.

    Raises `CatenaError` (CAT-C002, CAT-C003) with every problem of the file.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CatenaError(Diagnostic("CAT-C002", f"cannot read {path}: {error.strerror or error}")) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CatenaError(_wrong(str(path), f"the mapping file is not TOML: {error}")) from error
    known = (LAYERS, ZEROS)
    problems = [
        _wrong(str(path), f"unknown key {key!r}", did_you_mean(key, known)) for key in content if key not in known
    ]
    tables: dict[str, dict[str, object]] = {}
    for name in known:
        table = content.get(name, {})
        if not isinstance(table, dict):
            problems.append(_wrong(str(path), f"{name} is not a table"))
            table = {}
        tables[name] = cast("dict[str, object]", table)
    mappings: dict[str, Attribute] = {}
    for layer, text in tables[LAYERS].items():
        try:
            mappings[layer] = _parse_mapping(text, context)
        except (ParseError, VerifyException, TypeError) as error:
            reason = error.msg if isinstance(error, ParseError) else str(error)
            problems.append(_wrong(str(path), f"the mapping of {layer!r} is not valid: {reason}"))
    zeros: dict[str, ZerosAttr] = {}
    for layer, shares in tables[ZEROS].items():
        try:
            zeros[layer] = _parse_zeros(shares)
        except (VerifyException, TypeError) as error:
            problems.append(_wrong(str(path), f"the zeros of {layer!r} are not valid: {error}"))
    if problems:
        raise CatenaError(problems)
    return Pins(mappings, zeros)


def write_mappings(module: ModuleOp) -> str:
    """A mapping file that holds the mapping of every link that has one, and its shares of zeros if they are known."""
    links = [op for op in module.walk() if isinstance(op, LinkOp)]
    named = list(zip(primary_names(links), links, strict=True))
    lines = [f"[{LAYERS}]"]
    lines += [f"{_quoted(name)} = {_quoted(str(link.mapping))}" for name, link in named if link.mapping is not None]
    known = [(name, link.zeros.data) for name, link in named if link.zeros is not None]
    lines += ["", f"[{ZEROS}]"] if known else []
    lines += [f"{_quoted(name)} = {{ input = {each.input!r}, output = {each.output!r} }}" for name, each in known]
    return "\n".join([*lines, ""])


def _parse_zeros(shares: object) -> ZerosAttr:
    if not isinstance(shares, dict) or not set(cast("dict[str, object]", shares)) <= {"input", "output"}:
        raise TypeError("expected { input = SHARE, output = SHARE }")
    if not all(isinstance(each, int | float) for each in cast("dict[str, object]", shares).values()):
        raise TypeError("a share is a number")
    numbers = {name: float(each) for name, each in cast("dict[str, float]", shares).items()}
    return ZerosAttr(Zeros(**numbers))


def _parse_mapping(text: object, context: Context) -> Attribute:
    if not isinstance(text, str):
        raise TypeError(f"expected text, found {type(text).__name__}")
    parser = UnicodeParser(context, text)
    attribute = parser.parse_attribute()
    if text[parser.pos :].strip():
        raise TypeError(f"unexpected text after the mapping: {text[parser.pos :].strip()!r}")
    if not isinstance(attribute, (MappingAttr, RowStationaryAttr, HostAttr)):
        raise TypeError("expected #schedule.mapping<...>, #schedule.row_stationary<...> or #schedule.host")
    return attribute


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(each if each.isprintable() else f"\\U{ord(each):08x}" for each in escaped) + '"'


def _wrong(where: str, message: str, hint: str = "") -> Diagnostic:
    return Diagnostic("CAT-C003", message, stage="mapped", where=where, hint=hint)
