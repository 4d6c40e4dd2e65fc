"""Saved mappings used again: the same bytes without a search, whole or in part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings

from backends.container import program_bytes, read_program
from backends.registry import find_backend
from compiler.compilation import CompileOptions, compile_source
from compiler.dumps import MappingDump
from compiler.explanation.explaining import explain_program
from compiler.explanation.groups import group_tables
from compiler.ir_text import parse_module, print_module, write_module
from compiler.modes import Mode
from dialects.diagnostics import CatenaError
from dialects.events import Counts
from dialects.gconv.interpreter import Interpreter
from passes.searching import links
from tests.compiler.conftest import Cli
from tests.compiler.small_models import save_model, wide_convolution
from tests.end_to_end.networks import NETWORKS
from tests.examples import examples
from tests.passes.random_networks import random_networks

TARGETS = ("eyeriss", "generic", "gemmini")


def compiled(source: Path, options: CompileOptions, saved: Path | None = None) -> bytes:
    observers = () if saved is None else (MappingDump(saved, options.mode),)
    program = compile_source(str(source), options, observers).program
    assert program is not None
    return program_bytes(program)


def no_search(tasks: Sequence[object], *_: object) -> list[object]:
    assert not tasks, "a mapping is searched"
    return []


def check_again(model: onnx.ModelProto, folder: Path, target: str, mode: Mode = Mode.CHAIN) -> None:
    source, saved = save_model(model, folder / "model.onnx"), folder / "mapping.toml"
    before = compiled(source, CompileOptions(target=target, mode=mode), saved)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(links, "search_all", no_search)
        options = CompileOptions(target=target, mode=mode, mapping=str(saved))
        again = folder / "again.toml"
        assert compiled(source, options, again) == before
    assert again.read_text() == saved.read_text()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["residual", "separable", "moved-data", "attention", "odd-names"])
def test_what_is_saved_gives_the_same_program_without_a_search(name: str, target: str, tmp_path: Path) -> None:
    check_again(NETWORKS[name](), tmp_path, target)


TWO_GROUPS = 'fuse "t2", "t5" { }\nfuse "t9", "t11", "t15", "t16" { }'


@pytest.mark.parametrize("target", ["eyeriss", "generic", "spots"])
@pytest.mark.parametrize("name", ["residual", "separable"])
def test_fused_layers_that_are_saved_or_explained_give_the_same_program(name: str, target: str, tmp_path: Path) -> None:
    source, saved = save_model(NETWORKS[name](), tmp_path / "model.onnx"), tmp_path / "mapping.toml"
    program, again = tmp_path / "model.cat", tmp_path / "again.toml"
    has_two = name == "residual" and target != "spots"
    if has_two:
        # several groups, of which one reads what another makes
        again.write_text(f"groups = '''\n{TWO_GROUPS}\n'''\n")
        program.write_bytes(compiled(source, CompileOptions(target=target, mapping=str(again)), saved))
    else:
        program.write_bytes(compiled(source, CompileOptions(target=target, fuse=True), saved))
    # on levels, tensors stay from one group to another
    stays = (name, target) == ("separable", "generic")
    assert saved.read_text().count('fuse "') == (2 if has_two else 4 if stays else 1)
    assert ('[stay "' in saved.read_text()) == stays
    for fuse in (False, True):
        options = CompileOptions(target=target, fuse=fuse, mapping=str(saved))
        assert compiled(source, options, again) == program.read_bytes()
        assert again.read_text() == saved.read_text()

    tables = group_tables(explain_program(read_program(program)))
    text = "\n".join(row[0] for each in tables if len(each.columns) == 1 for row in each.rows)
    layers = saved.read_text().partition("\n'''\n")[2]
    saved.write_text(f"groups = '''\n{text}\n'''\n{layers}")
    assert compiled(source, CompileOptions(target=target, mapping=str(saved))) == program.read_bytes()


def test_so_it_does_for_what_the_host_executes(tmp_path: Path) -> None:
    check_again(NETWORKS["attention"](), tmp_path, "eyeriss", Mode.OFFLOAD)
    saved = tmp_path / "mapping.toml"
    assert 'mapping = "host"' in saved.read_text()
    with pytest.raises(CatenaError, match="mappings are for another mode") as caught:
        compiled(tmp_path / "model.onnx", CompileOptions(mapping=str(saved)))
    assert caught.value.diagnostics[-1].where == f"{saved}, line 4"


@pytest.mark.slow
@pytest.mark.parametrize("target", ["eyeriss", "generic"])
def test_so_it_does_for_random_networks(target: str, tmp_path: Path) -> None:
    @settings(max_examples=examples(40), derandomize=True, deadline=None)
    @given(random_networks())
    def check(model: onnx.ModelProto) -> None:
        check_again(model, tmp_path, target)

    check()


def test_a_layer_that_is_taken_out_is_searched_again(tmp_path: Path) -> None:
    source, saved = save_model(NETWORKS["residual"](), tmp_path / "model.onnx"), tmp_path / "mapping.toml"
    before = compiled(source, CompileOptions(), saved)
    head, first, *rest = saved.read_text().split("\n[layers.")
    saved.write_text("\n[layers.".join([head, *rest]))
    assert first
    assert compiled(source, CompileOptions(mapping=str(saved))) == before


def test_costs_are_remarks(cnn: Path, tmp_path: Path, cli: Cli) -> None:
    saved = tmp_path / "m.toml"
    assert cli("compile", cnn, "-o", tmp_path / "p.cat", "--save-mapping", saved).code == 0
    text = saved.read_text()
    assert "# conv1, relu1\n# 2,592 operations; predicted: " in text
    assert text.count(" off-chip words\n[layers.") == text.count('search = "edp in row_stationary, optimal"') == 3
    saved.write_text(text.replace("\nstore ", "\nstroe ", 1))
    result = cli("compile", cnn, "-o", tmp_path / "q.cat", "--mapping", saved, "--json")
    (problem,) = result.json["diagnostics"]
    assert (result.code, problem["code"]) == (2, "CAT-C003")
    line = text[: text.index("\nstore ")].count("\n") + 2
    assert problem["where"] == f"{saved}, line {line}"


def test_a_machine_without_a_dataflow_takes_open_tiles_only(tmp_path: Path, cnn: Path, cli: Cli) -> None:
    levels = '[levels.dram]\nkind = "memory"\n[levels.rf]\nkind = "memory"\nwords = 400\n'
    energy = '[accesses.dram]\nenergy = 200\nevents = { "dram.input.read" = 1, "dram.kernel.read" = 1 }\n'
    (tmp_path / "own.toml").write_text(f'name = "own"\nclock_mhz = 100\nword_bits = 16\n{levels}{energy}')
    file = tmp_path / "m.toml"
    file.write_text('[layers.conv1]\nmapping = """\nfor C.op ?\nfor H.opc ?\nstore rf [I, K, O]\n"""\n')
    words = ("compile", cnn, "-t", tmp_path / "own.toml", "-o", tmp_path / "p.cat", "--mapping", file)
    saved = tmp_path / "saved.toml"
    assert cli(*words, "--save-mapping", saved).code == 0
    assert "for C.op " in saved.read_text() or "for H.opc " in saved.read_text()
    file.write_text('[layers.conv1]\nmapping = """\n...\nstore rf [I, K, O]\n"""\n')
    result = cli(*words, "--json")
    (problem,) = result.json["diagnostics"]
    assert problem["where"] == f"{file}, line 3"
    assert "own has none" in problem["message"]
    assert "with ? for tiles" in problem["hint"]


def test_what_is_known_of_a_mapping_is_lost_with_a_change(cnn: Path, tmp_path: Path, cli: Cli) -> None:
    saved = tmp_path / "m.toml"
    assert cli("compile", cnn, "-o", tmp_path / "p.cat", "--save-mapping", saved, "--no-cache").code == 0

    def known(*words: object) -> list[bool]:
        path = tmp_path / "q.cat"
        assert cli("compile", cnn, "-o", path, "--mapping", saved, "--no-cache", *words).code == 0
        return [layer.search is not None for layer in read_program(path).layers]

    assert known() == [True, True, True]
    assert known("--set", "glb.banks=24") == [False, False, False]
    text = saved.read_text()
    saved.write_text(text.replace("optimal", "gap 0.5", 1))
    assert known() == [False, True, True]
    saved.write_text(text.replace("\nstore spad [K]\n", "\nfor C.op 3\nstore spad [K]\n", 1))
    assert known() == [False, True, True]
    saved.write_text(text.replace("optimal", "the best", 1))
    result = cli("compile", cnn, "-o", tmp_path / "q.cat", "--mapping", saved, "--json")
    (problem,) = result.json["diagnostics"]
    assert problem["where"] == f"{saved}, line {text[: text.index('search = ')].count(chr(10)) + 1}"


def test_what_is_known_of_a_mapping_is_lost_with_the_words_that_results_read(tmp_path: Path) -> None:
    """The best mapping without a bias would read one for every strip of inputs."""
    saved, plain = tmp_path / "m.toml", wide_convolution()
    del plain.graph.node[0].input[2:]
    options = CompileOptions(target="generic")
    compiled(save_model(plain, tmp_path / "plain.onnx"), options, saved)

    def known(model: onnx.ModelProto) -> bool:
        source = save_model(model, tmp_path / "model.onnx")
        program = compile_source(str(source), replace(options, mapping=str(saved))).program
        return program is not None and program.layers[0].search is not None

    assert known(plain)
    assert not known(wide_convolution())


FUSED = """
groups = '''
fuse "t2", "t5", "t7" {
    store glb ["t2.K", "t5.K"]
    for H.opc 3
    store glb ["t5", recompute "t2"]
    pipeline {
        store glb ["t7.P0"]
        "t2": <for C.op 4>
        "t5": <>
        "t7": <>
    }
}
'''
"""


def mapped(source: Path, mapping: Path | None, target: str, saved: Path | None = None, stop: str = "mapped") -> str:
    observers = () if saved is None else (MappingDump(saved),)
    options = CompileOptions(target=target, mapping=None if mapping is None else str(mapping), stop=stop)
    return print_module(compile_source(str(source), options, observers).module)


@pytest.mark.parametrize("target", TARGETS)
def test_fused_links_are_mapped_saved_and_read_again(target: str, tmp_path: Path) -> None:
    source, mapping = save_model(NETWORKS["separable"](), tmp_path / "model.onnx"), tmp_path / "mapping.toml"
    # the first memory on the chip of each of these machines
    memory = "scratchpad" if target == "gemmini" else "glb"
    mapping.write_text(FUSED.replace("glb", memory))
    saved, again = tmp_path / "saved.toml", tmp_path / "again.toml"
    text = mapped(source, mapping, target, saved)
    assert text.count("gconv.fused") == 1
    # a point-wise convolution keeps its rows and columns, others are merged
    assert "<N opc 2, C op 12 ks 4, H opc 8, W opc 8>" in text
    assert "<NC opc 10, HW ks 16>" in text
    assert mapped(source, saved, target, again) == text
    assert again.read_text() == saved.read_text()

    ir = tmp_path / "mapped.mlir"
    write_module(parse_module(text).module, ir)
    with pytest.raises(CatenaError, match="links of a pipeline work at the same time") as caught:
        compile_source(str(ir), CompileOptions(start="mapped", stop="placed"))
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.stage) == ("CAT-F002", "placed")
    assert "Conv_3" in problem.node


def test_fused_links_compute_what_they_did(tmp_path: Path) -> None:
    source, mapping = save_model(NETWORKS["separable"](), tmp_path / "model.onnx"), tmp_path / "mapping.toml"
    mapping.write_text(FUSED)
    inputs = {"x": np.random.default_rng(1).standard_normal((2, 4, 8, 8)).astype(np.float32)}

    def results(file: Path | None) -> np.ndarray:
        options = CompileOptions(target="generic", mapping=None if file is None else str(file), stop="mapped")
        (result,) = Interpreter(compile_source(str(source), options).module).run(inputs).values()
        return result

    np.testing.assert_array_equal(results(mapping), results(None))


SEQUENTIAL = """
groups = '''
fuse "t2", "t5", "t7" {
    store glb ["t2.K", "t5.K"]
    for H.opc 3
    store glb ["t5", recompute "t2"]
    sequential { store glb ["t7.P0"] }
}
'''
"""


@pytest.mark.parametrize("target", ["eyeriss", "generic"])
def test_what_links_do_within_a_turn_is_searched(target: str, tmp_path: Path) -> None:
    source, mapping = save_model(NETWORKS["separable"](), tmp_path / "model.onnx"), tmp_path / "mapping.toml"
    mapping.write_text(SEQUENTIAL)
    saved = tmp_path / "saved.toml"
    text = mapped(source, mapping, target, saved)
    assert text.count("<store glb [I" if target == "eyeriss" else "<store glb [I, K, O]") == 3
    assert mapped(source, saved, target) == text


@pytest.mark.parametrize("target", ["eyeriss", "generic"])
def test_fused_programs_compute_what_others_do_and_move_fewer_words(target: str, tmp_path: Path) -> None:
    source, mapping = save_model(NETWORKS["separable"](), tmp_path / "model.onnx"), tmp_path / "mapping.toml"
    mapping.write_text(SEQUENTIAL)
    inputs = {"x": np.random.default_rng(1).standard_normal((2, 4, 8, 8)).astype(np.float32)}
    words: list[int] = []
    results: list[np.ndarray] = []
    for file in (str(mapping), None):
        program = compile_source(str(source), CompileOptions(target=target, mapping=file)).program
        assert program is not None
        emulator = find_backend(program.metadata.backend).load(program)
        (result,) = emulator.run(inputs).values()
        results.append(result)
        for layer in program.layers:
            assert not emulator.counters[layer.name].differences(Counts.of(layer.predicted)), layer.name
        moved = ("input.read", "kernel.read", "extra.read", "output.update", "output.write")
        words.append(
            sum(counts.events.get(f"dram.{event}", 0) for counts in emulator.counters.values() for event in moved)
        )
    np.testing.assert_allclose(results[0], results[1], rtol=0, atol=1e-5 * np.abs(results[1]).max())
    assert words[0] < words[1]


def test_a_layer_is_no_link_of_a_group(tmp_path: Path) -> None:
    source, mapping = save_model(NETWORKS["separable"](), tmp_path / "model.onnx"), tmp_path / "mapping.toml"
    mapping.write_text(
        FUSED
        + '\n[layers]\nt5 = "#schedule.mapping<store glb [I, K, O], for C.g 1, for N.opc 1, store rf [I, K, O]>"\n'
    )
    with pytest.raises(CatenaError, match="the layer is a link of a group") as caught:
        mapped(source, mapping, "generic")
    (problem,) = caught.value.diagnostics
    assert problem.where == f"{mapping}, line 17"


def test_a_kernel_that_is_not_where_it_is_read_is_to_be_placed(tmp_path: Path) -> None:
    source, mapping = save_model(NETWORKS["separable"](), tmp_path / "model.onnx"), tmp_path / "mapping.toml"
    mapping.write_text('groups = """\nfuse "t2", "t5" { for H.opc 1 }\n"""')
    with pytest.raises(CatenaError, match="K lies in a memory that it is not read from") as caught:
        mapped(source, mapping, "spots")
    assert caught.value.diagnostics[0].hint.startswith("place it by store kernel [...]")


@pytest.mark.parametrize("target", ["eyeriss", "generic", "spots"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pipeline { }", "links of a pipeline work at the same time, and TARGET has one array for all of them"),
        (
            'for H.ks 1 store BUFFER ["t16"]',
            "for H.ks 1: sums of t16 would leave the chip unfinished between turns",
        ),
    ],
)
def test_what_no_code_is_made_of_names_its_statement(text: str, message: str, target: str, tmp_path: Path) -> None:
    source, mapping = save_model(NETWORKS["residual"](), tmp_path / "model.onnx"), tmp_path / "mapping.toml"
    first, second = [each.partition(" {")[0] for each in TWO_GROUPS.replace("fuse ", "").splitlines()]
    said = text.replace("BUFFER", "input" if target == "spots" else "glb")
    mapping.write_text(f"groups = '''\nfuse {first} {{ }}\n\n  fuse {second} {{ {said} }}\n'''")
    with pytest.raises(CatenaError) as caught:
        mapped(source, mapping, target)
    (problem,) = [each for each in caught.value.diagnostics if each.message == message.replace("TARGET", target)]
    assert (problem.code, problem.where) == ("CAT-F002", f"{mapping}, line 4, column 3")
    assert problem.hint


def test_the_nest_of_a_link_that_does_not_fit_its_turns_names_the_statement(tmp_path: Path) -> None:
    source, mapping = save_model(NETWORKS["separable"](), tmp_path / "model.onnx"), tmp_path / "mapping.toml"
    nest = '"t5": <store rf [I], for H.opc 1, store rf [O]>'
    mapping.write_text(FUSED.replace('"t5": <>', nest).replace("pipeline", "sequential"))
    with pytest.raises(CatenaError) as caught:
        mapped(source, mapping, "generic", stop="placed")
    assert {problem.where for problem in caught.value.diagnostics} == {f"{mapping}, line 3, column 1"}
    assert "the nest does not take it from there" in str(caught.value)


def test_groups_of_ir_keep_their_links_from_mapping_files(tmp_path: Path) -> None:
    source, mapping = save_model(NETWORKS["separable"](), tmp_path / "model.onnx"), tmp_path / "mapping.toml"
    mapping.write_text(FUSED)
    ir = tmp_path / "mapped.mlir"
    write_module(parse_module(mapped(source, mapping, "generic")).module, ir)
    other = tmp_path / "other.toml"
    other.write_text('[layers]\nt5 = "#schedule.mapping<store glb [I, O]>"\n')
    with pytest.raises(CatenaError, match="the layer is a link of a group"):
        compile_source(str(ir), CompileOptions(start="encoded", stop="mapped", mapping=str(other)))
    other.write_text('groups = """\nfuse "t5", "t7" { }\n"""')
    with pytest.raises(CatenaError, match='"t5" is in another group'):
        compile_source(str(ir), CompileOptions(start="encoded", stop="mapped", mapping=str(other)))
    text = print_module(compile_source(str(ir), CompileOptions(start="encoded", stop="mapped")).module)
    assert text == ir.read_text()
