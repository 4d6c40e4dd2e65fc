"""form-groups: the links that a mapping file fuses become groups with the mappings it gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, UnitAttr
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import VerifyException

from dialects.accelerator import Accelerator
from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean
from dialects.fused_attribute import FusedAttr
from dialects.fused_mapping import FusedMapping, Retention
from dialects.fused_rules import About, mapping_problems
from dialects.gconv import LinkOp
from dialects.gconv.fused import FusedOp, head_name
from dialects.gconv.interpreter import main_function
from dialects.locations import describe
from dialects.schedule import HostAttr, verify_mapping
from dialects.target import find_machine
from passes.fusion.from_ir import group_of
from passes.fusion.grouping import group_links
from passes.fusion.memories import memory_names
from passes.fusion.names import chain_names
from passes.mapping_file.checking import target_problems
from passes.mapping_file.names import named_links
from passes.mapping_file.reading import MappingFile, read_mapping_file
from passes.mapping_file.statements import (
    RECOMPUTE,
    REFETCH,
    STAY,
    Name,
    Spot,
    WrittenGroup,
    WrittenPlace,
    quoted,
)


@dataclass(frozen=True)
class FormGroupsPass(ModulePass):
    """Make a `gconv.fused` of the links that each `fuse` statement of a mapping file names.

    A tensor of a group that the statement gives no place lies below all loops, in the outermost memory on the chip, and
    what the next turn needs of it stays there. Links with a mapping join no group. The groups are `pinned`, so
    that no later pass takes them apart.

    Raises `CatenaError` with every problem and its line and column: CAT-C002 for a file that cannot be read; CAT-C003
    for statements that name no group of the chain, or say of one what does not go together with it or the machine.
    """

    name = "form-groups"

    file: str

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Form the groups of the file."""
        file = read_mapping_file(Path(self.file), ctx)
        machine = find_machine(op)
        problems = [*file.problems, *target_problems(file, machine)]
        function = main_function(op)
        links = [each for each in function.walk() if isinstance(each, LinkOp)]
        known, names = named_links(links), chain_names(function)
        taken: set[LinkOp] = {link for link in links if isinstance(link.parent_op(), FusedOp)}
        for statement in file.groups:
            said = _Statement(file, statement, machine)
            members = said.members(known, taken)
            taken |= set(members)
            if not said.problems:
                try:
                    group = group_links(members, known=names)
                    group_of(group)
                except CatenaError as error:
                    said.problems += [said.located(each, members) for each in error.diagnostics]
                else:
                    inner = zip(group.made, group.yielded, strict=True)
                    names |= {result: names[value] for result, value in inner}  # later groups may read them
                    said.map(group, known)
            problems += said.problems
        if problems:
            raise CatenaError(problems)


class _Statement:
    """A statement, and what is wrong with it so far."""

    def __init__(self, file: MappingFile, written: WrittenGroup, machine: Accelerator | None):
        self._file = file
        self._written = written
        self._machine = machine
        self.problems: list[Diagnostic] = []

    def members(self, known: Mapping[str, LinkOp], taken: set[LinkOp]) -> list[LinkOp]:
        """The links that are named; `taken` are those of other groups."""
        found: dict[LinkOp, Name] = {}
        for name in self._written.links:
            link = known.get(name.text)
            if link is None:
                hint = did_you_mean(name.text, known) or "catena inspect PROGRAM names the layers"
                self._wrong(name.spot, f"no link is called {quoted(name.text)}", hint=hint)
            elif link in found:
                message = f"{quoted(name.text)} and {quoted(found[link].text)} are the same link"
                self._wrong(name.spot, message, "name every link once")
            elif link in taken:
                self._wrong(name.spot, f"{quoted(name.text)} is in another group", "leave it out of one of the two")
            elif isinstance(link.mapping, HostAttr):
                self._wrong(name.spot, f"the host executes {quoted(name.text)}", hint="end the group before it")
            else:
                found[link] = name
        return list(found)

    def located(self, problem: Diagnostic, members: Sequence[LinkOp]) -> Diagnostic:
        """A problem of links at the name of the one it is about, else at the statement."""
        named = {describe(link): name.spot for link, name in zip(members, self._written.links, strict=True)}
        spot = named.get(problem.node, self._written.spot)
        return replace(problem, code="CAT-C003", where=self._file.problem_of(spot, "").where)

    def map(self, group: FusedOp, known: Mapping[str, LinkOp]) -> None:
        """Give a group the mapping that is stated, or note what is wrong with it."""
        made = dict(zip(group.links, group.link_names, strict=True))
        aliases = {alias: made[link] for alias, link in known.items() if link in made}
        aliases |= {name: name for name in (*group.read_names, *group.link_names)}
        loops = tuple(node for node, _ in self._written.loops)
        self._check_once(
            [(str(node.loop), f"the loop {node.loop}", spot) for node, spot in self._written.loops],
            "a loop is cut once around a group: leave out one of the two",
        )
        places = self._places(group, aliases)
        branches = [(aliases.get(name.text, name.text), mapping) for name, mapping in self._written.branches]
        self._check_once(
            [
                (link, f"the link {quoted(link)}", name.spot)
                for (link, _), (name, _) in zip(branches, self._written.branches, strict=True)
            ],
            "a link has one mapping: leave out one of the two",
        )
        for name, branch in self._written.branches:
            try:
                verify_mapping(branch)
            except VerifyException as error:
                hint = "leave the link out of the braces, and the best mapping is searched"
                self._wrong(name.spot, str(error), hint)
        mapping = FusedMapping(loops, tuple(places.values()), self._written.stages, tuple(branches))
        spots = {(About.LOOP, str(node)): spot for node, spot in self._written.loops}
        spots |= {(About.TENSOR, tensor): place.tensor.spot for place, tensor in self._placed(aliases)}
        spots |= {
            (About.LINK, link): name.spot for (link, _), (name, _) in zip(branches, self._written.branches, strict=True)
        }
        for problem in mapping_problems(group.named, mapping):
            self._wrong(spots.get((problem.about, problem.name), self._written.spot), problem.message, problem.hint)
        if not self.problems:
            group.properties |= {"mapping": FusedAttr.of(mapping), "pinned": UnitAttr()}

    def _placed(self, aliases: Mapping[str, str]) -> Iterator[tuple[WrittenPlace, str]]:
        """Every place that is stated, and the tensor of the group that lies there."""
        return ((each, aliases.get(each.tensor.text, each.tensor.text)) for each in self._written.places)

    def _places(self, group: FusedOp, aliases: Mapping[str, str]) -> dict[str, Retention]:
        """Where the tensors of a group lie, as stated or by default."""
        self._check_once(
            [(tensor, quoted(tensor), place.tensor.spot) for place, tensor in self._placed(aliases)],
            "a tensor has one place: leave it out of one of the two",
            "has a place already",
        )
        memories = () if self._machine is None else memory_names(self._machine)
        outermost, on_chip = memories[:1], memories[1:]
        for memory in dict.fromkeys(each.memory for each in self._written.places):
            if memories and memory.text not in memories:
                self._wrong(memory.spot, f"no memory is called {memory.text}", did_you_mean(memory.text, memories))
        places: dict[str, Retention] = {}
        for place, tensor in self._placed(aliases):
            if place.memory.text in outermost:
                self._check_off_chip(place, tensor, group)
            else:
                self._check_mark(place, tensor, group)
            stays = place.mark == STAY
            anew = bool(place.mark) and not stays
            places[tensor] = Retention(tensor, place.memory.text, place.level, not anew, stays)
        for tensor in (*group.read_names, *group.link_names):
            if tensor not in places and on_chip:
                places[tensor] = Retention(tensor, on_chip[0], len(self._written.loops))
        return places

    def _check_off_chip(self, place: WrittenPlace, tensor: str, group: FusedOp) -> None:
        spot = place.tensor.spot
        if tensor in group.link_names and tensor != head_name(group):
            message = f"{quoted(tensor)} lies between links of the group, which hand it on on the chip"
            self._wrong(spot, message, "store it in a memory on the chip, or end the group before its readers")
        if place.mark:
            message = f"{place.mark} {quoted(tensor)}: nothing of it stays on the chip anyway"
            self._wrong(spot, message, "leave the word out")

    def _check_mark(self, place: WrittenPlace, tensor: str, group: FusedOp) -> None:
        spot = place.tensor.spot
        if place.mark == STAY and place.level != 0:
            message = f"{quoted(tensor)} stays from one group to another: its place is outside of all loops"
            self._wrong(spot, message, "write this store before all loops")
        if place.mark in ("", STAY):
            return
        expected, what = REFETCH, "is no tensor between links of the group"
        if tensor == head_name(group):
            what = "is what the group makes: sums leave the chip and come back"
        elif tensor in group.link_names:
            expected, what = RECOMPUTE, "is made by a link of the group"
        if place.mark != expected:
            self._wrong(spot, f"{quoted(tensor)} {what}: {expected} it", f"write {expected} {quoted(tensor)}")
        if place.level is None:
            self._wrong(spot, f"{place.mark} {quoted(tensor)}: within links nothing stays anyway", "leave the word out")

    def _check_once(self, named: Sequence[tuple[str, str, Spot]], hint: str, message: str = "is there already") -> None:
        seen: set[str] = set()
        for key, what, spot in named:
            if key in seen:
                self._wrong(spot, f"{what} {message}", hint)
            seen.add(key)

    def _wrong(self, spot: Spot, message: str, hint: str = "") -> None:
        self.problems.append(self._file.problem_of(spot, message, hint=hint))
