"""Effects held against the streams of cores: whether each does all of its actions in order, and what tokens say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backends.effects import NO_WORDS, NOTHING, Effect, Shown
from backends.isa import Instruction
from backends.rram.isa import Reuse, Signal, Wait
from compiler.localising.stream_turns import Awaiting, CodePiece
from compiler.localising.wrong import WrongEffectError


@dataclass
class _Place:
    """Where a core is: the piece, the action of it that comes, and the turns that are over."""

    piece: int = 0
    action: int = 0
    turn: int = 0


class StreamSequence:
    """What cores have to do, as they say that they did; nothing is checked of machines that do not say."""

    def __init__(self, cores: Sequence[Sequence[CodePiece]]) -> None:
        self._cores = cores
        self._places = [_Place() for _ in cores]
        self._tells = False

    def check(self, effect: Effect) -> None:
        """Raise `WrongEffectError` for an action that does not come now, or a token that says something else."""
        if self._tells:
            self._check_order(effect)
            if effect.shown is Shown.STOP:
                self._check_stop(effect)
        if effect.shown is not Shown.DONE or len(effect.firsts) != 2:
            return
        self._tells = True
        at, pieces = self._places[effect.core], self._cores[effect.core]
        if at.piece == len(pieces):
            raise WrongEffectError(effect, "executes it once more than the code says", "", "the end", "")
        piece = pieces[at.piece]
        address, instruction = piece.actions[at.action]
        start, stop = effect.firsts
        if effect.address != address:
            raise _left_out(effect.core, piece, address, f"instruction {effect.address}")
        if start != at.turn or stop > piece.turns:
            turns = f"turn {at.turn} of {piece.turns}", f"turns {start} to {stop - 1}"
            loop = piece.loops[-1] if piece.loops else address
            raise _wrong(effect.core, piece, loop, "executes it wrong: other turns come", *turns)
        if effect.told is not None:
            _check_token(effect, piece, instruction, range(start, stop))
        at.action += 1
        if at.action == len(piece.actions):
            at.action, at.turn = 0, stop
            at.piece, at.turn = (at.piece + 1, 0) if stop == piece.turns else (at.piece, stop)

    def end(self) -> None:
        """Raise `WrongEffectError` if a core should have done more."""
        for core, (at, pieces) in enumerate(zip(self._places, self._cores, strict=True)):
            if self._tells and at.piece < len(pieces):
                piece = pieces[at.piece]
                raise _left_out(core, piece, piece.actions[at.action][0], "the end")

    def _check_order(self, effect: Effect) -> None:
        """What an action shows comes before it is done; weights that are resident come before everything."""
        at, pieces = self._places[effect.core], self._cores[effect.core]
        if effect.shown is Shown.KERNEL or at.piece == len(pieces):
            return
        piece = pieces[at.piece]
        address, _ = piece.actions[at.action]
        others = {place for each in pieces for place, _ in each.actions} - set(self._waits(effect.core))
        if effect.address in others and effect.address != address:
            raise _left_out(effect.core, piece, address, f"instruction {effect.address}")

    def _check_stop(self, effect: Effect) -> None:
        """Where a core waits for ever, another one that nothing holds up left something out."""
        if not any(address == effect.address for address in self._waits(effect.core)):
            return
        for core, (at, pieces) in enumerate(zip(self._places, self._cores, strict=True)):
            if at.piece < len(pieces) and (at.action or not pieces[at.piece].awaits):
                piece = pieces[at.piece]
                raise _left_out(core, piece, piece.actions[at.action][0], "the end")

    def _waits(self, core: int) -> list[int]:
        at, pieces = self._places[core], self._cores[core]
        actions = pieces[at.piece].actions if at.piece < len(pieces) else []
        return [address for address, each in actions if isinstance(each, Awaiting)]


def _check_token(effect: Effect, piece: CodePiece, instruction: Instruction, turns: range) -> None:
    """Registers that a signal wrote, or what the one of a wait held, are as the code says."""
    told = {} if effect.told is None else effect.told()
    found = {name: value for name, (value, _) in told.items()}
    changed = {name for name, (_, has_changed) in told.items() if has_changed}
    match instruction:
        case Signal():
            sent = [turn + 1 for turn in turns if (turn + 1) % instruction.every == 0 or turn + 1 == piece.turns]
            name = f"register {instruction.register} of core {instruction.core}"
            expected: dict[str, int | str] = {name: instruction.base + sent[-1]} if sent else {}
            if changed - expected.keys() or any(found.get(each) != value for each, value in expected.items()):
                what = "executes it wrong: other registers are written"
                raise WrongEffectError(effect, what, "", _text(expected), _text(found))
        case Wait() | Reuse():
            wanted = _awaited(instruction, turns[-1])
            name, held = next(iter(found.items()), ("the register", 0))
            if not isinstance(held, int) or held < wanted:
                what = "executes it wrong: it does not wait"
                raise WrongEffectError(effect, what, "", f"at least {wanted} in {name}", str(held))
        case _:
            pass


def _awaited(instruction: Awaiting, turn: int) -> int:
    """What a register has to hold in a turn."""
    if isinstance(instruction, Wait):
        periods = (turn + instruction.start) // instruction.period
    elif turn < instruction.after:
        return 0
    else:
        periods = (turn - instruction.after) // instruction.period
    return min(instruction.most, instruction.base + instruction.step * periods)


def _text(registers: dict[str, int | str]) -> str:
    return ", ".join(f"{value} in {name}" for name, value in registers.items()) or "none"


def _left_out(core: int, piece: CodePiece, address: int, found: str) -> WrongEffectError:
    what = "does not execute it when it is its turn"
    return _wrong(core, piece, address, what, f"instruction {address}", found)


def _wrong(core: int, piece: CodePiece, address: int, what: str, expected: str, found: str) -> WrongEffectError:
    effect = Effect(piece.layer, core, address, Shown.DONE, NO_WORDS, NOTHING)
    return WrongEffectError(effect, what, "", expected, found)
