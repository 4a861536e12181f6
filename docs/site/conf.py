"""Sphinx's settings for the site. `make site` collects the pages (`pages.py`) and builds them; the site works from a folder, offline."""

project = "headrace"
author = "the headrace authors"
copyright = "the headrace authors"  # noqa: A001  Sphinx's name

extensions = ["myst_parser"]
myst_heading_anchors = 4  # links to headings work as they do where the Markdown is read
suppress_warnings = ["misc.highlighting_failure"]  # blocks that show a part of a file need not be whole
source_suffix = {".md": "markdown"}
nitpicky = True

html_theme = "furo"
html_title = "headrace"
html_show_sphinx = False
html_show_copyright = False
