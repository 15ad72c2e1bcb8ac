"""Sphinx: the Markdown files of the checkout as HTML. `make docs` builds them; a broken internal link is an error.

The source folder is the checkout itself, so that a relative link is the same on a web page of the repository and here.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parents[1]))

from vs_remaster import __version__

project = "vs-remaster"
author = copyright = "vs-remaster contributors"
version = release = __version__

root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/**.md",
    "weights/*.md",
    "examples/README.md",
    "export/README.md",
    "comfy_nodes/README.md",
    "comfy_nodes/web/docs/*.md",
    "tests/data/README.md",
]
exclude_patterns = ["**/.*", ".venv", "demo", "runs", "dist", "build", "docs/_build"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3  # as GitHub names them

default_role = "code"  # docstrings put names into single backticks
napoleon_use_ivar = True
napoleon_use_rtype = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
maximum_signature_line_length = 88
# Types of other packages, and of our own modules: only names of `vs_remaster` itself have an entry in the reference.
nitpick_ignore_regex = [("py:.*", r"(?!vs_remaster\.).*"), ("py:.*", r"vs_remaster\.\w+\..*")]

html_theme = "furo"
html_title = f"vs-remaster {release}"
html_show_sphinx = False
html_copy_source = False


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", one_by_one)


def one_by_one(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Attributes that share a line of their docstring (`before, after: frames`) are listed one by one."""
    out = []
    for line in lines:
        shared = re.fullmatch(r":ivar ([\w ,]+,[\w ,]+):(.*)", line)
        out += [f":ivar {one.strip()}:{shared[2]}" for one in shared[1].split(",")] if shared else [line]
    lines[:] = out
