"""Run a model with ONNX's ReferenceEvaluator; arguments and output as `onnx_runtime.py`."""

import sys
import time

import numpy
from onnx.reference import ReferenceEvaluator

model, given, output = sys.argv[1:]
evaluator = ReferenceEvaluator(model)
inputs = {evaluator.input_names[0]: numpy.load(given)}
start = time.process_time()
found = evaluator.run(None, inputs)
print(time.process_time() - start)
numpy.save(output, found[0])
