"""``python -m flowssl`` is the command ``flowssl``."""

import sys

from flowssl.cli import main

if __name__ == "__main__":
    sys.exit(main())
