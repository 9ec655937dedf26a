"""A process that reads mutants one after the other, and says how each went.

It gets lines ``ending number`` on standard input and answers each with one line of JSON, after
``ready``. What it or a library writes to standard error meanwhile counts as noise. A crash ends it,
which its parent sees.
"""

import json
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path

from benchmarks.memory import peak_mib
from benchmarks.robustness.mutants import IMAGES, Mutants

from flowssl._image_files import read_images
from flowssl.exceptions import DataError
from flowssl.tables import read_table

_ADDRESS_SPACE = 16 * 2**30  # keeps the machine alive should a reader take all of its memory


def read(path: Path, ending: str) -> str:
    """Read a file with the reader of its format: "read", or the error if it is not documented."""
    try:
        if ending == "zip":
            read_images(path)
            read_images(path, (3, 8, 8), bad="skip")
        elif ending in IMAGES:
            read_images(path.parent)
            read_images(path.parent, (1, 8, 8), white=65535)
        else:
            read_table(path)
    except DataError as error:
        message = str(error)
        if "\n" in message or path.parent.name not in message:
            return f"unclear: {message!r}"
        return "refused"
    except Exception as error:  # noqa: BLE001 -- what is looked for
        return f"{type(error).__module__}.{type(error).__name__}: {error}"
    return "read"


def main(seed: int) -> None:
    """Answer requests until standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    mutants = Mutants(seed)
    with (
        tempfile.TemporaryDirectory(prefix="mutant-") as folder,
        Path(folder, "log").open("w+b") as log,
    ):
        sys.stderr.flush()
        import os

        if not os.environ.get("NOLOG"):
            os.dup2(log.fileno(), 2)
        for ending in ("csv", "parquet", "npz", "png"):  # imports are not part of any time
            _answer(mutants, Path(folder), ending, 0)
        print("ready", flush=True)
        for line in sys.stdin:
            ending, number = line.split()
            log.seek(0)
            log.truncate()
            answer = _answer(mutants, Path(folder), ending, int(number))
            sys.stderr.flush()
            log.seek(0)
            answer["noise"] = log.read(500).decode(errors="replace")
            print(json.dumps(answer), flush=True)


def _answer(mutants: Mutants, folder: Path, ending: str, number: int) -> dict[str, object]:
    inside = folder / "in"
    inside.mkdir(exist_ok=True)
    path = inside / f"m.{ending}"
    path.write_bytes(mutants.make(ending, number))
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak of memory back
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome = read(path, ending)
    seconds = time.perf_counter() - started
    path.unlink()
    return {"outcome": outcome, "seconds": seconds, "mib": peak_mib()}


if __name__ == "__main__":
    main(int(sys.argv[1]))
