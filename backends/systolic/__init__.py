"""Systolic: a weight-stationary systolic array in the sizes of the first TPU."""

from pathlib import Path

from backends.spatial.description import spatial_backend

BACKEND = spatial_backend(
    "systolic",
    "weight-stationary systolic array of 256 x 256 elements, sized as the first TPU (Jouppi et al., ISCA 2017)",
    Path(__file__).with_name("target.toml"),
)
