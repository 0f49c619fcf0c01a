-- ledger_once: the ledger of each batch, once. Reads: ledger.
SELECT day_no, agent, boot, batch, window_start_ms, window_end_ms, frames, probe_requests, skipped, skipped_total, kernel_drops, evicted_batches,
  listening_total_ms
FROM (
  SELECT l.*, ROW_NUMBER() OVER (PARTITION BY day_no, agent, boot, batch ORDER BY window_start_ms) AS copy FROM ledger l
) copies
WHERE copy = 1
