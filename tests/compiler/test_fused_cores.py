"""`--fuse` on cores with crossbars: compiled, verified, shown, written as a listing and read again."""

from __future__ import annotations

from pathlib import Path

import onnx

from backends.container import write_program
from tests.backends.rram.quantized import SMALL, ready, residual
from tests.compiler.conftest import Cli

CHIP = {**SMALL, "cores.count": "144", "schedule.pipelined": "true"}


def test_the_command_fuses_verifies_and_shows_groups(cli: Cli, tmp_path: Path) -> None:
    """Without being asked for, the machine runs layers as a pipeline: groups are that."""
    source, program = tmp_path / "network.onnx", tmp_path / "network.cat"
    onnx.save(residual(5, 9), source)
    given = [f"{key}={value}" for key, value in CHIP.items() if not key.startswith("schedule")]
    chip = [word for each in given for word in ("--set", each)]
    made = cli("compile", source, "-t", "rram", *chip, "--fuse", "-o", program)
    assert made.code == 0, made.err
    verified = cli("verify", program, "--model", source)
    assert verified.code == 0, verified.out + verified.err
    # What lies between layers of the group is compared, too: each reads what the reference has.
    assert "6 of 6 layers" in verified.out + verified.err
    shown = cli("explain", program)
    assert "6 layers take turns" in shown.out
    assert "words of shared" in shown.out
    assert "for H.opc 1" in shown.out
    assert "words of the memory" in cli("run", program, "--random").out
    refused = cli("compile", source, "-t", "rram", *chip, "--fuse", "--set", "schedule.pipelined=false")
    assert refused.code == 3
    assert "CAT-U006" in refused.err
    assert "fused groups of cores run as pipelines" in refused.err


def test_mapping_files_are_refused_and_none_is_written(cli: Cli, tmp_path: Path) -> None:
    source, saved, given = (tmp_path / name for name in ("network.onnx", "saved.toml", "given.toml"))
    onnx.save(residual(5, 9), source)
    given.write_text('format = 1\n[layers.y]\nmapping = "for C.op 1"\n')
    for option, file in (("--save-mapping", saved), ("--mapping", given)):
        refused = cli("compile", source, "-t", "rram", option, file, "-o", tmp_path / "network.cat")
        assert refused.code == 2
        message = f"{file}): {option}: the passes of rram lay layers over its cores: mapping files cannot say how"
        assert message in " ".join(refused.err.split()), refused.err
        assert f"leave {option} out; --set schedule.KEY=VALUE" in refused.err
    assert not saved.exists()
    assert not (tmp_path / "network.cat").exists()


def test_listings_of_groups_assemble_again(cli: Cli, tmp_path: Path) -> None:
    program, listing, again = (tmp_path / name for name in ("a.cat", "a.s", "b.cat"))
    write_program(ready(residual(5, 9), CHIP, fuse=True).program, program)
    assert cli("disasm", program, "-o", listing).code == 0
    assert "reuse" in listing.read_text(encoding="utf-8")
    assert cli("asm", listing, "-o", again).code == 0
    assert program.read_bytes() == again.read_bytes()
