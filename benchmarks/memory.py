"""Memory of the running process, for the benchmarks that report it."""

import resource
from pathlib import Path


def peak_mib() -> float:
    """Return the largest resident memory of this process so far, MiB."""
    # The kernel's ru_maxrss starts at the size of the process that started this one.
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
