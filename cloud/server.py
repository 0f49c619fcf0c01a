"""uvicorn as we run it: one process, uvloop, no access log (an address of an access point is nobody's business)."""

from __future__ import annotations

import gc
import ipaddress
import signal
import socket as sockets
import sys
import threading
import time
from typing import Any

import uvicorn
from starlette.applications import Starlette

START_S = 20.0
SWITCH_S = 0.0003
"""After how long a thread that waits for the interpreter gets it: the stream's writer, while the event loop reads the next batches. At
Python's 5 ms the two take turns, and the disk waits for the loop (docs/adr/0015-ingest-speed.md)."""
BACKLOG = 2048


def listen(host: str, port: int) -> sockets.socket | None:
    """A listening socket; None where the port or the address cannot be had. Port 0 takes a free one."""
    socket = sockets.socket(sockets.AF_INET6 if ":" in host else sockets.AF_INET, sockets.SOCK_STREAM)
    socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
    try:
        socket.bind((host, port))
        socket.listen(BACKLOG)  # so that whoever was told the address may knock before the application is ready
    except OSError:
        socket.close()
        return None
    return socket


def is_loopback(host: str) -> bool:
    """True for an address that only this machine reaches."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Server(uvicorn.Server):
    """Tells the application that it stops: what streams to a browser ends by itself, and is not cut off with an error."""

    async def shutdown(self, sockets: list[sockets.socket] | None = None) -> None:
        state = getattr(self.config.app, "state", None)
        if state is not None:
            state.is_stopping = True
        await super().shutdown(sockets)


def server_of(app: Starlette) -> uvicorn.Server:
    """A server for an application."""
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=3,  # a browser that keeps its connection open must not hold up Ctrl-C
    )
    return _Server(config)


def run_server(app: Starlette, socket: sockets.socket) -> None:
    """Serve on ``socket`` until SIGINT or SIGTERM, and return: to be stopped is no failure."""
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()  # what was loaded stays: no collection need look at it again while requests come
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(
            number, lambda _number, _frame: None
        )  # uvicorn raises what it caught once more when it has stopped
    server_of(app).run(sockets=[socket])


class ServerThread:
    """A server in a thread, for a process that has other things to do. Use as a context manager."""

    def __init__(self, app: Starlette, socket: sockets.socket) -> None:
        self._server = server_of(app)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [socket]}, name="ivizone-server", daemon=True
        )
        host, port = socket.getsockname()[:2]
        self.url = f"http://{host}:{port}"

    def __enter__(self) -> ServerThread:
        self._thread.start()
        until = time.monotonic() + START_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > until:
                raise OSError("the server did not start")
            time.sleep(0.02)
        return self

    def __exit__(self, *_exception: Any) -> None:
        self._server.should_exit = True
        self._thread.join()
