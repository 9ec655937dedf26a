"""Pages that are written from the code: the API, the options of the command line, benchmarks.

They are generated before Sphinx looks for its sources, so that no list is kept by hand.
"""

import contextlib
import io
import re
import shutil
from pathlib import Path

from public_names import constant_docs, public_modules, public_names
from sphinx.application import Sphinx
from sphinx.config import Config

from flowssl.cli import main
from flowssl.cli.methods import METHODS
from flowssl.cli.parser import COMMANDS

DOCS = Path(__file__).resolve().parents[1]
BENCHMARKS = DOCS.parent / "benchmarks"
_REQUEST = re.compile(r"set_\w+_request")
# Links to what is no page: raw results.
_DATA_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\.(?:jsonl?|py)\)")
# The order in which a reader wants the examples.
GALLERY = (
    "first_fit",
    "mixed_table",
    "text_embeddings",
    "images",
    "unusual_rows",
    "saturation",
    "latent_space",
    "decision_boundaries",
    "model_selection",
    "remove_class",
)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register this extension with Sphinx."""
    app.connect("config-inited", write_pages)
    app.connect("autodoc-skip-member", skip_plumbing)
    return {"parallel_read_safe": True}


def write_pages(app: Sphinx, config: Config) -> None:
    """Write all generated pages below the source folder; git ignores them."""
    _write_api(DOCS / "api")
    _write_command_line(DOCS / "_generated")
    _copy_benchmarks(DOCS / "benchmarks")


def skip_plumbing(
    app: Sphinx, kind: str, name: str, value: object, skip: bool, options: object
) -> bool | None:
    """Leave out what scikit-learn adds to each estimator for its own use."""
    plumbing = name in {"get_metadata_routing", "set_output"} or _REQUEST.fullmatch(name)
    return True if plumbing else None


class gallery_order:  # noqa: N801 (sphinx-gallery wants a class as a sort key)
    """Sort examples in the order of `GALLERY`; a new one without a place there is an error."""

    def __init__(self, source_folder: str) -> None:
        self.source_folder = source_folder

    def __call__(self, name: str) -> int:
        return GALLERY.index(Path(name).stem)


def _write_api(folder: Path) -> None:
    """Write one page for each public module and an index of them."""
    folder.mkdir(exist_ok=True)
    modules = public_modules()
    for module in modules:
        _update(folder / f"{module}.rst", "\n".join(_module_page(module)) + "\n")
    kept = {folder / f"{module}.rst" for module in modules}
    kept |= {folder / "names" / f"{m}.{name}.rst" for m in modules for name in public_names(m)}
    for stale in set(folder.rglob("*.rst")) - kept:
        stale.unlink()
    lines = ["```{toctree}", ":maxdepth: 1", "", *(f"api/{m}" for m in modules), "```"]
    _update(DOCS / "_generated" / "api-modules.md", "\n".join(lines) + "\n")


def _module_page(module: str) -> list[str]:
    constants = constant_docs(module)
    documented = [name for name in public_names(module) if name not in constants]
    lines = [module, "=" * len(module), "", f".. automodule:: {module}", "   :no-members:", ""]
    lines += [f".. currentmodule:: {module}", ""]
    if documented:
        lines += [".. autosummary::", "   :toctree: names", "   :nosignatures:", ""]
        lines += [*(f"   {name}" for name in documented), ""]
    for name, text in constants.items():
        lines += [f".. py:data:: {name}", "", *(f"   {line}" for line in text.splitlines()), ""]
    return lines


def _write_command_line(folder: Path) -> None:
    """Write the help of every command, and of ``fit`` for every method."""
    lines = ["## `flowssl`", "", *_help()]
    for command in COMMANDS:
        lines += [f"## `flowssl {command}`", "", *_help(command)]
        if command == "fit":
            for method in list(METHODS)[1:]:
                lines += [
                    f"### `flowssl fit --method {method}`",
                    "",
                    *_help("fit", "--method", method),
                ]
    _update(folder / "command-line.md", "\n".join(lines))


def _help(*words: str) -> list[str]:
    """Return the block of what ``flowssl ... --help`` prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        main([*words, "--help"])
    return ["```text", printed.getvalue().rstrip(), "```", ""]


def _copy_benchmarks(folder: Path) -> None:
    """Copy the pages next to the benchmarks, with the links to the documentation adjusted."""
    for source in sorted(BENCHMARKS.rglob("*")):
        target = folder / source.relative_to(BENCHMARKS)
        if source.suffix == ".md":
            text = re.sub(r"\]\(((?:\.\./)+)docs/", r"](\1", source.read_text(encoding="utf-8"))
            title = "" if text.startswith("# ") else f"# {source.parts[-3]}: {source.stem}\n\n"
            _update(target, title + _DATA_LINK.sub(r"\1", text))
        elif source.suffix == ".png":
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def _update(path: Path, text: str) -> None:
    """Write a file only where it changes, so that Sphinx does not read it again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
