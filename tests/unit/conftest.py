"""Unit tests never reach an engine, nor anything else beyond this machine's loopback."""

import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let any connection fail but one to a server of the test's own, on a loopback address."""
    connect = socket.socket.connect

    def refused(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] in ("127.0.0.1", "::1", "localhost"):
            return connect(self, address)
        self.close()  # as docker's client would not
        raise ConnectionRefusedError(f"a unit test has no business with {address}")

    monkeypatch.setattr(socket.socket, "connect", refused)


@pytest.fixture(autouse=True)
def usual_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what the caller may have set: proxies, colours, a umask, a SIGINT that is ignored."""
    proxies = [name for name in os.environ if name.lower().endswith("_proxy")]
    for name in ("COLUMNS", "DOCKER_HOST", "FORCE_COLOR", "NAGOYA_SYSTEM", "NO_COLOR",
                 "PYTHONWARNINGS", *proxies):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    mask, interrupt = os.umask(0o022), signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    os.umask(mask)
    signal.signal(signal.SIGINT, interrupt)
