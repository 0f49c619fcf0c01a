-- visits: sightings of one pseudonym with no gap over visit_gap_ms, classed by every preset at once.
-- Reads: joined; presets(preset, heard_min_dbm, rssi_min_dbm, p_inside_min, visit_gap_ms, visitor_min_ms, engaged_min_ms,
-- resident_min_ms, resident_closed_hours, fills_edges); closed_hours(day_no, start_ms, end_ms). Rule: docs/glossary.md, "visit".
-- fills_edges: a phone is heard only when it scans, so a stay began on average half a pause between sightings before the first one and
-- ended half a pause after the last (docs/adr/0008-intervals.md). 0: the vendor's definition takes what was heard.
WITH placed AS (
  SELECT p.preset, p.visit_gap_ms, p.fills_edges, h.*,
    CASE WHEN p.rssi_min_dbm IS NULL THEN COALESCE(h.p_inside, 0.0) >= p.p_inside_min
         ELSE COALESCE(h.rssi_median_dbm, -128) >= p.rssi_min_dbm END AS is_inside,
    MAX(h.last_ms) OVER (
      PARTITION BY h.day_no, p.preset, h.pseudonym ORDER BY h.first_ms, h.last_ms, h.agent, h.boot, h.batch, h.row_no
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS heard_until_ms
  FROM joined h CROSS JOIN presets p
  WHERE p.heard_min_dbm IS NULL OR h.rssi_median_dbm >= p.heard_min_dbm
),
numbered AS (
  SELECT placed.*,
    SUM(CASE WHEN heard_until_ms IS NULL OR first_ms - heard_until_ms > visit_gap_ms THEN 1 ELSE 0 END) OVER (
      PARTITION BY day_no, preset, pseudonym ORDER BY first_ms, last_ms, agent, boot, batch, row_no
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS visit_no
  FROM placed
),
spans AS (
  SELECT day_no, preset, pseudonym, visit_no, MIN(first_ms) AS first_ms, MAX(last_ms) AS last_ms,
    MIN(CASE WHEN is_inside THEN first_ms END) AS inside_first_ms, MAX(CASE WHEN is_inside THEN last_ms END) AS inside_last_ms,
    CAST(SUM(bursts) AS BIGINT) AS bursts, COALESCE(AVG(p_inside), 0.0) AS p_inside,
    CASE WHEN MAX(fills_edges) = 1 AND COUNT(*) > 1
         THEN CAST(FLOOR((MAX(last_ms) - MIN(first_ms)) / CAST(COUNT(*) - 1 AS DOUBLE) / 2.0) AS BIGINT) ELSE 0 END AS edge_ms,
    COUNT(*) FILTER (WHERE is_inside) AS inside_sightings
  FROM numbered
  GROUP BY day_no, preset, pseudonym, visit_no
),
stays AS (
  SELECT spans.*, last_ms - first_ms + 2 * edge_ms AS dwell_ms,
    SUM(last_ms - first_ms) OVER (PARTITION BY day_no, preset, pseudonym) AS present_ms,
    CASE WHEN inside_sightings > 1 THEN inside_first_ms - edge_ms ELSE inside_first_ms END AS inside_from_ms,
    CASE WHEN inside_sightings > 1 THEN inside_last_ms + edge_ms ELSE inside_last_ms END AS inside_to_ms
  FROM spans
),
closed AS (
  SELECT h.day_no, h.pseudonym, COUNT(DISTINCT c.start_ms) AS closed_hours
  FROM joined h JOIN closed_hours c ON h.day_no = c.day_no AND h.first_ms < c.end_ms AND h.last_ms >= c.start_ms
  GROUP BY h.day_no, h.pseudonym
)
SELECT s.day_no, s.preset, s.pseudonym, s.visit_no, s.first_ms, s.last_ms, s.inside_from_ms, s.inside_to_ms, s.bursts, s.p_inside, s.dwell_ms,
  -- How likely this was a visitor's stay: it must have been inside, and long enough.
  CASE WHEN p.visitor_min_ms = 0 THEN s.p_inside
       ELSE s.p_inside * LEAST(1.0, s.dwell_ms / CAST(p.visitor_min_ms AS DOUBLE)) END AS p_visitor,
  CASE WHEN s.present_ms > p.resident_min_ms OR COALESCE(c.closed_hours, 0) >= p.resident_closed_hours THEN 'resident'
       WHEN s.inside_from_ms IS NULL THEN 'passer_by'
       WHEN s.inside_to_ms - s.inside_from_ms >= p.engaged_min_ms THEN 'engaged'
       WHEN s.inside_to_ms - s.inside_from_ms >= p.visitor_min_ms THEN 'visitor'
       ELSE 'passer_by' END AS class
FROM stays s
JOIN presets p ON p.preset = s.preset
LEFT JOIN closed c ON c.day_no = s.day_no AND c.pseudonym = s.pseudonym
