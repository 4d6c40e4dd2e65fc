"""Run a program on Catena's emulator; arguments and output as `onnx_runtime.py`, with a program for the model."""

import sys
import time
from pathlib import Path

import numpy

from compiler.execution import load_program, program_inputs, run_loaded

path, given, output = sys.argv[1:]
program, emulator = load_program(Path(path))
inputs = {program_inputs(program)[0].name: numpy.load(given)}
run_loaded(program, emulator, inputs)
start = time.process_time()
found = run_loaded(program, emulator, inputs)
print(time.process_time() - start)
numpy.save(output, next(iter(found.outputs.values())))
