"""`python -m tenuto` runs the `tenuto` command."""

import sys

from tenuto.cli import main

if __name__ == "__main__":
    sys.exit(main())
