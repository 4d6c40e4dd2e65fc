"""The off-chip memory of a loaded program: constants, and a region of writable words for every element type."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from backends.program import Program, Role
from backends.segments import is_segment_image
from backends.spatial.memory import MemoryBank, Segment, require_room
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.dtypes import dtype_named

MEMORY = "dram"


@dataclass(frozen=True)
class Region:
    """The words from `start` up to but without `end`, all of one type, that hold tensors."""

    start: int
    end: int
    word: str


def tensor_regions(program: Program) -> list[Region]:
    """One region for the tensors of each type of word, constants left out, by address."""
    spans: dict[str, tuple[int, int]] = {}
    for tensor in program.tensors:
        if tensor.memory == MEMORY and tensor.role is not Role.CONSTANT and tensor.words:
            start, end = spans.get(tensor.word_type, (tensor.address, tensor.address))
            spans[tensor.word_type] = min(start, tensor.address), max(end, tensor.address + tensor.words)
    return sorted((Region(*span, word) for word, span in spans.items()), key=lambda region: region.start)


def dram_of(program: Program, words: int) -> MemoryBank:
    """The memory, of at most `words` words, before a program starts: constants are there, all else is unwritten.

    Raises `CatenaError`: CAT-P001 for constants of another memory and for words that would be of two types, CAT-F003
    if the program needs more words than the machine has, CAT-C007 if more than the emulator has.
    """
    held = [image for image in program.constants if not is_segment_image(image)]
    foreign = [image.memory for image in held if image.memory != MEMORY]
    if foreign:
        raise CatenaError(Diagnostic("CAT-P001", "constants are not of this machine", found=", ".join(foreign)))
    regions = tensor_regions(program)
    images = [Region(image.base, image.base + image.size, image.word) for image in held]
    kept = sorted((*images, *regions), key=lambda region: region.start)
    for before, after in pairwise(kept):
        if after.start < before.end:
            raise CatenaError(
                Diagnostic(
                    "CAT-P001",
                    "words of two types, or tensors and constants, overlap in DRAM",
                    expected=f"words of {after.word} from {before.end}",
                    found=f"from {after.start}",
                )
            )
    last = max((region.end for region in kept), default=0)
    if last > words:
        raise CatenaError(
            Diagnostic(
                "CAT-F003",
                "the program needs more off-chip memory than the machine has",
                expected=f"{words} words",
                found=f"{last} words",
            )
        )
    largest = max(program.tensors, key=lambda tensor: tensor.words, default=None)
    claimed = sum(region.end - region.start for region in regions)
    require_room("off-chip memory", claimed, "" if largest is None else largest.produced_by or largest.name)
    segments = [Segment(image.array(), image.base, None) for image in held]
    for region in regions:
        size = region.end - region.start
        segments.append(Segment(np.zeros(size, dtype_named(region.word)), region.start, np.zeros(size, np.bool_)))
    return MemoryBank("DRAM", words, segments)
