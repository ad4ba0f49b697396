"""How requests of a builder elsewhere reach the hub: by HTTPS, with its own certificate."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from util import certificates

LOOPBACK = "127.0.0.1"


@pytest.fixture
def post(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-builder/post.py")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A builder's root with the certificates of `far`, and the hub's."""
    folder = tmp_path / "etc/pki/koji"
    folder.mkdir(parents=True)
    authority = certificates.Authority.create(folder)
    authority.issue("far", client=True)
    authority.issue("kojihub", ips=[ip_address(LOOPBACK)], server=True)
    return tmp_path


@contextmanager
def hub(root: Path, status: int, answer: bytes = b"", revoked: bool = False) -> Iterator[Any]:
    """A hub that answers everything so, and keeps what it got: the URL and `got`."""
    got: list[tuple[str, str, str, bytes]] = []
    folder = root / "etc/pki/koji"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            (((_, name),),) = [
                part for part in self.connection.getpeercert()["subject"] if "commonName" in part[0]
            ]
            got.append((name, self.command, self.path, body))
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cafile=folder / "koji_ca_cert.crt"
    )
    context.load_cert_chain(folder / "kojihub.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    if revoked:
        certificates.Authority.load(folder).revoke("far", [certificates.load(folder / "far.pem")])
        context.load_verify_locations(folder / certificates.REVOCATIONS)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    server = HTTPServer((LOOPBACK, 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://{LOOPBACK}:{server.server_port}/builders", got
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_certificate_is_shown(post: ModuleType, root: Path) -> None:
    with hub(root, 202) as (url, got):
        post.Https(root, "far", url).send(b"request")
    assert got == [("far", "POST", "/builders", b"request")]
    with hub(root, 200, b"reply") as (url, _):
        assert post.Https(root, "far", url).receive() == b"reply"


def test_no_answer_yet(post: ModuleType, root: Path) -> None:
    with hub(root, 404, b"there is no answer") as (url, _), pytest.raises(ValueError, match="404"):
        post.Https(root, "far", url).receive()


@pytest.mark.parametrize(
    ("status", "later", "message"),
    [
        (400, False, "it is too old"),
        (404, False, "the hub's image is older"),
        (500, True, "the hub answers 500"),
        (503, True, "the hub answers 503"),
    ],
)
def test_a_refusal_says_why(
    post: ModuleType, root: Path, status: int, later: bool, message: str
) -> None:
    answering = hub(root, status, b"it is too old")
    with answering as (url, _), pytest.raises(post.Refused, match=message) as refusal:
        post.Https(root, "far", url).send(b"request")
    assert isinstance(refusal.value, post.NotYet) is later


def test_a_hub_that_is_away_is_waited_for(post: ModuleType, root: Path) -> None:
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        url = f"https://{LOOPBACK}:{free.getsockname()[1]}/builders"
        with pytest.raises(post.NotYet, match="the hub cannot be reached"):
            post.Https(root, "far", url).send(b"request")


def test_a_revoked_certificate_is_told(post: ModuleType, root: Path) -> None:
    revoked = r"the certificate of far was revoked"
    refusing = hub(root, 202, revoked=True)
    with refusing as (url, got), pytest.raises(post.Refused, match=revoked) as refusal:
        post.Https(root, "far", url).send(b"request")
    assert not isinstance(refusal.value, post.NotYet)
    assert got == []
