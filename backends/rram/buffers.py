"""What the buffer of a core holds while a task is at work, and the most of it at a time."""

from __future__ import annotations

from backends.rram.counting import LayerCounters
from backends.spatial.memory import Fault


class Buffer:
    """Bytes by what they are of, of which there are always two if `doubled`; the peak counts as `buffer.bytes`."""

    def __init__(self, counters: LayerCounters, limit: int, doubled: frozenset[str] = frozenset()):
        self._counters, self._limit, self._doubled = counters, limit, doubled
        self._held: dict[str, int] = {}
        self.peak = 0

    def hold(self, what: str, size: int, *, is_streamed: bool = False) -> None:
        """Have so many bytes of something. Raises `Fault` CAT-E001 for too many, unless words pass through."""
        if what in self._doubled:
            size = max(2 * size, self._held.get(what, 0))
        self._held[what] = size
        now = sum(self._held.values())
        if now > self._limit and not is_streamed:
            raise Fault("CAT-E001", "the buffer of a core overflows", f"{self._limit} bytes", f"{now} bytes")
        self._counters.add("buffer.bytes", max(now - self.peak, 0))
        self._counters.most("buffer.most", now)
        self.peak = max(self.peak, now)

    def release(self, *names: str) -> None:
        """These are no longer needed."""
        for what in names:
            if what not in self._doubled:
                self._held.pop(what, None)

    def clear(self) -> None:
        """Nothing is needed any longer."""
        self._held.clear()
