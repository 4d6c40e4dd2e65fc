"""Pass `prove-order`: check that all conflicting accesses of cores are ordered, and that no core waits for ever."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.passes import ModulePass

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv.interpreter import main_function
from dialects.groups import GroupOp
from dialects.locations import describe
from dialects.multicore import SignalOp, WaitOp
from dialects.spatial import BufferOp, integer
from dialects.target import require_multicore
from passes.multicore.accesses import Block, blocks_of, placed_layers
from passes.multicore.clocks import Clocks, Register, Signals, Wait
from passes.multicore.deadlocks import deadlocks
from passes.multicore.naming import accessing, between, numbered, place_of, signal_of, tokens_in
from passes.multicore.needs import circles_of
from passes.multicore.reading import MOVING, Sending, beside, joined, sending_of, sendings, waits_of
from passes.multicore.tables import NEVER, Access, Point, Touched

MOST = 20
"""Problems that are named; of a missing token there may be one for every pair of cores."""


class ProveOrderPass(ModulePass):
    """Refuse streams in which two cores may touch a word in either order, or a core waits for what never comes.

    In a hold, words that take the place of others have to come after all accesses to these, and no other tensor may lie
    there. What holds for the vector clocks of waits and signals holds however fast cores are and whoever gets the bus
    first. Cores have as many sequence registers as tokens name (CAT-F002).
    Refused are changed tokens without which something is not ordered. A signal that a later one makes up for, one that
    stands twice in its place and a wait that comes earlier are proved, unless a core then waits for ever: results are
    the same at any pace.
    A word that blocks touch in several turns counts as touched from the first to the last of them. The pass changes
    nothing.
    """

    name = "prove-order"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        machine = require_multicore(op, "placed")
        function = main_function(op)
        blocks = blocks_of(placed_layers(function))
        groups = [each for each in function.body.block.ops if isinstance(each, GroupOp)]
        signals, problems = _signals(blocks)
        problems += _missing_registers(blocks, machine.cores.registers)
        overlap = machine.cores.overlap
        waits = {block.number: [wait for _, wait in waits_of(block, overlap=overlap)] for block in blocks}
        problems += _mistaken(blocks, waits, signals)
        if problems:
            raise CatenaError(problems[:MOST])
        clocks = Clocks(machine.cores.count, overlap=machine.cores.overlap)
        if stuck := clocks.run(blocks, waits, signals):
            raise CatenaError(deadlocks(stuck, signals, blocks, clocks)[:MOST])
        found = [*_overlaps(function), *_races(blocks, clocks), *_overwritten(groups, blocks, clocks)]
        if machine.cores.overlap:
            found += _races_within(blocks)
        if found:
            raise CatenaError(found[:MOST])


def _awaiting(blocks: Iterable[Block], register: Register) -> tuple[Block, str] | None:
    """The first block that waits for a register, and its op."""
    for block in (each for each in blocks if each.core == register[0]):
        for op, _ in tokens_in(block):
            if isinstance(op, WaitOp) and integer(op.register) == register[1]:
                return block, numbered(block, op)
    return None


def _sender(sending: Sending) -> str:
    """Who sends, and by which op."""
    return f"{place_of(sending.block)}, by {numbered(sending.block, sending.op)}"


def _signals(blocks: Sequence[Block]) -> tuple[dict[Register, Signals], list[Diagnostic]]:
    """What is sent to every register, in order; registers that two cores write, or that would fall, are problems."""
    problems: list[Diagnostic] = []
    found: dict[Register, Signals] = {}
    for (core, number), several in sendings(blocks).items():
        for each in several:
            later = next((op for op in beside(each.op, forwards=True) if isinstance(op, MOVING)), None)
            if later is not None:
                message = f"{place_of(each.block)}, signals to core {core} before it is done: "
                message += f"{numbered(each.block, each.op)} stands before {later.name}"
                waiter, by = _awaiting(blocks, (core, number)) or (each.block, "")
                who = f"{place_of(waiter)} waits for it, by {by}" if by else "nobody waits for it"
                problems.append(between("CAT-R005", message, each.block, waiter, "a signal behind all moves", who))
        writers = {each.block.core: each for each in several}
        if len(writers) > 1:
            one, other = list(writers.values())[:2]
            message = f"register {number} of core {core} has two writers: {_sender(one)}; {_sender(other)}"
            problems.append(
                between("CAT-R005", message, one.block, other.block, "a register for each core that signals")
            )
        sent = found[core, number] = joined(several)
        if (np.diff(sent.values) < 0).any():
            at = int(np.flatnonzero(np.diff(sent.values) < 0)[0])
            one, other = (sending_of(several, each) for each in (at, at + 1))
            falls = f"register {number} of core {core} would fall from {sent.values[at]} to {sent.values[at + 1]}"
            message = f"{falls}: signalled by {_sender(one)}, then {_sender(other)}"
            problems.append(between("CAT-R005", message, one.block, other.block, "signals whose values grow"))
    return found, problems


def _missing_registers(blocks: Iterable[Block], available: int) -> Iterator[Diagnostic]:
    """Cores that tokens name more registers of than there are, each with the first block whose tokens do."""
    needed: dict[int, int] = {}
    first: dict[int, Block] = {}
    for block in blocks:
        for op, _ in tokens_in(block):
            core, count = integer(op.core) if isinstance(op, SignalOp) else block.core, integer(op.register) + 1
            needed[core] = max(needed.get(core, 0), count)
            if count > available:
                first.setdefault(core, block)
    hint = f"--set cores.registers={max(needed.values(), default=0)}, or fewer cores that share a layer"
    for core, block in first.items():
        message = f"core {core} has too few sequence registers: one for each core that signals to it"
        node, found = describe(block.layer), f"cores.registers = {available}"
        yield Diagnostic("CAT-F002", message, "placed", node, "", f"at least {needed[core]}", found, hint)


def _mistaken(
    blocks: Sequence[Block], waits: Mapping[int, Sequence[Wait]], signals: Mapping[Register, Signals]
) -> Iterator[Diagnostic]:
    """Waits for a core on a register that another one signals to."""
    for block in blocks:
        for wait in waits[block.number]:
            given = signals.get(wait.register)
            if given is not None and wait.producer not in (None, given.core):
                sender = blocks[int(given.blocks[0])]
                message = (
                    f"{place_of(block)}, waits for core {wait.producer} on register {wait.register[1]}: {wait.what}"
                )
                found = f"{place_of(sender)} signals to it, by {signal_of(sender, wait.register)}"
                yield between("CAT-R005", message, block, sender, f"a signal of core {wait.producer}", found)


def _races(blocks: Iterable[Block], clocks: Clocks) -> Iterator[Diagnostic]:
    """Pairs of accesses that nothing orders, `MOST` at most."""
    touched, count = Touched[Block](), 0
    for block in blocks:
        for access in block.accesses:
            for other, before in touched.conflicting(access):
                if other.core == block.core:
                    continue
                word = _unordered(block, access, other, before, clocks)
                if word is not None:
                    yield _race(block, access, other, before, word)
                    count += 1
                    if count == MOST:
                        return
        touched.add(block, block.accesses)


def _races_within(blocks: Iterable[Block]) -> Iterator[Diagnostic]:
    """Words that a core brings as inputs and writes as results of the same matrix, while turns overlap."""
    for block in (each for each in blocks if each.is_matrix):
        brought = Touched[Block]()
        brought.add(block, (access for access in block.accesses if access.point is Point.LOAD))
        for write in (access for access in block.accesses if access.writes):
            for _, read in brought.conflicting(write):
                if read.meets(write):
                    one, two = accessing(block, read, read.begins), accessing(block, write, write.begins)
                    what = f"reads {read.tensor}, by {one}, and writes {write.tensor}, by {two}"
                    message = f"{place_of(block)} {what}, of the same words of the {read.memory}, as turns overlap"
                    yield Diagnostic("CAT-R005", message, "placed", describe(block.layer))


def _unordered(
    block: Block, access: Access, other: Block, before: Access, clocks: Clocks
) -> tuple[int, int, int] | None:
    """A word, with the turns of both blocks that touch it, of which none is known to the other to be over."""
    last = clocks.base[other.number] + before.ends + 1
    if int(clocks.row(block, access.point, access.begins)[other.core]) >= last:
        return None
    needs = access.needs(before, block.turns)
    if needs is None:
        return None
    turns = np.flatnonzero(needs)
    known = clocks.knows(block, access.point, turns.astype(np.int32), other.core)
    if (known >= clocks.base[other.number] + needs[turns]).all():
        return None
    low, mine, theirs = access.beside(before)
    words = np.flatnonzero((mine != NEVER) & (theirs >= 0))
    known = clocks.knows(block, access.point, mine[words], other.core)
    ordered = known >= clocks.base[other.number] + theirs[words] + 1
    # A word that comes behind in the order of layers may still be touched before, if tokens say so.
    _, begun, over = before.beside(access)
    known = clocks.knows(other, before.point, begun[words], block.core)
    ordered |= known >= clocks.base[block.number] + over[words] + 1
    if ordered.all():
        return None
    at = int(words[np.flatnonzero(~ordered)[0]])
    return low + at, int(mine[at]), int(theirs[at])


def _overwritten(groups: Iterable[GroupOp], blocks: Sequence[Block], clocks: Clocks) -> Iterator[Diagnostic]:
    """Words of holds that may take the place of others that are still to be written or read, one for each pair."""
    for group in groups:
        members = set(group.layers)
        inside = [block for block in blocks if block.layer in members]
        for circle in circles_of(group):
            touched = [(block, each) for block in inside for each in circle.touched(block)]
            for block, write in touched:
                for other, before in touched if write.writes else ():
                    pair = circle.replaced(write, before)
                    word = pair and _too_early(block, write, other, pair[1], clocks)
                    if word:
                        yield _race(block, write, other, before, word)


def _too_early(
    block: Block, access: Access, other: Block, before: Access, clocks: Clocks
) -> tuple[int, int, int] | None:
    """A word that a block writes in a turn that does not know another's access to be over, and both turns."""
    low, mine, theirs = access.beside(before)
    words = np.flatnonzero((mine != NEVER) & (theirs >= 0))
    if block.core == other.core:
        known = clocks.base[block.number] + mine[words]
    else:
        known = clocks.knows(block, access.point, mine[words], other.core)
    late = words[known < clocks.base[other.number] + theirs[words] + 1]
    if not len(late):
        return None
    at = int(late[0])
    return low + at, int(mine[at]), int(theirs[at])


def _overlaps(function: FuncOp) -> Iterator[Diagnostic]:
    """Tensors that lie where a hold does."""
    ops = list(function.body.block.ops)
    holds = [hold for op in ops if isinstance(op, GroupOp) for hold in op.holds]
    held = {hold.buffer for hold in holds}
    places = [(integer(hold.address), integer(hold.address) + integer(hold.words), hold) for hold in holds]
    buffers = [op for op in ops if isinstance(op, BufferOp) and op.words and op.result not in held]
    others = [(integer(op.address), integer(op.address) + op.words, op) for op in buffers]
    for number, (start, stop, hold) in enumerate(places):
        for begin, end, op in (*others, *places[:number]):
            if start < end and begin < stop:
                message = "another tensor lies where a hold keeps words"
                found = f"words {begin} to {end - 1} beside {start} to {stop - 1}"
                nodes = " and ".join(dict.fromkeys((describe(hold), describe(op))))
                yield Diagnostic("CAT-R005", message, "placed", nodes, expected="words of its own", found=found)


def _race(block: Block, access: Access, other: Block, before: Access, where: tuple[int, int, int]) -> Diagnostic:
    word, mine, theirs = where
    one, two = _doing(other, before, theirs), _doing(block, access, mine)
    message = f"nothing orders two accesses to word {word} of the {access.memory}: {one}; {two}"
    return between("CAT-R005", message, other, block, "a signal from one to the other, and a wait for it")


def _doing(block: Block, access: Access, turn: int) -> str:
    """What a block does in a turn, by which op."""
    does = "writes" if access.writes else "reads"
    return f"{place_of(block)} {does} {access.tensor} in turn {turn}, by {accessing(block, access, turn)}"
