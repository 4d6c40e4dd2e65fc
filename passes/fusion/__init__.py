"""Fused groups: links that run tile by tile, one after another, so that what lies between never leaves the chip."""
