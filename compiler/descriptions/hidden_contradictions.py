"""What a description contradicts, whatever stands in the place of its wrong keys.

What keys say of each other can only be checked where all of them can be read. So wrong ones are replaced by whatever
could stand there, in turn: what is a problem then in any case is one now, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from compiler.descriptions.blame import key_of
from dialects.diagnostics import Diagnostic, nearest_key
from dialects.gconv import LoopKind
from dialects.schedule import Operand
from dialects.toml_text import dotted

_ABSENT = object()
_OPERANDS, _LOOPS = [str(each) for each in Operand], [each.value for each in LoopKind]
_VALUES = (
    _ABSENT, True, False, 1, 2, 64, 1 << 40, 0.5, [], *([each] for each in _OPERANDS), _OPERANDS,
    *([each] for each in _LOOPS), _LOOPS, {}, "0", "x",
)  # fmt: skip
"""What may stand in the place of a key, most of which fit no key."""
_INSTEAD: Mapping[str, Sequence[object]] = {
    "dataflow": (_ABSENT, {"nest": "for filters 1"}),
    "limits": (_ABSENT, {"post_steps": 0, "post_operands": 0}),
    "figures": (_ABSENT,),
    "sources": (_ABSENT,),
}
"""What may stand in the place of tables of which any part is wrong."""
_MOST_WRONG = 6
"""Wrong keys with which it is tried: with more, everything is."""

_Path = tuple[str, ...]
_ProblemsOf = Callable[[dict[str, Any]], Sequence[Diagnostic]]


def hidden_behind(
    wrong: Sequence[Diagnostic], description: Mapping[str, Any], problems_of: _ProblemsOf
) -> list[Diagnostic]:
    """The problems that a description has with anything in the places of its wrong keys, as far as that is known."""
    paths = [_path(key_of(each), description) for each in wrong]
    if len({*paths}) > _MOST_WRONG or any(path is None or _is_counted(path) for path in paths):
        return []
    places = list(dict.fromkeys(place for path in paths if path for place in _meant(path)))
    choices = {path: _choices(path, description, problems_of) for path in places}
    if not all(choices.values()):
        return []
    left = {key_of(each) for each in wrong}
    common: dict[tuple[str, str], Diagnostic] | None = None
    for number in range(max(map(len, choices.values()), default=0)):
        for step in range(len(places)):
            changed: Mapping[str, Any] = description
            for place, path in enumerate(places):
                values = choices[path]
                changed = _with(changed, path, values[(number + step * place) % len(values)])
            found = {(each.message, each.found): each for each in problems_of({**changed})}
            if any(key_of(each) in left for each in found.values()):
                continue
            common = found if common is None else {key: each for key, each in common.items() if key in found}
    return list((common or {}).values())


def _path(key: str, description: Mapping[str, Any]) -> _Path | None:
    """The way to a key that is wrong, or missing, in a table of a description; none if it is not known."""
    table: object = description
    parts: list[str] = []
    while key:
        names = cast("dict[str, object]", table) if isinstance(table, dict) else {}
        shown = {dotted([name]): name for name in names}
        name = next((each for each in sorted(shown, key=len, reverse=True) if f"{key}.".startswith(f"{each}.")), None)
        if name is None:
            return (*parts, key) if isinstance(table, dict) and "." not in key else None
        parts.append(shown[name])
        table, key = names[shown[name]], key[len(name) + 1 :]
    # The kind of a level says what its keys mean; whether something has a price or a host matters to others.
    return None if parts[-1:] == ["kind"] or len(parts) < 1 + (parts[0] == "levels") * 2 else tuple(parts)


def _is_counted(path: _Path) -> bool:
    """Whether a key says which events there are, or which have prices; a table that is called nearly so does, too."""
    if len(path) == 1 and path[0] not in _INSTEAD:
        return bool(nearest_key(path[0], ("levels", "accesses", "host", *_INSTEAD)))
    return path[0] == "host" or (path[0] == "accesses" and path[-1] != "energy")


def _meant(path: _Path) -> tuple[_Path, ...]:
    """The places that a wrong key may be about: itself, and the key that is called nearly so."""
    if path[0] in _INSTEAD:
        return (path[:1],)
    near = nearest_key(path[-1], _KEYS)
    return (path,) if near in ("", path[-1]) else (path, (*path[:-1], near))


_KEYS = (
    "words", "reserve", "operands", "bypass", "rooms", "bank", "read", "write", "buffers", "stays", "slides", "size",
    "multicast", "reduces", "loops", "word_bits", "elements", "operation", "nested", "clock_mhz", "picojoules",
    "energy",
)  # fmt: skip
"""Keys about which others say something."""


def _choices(path: _Path, description: Mapping[str, Any], problems_of: _ProblemsOf) -> list[object]:
    """What may stand in a place so that nothing is wrong with it by itself."""
    if path[0] in _INSTEAD:
        return [*_INSTEAD[path[0]]]
    key = dotted(path)
    tried = ((value, problems_of(_with(description, path, value))) for value in _VALUES)
    return [value for value, problems in tried if all(key_of(each) != key for each in problems)]


def _with(description: Mapping[str, Any], path: _Path, value: object) -> dict[str, Any]:
    """A description with a value in a place, or nothing."""
    name, *inner = path
    if inner:
        return {**description, name: _with(cast("dict[str, Any]", description.get(name, {})), tuple(inner), value)}
    rest = {key: each for key, each in description.items() if key != name}
    return rest if value is _ABSENT else {**description, name: value}
