"""NLR: an array without local reuse, like DianNao's, in the sizes of the comparison of dataflows in ISCA 2016."""

from pathlib import Path

from backends.spatial.description import spatial_backend

BACKEND = spatial_backend(
    "nlr",
    "array of 16 x 16 elements without local reuse (Chen et al., ISCA 2016; like DianNao, ASPLOS 2014)",
    Path(__file__).with_name("target.toml"),
)
