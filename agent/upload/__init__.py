"""Batches to the cloud: what an answer means and when to ask again (core), HTTPS (shell)."""
