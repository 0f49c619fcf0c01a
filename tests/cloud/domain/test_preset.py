"""Vendors' definitions as files: which there are, what they say, and how a wrong file is told."""

from __future__ import annotations

import pytest

from cloud.domain import preset as module
from cloud.domain.preset import OWN, PresetError, preset, presets

GOOD = "label: x\nsource: x\nvisit_gap_s: 900\nvisitor_min_s: 300\nengaged_min_s: 900\n"


def test_our_own_definition_comes_first_and_the_vendors_follow():
    assert list(presets()) == ["ivizone", "aruba-like", "bloom-like", "cloud4wi-like", "meraki-like", "purple-like"]


def test_our_own_definition_is_the_one_of_the_design():
    own = preset(OWN)

    assert (own.p_inside_min, own.visitor_min_s, own.engaged_min_s, own.visit_gap_s) == (0.5, 300, 900, 900)
    assert (own.resident_min_s, own.resident_closed_hours, own.rssi_min_dbm) == (8 * 3600, 2, None)


@pytest.mark.parametrize("name", list(presets()))
def test_a_definition_says_where_it_comes_from_and_makes_sense(name):
    found = preset(name)

    assert found.label and len(found.source) >= 15
    assert found.visit_gap_s > 0 and 0 <= found.visitor_min_s <= found.engaged_min_s
    assert found.rssi_min_dbm is None or -100 <= found.rssi_min_dbm < 0


def test_an_unknown_definition_is_told_with_those_there_are():
    with pytest.raises(PresetError, match="'cisco' is unknown; use one of ivizone, aruba-like"):
        preset("cisco")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "visit_gap: 5\n", "wrong.yaml: visit_gap unknown; allowed: engaged_min_s, fills_edges, heard_min_dbm"),
        (GOOD + "preset: other\n", "preset unknown"),
        (GOOD.replace("label: x\n", ""), "label missing"),
        (GOOD.replace("300", "five minutes"), "visitor_min_s is 'five minutes'; use a number"),
        (GOOD.replace("300", "true"), "visitor_min_s is True"),
        (GOOD.replace("label: x", "label: 5"), "label is 5; use text"),
        (GOOD + "fills_edges: 1\n", "fills_edges is 1; use true or false"),
        ("", "holds no options"),
        ("- a\n", "holds no options"),
    ],
)
def test_a_wrong_file_is_told_by_name_key_and_what_is_allowed(tmp_path, text, words):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)

    with pytest.raises(PresetError, match=words):
        module._read(path)


def test_times_reach_the_sql_in_milliseconds():
    assert preset("meraki-like").row() == {
        "preset": "meraki-like", "heard_min_dbm": None, "rssi_min_dbm": -80, "p_inside_min": 0.5, "visit_gap_ms": 120_000,
        "visitor_min_ms": 300_000, "engaged_min_ms": 1_200_000, "resident_min_ms": 28_800_000, "resident_closed_hours": 2,
        "fills_edges": 0,
    }  # fmt: skip


def test_only_our_own_definition_counts_what_was_not_heard():
    """Other vendors take the first and the last sighting, as far as they say."""
    assert [name for name, found in presets().items() if found.fills_edges] == ["ivizone"]
