"""Ctrl-C while mappings are searched: the first ends searches, each with its best mapping; the next, the command."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_NOTICE = b"interrupted: going on with the best mappings found until now; interrupt again to stop at once\n"


@dataclass
class Interrupts:
    """`came` says that searches are to end. Until they `begin`, there is nothing to keep, and the command ends."""

    is_quiet: bool = False
    has_come: bool = False
    _is_caught: bool = False
    _has_begun: bool = False

    def came(self) -> bool:
        """Whether an interrupt came while searches could be ended by it."""
        return self.has_come

    def begin(self) -> None:
        """Searches begin, if they have not. Where interrupts are ignored, or another thread has them, that stays so."""
        if self._has_begun:
            return
        self._has_begun = True
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._catch)
            self._is_caught = True

    def end(self) -> None:
        """Interrupts are what they were."""
        if self._is_caught:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._is_caught = False

    def _catch(self, number: int, frame: FrameType | None) -> None:
        self.end()
        self.has_come = True
        if not self.is_quiet:
            # whoever was interrupted may be writing to the stream
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, _NOTICE)


@contextmanager
def interrupts(is_quiet: bool) -> Generator[Interrupts]:
    """Interrupts within the block, once searches have begun, end these first."""
    caught = Interrupts(is_quiet)
    try:
        yield caught
    finally:
        caught.end()
