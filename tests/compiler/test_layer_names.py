"""Names of layers in tables: the node that tells a layer apart stands there, however many others quantize."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from backends.container import read_program
from compiler.explanation.explaining import explain_program
from compiler.explanation.text import overview_table
from compiler.layer_names import told
from compiler.report_page import page_of
from compiler.reporting import report_of
from compiler.reports import layer_table
from compiler.verification.comparison import Comparison, layer_subject
from compiler.verification.text import comparison_table

NODES = ("x_DequantizeLinear", "conv1.weight_DequantizeLinear", "conv1", "relu1", "b_QuantizeLinear")
NAME = " + ".join(NODES)


def test_nodes_that_only_change_numbers_are_left_out_beside_others() -> None:
    assert told(NAME, NODES) == "conv1 + relu1"
    assert told(f"{NAME}.2", NODES) == "conv1 + relu1.2"
    assert told("e_DequantizeLinear", ("e_DequantizeLinear",)) == "e_DequantizeLinear"
    assert told("out", ()) == "out"


def test_every_table_names_the_node_that_matters(program: Path) -> None:
    loaded = read_program(program)
    layer = loaded.layers[0]
    debug = tuple(replace(each, layer=NAME) if each.layer == layer.name else each for each in loaded.debug)
    loaded = replace(loaded, layers=(replace(layer, name=NAME, nodes=NODES), *loaded.layers[1:]), debug=debug)
    assert layer_table(report_of(loaded)).rows[0][0] == "conv1 + relu1"
    assert overview_table(explain_program(loaded)).rows[0][1] == "conv1 + relu1"
    assert page_of(loaded).data["layers"][0]["label"] == "conv1 + relu1"
    compared = Comparison(layer_subject(NAME), "b", NODES, 0.0, "", 0.1)
    assert comparison_table([compared]).rows[0][0] == "layer 'conv1 + relu1'"
