"""From the stream to the lake: decode, lay out as rows, buffer, write Parquet, and only then move the checkpoint."""
