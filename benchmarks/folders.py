"""Where the benchmarks' data lie: in the folder named by FLOWSSL_DATA, or beside the repository."""

import os
from pathlib import Path

DATA = Path(os.environ.get("FLOWSSL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
