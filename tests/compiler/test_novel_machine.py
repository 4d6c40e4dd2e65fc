"""A machine that nobody described before, and ways to get its description wrong: each is said with all that helps.

That is a code, file and line, what was expected and found, and what to do; everything at once, and nothing is written.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from compiler import compile as compile_file
from compiler.targets import select_target
from dialects.diagnostics import CatenaError, Diagnostic
from tests.onnx_models import onnx_model, onnx_node

BASE = """\
# Delay lines around a stack of vaults: kernels come from a mirror ROM, sums stay with the detectors.
clock_mhz = 850
word_bits = 8
picojoules = 0.02

[levels.stack]
kind = "memory"
read = 6.5
write = 3

[levels.vault]
kind = "axis"
size = 4
loops = ["op", "g"]

[levels.mirror]
kind = "memory"
word_bits = 32
words = 4096
operands = ["K"]
read = 2

[levels.loop]
kind = "memory"
words = 6000
bank = 1500
operands = ["I", "O"]
bypass = ["O"]
rooms = { I = 3000 }
buffers = 2
slides = true

[levels.wave]
kind = "axis"
size = 12
multicast = ["I", "K"]
reduces = true

[levels.detector]
kind = "memory"
words = 24
operands = ["O"]
stays = false

[accesses.stack]
energy = 310

[accesses.stack.events]
"stack.input.read" = 1
"stack.kernel.read" = 1
"stack.output.update" = 1

[accesses.light]
energy = 0.75

[accesses.light.events]
"loop.input.read" = 1
"mirror.kernel.read" = 4
"loop.output.hop" = 0
"""
CHIP = """\
extends = "base.toml"
name = "delay-lines"
summary = "wavelengths in parallel"

[levels.wave]
size = 16

[limits]
post_steps = 2

[dataflow]
even = ["rows_out"]
nest = '''
for groups 1, for images 1, for filters f*2, par filters f on vault, store mirror [K],
for rows_out r, store loop [I] |
par channels 1 on wave, store detector [O]
'''
"""
LIGHT = """\
[accesses.light]
energy = 0.75

[accesses.light.events]
"""

IN_BASE = {
    "a unit": ("clock_mhz = 850", "clock_mhz = 850 MHz", 2),
    "a number as text": ("clock_mhz = 850", 'clock_mhz = "850"', 2),
    "no word": ("word_bits = 8", "word_bits = 0", 3),
    "half a word": ("word_bits = 8", "word_bits = 8.5", 3),
    "an axis outside": ("[levels.stack]", "[levels.base]\nkind = \"axis\"\nsize = 2\n[levels.stack]", 6),
    "an end outside": ("read = 6.5", "read = 6.5\nwords = 100", 9),
    "banks outside": ("read = 6.5", "read = 6.5\nbank = 100", 9),
    "two buffers outside": ("read = 6.5", "read = 6.5\nbuffers = 2", 9),
    "no speed": ("read = 6.5", "read = 0", 8),
    "a negative size": ("size = 4", "size = -4", 13),
    "an unknown loop": ('["op", "g"]', '["op", "gs"]', 14),
    "sums of no loop": ('loops = ["op", "g"]', 'loops = ["op", "g"]\nreduces = true', 15),
    "no kind": ('[levels.mirror]\nkind = "memory"', "[levels.mirror]", 16),
    "another kind": ('[levels.mirror]\nkind = "memory"', '[levels.mirror]\nkind = "rom"', 17),
    "a width that divides nothing": ("word_bits = 32", "word_bits = 12", 18),
    "part of an element": ("words = 6000\nbank = 1500", "word_bits = 2\nwords = 6001", 26),
    "a weight": ('operands = ["K"]', 'operands = ["W"]', 20),
    "too many banks": ("bank = 1500", "bank = 1400", 26),
    "banks of nothing": ("words = 6000\n", "", 25),
    "a room too large": ("{ I = 3000 }", "{ I = 7000 }", 29),
    "a room too small": ("{ I = 3000 }", "{ I = 1 }", 29),
    "room for who is not there": ("{ I = 3000 }", "{ K = 30 }", 29),
    "three buffers": ("buffers = 2", "buffers = 3", 30),
    "who slides": ("slides = true", 'slides = "I"', 31),
    "outputs to several": ('multicast = ["I", "K"]', 'multicast = ["O"]', 36),
    "twice the same": ('multicast = ["I", "K"]', 'multicast = ["K", "K"]', 36),
    "a key of a memory": ("reduces = true", "reduces = true\nwords = 3", 38),
    "a misspelt key": ("stays = false", "stay = false", 43),
    "a capital": ("stays = false", "Stays = false", 43),
    "a level twice": ("[levels.detector]", "[levels.loop]", 39),
    "energy as text": ("energy = 310", 'energy = "310 pJ"', 46),
    "energy of less": ("energy = 310", "energy = -310", 46),
    "an event of no memory": ('"stack.input.read"', '"stock.input.read"', 49),
    "an event of no operand": ('"mirror.kernel.read" = 4', '"mirror.input.read" = 4', 58),
    "sums that never hop": ('"loop.output.hop" = 0', '"detector.output.hop" = 1', 59),
    "words from nowhere": ('"stack.kernel.read"', '"stack.kernel.fill"', 50),
    "a host that is not there": ('"loop.output.hop" = 0', '"host.read" = 1', 59),
    "an event without quotes": ('"loop.output.hop" = 0', "loop.output.hop = 0", 59),
    "quotes that stay open": ('"mirror.kernel.read" = 4', '"mirror.kernel.read = 4', 58),
    "a table named like a report's": (LIGHT, LIGHT.replace("light", "static"), 53),
}  # fmt: skip
"""What is replaced by what in the description that is extended, and the line that is to blame."""
IN_CHIP = {
    "a file that is not there": ('"base.toml"', '"bass.toml"', 1),
    "a name with a space": ("delay-lines", "delay lines", 2),
    "the name of another backend": ("delay-lines", "eyeriss", 2),
    "a level of another kind": ("size = 16", 'kind = "memory"', 6),
    "no size": ("size = 16", "size = true", 6),
    "an unknown limit": ("post_steps = 2", "poststeps = 2", 9),
    "more than there can be": ("post_steps = 2", "post_operands = 13", 9),
    "an unknown part": ('["rows_out"]', '["row_out"]', 12),
    "a tile of nothing": ("for filters f*2", "for filters f*0", 14),
    "a tile of the layer's size": ("for rows_out r", "for rows_out slide", 15),
    "an axis that takes no such loop": ("par filters f on vault", "par rows_out 1 on vault", 14),
    "who may not stay": ("store loop [I]", "store loop [K]", 15),
    "a memory outside again": ("store detector [O]", "store loop [O]", 16),
    "no statement": ("for images 1, ", "for images 1; ", 14),
    "what the nest keeps from passing": ("store detector [O]", "store detector [I]", 16),
    "a reserve below nothing": ("[limits]", '[levels.detector]\nreserve = "0 - 3"\n[limits]', 9),
    "a reserve of all": ("[limits]", '[levels.detector]\nreserve = "24"\n[limits]', 9),
    "a reserve of no parameter": ("[limits]", '[levels.detector]\nreserve = "zz"\n[limits]', 9),
    "a weight of what never happens": ("[dataflow]", '[dataflow]\nweigh = { "detector.output.hop" = 2 }', 12),
    "three bars": ("[I] |", "[I] | |", 15),
}  # fmt: skip
"""As `IN_BASE`, in the description that extends it."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with both descriptions and a model."""
    (tmp_path / "base.toml").write_text(BASE)
    (tmp_path / "chip.toml").write_text(CHIP)
    words = np.ones((4, 3, 3, 3), np.float32)
    model = onnx_model([onnx_node("Conv", "x w", "y", name="conv")], {"x": (1, 3, 5, 5)}, "y", {"w": words})
    onnx.save(model, str(tmp_path / "m.onnx"))
    return tmp_path


def refused(folder: Path) -> tuple[Diagnostic, ...]:
    """Why the machine cannot be compiled for; nothing is written."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(CatenaError) as caught:
        compile_file(str(folder / "m.onnx"), target=str(folder / "chip.toml"), output=str(folder / "m.cat"))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    return caught.value.diagnostics


def check_said(problem: Diagnostic, file: Path, line: int) -> None:
    """All that helps is said."""
    assert problem.code in ("CAT-C001", "CAT-C002", "CAT-C003")
    assert problem.where == f"{file}, line {line}", problem
    assert problem.message
    assert problem.expected, problem
    assert problem.found, problem
    assert problem.hint, problem


def test_the_machine_compiles(folder: Path) -> None:
    compile_file(str(folder / "m.onnx"), target=str(folder / "chip.toml"), output=str(folder / "m.cat"))
    assert (folder / "m.cat").stat().st_size
    assert select_target(str(folder / "chip.toml")).machine.name == "delay-lines"


@pytest.mark.parametrize("why", IN_BASE)
def test_what_is_wrong_in_what_is_extended(why: str, folder: Path) -> None:
    old, new, line = IN_BASE[why]
    assert old in BASE
    (folder / "base.toml").write_text(BASE.replace(old, new, 1))
    (problem,) = refused(folder)
    check_said(problem, folder / "base.toml", line)


@pytest.mark.parametrize("why", IN_CHIP)
def test_what_is_wrong_in_what_extends(why: str, folder: Path) -> None:
    old, new, line = IN_CHIP[why]
    assert old in CHIP
    (folder / "chip.toml").write_text(CHIP.replace(old, new, 1))
    (problem,) = refused(folder)
    check_said(problem, folder / "chip.toml", line)


def test_all_that_is_wrong_is_said_at_once(folder: Path) -> None:
    """Keys first; once they can be read, what they say of each other."""
    keys = ("a number as text", "no word", "a negative size", "an unknown loop", "a weight", "a misspelt key")
    others = ("two buffers outside", "sums of no loop", "a room too small", "sums that never hop", "words from nowhere")
    for some in (keys, others):
        text = BASE
        for why in some:
            text = text.replace(*IN_BASE[why][:2], 1)
        (folder / "base.toml").write_text(text)
        found = refused(folder)
        assert len(found) == len(some)
        for each in found:
            check_said(each, folder / "base.toml", int(each.where.rpartition(" ")[2]))
