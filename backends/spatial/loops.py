"""Hardware loops that cut the ranges of a layer, on sequencers that execute transfers and passes as they come.

The loops of a layer run as they come; those of a layer of a fused group are read, and repeated in its turns.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, TypeVar

from backends.effects import Told
from backends.spatial.codes import Fold, Kind
from backends.spatial.core import SegmentRun
from backends.spatial.groups import GroupSequencer
from backends.spatial.layer import LayerState
from backends.spatial.memory import Fault, MemoryBank


@dataclass
class Frame:
    """A running hardware loop: its body starts at `body`; `start` and `size` are the range that it cuts."""

    body: int
    dim: int
    kind: Kind
    tile: int
    start: int
    size: int


class LoopedLayer(LayerState):
    """A layer; in a group `body` is where in the code its loops are."""

    def __init__(self, index: int, main: str | None, fold: Fold, padding: float, acc: Any):
        super().__init__(index, main, fold, padding, acc)
        self.body = range(0)


LoopedT = TypeVar("LoopedT", bound=LoopedLayer)


class LoopSequencer(GroupSequencer[LoopedT]):
    """A sequencer with hardware loops."""

    def __init__(self, dram: MemoryBank, *, has_host: bool, segment: SegmentRun | None = None):
        super().__init__(dram, has_host=has_host, segment=segment)
        self._frames: list[Frame] = []
        self._unread = 0
        """Loops of a layer of a group whose ends have not been read."""
        self._repeats = False

    @abstractmethod
    def prepare(self) -> None:
        """Called before a loop of a layer runs: the layer is configured."""

    @property
    def is_in_loop(self) -> bool:
        """Whether a loop is open."""
        return bool(self._frames or self._unread)

    def position(self) -> str:
        """The running loops and where they are, for traces."""
        if self._layer is None:
            return ""
        loops = (f"d{f.dim}.{f.kind.name.lower()}={self._layer.starts[f.dim][f.kind]}" for f in self._frames)
        return " ".join((f"layer {self._layer.index}", *loops))

    def configuration(self) -> dict[str, Told]:
        """What the code has said so far; in a group, how many loops are being read."""
        return super().configuration() | ({"the loops that are read": (self._unread,)} if self._unread else {})

    def is_read(self) -> bool:
        """Whether what comes is read for the turns of a group, and does not happen now."""
        if self._group is None or self._repeats:
            return False
        layer = self.layer
        layer.body = range(layer.body.start if layer.body else self.pc, self.pc + 1)
        return True

    def repeat_loops(self, layer: LoopedT) -> None:
        """Run what was read of a layer, on its ranges."""
        before, self._layer, self._repeats = self.pc, layer, True
        self.repeat(layer.body)
        self.pc, self._layer, self._repeats = before, None, False

    def begin_loop(self, dim: int, kind: Kind, tile: int) -> None:
        layer = self.layer
        if dim >= len(layer.dims):
            raise Fault("CAT-E003", f"a loop runs over dimension {dim}, which the layer does not have")
        self.check_worked(layer, kind)
        if self.is_read():
            self._unread += 1
            return
        self.prepare()
        start, size = layer.starts[dim][kind], layer.sizes[dim][kind]
        self._frames.append(Frame(self.pc + 1, dim, kind, tile, start, size))
        layer.sizes[dim][kind] = min(tile, size)

    def end_loop(self) -> None:
        if self._group is not None and not self._repeats and not self._unread:
            super().end_loop()
            return
        if self.is_read():
            self._unread -= 1
            return
        if not self._frames:
            raise Fault("CAT-E003", "an end without a loop")
        layer, frame = self.layer, self._frames[-1]
        starts, sizes = layer.starts[frame.dim], layer.sizes[frame.dim]
        following = starts[frame.kind] + frame.tile
        if following < frame.start + frame.size:
            starts[frame.kind] = following
            sizes[frame.kind] = min(frame.tile, frame.start + frame.size - following)
            self._jump = frame.body
        else:
            starts[frame.kind], sizes[frame.kind] = frame.start, frame.size
            self._frames.pop()
