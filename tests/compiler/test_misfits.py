"""Machines that are too small for a layer: the message names the file, the level, and what it would need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from compiler.compilation import compile_model
from compiler.targets import select_target
from dialects.diagnostics import CatenaError, Diagnostic
from tests.onnx_models import onnx_model, onnx_node

MACHINE = """\
name = "chip"
clock_mhz = 100
word_bits = 16
[levels.dram]
kind = "memory"
[levels.glb]
kind = "memory"
words = 5
buffers = 2
[levels.pe]
kind = "axis"
size = 2
multicast = ["I"]
[levels.rf]
kind = "memory"
words = 24
bank = 8
bypass = ["K"]
rooms = { O = 2 }
buffers = 2
"""


def compile_with(text: str, folder: Path) -> None:
    path = folder / "chip.toml"
    path.write_text(text)
    words = np.ones((4, 3, 3, 3), np.float32)
    model = onnx_model([onnx_node("Conv", "x w", "y", name="conv")], {"x": (1, 3, 5, 5)}, "y", {"w": words})
    compile_model(model, select_target(str(path)))


def problems(text: str, folder: Path) -> tuple[Diagnostic, ...]:
    with pytest.raises(CatenaError) as caught:
        compile_with(text, folder)
    return caught.value.diagnostics


def test_every_memory_that_is_too_small_is_named(tmp_path: Path) -> None:
    found = problems(MACHINE.replace('words = 24\nbank = 8\nbypass = ["K"]', "words = 32\nbank = 16"), tmp_path)
    assert {(each.code, each.node) for each in found} == {("CAT-F001", "conv")}
    chip = tmp_path / "chip.toml"
    assert [(each.where, each.message.partition(":")[0], each.expected, each.found) for each in found] == [
        (f"{chip}, line 8", "levels.glb.words", "at least 6 words (I 2, K 2, O 2)", "5"),
        (f"{chip}, line 16", "levels.rf.words", "at least 48 words (I 2, K 2, O 2, in whole banks of 16)", "32"),
    ]


def test_what_the_nest_of_a_dataflow_needs_at_least_is_said(tmp_path: Path) -> None:
    nest = "for filters m, store glb [I, K, O], for channels 1, par rows_kernel 1 on pe, store rf [K], "
    nest += "for rows_out 2, store rf [O]"
    text = MACHINE.replace("words = 24", 'words = 24\nreserve = "rows_kernel * 7"')
    found = problems(f'{text}[dataflow]\nnest = "{nest}"\n', tmp_path)
    chip = tmp_path / "chip.toml"
    assert [(each.where, each.message.partition(":")[0], each.found) for each in found] == [
        (f"{chip}, line 12", "levels.pe.size", "2"),
        (f"{chip}, line 8", "levels.glb.words", "5"),
        (f"{chip}, line 20", "levels.rf.rooms", "2"),
        (f"{chip}, line 16", "levels.rf.words", "24"),
    ]
    assert found[0].expected == "at least 3 positions"
    assert found[3].expected.endswith("in whole banks of 8, and 21 reserved)")


LAID = "store glb [I], for rows_out r, par filters p on pe, for channels 1, store rf [K] | store rf [O]"


def laid(words: int, more: str = "", even: str = "") -> str:
    """A machine whose axis of 2 positions takes all filters at a time, so that elements hold half of them."""
    text = MACHINE.replace("words = 5\nbuffers = 2", "words = 99").partition("[levels.rf]")[0]
    return f'{text}[levels.rf]\nkind = "memory"\nwords = {words}\n{more}\n[dataflow]\n{even}\nnest = "{LAID}"\n'


def test_a_level_that_is_too_small_beside_others_is_named(tmp_path: Path) -> None:
    """Two of 4 filters have 18 words of a channel, and 6 results of a row; one, for which there is room, 9 and 3."""
    (problem,) = problems(laid(23), tmp_path)
    chip = tmp_path / "chip.toml"
    assert (problem.code, problem.node, problem.where) == ("CAT-F001", "conv", f"{chip}, line 15")
    assert problem.message.startswith("levels.rf.words: no mapping of this link fits")
    assert (problem.expected, problem.found) == ("at least 24 words, the rest being as it is", "23")
    assert problem.hint
    compile_with(laid(24), tmp_path)


@pytest.mark.parametrize(
    ("bits", "words", "least"),
    [(80, 4, 5), (48, 7, 8), (8, 46, 48)],
    ids=["five elements a word, one of which is not needed", "three elements a word", "two words an element"],
)
def test_sizes_are_in_words_of_the_memory(bits: int, words: int, least: int, tmp_path: Path) -> None:
    """24 elements are needed: what the message asks for is what the file may say, and is enough."""
    (problem,) = problems(laid(words, f"word_bits = {bits}"), tmp_path)
    assert problem.expected == f"at least {least} words of {bits} bits, the rest being as it is"
    assert problem.found == str(words)
    compile_with(laid(least, f"word_bits = {bits}"), tmp_path)


def test_sizes_that_are_too_small_together_are_in_words_of_the_memory(tmp_path: Path) -> None:
    """A reserve leaves 18 + 6 elements of 25, in whole banks of 4 elements."""
    more = 'word_bits = 32\nbank = 2\nreserve = "1"\nrooms = { K = %d }'
    found = problems(laid(12, more % 8), tmp_path)
    assert [(each.message.partition(":")[0], each.expected, each.found) for each in found] == [
        ("levels.rf.words", "at least 16 words of 32 bits with levels.rf.rooms as large as said there", "12"),
        ("levels.rf.rooms", "at least 9 words of 32 bits for K with levels.rf.words as large as said there", "8"),
    ]
    compile_with(laid(16, more % 9), tmp_path)


@pytest.mark.parametrize(("bits", "words", "least"), [(32, 1, 2), (8, 4, 6)])
def test_what_a_memory_must_hold_is_in_its_words(bits: int, words: int, least: int, tmp_path: Path) -> None:
    """An element of each operand, of 16 bits."""
    text = MACHINE.partition("[levels.pe]")[0].replace("buffers = 2", f"word_bits = {bits}")
    (problem,) = problems(text.replace("words = 5", f"words = {words}"), tmp_path)
    assert problem.expected == f"at least {least} words of {bits} bits (for elements I 1, K 1, O 1)"
    assert problem.found == str(words)
    compile_with(text.replace("words = 5", f"words = {least}"), tmp_path)


def test_rooms_are_in_words_of_the_memory(tmp_path: Path) -> None:
    """Three rows of three results, four elements a word."""
    text = MACHINE.replace("rooms = { O = 2 }", "word_bits = 64\nrooms = { O = 1 }").replace("buffers = 2", "")
    nest = "for filters m, store glb [I, K, O], par rows_kernel 1 on pe, for rows_out 5, store rf [O], for channels 1"
    flow = f'[dataflow]\nnest = "{nest}"\n'
    found = problems(text.replace("size = 2", "size = 3") + flow, tmp_path)
    rooms = [each for each in found if each.message.startswith("levels.rf.rooms")]
    assert [(each.expected, each.found) for each in rooms] == [("at least 3 words of 64 bits", "1")]


def test_levels_that_are_too_small_together_are_named_with_what_they_need(tmp_path: Path) -> None:
    found = problems(laid(23, "rooms = { K = 17 }"), tmp_path)
    assert [(each.message.partition(":")[0], each.expected, each.found) for each in found] == [
        ("levels.rf.words", "at least 24 words with levels.rf.rooms as large as said there", "23"),
        ("levels.rf.rooms", "at least 18 words for K with levels.rf.words as large as said there", "17"),
    ]
    compile_with(laid(24, "rooms = { K = 18 }"), tmp_path)


def test_a_reserve_that_is_less_than_nothing_beside_others_is_named(tmp_path: Path) -> None:
    (problem,) = problems(laid(500, 'reserve = "8 - 5*p"'), tmp_path)
    assert problem.where == f"{tmp_path / 'chip.toml'}, line 16"
    assert problem.message.startswith("levels.rf.reserve: no mapping of this link fits")


def test_tiles_that_are_not_equal_are_named(tmp_path: Path) -> None:
    text = laid(500, even='even = ["rows_out"]').replace("for rows_out r", "par rows_out 2 on pe")
    (problem,) = problems(text.replace("size = 2", "size = 6"), tmp_path)
    assert problem.where == f"{tmp_path / 'chip.toml'}, line 18"
    assert problem.message.startswith("dataflow.even: no mapping")
