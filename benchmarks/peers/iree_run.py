"""Run a module of IREE's; arguments and output as `onnx_runtime.py`, with the module for the model."""

import sys
import time

import numpy
from iree import runtime

path, given, output = sys.argv[1:]
config = runtime.Config("local-task")
index = runtime.ParameterIndex()
index.load(path.removesuffix(".vmfb") + ".irpa")
provider = index.create_provider(scope="model")
parameters = runtime.create_io_parameters_module(config.vm_instance, provider)
module = runtime.VmModule.mmap(config.vm_instance, path)
context = runtime.SystemContext(vm_modules=[parameters, module], config=config)
names = [name for name in module.function_names if not name.startswith("__")]
function = context.modules.module[next(name for name in names if not name.endswith("$async"))]
array = numpy.load(given)
function(array)
start = time.process_time()
found = function(array)
first = numpy.asarray(found[0] if isinstance(found, tuple | list) else found)
print(time.process_time() - start)
numpy.save(output, first)
