"""The papers say what the configuration says, in each language, and no number that is not in force."""

from __future__ import annotations

import re
from html import unescape

import pytest
import yaml
from support.clouds import Clock, Cloud, busy_hour, heard

from cloud import cli
from cloud.accounts.viewer import of_role
from cloud.domain.language import CODES
from cloud.domain.modes import LEGAL_MODES
from cloud.domain.preset import presets
from cloud.domain.publish import K
from cloud.fleet.desk import Desk
from cloud.privacy.facts import gather
from cloud.privacy.papers import FOLDER, language, papers

OWNER = of_role("main", "owner@main", "owner")


@pytest.fixture(scope="module")
def clouds(tmp_path_factory):
    made = {
        mode: Cloud(tmp_path_factory.mktemp(mode), mode=mode, hours="mon-sat 10:00-19:00", clock=Clock())
        for mode in LEGAL_MODES
    }
    yield made
    for cloud in made.values():
        cloud.close()


def made(cloud: Cloud, code: str, url: str | None = "https://shop.example/p/shop/") -> dict[str, str]:
    site = cloud.embedded.fleet.site("shop")
    found = papers(gather(cloud.embedded.database, site, cloud.clock), code, "0.1.0", url)
    return {
        name.split("-")[0]: unescape(re.sub(r"<style.*?</style>|<[^>]+>", " ", text, flags=re.S))
        for name, text in found.items()
    }


@pytest.mark.parametrize("mode", LEGAL_MODES)
@pytest.mark.parametrize("code", CODES)
def test_every_paper_of_every_mode_can_be_printed_in_every_language(clouds, mode: str, code: str):
    texts = made(clouds[mode], code)

    assert sorted(texts) == ["dpia", "notice", "sign"]
    for text in texts.values():
        assert "The shop" in text and "0.1.0" in text and "{" not in text
    others = {language(other).say(f"dpia.mode.{mode}") for other in CODES if other != code}
    assert language(code).say(f"dpia.mode.{mode}") in texts["dpia"] and not any(
        other in texts["dpia"] for other in others
    )


@pytest.mark.parametrize("mode", LEGAL_MODES)
def test_a_paper_promises_what_the_mode_keeps_and_nothing_else(clouds, mode: str):
    text = made(clouds[mode], "en")["dpia"]
    said = {name: language("en").say(f"kept.{name}") in text for name in ("sightings", "address_count", "shopper")}

    assert said == {
        "sightings": mode != "count",
        "address_count": mode == "count",
        "shopper": mode == "consent",
    }
    assert ("pseudonym" in text.lower()) == (mode != "count")
    assert ("at most 5 minutes" in text) == (mode == "count")
    assert ("ends a visit" in text) == (mode != "count"), "without visits there is no definition of one"


def test_in_mode_count_an_access_point_forgets_with_the_window(clouds):
    def row_of(mode: str) -> str:
        text = " ".join(made(clouds[mode], "en")["dpia"].split())
        return text[text.index("ap-test") :].partition("6. Measures")[0]

    assert row_of("count").endswith(" 30 s 30 s ") and row_of("consent").endswith(" 30 s 900 s ")


def test_a_mode_that_is_to_come_is_told_as_such(tmp_path):
    cloud = Cloud(tmp_path, mode="count", clock=Clock())
    fleet = cloud.embedded.fleet
    fleet.set_mode("shop", "day", "test")
    before = " ".join(made(cloud, "en")["dpia"].split())
    cloud.clock.ms += 24 * 3_600_000
    after = " ".join(made(cloud, "en")["dpia"].split())
    first = fleet.site("shop").modes.changes[-1][0]
    cloud.close()

    assert f"count: only numbers leave the access point; from {first} on: day: " in before
    assert "In this mode since the beginning" in before and f"In this mode since {first}" in after


def test_the_numbers_are_those_of_the_code(clouds, monkeypatch):
    text = made(clouds["day"], "en")["dpia"]
    assert f"fewer than {K} devices" in text and "24 hours after their day closed" in text and "a 90 % interval" in text
    for preset in presets().values():
        assert preset.label in text

    monkeypatch.setattr("cloud.privacy.papers.DEVICES_MS", 12 * 3_600_000)
    assert "12 hours after their day closed" in made(clouds["day"], "en")["dpia"]


def test_what_the_merchant_sets_is_what_the_sheet_says(clouds):
    cloud = clouds["day"]
    desk = Desk(cloud.embedded.database, cloud.embedded.fleet, cloud.clock)
    desk.set_config(OWNER, "ap-test", {"proximity.threshold_dbm": "-71", "batch.window_s": "60"})

    text = made(cloud, "en")["dpia"]

    assert "−71 dBm" in text or "-71 dBm" in text
    assert "60 s" in text and "900 s" in text


def test_the_scale_is_that_of_published_figures_only(clouds):
    cloud = clouds["consent"]
    assert "no day has been counted yet" in made(cloud, "en")["dpia"]
    cloud.take(heard(0, *busy_hour(visitors=12, passers_by=3)))
    cloud.clock.ms += 24 * 3_600_000

    text = made(cloud, "en")["dpia"]

    assert "days with figures: 1; on average a day 12 visitors, not given passers-by" in text, "three are hidden"


def test_objections_are_told_without_their_number(clouds):
    cloud = clouds["count"]
    assert "nobody has objected" in made(cloud, "en")["dpia"]
    from cloud.fleet.opt_outs import OptOuts

    OptOuts(cloud.embedded.database, cloud.clock).add("shop", bytes.fromhex("00005e005301"))
    assert "bits of 1 section(s)" in made(cloud, "en")["dpia"]


def test_links_are_told_where_a_store_has_several_access_points_and_senses_devices(tmp_path):
    cloud = Cloud(tmp_path)
    told = language("en").say("dpia.data.link")
    alone = made(cloud, "en")["dpia"]
    cloud.add_agent("ap-second")
    together = made(cloud, "en")["dpia"]
    cloud.close()

    assert told not in alone and told in together
    assert "first 4 bytes" in together


def test_without_an_address_of_the_page_there_is_no_code_to_scan(clouds):
    with_url, without = made(clouds["day"], "en"), made(clouds["day"], "en", url=None)
    assert "https://shop.example/p/shop/opt-out" in with_url["sign"] and "https://" not in without["sign"]


def test_every_text_is_there_in_every_language_and_names_the_same_numbers():
    texts = yaml.safe_load((FOLDER / "languages" / "papers.yaml").read_text())
    for key, by_language in texts.items():
        assert sorted(by_language) == sorted(CODES), key
        assert len({tuple(sorted(re.findall(r"{(\w+)}", text))) for text in by_language.values()}) == 1, key


def test_the_command_writes_three_files(tmp_path, capsys):
    data = ["--data", str(tmp_path / "data")]
    assert cli.main(["site", "add", "shop", "--name", "The shop", *data]) == 0
    out = tmp_path / "papers"
    assert (
        cli.main(["papers", "shop", "--language", "fr", "--out", str(out), "--url", "https://shop.example", *data]) == 0
    )

    assert sorted(path.name for path in out.iterdir()) == [
        "dpia-shop-fr.html",
        "notice-shop-fr.html",
        "sign-shop-fr.html",
    ]
    assert cli.main(["papers", "nowhere", "--out", str(out), *data]) == 3
    assert "site 'nowhere' does not exist" in capsys.readouterr().err
