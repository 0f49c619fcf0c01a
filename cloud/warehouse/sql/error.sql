-- error: how far the access points' own estimates of the number of devices reach, summed over the day. Reads: windows.
SELECT COUNT(*) AS windows, COALESCE(SUM(devices), 0.0) AS devices, COALESCE(SUM(low), 0.0) AS low, COALESCE(SUM(high), 0.0) AS high
FROM (
  SELECT w.*, ROW_NUMBER() OVER (PARTITION BY agent, boot, batch, row_no ORDER BY start_ms) AS copy FROM windows w
) copies
WHERE copy = 1
