"""The page that says what campaigns executed: counts, rates, and what they found, by reader."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.campaign import BYTES, SECONDS
from tests.fuzz.readers import HERE

KINDS = {
    "onnx": "ONNX models, imported and lowered to general convolutions",
    "ir": "IR text of every stage, parsed and verified",
    "program": "programs, sealed again after a change, parsed, listed, and loaded into their emulators",
    "listing": "listings of programs, assembled",
    "target": "descriptions of targets",
    "physics": "descriptions of crossbars and their physics",
    "space": "space files, and the points that are drawn of them",
    "mapping": "mapping files, with fused groups, put on the links of a network",
    "npz": "archives of arrays, sealed again after a change",
    "npy": "arrays",
    "weights": "files of the weight store (safetensors)",
    "stream": "encoded tensors of five formats",
}


def campaign_page(results: Sequence[Path]) -> str:
    """The page, in Markdown, of campaigns whose results are in these files."""
    count: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    findings: Counter[str] = Counter()
    seeds: list[int] = []
    guided: set[bool] = set()
    wall = 0.0
    for path in results:
        content = json.loads(path.read_text())
        seeds.append(content["seed"])
        guided.add(content["guided"])
        wall = max(wall, content["wall_seconds"])
        for row in content["readers"]:
            count[row["reader"]] += row["executions"]
            accepted[row["reader"]] += row["accepted"]
            seconds[row["reader"]] += row["seconds"]
            findings[row["reader"]] += row["findings"]
    mended = Counter(path.parent.name for path in (HERE / "mended").glob("*/*"))
    rows = [
        f"| `{name}` | {kind} | {count[name]:,} | {accepted[name]:,} | {seconds[name]:.0f} "
        f"| {count[name] / max(seconds[name], 1e-9):,.0f} | {findings[name]} | {mended[name]} |"
        for name, kind in KINDS.items()
    ]
    return f"""<!-- Made by `python -m tests.fuzz --page docs/fuzzing.md`; do not edit. -->

# Fuzzing

Files of every kind that is read, changed at random: {sum(count.values()):,} executions in
{sum(seconds.values()):,.0f} CPU seconds on a machine of two cores that did other things, too ({wall / 60:.0f} minutes);
seed {", ".join(map(str, seeds))}. CPU seconds are those of mutating and reading alone: starting processes, importing
and instrumenting Catena are not among them. {_guidance(guided)} A finding is whatever is no diagnostic of Catena's:
another exception, more than {SECONDS:g} CPU seconds, or {BYTES >> 30} GiB more memory. The last column are inputs
that were findings, of these campaigns or earlier ones, and were mended: they are tests now.

| reader | what is read | executions | accepted | CPU s | a CPU s | findings | mended |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |
{chr(10).join(rows)}

`python3 tasks.py fuzz --count 1000000` does it again. Executions are divided so that slow readers get few. Mutations of
models, programs and archives keep the outer form. An input that is refused by a new way through the code may join the
corpus, which is part of the tests.
"""


def _guidance(guided: set[bool]) -> str:
    """How it was decided what to mutate further."""
    ways = {
        True: "libFuzzer (atheris) kept and mutated further what reached new branches of Catena's code.",
        False: "What was refused by a new way through Catena's code was kept and mutated further.",
    }
    return " ".join(ways[each] for each in sorted(guided, reverse=True))
