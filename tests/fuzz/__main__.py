"""Fuzz everything that reads files.

    python -m tests.fuzz [--count 100000] [--seed 0] [--reader NAME]... [--jobs 1] [--out out/fuzz] [--minutes M]
                         [--unguided] [--page FILE]

`--count` executions are divided among the readers by how fast they are. Prints a row for each reader and writes
findings, minimised, to the folder, with what happened; inputs that were refused in a new way go there, too, for
`tests/fuzz/corpus`. If atheris is installed (extra `fuzz`), mutations are guided by the branches that inputs reach,
unless `--unguided`. `--page` writes what all campaigns did whose results are in the folder. Ends with 1 if anything was
found.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.campaign import Finding, Result, run_apart, run_in_process
from tests.fuzz.guided import is_installed, run_guided
from tests.fuzz.minimising import minimised
from tests.fuzz.page import campaign_page
from tests.fuzz.readers import READERS

SHARES = {
    "stream": 490, "weights": 200, "npy": 110, "physics": 80, "npz": 60, "program": 15, "onnx": 12, "mapping": 10,
    "target": 8, "ir": 3, "listing": 2, "space": 10,
}  # fmt: skip
"""Thousandths of all executions; a reader that takes a hundred times as long gets about a hundredth of them."""


def main() -> int:
    """Run the campaigns; 1 if there are findings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", action="append", choices=sorted(READERS), default=[])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"))
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--unguided", action="store_true")
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    names = given.reader or sorted(READERS, key=lambda name: -SHARES[name])
    whole = sum(SHARES[name] for name in names)
    counts = {name: -(-given.count * SHARES[name] // whole) for name in names}
    until = None if given.minutes is None else time.monotonic() + 60 * given.minutes
    start = time.monotonic()
    part = run_guided if is_installed() and not given.unguided else run_in_process
    print("guided by branches reached" if part is run_guided else "guided by ways of refusal", flush=True)

    def campaign(name: str) -> Result:
        result = run_apart(name, counts[name], given.seed, until, part)
        _save(result, given.out)
        rate = result.executions / max(result.seconds, 1e-9)
        print(
            f"{name:9} {result.executions:9,} executions {result.accepted:9,} accepted {result.ways:5,} ways of refusal"
            f" {result.seconds:8.1f} CPU s {rate:9,.0f} a CPU s {len(result.findings):3} findings",
            flush=True,
        )
        return result

    with ThreadPoolExecutor(given.jobs) as pool:
        results = list(pool.map(campaign, names))
    executions, seconds = sum(each.executions for each in results), sum(each.seconds for each in results)
    found = sum(len(each.findings) for each in results)
    wall = time.monotonic() - start
    print(
        f"in all    {executions:9,} executions in {seconds:.0f} CPU s, {wall:.0f} s of wall time, "
        f"seed {given.seed}: {found} findings"
    )
    rows = [
        {
            "reader": each.reader,
            "executions": each.executions,
            "accepted": each.accepted,
            "seconds": round(each.seconds, 1),
            "findings": len(each.findings),
        }
        for each in results
    ]
    given.out.mkdir(parents=True, exist_ok=True)
    content = {
        "seed": given.seed,
        "jobs": given.jobs,
        "guided": part is run_guided,
        "wall_seconds": round(wall),
        "readers": rows,
    }
    (given.out / f"seed-{given.seed}.json").write_text(json.dumps(content, indent=1) + "\n")
    if given.page is not None:
        given.page.write_text(campaign_page(sorted(given.out.glob("seed-*.json"))), encoding="utf-8")
    return 1 if found else 0


def _save(result: Result, out: Path) -> None:
    for finding in map(minimised, result.findings):
        folder = out / "findings" / finding.reader
        folder.mkdir(parents=True, exist_ok=True)
        name = _digest(finding)
        (folder / name).write_bytes(finding.data)
        (folder / f"{name}.txt").write_text(f"{finding.kind} at {finding.place}\n{finding.text}")
    folder = out / "kept" / result.reader
    folder.mkdir(parents=True, exist_ok=True)
    for data in result.kept:
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def _digest(finding: Finding) -> str:
    return hashlib.sha256(f"{finding.key}".encode()).hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main())
