"""Unit tests never reach an engine, nor anything else beyond this machine's loopback."""

import socket
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
    monkeypatch.delenv("DOCKER_HOST", raising=False)
