"""util.hub: verified calls to a hub of the test's own."""

import socket
import ssl
import threading
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

import pytest

from util.certificates import Authority
from util.hub import UNREACHABLE, failures, hub


class Handler(SimpleXMLRPCRequestHandler):
    rpc_paths = ("/kojihub",)


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("credentials")
    authority = Authority.create(folder)
    authority.issue("kojihub", ["localhost"], server=True)
    authority.issue("kojira", client=True)
    return folder


@pytest.fixture(scope="module")
def port(credentials: Path) -> Iterator[int]:
    """A hub that answers two calls, where clients may show a certificate."""
    server = SimpleXMLRPCServer(("127.0.0.1", 0), Handler, logRequests=False, allow_none=True)
    context = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cafile=credentials / "koji_ca_cert.crt"
    )
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_cert_chain(credentials / "kojihub.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.register_function(lambda: 1, "getAPIVersion")
    server.register_function(lambda: None, "getNothing")
    thread = threading.Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    yield int(server.server_address[1])
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("client", [None, "kojira.pem"])
def test_calls_the_hub(port: int, credentials: Path, client: str | None) -> None:
    ca = credentials / "koji_ca_cert.crt"
    pem = credentials / client if client else None
    with hub(f"https://localhost:{port}/kojihub", ca, pem) as session:
        assert session.getAPIVersion() == 1
        assert session.getNothing() is None


def test_refuses_another_authority(port: int, tmp_path: Path) -> None:
    Authority.create(tmp_path)
    with (
        hub(f"https://localhost:{port}/kojihub", tmp_path / "koji_ca_cert.crt") as session,
        pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"),
    ):
        session.getAPIVersion()


def test_refuses_another_name(port: int, credentials: Path) -> None:
    with (
        hub(f"https://127.0.0.1:{port}/kojihub", credentials / "koji_ca_cert.crt") as session,
        pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"),
    ):
        session.getAPIVersion()


def test_tells_an_http_error(port: int, credentials: Path) -> None:
    with (
        hub(f"https://localhost:{port}/elsewhere", credentials / "koji_ca_cert.crt") as session,
        pytest.raises(xmlrpc.client.ProtocolError, match="404"),
    ):
        session.getAPIVersion()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (TimeoutError("The read operation timed out"), "the hub does not answer"),
        (
            ConnectionRefusedError(111, "Connection refused"),
            "cannot be reached: connection refused",
        ),
        (socket.gaierror(-2, "Name or service not known"), "reached: name or service not known"),
        (xmlrpc.client.ProtocolError("koji/kojihub", 503, "Unavailable", {}), "answers 503 Unav"),
        (xmlrpc.client.Fault(1000, "no such thing"), "the hub: no such thing"),
    ],
)
def test_a_failure_in_a_sentence(error: Exception, sentence: str) -> None:
    with pytest.raises(LookupError, match=sentence), failures("the hub"):
        raise error


def test_does_not_wait_for_ever(credentials: Path) -> None:
    """A hub that takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://localhost:{silent.getsockname()[1]}/kojihub"
        with (
            hub(url, credentials / "koji_ca_cert.crt", timeout=0.2) as session,
            pytest.raises(UNREACHABLE),
        ):
            session.getAPIVersion()
