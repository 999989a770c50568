"""python -m trailproxy."""

import sys

from trailproxy.cli import main

if __name__ == "__main__":
    sys.exit(main())
