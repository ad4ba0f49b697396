"""How long a system takes to its first answer, beside the same containers started by hand."""

import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import koji
import requests

from bench.systems import PROGRAMS, bench_home
from bench.table import Row, side_by_side

_POLL = 0.05


def startup_rows(rounds: int) -> Iterator[Row]:
    """`toji init` to the first hello and to the first builder, against plain `docker run`."""
    (hello, builder), (floor_hello, floor_builder) = side_by_side(rounds, _by_toji, _by_hand)
    against = "docker run, one after the other"
    yield Row("toji init to the first hello", hello, "s", floor_hello, against, "ratio <= 1.3")
    yield Row("toji init to the first builder ready", builder, "s", floor_builder, against)
    yield Row("first hello to the first builder ready", builder - hello, "s", aim="<= 5 s")


def _by_toji() -> tuple[float, float]:
    with bench_home() as system:
        start = time.monotonic()
        command = [str(PROGRAMS / "toji"), "init", "--quiet"]
        with subprocess.Popen(command, env=system.environment):
            folder = Path(system.environment["HOME"], ".koji", "nagoya", system.name)
            while not (folder / "koji.json").exists():
                time.sleep(_POLL)
            return _answers(system.connection["urls"]["hub"], folder, start)


def _by_hand() -> tuple[float, float]:
    with _names() as name, tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        _docker("network", "create", name("net"))
        _docker("run", "--name", name("kojicreds"), "koji-credentials-volume")
        _docker("run", "--name", name("kojitop"), "koji-top-volume")
        net = ["--detach", "--network", name("net")]
        creds, top = name("kojicreds"), name("kojitop")
        builders = ["--volume", f"{name('net')}:/etc/pki/koji-builders"]
        _docker("run", *net, "--name", name("kojidatabase"), "--network-alias", "kojidatabase",
                "--volumes-from", f"{creds}:ro", "koji-database")  # fmt: skip
        _docker("run", *net, "--name", name("koji"), "--network-alias", "koji",
                "--volumes-from", f"{creds}:ro", "--volumes-from", top, *builders,
                "--publish", "127.0.0.1::443", "koji-hub")  # fmt: skip
        _docker("run", *net, "--name", name("kojibuilder"), "--hostname", "kojibuilder",
                "--cap-add", "SYS_ADMIN", *builders,
                "--volumes-from", f"{top}:ro", "koji-builder")  # fmt: skip
        for file in ("koji_ca_cert.crt", "kojiadmin.pem"):
            _docker("cp", f"{creds}:/etc/pki/koji/{file}", folder)
        port = _docker("port", name("koji"), "443").rpartition(":")[2].strip()
        return _answers(f"https://127.0.0.1:{port}/kojihub", Path(folder), start)


@contextmanager
def _names() -> Iterator["_Names"]:
    names = _Names(f"bench-{secrets.token_hex(3)}")
    try:
        yield names
    finally:
        every = [*reversed(names.names)]
        _docker("rm", "--force", "--volumes", *[full for full in every if not full.endswith("net")])
        _docker("network", "rm", names("net"))
        _docker("volume", "rm", names("net"))


class _Names:
    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.names: dict[str, None] = {}

    def __call__(self, name: str) -> str:
        full = f"{self.prefix}-{name}"
        self.names[full] = None
        return full


def _docker(*arguments: str) -> str:
    command = ["docker", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _answers(hub: str, folder: Path, start: float) -> tuple[float, float]:
    """Seconds since `start` to the first logged-in hello, and to the first host that is ready."""
    ca = str(folder / "koji_ca_cert.crt")
    session = koji.ClientSession(hub, opts={"serverca": ca, "max_retries": 0, "anon_retry": False})
    while True:
        try:
            session.ssl_login(cert=str(folder / "kojiadmin.pem"), serverca=ca)
            session.hello()
            break
        except (koji.GenericError, requests.exceptions.RequestException, OSError):
            time.sleep(_POLL)
    hello = time.monotonic() - start
    while not session.listHosts(ready=True):
        time.sleep(_POLL)
    return hello, time.monotonic() - start
