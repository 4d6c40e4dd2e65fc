"""The verbs of the command line as Python functions, with plain arguments.

    import compiler

    program = compiler.compile("resnet50.onnx", target="eyeriss", output="resnet50.cat")
    result = compiler.run("resnet50.cat", {"input": image})
    print(compiler.report("resnet50.cat").milliseconds)

Every function raises `dialects.diagnostics.CatenaError`, whose `diagnostics` hold all problems as objects. Files are
paths or strings; nothing is printed. The types of the results are those of the modules named in each function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.api_options import FilePath, Shapes, folder_of, options_of, search_of, with_zeros
from compiler.api_tools import cache, doctor, list_targets, measure_accuracy, new_backend
from dialects.diagnostics import CatenaError, Diagnostic

if TYPE_CHECKING:
    from compiler.arrays import Array
    from compiler.backend_kit.running import KitReport
    from compiler.checking import CheckReport
    from compiler.compilation import Compiled, CompileOptions
    from compiler.design_space import Explored, Space
    from compiler.execution import Execution
    from compiler.explanation.explaining import Explanations
    from compiler.inspection import Inspection
    from compiler.ir_history import IrHistory
    from compiler.pruning import Pruned
    from compiler.quantization import Quantized
    from compiler.quantization.calibration import Source
    from compiler.reduction.files import Reduced
    from compiler.reports import Report
    from compiler.reports.differences import Differences
    from compiler.verification.result import Verification

__all__ = [
    "CatenaError",
    "Diagnostic",
    "assemble",
    "cache",
    "check",
    "compile",
    "conform",
    "diff",
    "disassemble",
    "doctor",
    "explain",
    "explore",
    "history",
    "inspect",
    "list_targets",
    "measure_accuracy",
    "new_backend",
    "opt",
    "prune",
    "quantize",
    "reduce",
    "report",
    "run",
    "verify",
]


def check(
    model: FilePath,
    *,
    target: FilePath | None = None,
    settings: Mapping[str, str] | None = None,
    mode: str = "chain",
    input_shapes: Shapes | None = None,
    batch: int | None = None,
    allow_fallback: str | None = None,
) -> CheckReport:
    """Whether an ONNX model can be compiled for a target; the report holds every problem (`compiler.checking`).

    `target` is a name or a TOML file (default: eyeriss), `settings` overrides its values by dotted key, written as in
    TOML; `mode` is `chain` for the whole network on the accelerator or `offload` for everything but convolutions on its
    host (`compiler.modes`); `input_shapes` and `batch` make dynamic inputs static. With
    `allow_fallback="host"` ONNX Runtime executes what cannot be compiled. Raises `CatenaError` only if the
    file or an argument is wrong, not if the model is unsupported.
    """
    from compiler.checking import check_model

    return check_model(fspath(model), options_of(target, settings, input_shapes, batch, mode, allow_fallback))


def compile(
    source: FilePath,
    *,
    target: FilePath | None = None,
    settings: Mapping[str, str] | None = None,
    mode: str = "chain",
    fuse: bool = False,
    output: FilePath | None = None,
    start: str | None = None,
    stop: str = "program",
    mapping: FilePath | None = None,
    calibrate: FilePath | None = None,
    density: float | None = None,
    dump_ir: FilePath | None = None,
    reproducer: FilePath | None = None,
    input_shapes: Shapes | None = None,
    batch: int | None = None,
    allow_fallback: str | None = None,
    objective: str | None = None,
    time_limit: float | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
    cache_dir: FilePath | None = None,
    no_cache: bool = False,
) -> Compiled:
    """Compile an ONNX model, or go on from an IR file, up to the stage `stop` (`compiler.compilation`).

    `output` is where the program, or the IR and its weights, are written; `start` the stage that IR has passed, if it
    does not say so itself; `fuse` makes groups of layers (`passes.fuse_layers`); `mapping` is a mapping file;
    `calibrate` an .npz file of inputs on which zeros are measured, or `density` the stated share of tensors between
    layers that is not zero (`passes.measure_zeros`); `dump_ir` a folder for the IR after every stage, `reproducer` one
    that shows a failure again (`compiler.reproduction`). The arguments up to `allow_fallback` are those of `check`.

    Mappings make `objective` least (`energy`, `latency`, `edp` or `traffic`; default: the target's). The search for
    them ends after `time_limit` seconds; it runs in `jobs` processes, or on the workers of the Dask scheduler at the
    address `scheduler`. What was found before is in the folder `cache_dir` (`compiler.cache_folder`), unless
    `no_cache` is set.

    Raises `CatenaError` with every problem of the first stage that finds any.
    """
    from dataclasses import replace

    from compiler.compilation import compile_source, write_compiled
    from compiler.dumps import StageDump

    search = search_of(objective, time_limit, jobs, scheduler, cache_dir, no_cache)
    options = options_of(target, settings, input_shapes, batch, mode, allow_fallback, mapping, search, fuse=fuse)
    options = replace(options, start=start, stop=stop, reproducer=folder_of(reproducer))
    options = with_zeros(options, calibrate, density)
    observers = () if dump_ir is None else (StageDump(Path(dump_ir)),)
    compiled = compile_source(fspath(source), options, observers)
    if output is not None:
        write_compiled(compiled, Path(output))
    return compiled


def quantize(
    model: FilePath,
    output: FilePath,
    calibrate: Source | Sequence[Source],
    *,
    format: str = "qdq",
    activations: str | None = None,
    weights: str | None = None,
    per_channel: bool = False,
    symmetric: bool = False,
    method: str = "minmax",
    exclude: Sequence[str] = (),
    seed: int = 0,
    input_shapes: Shapes | None = None,
    batch: int | None = None,
) -> Quantized:
    """Write a quantized copy of a float ONNX model (`compiler.quantization`).

    `calibrate` are `.npz` files, arrays by input name as such a file holds them, or `random:N` for samples made from
    `seed`; `format` is `qdq`, `qoperator` or `fixed16`; `activations`, `weights`, `per_channel`, `symmetric`, `method`
    and `exclude` are those of `compiler.quantization.options`. Raises `CatenaError`: CAT-Q001 for a model that cannot
    be quantized, CAT-C004 if ONNX Runtime is not installed, CAT-C005 for calibration data that does not fit.
    """
    from compiler.quantization import QuantizeOptions, quantize_model
    from compiler.quantization.options import format_named, method_named

    options = QuantizeOptions(
        format_named(format), activations, weights, per_channel, symmetric, method_named(method), tuple(exclude)
    )
    sources = [calibrate] if isinstance(calibrate, str | PathLike | Mapping) else calibrate
    return quantize_model(
        Path(model), Path(output), sources, options, seed=seed, input_shapes=input_shapes, batch=batch
    )


def prune(
    model: FilePath,
    output: FilePath,
    *,
    structure: str,
    sparsity: float,
    group: int | None = None,
    block: tuple[int, int] | None = None,
    exclude: Sequence[str] = (),
    calibrate: Source | Sequence[Source] = "random:1",
    seed: int = 0,
    input_shapes: Shapes | None = None,
    batch: int | None = None,
) -> Pruned:
    """Write a copy of a float ONNX model whose smallest weights are zero (`compiler.pruning`).

    `structure` is `group`, `block`, `channel` or `unstructured`, `sparsity` the share of every layer's weights;
    `group`, `block` and `exclude` are those of `compiler.pruning.options`. `calibrate` and `seed` are those of
    `quantize`: the inputs on which outputs are compared. Raises `CatenaError`: CAT-Q002 for a model without weights to
    prune, CAT-C004 if ONNX Runtime is not installed, CAT-C005 for inputs that do not fit.
    """
    from compiler.pruning import PruneOptions, prune_model
    from compiler.pruning.options import structure_named

    options = PruneOptions(structure_named(structure), sparsity, group, block, tuple(exclude))
    sources = [calibrate] if isinstance(calibrate, str | PathLike | Mapping) else calibrate
    return prune_model(Path(model), Path(output), options, sources, seed=seed, input_shapes=input_shapes, batch=batch)


def run(
    program: FilePath,
    inputs: Mapping[str, Array] | None = None,
    *,
    seed: int = 0,
    engine: str | None = None,
    trace: FilePath | None = None,
    timeline: bool = False,
    reproducer: FilePath | None = None,
) -> Execution:
    """Execute a program file on its backend's emulator (`compiler.execution`).

    `inputs` are arrays by ONNX tensor name; without them they are made up from `seed`. `trace` is a file that gets a
    line for every instruction, `engine` one of the backend's ways to execute (`backends.api`). With `timeline`, the
    result says what each core did when. `reproducer` is a folder that shows it again if the emulator stops. Raises
    `CatenaError`: CAT-C005 for inputs that do not fit, CAT-E001 to CAT-E003 for faults, CAT-P001 to CAT-P004 for a
    file that is no program, CAT-C001 for a timeline of a machine without cores.
    """
    from contextlib import nullcontext
    from dataclasses import replace

    from compiler.execution import load_program, random_inputs, run_loaded
    from compiler.reproduction.programs import keeping_faults
    from compiler.timeline_files import timed, timeline_of

    loaded, emulator = load_program(Path(program), engine)
    cores = timed(loaded, emulator) if timeline else None
    if cores is not None:
        cores.record_activity()
    arrays = random_inputs(loaded, seed) if inputs is None else inputs
    folder = folder_of(reproducer)
    with nullcontext() if folder is None else keeping_faults(folder, Path(program), arrays, engine):
        done = run_loaded(loaded, emulator, arrays, trace=None if trace is None else Path(trace))
    return done if cores is None else replace(done, timeline=timeline_of(loaded, cores))


def verify(
    source: FilePath,
    model: FilePath | None = None,
    inputs: Mapping[str, Array] | None = None,
    *,
    seed: int = 0,
    tolerance: float | None = None,
    lsb: float | None = None,
    target: FilePath | None = None,
    settings: Mapping[str, str] | None = None,
    mode: str = "chain",
    fuse: bool = False,
    mapping: FilePath | None = None,
    input_shapes: Shapes | None = None,
    batch: int | None = None,
    allow_fallback: str | None = None,
    objective: str | None = None,
    time_limit: float | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
    cache_dir: FilePath | None = None,
    no_cache: bool = False,
    reproducer: FilePath | None = None,
) -> Verification:
    """Compare every layer, then the whole program, with ONNX Runtime (`compiler.verification.layers`).

    `source` is a program, whose ONNX file is `model`, or an ONNX file that is compiled first, with the arguments from
    `target` on, as for `compile`. `tolerance` is relative to the largest value of each float tensor (default: 1e-4,
    5e-3 for float16), `lsb` in last places of quantized tensors (default: `compiler.verification.measures`).
    `reproducer` is a folder that gets the first wrong layer alone, or what shows again that the model does not compile.
    Raises `CatenaError`: CAT-C004 if ONNX Runtime is not installed; a difference is no error.
    """
    from dataclasses import replace

    from compiler.verification.measures import Tolerances
    from compiler.verification.programs import verify_source

    search = search_of(objective, time_limit, jobs, scheduler, cache_dir, no_cache)
    options = options_of(target, settings, input_shapes, batch, mode, allow_fallback, mapping, search, fuse=fuse)
    folder = folder_of(reproducer)
    return verify_source(
        fspath(source),
        None if model is None else Path(model),
        inputs,
        seed=seed,
        tolerances=Tolerances(tolerance, lsb),
        options=replace(options, reproducer=folder),
        reproducer=folder,
    )


def inspect(source: FilePath, *, input_shapes: Shapes | None = None, batch: int | None = None) -> Inspection:
    """Facts about and tables of an ONNX model, an IR file or a program (`compiler.inspection`)."""
    from compiler.inspection import inspect_source

    return inspect_source(fspath(source), options_of(None, None, input_shapes, batch).importing)


def history(
    source: FilePath,
    *,
    target: FilePath | None = None,
    settings: Mapping[str, str] | None = None,
    mode: str = "chain",
    fuse: bool = False,
    stop: str = "placed",
    input_shapes: Shapes | None = None,
    batch: int | None = None,
) -> IrHistory:
    """What every pass made of the IR of a model, up to the stage `stop`: its texts and changes (`compiler.ir_history`).

    On the command line that is `inspect --passes`. The other arguments are those of `check`.
    """
    from dataclasses import replace

    from compiler.compilation import compile_source
    from compiler.ir_history import IrHistory

    found = IrHistory()
    options = options_of(target, settings, input_shapes, batch, mode, fuse=fuse)
    compile_source(fspath(source), replace(options, stop=stop), [found])
    return found


def opt(
    source: FilePath,
    pipeline: str = "",
    *,
    input_shapes: Shapes | None = None,
    batch: int | None = None,
    reproducer: FilePath | None = None,
) -> str:
    """IR text after a pipeline of passes over an IR file or an ONNX model (`compiler.optimization`).

    `reproducer` is a folder that shows it again if a pass fails.
    """
    from compiler.ir_text import print_module
    from compiler.optimization import optimize

    options = options_of(None, None, input_shapes, batch).importing
    module, _ = optimize(fspath(source), pipeline, options=options, reproducer=folder_of(reproducer))
    return print_module(module)


def assemble(listing: FilePath, output: FilePath) -> None:
    """Assemble a listing into a program file (`compiler.assembling`)."""
    from compiler.assembling import assemble_file

    assemble_file(Path(listing), Path(output))


def disassemble(program: FilePath, output: FilePath | None = None) -> str:
    """The listing of a program; with `output` it is written there as well, with the constants beside it."""
    from compiler.assembling import disassemble_program, write_disassembly

    if output is not None:
        write_disassembly(Path(program), Path(output))
    return disassemble_program(Path(program))


def report(
    source: FilePath,
    *,
    statistics: FilePath | None = None,
    target: FilePath | None = None,
    settings: Mapping[str, str] | None = None,
    mode: str = "chain",
    fuse: bool = False,
    mapping: FilePath | None = None,
    calibrate: FilePath | None = None,
    density: float | None = None,
    input_shapes: Shapes | None = None,
    batch: int | None = None,
    allow_fallback: str | None = None,
    objective: str | None = None,
    time_limit: float | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
    cache_dir: FilePath | None = None,
    no_cache: bool = False,
) -> Report:
    """Cycles, energy and words moved by layer (`compiler.reports`).

    `source` is a program, or a model or IR that is compiled first, with the arguments from `target` on, as for
    `compile`; `statistics` a file that `catena run --stats` wrote, without which the figures are those that the cost
    model predicts.
    """
    from compiler.reporting import report_on

    search = search_of(objective, time_limit, jobs, scheduler, cache_dir, no_cache)
    options = options_of(target, settings, input_shapes, batch, mode, allow_fallback, mapping, search, fuse=fuse)
    options = with_zeros(options, calibrate, density)
    return report_on(fspath(source), None if statistics is None else fspath(statistics), options)


def explain(
    source: FilePath,
    node: str | None = None,
    *,
    statistics: FilePath | None = None,
    search_limit: float = 0.0,
    target: FilePath | None = None,
    settings: Mapping[str, str] | None = None,
    mode: str = "chain",
    fuse: bool = False,
    mapping: FilePath | None = None,
    calibrate: FilePath | None = None,
    density: float | None = None,
    objective: str | None = None,
    time_limit: float | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
    cache_dir: FilePath | None = None,
    no_cache: bool = False,
    input_shapes: Shapes | None = None,
    batch: int | None = None,
    allow_fallback: str | None = None,
) -> Explanations:
    """Why layers cost what they cost (`compiler.explanation`).

    `node` is an ONNX node, a tensor, the number of a layer or a pattern of such names; None is all layers. For
    `search_limit` seconds, runners-up and what binds the layers are searched. The other arguments are those of
    `report`.
    """
    from compiler.explanation.explaining import explain_program
    from compiler.reporting import program_of

    search = search_of(objective, time_limit, jobs, scheduler, cache_dir, no_cache)
    options = options_of(target, settings, input_shapes, batch, mode, allow_fallback, mapping, search, fuse=fuse)
    options = with_zeros(options, calibrate, density)
    program = program_of(fspath(source), options)
    return explain_program(program, node, None if statistics is None else fspath(statistics), search_limit)


def explore(
    model: FilePath,
    space: FilePath | Space,
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    time_limit: float | None = None,
    cache_dir: FilePath | None = None,
    no_cache: bool = False,
    input_shapes: Shapes | None = None,
    batch: int | None = None,
) -> Explored:
    """Try the points of a space, a file or a `Space`, on a model; the result knows the best (`compiler.design_space`).

    Points are tried in `jobs` processes, or on the workers of the Dask scheduler at the address `scheduler`, and none
    begins after `time_limit` seconds; an interrupt ends it with what was found until then. Points that were tried
    before are in the folder `cache_dir` (`compiler.cache_folder`), unless `no_cache` is set. What is wrong with a point
    is part of the result. Raises `CatenaError` for a file that is wrong.
    """
    from compiler.cache_folder import cache_folder
    from compiler.design_space import Space, explore_space, read_space
    from compiler.design_space.exploring import Places
    from compiler.design_space.variants import Network

    folder = None if no_cache else cache_folder(None if cache_dir is None else fspath(cache_dir))
    asked = space if isinstance(space, Space) else read_space(Path(space))
    network = Network(Path(model), input_shapes or {}, batch)
    return explore_space(network, asked, Places(jobs, scheduler, time_limit, folder))


def diff(
    first: FilePath | Report,
    second: FilePath | Report,
    *,
    html: FilePath | None = None,
    target: FilePath | None = None,
    settings: Mapping[str, str] | None = None,
    mode: str = "chain",
    fuse: bool = False,
    input_shapes: Shapes | None = None,
    batch: int | None = None,
) -> Differences:
    """What differs between two programs, in all and layer by layer (`compiler.reports.differences`).

    Each is a report, as `report` and `run` make them, or a file that is reported on: a program, statistics, or a model
    or IR that is compiled with the arguments from `target` on, as for `compile`. So
    `diff(report(model, target="eyeriss"), report(model, target="generic"))` compares two targets. `html` is a page to
    write.
    """
    from compiler.reports.differences import differences

    options = options_of(target, settings, input_shapes, batch, mode, fuse=fuse)
    found = differences(_report_of(first, options), _report_of(second, options))
    if html is not None:
        from compiler.files import write_text
        from compiler.report_page import difference_page, render_differences

        names = (_name_of(first), _name_of(second))
        write_text(Path(html), render_differences(difference_page(found, names)))
    return found


def _report_of(source: FilePath | Report, options: CompileOptions) -> Report:
    from compiler.reporting import report_on_any
    from compiler.reports import Report

    return source if isinstance(source, Report) else report_on_any(fspath(source), options)


def _name_of(source: FilePath | Report) -> str:
    return fspath(source) if isinstance(source, str | PathLike) else source.machine.name


def reduce(
    model: FilePath,
    output: FilePath | None = None,
    *,
    code: str | None = None,
    message: str = "",
    verify: bool = False,
    command: str | None = None,
    time_limit: float | None = None,
    target: FilePath | None = None,
    settings: Mapping[str, str] | None = None,
    input_shapes: Shapes | None = None,
    batch: int | None = None,
) -> Reduced:
    """Shrink a model that fails to the smallest one that still does (`compiler.reduction`).

    What fails is compiling it with an error `code` (None: that of its first problem), with `verify` also comparing it
    with ONNX Runtime, or a `command` that gets the model's file name in the place of `{}`. The smallest model is
    written to `output` (default: beside the model, as `MODEL.reduced.onnx`). Raises `CatenaError` if it does not fail.
    """
    from compiler.reduction.files import reduce_file

    return reduce_file(
        Path(model),
        None if output is None else Path(output),
        options_of(target, settings, input_shapes, batch),
        code=code,
        message=message,
        verify=verify,
        command=command,
        time_limit=time_limit,
    )


def conform(
    target: FilePath,
    patterns: Sequence[str] = (),
    *,
    settings: Mapping[str, str] | None = None,
    time_limit: float | None = None,
) -> KitReport:
    """Run the conformance kit on a target, a name or a TOML file (`compiler.backend_kit`).

    `patterns` choose cases by name, such as `Conv*/int8/*`. Failures are in the report, and are no errors.
    """
    from compiler.backend_kit.running import run_kit
    from compiler.targets import select_target

    return run_kit(select_target(fspath(target), settings), patterns, time_limit)
