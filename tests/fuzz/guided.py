"""Campaigns that libFuzzer guides, by the branches of Catena's code that an input reaches (atheris, if installed).

    python -m tests.fuzz.guided READER COUNT SEED CURRENT SECONDS RESULT

executes in this process, as `run_guided` calls it: what an input reaches is only counted of modules that are imported
under atheris, so that nothing of Catena's may be imported before. Mutations are those of the reader, which keep
checksums and outer forms right, and some of libFuzzer's own. What reaches new branches is kept and mutated further.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fuzz.campaign import Result

PACKAGES = ("dialects", "passes", "backends", "compiler")
OWN_SHARE = 0.1
"""Of the mutations, those that libFuzzer makes, which knows what bytes were compared with."""


def is_installed() -> bool:
    """Whether atheris is there."""
    return importlib.util.find_spec("atheris") is not None


def run_guided(name: str, count: int, seed: int, current: Path, until: float | None) -> Result | None:
    """So many executions in a process of its own; None if it died."""
    from tests.fuzz.campaign import is_stuck

    seconds = float("inf") if until is None else until - time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        found = Path(scratch) / "result"
        given = (name, count, seed, current, seconds, found)
        command = [sys.executable, "-m", "tests.fuzz.guided", *map(str, given)]
        with (Path(scratch) / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            while process.poll() is None:
                time.sleep(0.2)
                if is_stuck(current):
                    process.kill()
        return pickle.loads(found.read_bytes()) if found.is_file() else None


def main() -> None:
    """Execute until the count or the time is reached; the result is a file then."""
    atheris: Any = importlib.import_module("atheris")  # an optional module

    with atheris.instrument_imports(include=list(PACKAGES)):
        from tests.fuzz.campaign import Campaign, limit_memory
        from tests.fuzz.mutation import LARGEST
    name, count, seed, current, seconds, found = sys.argv[1:]
    until = time.monotonic() + float(seconds)
    with tempfile.TemporaryDirectory() as scratch:
        folder, seeds = Path(scratch) / "work", Path(scratch) / "seeds"
        folder.mkdir()
        seeds.mkdir()
        campaign = Campaign(name, folder, Path(current))
        # Read here, too, so that what readers prepare once, by processes of their own, is not libFuzzer's to watch.
        for number, data in enumerate(list(campaign.corpus)):
            (seeds / str(number)).write_bytes(data)
            campaign.execute(data)

        def one(data: bytes) -> None:
            campaign.execute(bytes(data))
            if campaign.result.executions >= int(count) or time.monotonic() > until:
                Path(found).write_bytes(pickle.dumps(campaign.result))
                os._exit(0)

        def mutated(data: bytes, size: int, number: int) -> bytes:
            random = Random(number)
            if random.random() < OWN_SHARE:
                return atheris.Mutate(bytes(data), size)
            return campaign.reader.mutate(random, bytes(data), campaign.corpus)[:size]

        # Time and memory are limited by the campaign; libFuzzer would end the process at the first finding.
        flags = [f"-seed={int(seed) % (1 << 31) + 1}", f"-max_len={LARGEST}", "-len_control=0"]
        # Small inputs, and those changed many times, are refused at the door.
        flags += ["-reduce_inputs=0", "-prefer_small=0", "-mutate_depth=1"]
        flags += ["-timeout=600", "-rss_limit_mb=0", "-malloc_limit_mb=0"]
        limit_memory()
        atheris.Setup([sys.argv[0], *flags, str(seeds)], one, custom_mutator=mutated)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
