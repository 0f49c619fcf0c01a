"""`ivizone-agent doctor`: a line for each thing that must be right, and what to do where it is not (shell)."""

from __future__ import annotations

import argparse
import json
import time

from agent.commands import configured
from agent.doctor import Finding, State, examine, exit_code_of

MARKS = {State.OK: "ok  ", State.WARNING: "warn", State.FAILED: "FAIL"}


def run_doctor(options: argparse.Namespace) -> int:
    """Say each finding as soon as it is found."""
    findings: list[Finding] = []
    for finding in examine(configured(options), time.time()):
        findings.append(finding)
        print(_as_json(finding) if options.json else _in_words(finding), flush=True)
    return exit_code_of(findings)


def _as_json(finding: Finding) -> str:
    facts = {"subject": finding.subject, "state": finding.state.value, "what": finding.what, "advice": finding.advice}
    return json.dumps(facts)


def _in_words(finding: Finding) -> str:
    line = f"{MARKS[finding.state]}  {finding.subject:<10} {finding.what}"
    return f"{line}\n{'':18}-> {finding.advice}" if finding.advice else line
