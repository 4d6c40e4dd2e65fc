"""Statements about groups in mapping files: which links are fused, and how.

    fuse "conv1", "conv2" {
        store glb ["conv1.K", "conv2.K"]
        for H.opc 4
        store glb ["x", recompute "conv1"]      # what stands behind a # is for people
        for W.opc 4
        store glb ["conv2"]
        sequential {
            "conv1": <for C.op 4>
            "conv2": <for C.op 8>
        }
    }

The links take turns on tiles of what the head makes, the one of them whose result no other reads. `for` cuts its
loops. `store` says in which memory tensors lie, and by its place between the loops what of them: all that the loops
below need, and of that what the next turn of the loops above needs as well stays there. A tensor of which nothing stays
is to `recompute` where a link of the group makes it, to `refetch` where none does. One that is to `stay`, outside of
all loops, is on the chip from the group that makes it to the last one that reads it, all of it: none of them moves it
off-chip, all of them say so, and no layer without a group runs between them. A `store` in the last braces is within the
links, in their own turns. `sequential` links wait for one another, in a `pipeline` each works on a turn of its own.
What a link does in its turn is a mapping, nodes after one another; where none is given, the best one for its largest
turn is searched. Where that mapping stores what is within the links in the same memory below loops, as in
`<for C.op 4, store glb [K]>`, it comes in pieces. What a `store` leaves in the memory off-chip is read from there, or
goes there, in every turn as that mapping says.

The result of a link is called as the link, an input of the network as the network does, and a constant after the link
that reads it first: `conv1.K` is its kernel, `conv1.P0` the first operand of its post steps. A tensor that has no place
lies below all loops, in the outermost memory on the chip. Links of a group keep their dimensions. Others' are merged
behind it (`merge-dims`), but for layers that have the `loops` that the file gives them.

`catena explain` prints the groups of a program as such statements, and how many words of each memory ever have an
element that is held for a whole turn of a layer or longer. What a layer's mapping brings in pieces within its turn
comes on top, and words between that stay empty, spare rows or rests of banks, do not count: the model's capacity may
differ.

Loops around the links may cut `ks` of the head. Then its sums go on from turn to turn in the place of its result, which
has to stand above these loops, in a memory that takes sums.

Links of a `pipeline` work at the same time, each on hardware of its own. Machines of levels, of rows and columns, and
of matrix products have one array, on which links take turns: there a `pipeline` is priced by the model of groups, and
refused at its statement where code is made. Machines of cores with crossbars run groups as pipelines, not otherwise.

Commas between statements may stand or be left out. Names are quoted as in JSON. In the IR the same is
`#schedule.fused<...>`, where both `recompute` and `refetch` are `anew`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

from dialects.fused_mapping import FusedMapping, Retention, Stages
from dialects.gconv.spec import LoopKind
from dialects.schedule import Loop, Mapping, Node, Operand, Spatial, Storage, Temporal

if TYPE_CHECKING:
    from lark import Lark

FUSE, RECOMPUTE, REFETCH, STAY = "fuse", "recompute", "refetch", "stay"

GRAMMAR = r"""
group: "fuse" name ("," name)* "{" (_around ","?)* (stages ","?)? "}"
_around: loop | places
loop: "for" LOOP NUMBER
places: "store" NAME "[" place ("," place)* "]"
place: MARK? name
stages: STAGES "{" (_within ","?)* "}"
_within: places | branch
branch: name ":" "<" (_node ("," _node)*)? ">"
_node: temporal | spatial | store
temporal: "for" LOOP NUMBER
spatial: "par" LOOP NUMBER "on" NAME
store: "store" NAME "[" OPERAND ("," OPERAND)* "]"
name: STRING
STRING: /"(?:[^"\\\n]|\\.)*"/
LOOP.3: /[A-Za-z_][A-Za-z0-9_$]*\.(opc|op|ks|g)(?![A-Za-z0-9_.])/
NUMBER: /[0-9]{1,9}(?![0-9])/
OPERAND.2: /[IKO](?![A-Za-z0-9_])/
MARK.2: /(recompute|refetch|stay)(?![A-Za-z0-9_])/
STAGES.2: /(sequential|pipeline)(?![A-Za-z0-9_])/
NAME: /[A-Za-z_][A-Za-z0-9_]*/
COMMENT: /#[^\n]*/
%import common.WS
%ignore WS
%ignore COMMENT
"""


@dataclass(frozen=True)
class Spot:
    """Where something stands in the text: line and column, both from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Name:
    """A link, tensor or memory, and where it is named."""

    text: str
    spot: Spot


@dataclass(frozen=True)
class WrittenPlace:
    """Where a tensor lies: below so many loops, or within links (None); `mark` is the word before it, if any."""

    tensor: Name
    memory: Name
    level: int | None
    mark: str


@dataclass(frozen=True)
class _Places:
    """A `store` statement."""

    places: tuple[WrittenPlace, ...]


@dataclass(frozen=True)
class WrittenGroup:
    """A statement as it is written."""

    spot: Spot
    links: tuple[Name, ...]
    loops: tuple[tuple[Temporal, Spot], ...]
    places: tuple[WrittenPlace, ...]
    stages: Stages
    branches: tuple[tuple[Name, Mapping], ...]


class WrongStatementError(Exception):
    """Text that is no statement, from a place on."""

    def __init__(self, spot: Spot, found: str, hint: str):
        super().__init__(found)
        self.spot, self.found, self.hint = spot, found, hint


_BEGINNING = re.compile(rf"^[ \t]*{FUSE}(?![A-Za-z0-9_])", re.MULTILINE)


def read_statements(text: str, line: int = 1) -> Iterator[WrittenGroup | WrongStatementError]:
    """Every statement of a text that begins at a line, or what is wrong with it."""
    starts = [match.start() for match in _BEGINNING.finditer(text)]
    if not starts or _is_said(text[: starts[0]]):
        starts.insert(0, 0)
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        if _is_said(text[start:end]):
            yield _read(text[start:end], line + text.count("\n", 0, start))


def _is_said(text: str) -> bool:
    """Whether a text says anything but to people."""
    return any(each.partition("#")[0].strip() for each in text.splitlines())


def _read(text: str, line: int) -> WrittenGroup | WrongStatementError:
    from lark import UnexpectedInput
    from lark.exceptions import VisitError

    parser: Any = _parser()
    try:
        return _builder(line).transform(parser.parse(text))
    except UnexpectedInput as error:
        end = len(text.rstrip())
        unread: Any = getattr(error, "token", None)
        is_over = unread is not None and unread.type == "$END"
        at = end if is_over else min(max(error.pos_in_stream or 0, 0), end)
        before, found = text[:at], text[at : at + 20].split("\n")[0]
        spot = Spot(line + before.count("\n"), at - before.rfind("\n"))
        return WrongStatementError(spot, repr(found) if found else "the end", _hint(error))
    except VisitError as error:
        if isinstance(error.orig_exc, WrongStatementError):
            return error.orig_exc
        raise


def _hint(error: Any) -> str:
    """What may stand there, in words of the notation."""
    words = {"STRING": 'a name such as "conv1"', "LOOP": "a loop such as H.opc", "NAME": "a name"}
    words |= {"MARK": f"{RECOMPUTE}, {REFETCH} or {STAY}", "STAGES": " or ".join(Stages), "OPERAND": "I, K or O"}
    words |= {"LBRACE": "'{'", "RBRACE": "'}'", "LSQB": "'['", "RSQB": "']'", "COMMA": "','", "COLON": "':'"}
    words |= {"NUMBER": "a number of at most 9 digits", "LESSTHAN": "'<'", "MORETHAN": "'>'"}
    of_characters = getattr(error, "allowed", None)
    expected: set[str] = set(getattr(error, "accepts", None) or getattr(error, "expected", None) or of_characters or ())
    known = {words.get(each, each.lower()) for each in expected - {"$END", "WS", "COMMENT"}}
    if not known:
        return "the statement ends before this: a further one begins on a line of its own"
    return f"expected {' or '.join(sorted(known))}"


@cache
def _parser() -> Lark:
    from lark import Lark

    return Lark(GRAMMAR, start="group", parser="lalr", propagate_positions=True, maybe_placeholders=False)


def _builder(line: int) -> Any:
    import lark
    from lark import Token, Transformer

    with_place: Any = lark.v_args(meta=True)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

    def spot(place: Any) -> Spot:
        return Spot(line + place.line - 1, place.column)

    class Builder(Transformer[Token, Any]):
        """Makes a statement of its tree."""

        def name(self, children: list[Token]) -> Name:
            try:
                return Name(json.loads(str(children[0]), strict=False), spot(children[0]))
            except ValueError as error:
                raise WrongStatementError(spot(children[0]), str(children[0]), "quote names as in JSON") from error

        def place(self, children: list[Any]) -> tuple[str, Name]:
            return ("" if len(children) == 1 else str(children[0])), children[-1]

        def places(self, children: list[Any]) -> _Places:
            memory = Name(str(children[0]), spot(children[0]))
            return _Places(tuple(WrittenPlace(name, memory, None, mark) for mark, name in children[1:]))

        def temporal(self, children: list[Token]) -> Temporal:
            return Temporal(_loop(children[0]), int(children[1]))

        def loop(self, children: list[Token]) -> tuple[Temporal, Spot]:
            return self.temporal(children), spot(children[0])

        def spatial(self, children: list[Token]) -> Spatial:
            return Spatial(_loop(children[0]), int(children[1]), str(children[2]))

        def store(self, children: list[Token]) -> Storage:
            return Storage(str(children[0]), tuple(Operand(str(each)) for each in children[1:]))

        def branch(self, children: list[Any]) -> tuple[Name, Mapping]:
            nodes: list[Node] = children[1:]
            return children[0], Mapping(tuple(nodes))

        def stages(self, children: list[Any]) -> tuple[Stages, list[Any]]:
            return Stages(str(children[0])), children[1:]

        @with_place
        def group(self, meta: Any, children: list[Any]) -> WrittenGroup:
            return _group(spot(meta), children)

    return Builder()


def _loop(text: str) -> Loop:
    dim, _, kind = text.rpartition(".")
    return Loop(dim, LoopKind(kind))


def _group(spot: Spot, children: Sequence[Any]) -> WrittenGroup:
    links: list[Name] = []
    loops: list[tuple[Temporal, Spot]] = []
    places: list[WrittenPlace] = []
    branches: list[tuple[Name, Mapping]] = []
    stages = Stages.SEQUENTIAL
    for child in children:
        match child:
            case Name():
                links.append(child)
            case _Places():
                places += [replace(place, level=len(loops)) for place in child.places]
            case (Stages() as stages, inner):
                for each in inner:
                    if isinstance(each, _Places):
                        places += each.places
                    else:
                        branches.append(each)
            case _:
                loops.append(child)
    return WrittenGroup(spot, tuple(links), tuple(loops), tuple(places), stages, tuple(branches))


def written_group(links: Sequence[str], mapping: FusedMapping) -> str:
    """A statement about links, the last of which is the head, as text that ends in a newline."""
    made = set(links[:-1])

    def mark(each: Retention) -> str:
        anew = RECOMPUTE if each.tensor in made else REFETCH
        return f"{STAY} " if each.resident else "" if each.reuse else f"{anew} "

    def stores(level: int | None) -> Iterator[str]:
        here = (each for each in mapping.retentions if each.level == level)
        for memory, tensors in groupby(here, lambda each: each.memory):
            names = [mark(each) + quoted(each.tensor) for each in tensors]
            yield f"store {memory} [{', '.join(names)}]"

    lines = [f"{FUSE} {', '.join(map(quoted, links))} {{", *(f"    {each}" for each in stores(0))]
    for level, node in enumerate(mapping.loops, 1):
        lines += [f"    {node}", *(f"    {each}" for each in stores(level))]
    # Files have no words for nests of matrix products, which are searched again.
    nests = ((link, nest) for link, nest in mapping.branches if isinstance(nest, Mapping))
    inner = [*stores(None), *(f"{quoted(link)}: <{nest}>" for link, nest in nests)]
    lines += [f"    {mapping.stages} {{", *(f"        {each}" for each in inner), "    }", "}"]
    return "".join(f"{line}\n" for line in lines)


def quoted(name: str) -> str:
    """A name as a statement has it; without the character that ends the text of a TOML file."""
    plain = (each if each.isprintable() and each not in "'\"\\" else _escaped(each) for each in name)
    return f'"{"".join(plain)}"'


def _escaped(character: str) -> str:
    return "\\u0027" if character == "'" else json.dumps(character)[1:-1]
