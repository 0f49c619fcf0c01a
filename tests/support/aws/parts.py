"""Which parts are there, and starting them. Each is started when it is first asked for and ended with the process.

`make test-aws` lays them out below build/aws: node/node_modules, and Python packages in the environment that runs the tests.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from support.aws import trees

CHECKOUT = Path(__file__).resolve().parents[3]
NODE_MODULES = Path(os.environ.get("IVIZONE_NODE_MODULES", CHECKOUT / "build/aws/node/node_modules"))
POSTGRES_BIN = Path("/usr/lib/postgresql/15/bin")
HOW = "run: make test-aws"
CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "eu-west-1"}
os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_EC2_METADATA_DISABLED="true")
START_S = 120.0
_running: list[subprocess.Popen[Any]] = []


def missing(*parts: str) -> str | None:
    """Why tests that need these parts cannot run here, None where they can."""
    if os.environ.get("IVIZONE_TEST_AWS") != "1":
        return f"the AWS parts are not asked for; {HOW}"
    for part in parts:
        if not _is_there(part):
            return f"{part} is not installed; {HOW}"
    return None


def _is_there(part: str) -> bool:
    if part in ("kinesalite", "kinesis-local", "dynalite"):
        return bool(shutil.which("node")) and (NODE_MODULES / part).is_dir()
    if part == "postgres":
        return (POSTGRES_BIN / "initdb").is_file()
    if part == "kcl":
        jars = importlib.util.find_spec("amazon_kclpy")
        return bool(jars and shutil.which("java") and list(Path(jars.submodule_search_locations[0]).glob("jars/*.jar")))
    if part in ("haproxy", "nginx"):
        return bool(shutil.which(part, path="/usr/sbin:/usr/bin:/usr/local/bin"))
    return importlib.util.find_spec(part) is not None


def free_port() -> int:
    """A port of loopback that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[Any] | None = None) -> None:
    """Until something listens on the port."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process and process.poll() is not None:
            raise RuntimeError(f"{process.args} ended with {process.returncode} instead of listening")
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")


def start(arguments: list[str], **options: Any) -> subprocess.Popen[Any]:
    """A process that ends with ours, whatever ends ours."""
    process = subprocess.Popen(arguments, start_new_session=True, **options)
    _running.append(process)
    guard = _guard()
    guard.stdin.write(f"{process.pid} {trees.started(process.pid) or 0}\n")
    guard.stdin.flush()
    return process


def kill(process: subprocess.Popen[Any]) -> None:
    """kill -9 of a process that `start` started, and of all below it."""
    if process.poll() is None:
        trees.kill_tree(process.pid)
    process.wait(10)


@functools.cache
def _guard() -> subprocess.Popen[str]:
    """What ends our processes where `_end_all` does not run, as after kill -9 of the tests."""
    return subprocess.Popen(
        [sys.executable, str(Path(trees.__file__))], stdin=subprocess.PIPE, start_new_session=True, text=True
    )


@atexit.register
def _end_all() -> None:
    for process in _running:
        kill(process)


@functools.cache
def node_emulator(name: str) -> str:
    """The URL of kinesalite, dynalite or kinesis-local, started once."""
    script = Path(__file__).with_name("emulator.js")
    environment = dict(os.environ)
    port = 0
    if name == "kinesis-local":
        port = free_port()
        environment |= {"KINESIS_MOCK_PLAIN_PORT": str(port), "KINESIS_MOCK_TLS_PORT": str(free_port()), "LOG_LEVEL": "ERROR"}  # fmt: skip
    output = subprocess.DEVNULL if port else subprocess.PIPE
    command = ["node", str(script), name, str(NODE_MODULES)]
    process = start(command, env=environment, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.DEVNULL, text=True)  # fmt: skip
    port = port or int(process.stdout.readline())
    wait_for(port, process)
    return f"http://127.0.0.1:{port}"


@functools.cache
def moto() -> str:
    """The URL of moto, started once."""
    port = free_port()
    process = start(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(port, process)
    return f"http://127.0.0.1:{port}"


def http2_front(target: str) -> str:
    """The URL of HAProxy in front of an emulator: the Java SDK speaks HTTP/2 to Kinesis without asking, emulators speak HTTP/1.1."""
    port = free_port()
    file = Path(tempfile.mkdtemp(prefix="ivizone-haproxy-")) / "haproxy.cfg"
    atexit.register(shutil.rmtree, file.parent, ignore_errors=True)
    timeouts = "timeout connect 5s\n  timeout client 120s\n  timeout server 120s"
    file.write_text(
        f"defaults\n  mode http\n  {timeouts}\nlisten front\n  bind 127.0.0.1:{port} proto h2\n  server emulator {target[7:]}\n"
    )
    return _haproxy(file, port)


def balancer(*targets: str) -> str:
    """The URL of HAProxy as a load balancer in front of our servers, with their health path, as the ALB has it."""
    port = free_port()
    file = Path(tempfile.mkdtemp(prefix="ivizone-haproxy-")) / "haproxy.cfg"
    atexit.register(shutil.rmtree, file.parent, ignore_errors=True)
    servers = "".join(
        f"  server web{n} {target[7:]} check inter 300ms fall 2 rise 1\n" for n, target in enumerate(targets)
    )
    file.write_text(
        "defaults\n  mode http\n  timeout connect 2s\n  timeout client 60s\n  timeout server 60s\n"
        f"listen front\n  bind 127.0.0.1:{port}\n  balance roundrobin\n  option httpchk GET /readyz\n{servers}"
    )
    return _haproxy(file, port)


def _haproxy(file: Path, port: int) -> str:
    program = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/bin")
    process = start([str(program), "-db", "-q", "-f", str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(port, process)
    return f"http://127.0.0.1:{port}"


class Postgres:
    """A PostgreSQL server of its own, that can be killed and started again."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ivizone-pg-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.port = free_port()
        if os.geteuid() == 0:
            self.folder.chmod(0o755)
            shutil.chown(self.folder, "postgres", "postgres")
        self._as_postgres("initdb", "-D", str(self._data), "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8")
        self.process: subprocess.Popen[Any] | None = None
        self.start()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _command(self, name: str, *arguments: str) -> list[str]:
        command = [str(POSTGRES_BIN / name), *arguments]
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command] if os.geteuid() == 0 else command  # fmt: skip

    def _as_postgres(self, name: str, *arguments: str) -> None:
        subprocess.run(self._command(name, *arguments), check=True, stdout=subprocess.DEVNULL, cwd=self.folder)

    def start(self) -> None:
        """Start, and recover what a kill left behind."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.folder,
            "max_connections": 200,
            # We kill processes and not the machine: what was written is kept by the kernel, flushed or not.
            "fsync": "off",
        }
        options = ["-p", str(self.port), *(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))]  # fmt: skip
        log = (self.folder / "log").open("a")
        self.process = start(
            self._command("postgres", "-D", str(self._data), *options), stdout=log, stderr=log, cwd=self.folder
        )
        until = time.monotonic() + START_S
        ready = self._command("pg_isready", "-h", "127.0.0.1", "-p", str(self.port))
        while subprocess.run(ready, stdout=subprocess.DEVNULL, check=False).returncode:
            if time.monotonic() > until:
                raise RuntimeError("PostgreSQL does not answer")
            time.sleep(0.05)

    def kill(self) -> None:
        """kill -9 of the server and all its backends."""
        kill(self.process)

    def url(self, database: str, user: str = "postgres") -> str:
        """Where a database of this server is."""
        return f"postgresql+psycopg://{user}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """A new, empty database; gives its URL."""
        import psycopg

        with psycopg.connect(host="127.0.0.1", port=self.port, user="postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}"')
        return self.url(database)


@functools.cache
def postgres() -> Postgres:
    """The server that tests share; those who kill start one of their own."""
    return Postgres()
