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


def problems(text: str, folder: Path) -> tuple[Diagnostic, ...]:
    path = folder / "chip.toml"
    path.write_text(text)
    words = np.ones((4, 3, 3, 3), np.float32)
    model = onnx_model([onnx_node("Conv", "x w", "y", name="conv")], {"x": (1, 3, 5, 5)}, "y", {"w": words})
    with pytest.raises(CatenaError) as caught:
        compile_model(model, select_target(str(path)))
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
