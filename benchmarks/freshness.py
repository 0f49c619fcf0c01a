"""Case 6: from an acknowledged upload to the figure on the merchant's page, against `ivizone-cloud serve`."""

from __future__ import annotations

import json
import random
import re
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.pipeline import SignedBatch
from agent.upload.enrol import enrol
from agent.upload.https import Connection
from agent.upload.plan import Verdict
from agent.upload.uploader import Uploader
from agent.wire.codec import decode_batch
from agent.wire.cose import open_message
from agent.wire.model import ClockState
from benchmarks.batches import batches_of, day_frames
from benchmarks.processes import PYTHON, BenchError, run
from benchmarks.report import Row, Section, at_most, show
from benchmarks.rounds import percentile
from benchmarks.servers import serving
from cloud.dashboard.day import LOOK_S

SITE = "fresh"
P95_S = 5
LATEST_S = 60
"""A figure that has not come by then never will."""
METHOD = """\
`ivizone-cloud serve` in a process of its own holds the first {before:,} batches of a day of {shoppers:,} shoppers; then {uploads} batches of 30 s follow, one
at a time, sent by the agent's own uploader at irregular moments. A reader asks for the page's data every {refresh_s:g} s, which is how often
the server looks on behalf of an open page.
An upload is on the page when the data shows every frame up to and with it; that number, and all figures, are computed and
stored together. Counted from the 202 until that answer has arrived."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An acknowledged batch: when, and how many frames the page must show for it."""

    acknowledged_s: float
    frames: int


class Page:
    """The page of one day, asked for as its script does. ``shown`` says how many frames it showed when."""

    def __init__(self, address: str, day: str, refresh_s: float) -> None:
        self._address = f"{address}/sites/{SITE}/figures.json?date={day}"
        self._refresh_s = refresh_s
        self._etag = ""
        self._stopping = threading.Event()
        self.shown: list[tuple[float, int]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Page:
        self._reader.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stopping.set()
        self._reader.join()

    def wait_for(self, frames: int) -> None:
        """Until the page shows so many frames. Raises BenchError."""
        until = time.perf_counter() + LATEST_S
        while not self.shown or self.shown[-1][1] < frames:
            if time.perf_counter() > until or not self._reader.is_alive():
                raise BenchError(
                    f"the page does not show {frames} frames after {LATEST_S} s; it shows {self.shown[-1:]}"
                )
            time.sleep(0.05)

    def _read(self) -> None:
        while not self._stopping.is_set():
            frames = self._ask()
            if frames is not None:
                self.shown.append((time.perf_counter(), frames))
            self._stopping.wait(self._refresh_s)

    def _ask(self) -> int | None:
        request = urllib.request.Request(self._address, headers={"If-None-Match": self._etag})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                self._etag = answer.headers["ETag"]
                return sum(int(re.sub(r"\D", "", line["frames"])) for line in json.load(answer)["ledger"])
        except urllib.error.HTTPError as error:
            if error.code == 304:
                return None
            raise


def section(folder: Path, shoppers: int, before: int, uploads: int) -> Section:
    """Fill the day's first part, then upload one by one and wait for each."""
    refresh_s = LOOK_S
    data = ("--data", str(folder), "--log-level", "error")
    run((PYTHON, "-m", "cloud", "site", "add", SITE, *data))
    token = run((PYTHON, "-m", "cloud", "agent", "token", "--site", SITE, *data)).output.decode().split()[-1]
    with serving([PYTHON, "-m", "cloud", "serve", "--open", "--port", "0", *data]) as address:
        day, batches = _batches(address, token, shoppers)
        connection = Connection(address)
        uploader = Uploader(connection)
        frames = 0
        for batch, held in batches[:before]:
            _send(uploader, batch)
            frames += held
        with Page(address, day, refresh_s) as page:
            page.wait_for(frames)
            sent = _upload_one_by_one(uploader, page, batches[before : before + uploads], frames, refresh_s)
            page.wait_for(sent[-1].frames)
        connection.close()
        took_s = waits_s(sent, page.shown)
    rows = [
        Row(f"{len(took_s)} uploads, p50", show(percentile(took_s, 50), "s")),
        at_most(f"{len(took_s)} uploads, p95", percentile(took_s, 95), P95_S, "s"),
        Row("the longest", show(max(took_s), "s")),
    ]
    return Section(
        "From upload to page",
        METHOD.format(shoppers=shoppers, before=before, uploads=uploads, refresh_s=refresh_s),
        rows,
    )


def waits_s(sent: list[Upload], shown: list[tuple[float, int]]) -> list[float]:
    """For each upload the time until the page showed it."""
    return [next(at for at, frames in shown if frames >= upload.frames) - upload.acknowledged_s for upload in sent]


def _upload_one_by_one(
    uploader: Uploader, page: Page, batches: list[tuple[SignedBatch, int]], frames: int, refresh_s: float
) -> list[Upload]:
    chance = random.Random(1)
    sent = []
    for batch, held in batches:
        _send(uploader, batch)
        frames += held
        sent.append(Upload(time.perf_counter(), frames))
        time.sleep(chance.uniform(0.5, 1.5) * refresh_s)
        if len(sent) % 10 == 0:
            page.wait_for(frames)
    return sent


def _batches(address: str, token: str, shoppers: int) -> tuple[str, list[tuple[SignedBatch, int]]]:
    """Yesterday as a live agent would have sent it, each batch with the frames that it speaks of. The clock of live batches must be near."""
    key = Ed25519PrivateKey.generate()
    connection = Connection(address)
    answer = enrol(connection, token, key, "bench")
    connection.close()
    day: date = datetime.now(UTC).date() - timedelta(days=1)
    made = batches_of(
        day_frames(day, shoppers), agent=answer["agent"], site=answer["site"], key=key, clock=ClockState.SYNCED
    )
    return day.isoformat(), [(batch, _frames_of(batch)) for batch in made]


def _frames_of(batch: SignedBatch) -> int:
    return decode_batch(open_message(batch.message).payload).ledger.frames


def _send(uploader: Uploader, batch: SignedBatch) -> None:
    verdict, _ = uploader.send(batch.message)
    if verdict is not Verdict.ACKNOWLEDGED:
        raise BenchError(f"the cloud did not take a batch: {verdict.value}, {uploader.last_trouble}")
