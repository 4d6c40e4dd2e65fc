"""CPU time and size of 25 million weights in every format of sparse tensors.

    python benchmarks/encodings.py [--words 25000000] [--output docs/encodings.md]

A matrix of random weights of which shares are zero, in blocks of four filters by one position, which is what SPOTS's
blocks are made for; the smallest CPU time (user and system) of three encodings and of three decodings counts. Every
stream is decoded and compared with the matrix, and as long as the closed form says.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from compiler.tables import number, table
from dialects.encodings.names import format_named

FORMATS = ("rlc", "spots<height 4>", "csr", "csc", "bitmap")
SHARES = (0.0, 0.7, 0.9)
DTYPES = ("int16", "float32")
COLUMNS = 5000
REPEAT = 3

_TEXT = """\
<!-- Made by `python benchmarks/encodings.py --output docs/encodings.md`; do not edit. -->

# Formats of sparse tensors

{words:,} random weights as a matrix of {rows} filters by {columns} positions, zero in blocks of four filters by one
position. Seconds are CPU time (user and system), the least of {repeat}. Every stream was decoded to the same matrix
and is as long as the format's closed form says. Bits per weight are those of the stream. The run-length code has levels
of 16 bits: a weight of 32 bits is two.

"""


def matrix(words: int, zeros: float, dtype: str) -> np.ndarray[Any, Any]:
    """A matrix of about as many words, of which a share is zero."""
    random, rows = np.random.default_rng(0), -(-words // COLUMNS)
    made = (random.standard_normal((rows, COLUMNS), dtype=np.float32) * 1000).astype(dtype)
    made[made == 0] = 1
    pruned = random.random((-(-rows // 4), COLUMNS)) < zeros
    made[np.repeat(pruned, 4, axis=0)[:rows]] = 0
    return made


def least(work: Callable[[], Any]) -> tuple[float, Any]:
    """The least CPU seconds of some runs, and what the last one made."""
    times: list[float] = []
    made = None
    for _ in range(REPEAT):
        start = process_time()
        made = work()
        times.append(process_time() - start)
    return min(times), made


def page(words: int) -> str:
    """All formats, types and shares of zeros."""
    rows: list[tuple[str, ...]] = []
    for dtype in DTYPES:
        for zeros in SHARES:
            weights = matrix(words, zeros, dtype)
            for name in FORMATS:
                encoding = format_named(name)
                taken, stream = least(lambda: encoding.encode(weights))  # noqa: B023
                back, found = least(lambda: encoding.decode(stream, weights.shape, weights.dtype))  # noqa: B023
                assert np.array_equal(found, weights)
                assert encoding.size(weights).bits == 8 * stream.size
                bits = 8 * stream.size / weights.size
                rows.append((dtype, f"{zeros:.0%}", name, f"{bits:.2f}", f"{taken:.2f}", f"{back:.2f}"))
    titles = ("bits per weight", "encoding (s)", "decoding (s)")
    text = _TEXT.format(words=words, rows=-(-words // COLUMNS), columns=COLUMNS, repeat=REPEAT)
    return text + table(["type", "zeros", "format", *map(number, titles)], rows).markdown() + "\n"


def main() -> None:
    """Measure and print or write the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", 1)[0])
    parser.add_argument("--words", type=int, default=25_000_000, help="weights, in whole rows")
    parser.add_argument("--output", type=Path, help="write the page here instead of printing it")
    arguments = parser.parse_args()
    text = page(arguments.words)
    if arguments.output:
        arguments.output.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
