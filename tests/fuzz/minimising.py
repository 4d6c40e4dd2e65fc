"""Findings made small: pieces of the input are left out for as long as the same thing happens at the same place."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.fuzz.campaign import Finding, execute
from tests.fuzz.readers import READERS


def minimised(finding: Finding, seconds: float = 20.0) -> Finding:
    """A finding with an input that cannot be made smaller in the given CPU seconds by leaving out a piece."""
    if finding.kind in ("crash", "hang", "memory"):
        return finding
    reader = READERS[finding.reader]
    end = time.process_time() + seconds
    data = finding.data
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        reader.prepare(folder)
        size = max(1, len(data) // 2)
        while size and time.process_time() < end:
            start = 0
            while start < len(data) and time.process_time() < end:
                shorter = data[:start] + data[start + size :]
                _, _, found = execute(reader, shorter, folder)
                if found is not None and found.key == finding.key:
                    data = shorter
                else:
                    start += size
            size //= 2
    return replace(finding, data=data)
