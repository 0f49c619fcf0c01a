-- skipped_day: what each access point skipped and why: each different JSON (reason -> frames) with how many batches said it.
-- Reads: ledger_once. The engines read JSON each in their own way, so it is added up outside.
SELECT agent, skipped, COUNT(*) AS batches
FROM ledger_once
GROUP BY agent, skipped
ORDER BY agent, skipped
