-- coverage: milliseconds listened in each span, over all access points. Reads: ledger_once, spans(day_no, start_ms, end_ms).
-- A batch's listening time is spread evenly over its window: it says how long, not when.
SELECT s.day_no, s.start_ms, COUNT(DISTINCT l.agent) AS agents,
  SUM((LEAST(l.window_end_ms, s.end_ms) - GREATEST(l.window_start_ms, s.start_ms))
    * LEAST(1.0, l.listening_total_ms / CAST(l.window_end_ms - l.window_start_ms AS DOUBLE))) AS listened_ms
FROM ledger_once l JOIN spans s ON l.day_no = s.day_no AND l.window_start_ms < s.end_ms AND l.window_end_ms > s.start_ms
WHERE l.window_end_ms > l.window_start_ms
GROUP BY s.day_no, s.start_ms
ORDER BY s.day_no, s.start_ms
