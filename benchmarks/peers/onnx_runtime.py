"""Run a model with ONNX Runtime: `python onnx_runtime.py MODEL INPUT.npy OUTPUT.npy`; prints CPU s of a second run."""

import sys
import time

import numpy
import onnxruntime

model, given, output = sys.argv[1:]
session = onnxruntime.InferenceSession(model)
inputs = {session.get_inputs()[0].name: numpy.load(given)}
session.run(None, inputs)
start = time.process_time()
found = session.run(None, inputs)
print(time.process_time() - start)
numpy.save(output, found[0])
