"""Run a library of TVM's; arguments and output as `onnx_runtime.py`, with the library for the model."""

import sys
import time

import numpy
import tvm
from tvm import relax

library, given, output = sys.argv[1:]
machine = relax.VirtualMachine(tvm.runtime.load_module(library), tvm.cpu())
tensor = tvm.runtime.tensor(numpy.load(given))
machine["main"](tensor)
start = time.process_time()
found = machine["main"](tensor)
print(time.process_time() - start)
first = found if hasattr(found, "numpy") else found[0]
numpy.save(output, first.numpy())
