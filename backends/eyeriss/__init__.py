"""Eyeriss: the first description of the spatial machine."""

from pathlib import Path

from backends.spatial.description import spatial_backend

BACKEND = spatial_backend(
    "eyeriss",
    "row-stationary array of 12 x 14 elements (Chen et al., ISCA and ISSCC 2016, JSSC 2017)",
    Path(__file__).with_name("target.toml"),
)
