"""The conformance kit: what it finds in backends that are wrong, and how it reports that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends.api import Emulator
from backends.program import Program
from backends.spatial.core import LayerSequencer
from compiler.backend_kit.networks import NETWORKS, build_network
from compiler.backend_kit.operators import OPERATORS, operator_cases
from compiler.backend_kit.running import KitReport, Status, all_cases, run_kit
from compiler.targets import Target, select_target
from dialects.diagnostics import CatenaError, Diagnostic, ExitCode
from tests.compiler.conftest import Cli
from tests.lanes import lanes_target

CASES = ("Conv/float32/thin", "Relu/int8/thin")


@pytest.fixture(scope="module")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with lanes_target(tmp_path_factory.mktemp("lanes")) as target:
        yield target


class Altered:
    """An emulator with something changed in what it says."""

    def __init__(self, emulator: Emulator, change: str):
        self._emulator, self._change = emulator, change

    def run(self, inputs: Mapping[str, Any], **options: Any) -> Mapping[str, Any]:
        outputs = self._emulator.run(inputs, **options)
        return {name: self._wrong(array) if self._change == "outputs" else array for name, array in outputs.items()}

    def run_layer(self, layer: str, tensors: Mapping[str, Any]) -> Mapping[str, Any]:
        if self._change == "crash":
            raise ZeroDivisionError("lanes")
        outputs = self._emulator.run_layer(layer, tensors)
        return {name: self._wrong(array) if self._change == "layers" else array for name, array in outputs.items()}

    @staticmethod
    def _wrong(array: Any) -> Any:
        changed = np.array(array)
        changed.reshape(-1)[-1] += 1
        return changed

    @property
    def counters(self) -> Mapping[str, Any]:
        found = dict(self._emulator.counters)
        if self._change == "counts":
            for counts in found.values():
                counts.events["pad.input.read"] += 1
        return found


def altered(target: Target, change: str) -> Target:
    """A target whose emulator is wrong."""
    load = target.backend.load

    def loaded(program: Program, engine: str | None) -> Any:
        return Altered(load(program, engine), change)

    return replace(target, backend=replace(target.backend, load=loaded))


def checks(report: KitReport) -> set[str]:
    return {each.check for result in report.results for each in result.findings}


def test_a_backend_that_is_right_conforms(lanes: Target) -> None:
    shown: list[str] = []
    report = run_kit(lanes, CASES, show=shown.append)
    assert [each.status for each in report.results] == [Status.PASSED, Status.PASSED]
    assert report.conforms
    assert report.exit_code is ExitCode.OK
    assert shown == [f"{number} of 2: {name}" for number, name in enumerate(CASES, 1)]


@pytest.mark.parametrize(
    ("change", "check", "says"),
    [
        ("outputs", "outputs", "differ, the first at"),
        ("counts", "counts", "pad.input.read is"),
        ("layers", "single layers", "is another tensor than in a run of the whole program"),
        ("crash", "error", f"ZeroDivisionError: lanes ({__file__}, line "),
    ],
)
def test_what_is_wrong_is_found(lanes: Target, change: str, check: str, says: str) -> None:
    report = run_kit(altered(lanes, change), CASES[:1])
    assert checks(report) >= {check}
    assert not report.conforms
    assert report.exit_code is ExitCode.MISMATCH
    assert any(each.code == "CAT-V003" and says in each.message for each in report.diagnostics)


def test_where_an_instruction_fails_is_said(lanes: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any) -> None:
        raise KeyError("lane")

    monkeypatch.setattr(LayerSequencer, "set_counts", fail)
    report = run_kit(lanes, CASES[:1])
    ((finding, *_),) = (each.findings for each in report.results)
    assert "the emulator failed: KeyError: 'lane'" in finding.message
    assert f"({__file__}, line " in finding.message


def test_an_emulator_that_stops_fails(lanes: Target) -> None:
    def load(program: Program, engine: str | None) -> Any:
        raise CatenaError(Diagnostic("CAT-E001", "made up"))

    report = run_kit(replace(lanes, backend=replace(lanes.backend, load=load)), CASES[:1])
    assert [each.status for each in report.results] == [Status.FAILED]


@pytest.mark.parametrize("name", [*CASES[:1], "network/classifier"])
def test_a_refusal_is_none_of_its_failures_but_all_refused_is_no_conformance(lanes: Target, name: str) -> None:
    def emit(module: Any) -> Program:
        raise CatenaError(Diagnostic("CAT-U006", "no such layers"))

    report = run_kit(replace(lanes, backend=replace(lanes.backend, emit=emit)), [name])
    (result,) = report.results
    assert result.status is Status.REFUSED
    assert result.findings[0].check == "CAT-U006"
    assert report.table().rows[0][1] == "0/1 CAT-U006"
    assert not report.conforms
    assert "no network can be compiled" in report.diagnostics[0].message


def test_what_is_left_after_the_time_limit_is_not_run(lanes: Target) -> None:
    report = run_kit(lanes, CASES, time_limit=0)
    assert [each.status for each in report.results][-1] is Status.NOT_RUN
    assert report.exit_code is ExitCode.PARTIAL
    assert not report.conforms


def test_an_interrupt_leaves_what_was_run(lanes: Target) -> None:
    def load(program: Program, engine: str | None) -> Any:
        if "Relu" in program.metadata.model:
            raise KeyboardInterrupt
        return lanes.backend.load(program, engine)

    report = run_kit(replace(lanes, backend=replace(lanes.backend, load=load)), CASES)
    assert [each.status for each in report.results] == [Status.PASSED, Status.NOT_RUN]
    assert report.exit_code is ExitCode.PARTIAL


def test_there_are_all_cases_and_their_names_are_their_own() -> None:
    cases = list(all_cases())
    assert len({each.name for each in cases}) == len(cases)
    assert {each.row for each in cases} == {*OPERATORS, *NETWORKS}


@pytest.mark.parametrize(
    "build", [lambda: next(operator_cases()).build(), lambda: build_network("attention")], ids=["operator", "network"]
)
def test_a_case_is_always_the_same(build: Callable[[], Any]) -> None:
    one, other = build(), build()
    assert one.model.SerializeToString(deterministic=True) == other.model.SerializeToString(deterministic=True)
    assert all(np.array_equal(one.inputs[name], other.inputs[name]) for name in one.inputs)


def test_counts_are_not_compared_where_zeros_change_them() -> None:
    report = run_kit(select_target("spots"), ["Relu/float32/thin"])
    assert report.conforms
    assert not report.counts_compared


def test_the_command_prints_a_table_and_ends_as_the_kit_does(cli: Cli) -> None:
    done = cli("conformance", "generic", "-k", "Relu/*/thin")
    assert done.code == ExitCode.OK
    assert "4 passed, 0 refused, 0 failed, 0 not run" in done.out
    assert "thin" not in done.err
    result = cli("conformance", "generic", "-k", "Relu/*/thin", "--json").json["result"]
    assert result["conforms"]
    assert result["totals"] == {"passed": 4, "refused": 0, "failed": 0, "not run": 0}
    assert cli("conformance", "generic", "-k", "Relu/*", "--time-limit", "0").code == ExitCode.PARTIAL


def test_a_pattern_that_matches_nothing_is_refused(cli: Cli) -> None:
    done = cli("conformance", "generic", "-k", "Reul/*")
    assert done.code == ExitCode.USAGE
    assert "CAT-C001" in done.err


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("target", "patterns"),
    [
        *((each, ()) for each in ("eyeriss", "generic", "nlr", "rram", "spots")),
        *((each, ("*/odd", "network/*")) for each in ("gemmini", "rram-mesh", "systolic", "tpu")),
    ],
)
def test_the_targets_that_come_along_conform(target: str, patterns: tuple[str, ...]) -> None:
    """All cases on one machine of every kind, some on others of the same kind."""
    report = run_kit(select_target(target), patterns)
    assert report.conforms, "\n".join(map(str, report.diagnostics))


def test_a_description_file_is_a_target(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "wide.toml").write_text('extends = "generic"\nname = "wide"\n[levels.row]\nsize = 32\n')
    assert cli("conformance", tmp_path / "wide.toml", "-k", "MatMul/int32/thin").code == ExitCode.OK
