"""Fused groups: links that run tile by tile, one after another, so that what lies between them stays on the chip."""
