"""What an emulator executes wrong is found by what its layer is defined to be, and the instruction named.

Most mutants are in code that both engines of an emulator share, so that none of them is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from backends.api import ObservedEmulator
from backends.container import write_program
from backends.registry import find_backend
from compiler.compilation import CompileOptions, compile_source
from compiler.execution import load_program, random_inputs
from compiler.explanation.layers import explained_layers
from compiler.localising.by_code import by_code
from compiler.localising.checking import CheckedEffects
from compiler.localising.defined import DefinedLayers
from compiler.localising.effects import blamed_effect
from compiler.verification.layers import verify_program
from tests.backends.rram.quantized import SMALL
from tests.backends.rram.quantized_network import quantized_network
from tests.compiler.localising.conftest import Made
from tests.compiler.localising.mutants import MUTANTS, SMALL_BUFFER, Mutant
from tests.compiler.small_models import save_model, small_cnn, small_norms

pytest.importorskip("onnxruntime")

_EVERY_TIME = (
    "generic",
    "systolic",
    "rram:",
    "spots: multiply",
    "nlr: a pass",
    "spots: end",
    "eyeriss: padding",
    "eyeriss, fused: activation",
    "eyeriss, fused: shorter runs",
    "eyeriss, fused: turns left out",
)


def _cases(names: Mapping[str, Mutant]) -> list[object]:
    return [
        name if name.startswith(_EVERY_TIME) else pytest.param(name, marks=pytest.mark.exhaustive) for name in names
    ]


@pytest.mark.parametrize("name", _cases(MUTANTS))
def test_the_instruction_that_an_emulator_executes_wrong_is_named(
    name: str, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant = MUTANTS[name]
    model, path = made.files(mutant)
    mutant.mutate(monkeypatch)
    program, emulator = load_program(path, mutant.engine)
    evidence = verify_program(program, emulator, model).evidence
    assert evidence is not None, "the mutant changes nothing"
    blame, remark = blamed_effect(program, emulator, evidence, find_backend(program.metadata.backend).isa())
    assert blame is not None, remark
    assert blame.layer == mutant.layer
    assert blame.text.startswith(mutant.instruction)


def test_there_are_mutants_of_every_kind_on_every_machine() -> None:
    assert len(MUTANTS) >= 20
    assert {mutant.target for mutant in MUTANTS.values()} == {"generic", "systolic", "eyeriss", "nlr", "spots", "rram"}


@pytest.mark.parametrize(
    "name",
    [
        "generic: padding",
        # `verify` takes the usual engine
        *(
            pytest.param(each, marks=pytest.mark.exhaustive)
            for each, mutant in MUTANTS.items()
            if mutant.engine is None
        ),
    ],
)
def test_verify_names_instruction_and_loops(name: str, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "the emulator" in made.blamed(MUTANTS[name], monkeypatch).reason


_SMALL_CHIP = ("rram", quantized_network, SMALL)
_RIGHT = [
    ("generic", small_cnn, {}),
    ("eyeriss", small_cnn, {}),
    ("spots", small_norms, {}),
    ("eyeriss", small_cnn, SMALL_BUFFER),
    _SMALL_CHIP,
    ("rram", quantized_network, {**SMALL, "schedule.scheme": "cyclic"}),
    ("rram", quantized_network, {**SMALL, "cores.count": "144", "schedule.duplicate": "true"}),
    ("rram", small_norms, {}),
    *((target, model, {}) for target in ("nlr", "systolic") for model in (small_cnn, quantized_network)),
    *((target, quantized_network, {}) for target in ("generic", "eyeriss", "spots")),
]


def _right() -> list[object]:
    """Cases of `_RIGHT`, fused or not, on an engine: the first five, and exhaustively all, with engines in turn."""
    usual = [(case, _RIGHT[case][2] is SMALL_BUFFER, 0) for case in range(5)]
    every = [(case, fuse, (case + fuse) % 2) for case in range(len(_RIGHT)) for fuse in (True, False)]
    return [*usual, *(pytest.param(*each, marks=pytest.mark.exhaustive) for each in every if each not in usual)]


@pytest.mark.parametrize(("case", "fuse", "engine"), _right())
def test_all_effects_of_right_emulators_are_those_of_the_definition(
    case: int, fuse: bool, engine: int, tmp_path: Path
) -> None:
    target, model, settings = _RIGHT[case]
    path = save_model(model(), tmp_path / "model.onnx")
    program = compile_source(str(path), CompileOptions(target=target, settings=settings, fuse=fuse)).program
    assert program is not None
    write_program(program, tmp_path / "right.cat")
    program, emulator = load_program(tmp_path / "right.cat", find_backend(program.metadata.backend).engines[engine])
    assert isinstance(emulator, ObservedEmulator)
    isa = find_backend(program.metadata.backend).isa()
    random = random_inputs(program, 0)
    tensors = {each.name: random[each.onnx or each.name] for each in program.tensors if each.role == "input"}
    for layer in explained_layers(program):
        group = next((each for each in program.groups if each.name == layer.entry.group), None)
        if group is not None and layer.entry.name != group.layers[-1]:
            continue
        together = [each for each in explained_layers(program) if group and each.entry.group == group.name] or [layer]
        inputs = layer.entry.inputs if group is None else group.inputs
        given = {name: tensors[name] for name in inputs if name in tensors}
        for keeps_all in (False, True):
            defined = DefinedLayers(program, together, given)
            checked = CheckedEffects(defined, by_code(program, layer.entry, defined, isa), keeps_all=keeps_all)
            emulator.observe_layer(layer.entry.name, given, checked)
            checked.end()
        tensors |= emulator.run_layer(layer.entry.name, given)


def test_a_rerun_that_would_take_long_is_not_attempted_and_said_so(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant = MUTANTS["generic: multiply"]
    model, path = made.files(mutant)
    mutant.mutate(monkeypatch)
    program, emulator = load_program(path)
    evidence = verify_program(program, emulator, model).evidence
    assert evidence is not None
    monkeypatch.setattr("compiler.localising.checking.MOST_TERMS", 100)
    blame, remark = blamed_effect(program, emulator, evidence, find_backend("generic").isa())
    assert blame is None
    assert "more than 100 terms of sums would be worked out again" in remark
