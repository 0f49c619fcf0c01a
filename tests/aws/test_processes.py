"""The real processes, killed: ingest behind a load balancer, the consumer, the analyst, PostgreSQL. Nothing acknowledged is lost, nothing doubled."""

from __future__ import annotations

import threading
import time
from random import Random

import httpx
import pytest
from support.aws import parts
from support.aws.composition import AwsCloud, Process, Sent, embedded_figures, figures, in_thread, scene

if reason := parts.missing("boto3", "aws_kinesis_agg", "kinesalite", "moto", "psycopg", "postgres", "haproxy"):
    pytest.skip(reason, allow_module_level=True)


def post(url: str, batches: tuple[Sent, ...], acknowledged: list[Sent], pause_s: float = 0.0) -> None:
    """As access points do: each sends its own in order, each batch again until it is acknowledged."""

    def agent(mine: list[Sent]) -> None:
        for sent in mine:
            while True:
                try:
                    answer = httpx.post(f"{url}/v1/batches", content=sent.message, timeout=15)
                except httpx.HTTPError:
                    time.sleep(0.1)
                    continue
                if answer.status_code in (200, 202):
                    acknowledged.append(sent)
                    break
                assert answer.status_code in (429, 502, 503, 504, 507), answer.text
                time.sleep(0.1)
            time.sleep(pause_s)

    by_agent: dict[str, list[Sent]] = {}
    for sent in batches:
        by_agent.setdefault(sent.name.agent, []).append(sent)
    threads = [threading.Thread(target=agent, args=(mine,), daemon=True) for mine in by_agent.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(acknowledged) == len(batches)


@pytest.mark.parametrize("seed", range(3))
def test_whoever_is_killed_the_tables_are_those_of_the_embedded_composition(tmp_path, seed):
    batches = scene(sites=3, per_site=2, batches=8)
    truth = embedded_figures(tmp_path / "embedded", batches)
    server = parts.Postgres()
    cloud = AwsCloud(tmp_path, batches, server=server)
    chance = Random(seed)
    ports = [parts.free_port(), parts.free_port()]
    webs = [Process(cloud, "serve", "--port", str(port)) for port in ports]
    front = parts.balancer(*(web.url() for web in webs))
    consumer, analyst = Process(cloud, "consume"), Process(cloud, "analyse")
    acknowledged: list[Sent] = []
    sender = in_thread(post, front, batches, acknowledged, 0.5)

    def restart(process: Process) -> None:
        process.kill()
        process.start()

    def kill_database() -> None:
        server.kill()
        server.start()

    kills = [
        lambda: restart(webs[chance.randrange(2)]),
        lambda: restart(consumer),
        lambda: restart(analyst),
        kill_database,
    ]
    chance.shuffle(kills)
    while not acknowledged:
        time.sleep(0.05)
    for act in kills:
        time.sleep(chance.random())
        act()
    sender.join(150)
    assert len(acknowledged) == len(batches)
    cloud.wait_for_figures(120)
    found = figures(cloud.aws.database)
    for process in (*webs, consumer, analyst):
        process.kill()
    cloud.close()
    server.kill()

    assert found == truth


def test_an_instance_that_is_stopped_in_good_order_answers_what_it_has_taken(tmp_path):
    """As in a rolling deploy."""
    batches = scene(sites=2, per_site=1, batches=4)
    cloud = AwsCloud(tmp_path, batches)
    web = Process(cloud, "serve", "--port", "0")
    url = web.url()
    acknowledged: list[Sent] = []
    post(url, batches, acknowledged)
    web.process.terminate()

    assert web.process.wait(20) == 0
    reader = cloud.aws.reader()
    assert reader.waiting() == len(batches)
    cloud.close()


def test_a_stream_that_throttles_for_long_is_503_with_retry_after_and_nothing_is_lost(tmp_path):
    batches = scene(sites=1, per_site=1, batches=2)
    cloud = AwsCloud(tmp_path, batches)
    cloud.file.write_text(cloud.file.read_text().replace("stream:\n", "stream:\n  append_s: 0.5\n"))
    cloud.kinesis_proxy.choose = lambda operation, _: "throttle" if operation == "PutRecords" else None
    web = Process(cloud, "serve", "--port", "0")
    url = web.url()
    answer = httpx.post(f"{url}/v1/batches", content=batches[0].message, timeout=20)
    assert (answer.status_code, "Throughput" in answer.text, int(answer.headers["retry-after"]) > 0) == (
        503,
        True,
        True,
    )
    assert httpx.get(f"{url}/readyz").status_code == 200
    assert "Sign in" in httpx.get(f"{url}/", follow_redirects=True).text, "the pages are there as well"

    cloud.kinesis_proxy.choose = lambda *_: None
    assert httpx.post(f"{url}/v1/batches", content=batches[0].message, timeout=20).status_code == 202
    assert httpx.post(f"{url}/v1/batches", content=batches[0].message, timeout=20).status_code == 200
    web.kill()
    cloud.close()


def test_ingest_takes_nothing_while_consumers_are_too_far_behind(tmp_path):
    from cloud.aws import wall_clock_ms
    from cloud.streams.positions import Positions

    batches = scene(sites=1, per_site=1, batches=2)
    cloud = AwsCloud(tmp_path, batches)
    Positions(cloud.aws.database, cloud.stream, lambda: wall_clock_ms() - 19 * 3_600_000).note(
        "shardId-000000000000", 0
    )
    web = Process(cloud, "serve", "--port", "0")
    url, until = web.url(), time.monotonic() + 20
    while (answer := httpx.post(f"{url}/v1/batches", content=batches[0].message, timeout=20)).status_code != 507:
        assert time.monotonic() < until, answer.text

    assert "19.0 h behind" in answer.text and answer.headers["retry-after"]
    web.kill()
    cloud.close()
