-- skipped_day: what each access point skipped and why: each different JSON (reason -> frames) with how many batches said it.
-- Reads: ledger_once. The engines read JSON each in their own way, so it is added up outside.
SELECT day_no, agent, skipped, COUNT(*) AS batches
FROM ledger_once
GROUP BY day_no, agent, skipped
ORDER BY day_no, agent, skipped
