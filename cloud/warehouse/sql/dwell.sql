-- dwell: how long visitors stayed, by rank, a row for each day and preset: median and the two ranks of its 90 % interval.
-- Reads: visits. The ranks are those of the sign test: n/2 -+ 1.645 * sqrt(n)/2, so no shape of the distribution is assumed.
WITH ranked AS (
  SELECT day_no, preset, dwell_ms,
    ROW_NUMBER() OVER (PARTITION BY day_no, preset ORDER BY dwell_ms, pseudonym, visit_no) AS place,
    COUNT(*) OVER (PARTITION BY day_no, preset) AS n
  FROM visits
  WHERE class IN ('visitor', 'engaged')
)
SELECT day_no, preset, MAX(n) AS visits,
  MAX(CASE WHEN place = CAST(FLOOR((n + 1) / 2.0) AS BIGINT) THEN dwell_ms END) AS median_ms,
  MAX(CASE WHEN place = GREATEST(1, CAST(FLOOR(n / 2.0 - 0.8225 * SQRT(n)) AS BIGINT)) THEN dwell_ms END) AS low_ms,
  MAX(CASE WHEN place = LEAST(n, CAST(CEIL(n / 2.0 + 0.8225 * SQRT(n)) AS BIGINT) + 1) THEN dwell_ms END) AS high_ms
FROM ranked
GROUP BY day_no, preset
ORDER BY day_no, preset
