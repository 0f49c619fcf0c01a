-- zone_quarters: mode count: devices heard at one time in each zone, the mean over the windows of each quarter-hour.
-- Reads: zone_counts, quarters(day_no, start_ms, end_ms).
SELECT z.day_no, z.zone, q.start_ms, COUNT(*) AS windows, AVG(z.devices) AS devices, AVG(z.low) AS low, AVG(z.high) AS high
FROM (
  SELECT c.*, ROW_NUMBER() OVER (PARTITION BY day_no, agent, boot, batch, row_no ORDER BY start_ms) AS copy FROM zone_counts c
) z JOIN quarters q ON z.day_no = q.day_no AND z.start_ms >= q.start_ms AND z.start_ms < q.end_ms
WHERE z.copy = 1
GROUP BY z.day_no, z.zone, q.start_ms
ORDER BY z.day_no, z.zone, q.start_ms
