"""`eudaemon`, `python -m eudaemon`."""

import sys

from eudaemon.cli import main

if __name__ == "__main__":
    sys.exit(main())
