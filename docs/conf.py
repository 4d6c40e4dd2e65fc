"""How Sphinx makes a site of these pages: `python3 tasks.py site`."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "Catena"
copyright = "the authors of Catena, Apache License 2.0"
version = release = version_of("catena")

extensions = ["myst_parser", "notebooks_as_pages"]
source_suffix = {".md": "markdown", ".ipynb": "ipynb"}
exclude_patterns = ["looptree-conclusions"]
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

html_theme = "furo"
html_title = f"Catena {release}"
html_show_sphinx = False
# Listings of instructions and mappings are of no language that Pygments knows.
highlight_language = "none"
