"""The cloud: takes signed batches in, turns them into figures with an interval and a coverage, and shows them to the merchant."""
