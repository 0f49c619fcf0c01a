-- dwell_buckets: visits of visitors by how long they stayed. Reads: visits, buckets(from_s, to_s; to_s absent in the last).
SELECT v.day_no, v.preset, b.from_s, b.to_s, COUNT(*) AS visits
FROM visits v JOIN buckets b ON v.dwell_ms >= b.from_s * 1000 AND (b.to_s IS NULL OR v.dwell_ms < b.to_s * 1000)
WHERE v.class IN ('visitor', 'engaged')
GROUP BY v.day_no, v.preset, b.from_s, b.to_s
ORDER BY v.day_no, v.preset, b.from_s
