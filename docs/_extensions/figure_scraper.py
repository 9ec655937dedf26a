"""Figures of the gallery: every Matplotlib figure that a block of an example has assigned."""

from collections.abc import Mapping
from weakref import WeakSet

from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst

_saved: "WeakSet[Figure]" = WeakSet()


def scrape(block: object, block_vars: Mapping[str, object], gallery_conf: Mapping[str, str]) -> str:
    """Save the new figures among an example's variables; flowssl's belong to no window.

    Parameters
    ----------
    block : tuple
        The block of code that has just run.
    block_vars : mapping
        ``example_globals`` has the example's variables, ``image_path_iterator`` the next paths.
    gallery_conf : mapping
        Configuration of sphinx-gallery.

    Returns
    -------
    str
        reStructuredText that shows the images.
    """
    variables = block_vars["example_globals"]
    paths = []
    for value in variables.values():
        if isinstance(value, Figure) and value not in _saved:
            _saved.add(value)
            paths.append(next(block_vars["image_path_iterator"]))
            value.savefig(paths[-1], dpi=130)
    return figure_rst(paths, gallery_conf["src_dir"])
