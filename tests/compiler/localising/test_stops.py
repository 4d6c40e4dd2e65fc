"""Faults at which the emulator stops somewhere else: the altered instruction is named beside where it stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.compiler.conftest import Cli, Result
from tests.compiler.localising.faults import CONV, DENSE, Fault, altered
from tests.compiler.localising.test_decisions import quantized_pool
from tests.compiler.localising.test_planted_faults import planted

pytest.importorskip("onnxruntime")


def verified(fault: Fault, folder: Path, cli: Cli) -> Result:
    model, path = planted(fault, folder)
    return cli("verify", path, "--model", model, "--reproducer", folder / "again", "--json")


def fault_of(target: str, layer: str, beginning: str, **fields: Any) -> Fault:
    return Fault(target, layer, beginning.split(",")[0], altered(layer, beginning, **fields))


@pytest.mark.parametrize(
    "fault",
    [
        fault_of("eyeriss", DENSE, "spread dim=0, kind=ks", tile=1),
        fault_of("eyeriss", CONV, "spread dim=0, kind=op", tile=1),
        fault_of("generic", CONV, "place tensor=kernel", words=1),
    ],
)
def test_an_altered_instruction_is_named_beside_the_one_that_stops(fault: Fault, tmp_path: Path, cli: Cli) -> None:
    result = verified(fault, tmp_path, cli)
    place = result.json["result"]["location"]
    assert (result.code, place["layer"]) == (5, fault.layer)
    assert place["blame"]["text"].startswith(fault.instruction)
    first, *_ = result.json["diagnostics"]
    assert first["code"].startswith("CAT-E")
    assert f"instruction {place['blame']['address']}," not in first["where"]


@pytest.mark.parametrize(("core", "seen_in"), [(0, DENSE), (1, CONV)])
def test_a_signal_to_another_core_is_found_from_the_layer_that_does_not_run_for_it(
    core: int, seen_in: str, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later layer waits for it; or an earlier one, as the emulator looks at pairs of cores before it runs any."""
    result = verified(fault_of("rram", "pool1", "signal core=2", core=core), tmp_path, cli)
    place = result.json["result"]["location"]
    assert (result.code, place["layer"], place["seen_in"]) == (5, "pool1", seen_in)
    assert place["blame"]["text"].startswith(f"signal core={core}")
    assert (place["blame"]["core"], place["blame"]["cores"] > 1) == (1, True)
    assert_it_stops_again(tmp_path / "again", result, cli, monkeypatch)


def test_a_wait_that_is_too_short_is_found_though_every_layer_alone_is_right(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = "x_DequantizeLinear + w_DequantizeLinear + conv + c_QuantizeLinear"
    fault = replace(fault_of("rram", layer, "wait register=0", base=0, most=0), model=quantized_pool)
    result = verified(fault, tmp_path, cli)
    assert all(each["equal"] for each in result.json["result"]["comparisons"])
    place = result.json["result"]["location"]
    assert (result.code, place["layer"], place["tensor"]) == (5, layer, "")
    assert place["blame"]["text"].startswith("wait register=0, base=0")
    assert result.json["diagnostics"][0]["code"] == "CAT-E002"
    assert_it_stops_again(tmp_path / "again", result, cli, monkeypatch)


def assert_it_stops_again(folder: Path, first: Result, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command that the reproducer names ends as verifying did."""
    monkeypatch.chdir(folder)
    command = Path("README.txt").read_text().split("catena ")[1].split("\n")[0].split()
    again = cli(*command, "--json")
    assert again.code == first.code == 5
    assert again.json["diagnostics"][0]["code"] == first.json["diagnostics"][0]["code"]
