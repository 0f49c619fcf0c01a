"""The rig: a throw-away VM with the real mac80211 stack, simulated radios, hostapd, and the agent of this checkout (rig/run.sh).

`make test-radio` sets IVIZONE_RADIO; without it these tests are skipped, because they take fifteen minutes of a whole core and
build a guest image the first time. Each module boots the guest once; the guest plays scenarios and tells what happened, and
the tests judge.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.radio import Results, keep

RUN = Path(__file__).parent / "rig" / "run.sh"
CHECKOUT = Path(__file__).parents[2]
CANNOT_RUN = 77


@pytest.fixture(scope="session")
def rig() -> Callable[..., Results]:
    """Play scenarios in one guest; gives what each of them told. Skips where the rig cannot run."""
    if not os.environ.get("IVIZONE_RADIO"):
        pytest.skip("boots a VM for some minutes; run it with: make test-radio")
    check = subprocess.run([RUN, "--check"], capture_output=True, text=True, timeout=600, check=False)
    if check.returncode == CANNOT_RUN:
        pytest.skip(f"the rig cannot run here: {check.stderr.strip()}")
    assert check.returncode == 0, check.stderr

    def play(*scenarios: str, timeout_s: int) -> Results:
        done = subprocess.run(
            [RUN, "--", "python3", "/rig/scenarios.py", *scenarios],
            env={**os.environ, "HWSIM_SHARE": str(CHECKOUT), "HWSIM_TIMEOUT": str(timeout_s)},
            capture_output=True,
            text=True,
            timeout=timeout_s + 600,  # the image is built before the guest's own time begins
            check=False,
        )
        assert done.returncode == 0, (
            f"the guest ended with {done.returncode}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        )
        told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        keep(told)
        return {result["scenario"]: result for result in told}

    return play
