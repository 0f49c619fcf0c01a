"""A pytest plugin for emulated processors: fewer examples of each property, and no complaint that they are slow. Used by run.sh."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "emulated", deadline=None, max_examples=15, suppress_health_check=list(HealthCheck), database=None
)
