"""Erasing on time, and the proof of it: rules in ``cloud.domain.retention``, receipts in ``agent.wire.receipts``."""
