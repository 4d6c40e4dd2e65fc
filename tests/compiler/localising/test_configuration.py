"""What an emulator configures wrong is blamed on the instruction that configures it, not on one that shows it first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from backends.spatial.blocks import BlockEngine
from backends.spatial.codes import Slot, Tensor
from backends.spatial.core import LayerSequencer
from backends.spatial.groups import GroupSequencer
from backends.spatial.layer import scalar_step
from compiler.verification.programs import verify_source
from tests.compiler.localising.conftest import Made
from tests.compiler.localising.faults import CONV, DENSE
from tests.compiler.localising.mutants import SMALL_BUFFER, Mutant, Patch

pytest.importorskip("onnxruntime")


def changed(name: str, change: Callable[..., tuple[Any, ...] | None]) -> Callable[[Patch], None]:
    """An operation of the first layer is done with other arguments, or not at all."""

    def mutate(patch: Patch) -> None:
        right = getattr(LayerSequencer, name)

        def wrong(self: Any, *given: Any) -> None:
            others = given if self.layer.index else change(*given)
            if others is not None:
                right(self, *others)

        patch.setattr(LayerSequencer, name, wrong)

    return mutate


def unpadded(dim: int, stride: int, dilation: int, pad: int, up: int, extent: int) -> tuple[int, ...]:
    return dim, stride, dilation, 0, up, extent


def without_relu(slot: Any, code: int, *others: Any) -> tuple[Any, ...] | None:
    return None if code == 40 else (slot, code, *others)


def further(tensor: Tensor, address: int, word: Any) -> tuple[Any, ...]:
    return tensor, address + (tensor is Tensor.EXTRA0), word


def twice(tensor: Tensor, dim: int, stride: int) -> tuple[Any, ...]:
    return tensor, dim, stride * (2 if tensor is Tensor.EXTRA0 else 1)


def other_padding(patch: Patch) -> None:
    """Padding of all layers is 2."""
    right = LayerSequencer.begin_layer
    patch.setattr(
        LayerSequencer, "begin_layer", lambda self, index, main, fold, _, acc: right(self, index, main, fold, 2.0, acc)
    )


_WRONG = {
    "window": changed("set_window", unpadded),
    "function slot=post, code=40": changed("add_function", without_relu),
    "base tensor=extra0": changed("set_tensor", further),
    "stride tensor=extra0": changed("set_stride", twice),
    "layer index=0": other_padding,
}
_TARGETS = [(target, fuse) for target in ("generic", "systolic", "eyeriss", "spots", "rram") for fuse in (False, True)]
_EVERY_TIME = [("generic", False), ("eyeriss", True)]


def _assert_blamed(mutant: Mutant, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    model, path = made.files(mutant)
    mutant.mutate(monkeypatch)
    location = verify_source(str(path), model).location
    assert location is not None
    assert location.layer == CONV
    assert location.blame is not None, location.lines()
    assert location.blame.text.startswith(mutant.instruction)
    assert "is not what the code configures" in location.blame.reason


@pytest.mark.parametrize("instruction", _WRONG)
@pytest.mark.parametrize(
    ("target", "fuse"),
    [
        *_EVERY_TIME,
        *(pytest.param(*each, marks=pytest.mark.exhaustive) for each in _TARGETS if each not in _EVERY_TIME),
    ],
)
def test_what_is_configured_wrong_is_blamed_on_the_instruction_that_does(
    instruction: str, target: str, fuse: bool, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant = Mutant(target, CONV, instruction, _WRONG[instruction], fuse=fuse)
    _assert_blamed(mutant, made, monkeypatch)


def of_group(name: str, *others: Any) -> Callable[[Patch], None]:
    """An operation that says something of a group adds to what it is told."""

    def mutate(patch: Patch) -> None:
        right = getattr(GroupSequencer, name)

        def wrong(self: Any, *given: int) -> None:
            right(self, *(each + other for each, other in zip(given, others, strict=True)))

        patch.setattr(GroupSequencer, name, wrong)

    return mutate


_OF_GROUPS = {
    "home": of_group("set_home", 0, 1),
    "pitch": of_group("set_pitch", 0, 1),
    "range": of_group("add_range", 0, 0, -1),
    "span": of_group("add_span", 0, 0, 1, 0, 0, 0),
}


@pytest.mark.parametrize(
    ("target", "instruction"),
    [
        *(("eyeriss", instruction) for instruction in _OF_GROUPS),
        # on `spots` the group takes one turn, so that no box goes along with loops
        *(pytest.param("spots", each, marks=pytest.mark.exhaustive) for each in _OF_GROUPS if each != "span"),
    ],
)
def test_holds_and_boxes_that_are_configured_wrong_are_blamed_on_the_instruction_that_does(
    target: str, instruction: str, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SMALL_BUFFER if target == "eyeriss" else {}
    mutant = Mutant(target, CONV, instruction, _OF_GROUPS[instruction], settings=settings, fuse=True)
    _assert_blamed(mutant, made, monkeypatch)


def left_over(patch: Patch) -> None:
    """The third layer of a run has a function of another one."""
    right = LayerSequencer.begin_layer

    def begin_layer(self: Any, index: int, *given: Any) -> None:
        is_first = not self.counts
        right(self, index, *given)
        if index == 2 and not is_first:
            self.layer.steps[Slot.POST].append(scalar_step(Slot.POST, 40, 0.0, 0.0, Tensor.INPUT))

    patch.setattr(LayerSequencer, "begin_layer", begin_layer)


def worn(patch: Patch) -> None:
    """Kernels come twice as large once other layers have run."""
    right, begin = BlockEngine.load_kernel, LayerSequencer.begin_layer
    earlier: set[int] = set()

    def begin_layer(self: Any, *given: Any) -> None:
        begin(self, *given)
        earlier.clear()
        earlier.update(self.counts)

    def load_kernel(self: Any) -> None:
        right(self)
        if len(earlier) > 1:
            self.kernel.words[...] *= 2

    patch.setattr(LayerSequencer, "begin_layer", begin_layer)
    patch.setattr(BlockEngine, "load_kernel", load_kernel)


_IN_RUNS = [
    (Mutant("generic", DENSE, "layer index=2", left_over), "is not what the code configures"),
    pytest.param(
        Mutant("eyeriss", DENSE, "layer index=2", left_over, fuse=True),
        "is not what the code configures",
        marks=pytest.mark.exhaustive,
    ),
    pytest.param(
        Mutant("spots", DENSE, "layer index=2", left_over),
        "is not what the code configures",
        marks=pytest.mark.exhaustive,
    ),
    (Mutant("systolic", DENSE, "load tensor=kernel", worn), "kernel words are not those"),
]


@pytest.mark.parametrize(("mutant", "reason"), _IN_RUNS)
def test_what_is_left_of_layers_before_is_blamed_though_every_layer_alone_is_right(
    mutant: Mutant, reason: str, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = made.files(mutant)
    mutant.mutate(monkeypatch)
    found = verify_source(str(path), model)
    assert found.wrong_outputs is not None
    location = found.location
    assert location is not None
    assert location.layer == mutant.layer
    assert location.blame is not None, location.lines()
    assert location.blame.text.startswith(mutant.instruction)
    assert reason in location.blame.reason
    assert "in the whole program: in the whole program" not in "\n".join(location.lines())


def forgotten(patch: Patch) -> None:
    """The third layer of a run has no place for its results, and stops at the first instruction that needs one."""
    right = LayerSequencer.set_tensor

    def set_tensor(self: Any, tensor: Tensor, *given: Any) -> None:
        if tensor is not Tensor.OUTPUT or not self.counts or self.layer.index != 2:
            right(self, tensor, *given)

    patch.setattr(LayerSequencer, "set_tensor", set_tensor)


@pytest.mark.parametrize("target", ["generic", pytest.param("eyeriss", marks=pytest.mark.exhaustive)])
def test_what_stops_a_run_only_after_other_layers_is_named(
    target: str, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = made.files(Mutant(target, DENSE, "base tensor=output", forgotten))
    forgotten(monkeypatch)
    found = verify_source(str(path), model)
    assert found.stop is not None
    location = found.location
    assert location is not None
    assert location.layer == DENSE
    assert location.blame is not None, location.lines()
    assert location.blame.text.startswith("base tensor=output")
