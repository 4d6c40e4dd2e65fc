"""verify finds planted faults: the layer, and the instruction, of each; and cuts out what shows it again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from backends.container import write_program
from compiler.compilation import CompileOptions, compile_model, compile_source
from compiler.execution import load_program, run_program
from compiler.explanation.groups import fused_mappings
from compiler.explanation.layers import explained_layers
from compiler.host_execution import HostRuntime
from compiler.localising.evidence import Evidence
from compiler.localising.locating import Location, locate
from compiler.localising.tiles import first_wrong_tile
from compiler.sources import file_digest
from compiler.targets import select_target
from compiler.verification.layers import verify_program
from compiler.verification.programs import verify_source
from dialects.fused_attribute import FusedAttr
from dialects.gconv import LoopKind
from dialects.gemm_mapping import GemmMapping
from dialects.schedule import Loop, Mapping, Temporal
from tests.compiler.conftest import Cli
from tests.compiler.localising.faults import CONV, FAULTS, LINKS, Fault, altered, other_constants, program_for
from tests.compiler.small_models import save_model, small_cnn, small_norms
from tests.compiler.verification.test_layers import branching_model

onnxruntime = pytest.importorskip("onnxruntime")


def planted(fault: Fault, folder: Path) -> tuple[Path, Path]:
    """The model and the program with a fault, as files; checksums of the program are right."""
    content = fault.model()
    model = save_model(content, folder / "model.onnx")
    program = fault.plant(program_for(fault.target, content), folder)
    path = folder / "wrong.cat"
    write_program(replace(program, metadata=replace(program.metadata, model_sha256=file_digest(model))), path)
    return model, path


def located(fault: Fault, folder: Path) -> tuple[Evidence, Location]:
    model, path = planted(fault, folder)
    program, emulator = load_program(path, fault.engine)
    evidence = verify_program(program, emulator, model).evidence
    assert evidence is not None, "the fault changes nothing"
    return evidence, locate(program, emulator, model, evidence)


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = FAULTS[name]
    fault.mutate(monkeypatch)
    evidence, found = located(fault, tmp_path)
    assert found.layer == fault.layer
    assert found.blame is not None, found.lines()
    assert found.blame.text.startswith(fault.instruction)
    assert found.tile is not None
    assert 0 < found.tile.wrong <= found.tile.elements
    assert found.tile.wrong <= int(evidence.wrong.sum())


@pytest.mark.parametrize("name", LINKS)
def test_a_fault_in_a_link_without_a_reference_is_found_from_the_last_link(name: str, tmp_path: Path) -> None:
    fault = LINKS[name]
    evidence, found = located(fault, tmp_path)
    assert (found.layer, found.seen_in) == (fault.layer, evidence.layer.name)
    assert evidence.layer.name != fault.layer
    assert found.blame is not None, found.lines()
    assert found.blame.text.startswith(fault.instruction)


def test_a_reproducer_of_a_link_without_a_reference_has_the_links_of_its_operator(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = LINKS["exponential"]
    model, path = planted(fault, tmp_path)
    folder = tmp_path / "again"
    assert cli("verify", path, "--model", model, "--reproducer", folder).code == 5
    assert [node.name for node in onnx.load(folder / "model.onnx").graph.node] == ["soft1"]
    monkeypatch.chdir(folder)
    again = cli("verify", "layer.cat", "--model", "model.onnx", "-i", "inputs.npz")
    assert again.code == 5
    assert "first difference: layer 'soft1#3'" in again.out


def test_a_link_without_a_reference_at_which_the_emulator_stops_is_shown_with_its_operator(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    beginning = "base tensor=input"
    plant = altered("soft1#2", beginning, address=1 << 30)
    fault = Fault("generic", "soft1#2", beginning, plant, model=small_norms)
    model, path = planted(fault, tmp_path)
    result = cli("verify", path, "--model", model, "--reproducer", tmp_path / "again", "--json")
    place = result.json["result"]["location"]
    assert (result.code, place["layer"]) == (5, fault.layer)
    assert place["blame"]["text"].startswith(beginning)
    assert [node.name for node in onnx.load(tmp_path / "again" / "model.onnx").graph.node] == ["soft1"]
    monkeypatch.chdir(tmp_path / "again")
    again = cli("verify", "layer.cat", "--model", "model.onnx", "-i", "inputs.npz")
    assert again.code == 5
    assert "first wrong layer: soft1#2" in again.out


def test_a_layer_that_makes_a_part_of_a_tensor_is_shown_in_the_whole_program(tmp_path: Path) -> None:
    """Alone, it leaves words of the tensor unwritten, at which the emulator would stop, whatever else is wrong."""

    def change(words: np.ndarray) -> None:
        words[1] += 3

    fault = Fault("eyeriss", "right", "load tensor=kernel", other_constants("v", change), model=branching_model)
    model, path = planted(fault, tmp_path)
    found = verify_source(str(path), model, reproducer=tmp_path / "again")
    assert found.location is not None
    assert found.location.layer == "right"
    assert found.reproducer is not None
    assert found.reproducer.command.startswith("catena verify program.cat")


@pytest.mark.parametrize("word", [2, *(pytest.param(word, marks=pytest.mark.exhaustive) for word in (0, 5))])
def test_altered_bitmaps_are_blamed_on_the_load_that_decodes_them(word: int, tmp_path: Path) -> None:
    """Whether the stream can be decoded or not."""

    def change(words: np.ndarray) -> None:
        words[word] ^= 0x5A

    fault = Fault("spots", "conv2", "load tensor=kernel", other_constants("w2#2", change), model=pruned)
    _, found = located(fault, tmp_path)
    assert found.layer == "conv2"
    assert found.blame is not None, found.lines()
    assert found.blame.text.startswith("load tensor=kernel")
    assert f"word {word} of 'w2#2'" in found.blame.reason


def pruned() -> onnx.ModelProto:
    """x -> conv1 -> conv2 -> y, with weights of zero in many columns of the kernels."""
    random = np.random.default_rng(1)
    stored: list[onnx.TensorProto] = []
    for name in ("w1", "w2"):
        weights = random.standard_normal((8, 8, 3, 3)).astype(np.float32)
        weights.reshape(8, -1)[:, random.random(72) < 0.7] = 0
        stored.append(onnx.numpy_helper.from_array(weights, name))
    convs = ("x", "w1", "a"), ("a", "w2", "y")
    nodes = [
        onnx.helper.make_node("Conv", [given, weights], [made], name=f"conv{number}", pads=[1, 1, 1, 1])
        for number, (given, weights, made) in enumerate(convs, 1)
    ]
    ports = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 8, 6, 6]) for name in "xy"]
    graph = onnx.helper.make_graph(nodes, "pruned", ports[:1], ports[1:], stored)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def test_a_layer_at_which_the_emulator_stops_is_located_and_cut_out(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stride leaves words of the result unwritten."""
    beginning = "stride tensor=output, dim=0"
    fault = Fault("eyeriss", CONV, beginning, altered(CONV, beginning, stride=35))
    model, path = planted(fault, tmp_path)
    result = cli("verify", path, "--model", model, "--reproducer", tmp_path / "again", "--json")
    first, *_ = result.json["diagnostics"]
    assert (result.code, first["code"], first["node"]) == (5, "CAT-E002", CONV)
    assert "tensor 'b'" in first["message"]
    place = result.json["result"]["location"]
    assert (place["layer"], place["tile"]) == (CONV, None)
    assert place["blame"]["text"].startswith(beginning)
    monkeypatch.chdir(tmp_path / "again")
    command = Path("README.txt").read_text().split("catena ")[1].split("\n")[0].split()
    again = cli(*command)
    assert again.code == 5
    assert f"first wrong layer: {CONV}" in again.out


def test_there_are_twenty_faults_on_all_four_kinds_of_machines() -> None:
    assert len(FAULTS) >= 20
    assert {fault.target for fault in FAULTS.values()} == {"eyeriss", "generic", "spots", "rram"}


def test_the_first_wrong_tile_is_that_of_the_first_turn(tmp_path: Path) -> None:
    """The generic machine makes a row and a column at a time: without padding, only borders are wrong."""
    fault = replace(FAULTS["padding"], target="generic")
    evidence, found = located(fault, tmp_path)
    assert found.tile is not None
    ranges = {name: (first, last) for name, first, last in found.tile.ranges}
    wrong = evidence.wrong.reshape(4, 6, 6)
    top, left = np.argwhere(wrong.any(axis=0))[0]
    assert ranges["H.opc"] == (top, top)
    assert ranges["W.opc"] == (left, left)
    assert found.tile.wrong == wrong[:, top, left].sum()


def test_tiles_of_matrix_products_are_those_of_their_mapping() -> None:
    """The third strip of two rows is the first with a wrong one, and the second two kernels in it."""
    program = program_for("spots", small_cnn())
    (layer,) = (each for each in explained_layers(program) if each.entry.name == CONV)
    (tensor,) = (each for each in program.tensors if each.name == layer.entry.outputs[0])
    assert isinstance(layer.mapping, GemmMapping)
    loops = Temporal(Loop("H", LoopKind.OPC), 2), Temporal(Loop("C", LoopKind.OP), 2)
    cut = replace(layer, mapping=replace(layer.mapping, tiles=Mapping(loops)))
    wrong = np.zeros(tensor.shape, np.bool_)
    wrong.reshape(4, 6, 6)[3, 4:] = True
    tile = first_wrong_tile(wrong, tensor, cut)
    assert tile.is_turn
    assert tile.ranges == (("C.op", 2, 3), ("H.opc", 4, 5), ("W.opc", 0, 5))
    assert (tile.wrong, tile.elements) == (12, 24)


def test_tiles_of_a_group_are_turns_of_its_loops_around_those_of_its_last_layer() -> None:
    program = compile_model(small_cnn(), select_target("generic"), CompileOptions(fuse=True)).program
    assert program is not None
    (group,) = program.groups
    *_, mapping = fused_mappings(group)
    (head,) = (each for each in explained_layers(program) if each.entry.name == group.layers[-1])
    (tensor,) = (each for each in program.tensors if each.name in group.outputs)
    rows, channels = Temporal(Loop("H", LoopKind.OPC), 1), Temporal(Loop("C", LoopKind.OPC), 2)
    *others, (link, _) = mapping.branches
    cut = replace(mapping, loops=(rows,), branches=(*others, (link, Mapping((channels,)))))
    wrong = np.zeros(tensor.shape, np.bool_)
    wrong.reshape(4, 3, 3)[2, 1:] = True
    tile = first_wrong_tile(wrong, tensor, head, replace(group, mapping=str(FusedAttr.of(cut))))
    assert tile.is_turn
    assert tile.ranges == (("C.opc", 2, 3), ("H.opc", 1, 1), ("W.opc", 0, 2))
    assert (tile.wrong, tile.elements) == (3, 6)


def test_tiles_of_layers_on_cores_are_what_a_core_makes(tmp_path: Path, cli: Cli) -> None:
    model, path = planted(FAULTS["biases of a core"], tmp_path)
    assert "first wrong tile: core 0, H.opc 0 to 5: " in cli("verify", path, "--model", model).out


@pytest.mark.parametrize("name", ["padding", "one bias", "half of the weights", "stride of windows"])
def test_a_reproducer_shows_the_fault_again(
    name: str, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = FAULTS[name]
    model, path = planted(fault, tmp_path)
    folder = tmp_path / "again"
    result = cli("verify", path, "--model", model, "--reproducer", folder, "--json")
    assert result.code == 5
    place = result.json["result"]["location"]
    assert (place["layer"], place["blame"]["text"].startswith(fault.instruction)) == (fault.layer, True)
    cut = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(cut)
    assert [node.name for node in cut.graph.node][-1] == fault.layer.split(" + ")[-1]
    assert "pool1" not in {node.name for node in cut.graph.node}
    inputs, expected = (dict(np.load(folder / f"{each}.npz")) for each in ("inputs", "expected"))
    session = onnxruntime.InferenceSession(cut.SerializeToString(), providers=["CPUExecutionProvider"])
    for array, wanted in zip(session.run(None, inputs), expected.values(), strict=True):
        np.testing.assert_allclose(array, wanted, rtol=1e-5, atol=1e-6)
    command = (folder / "README.txt").read_text().split("catena ")[1].split("\n")[0].split()
    monkeypatch.chdir(folder)
    again = cli(*command)
    assert again.code == 5
    assert f"first wrong layer: {fault.layer}" in again.out
    assert f"({fault.instruction}" in again.out


def test_a_layer_of_a_group_is_found_by_what_leaves_the_group(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_model(small_cnn(), tmp_path / "model.onnx")
    program = compile_source(str(model), CompileOptions(target="generic", fuse=True)).program
    assert program is not None
    assert program.groups[0].layers == ("conv1 + relu1", "pool1")
    path = tmp_path / "wrong.cat"
    write_program(FAULTS["main operator"].plant(program, tmp_path), path)
    program, emulator = load_program(path)
    evidence = verify_program(program, emulator, model).evidence
    assert evidence is not None
    assert evidence.layer.name == "pool1"
    location = locate(program, emulator, model, evidence)
    assert (location.layer, location.seen_in) == (CONV, "pool1")
    found = location.blame
    assert found is not None
    assert found.text.startswith(FAULTS["main operator"].instruction)
    again = seen_again(path, model, cli, monkeypatch)
    assert f"first wrong layer: {CONV}" in again


def test_where_the_emulator_stops_in_a_group_no_layer_of_it_is_said_to_stop(tmp_path: Path, cli: Cli) -> None:
    model = save_model(small_cnn(), tmp_path / "model.onnx")
    program = compile_source(str(model), CompileOptions(target="generic", fuse=True)).program
    assert program is not None
    path = tmp_path / "wrong.cat"
    write_program(altered(CONV, "base tensor=input", address=1 << 30)(program, tmp_path), path)
    result = cli("verify", path, "--model", model)
    assert result.code == 5
    (row,) = [line for line in result.out.splitlines() if line.startswith("group 'pool1'")]
    assert row.split()[-2:] == ["stops", "WRONG"]
    assert f"first wrong layer: {CONV} (conv1 + relu1), because of which c of pool1 is not made" in result.out
    assert "group 'pool1' does not come to its end" in result.err


def test_a_layer_of_several_cores_is_seen_again_in_the_whole_program(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its model has words in a file beside it; the tolerance that was asked for is part of the command."""
    fault = FAULTS["biases of a core"]
    model, path = planted(fault, tmp_path)
    content = onnx.load(model)
    onnx.save(content, model, save_as_external_data=True, location="words.bin", size_threshold=0)
    program, _ = load_program(path)
    write_program(replace(program, metadata=replace(program.metadata, model_sha256=file_digest(model))), path)
    again = seen_again(path, model, cli, monkeypatch, "--tolerance", "0.001")
    assert f"first wrong layer: {fault.layer}" in again
    assert f"({fault.instruction}" in again
    assert "--tolerance 0.001" in Path("README.txt").read_text()
    assert Path("words.bin").is_file()


def seen_again(path: Path, model: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, *asked: str) -> str:
    """What the command of a reproducer of a whole program prints: the same as the first one, where nothing else is."""
    folder = path.parent / "again"
    first = cli("verify", path, "--model", model, "--reproducer", folder, *asked)
    assert "cannot run alone: the command verifies the whole program" in (folder / "README.txt").read_text()
    path.unlink()
    model.unlink()
    monkeypatch.chdir(folder)
    again = cli(*Path("README.txt").read_text().split("catena ")[1].split("\n")[0].split())
    assert first.code == again.code == 5
    assert first.out.partition("to see it again")[0] == again.out
    program, emulator = load_program(Path("program.cat"))
    given, expected = (dict(np.load(f"program-{each}.npz")) for each in ("inputs", "expected"))
    made = run_program(program, emulator, HostRuntime(program), given)
    assert set(made) == set(expected)
    assert any(not np.allclose(array, made[name], atol=1e-4) for name, array in expected.items())
    return again.out


def test_the_text_says_layer_tile_and_instruction(tmp_path: Path, cli: Cli) -> None:
    model, path = planted(FAULTS["padding"], tmp_path)
    out = cli("verify", path, "--model", model).out
    assert "first wrong layer: conv1 + relu1" in out
    assert "first wrong tile: C.op 0 to 3" in out
    assert "to blame: instruction 4 (window dim=1" in out
    assert "expected: window dim=1, stride=1, dilation=1, pad=1" in out


def test_a_program_that_is_right_has_no_location(tmp_path: Path, cli: Cli) -> None:
    model = save_model(small_cnn(), tmp_path / "model.onnx")
    result = cli("verify", model, "--reproducer", tmp_path / "again", "--json")
    assert (result.code, result.json["result"]["location"]) == (0, None)
    assert not (tmp_path / "again").exists()
