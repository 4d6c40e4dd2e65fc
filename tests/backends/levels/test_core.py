"""What the core of a machine with instructions of its own refuses, in programs whose instructions are changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backends.isa import Instruction
from backends.program import Program, target_digest
from backends.spatial.codes import Kind, Tensor
from compiler.backend_kit.models import ModelBuilder, SmallModel
from compiler.backend_kit.operators import FLOAT, OPERATORS, SHAPES
from compiler.compilation import compile_model
from compiler.targets import Target, select_target
from dialects.diagnostics import CatenaError
from tests.lanes import lanes_target

Change = Callable[[Instruction], list[Instruction]]


@pytest.fixture(scope="module")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with lanes_target(tmp_path_factory.mktemp("lanes")) as target:
        yield target


@pytest.fixture(scope="module")
def small() -> SmallModel:
    builder = ModelBuilder("convolution", 1)
    return builder.finished(OPERATORS["Conv"][0](builder, FLOAT, SHAPES[0]))


@pytest.fixture(scope="module")
def program(lanes: Target, small: SmallModel) -> Program:
    made = compile_model(small.model, lanes).program
    assert made is not None
    return made


def run(lanes: Target, program: Program, small: SmallModel, change: Change | None = None) -> dict[str, Any]:
    """The outputs of a program whose instructions are changed."""
    isa = lanes.backend.isa()
    if change is not None:
        code = [new for old in isa.decode(program.code[0]) for new in change(old)]
        entry = replace(program.debug[0], end=len(code) - 1)
        program = replace(program, code=(isa.encode(code),), debug=(entry,))
    return dict(lanes.backend.load(program, None).run(small.inputs))


def fields(mnemonic: str, **values: Any) -> Change:
    """Give fields of some instructions other values."""

    def change(each: Instruction) -> list[Instruction]:
        return [replace(each, **values)] if type(each).__name__.lower() == mnemonic else [each]  # type: ignore[type-var]

    return change


def without(mnemonic: str) -> Change:
    return lambda each: [] if type(each).__name__.lower() == mnemonic else [each]


def twice(mnemonic: str) -> Change:
    return lambda each: [each, each] if type(each).__name__.lower() == mnemonic else [each]


def of_tensor(change: Change, number: int) -> Change:
    """A change of instructions for one tensor alone."""
    return lambda each: change(each) if getattr(each, "tensor", None) == number else [each]


def test_the_program_as_it_is_runs(lanes: Target, program: Program, small: SmallModel) -> None:
    (output,) = run(lanes, program, small).values()
    assert output.shape == (1, 4, 6, 6)
    assert np.abs(output).max() > 0


def test_along_which_loop_lanes_lie_changes_no_result(lanes: Target, program: Program, small: SmallModel) -> None:
    changed = run(lanes, program, small, fields("lanes", kind=Kind.KS))
    for name, array in run(lanes, program, small).items():
        assert np.array_equal(array, changed[name])


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (of_tensor(fields("place", address=4090), 0), "CAT-E001", "outside of pad"),
        (fields("place", address=0), "CAT-E003", "share words of pad"),
        (of_tensor(fields("place", words=1), 0), "CAT-E001", "overruns its place"),
        (of_tensor(without("place"), 2), "CAT-E003", "OUTPUT has no place on chip"),
        (of_tensor(without("bring"), 0), "CAT-E002", "INPUT is wanted from pad, where nothing has brought it"),
        (of_tensor(fields("bring", tensor=Tensor.OUTPUT), 0), "CAT-E003", "OUTPUT is not brought on chip"),
        (without("work"), "CAT-E002", "OUTPUT is wanted from pad"),
        (fields("lanes", dim=9), "CAT-E003", "dimension 9"),
        (without("end"), "CAT-E003", "sums leave the chip unfinished"),
        (twice("end"), "CAT-E003", "an end without a loop"),
        (fields("bring", once=9), "CAT-E003", "for more loops than there are"),
        (fields("send", once=9), "CAT-E003", "for more loops than there are"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_cannot_be_is_a_fault(
    lanes: Target, program: Program, small: SmallModel, change: Change, code: str, says: str
) -> None:
    with pytest.raises(CatenaError) as error:
        run(lanes, program, small, change)
    assert error.value.diagnostics[0].code == code
    assert says in str(error.value)
    assert "Conv_0" in str(error.value) or "instruction" in str(error.value)


def test_more_lanes_than_there_are_is_a_fault(lanes: Target, program: Program, small: SmallModel) -> None:
    description = {**program.metadata.description}
    levels = description["levels"]
    fewer = [{**each, "size": 2} if each["name"] == "lane" else each for each in levels]
    changed = {**description, "levels": fewer}
    metadata = replace(program.metadata, description=changed, target_sha256=target_digest(changed))
    with pytest.raises(CatenaError, match="more positions than axis lane has"):
        run(lanes, replace(program, metadata=metadata), small)


def test_sums_that_are_not_finished_wait_where_there_is_room(lanes: Target) -> None:
    builder = ModelBuilder("convolution", 1)
    small = builder.finished(OPERATORS["Conv, 3-D"][0](builder, FLOAT, SHAPES[0]))
    program = compile_model(small.model, lanes).program
    assert program is not None
    (output,) = run(lanes, program, small).values()
    assert np.abs(output).max() > 0
    with pytest.raises(CatenaError, match="have no place to wait"):
        run(lanes, program, small, lambda each: [] if getattr(each, "outside", False) else [each])


def test_a_machine_that_slides_is_refused(lanes: Target) -> None:
    sliding = select_target(str(lanes.backend.description()), {"levels.pad.slides": "true"})
    with pytest.raises(CatenaError, match="brings whole tiles"):
        lanes.backend.check(sliding.machine)


def test_a_machine_of_other_levels_is_refused(lanes: Target) -> None:
    with pytest.raises(CatenaError, match="one memory on chip, outside of all axes"):
        lanes.backend.check(select_target("generic").machine)
