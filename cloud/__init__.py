"""The cloud: takes signed batches in, turns them into figures with an interval and a coverage, and shows them to the merchant."""

import os

# Before anything imports pyarrow, which asks once. Its own pool kept 50 MiB after a merge of which nothing lived any more, also when told
# to release them: it collects what the calling thread has freed, not what Arrow's threads have. malloc gives back (cloud/memory.py).
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
