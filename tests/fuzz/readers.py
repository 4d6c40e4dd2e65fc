"""Everything that reads a file which somebody else wrote: how it is called, what it accepts, how that is changed."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from xdsl.dialects.builtin import ModuleOp

from backends.container import parse_program, program_bytes
from backends.disassembly import disassemble
from backends.listing import read_listing, write_listing
from backends.program import Program
from backends.registry import find_backend, installed_backends
from compiler.arrays import read_arrays, write_arrays
from compiler.assembling import program_backend_isa
from compiler.compilation import CompileOptions, compile_model
from compiler.descriptions.data import read_description
from compiler.design_space import read_space
from compiler.design_space.points import points_of
from compiler.driver import run_passes
from compiler.dumps import MappingDump, StageDump
from compiler.execution import predicted_report
from compiler.ir_text import new_context
from compiler.optimization import load_module
from compiler.pipelines import parse_passes
from compiler.sources import ImportOptions
from compiler.stages import stage_named
from compiler.targets import select_target
from dialects.encodings.names import format_named
from dialects.validation import validated
from dialects.weights import Blob, WeightStore
from passes.pin_mappings import PinMappingsPass
from tests.compiler.small_models import small_cnn
from tests.end_to_end.networks import NETWORKS
from tests.fuzz.messages import mutated_archive, mutated_model, mutated_program
from tests.fuzz.mutation import Mutator, mutated_bytes, mutated_text

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
NETWORK_NAMES = ("classifier", "residual", "attention", "separable")
TARGETS = ("eyeriss", "generic", "spots", "rram")
CHAIN_TARGETS = ("eyeriss", "generic")
FORMATS = ("rlc", "bitmap", "csr", "csc", "spots<height 4>")
SHAPES = ((6,), (4, 3, 2), (8, 2, 3, 3), (1, 40))
DTYPES = ("float32", "int8")


@dataclass(frozen=True)
class Reader:
    """`read` takes the bytes of a file and a folder, which it may write to and which `prepare` has put files into.

    `seeds` gives files that are read without a problem, by name; `read` returns then, and raises `CatenaError` if it
    refuses a file. Anything else is a finding.
    """

    name: str
    read: Callable[[bytes, Path], None]
    seeds: Callable[[], Mapping[str, bytes]]
    mutate: Mutator
    prepare: Callable[[Path], None] = lambda folder: None

    def corpus(self) -> list[bytes]:
        """The seeds, and what former campaigns kept."""
        kept = sorted((CORPUS / self.name).glob("*")) if (CORPUS / self.name).is_dir() else []
        return [*self.seeds().values(), *(path.read_bytes() for path in kept)]


def _written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


# ONNX


def _read_onnx(data: bytes, folder: Path) -> None:
    """Imported and lowered to general convolutions."""
    module = load_module(str(_written(folder, "m.onnx", data)), ImportOptions())
    run_passes(module, [step for text in stage_named("gconv").passes for step in parse_passes(text)], new_context())


def _models() -> dict[str, bytes]:
    built = {"cnn": small_cnn(), **{name: NETWORKS[name]() for name in NETWORK_NAMES}}
    return {name: model.SerializeToString(deterministic=True) for name, model in built.items()}


# IR text


def _read_ir(data: bytes, folder: Path) -> None:
    load_module(str(_written(folder, "m.mlir", data)), ImportOptions())


@cache
def _stages() -> Mapping[str, bytes]:
    """The small network after every stage, and its weights under their names."""
    with tempfile.TemporaryDirectory() as name:
        for target in CHAIN_TARGETS:
            folder = Path(name) / target
            compile_model(small_cnn(), select_target(target), CompileOptions(), (StageDump(folder),))
        files = [path for path in sorted(Path(name).rglob("*")) if path.is_file()]
        return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in files}


def _ir_texts() -> dict[str, bytes]:
    return {name: data for name, data in _stages().items() if name.endswith(".mlir")}


def _put_weights(folder: Path) -> None:
    (folder / "weights").mkdir(exist_ok=True)
    for name, data in _stages().items():
        if name.startswith("weights/"):
            (folder / name).write_bytes(data)


# Programs, as files and as text


def _read_program(data: bytes, folder: Path) -> None:
    """Parsed, listed, and loaded into the emulator."""
    program = parse_program(data, "p.cat")
    backend = find_backend(program.metadata.backend)
    disassemble(program, backend.isa())
    predicted_report(program)
    backend.load(program, None)


@cache
def _programs() -> Mapping[str, Program]:
    found: dict[str, Program] = {}
    for target in TARGETS:
        program = compile_model(small_cnn(), select_target(target), CompileOptions()).program
        assert program is not None
        found[target] = program
    return found


def _program_files() -> dict[str, bytes]:
    return {name: program_bytes(program) for name, program in _programs().items()}


def _read_listing(data: bytes, folder: Path) -> None:
    read_listing(_written(folder, "p.s", data), program_backend_isa)


def _listings() -> dict[str, bytes]:
    found = _programs().items()
    return {name: disassemble(each, program_backend_isa(each.metadata)).encode() for name, each in found}


def _put_constants(folder: Path) -> None:
    for program in _programs().values():
        write_listing(program, program_backend_isa(program.metadata), folder / "seed.s")


# Descriptions of targets and of physics


def _read_target(data: bytes, folder: Path) -> None:
    select_target(str(_written(folder, "t.toml", data)))


@cache
def _description_paths() -> Mapping[str, Path]:
    backends = [each.load() for each in installed_backends()]
    return {name: path for each in backends for name, path in {each.name: each.description(), **each.targets()}.items()}


def _descriptions() -> dict[str, bytes]:
    """All that there are; those of special machines as files that change every key of them."""
    texts = {name: path.read_bytes() for name, path in _description_paths().items()}
    levels = {name: text for name, text in texts.items() if b"levels" in text or b"extends" in text}
    return {name: text if name in levels else f'extends = "{name}"\n'.encode() + text for name, text in texts.items()}


def _put_descriptions(folder: Path) -> None:
    """What descriptions extend, beside them."""
    for path in _description_paths().values():
        if path.parent.name == "targets":
            shutil.copytree(path.parent, folder, dirs_exist_ok=True)


def _read_physics(data: bytes, folder: Path) -> None:
    from backends.rram.crossbar.settings import Settings

    path = _written(folder, "physics.toml", data)
    validated(Settings, read_description(path), str(path))


def _physics() -> dict[str, bytes]:
    return {
        "all": b"""rows = 64
columns = 128
seed = 3
[weights]
slices = [4, 4]
encoding = "offset"
[inputs]
bits = 8
dac_bits = 1
[adc]
bits = 7
"""
    }


# Space files


def _read_space(data: bytes, folder: Path) -> None:
    points_of(read_space(_written(folder, "space.toml", data)))


def _spaces() -> dict[str, bytes]:
    return {
        "targets": b"""fuse = [false, true]
sparsity = [0.0, 0.7]
schemes = ["none", "qdq"]
front = ["latency", "energy", "error"]
[targets.generic]
levels.glb.words = [4096, 16384]
[targets.eyeriss.glb]
banks = [14, 27]
[prune]
structure = "group"
group = 4
""",
        "drawn": b"""points = 5
seed = 3
mapped_for = ["edp", "latency"]
calibrate = "random:2"
emulate = true
[targets.rram]
"cores.count" = [2, 4]
[quantize]
per_channel = true
weights = "int8"
""",
    }


# Mapping files, with fused groups and with the notation of Eyeriss


@cache
def _chain(target: str) -> ModuleOp:
    found = _stages()[next(name for name in _stages() if name.startswith(f"{target}/") and "encoded" in name)]
    with tempfile.TemporaryDirectory() as name:
        _put_weights(Path(name))
        return load_module(str(_written(Path(name), "m.mlir", found)), ImportOptions())


def _read_mapping(data: bytes, folder: Path) -> None:
    """Read, and put on the links of the small network."""
    path = _written(folder, "mapping.toml", data)
    target = "generic" if b"generic" in data else "eyeriss"
    PinMappingsPass(file=str(path)).apply(new_context(), _chain(target).clone())


@cache
def _mappings() -> Mapping[str, bytes]:
    found: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as name:
        for target, fuse in (("eyeriss", False), ("generic", False), ("generic", True), ("eyeriss", True)):
            path = Path(name) / f"{target}-{fuse}.toml"
            options = CompileOptions(fuse=fuse)
            compile_model(small_cnn(), select_target(target), options, (MappingDump(path, options.mode),))
            found[path.stem] = path.read_bytes()
    return found


# Arrays and weights


def _read_npz(data: bytes, folder: Path) -> None:
    read_arrays([str(_written(folder, "x.npz", data))])


def _read_npy(data: bytes, folder: Path) -> None:
    read_arrays([f"x={_written(folder, 'x.npy', data)}"])


def _archives() -> dict[str, bytes]:
    arrays = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "flags": np.zeros(3, np.bool_), "n": np.int64(3)}
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "x.npz"
        write_arrays({key: np.asarray(value) for key, value in arrays.items()}, path)
        return {"three": path.read_bytes()}


def _single_arrays() -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for dtype in ("<f4", "i1", "?", "<f8"):
        stream = io.BytesIO()
        np.lib.format.write_array(stream, np.zeros((2, 3), dtype), allow_pickle=False)
        found[dtype] = stream.getvalue()
    return found


def _read_weights(data: bytes, folder: Path) -> None:
    """Under the name of each seed: a store takes only what its name says."""
    for digest in _weight_files():
        _written(folder, f"{digest}.safetensors", data)
        WeightStore(folder).get(digest)


@cache
def _weight_files() -> Mapping[str, bytes]:
    with tempfile.TemporaryDirectory() as name:
        store = WeightStore(Path(name))
        store.put(Blob(np.arange(4, dtype=np.float32)))
        return {path.stem: path.read_bytes() for path in sorted(Path(name).iterdir())}


# Encoded tensors: the first byte says of which format, shape and type the stream is


def _read_stream(data: bytes, folder: Path) -> None:
    selector = data[0] if data else 0
    name = FORMATS[selector % len(FORMATS)]
    shape = SHAPES[selector // len(FORMATS) % len(SHAPES)]
    dtype = np.dtype(DTYPES[selector // (len(FORMATS) * len(SHAPES)) % len(DTYPES)])
    encoding = format_named(name)
    if not encoding.problem(shape):
        encoding.decode(np.frombuffer(data[1:], np.uint8), shape, dtype)


def _streams() -> dict[str, bytes]:
    random = np.random.default_rng(5)
    found: dict[str, bytes] = {}
    for selector in range(len(FORMATS) * len(SHAPES) * len(DTYPES)):
        shape = SHAPES[selector // len(FORMATS) % len(SHAPES)]
        dtype = np.dtype(DTYPES[selector // (len(FORMATS) * len(SHAPES))])
        encoding = format_named(FORMATS[selector % len(FORMATS)])
        if not encoding.problem(shape):
            words = (random.integers(1, 100, shape) * (random.random(shape) < 0.4)).astype(dtype)
            found[str(selector)] = bytes([selector]) + encoding.encode(words).tobytes()
    return found


def _all() -> Iterator[Reader]:
    yield Reader("onnx", _read_onnx, _models, mutated_model)
    yield Reader("ir", _read_ir, _ir_texts, mutated_text, _put_weights)
    yield Reader("program", _read_program, _program_files, mutated_program)
    yield Reader("listing", _read_listing, _listings, mutated_text, _put_constants)
    yield Reader("target", _read_target, _descriptions, mutated_text, _put_descriptions)
    yield Reader("physics", _read_physics, _physics, mutated_text)
    yield Reader("space", _read_space, _spaces, mutated_text)
    yield Reader("mapping", _read_mapping, _mappings, mutated_text)
    yield Reader("npz", _read_npz, _archives, mutated_archive)
    yield Reader("npy", _read_npy, _single_arrays, mutated_bytes)
    yield Reader("weights", _read_weights, _weight_files, mutated_bytes)
    yield Reader("stream", _read_stream, _streams, mutated_bytes)


READERS = {reader.name: reader for reader in _all()}
