"""The servers that are measured, each in a process of its own: ``python -m benchmarks.servers KIND FOLDER`` prints its address.

| kind | what it is |
| --- | --- |
| empty | uvicorn as we run it, with a handler that answers 202 and does nothing |
| ingest | the embedded cloud's ingest: signature checked, batch durable in the stream before the answer |
| whole | the same with consumer and analytics at work in the same process, as `ivizone-cloud serve` has them |
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.processes import CHECKOUT, PYTHON, BenchError
from cloud.embedded import Embedded
from cloud.log import configure
from cloud.server import listen, run_server

EMPTY, INGEST, WHOLE = "empty", "ingest", "whole"
STOP_S = 30


async def _nothing(_request: Request) -> Response:
    return Response(status_code=202)


def application(kind: str, folder: Path) -> Starlette:
    """The application of a kind."""
    if kind == EMPTY:
        return Starlette(routes=[Route("/v1/batches", _nothing, methods=["POST"])])
    return Embedded(folder).app(works=kind == WHOLE, is_open=True)


@contextmanager
def serving(command: list[str]) -> Iterator[str]:
    """Run a server that prints its address as the first line; gives the address, stops it at the end."""
    server = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    try:
        address = (server.stdout.readline() if server.stdout else "").strip()
        if not address.startswith("http"):
            raise BenchError(f"the server did not start: {' '.join(command[:4])} said {address!r}")
        yield address.rstrip("/")
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(STOP_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def command(kind: str, folder: Path) -> list[str]:
    """How to start one."""
    return [PYTHON, "-m", "benchmarks.servers", kind, str(folder)]


if __name__ == "__main__":
    configure("error", as_json=False)
    socket = listen("127.0.0.1", 0)
    if socket is None:
        sys.exit("no port on 127.0.0.1 is free")
    made = application(sys.argv[1], Path(sys.argv[2]))
    print(f"http://127.0.0.1:{socket.getsockname()[1]}", flush=True)
    run_server(made, socket)
