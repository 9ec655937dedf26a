"""Configuration of the documentation site: `make docs` builds it, warnings are errors."""

import os
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))
# Options of the command line are shown in this width; figures need no display.
os.environ.update(COLUMNS="88", MPLBACKEND="agg")

import flowssl  # noqa: E402
from flowssl.exceptions import FlowSSLWarning  # noqa: E402

project = "flowssl"
author = "The flowssl maintainers"
copyright = author
version = release = flowssl.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "generated_pages",
    "mathml",
]
exclude_patterns = ["_build", "_generated", "**sg_execution_times.rst"]
templates_path = ["_templates"]
default_role = "autolink"  # `name` in a docstring links to the page of that name, where it has one

# Docstrings
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc sections give the types in words
toc_object_entries_show_parents = "hide"
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# Pages in Markdown
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # the tables of benchmarks begin at any level

# Examples: each is run by the build, and an error or a warning of flowssl ends it.
warnings.filterwarnings("error", category=FlowSSLWarning)
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "generated_pages.gallery_order",
    "image_scrapers": ("figure_scraper.scrape",),
    "reset_modules": (),
    "abort_on_example_error": True,
    "backreferences_dir": "gallery/uses",
    "doc_module": ("flowssl",),
    "reference_url": {"flowssl": None},
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1e9,  # seconds differ between machines
}

# HTML
html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "flowssl"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "navigation_with_keys": False,
    "show_prev_next": False,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {
    page: []
    for page in (
        "index",
        "get-started",
        "guide",
        "method",
        "extending",
        "public",
        "command-line",
        "what-we-tried",
        "dependencies",
        "changelog",
        "contributing",
    )
}
