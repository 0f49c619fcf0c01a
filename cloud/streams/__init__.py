"""Where batches wait, durably and in order, for the consumer."""
