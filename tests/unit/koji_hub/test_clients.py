"""Whether koji-hub sees that a client has left, with connections of this machine."""

import socket
import time
from collections.abc import Callable
from types import ModuleType

import pytest

from tests.image.tracked import wait_until


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_client_that_closes_is_gone(
    load_script: Callable[[str], ModuleType], address: str
) -> None:
    clients = load_script("koji-hub/clients.py")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        client = socket.create_connection(server.getsockname()[:2])
        accepted, (_, port, *_) = server.accept()
        with accepted:
            environ = {"REMOTE_PORT": str(port)}
            assert not clients.is_gone(environ)
            client.close()
            wait_until(lambda: clients.is_gone(environ))


def test_only_a_call_that_waited_is_looked_at(load_script: Callable[[str], ModuleType]) -> None:
    clients = load_script("koji-hub/clients.py")
    now = time.time()
    closed = {"REMOTE_PORT": "0"}
    for environ, expected in [
        (closed, False),
        ({**closed, "mod_wsgi.queue_start": str(int(now * 1e6))}, False),
        ({**closed, "mod_wsgi.queue_start": str(int((now - 5) * 1e6))}, True),
        ({"mod_wsgi.queue_start": "1"}, False),
    ]:
        assert clients.is_abandoned(environ) is expected
