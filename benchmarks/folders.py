"""The folder of the benchmarks' data: FLOWSSL_DATA, by default next to the repository."""

import os
from pathlib import Path

DATA = Path(os.environ.get("FLOWSSL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
