"""koji-builder's plugin keep_alive, with the library that kojid has, and with real connections."""

import socket
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace

import pytest
import requests
from urllib3.connection import HTTPConnection


@pytest.fixture
def keep_alive(load_script: Callable[[str], ModuleType]) -> Iterator[ModuleType]:
    options = HTTPConnection.default_socket_options
    before = list(options)
    yield load_script("koji-builder/keep_alive.py")
    options[:] = before


class Session:
    def __init__(self) -> None:
        self.opened = 1

    def new_session(self) -> None:
        self.opened += 1


def test_a_connection_ends_when_nobody_is_there(keep_alive: ModuleType) -> None:
    keep_alive.install(SimpleNamespace(), Session)
    with socket.create_server(("127.0.0.1", 0)) as server, requests.Session() as session:
        pool = session.get_adapter("http://x").get_connection_with_tls_context(
            requests.Request("GET", f"http://127.0.0.1:{server.getsockname()[1]}").prepare(), True
        )
        connection = pool._get_conn()
        connection.connect()
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_USER_TIMEOUT):
            seconds = connection.sock.getsockopt(socket.IPPROTO_TCP, option)
            assert 0 < seconds <= (30_000 if option == socket.TCP_USER_TIMEOUT else 10)
        assert connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        connection.close()


@pytest.mark.parametrize("name", ["session", "glob_session"])
def test_what_kojid_has_open_is_opened_again(keep_alive: ModuleType, name: str) -> None:
    """Koji 1.30 has another name for its session than later ones."""
    session = Session()
    keep_alive.install(SimpleNamespace(**{name: session, "options": object()}), Session)
    assert session.opened == 2
