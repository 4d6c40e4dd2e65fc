"""Whichever instruction an emulator executes otherwise than its code says, `verify` names that one, and its layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx
import pytest

from backends.program import Program
from backends.registry import find_backend
from backends.spatial.isa import End
from compiler.execution import load_program
from compiler.localising.blame import Blame
from compiler.verification.programs import verify_source
from tests.backends.rram.quantized import SMALL
from tests.backends.rram.quantized_network import quantized_network
from tests.compiler.localising.conftest import Made
from tests.compiler.localising.mutants import SMALL_BUFFER, Mutant, deep
from tests.compiler.localising.otherwise import Otherwise, all_otherwise
from tests.compiler.small_models import small_cnn

pytest.importorskip("onnxruntime")

Model = Callable[[], onnx.ModelProto]
_MACHINES: dict[str, tuple[str, Model, Mapping[str, str], bool, int]] = {
    "generic": ("generic", small_cnn, {}, False, 21),
    "eyeriss": ("eyeriss", small_cnn, {}, False, 40),
    "spots": ("spots", small_cnn, {}, False, 30),
    "rram": ("rram", quantized_network, SMALL, False, 61),
    "rram, vectors": ("rram", small_cnn, {}, False, 40),
    "eyeriss, fused": ("eyeriss", small_cnn, SMALL_BUFFER, True, 49),
    "generic, fused": ("generic", small_cnn, {}, True, 50),
    "spots, fused": ("spots", small_cnn, {}, True, 50),
    "systolic": ("systolic", quantized_network, {}, False, 50),
    "nlr": ("nlr", deep, {}, False, 50),
}
"""Target, model, settings, whether layers are fused, and of how many mutants one is tried every time."""
_EXHAUSTIVELY = 5
"""Of how many mutants one is tried in the exhaustive run."""
_NOT_ALWAYS = ("rram, vectors", "generic, fused", "spots, fused", "systolic", "nlr")


def _cases() -> list[object]:
    usual = [pytest.param(name, False) for name in _MACHINES if name not in _NOT_ALWAYS]
    return [*usual, *(pytest.param(name, True, marks=pytest.mark.exhaustive) for name in _MACHINES)]


def _is_named(each: Otherwise, blame: Blame, program: Program) -> bool:
    """Whether it is blamed; where an end is left out the next one ends its loop, so that an outer loop has none."""
    if (blame.core, blame.address) == (each.core, each.address):
        return True
    code = list(find_backend(program.metadata.backend).isa().decode(program.code[each.core]))
    is_end = each.other is None and isinstance(each.right, End)
    return is_end and blame.core == each.core and isinstance(code[blame.address], End) and blame.address > each.address


@pytest.mark.parametrize(("name", "is_exhaustive"), _cases())
def test_the_instruction_that_is_executed_otherwise_is_named(
    name: str, is_exhaustive: bool, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, maker, settings, fuse, every = _MACHINES[name]
    mutant = Mutant(target, "", "", lambda patch: None, model=maker, settings=settings, fuse=fuse)
    model, path = made.files(mutant)
    program, _ = load_program(path)
    found, missed = 0, list[str]()
    for each in list(all_otherwise(program))[:: _EXHAUSTIVELY if is_exhaustive else every]:
        with monkeypatch.context() as patch:
            each.mutate(program, patch)
            verified = verify_source(str(path), model)
        if verified.is_equal:
            continue
        found += 1
        location = verified.location
        blame = None if location is None else location.blame
        if location is None or blame is None or not _is_named(each, blame, program):
            missed.append(f"{each}:\n" + "\n".join(location.lines() if location else ["nothing"]))
        elif location.layer != each.layer:
            missed.append(f"{each}: layer {location.layer!r}")
    assert not missed, "\n".join(missed)
    assert found
