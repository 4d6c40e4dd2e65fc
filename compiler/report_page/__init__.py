"""The report of a program as one HTML file that needs nothing else: figures, charts, network, mappings, IR, code."""

from compiler.report_page.data import Page, page_of
from compiler.report_page.rendering import render
from compiler.report_page.tiles import GroupTiles

__all__ = ["GroupTiles", "Page", "page_of", "render"]
