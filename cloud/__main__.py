"""`python -m cloud` is `ivizone-cloud`."""

import sys

from cloud.cli import main

sys.exit(main())
