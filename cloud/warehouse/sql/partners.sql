-- partners: which device of an access point is which of another: at most one partner for each, at an access point that heard more.
-- Reads: heard. Two that heard one address in one half-minute share its link; the partner is the one with which most addresses are
-- shared. Always to the access point that heard more, so partners form trees, and a mistake of one tracker cannot chain the devices
-- of all together as connected components would (docs/adr/0017-several-access-points.md). One name at both is one address at both.
WITH places AS (
  SELECT day_no, agent, ROW_NUMBER() OVER (PARTITION BY day_no ORDER BY COUNT(*) DESC, agent) AS place
  FROM heard
  GROUP BY day_no, agent
),
-- Of a day with one access point nothing need be looked at.
several AS (
  SELECT h.day_no, h.agent, h.pseudonym, h.link, h.first_ms
  FROM heard h JOIN places p ON p.day_no = h.day_no AND p.place = 2
),
-- Half-minutes 2.5 s early and 2.5 s late, so that clocks may differ and no border parts what is one.
marks AS (
  SELECT day_no, agent, pseudonym, link, first_ms - 2500 - (first_ms - 2500) % 30000 AS near_ms FROM several
  UNION
  SELECT day_no, agent, pseudonym, link, first_ms + 2500 - (first_ms + 2500) % 30000 AS near_ms FROM several
),
meetings AS (
  SELECT b.day_no, b.agent, b.pseudonym, a.agent AS with_agent, a.pseudonym AS with_pseudonym, COUNT(DISTINCT a.link) AS addresses
  FROM marks a JOIN marks b ON a.day_no = b.day_no AND a.link = b.link AND a.near_ms = b.near_ms AND a.agent <> b.agent
  GROUP BY b.day_no, b.agent, b.pseudonym, a.agent, a.pseudonym
  UNION ALL
  SELECT b.day_no, b.agent, b.pseudonym, a.agent, a.pseudonym, 0
  FROM (SELECT DISTINCT day_no, agent, pseudonym FROM several) a
  JOIN (SELECT DISTINCT day_no, agent, pseudonym FROM several) b
    ON a.day_no = b.day_no AND a.pseudonym = b.pseudonym AND a.agent <> b.agent
),
choices AS (
  SELECT m.day_no, m.agent, m.pseudonym, m.with_agent, m.with_pseudonym,
    ROW_NUMBER() OVER (PARTITION BY m.day_no, m.agent, m.pseudonym
      ORDER BY m.addresses DESC, a.place, CASE WHEN m.with_pseudonym = m.pseudonym THEN 0 ELSE 1 END, m.with_pseudonym) AS choice
  FROM meetings m
  JOIN places a ON a.day_no = m.day_no AND a.agent = m.with_agent
  JOIN places b ON b.day_no = m.day_no AND b.agent = m.agent
  WHERE a.place < b.place
)
SELECT day_no, agent, pseudonym, with_agent, with_pseudonym FROM choices WHERE choice = 1
