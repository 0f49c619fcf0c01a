"""From devices to people, as an operator types it and a merchant reads it."""

from __future__ import annotations

import pytest
from support.clouds import DATE, HOUR_MS, MIN_MS, NOON_MS, Cloud, heard, served, stay

from cloud.cli import main

SHOWN = "people ("


@pytest.fixture
def cloud(tmp_path):
    """Two hours of 80 visitors; nothing of it is in a figure of people."""
    made = Cloud(tmp_path, hours="10:00-12:00")
    begins_ms = NOON_MS - 2 * HOUR_MS
    stays = [stay(n, begins_ms + n * MIN_MS, 10) for n in range(80)]
    made.take(heard(0, *stays, start_ms=begins_ms))
    yield made
    made.close()


@pytest.fixture
def counts(tmp_path):
    file = tmp_path / "counts.csv"
    file.write_text(f"date,from,to,people\n{DATE},10:00,10:30,41\n{DATE},10:30,11:00,37\n{DATE},13:00,13:15,9\n")
    return file


def run(cloud: Cloud, *words: str) -> int:
    return main(["site", *words, "--data", str(cloud.folder)])


def page(cloud: Cloud) -> str:
    with served(cloud.embedded.app(works=False, is_open=True)) as http:
        answer = http.get(f"/sites/shop?date={DATE}")
    assert answer.status_code == 200
    return answer.text


def test_a_factor_is_fitted_explained_and_shown_nowhere(cloud, counts, capsys):
    assert run(cloud, "calibrate", "shop", "--counts", str(counts)) == 0

    said = capsys.readouterr().out
    assert "2026-11-20 10:00-10:30      41       30" in said
    assert "13:00-13:15       9        - heard less than 80%; left out" in said
    assert "factor 1.30 people for each visitors' device, 90 % interval 1." in said
    assert "computed as 78 people / 60 devices over 2 counts" in said
    assert SHOWN not in page(cloud)


def test_people_are_on_the_page_from_when_they_are_asked_for_until_they_are_hidden(cloud, counts):
    run(cloud, "calibrate", "shop", "--counts", str(counts))
    run(cloud, "people", "shop", "--show")
    shown = page(cloud)
    run(cloud, "people", "shop", "--hide")

    assert "about 104 people (" in shown and "1.30 for each device, by hand counts" in shown
    assert ">80<" in shown  # beside the devices, not in their place
    assert SHOWN not in page(cloud)


def test_a_new_factor_changes_nothing_until_it_is_asked_for(cloud, counts, capsys):
    run(cloud, "calibrate", "shop", "--counts", str(counts))
    run(cloud, "people", "shop", "--show", "1")
    counts.write_text(f"date,from,to,people\n{DATE},10:00,11:00,120\n")
    run(cloud, "calibrate", "shop", "--counts", str(counts))

    assert "about 104 people" in page(cloud)
    run(cloud, "people", "shop", "--show")
    assert "about 160 people" in page(cloud)
    capsys.readouterr()
    run(cloud, "people", "shop")
    first, second = capsys.readouterr().out.splitlines()
    assert "1.30 (" in first and "shown" not in first
    assert "2.00 (" in second and second.endswith("shown")


def test_what_cannot_be_used_is_said_and_nothing_is_kept(cloud, counts, capsys):
    counts.write_text(f"date,from,to,people\n{DATE},10:00,10:15,12\n")

    assert run(cloud, "calibrate", "shop", "--counts", str(counts)) == 4
    assert "at least 30 of each are needed" in capsys.readouterr().err
    assert run(cloud, "people", "shop", "--show") == 3
    assert "has no factor 0" in capsys.readouterr().err
    assert run(cloud, "people", "nowhere") == 3


def test_a_count_that_is_still_to_come_is_refused(cloud, counts, capsys):
    counts.write_text(f"date,from,to,people\n{DATE},10:00,11:00,80\n2126-11-20,10:00,11:00,80\n")

    assert run(cloud, "calibrate", "shop", "--counts", str(counts)) == 4
    assert "2126-11-20 11:00, which is still to come" in capsys.readouterr().err


@pytest.mark.parametrize(("people", "is_unusual"), [(80, False), (8000, True)])
def test_a_factor_that_no_store_has_is_remarked_upon(cloud, counts, capsys, people, is_unusual):
    counts.write_text(f"date,from,to,people\n{DATE},10:00,11:00,{people}\n")

    assert run(cloud, "calibrate", "shop", "--counts", str(counts)) == 0
    assert ("look for a wrong number" in capsys.readouterr().out) is is_unusual
