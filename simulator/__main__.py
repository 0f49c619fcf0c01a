"""`python -m simulator` is `ivizone-simulate`."""

from __future__ import annotations

import sys

from simulator.cli import main

sys.exit(main())
