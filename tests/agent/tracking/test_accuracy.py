"""A guard against regressions of the count: a few crowds of labelled phones. `make accuracy` measures many."""

from __future__ import annotations

from random import Random

import pytest
from support.shared_data import shared_data

from benchmarks.accuracy.crowds import KINDS, Session, load_sessions
from benchmarks.accuracy.scores import Agreement, Summary, agreement, summary
from benchmarks.accuracy.ways import WAYS, score

OURS = "evidence (count, explain)"


@pytest.fixture(scope="module")
def sessions() -> list[Session]:
    return load_sessions(shared_data("phones"))


def measured(sessions: list[Session], kind: str, crowds: int) -> Summary:
    made = [KINDS[kind](sessions, Random(seed), 1) for seed in range(crowds)]
    return summary([score(crowd, WAYS[OURS](crowd)) for crowd in made])


@pytest.mark.parametrize(
    ("kind", "error", "v_frames", "v_addresses"),
    [
        pytest.param("different", 0.08, 0.98, 0.955, id="eleven different phones"),
        pytest.param("twins", 0.05, 0.80, 0.93, id="every model twice"),
        pytest.param("identical", 0.17, 0.78, 0.68, id="mostly identical phones"),
    ],
)
def test_a_crowd_is_counted_and_divided_about_right(
    sessions: list[Session], kind: str, error: float, v_frames: float, v_addresses: float
):
    found = measured(sessions, kind, 6)

    assert found.absolute_error <= error
    assert found.v_frames >= v_frames
    assert found.v_addresses >= v_addresses


def test_the_intervals_mostly_hold_the_truth(sessions: list[Session]):
    coverage = [measured(sessions, kind, 5).coverage for kind in ("different", "twins", "identical")]

    assert sum(coverage) / len(coverage) >= 0.85


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        pytest.param([("a", 1), ("a", 1), ("b", 2)], Agreement(1.0, 1.0), id="perfect"),
        pytest.param([("a", 1), ("b", 1)], Agreement(0.0, 1.0), id="two devices in one group"),
        pytest.param([("a", 1), ("a", 2)], Agreement(1.0, 0.0), id="one device in two groups"),
        pytest.param([("a", 1), ("a", 2), ("b", 1), ("b", 2)], Agreement(0.0, 0.0), id="groups that say nothing"),
    ],
)
def test_agreement_with_the_truth(pairs: list[tuple[str, int]], expected: Agreement):
    found = agreement(pairs)

    assert (found.homogeneity, found.completeness) == pytest.approx((expected.homogeneity, expected.completeness))
