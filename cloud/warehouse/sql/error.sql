-- error: how far the access points' own estimates of the number of devices reach, summed over each day. Reads: windows, days(day_no).
SELECT d.day_no, COUNT(c.day_no) AS windows, COALESCE(SUM(c.devices), 0.0) AS devices, COALESCE(SUM(c.low), 0.0) AS low,
  COALESCE(SUM(c.high), 0.0) AS high
FROM days d LEFT JOIN (
  SELECT w.*, ROW_NUMBER() OVER (PARTITION BY day_no, agent, boot, batch, row_no ORDER BY start_ms) AS copy FROM windows w
) c ON c.day_no = d.day_no AND c.copy = 1
GROUP BY d.day_no
ORDER BY d.day_no
