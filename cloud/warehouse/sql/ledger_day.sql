-- ledger_day: what each access point heard, skipped and lost. Reads: ledger_once.
SELECT day_no, agent, COUNT(*) AS batches, CAST(SUM(frames) AS BIGINT) AS frames, CAST(SUM(probe_requests) AS BIGINT) AS probe_requests,
  CAST(SUM(skipped_total) AS BIGINT) AS skipped, CAST(SUM(kernel_drops) AS BIGINT) AS kernel_drops,
  CAST(SUM(evicted_batches) AS BIGINT) AS evicted_batches, CAST(SUM(listening_total_ms) AS BIGINT) AS listening_ms,
  MAX(window_end_ms) AS last_window_end_ms
FROM ledger_once
GROUP BY day_no, agent
ORDER BY day_no, agent
