"""How long a system takes to its first answer, beside the same containers started by hand."""

import json
import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import koji
import requests

from bench.table import Row, side_by_side
from nagoya.system.container import free_port

_POLL = 0.05


def rows(rounds: int) -> Iterator[Row]:
    """`toji init` to the first hello and to the first builder, against plain `docker run`."""
    (hello, builder), (floor_hello, floor_builder) = side_by_side(rounds, _by_toji, _by_hand)
    against = "docker run, one after the other"
    yield Row("toji init to the first hello", hello, "s", floor_hello, against, "ratio <= 1.3")
    yield Row("toji init to the first builder ready", builder, "s", floor_builder, against)
    yield Row("first hello to the first builder ready", builder - hello, "s", aim="<= 5 s")


def _by_toji() -> tuple[float, float]:
    system = f"bench-{secrets.token_hex(3)}"
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "HOME": home, "NAGOYA_SYSTEM": system}
        begun = time.monotonic()
        starting = subprocess.Popen(["toji", "init", "--quiet"], env=environment)
        folder = Path(home) / ".koji" / "nagoya" / system
        while not (folder / "koji.json").exists():
            time.sleep(_POLL)
        hub = json.loads((folder / "koji.json").read_text())["urls"]["hub"]
        try:
            times = _answers(hub, folder, begun)
            starting.wait()
        finally:
            subprocess.run(["toji", "remove", "--quiet"], env=environment, check=True)
    return times


def _by_hand() -> tuple[float, float]:
    port = free_port()
    with _names() as name, tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        _docker("network", "create", name("net"))
        _docker("run", "--name", name("kojicreds"), "koji-credentials-volume")
        _docker("run", "--name", name("kojitop"), "koji-top-volume")
        net = ["--detach", "--network", name("net")]
        creds, top = name("kojicreds"), name("kojitop")
        _docker("run", *net, "--name", name("kojidatabase"), "--network-alias", "kojidatabase",
                "--volumes-from", f"{creds}:ro", "koji-database")  # fmt: skip
        _docker("run", *net, "--name", name("koji"), "--network-alias", "koji",
                "--volumes-from", f"{creds}:ro", "--volumes-from", top,
                "--publish", f"127.0.0.1:{port}:443", "koji-hub")  # fmt: skip
        _docker("run", *net, "--name", name("kojibuilder"), "--hostname", "kojibuilder",
                "--cap-add", "SYS_ADMIN",
                "--volumes-from", creds, "--volumes-from", f"{top}:ro", "koji-builder")  # fmt: skip
        for file in ("koji_ca_cert.crt", "kojiadmin.pem"):
            _docker("cp", f"{creds}:/etc/pki/koji/{file}", folder)
        return _answers(f"https://127.0.0.1:{port}/kojihub", Path(folder), begun)


@contextmanager
def _names() -> Iterator["_Names"]:
    names = _Names(f"bench-{secrets.token_hex(3)}")
    try:
        yield names
    finally:
        every = [*reversed(names.given)]
        _docker("rm", "--force", "--volumes", *[one for one in every if not one.endswith("net")])
        _docker("network", "rm", names("net"))


class _Names:
    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.given: dict[str, None] = {}

    def __call__(self, name: str) -> str:
        full = f"{self.prefix}-{name}"
        self.given[full] = None
        return full


def _docker(*arguments: str) -> None:
    subprocess.run(["docker", *arguments], check=True, capture_output=True)


def _answers(hub: str, folder: Path, begun: float) -> tuple[float, float]:
    """Seconds since `begun` to the first logged-in hello, and to the first host that is ready."""
    ca = str(folder / "koji_ca_cert.crt")
    session = koji.ClientSession(hub, opts={"serverca": ca, "max_retries": 0, "anon_retry": False})
    while True:
        try:
            session.ssl_login(cert=str(folder / "kojiadmin.pem"), serverca=ca)
            session.hello()
            break
        except (koji.GenericError, requests.exceptions.RequestException, OSError):
            time.sleep(_POLL)
    hello = time.monotonic() - begun
    while not session.listHosts(ready=True):
        time.sleep(_POLL)
    return hello, time.monotonic() - begun
