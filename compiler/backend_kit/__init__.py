"""The conformance kit of backends: what a backend has to get right, as small models that are compiled and run."""
