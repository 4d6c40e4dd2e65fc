"""Explanations: their sums are those of the cost model, names find layers, files of others are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from backends.container import read_program, write_program
from backends.program import LayerWork, Program
from compiler.compilation import CompileOptions, compile_source, write_compiled
from compiler.explanation.drawing import nest_lines
from compiler.explanation.explaining import Explanations, explain_program
from compiler.modes import Mode
from dialects.diagnostics import CatenaError
from passes.explanation.facts import Facts
from passes.explanation.link import least_link_cycles
from tests.compiler.conftest import Cli
from tests.compiler.small_models import save_model, small_cnn, wide_convolution
from tests.end_to_end.networks import NETWORKS

TARGETS = ("eyeriss", "systolic", "nlr", "generic", "tpu", "gemmini", "isca16-rs", "spots")
NETWORKS_HERE = ("residual", "separable", "moved-data", "reductions")


def program_for(path: Path, model: onnx.ModelProto, **options: Any) -> Program:
    source = save_model(model, path / "model.onnx")
    write_compiled(compile_source(str(source), CompileOptions(**options)), path / "model.cat")
    return read_program(path / "model.cat")


def facts_in(found: Explanations) -> list[Facts]:
    facts = [each.facts for each in found.layers]
    assert facts
    assert all(facts)
    return [each for each in facts if each is not None]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NETWORKS_HERE)
def test_the_parts_add_up_to_the_whole(name: str, target: str, tmp_path: Path) -> None:
    program = program_for(tmp_path, NETWORKS[name](), target=target)
    found = explain_program(program)
    assert len(found.layers) == len(program.layers)
    for each, facts in zip(found.layers, facts_in(found), strict=True):
        # Cycles are rounded up once, their parts are not.
        assert sum(cycles for _, cycles in facts.time) == pytest.approx(facts.price.cycles, abs=1)
        assert sum(spent.energy for spent in facts.spent) == pytest.approx(facts.price.total_energy)
        assert facts.price == each.report.price
        assert facts.peak_cycles <= facts.price.cycles
        assert least_link_cycles(facts, found.machine) <= facts.price.cycles + 1
        for moved in facts.moved:
            assert moved.least <= moved.words, moved
        for held in facts.held:
            assert held.capacity is None or held.taken <= held.capacity, held
            assert held.taken >= sum(held.words.values()) * held.buffers
        for busy in facts.busy:
            assert busy.cycles <= facts.price.cycles + 1, busy


@pytest.mark.parametrize("target", ["eyeriss", "generic"])
def test_the_nest_covers_every_loop(target: str, tmp_path: Path) -> None:
    found = explain_program(program_for(tmp_path, NETWORKS["residual"](), target=target))
    for each, facts in zip(found.layers, facts_in(found), strict=True):
        assert each.layer.work is not None
        lines = nest_lines(each.layer.work.spec, facts)
        assert [line.depth for line in lines] == list(range(len(lines)))
        assert ", ".join(line.node for line in lines[:-1]) == each.layer.entry.mapping
        for line in lines:
            if line.extent > 1:
                assert (line.tiles - 1) * line.tile + line.last == line.extent


@pytest.mark.parametrize("name", ["conv1", "relu1", "b", "1", "con?1"])
def test_a_layer_goes_by_node_tensor_number_or_pattern(name: str, tmp_path: Path) -> None:
    found = explain_program(program_for(tmp_path, small_cnn()), name)
    assert [each.layer.entry.name for each in found.layers] == ["conv1 + relu1"]


def test_a_pattern_finds_all_layers_that_match(tmp_path: Path) -> None:
    program = program_for(tmp_path, small_cnn())
    assert len(explain_program(program, "*").layers) == len(program.layers)
    assert [each.layer.number for each in explain_program(program, "*1").layers] == [1, 2, 3]


def test_an_unknown_layer_brings_the_likely_one(tmp_path: Path) -> None:
    program = program_for(tmp_path, small_cnn())
    with pytest.raises(CatenaError) as caught:
        explain_program(program, "cnov1")
    (problem,) = caught.value.diagnostics
    assert problem.code == "CAT-C001"
    assert "did you mean conv1" in problem.hint
    with pytest.raises(CatenaError, match="no layer is called '4'"):
        explain_program(program, "4")


def test_what_the_host_does_is_listed_without_a_mapping(tmp_path: Path, cli: Cli) -> None:
    program = program_for(tmp_path, NETWORKS["attention"](), mode=Mode.OFFLOAD)
    found = explain_program(program)
    hosted = [each for each in found.layers if each.layer.entry.mapping == "host"]
    assert hosted
    assert all(each.facts is None for each in hosted)
    result = cli("explain", tmp_path / "model.cat")
    assert (result.code, result.out.count("host core")) == (0, len(hosted))
    assert cli("explain", tmp_path / "model.cat", hosted[0].layer.entry.name).code == 0


def test_a_program_that_does_not_say_what_it_computes_is_refused(tmp_path: Path) -> None:
    program = program_for(tmp_path, small_cnn())
    layers = (replace(program.layers[0], work=None), *program.layers[1:])
    with pytest.raises(CatenaError, match="does not say what it computes"):
        explain_program(replace(program, layers=layers))


@pytest.mark.parametrize(
    "change",
    [{"nest": "#gconv.nest<C op 0>"}, {"nest": "3 : i32"}, {"main": ""}, {"accesses": "[1 : i32]"}, {"post": "#x.y"},
     {"nest": "#gconv.nest<C> C"}, {"reduce": "#gconv.nest<C>"}, {"accesses": "#gconv.scalar<1.0>"}],
)  # fmt: skip
def test_hostile_text_is_refused(change: dict[str, str], tmp_path: Path, cli: Cli) -> None:
    program = program_for(tmp_path, small_cnn())
    work = program.layers[0].work
    assert work is not None
    layers = (replace(program.layers[0], work=LayerWork(**{**vars(work), **change})), *program.layers[1:])
    write_program(replace(program, layers=layers), tmp_path / "hostile.cat")
    result = cli("explain", tmp_path / "hostile.cat", "1")
    assert result.code == 2
    assert "CAT-P003" in result.err


def test_an_emulation_gives_the_same_facts(cnn: Path, tmp_path: Path, cli: Cli) -> None:
    program, stats = tmp_path / "p.cat", tmp_path / "stats.json"
    assert cli("compile", cnn, "-o", program).code == 0
    assert cli("run", program, "--random", "--stats", stats).code == 0
    predicted, emulated = (
        cli("explain", program, "--json").json,
        cli("explain", program, "--stats", stats, "--json").json,
    )
    assert emulated["result"].pop("provenance") == "emulated"
    assert predicted["result"].pop("provenance") == "predicted from the mapping"
    assert predicted["result"] == emulated["result"]


def test_what_is_called_least_counts_biases(tmp_path: Path, cli: Cli) -> None:
    """The best mapping without them brings inputs in strips, and reads the biases for each: 139,776 words."""
    save_model(wide_convolution(), tmp_path / "wide.onnx")
    compiled = cli(
        "compile", tmp_path / "wide.onnx", "-t", "generic", "--objective", "traffic", "-o", tmp_path / "p.cat"
    )
    assert compiled.code == 0
    explained = cli("explain", tmp_path / "p.cat", "1", "--json").json["result"]["layers"][0]
    words = 8 * 32 * 32 + 8 * 64 + 64 + 64 * 32 * 32
    assert explained["search"] == {"objective": "traffic", "space": "dataflow", "gap": 0.0}
    assert explained["bounds"]["off_chip_words"] == explained["bounds"]["off_chip_words_at_least"] == words
    assert explained["off_chip"][2] == {"operand": "extra", "words": 64, "at_least": 64}
    assert min(each["off_chip_words"] for each in explained["runners_up"]["mappings"]) == words
    assert f"{words:,}" in cli("report", tmp_path / "p.cat").out


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("", ""),
        ("charge_bursts = true", ", counting off-chip words in the place of their bursts"),
        (
            "compression = {run_bits = 5, pairs = 3, link_bits = 64}",
            ", counting what is left of compressed words on average, without the ends of transfers",
        ),
    ],
    ids=["words", "bursts", "compressed"],
)
def test_what_is_called_least_says_what_its_search_counts_otherwise(
    changed: str, said: str, tmp_path: Path, cnn: Path, cli: Cli
) -> None:
    target = tmp_path / "target.toml"
    target.write_text(f'extends = "eyeriss"\nname = "changed"\n[dram]\n{changed}\n')
    found = cli("explain", cnn, "conv1", "-t", target, "--no-search").out
    assert f"no mapping of the row-stationary space takes less edp{said}" in found.splitlines()


def test_the_command_prints_tables_and_json(cnn: Path, cli: Cli) -> None:
    overview = cli("explain", cnn, "-t", "generic")
    assert overview.code == 0
    assert "x tensors" in overview.out
    one = cli("explain", cnn, "conv1", "-t", "generic")
    for part in ("layer 1 of 3", "mapping, outermost", "Memories", "Time", "Resources", "Energy", "Bounds", "What if"):
        assert part in one.out
    data = json.loads(cli("explain", cnn, "conv1", "-t", "generic", "--json").out)["result"]
    (layer,) = data["layers"]
    assert layer["nodes"] == ["conv1", "relu1"]
    assert layer["loops"]["C.op"] == 4
    assert {
        "nest",
        "memories",
        "time",
        "resources",
        "energy",
        "off_chip",
        "bounds",
        "what_if",
        "runners_up",
    } <= layer.keys()
    assert layer["what_if"]["doubled"][0]["key"] == "levels.glb.words"
    brief = cli("explain", cnn, "conv1", "-t", "generic", "--no-search", "--json").json["result"]["layers"][0]
    assert not {"what_if", "runners_up"} & brief.keys()
    assert layer["runners_up"]["mappings"][0]["differs"]
    assert "binding: " in one.out
    late = cli("explain", cnn, "conv1", "--search-limit", "1e-9")
    assert (late.code, "not searched in time" in late.out) == (0, True)
    unknown = cli("explain", cnn, "conv2", "--json")
    assert unknown.code == 2
    assert unknown.json["diagnostics"][0]["code"] == "CAT-C001"
