"""From a capture to the merchant's page through the real processes; what dies in between, and that nothing is lost or counted twice."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import date, timedelta

import httpx
import pytest
from end_to_end.freshness import measure_freshness
from end_to_end.processes import CHECKOUT, AgentProcess, CloudProcess, environment, run, simulate, wait
from support.batches import header, sighting, signed
from support.shared_data import shared_data

from agent.wire.model import Batch, ClockState, LedgerCounts, WindowEstimate

DATE = (date.today() - timedelta(days=2)).isoformat()
"""A day that is over in every time zone."""
IMPATIENT = (
    "import sys; from agent import cli; from agent.commands import replay; replay.DRAIN_S = 3.0; sys.exit(cli.main())"
)
"""The agent's command, that waits three seconds for a cloud that is away instead of a minute."""


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    """A simulated day of few shoppers: the capture and the truth."""
    return simulate(tmp_path_factory.mktemp("day"), DATE)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, day):
    """The figures of the day when nothing goes wrong, with the site and the keys that made them, so that others can make the same."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with CloudProcess(folder / "cloud") as cloud:
        cloud.command("site", "add", "shop", "--allow-replay", "--hours", "10:00-19:00")
        agent = AgentProcess(folder / "agent")
        agent.enrol(cloud, "shop")
        shutil.copytree(folder / "cloud", folder / "enrolled", ignore=shutil.ignore_patterns("*.lock"))
        code, summary, trouble = agent.replay(cloud.url, day[0])
        assert code == 0, trouble
        settled(cloud)
        figures = comparable(cloud)
        assert cloud.stop() == 0
    return folder, summary, figures


def settled(cloud: CloudProcess) -> None:
    """Until everything is dealt with and the page rests."""
    last: list[object] = []

    def rests() -> bool:
        shown = cloud.figures("shop", DATE)
        last.append(shown)
        return (
            cloud.waiting() == 0
            and shown["state"] == "heard"
            and len(last) > 12
            and all(old == shown for old in last[-12:])
        )

    wait(rests, every_s=0.1)


def comparable(cloud: CloudProcess) -> dict[str, object]:
    """What must be the same whatever happened on the way."""
    shown = {preset: cloud.figures("shop", DATE, preset=preset) for preset in ("ivizone", "meraki-like")}
    return json.loads(json.dumps(shown))


def again(undisturbed, tmp_path) -> tuple[CloudProcess, AgentProcess]:
    """The same site, agent and keys before anything was sent: a cloud that is not running and an agent with an empty spool."""
    folder = undisturbed[0]
    shutil.copytree(folder / "enrolled", tmp_path / "cloud")
    (tmp_path / "agent").mkdir()
    for name in ("agent.key", "site.key", "agent.yaml"):
        text = (folder / "agent" / name).read_text()
        (tmp_path / "agent" / name).write_text(text.replace(str(folder), str(tmp_path)))
    return CloudProcess(tmp_path / "cloud"), AgentProcess(tmp_path / "agent")


# --- the whole path -----------------------------------------------------------------------------------------------------------


def test_a_day_on_the_air_is_on_the_page_with_intervals_that_hold_the_truth(undisturbed, day):
    _, summary, figures = undisturbed
    truth, tiles = day[1]["summary"], figures["ivizone"]["tiles"]

    assert summary["frames"] == day[1]["frames"]
    low, high = map(int, re.fullmatch(r"likely (\d+) to (\d+)", tiles["visitors"]["interval"]).groups())
    assert low <= truth["visitors"] <= high
    assert low <= int(tiles["visitors"]["value"]) <= high
    assert tiles["residents"]["value"] == str(truth["residents"])
    assert all(float(re.fullmatch(r"heard ([\d.]+)\s%", tile["coverage"])[1]) > 98 for tile in tiles.values())
    heard = figures["ivizone"]["ledger"][0]
    assert int(heard["frames"].replace("\u202f", "")) == summary["frames"]


def test_the_same_capture_sent_twice_is_counted_once(undisturbed, tmp_path, day):
    cloud, agent = again(undisturbed, tmp_path)
    with cloud:
        for _ in range(2):
            code, summary, trouble = agent.replay(cloud.url, day[0])
            assert code == 0, trouble
        settled(cloud)

        assert comparable(cloud) == undisturbed[2]
        assert (summary["batches"], agent.spooled()) == (undisturbed[1]["batches"], 0)


def test_a_cloud_killed_again_and_again_loses_nothing_and_doubles_nothing(undisturbed, tmp_path, day):
    """Killed four times, each time after it has taken a few batches: while the agent sends and the worker writes. The agent keeps what
    was not acknowledged and sends it to the next life."""
    cloud, agent = again(undisturbed, tmp_path)
    with cloud:
        results = []
        replay = threading.Thread(target=lambda: results.append(agent.replay(cloud.url, day[0])))
        replay.start()
        for _ in range(4):
            # One client for all looks: to make one takes as long as thirty batches.
            with httpx.Client(base_url=cloud.url, timeout=20) as client:
                wait(lambda: taken(client) >= 8, every_s=0.002)
            cloud.kill()
            cloud.start()
        replay.join(120)
        code, summary, trouble = results[0]
        settled(cloud)

        assert (code, agent.spooled()) == (0, 0), trouble
        assert summary["batches"] > 4 * 8
        assert comparable(cloud) == undisturbed[2]


def taken(client: httpx.Client) -> int:
    """Batches that this life of the cloud acknowledged as new."""
    found = re.search(r'ivizone_batches_total{status="202"} (\d+)', client.get("/metrics").text)
    return int(found[1]) if found else 0


def test_with_the_cloud_away_batches_wait_and_a_later_replay_sends_each_once(undisturbed, tmp_path, day):
    cloud, agent = again(undisturbed, tmp_path)
    with cloud:
        cloud.stop()
        words = ["replay", str(day[0]), "--cloud", cloud.url, "--json", "--config", str(agent.config)]
        done = subprocess.run(
            [sys.executable, "-c", IMPATIENT, *words], cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False
        )  # fmt: skip
        assert done.returncode == 5, done.stderr
        summary = json.loads(done.stdout.splitlines()[-1])
        assert agent.spooled() == summary["batches"] == undisturbed[1]["batches"]
        assert "nothing is counted twice" in done.stderr

        cloud.start()
        code, _, trouble = agent.replay(cloud.url, day[0])
        settled(cloud)

        assert (code, agent.spooled()) == (0, 0), trouble
        assert comparable(cloud) == undisturbed[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_the_cloud_stops_cleanly_when_asked_even_while_a_page_looks_at_it(tmp_path, number):
    with CloudProcess(tmp_path / "cloud") as cloud, httpx.Client(base_url=cloud.url) as browser:
        browser.get("/")
        begun = time.monotonic()
        assert cloud.stop(number) == 0
        assert time.monotonic() - begun < 15


def test_two_clouds_on_one_folder_are_one_too_many(tmp_path):
    with CloudProcess(tmp_path / "cloud") as cloud:
        done = run("cloud", "serve", "--data", cloud.folder, "--port", 0)

        assert done.returncode == 3 and "another ivizone-cloud" in done.stderr


def test_shared_captures_of_real_phones_reach_the_page(tmp_path):
    capture = min((path for path in shared_data("phones").rglob("*.pcap*")), key=lambda path: path.stat().st_size)
    with CloudProcess(tmp_path / "cloud") as cloud:
        cloud.command("site", "add", "phones", "--allow-replay")
        agent = AgentProcess(tmp_path / "agent")
        agent.enrol(cloud, "phones")
        code, summary, trouble = agent.replay(cloud.url, capture)
        assert code == 0, trouble
        wait(lambda: cloud.waiting() == 0)
        page = f"{cloud.url}/sites/phones"
        wait(lambda: "Figures of the day" in httpx.get(page, timeout=20).text)

        assert summary["sightings"] > 0


# --- the demo -----------------------------------------------------------------------------------------------------------------


def test_the_demo_prints_the_page_beside_the_truth(tmp_path):
    done = run("cloud", "demo", "--once", "--shoppers", 60, "--port", 0, "--data", tmp_path)

    assert done.returncode == 0, done.stderr
    for words in (
        "Visitors",
        "Passers-by",
        "Capture rate",
        "90 % interval",
        "truth",
        "The merchant's page:",
        "/sites/demo-store?date=",
    ):
        assert words in done.stdout
    assert "[1] the embedded cloud answers on http://127.0.0.1:" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_the_demo_leaves_its_page_open_and_stops_when_asked(tmp_path, number):
    demo = subprocess.Popen(
        [sys.executable, "-m", "cloud", "demo", "--shoppers", "20", "--port", "0", "--data", str(tmp_path)],
        cwd=CHECKOUT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        lines = []
        while not lines or "Ctrl-C stops." not in lines[-1]:
            lines.append(demo.stdout.readline())
            assert lines[-1], lines
        (page,) = [line.strip() for line in lines if "/sites/" in line]
        with httpx.Client() as browser:
            assert "Inside at the same time" in browser.get(page).text
            begun = time.monotonic()
            demo.send_signal(number)
            assert demo.wait(20) == 0
            assert time.monotonic() - begun < 15
    finally:
        demo.kill()


# --- fresh --------------------------------------------------------------------------------------------------------------------


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def one_more(number: int, agent: str) -> bytes:
    """A batch of now with one device that nobody heard before."""
    end_ms = now_ms()
    changes = {
        "agent": agent,
        "clock": ClockState.SYNCED,
        "batch": number,
        "window_start_ms": end_ms - 1000,
        "window_end_ms": end_ms,
    }
    seen = sighting(number + 1, end_ms - 900, p_inside=5)
    return signed(
        Batch(
            header(**changes),
            LedgerCounts(4, 4, listening_ms={0: 1000}),
            (WindowEstimate(end_ms - 1000, 1.0, 1.0, 1.0),),
            (seen,),
        )
    )


def test_an_upload_is_on_the_page_within_seconds(tmp_path):
    """The promise is p95 <= 5 s on a quiet machine (`make bench` measures it); here, beside other tests, every one comes within 30 s."""
    with CloudProcess(tmp_path / "cloud") as cloud:
        cloud.command("site", "add", "shop")
        agent = enrolled(cloud, "shop")
        for number in range(6):
            answer = httpx.post(f"{cloud.url}/v1/batches", content=one_more(number, agent), timeout=20)
            assert answer.status_code == 202, answer.text
        page = "/sites/shop/figures.json"
        wait(
            lambda: (
                httpx.get(cloud.url + page, timeout=20)
                .json()["tiles"]
                .get("passers_by", {})
                .get("value", "–")
                .isdecimal()
            )
        )

        fresh = measure_freshness(cloud.url, page, lambda n: one_more(n + 6, agent), passers_by, uploads=5)

    assert len(fresh.seconds) == 5 and 0 < fresh.quantile(0.95) < 30


def passers_by(shown: dict) -> int:
    return int(shown["tiles"]["passers_by"]["value"].replace("\u202f", ""))


def enrolled(cloud: CloudProcess, site: str) -> str:
    """An agent that signs with the tests' key."""
    from base64 import b64encode

    from support.clouds import PUBLIC_KEY

    token = cloud.command("agent", "token", "--site", site).strip()
    body = {"token": token, "public_key": b64encode(PUBLIC_KEY).decode(), "software": "tests"}
    answer = httpx.post(f"{cloud.url}/v1/enrol", json=body, timeout=20)
    assert answer.status_code == 201, answer.text
    return answer.json()["agent"]
