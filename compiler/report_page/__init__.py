"""The report of a program as one HTML file that needs nothing else: figures, charts, network, mappings, IR, code."""

from compiler.report_page.data import page_of
from compiler.report_page.difference import difference_page
from compiler.report_page.page import Page
from compiler.report_page.rendering import render, render_differences
from compiler.report_page.tiles import GroupTiles

__all__ = ["GroupTiles", "Page", "difference_page", "page_of", "render", "render_differences"]
