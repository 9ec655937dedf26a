"""The code blocks of the documentation, run as a reader would run them."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FILE = re.compile(r"# File (\S+)\n")


def sections(page: str) -> dict[str, list[str]]:
    """The Python blocks of a page by the heading of level 1 or 2 that they stand under."""
    found: dict[str, list[str]] = {}
    heading = ""
    text = (ROOT / page).read_text(encoding="utf-8")
    for title, block in re.findall(r"^##? (.+)$|^```python\n(.*?)^```$", text, re.M | re.S):
        heading = title or heading
        if block:
            found.setdefault(heading, []).append(block)
    return found


def run_blocks(blocks: list[str], folder: Path) -> str:
    """Write the blocks that are files, run the others as one program and return its output."""
    program = []
    for block in blocks:
        file = _FILE.match(block)
        if file:
            (folder / file[1]).write_text(block, encoding="utf-8")
        else:
            program.append(block)
    (folder / "program.py").write_text("\n".join(program), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "program.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
