-- quarters: who was there in each quarter-hour, a row for each day, preset and quarter. Reads: visits, quarters(day_no,
-- start_ms, end_ms).
-- Occupancy is the mean number of visitors' devices inside, occupants how many those were; arrivals count in the quarter in which
-- they were first heard.
WITH pairs AS (
  SELECT v.day_no, v.preset, q.start_ms, q.end_ms, v.class, v.p_visitor,
    v.first_ms >= q.start_ms AND v.first_ms < q.end_ms AS arrived,
    GREATEST(0, LEAST(COALESCE(v.inside_to_ms, 0), q.end_ms) - GREATEST(COALESCE(v.inside_from_ms, 0), q.start_ms))
      / CAST(q.end_ms - q.start_ms AS DOUBLE) AS share
  FROM visits v JOIN quarters q ON v.day_no = q.day_no AND v.first_ms < q.end_ms AND v.last_ms >= q.start_ms
  WHERE v.class <> 'resident'
)
SELECT day_no, preset, start_ms,
  COUNT(*) FILTER (WHERE share > 0 AND class IN ('visitor', 'engaged')) AS occupants,
  COALESCE(SUM(share) FILTER (WHERE class IN ('visitor', 'engaged')), 0.0) AS occupancy,
  COALESCE(SUM(share * share * p_visitor * (1.0 - p_visitor)), 0.0) AS occupancy_variance,
  COUNT(*) FILTER (WHERE arrived AND class IN ('visitor', 'engaged')) AS visitors,
  COUNT(*) FILTER (WHERE arrived AND class = 'passer_by') AS passers_by,
  COALESCE(SUM(p_visitor * (1.0 - p_visitor)) FILTER (WHERE arrived), 0.0) AS arrivals_variance
FROM pairs
GROUP BY day_no, preset, start_ms
ORDER BY day_no, preset, start_ms
