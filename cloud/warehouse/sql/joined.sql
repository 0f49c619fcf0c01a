-- joined: heard, with each device under one name, whichever access points heard it, and placed by the one that heard it loudest.
-- Reads: heard, partners. A device's name is that of the last partner of its partners: three steps, so that of up to four access
-- points every chain is followed to its end. Of several that heard it in one half-minute the loudest alone is taken, as it is nearest.
WITH names AS (
  SELECT n.day_no, n.agent, n.pseudonym, COALESCE(c.with_pseudonym, b.with_pseudonym, a.with_pseudonym, n.pseudonym) AS device
  FROM (SELECT DISTINCT day_no, agent, pseudonym FROM heard) n
  LEFT JOIN partners a ON a.day_no = n.day_no AND a.agent = n.agent AND a.pseudonym = n.pseudonym
  LEFT JOIN partners b ON b.day_no = a.day_no AND b.agent = a.with_agent AND b.pseudonym = a.with_pseudonym
  LEFT JOIN partners c ON c.day_no = b.day_no AND c.agent = b.with_agent AND c.pseudonym = b.with_pseudonym
),
ranked AS (
  SELECT h.day_no, h.agent, h.boot, h.batch, h.row_no, n.device, h.first_ms, h.last_ms, h.bursts, h.rssi_median_dbm, h.p_inside,
    FIRST_VALUE(h.agent) OVER (PARTITION BY h.day_no, n.device, h.first_ms - h.first_ms % 30000
      ORDER BY COALESCE(h.rssi_median_dbm, -128) DESC, h.agent) AS loudest
  FROM heard h JOIN names n ON n.day_no = h.day_no AND n.agent = h.agent AND n.pseudonym = h.pseudonym
)
SELECT day_no, agent, boot, batch, row_no, device AS pseudonym, first_ms, last_ms, bursts, rssi_median_dbm, p_inside
FROM ranked
WHERE agent = loudest
