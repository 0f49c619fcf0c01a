-- heard: every sighting of each site and local day, once, whatever was delivered twice (idempotent on agent, boot, batch, row).
-- Reads: sightings. Times are epoch ms, p_inside is a share 0..1 from here on.
SELECT day_no, agent, boot, batch, row_no, pseudonym, first_ms, last_ms, bursts, rssi_median_dbm, p_inside / CAST(100 AS DOUBLE) AS p_inside,
  COALESCE(link, SUBSTR(pseudonym, 1, 8)) AS link
FROM (
  SELECT s.*, ROW_NUMBER() OVER (PARTITION BY day_no, agent, boot, batch, row_no ORDER BY first_ms, pseudonym) AS copy
  FROM sightings s
) copies
WHERE copy = 1
