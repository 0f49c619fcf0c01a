"""Takes batches in: one file of pure decisions (``decide``), one of HTTP (``app``)."""
