-- day: what the figures of a day are made of, a row for each day and preset. Reads: visits.
-- A count comes with the sum of probabilities and of their variances, from which the interval is made (cloud/domain/intervals.py).
SELECT day_no, preset,
  COUNT(*) FILTER (WHERE class <> 'resident') AS visits,
  COUNT(*) FILTER (WHERE class IN ('visitor', 'engaged')) AS visitors,
  COUNT(*) FILTER (WHERE class = 'passer_by') AS passers_by,
  COUNT(*) FILTER (WHERE class = 'engaged') AS engaged,
  COUNT(*) FILTER (WHERE class = 'passer_by' AND inside_from_ms IS NOT NULL) AS bounced,
  COUNT(DISTINCT CASE WHEN class = 'resident' THEN pseudonym END) AS residents,
  COUNT(DISTINCT pseudonym) AS devices,
  COALESCE(SUM(p_visitor) FILTER (WHERE class <> 'resident'), 0.0) AS expected_visitors,
  COALESCE(SUM(p_visitor * (1.0 - p_visitor)) FILTER (WHERE class <> 'resident'), 0.0) AS variance
FROM visits
GROUP BY day_no, preset
ORDER BY day_no, preset
