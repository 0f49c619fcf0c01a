"""The record processor over the library's pipes, without Java: a checkpoint never passes what is not stored, whatever fails."""

from __future__ import annotations

import base64
import io
import json

import pytest

pytest.importorskip("aws_kinesis_agg", reason="the extra 'aws' is not installed; run: make test-aws")
pytest.importorskip("amazon_kclpy", reason="the Kinesis Client Library is not installed; run: make test-aws")
from amazon_kclpy.kcl import KCLProcess

from cloud.config import CloudConfig, CloudConfigError, parse_cloud_config
from cloud.consumer.kcl import Processor, ShardBuffer, Thresholds
from cloud.consumer.kcl_daemon import daemon_command, properties
from cloud.stores.base import StoreError
from cloud.streams.base import StreamRecord
from cloud.streams.kinesis_records import pack


class Library:
    """The MultiLangDaemon's side of the pipes: its messages, and what it answers to a checkpoint."""

    def __init__(self, *actions: dict, refuses: tuple[str, ...] = ()) -> None:
        self._actions, self._refuses, self._answers = list(actions), list(refuses), []
        self.checkpoints: list[tuple[str | None, int | None]] = []
        self.done: list[str] = []

    def readline(self) -> str:
        waiting = self._answers or self._actions
        return json.dumps(waiting.pop(0)) + "\n" if waiting else ""

    def write(self, text: str) -> None:
        if not text.strip():
            return
        said = json.loads(text)
        if said["action"] == "status":
            self.done.append(said["responseFor"])
            return
        error = self._refuses.pop(0) if self._refuses else None
        if not error:
            self.checkpoints.append((said["sequenceNumber"], said["subSequenceNumber"]))
        self._answers.append({**said, "error": error})

    def flush(self) -> None:
        """Nothing is kept back."""


START = {"action": "initialize", "shardId": "shard-7", "sequenceNumber": "TRIM_HORIZON", "subSequenceNumber": 0}
END = {"action": "shardEnded"}
LOST = {"action": "leaseLost"}
STOP = {"action": "shutdownRequested"}


def records(*places: tuple[int, int], data: bytes | None = None) -> dict:
    made = [
        {
            "action": "record", "data": base64.b64encode(data or pack("shop", 1, b"%d.%d" % place)).decode(), "partitionKey": "shop",
            "sequenceNumber": str(place[0]), "subSequenceNumber": place[1], "approximateArrivalTimestamp": 1,
        }
        for place in places
    ]  # fmt: skip
    return {"action": "processRecords", "records": made, "millisBehindLatest": 0}


class Keeping:
    """A consumer that keeps messages and moves the checkpoint behind them, as the real one; it fails as often as told."""

    def __init__(self, buffer: ShardBuffer, *failures: Exception) -> None:
        self._buffer, self._failures = buffer, list(failures)
        self.stored: list[bytes] = []

    def drain(self) -> int:
        while found := self._buffer.read(2):
            if self._failures:
                raise self._failures.pop(0)
            self.stored += [record.message for record in found]
            self._buffer.checkpoint(found[-1])
        return 0


def run(
    library: Library, *failures: Exception, thresholds: Thresholds | None = None, clock: list[float] | None = None
) -> Keeping:
    buffer = ShardBuffer()
    consumer = Keeping(buffer, *failures)
    now = clock or [0.0]
    processor = Processor(
        buffer,
        consumer,
        thresholds or Thresholds(records=1),
        now_s=lambda: now[0],
        sleep=lambda s: now.__setitem__(0, now[0] + s),
    )
    KCLProcess(processor, library, library, io.StringIO()).run()
    return consumer


def test_records_are_stored_and_then_checkpointed_to_their_place_within_an_aggregated_record():
    library = Library(START, records((1, 0), (1, 1), (2, 0)))
    consumer = run(library)

    assert consumer.stored == [b"1.0", b"1.1", b"2.0"]
    assert library.checkpoints == [("1", 1), ("2", 0)]
    assert library.done == ["initialize", "processRecords"]


def test_records_wait_for_others_until_they_are_enough():
    library = Library(START, records((1, 0)), records(), records((2, 0)), records((3, 0)))
    consumer = run(library, thresholds=Thresholds(records=3, seconds=1e9))

    assert consumer.stored == [b"1.0", b"2.0", b"3.0"] and len(library.checkpoints) == 2


@pytest.mark.parametrize(
    ("reached", "now"),
    [((0, 99, 99.0), False), ((1, 1, 0.0), False), ((5, 1, 0.0), True), ((1, 10, 0.0), True), ((1, 1, 3.0), True)],
)
def test_whichever_threshold_is_reached_first_decides(reached, now):
    assert Thresholds(records=5, bytes=10, seconds=3.0).are_reached(*reached) is now


@pytest.mark.parametrize("last", [END, STOP], ids=["shard ended", "stopped"])
def test_what_is_gathered_is_stored_before_the_shard_is_left(last):
    library = Library(START, records((1, 0)), last)
    consumer = run(library, thresholds=Thresholds(records=100, seconds=1e9))

    assert consumer.stored == [b"1.0"]
    assert library.checkpoints == [("1", 0), (None, None)][: 2 if last is END else 1]


@pytest.mark.parametrize("error", [StoreError("away"), RuntimeError("nobody thought of this")])
def test_an_error_is_tried_again_and_no_record_is_passed_over(error):
    """The library's Python side would print it and go on with the next records."""
    library = Library(START, records((1, 0)), records((2, 0)))
    consumer = run(library, error, error)

    assert consumer.stored == [b"1.0", b"2.0"] and library.checkpoints == [("1", 0), ("2", 0)]


def test_a_processor_that_cannot_store_for_long_stops_and_checkpoints_nothing():
    library = Library(START, records((1, 0)), records((2, 0)))
    with pytest.raises(SystemExit):
        run(library, *[StoreError("away")] * 1000)

    assert library.checkpoints == [] and library.done == ["initialize"]


def test_a_checkpoint_that_is_refused_for_now_is_asked_for_again():
    library = Library(START, records((1, 0)), refuses=("ThrottlingException",))
    consumer = run(library)

    assert library.checkpoints == [("1", 0)]
    assert consumer.stored == [b"1.0", b"1.0"], "stored again under the same name"


def test_a_lease_that_was_lost_ends_the_gathering_and_not_the_process():
    library = Library(START, records((1, 0)), records((2, 0)), LOST, refuses=("ShutdownException", "ShutdownException"))
    run(library)

    assert library.checkpoints == [] and library.done[-1] == "leaseLost"


def test_records_that_come_twice_are_gathered_once():
    buffer = ShardBuffer()
    for place in (5, 6, 6, 5, 7):
        buffer.push(StreamRecord("s", place, "shop", 1, b"m"))

    assert [record.sequence for record in buffer.read(9)] == [5, 6, 7] and buffer.bytes == 3


def test_a_record_of_somebody_else_reaches_the_consumer_without_a_site():
    buffer = ShardBuffer()
    consumer = Keeping(buffer)
    processor = Processor(buffer, consumer, Thresholds(records=1))
    KCLProcess(processor, library := Library(START, records((1, 0), data=b"hello")), library, io.StringIO()).run()

    assert consumer.stored == [b"hello"]


# --- the daemon -------------------------------------------------------------------------------------------------------


def test_the_properties_say_what_the_configuration_says():
    config = parse_cloud_config(
        "stream: {name: batches}\naws: {region: eu-west-1}\nconsumer: {application: us, failover_s: 20}\n", "c", {}
    )
    lines = dict(
        line.split(" = ", 1) for line in properties(config, ["python3", "-m", "cloud", "aws", "processor"]).splitlines()
    )

    assert lines["executableName"] == "python3 -m cloud aws processor"
    assert (lines["streamName"], lines["applicationName"], lines["regionName"]) == ("batches", "us", "eu-west-1")
    assert lines["failoverTimeMillis"] == "20000" and lines["initialPositionInStream"] == "TRIM_HORIZON"
    assert lines["callProcessRecordsEvenForEmptyRecordList"] == "true", (
        "else records would wait for the next ones for ever"
    )
    assert "kinesisEndpoint" not in lines


def test_a_command_with_spaces_is_refused_because_the_library_knows_no_quotes():
    with pytest.raises(CloudConfigError, match="without spaces"):
        properties(CloudConfig(), ["/opt/my python/bin/python"])


def test_cbor_is_off_for_emulators_only(tmp_path):
    emulated = parse_cloud_config("aws: {kinesis_endpoint: 'http://127.0.0.1:1'}", "c", {})

    assert "-Daws.cborEnabled=false" in daemon_command(emulated, "jars/*", tmp_path / "p")
    assert "-Daws.cborEnabled=false" not in daemon_command(CloudConfig(), "jars/*", tmp_path / "p")
