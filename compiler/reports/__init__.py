"""Reports: counts of every layer, what they cost on the target, as data, JSON and tables."""

from compiler.reports.layers import LayerReport, Provenance, Report, build_report
from compiler.reports.statistics import read_statistics, statistics_json
from compiler.reports.text import access_table, layer_table

__all__ = [
    "LayerReport",
    "Provenance",
    "Report",
    "access_table",
    "build_report",
    "layer_table",
    "read_statistics",
    "statistics_json",
]
