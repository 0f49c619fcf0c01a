"""What every test begins with."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("house", deadline=None)
settings.load_profile("house")  # no test hangs on the wall clock: two cores are shared with whatever else runs
