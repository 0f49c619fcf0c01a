"""Keys and names of a run: which site key is used, and what a replay's batches are called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.agent_state import SITE_KEY, enrolled
from support.frames import GLOBAL, T0_US, pcap, scans, write

from agent import compose
from agent.compose import COUNT_LIFE_S, ReplayKeys, SiteKeyFile, replay_boot
from agent.config import Config, ConfigError, load_config
from agent.dot11.captured import CapturedFrame
from agent.privacy.errors import KeyErased
from agent.privacy.ratchet import DayRatchet
from agent.sources.pcap import PcapSource

DAY = SITE_KEY.day + 5


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(enrolled(tmp_path / "state"))


def boot(config: Config, *paths: Path) -> bytes:
    return replay_boot(config, PcapSource(paths))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(
            None, r"cannot be read \(No such file or directory\); make one with: ivizone-agent site-key new", id="none"
        ),
        pytest.param(b"", "a site key reads", id="empty"),
        pytest.param(b"ivz1-20000-AAAA", ".*check sum", id="cut short"),
        pytest.param(b"\xff\xfe", "is not text; copy the site key again, whole", id="not text"),
    ],
)
def test_a_site_key_that_cannot_be_used_is_named_with_the_next_step(tmp_path: Path, content: bytes | None, words: str):
    path = tmp_path / "site.key"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError, match=rf"privacy\.site_key_file .*site\.key: {words}"):
        SiteKeyFile(path).load()


def test_tomorrows_state_over_todays_is_what_erases_the_key(config: Config):
    path = Path(config.privacy.site_key_file)
    before = path.read_text()
    keeper = SiteKeyFile(path)

    name = keeper.pseudonymiser_for(DAY).pseudonym(GLOBAL)

    assert keeper.pseudonymiser_for(DAY).pseudonym(GLOBAL) == name
    assert keeper.load() == (lambda r: (r.key_of(DAY), r.state())[1])(DayRatchet(SITE_KEY))
    assert before not in path.read_text()
    with pytest.raises(KeyErased):
        keeper.pseudonymiser_for(DAY - 1)


def test_a_replay_leaves_the_site_key_where_it_is_and_may_go_back_in_time(config: Config):
    """Its captures are older than the key, and may lie in any order."""
    path = Path(config.privacy.site_key_file)
    before = path.read_text()

    keys = ReplayKeys(config, is_enrolled=True)
    late, early, again = (keys.pseudonymiser_for(day).pseudonym(GLOBAL) for day in (DAY, DAY - 400, DAY))

    assert path.read_text() == before
    assert late != early
    assert ReplayKeys(config, is_enrolled=True).pseudonymiser_for(DAY).pseudonym(GLOBAL) == late
    assert again != early


def test_without_a_site_key_a_replay_takes_one_of_chance(config: Config):
    Path(config.privacy.site_key_file).unlink()

    first, second = (ReplayKeys(config, is_enrolled=False) for _ in range(2))

    assert not first.is_lasting
    assert first.pseudonymiser_for(DAY).pseudonym(GLOBAL) != second.pseudonymiser_for(DAY).pseudonym(GLOBAL)
    assert not Path(config.privacy.site_key_file).exists()


def test_the_name_of_a_replay_is_its_captures_and_what_changes_figures(config: Config, tmp_path: Path):
    one = write(tmp_path / "one.pcap", pcap(scans(GLOBAL, T0_US, 2)))
    same = write(tmp_path / "same.pcap", one.read_bytes())
    other = write(tmp_path / "other.pcap", pcap(scans(GLOBAL, T0_US + 1, 2)))
    longer = write(tmp_path / "longer.pcap", one.read_bytes() + pcap(scans(GLOBAL, T0_US, 500))[24:])
    louder = replace(config, log=replace(config.log, level="debug"))
    wider = replace(config, batch=replace(config.batch, window_s=60))

    assert boot(config, one) == boot(config, same) == boot(louder, one)
    assert (
        len({boot(config, one), boot(config, other), boot(config, longer), boot(wider, one), boot(config, one, other)})
        == 5
    )


@pytest.mark.parametrize(
    ("mode", "window_s", "held_s"), [("day", 30, 600), ("count", 30, 270), ("count", 300, 0), ("consent", 30, 600)]
)
def test_in_mode_count_a_frame_waits_for_the_clock_no_longer_than_its_five_minutes(
    config: Config, monkeypatch, mode: str, window_s: int, held_s: int
):
    """At boot, with a clock that nobody sets: what is held is addresses, and a window is to follow."""
    privacy, batch = replace(config.privacy, mode=mode), replace(config.batch, window_s=window_s)
    clocked = replace(config, privacy=privacy, batch=batch, clock=replace(config.clock, synced_file="/nowhere/synced"))
    now_s = [0]
    monkeypatch.setattr("agent.compose.time.monotonic_ns", lambda: now_s[0] * 1_000_000_000)
    heard_at = []

    def frames():
        for second in range(700):
            now_s[0] = second
            heard_at.append(second)
            yield CapturedFrame(b"", second * 1_000_000, 127, 0, False)

    next(compose.wall_clock(clocked).place(frames()))

    assert heard_at[-1] == held_s
    assert mode != "count" or held_s + window_s <= COUNT_LIFE_S
