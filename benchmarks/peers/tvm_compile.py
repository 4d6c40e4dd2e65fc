"""Compile a model with TVM for this CPU, untuned: `python tvm_compile.py MODEL LIBRARY.so`."""

import sys

import onnx
import tvm
from tvm.relax.frontend.onnx import from_onnx

model, library = sys.argv[1:]
tvm.compile(from_onnx(onnx.load(model)), "llvm").export_library(library)
