"""The generic machine: any hierarchy of memories and axes that a TOML file describes."""

from __future__ import annotations

from backends.generic.description import generic_backend

BACKEND = generic_backend()
