"""A campaign: many executions of one reader in a process of its own, each within limits of time and memory.

What is new is kept for further mutation: an input that is refused by a way through the code by which no other one was.
What is no `CatenaError`, takes too long or too much memory is a finding, once for every place.
"""

from __future__ import annotations

import multiprocessing
import resource
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from types import FrameType

from dialects.diagnostics import CatenaError
from tests.fuzz.readers import READERS, Reader

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 5.0
"""CPU seconds that one execution may take."""
BYTES = 1 << 30
"""Bytes by which a process may grow."""
GROWTH = 256 << 20
"""Bytes by which one execution may raise the most memory that the process ever had."""
MOST_KEPT = 400
"""Inputs of a corpus that mutation chooses from."""
_WALL = 300.0
"""Seconds after which a process that does not answer is ended."""


class TookTooLong(BaseException):
    """An execution that used up its time; no reader catches it."""


@dataclass(frozen=True)
class Finding:
    """What should not have happened, at a place: an exception, `hang`, `memory` or `crash`, and the input."""

    reader: str
    kind: str
    place: str
    text: str
    data: bytes

    @property
    def key(self) -> tuple[str, str]:
        """Findings with the same key have one cause."""
        return self.kind, self.place


@dataclass
class Result:
    """What became of a campaign: how many inputs were executed and accepted, CPU seconds, findings, and new inputs."""

    reader: str
    executions: int = 0
    accepted: int = 0
    seconds: float = 0.0
    ways: int = 0
    findings: list[Finding] = field(default_factory=list)
    kept: list[bytes] = field(default_factory=list)


def execute(reader: Reader, data: bytes, folder: Path) -> tuple[bool, frozenset[tuple[str, int]], Finding | None]:
    """Read once: whether it was accepted, the ways through the code by which it was refused, and a finding."""
    before = _most_memory()
    try:
        with _limited():
            reader.read(data, folder)
    except CatenaError as error:
        if any(each.code == "CAT-I001" for each in error.diagnostics):
            return False, frozenset(), _finding(reader, "internal error", error, data)
        return False, _lines(error), _growth(reader, before, data)
    except TookTooLong as error:
        return False, frozenset(), _finding(reader, "hang", error, data)
    except MemoryError as error:
        return False, frozenset(), _finding(reader, "memory", error, data)
    except Exception as error:
        return False, frozenset(), _finding(reader, type(error).__name__, error, data)
    return True, frozenset(), _growth(reader, before, data)


class Campaign:
    """Executions of one reader in this process; `current` is a file that gets each input first."""

    def __init__(self, name: str, folder: Path, current: Path | None = None) -> None:
        self.reader = READERS[name]
        self.corpus = self.reader.corpus()
        self.result = Result(name)
        self._folder = folder
        self._current = current
        self._seen: set[object] = set()
        self._start = time.process_time()
        self.reader.prepare(folder)

    def execute(self, data: bytes) -> None:
        """Read once, and note what became of it."""
        if self._current is not None:
            self._current.write_bytes(data)
        accepted, ways, finding = execute(self.reader, data, self._folder)
        result = self.result
        result.executions += 1
        result.accepted += accepted
        if finding is not None and finding.key not in self._seen:
            self._seen.add(finding.key)
            result.findings.append(finding)
        if ways and ways not in self._seen:
            self._seen.add(ways)
            if result.executions > len(self.corpus) and len(self.corpus) < MOST_KEPT:
                self.corpus.append(data)
                result.kept.append(data)
            result.ways += 1
        result.seconds = time.process_time() - self._start


def run(name: str, count: int, seed: int, current: Path | None = None, until: float | None = None) -> Result:
    """So many executions in this process, always the same ones. Ends early at the time `until` of `time.monotonic`."""
    random = Random(f"{seed} {name}")
    with tempfile.TemporaryDirectory() as scratch:
        campaign = Campaign(name, Path(scratch), current)
        for data in _inputs(campaign.reader, random, campaign.corpus, count):
            if until is not None and time.monotonic() > until:
                break
            campaign.execute(data)
    return campaign.result


Part = Callable[[str, int, int, Path, float | None], Result | None]
"""Executes in another process: name, count, seed, file of the current input, end. None if that process died."""


def run_apart(name: str, count: int, seed: int, until: float | None = None, part: Part | None = None) -> Result:
    """The same in processes of their own: one that dies or never answers is a finding, and the next one goes on."""
    part = run_in_process if part is None else part
    whole = Result(name)
    with tempfile.TemporaryDirectory() as scratch:
        current = Path(scratch) / "current"
        while whole.executions < count and (until is None or time.monotonic() < until):
            result = part(name, count - whole.executions, seed, current, until)
            seed += 1_000_003
            if result is None:
                data = current.read_bytes() if current.is_file() else b""
                whole.findings.append(Finding(name, "crash", "the process ended", "", data))
                whole.executions += 1
                if len(whole.findings) > 20:
                    break
                continue
            whole.executions += result.executions
            whole.accepted += result.accepted
            whole.seconds += result.seconds
            whole.ways += result.ways
            whole.findings += result.findings
            whole.kept += result.kept
    return whole


def _inputs(reader: Reader, random: Random, corpus: list[bytes], count: int) -> Iterator[bytes]:
    """The corpus as it is, then mutations of it, which grows meanwhile."""
    yield from corpus[:count]
    for _ in range(count - len(corpus)):
        yield reader.mutate(random, random.choice(corpus), corpus)


def run_in_process(name: str, count: int, seed: int, current: Path, until: float | None) -> Result | None:
    """`run` in a process of its own."""
    # Campaigns are started from several threads, where a fork could stop at somebody's lock.
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, name, count, seed, current, until))
    process.start()
    sender.close()
    result = _wait(receiver, process, current)
    process.join()
    return result


def limit_memory() -> None:
    """Let this process grow by no more than `BYTES`."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + BYTES, hard))


def is_stuck(current: Path) -> bool:
    """Whether a process has been at its input for too long, whatever its limits."""
    return current.is_file() and time.time() - current.stat().st_mtime > _WALL


def _send(sender: Connection, name: str, count: int, seed: int, current: Path, until: float | None) -> None:
    limit_memory()
    sender.send(run(name, count, seed, current, until))


def _wait(receiver: Connection, process: BaseProcess, current: Path) -> Result | None:
    """What a process sends; None if it died, or worked on one input for too long."""
    while True:
        if receiver.poll(1.0):
            try:
                return receiver.recv()
            except EOFError:
                return None
        if not process.is_alive():
            return None
        if is_stuck(current):
            process.kill()
            return None


@contextmanager
def _limited() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise TookTooLong(f"more than {SECONDS:g} CPU seconds")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _most_memory() -> int:
    """Bytes of the most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _growth(reader: Reader, before: int, data: bytes) -> Finding | None:
    grown = _most_memory() - before
    if grown <= GROWTH:
        return None
    return Finding(reader.name, "memory", "growth", f"{grown >> 20} MiB for {len(data)} bytes", data)


def _finding(reader: Reader, kind: str, error: BaseException, data: bytes) -> Finding:
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if _is_own(each.filename)]
    last = own[-1] if own else frames[-1]
    place = f"{Path(last.filename).name}:{last.name}" if kind == "hang" else f"{Path(last.filename).name}:{last.lineno}"
    text = "".join(traceback.format_exception(error, limit=-12))
    return Finding(reader.name, kind, place, text, data)


def _is_own(filename: str) -> bool:
    path = Path(filename)
    return path.is_relative_to(ROOT) and not path.is_relative_to(ROOT / "tests") and ".venv" not in path.parts


def _lines(error: BaseException) -> frozenset[tuple[str, int]]:
    """The lines on the way to an error, and to those that it came from."""
    found: list[tuple[str, int]] = []
    cause: BaseException | None = error
    while cause is not None:
        trace = cause.__traceback__
        while trace is not None:
            found.append((trace.tb_frame.f_code.co_name, trace.tb_lineno))
            trace = trace.tb_next
        cause = cause.__cause__ or cause.__context__
    return frozenset(found)
