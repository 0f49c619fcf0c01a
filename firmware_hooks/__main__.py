"""`python -m firmware_hooks`."""

import sys

from firmware_hooks.cli import main

if __name__ == "__main__":
    sys.exit(main())
