"""Machines of two memories with instructions of their own, described by levels: what a backend for one is made of.

`backend.LevelsBackend` says what such a backend brings, `core.TileCore` is what its instructions are executed by.
"""
