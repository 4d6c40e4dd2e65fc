"""The report as an HTML file: the numbers it shows are those of the table, it draws itself, and it trusts no name."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backends.container import read_program
from backends.disassembly import nested_instructions
from backends.program import Program
from compiler.assembling import program_backend_isa
from compiler.cli.main import execute
from compiler.compilation import CompileOptions, compile_source
from compiler.ir_history import IrHistory
from compiler.report_page import page_of, render
from compiler.report_page.explorer import explorer
from compiler.report_page.graph import drawing
from compiler.reporting import report_of
from dialects.diagnostics import CatenaError
from tests.compiler.conftest import Cli
from tests.compiler.report_page.in_browser import CHROMIUM, NARROW, WIDE, data_of, drawn, in_browser, needed_width
from tests.compiler.small_models import save_model, small_cnn


@pytest.fixture(scope="module")
def loaded(program: Path) -> Program:
    return read_program(program)


def test_layers_have_the_counts_of_the_report(loaded: Program) -> None:
    data, report = data_of(render(page_of(loaded))), report_of(loaded)
    assert data["cycles"] == report.cycles
    assert data["energy_pj"] == pytest.approx(report.energy)
    for shown, counted in zip(data["layers"], report.layers, strict=True):
        assert shown["name"] == counted.layer.name
        assert shown["cycles"] == counted.price.cycles
        assert shown["counts"] == {name: number for name, number in counted.counts.flat().items() if number}
        assert sum(shown["energy_by_level"].values()) == pytest.approx(counted.price.total_energy)
        assert sum(each["cycles"] for each in shown["time"]) == pytest.approx(shown["cycles"], rel=0.01)


def test_figures_of_the_first_screen(loaded: Program) -> None:
    figures = {each["name"]: each for each in page_of(loaded).data["figures"]}
    report = report_of(loaded)
    assert figures["latency"]["note"].startswith(f"{report.cycles:,} cycles at 200 MHz")
    facts = [each["bounds"] for each in page_of(loaded).data["layers"]]
    assert figures["off-chip words"]["value"] == f"{sum(each['off_chip_words'] for each in facts):,}"
    least = sum(each["off_chip_words_at_least"] for each in facts)
    assert f"the {least:,} of every tensor once" in figures["off-chip words"]["note"]


def test_every_instruction_stands_with_its_layer(loaded: Program) -> None:
    isa = program_backend_isa(loaded.metadata)
    texts = [text for text, _ in nested_instructions(loaded, isa, 0)]
    for layer in page_of(loaded).data["layers"]:
        for piece in layer["code"]:
            assert list(piece["lines"]) == texts[piece["start"] : piece["start"] + piece["count"]]
    assert sum(piece["count"] for layer in page_of(loaded).data["layers"] for piece in layer["code"]) == sum(
        each.end - each.start for each in loaded.debug
    )


def test_arrows_follow_tensors_downwards(loaded: Program) -> None:
    shape = drawing(loaded)
    assert shape.arrows
    for start, end in shape.arrows:
        assert set(loaded.layers[start].outputs) & set(loaded.layers[end].inputs)
        assert shape.places[start][1] < shape.places[end][1]
    assert len(set(shape.places)) == len(loaded.layers)


def test_a_page_needs_nothing_else_and_trusts_no_name(loaded: Program) -> None:
    name = "</script><img src=x onerror=alert(1)> @DATA@ @SCRIPT@"
    html = render(page_of(replace(loaded, metadata=replace(loaded.metadata, model=name))))
    assert "<img" not in html
    assert data_of(html)["model"] == name
    assert not re.search(r"""(src|href)=["']?(https?:|//)|@import|url\(""", html)


@pytest.mark.exhaustive
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_what_turns_text_around_is_shown_by_its_number(tmp_path: Path) -> None:
    content = small_cnn()
    content.graph.node[0].name = "left\u202eright"
    page = tmp_path / "page.html"
    assert execute(["report", str(save_model(content, tmp_path / "m.onnx")), "-o", str(page)]) == 0
    shown = drawn(f"file://{page}", WIDE)
    assert "left\\u202eright" in shown
    # what is searched for keeps its name
    assert "\u202e" not in re.sub(r"<option[^>]*>", "", shown)


def test_the_same_program_gives_the_same_page(loaded: Program) -> None:
    assert render(page_of(loaded)) == render(page_of(loaded))


def test_a_page_of_a_model_has_its_ir(tmp_path: Path) -> None:
    model, page = save_model(small_cnn(), tmp_path / "small.onnx"), tmp_path / "page.html"
    assert execute(["report", str(model), "-o", str(page)]) == 0
    ir = data_of(page.read_text())["ir"]
    stages = {each["stage"]: text_of(ir, each["text"]) for each in ir["stages"]}
    assert list(stages) == ["import", "gconv", "fused", "encoded", "mapped", "placed"]
    for stage, text in stages.items():
        assert execute(["compile", str(model), "--to", stage, "-o", str(tmp_path / "stage.mlir")]) == 0
        assert "\n".join(text) + "\n" == (tmp_path / "stage.mlir").read_text()


def test_changes_of_a_page_are_those_of_the_passes(tmp_path: Path) -> None:
    history = IrHistory()
    model = save_model(small_cnn(), tmp_path / "small.onnx")
    compile_source(str(model), CompileOptions(stop="placed"), [history])
    ir = explorer(history)
    for shown, step in zip(ir["steps"], history.steps, strict=True):
        texts = [text_of(ir, shown["before"]), text_of(ir, shown["after"])]
        found = [
            (ir["kinds"][kind], *(None if at < 0 else text[at].strip() for text, at in zip(texts, lines, strict=True)))
            for kind, *lines, _, _, _ in shown["changes"]
        ]
        assert found == [(str(each.kind), step.line_before(each), step.line_after(each)) for each in step.changes]
        assert [ir["places"][each[3]] for each in shown["changes"]] == [list(each.nodes) for each in step.changes]


def text_of(ir: dict[str, Any], number: int) -> list[str]:
    """A text of the explorer as lines."""
    runs = ir["texts"][number]["runs"]
    return [
        ir["lines"][first + step] for first, count in zip(runs[::2], runs[1::2], strict=True) for step in range(count)
    ]


def test_statistics_of_another_program_are_refused(loaded: Program, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text("{}")
    with pytest.raises(CatenaError) as caught:
        page_of(loaded, str(wrong))
    assert caught.value.diagnostics[0].code == "CAT-C003"


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_a_browser_draws_every_section_without_an_error(loaded: Program, tmp_path: Path, size: str) -> None:
    page = tmp_path / "page.html"
    page.write_text(render(page_of(loaded)))
    shown = drawn(f"file://{page}#layer-1", size)
    assert shown.count('class="box"') == len(loaded.layers)
    assert shown.count("data-layer=") == len(loaded.layers)
    assert f"1. {loaded.layers[0].name}" in shown[shown.index("<dialog") :]


def test_the_first_screen_of_no_layers_says_that_nothing_is_held(loaded: Program) -> None:
    figures = {each["name"]: each for each in page_of(replace(loaded, layers=(), debug=())).data["figures"]}
    assert figures["fits"]["value"] == "nothing to hold"


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_draws_nothing_by_layer_of_no_layers(loaded: Program, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(render(page_of(replace(loaded, layers=(), debug=()))))
    shown = drawn(f"file://{tmp_path / 'page.html'}", NARROW)
    assert "The program has no layers" in shown
    assert "<select" not in shown
    assert 'id="costs"' not in shown
    assert 'href="#costs"' not in shown


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_nothing_is_wider_than_a_phone(tmp_path: Path) -> None:
    model, page = save_model(small_cnn(), tmp_path / "small.onnx"), tmp_path / "page.html"
    assert execute(["report", str(model), "-o", str(page)]) == 0
    assert needed_width(page, 390) <= 390


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_follows_a_node_through_the_passes(tmp_path: Path) -> None:
    model, page = save_model(small_cnn(), tmp_path / "small.onnx"), tmp_path / "page.html"
    assert execute(["report", str(model), "-o", str(page)]) == 0
    shown = drawn(f"file://{page}#node=conv1", NARROW)
    explorer = shown[shown.index('class="explorer"') :]
    heads = re.findall(r'class="line head">([^<]*)<', explorer)
    assert heads[0] == "gconv: lower-onnx"
    assert heads[-1] == "placed: place-spatial"
    removed, added = (re.search(rf'class="line {kind}">(.*?)</span>\n', explorer) for kind in ("removed", "added"))
    assert removed is not None
    assert added is not None
    assert '<span class="op">onnx.Conv_v11</span>' in removed[1]
    assert '<span class="op">gconv.' in added[1]


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_page_says_that_its_data_are_broken(loaded: Program, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(re.sub(r'(<script id="data"[^>]*>)[^<]{40}', r"\1", render(page_of(loaded))))
    shown = in_browser(f"file://{page}", WIDE)
    assert 'id="failure"' in shown.stdout


def test_errors_of_layers_colour_the_network(program: Path, cnn: Path, tmp_path: Path, cli: Cli) -> None:
    verified, page = tmp_path / "verified.json", tmp_path / "page.html"
    verified.write_text(cli("verify", program, "--model", cnn, "--json").out)
    assert cli("report", program, "--verified", verified, "-o", page).code == 0
    comparisons = json.loads(verified.read_text())["result"]["comparisons"]
    found = [each["error"]["error"] for each in data_of(page.read_text())["layers"] if each["error"]]
    assert found
    of_layers = [each["error"] for each in comparisons if each["subject"].startswith("layer")]
    assert found == [error for error in of_layers if error is not None]
    verified.write_text('{"result": {"comparisons": []}}')
    refused = cli("report", program, "--verified", verified, "-o", page)
    assert refused.code == 2
    assert "CAT-C003" in refused.err
    assert cli("report", program, "--verified", verified).code == 2


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_draws_what_zeros_save(cnn: Path, tmp_path: Path, cli: Cli) -> None:
    page, pruned = tmp_path / "page.html", tmp_path / "pruned.onnx"
    assert cli("prune", cnn, "--structure", "unstructured", "--sparsity", "0.5", "-o", pruned).code == 0
    assert cli("report", pruned, "-t", "spots", "-o", page).code == 0
    data = data_of(page.read_text())
    saving = [
        each
        for each in data["layers"]
        if each["counts"].get("operation.skipped", 0) + each["counts"].get("operation.gated", 0) > 0
    ]
    assert saving
    shown = drawn(f"file://{page}#sparsity", NARROW)
    part = shown[shown.index('<section id="sparsity">') : shown.index('<section id="layers">')]
    assert part.count('class="parts"') == len(saving)
    assert "zeros of inputs" in part
    assert data["zeros_note"] in part
    assert 'id="cores"' not in shown
