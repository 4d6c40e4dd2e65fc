"""Crossbars, steps and products of networks are those that are published."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.benchmarks.scripts import script

QUICK = ("tiny_yolov3", "tiny_yolov4", "vgg16", "vgg19", "resnet18", "resnet50", "squeezenet", "alexnet")
SLOW = ("resnet101", "resnet152", "googlenet", "mobilenet_v2")


@pytest.fixture(scope="module")
def counting() -> ModuleType:
    return script("crossbar_counts")


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_counts_are_those_published(counting: ModuleType, name: str) -> None:
    (network,) = (each for each in counting.NETWORKS if each.name == name)
    found = counting.counts(network)
    published = {each: getattr(network, each) for each in ("crossbars", "steps", "products")}
    assert any(published.values())
    assert all(getattr(found, each) == count for each, count in published.items() if count is not None)


def test_every_network_is_tested(counting: ModuleType) -> None:
    assert sorted(network.name for network in counting.NETWORKS) == sorted((*QUICK, *SLOW))
