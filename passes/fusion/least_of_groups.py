"""What a fused group costs at least, by the words and operations that are known of it, on machines of any kind.

No nest of a link is needed for that: whatever it is, words that go off-chip cost what transfers of holds cost, and
every operation costs something wherever it happens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from dialects.gconv import GConv
from passes.fusion.group import Group


@dataclass(frozen=True)
class _OfGroup:
    """A group, what words of its tensors cost, its operations and their energy, if none is made again; of one each."""

    group: Group
    per_word: Mapping[str, float]
    energy: float
    operations: int
    cheapest: float
    dearest: float


class LeastOfGroups(ABC):
    """Lower bounds of energy (pJ) and cycles of groups; `picojoules` are those of one unit of energy."""

    def __init__(self, picojoules: float):
        self._picojoules = picojoules
        self._known: dict[int, _OfGroup] = {}

    def of(
        self, group: Group, words: Mapping[str, int], operations: int, more: int = 0, turns: int | None = None
    ) -> tuple[float, float]:
        """Energy and cycles of a group that moves so many words of each tensor at least, and so many `more` of any.

        `operations` are those of all links. Elements that a link makes again are operations as well. With so many
        `turns`, or fewer, every reader may bring a tensor as often, and no more.
        """
        of_group = self._of_group(group)
        per_word = of_group.per_word
        energy = sum(count * per_word[name] for name, count in words.items())
        rest = more
        for name in sorted(words, key=lambda each: per_word[each]):
            most = rest if turns is None else self._most(group, name, turns) - words[name]
            energy += per_word[name] * min(rest, max(most, 0))
            rest -= min(rest, max(most, 0))
        energy += rest * max((per_word[name] for name in words), default=0.0)
        again = operations - of_group.operations
        # where there are fewer than all, it is not known which
        energy += of_group.energy + again * (of_group.cheapest if again > 0 else of_group.dearest)
        return energy * self._picojoules, self._cycles(group, words, more, operations)

    def _of_group(self, group: Group) -> _OfGroup:
        """What all bounds of a group have in common. It is known by its place, as to hash it takes longer."""
        if id(group) not in self._known:
            links = [(link.spec.trips, self._of_operation(link.spec)) for link in group.links]
            each = [cost for _, cost in links]
            per_word = {tensor.name: self._of_word(group, tensor.name) for tensor in group.tensors}
            energy, operations = sum(count * cost for count, cost in links), sum(count for count, _ in links)
            self._known[id(group)] = _OfGroup(group, per_word, energy, operations, min(each), max(each))
        return self._known[id(group)]

    @staticmethod
    def _most(group: Group, tensor: str, turns: int) -> int:
        """The words of a tensor that go off-chip at most."""
        readers = 1 if tensor in group.makers else len(list(group.readers(tensor)))
        return group.tensor(tensor).size * readers * turns

    @abstractmethod
    def _cycles(self, group: Group, words: Mapping[str, int], more: int, operations: int) -> float:
        """Cycles of a group that moves so many words, and more of any, and has so many operations."""

    @abstractmethod
    def _of_word(self, group: Group, tensor: str) -> float:
        """What a word of a tensor costs between off-chip and its hold, in units of energy."""

    @abstractmethod
    def _of_operation(self, spec: GConv) -> float:
        """What an operation of a link costs: itself, its operands, and its sum, in units of energy."""
