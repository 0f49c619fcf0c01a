"""What Beanstalk is given: unpacked into a folder, its Procfile started on this machine against the emulators, nginx in front with the bundle's limits."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import zipfile
from configparser import ConfigParser
from pathlib import Path

import httpx
import pytest
import yaml
from support.aws import parts
from support.aws.composition import AwsCloud, scene

if reason := parts.missing("boto3", "aws_kinesis_agg", "kinesalite", "moto", "psycopg", "postgres"):
    pytest.skip(reason, allow_module_level=True)

ROOT = parts.CHECKOUT
NGINX = ROOT / "build/aws/nginx/usr/sbin/nginx"
WHOLE = ("agent", "cloud", "firmware_hooks", "simulator", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")


def run(*words: object, **options) -> str:
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=180, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    """The zip, made of a copy of the checkout: setuptools leaves what it built last time lying in the place."""
    folder = tmp_path_factory.mktemp("bundle")
    for name in WHOLE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder / "wheel", folder)
    (wheel,) = (folder / "wheel").glob("ivizone-*.whl")
    run(sys.executable, ROOT / "deploy/aws/package.py", "zip", folder / "out", "--wheel", wheel)
    (made,) = (folder / "out").glob("*.zip")
    return made


@pytest.fixture(scope="module")
def instance(bundle, tmp_path_factory) -> Path:
    """The folder in which Beanstalk unpacks it, with a virtual environment that has our wheel of the bundle and nothing of the checkout."""
    folder = tmp_path_factory.mktemp("instance")
    run("unzip", "-q", bundle, "-d", folder) if shutil.which("unzip") else _unzip(bundle, folder)
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    python = folder / "venv/bin/python"
    site_packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site_packages / "others.pth").write_text(sysconfig.get_path("purelib"))  # what requirements.txt names, but for us
    (wheel,) = (folder / "wheels").glob("ivizone-*.whl")
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel)
    return folder


def _unzip(bundle: Path, folder: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        for entry in archive.infolist():
            path = Path(archive.extract(entry, folder))
            path.chmod(entry.external_attr >> 16)


def procfile(folder: Path) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in (folder / "Procfile").read_text().splitlines())


def environment(folder: Path, cloud: AwsCloud, **more: str) -> dict[str, str]:
    """What the environment's options and secrets are on AWS."""
    settings = yaml.safe_load(cloud.file.read_text())
    options = {
        f"IVIZONE_{section}_{name}".upper(): str(value)
        for section, values in settings.items()
        for name, value in values.items()
        if value != ""
    }
    kept = {name: value for name, value in os.environ.items() if name.startswith("AWS_") or name == "HOME"}
    return {**kept, **options, "PATH": f"{folder / 'venv/bin'}:/usr/bin:/bin", **more}


class Instance:
    """The processes of the Procfile, as Beanstalk's shell starts them."""

    def __init__(self, folder: Path, cloud: AwsCloud, log: Path, **more: str) -> None:
        self.port = parts.free_port()
        settings = environment(folder, cloud, PORT=str(self.port), **more)
        self.log = log
        with log.open("w") as target:
            self.processes = {
                name: parts.start(
                    ["/bin/sh", "-c", f"exec {line}"], cwd=folder, env=settings, stdout=target, stderr=target
                )
                for name, line in procfile(folder).items()
            }
        parts.wait_for(self.port, self.processes["web"])

    def ask(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=10)

    def stop(self) -> dict[str, int]:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        return {name: process.wait(30) for name, process in self.processes.items()}


def health_path(folder: Path) -> str:
    options = yaml.safe_load((folder / ".ebextensions/ivizone.config").read_text())["option_settings"]
    return options["aws:elasticbeanstalk:environment:process:default"]["HealthCheckPath"]


def test_the_unpacked_bundle_serves_its_health_path_and_brings_a_batch_to_the_figures(instance, tmp_path):
    cloud = AwsCloud(tmp_path, scene(sites=1, per_site=1, batches=3))
    running = Instance(instance, cloud, tmp_path / "log")
    where = run(instance / "venv/bin/python", "-c", "import cloud; print(cloud.__file__)", cwd="/", env={})
    assert str(instance) in where, "the wheel of the bundle runs, not the checkout"

    until = time.monotonic() + 30
    while (answer := running.ask(health_path(instance))).status_code != 200:
        assert time.monotonic() < until, answer.text
    for sent in cloud.batches:
        answer = httpx.post(f"http://127.0.0.1:{running.port}/v1/batches", content=sent.message, timeout=20)
        assert answer.status_code == 202, answer.text
    cloud.wait_for_figures(60)

    assert set(running.stop().values()) == {0}
    said = running.log.read_text()
    assert '"event": "day_analysed"' in said
    assert "Traceback" not in said
    cloud.close()


def test_an_environment_without_workers_only_takes_in(instance, tmp_path):
    cloud = AwsCloud(tmp_path, scene(sites=1, per_site=1, batches=1))
    running = Instance(instance, cloud, tmp_path / "log", IVIZONE_WORKERS="off")
    answer = httpx.post(f"http://127.0.0.1:{running.port}/v1/batches", content=cloud.batches[0].message, timeout=20)
    time.sleep(1)

    assert answer.status_code == 202
    assert cloud.agents_heard() == 0 and cloud.aws.reader().waiting() == 1
    assert running.log.read_text().count("is not wanted here") == 2
    running.stop()
    cloud.close()


@pytest.fixture
def nginx(instance, tmp_path):
    """nginx with the bundle's files where Beanstalk puts them, in front of one web process."""
    if not NGINX.is_file():
        pytest.skip(f"nginx is not there; {parts.HOW}")
    cloud = AwsCloud(tmp_path, scene(sites=1, per_site=1, batches=1))
    running, port = Instance(instance, cloud, tmp_path / "log", IVIZONE_WORKERS="off"), parts.free_port()
    shutil.copytree(instance / ".platform/nginx/conf.d", tmp_path / "conf.d")
    for file in (tmp_path / "conf.d/elasticbeanstalk").glob("*.conf"):
        file.write_text(file.read_text().replace("127.0.0.1:8000", f"127.0.0.1:{running.port}"))
    limits = tmp_path / "conf.d/ivizone.conf"  # the load balancer is on this machine
    limits.write_text(limits.read_text().replace("10.0.0.0/8", "127.0.0.1"))
    (tmp_path / "conf.d/elasticbeanstalk/00_application.conf").write_text(  # as Beanstalk makes it
        f"location / {{ proxy_pass http://127.0.0.1:{running.port}; proxy_set_header Connection $connection_upgrade; }}\n"
    )
    (tmp_path / "mime.types").write_text("types { text/html html; }\n")
    (tmp_path / "nginx-log").mkdir()
    conf = (instance / ".platform/nginx/nginx.conf").read_text()
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = " ".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in kinds)
    for was, here in {
        "user nginx;": "daemon off;",
        "/var/run/nginx.pid": f"{tmp_path}/pid",
        "/var/log/nginx/": f"{tmp_path}/nginx-log/",
        "/etc/nginx/mime.types": f"{tmp_path}/mime.types",
        "http {\n": f"http {{ {folders}\n",
        "listen 80 default_server": f"listen 127.0.0.1:{port}",
    }.items():
        assert was in conf, was
        conf = conf.replace(was, here)
    (tmp_path / "nginx.conf").write_text(conf)
    process = parts.start([str(NGINX), "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)])
    parts.wait_for(port, process)
    yield cloud, f"http://127.0.0.1:{port}"
    wrote = "".join(file.read_text() for file in (tmp_path / "nginx-log").iterdir())
    assert "HTTP/1.1" not in wrote, f"nobody's request is written down: {wrote}"
    parts.kill(process)
    running.stop()
    cloud.close()


def test_nginx_lets_a_batch_through_and_no_body_that_is_none(nginx):
    cloud, url = nginx
    assert httpx.post(f"{url}/v1/batches", content=cloud.batches[0].message).status_code == 202
    assert httpx.post(f"{url}/v1/batches", content=b"x" * 200_000).status_code == 413
    assert httpx.post(f"{url}/sign-in", content=b"x" * 2_000_000).status_code == 413
    assert httpx.get(f"{url}/readyz").status_code == 200
    assert httpx.get(f"{url}/no-such-page").status_code == 404
    answer = httpx.get(f"{url}/metrics", headers={"X-Forwarded-For": "198.51.100.7"})
    assert answer.status_code == 403, "only from within"


def test_logs_of_every_process_of_the_procfile_go_to_cloudwatch(tmp_path):
    """Beanstalk sends that of web by itself; the agent and get-config are ours here and write down what they are asked."""
    hook = ROOT / "deploy/aws/bundle/.platform/hooks/postdeploy/10_logs.sh"
    (tmp_path / "etc").mkdir()
    (tmp_path / "bin").mkdir()
    for name, does in {
        "bin/amazon-cloudwatch-agent-ctl": f'echo "$@" >{tmp_path}/asked',
        "get-config": "echo shopwide",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)

    run("sh", hook, env={"PATH": "/usr/bin:/bin", "IVIZONE_LOG_AGENT": str(tmp_path), "IVIZONE_GET_CONFIG": str(tmp_path / "get-config")})  # fmt: skip

    assert (tmp_path / "asked").read_text() == f"-a append-config -m ec2 -s -c file:{tmp_path}/etc/ivizone.json\n"
    listed = json.loads((tmp_path / "etc/ivizone.json").read_text())["logs"]["logs_collected"]["files"]["collect_list"]
    assert {one["file_path"] for one in listed} == {
        f"/var/log/{name}.stdout.log" for name in procfile(ROOT / "deploy/aws/bundle") if name != "web"
    }
    assert {one["log_group_name"].rpartition("/")[0] for one in listed} == {"/aws/elasticbeanstalk/shopwide/var/log"}


def test_every_package_that_an_instance_needs_is_pinned_with_its_hash():
    lines = (ROOT / "deploy/aws/requirements.txt").read_text().splitlines()[1:]
    assert all("==" in line and "--hash=sha256:" in line for line in lines)
    locked = {line.partition("==")[0] for line in lines}
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    extras = config["options.extras_require"]
    for text in (config["options"]["install_requires"], extras["cloud"], extras["aws"]):
        for line in text.splitlines():
            name = line.split(">")[0].split("[")[0].split("=")[0].strip().lower()
            assert not name or name.startswith("#") or name == "ivizone" or name in locked, f"{name}: package.py lock"


def test_the_same_wheel_gives_the_same_bytes(bundle, tmp_path):
    with zipfile.ZipFile(bundle) as archive:
        (name,) = (name for name in archive.namelist() if name.startswith("wheels/"))
        wheel = Path(archive.extract(name, tmp_path))
        assert archive.getinfo("bin/run").external_attr >> 16 & 0o111, "hooks and programs may be run"
    run(sys.executable, ROOT / "deploy/aws/package.py", "zip", tmp_path / "again", "--wheel", wheel)
    (again,) = (tmp_path / "again").glob("*.zip")
    assert again.read_bytes() == bundle.read_bytes()


def test_shell_scripts_of_the_bundle_are_sound(bundle):
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed; on Debian: apt-get install shellcheck")
    folder = ROOT / "deploy/aws/bundle"
    run("shellcheck", *folder.glob("bin/*"), *folder.glob(".platform/hooks/*/*.sh"))
