"""Files that are read from and written to names a person gives."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from backends.files import copy_into, replacing, share
from compiler.arrays import read_arrays, write_arrays
from compiler.files import read_text, write_text
from compiler.sources import SourceKind, kind_of
from dialects.diagnostics import CatenaError


def codes(error: CatenaError) -> list[str]:
    return [each.code for each in error.diagnostics]


def test_a_file_is_replaced_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")

    def write_half() -> None:
        with replacing(path) as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    write_text(path, "new")
    assert path.read_text() == "new"


def test_a_folder_that_is_not_there_is_to_be_made_first(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    with pytest.raises(CatenaError) as caught:
        write_text(folder / "x.txt", "new")
    assert [(each.code, each.hint) for each in caught.value.diagnostics] == [
        ("CAT-C002", f"make the folder first: {folder}")
    ]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("can", [True, False])
def test_a_file_is_copied_whether_or_not_the_system_does_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can: bool
) -> None:
    def cannot(*_: object) -> int:
        raise OSError(errno.EXDEV, "not between these")

    if not can:
        monkeypatch.setattr(os, "copy_file_range", cannot, raising=False)
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(bytes(range(256)) * 1000)
    with replacing(target) as stream:
        copy_into(source, stream)
    assert target.read_bytes() == source.read_bytes()
    with replacing(Path("/dev/null")) as stream:
        copy_into(source, stream)
    with pytest.raises(FileNotFoundError), target.open("wb") as stream:
        copy_into(tmp_path / "c", stream)


@pytest.mark.parametrize("can", [True, False])
def test_a_file_is_shared_or_copied_where_it_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can: bool
) -> None:
    def cannot(*_: object) -> int:
        raise OSError(errno.EXDEV, "not between these")

    if not can:
        monkeypatch.setattr(os, "link", cannot)
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"words")
    target.write_bytes(b"others")
    for _ in range(2):
        share(source, target)
        assert target.samefile(source) == can
        assert target.read_bytes() == b"words"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    with pytest.raises(CatenaError, match="cannot write"):
        share(source, tmp_path / "missing" / "b")


def test_a_device_is_written_not_replaced() -> None:
    write_text(Path("/dev/null"), "gone")
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("name", ["missing/x.txt", "."])
def test_impossible_outputs_are_errors(tmp_path: Path, name: str) -> None:
    with pytest.raises(CatenaError) as caught:
        write_text(tmp_path / name, "text")
    assert codes(caught.value) == ["CAT-C002"]


@pytest.mark.parametrize("name", [".", "missing.txt"])
def test_unreadable_inputs_are_errors(tmp_path: Path, name: str) -> None:
    with pytest.raises(CatenaError) as caught:
        read_text(str(tmp_path / name))
    assert codes(caught.value) == ["CAT-C002"]


def test_a_missing_file_is_compared_with_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "resnet.onnx").write_bytes(b"x")
    with pytest.raises(CatenaError) as caught:
        kind_of(str(tmp_path / "resnte.onnx"))
    assert "resnet.onnx" in caught.value.diagnostics[0].hint


def test_kinds_are_told_apart_by_content_and_name(tmp_path: Path, program: Path, cnn: Path) -> None:
    renamed = tmp_path / "renamed"
    renamed.write_bytes(program.read_bytes())
    (tmp_path / "x.mlir").write_text("")
    assert kind_of(str(renamed)) is SourceKind.PROGRAM
    assert kind_of(str(cnn)) is SourceKind.MODEL
    assert kind_of(str(tmp_path / "x.mlir")) is SourceKind.IR
    assert kind_of("-") is SourceKind.IR


def test_arrays_round_trip_with_awkward_names(tmp_path: Path) -> None:
    arrays = {"file": np.arange(3), "a/b:0": np.eye(2, dtype=np.float32), "scalar": np.array(1.5)}
    write_arrays(arrays, tmp_path / "x.npz")
    found = read_arrays([str(tmp_path / "x.npz")])
    assert list(found) == list(arrays)
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())


def test_equal_arrays_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        write_arrays({"x": np.arange(5)}, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_single_arrays_have_a_name(tmp_path: Path) -> None:
    write_arrays({"x": np.arange(5)}, tmp_path / "x.npy")
    assert list(read_arrays([f"in=put={tmp_path}/x.npy"])) == ["in=put"]


@pytest.mark.parametrize("name", ["x.txt", "x.npy"])
def test_outputs_need_a_fitting_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(CatenaError) as caught:
        write_arrays({"x": np.arange(5), "y": np.arange(2)}, tmp_path / name)
    assert codes(caught.value) == ["CAT-C001"]
    assert not list(tmp_path.iterdir())


def test_every_bad_array_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 not a zip")
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY\x01\x00 cut")
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "many.npz", x=np.arange(2))
    arguments = [
        str(tmp_path / "bad.npz"),
        f"a={tmp_path}/bad.npy",
        f"b={tmp_path}/pickled.npy",
        f"c={tmp_path}/many.npz",
        f"d={tmp_path}/none.npy",
        f"e={tmp_path}",
        str(tmp_path / "none.npz"),
        "whatever",
    ]
    with pytest.raises(CatenaError) as caught:
        read_arrays(arguments)
    assert codes(caught.value) == ["CAT-C002"] * 7 + ["CAT-C001"]


def test_text_is_no_array(tmp_path: Path) -> None:
    """NumPy takes whatever it does not know for pickled objects, and says how to load those all the same."""
    for name, argument in (("text.npz", "{}"), ("text.npy", "x={}")):
        (tmp_path / name).write_text("1 2 3\n")
        with pytest.raises(CatenaError, match=r"begins neither as a \.npz file nor as a \.npy file") as caught:
            read_arrays([argument.format(tmp_path / name)])
        assert codes(caught.value) == ["CAT-C002"]


def test_a_name_given_twice_is_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(2))
    with pytest.raises(CatenaError, match="'x' is given twice"):
        read_arrays([f"x={tmp_path}/x.npy", f"x={tmp_path}/x.npy"])


def test_words_reach_the_disk_before_the_name_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, done = tmp_path / "x.txt", list[str]()
    path.write_text("old")
    sync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        done.append("folder" if Path(f"/proc/self/fd/{handle}").resolve() == tmp_path else path.read_text())
        sync(handle)

    def replaced(source: str, target: str) -> None:
        done.append(Path(source).read_text())
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    write_text(path, "new")
    assert done == ["old", "new", "folder"]


def test_a_disk_that_does_not_take_the_words_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CatenaError, match="no space left"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_the_place_of_a_file_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(CatenaError) as caught:
        read_text(str(tmp_path))
    (problem,) = caught.value.diagnostics
    assert problem.code == "CAT-C002"
    assert problem.hint == "this is a folder: name a file"
