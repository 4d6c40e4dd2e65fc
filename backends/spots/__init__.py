"""SPOTS: im2col units in front of a systolic array that can be divided."""

from backends.spots.description import spots_backend

BACKEND = spots_backend()
