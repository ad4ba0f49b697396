"""Which engine toji finds: DOCKER_HOST's, the usual one, the project's private one."""

import os
import socket as socket_module
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nagoya.engine import client, connect
from nagoya.errors import EngineError


@pytest.fixture
def socket() -> Path:
    """The socket of an engine that answers."""
    return Path(connect().address.removeprefix("unix://"))


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, socket: Path, tmp_path: Path) -> None:
    """No engine at any of the places, until a test puts one there."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(client, "USUAL_SOCKET", tmp_path / "usual.sock")
    monkeypatch.setattr(client, "PRIVATE_SOCKET", tmp_path / "private.sock")


@contextmanager
def listening(path: Path) -> Iterator[None]:
    """A socket that accepts connections, and never answers."""
    with socket_module.socket(socket_module.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield


def test_the_private_one_is_found_where_no_other_answers(socket: Path) -> None:
    client.PRIVATE_SOCKET.symlink_to(socket)
    assert connect().address == f"unix://{client.PRIVATE_SOCKET}"


def test_the_usual_one_comes_first(socket: Path) -> None:
    for place in (client.USUAL_SOCKET, client.PRIVATE_SOCKET):
        place.symlink_to(socket)
    assert connect().address == f"unix://{client.USUAL_SOCKET}"


def test_the_one_that_is_named_or_none(socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client.PRIVATE_SOCKET.symlink_to(socket)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{socket}")
    assert connect().address == os.environ["DOCKER_HOST"]
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")
    with pytest.raises(EngineError, match="there is no such socket") as caught:
        connect()
    assert caught.value.hint == "check DOCKER_HOST"


def test_the_context_that_the_docker_client_uses(socket: Path) -> None:
    endpoint = f"host=unix://{socket}"
    for command in (["create", "ours", "--docker", endpoint], ["use", "ours"]):
        subprocess.run(["docker", "context", *command], check=True, capture_output=True)
    engine = connect()
    assert engine.address == f"unix://{socket}"
    shown = subprocess.run(
        [*engine.docker_command, "version", "--format", "{{.Server.Version}}"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert shown.stdout.strip() == engine.version()["Version"]


def test_an_engine_that_never_answers_is_passed_over(
    socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.PRIVATE_SOCKET.symlink_to(socket)
    with listening(client.USUAL_SOCKET):
        assert connect().address == f"unix://{client.PRIVATE_SOCKET}"
        monkeypatch.setenv("DOCKER_HOST", f"unix://{client.USUAL_SOCKET}")
        with pytest.raises(EngineError, match="no answer within 5 s"):
            connect()


def test_every_place_that_was_tried_is_named() -> None:
    with pytest.raises(EngineError) as caught:
        connect()
    for place in (client.USUAL_SOCKET, client.PRIVATE_SOCKET):
        assert f"unix://{place}: there is no such socket" in caught.value.message
    assert "tools/engine start" in str(caught.value.hint)
