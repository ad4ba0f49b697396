"""Downloads from what pip is configured with: indexes, folders, proxies, credentials, certificates.

pip itself is asked for its settings; an HTTP server of the test's own is the index.
"""

import base64
import contextlib
import hashlib
import http.server
import io
import os
import ssl
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nagoya.build import download
from nagoya.errors import SourceError


def sdist(setup: str) -> bytes:
    """A source distribution koji-1.0.tar.gz with this setup.py."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in {"setup.py": setup, "PKG-INFO": "Name: koji\nVersion: 1.0\n"}.items():
            member = tarfile.TarInfo(f"koji-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


ARCHIVE = sdist("raise SystemExit('this is never run')")
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()


@dataclass
class Index:
    """A package index with koji 1.0, which also serves as a proxy and over TLS."""

    address: str = ""
    archive: bytes = ARCHIVE
    links: list[str] = field(default_factory=lambda: [f"koji-1.0.tar.gz#sha256={SHA256}"])
    login: str = ""
    failures: int = 0
    requests: list[str] = field(default_factory=list)

    def answer(self, path: str, login: str | None) -> tuple[int, str, bytes]:
        self.requests.append(path)
        if self.login and login != f"Basic {base64.b64encode(self.login.encode()).decode()}":
            return 401, "text/plain", b""
        if path.endswith("/simple/koji/"):
            page = "".join(f'<a href="/files/{link}">a file</a>' for link in self.links)
            return 200, "text/html", page.encode()
        if path.partition("/files/")[2]:
            return 200, "application/gzip", self.archive
        return 404, "text/plain", b""

    @property
    def simple(self) -> str:
        return f"{self.address}/simple"


@pytest.fixture
def serve() -> Iterator[Callable[..., Index]]:
    """Start an index, with TLS where a certificate is named."""
    servers = []

    def start(certificate: Path | None = None) -> Index:
        index = Index()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if index.failures:
                    index.failures -= 1
                    self.connection.close()
                    return
                status, kind, content = index.answer(self.path, self.headers["Authorization"])
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def handle(self) -> None:
                # Some connections are broken by the test.
                with contextlib.suppress(OSError, ValueError):
                    super().handle()

            def log_message(self, *args: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            scheme = "https"
        index.address = f"{scheme}://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return index

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def index(serve: Callable[..., Index]) -> Index:
    return serve()


@pytest.fixture(autouse=True)
def pip(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set pip's options by the environment; nothing of this machine's settings is left."""
    for name in os.environ:
        if name.startswith("PIP_") or name.lower().endswith(("_proxy", "_ca_bundle")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("NETRC", os.devnull)

    def configure(**options: str) -> None:
        for name, value in options.items():
            monkeypatch.setenv(f"PIP_{name.upper()}", value)

    return configure


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[..., bytes]:
    def download_it(sha256: str = SHA256, release: str = "koji==1.0") -> bytes:
        download.from_index(release, sha256, tmp_path / "fetched", lambda line: None)
        return (tmp_path / "fetched").read_bytes()

    return download_it


def refused(fetch: Callable[..., bytes], **options: str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        fetch(**options)
    assert caught.value.hint
    return caught.value


def test_nothing_of_a_source_distribution_is_run(
    index: Index, pip: Callable[..., None], fetch: Callable[..., bytes], tmp_path: Path
) -> None:
    index.archive = sdist(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    sha256 = hashlib.sha256(index.archive).hexdigest()
    index.links = [f"koji-1.0.tar.gz#sha256={sha256}"]
    pip(index_url=index.simple)
    assert fetch(sha256) == index.archive
    assert index.requests == ["/simple/koji/", "/files/koji-1.0.tar.gz"]
    assert not (tmp_path / "ran").exists()


def test_the_checksum_chooses_among_the_files(
    index: Index, pip: Callable[..., None], fetch: Callable[..., bytes]
) -> None:
    index.links = [
        f"koji-1.0-cp27-cp27m-win32.whl#sha256={SHA256}",
        f"koji-1.0-py3-none-any.whl#sha256={'1' * 64}",
        f"koji-1.0.tar.gz#sha256={'2' * 64}",
    ]
    pip(index_url=index.simple)
    assert fetch() == ARCHIVE
    assert index.requests[1:] == ["/files/koji-1.0-cp27-cp27m-win32.whl"]


def test_an_index_without_checksums(
    index: Index, pip: Callable[..., None], fetch: Callable[..., bytes]
) -> None:
    index.links = ["koji-1.0.tar.gz"]
    pip(index_url=index.simple)
    assert fetch() == ARCHIVE
    error = refused(fetch, sha256="0" * 64)
    assert error.message.splitlines() == [
        f"no file of koji==1.0 has the declared sha256 {'0' * 64}",
        f"  koji-1.0.tar.gz has sha256 {SHA256}",
    ]


def test_credentials_in_the_url(
    index: Index, pip: Callable[..., None], fetch: Callable[..., bytes]
) -> None:
    index.login = "me:se cret"
    pip(index_url=index.simple.replace("//", "//me:se%20cret@"))
    assert fetch() == ARCHIVE
    pip(index_url=index.simple.replace("//", "//me:wr0ng@"))
    error = refused(fetch)
    assert f"{index.simple.replace('//', '//***@')}/koji/: Client Error(401)" in error.message
    assert "wr0ng" not in error.message


def test_credentials_in_netrc(
    index: Index,
    pip: Callable[..., None],
    fetch: Callable[..., bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index.login = "me:secret"
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    pip(index_url=index.simple)
    assert fetch() == ARCHIVE


def test_a_configuration_file_and_what_overrides_it(
    serve: Callable[..., Index],
    pip: Callable[..., None],
    fetch: Callable[..., bytes],
    tmp_path: Path,
) -> None:
    first, second, third = serve(), serve(), serve()
    second.links = third.links = []
    file = tmp_path / "pip.conf"
    file.write_text(
        f"[global]\nindex-url = {first.simple}\nextra-index-url =\n    {second.simple}\n"
        f"[download]\nindex-url = {third.simple}\n"
    )
    pip(config_file=str(file))
    assert "koji==1.0 was not found" in refused(fetch).message
    assert (first.requests, second.requests, third.requests) == (
        [],
        ["/simple/koji/"],
        ["/simple/koji/"],
    )
    pip(index_url=first.simple)
    assert fetch() == ARCHIVE


def test_an_extra_index_beside_one_that_does_not_answer(
    index: Index, pip: Callable[..., None], fetch: Callable[..., bytes]
) -> None:
    pip(index_url="http://127.0.0.1:9/simple", extra_index_url=f"{index.address} {index.simple}")
    assert fetch() == ARCHIVE
    index.links = []
    message = refused(fetch).message
    assert "http://127.0.0.1:9/simple: [Errno 111] Connection refused" in message
    assert f"{index.address}/koji/: Client Error(404): Not Found" in message
    assert f"{index.simple}: has no file of koji==1.0" in message


def test_a_folder_and_no_index(
    index: Index, pip: Callable[..., None], fetch: Callable[..., bytes], tmp_path: Path
) -> None:
    (tmp_path / "koji-1.0.tar.gz").write_bytes(ARCHIVE)
    pip(no_index="1", find_links=f"{tmp_path / 'missing'} {tmp_path}", index_url=index.simple)
    assert fetch() == ARCHIVE
    assert index.requests == []
    assert (
        f"{tmp_path.as_uri()}: has no file of koji==2" in refused(fetch, release="koji==2").message
    )


def test_a_page_of_links(
    index: Index, pip: Callable[..., None], fetch: Callable[..., bytes]
) -> None:
    pip(no_index="true", find_links=f"{index.simple}/koji/")
    assert fetch() == ARCHIVE


def test_nowhere_to_look(pip: Callable[..., None], fetch: Callable[..., bytes]) -> None:
    pip(no_index="1")
    assert "pip is set to no-index" in refused(fetch).message


def test_an_http_index_has_to_be_trusted_and_a_proxy_is_used(
    index: Index, pip: Callable[..., None], fetch: Callable[..., bytes]
) -> None:
    pip(index_url="http://index.invalid/simple", proxy=index.address)
    assert "not being trusted" in refused(fetch).message
    pip(trusted_host="index.invalid")
    assert fetch() == ARCHIVE
    assert index.requests[0] == "http://index.invalid/simple/koji/"


def test_a_proxy_of_the_environment(
    index: Index,
    pip: Callable[..., None],
    fetch: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", index.address)
    pip(index_url="http://index.invalid/simple", trusted_host="index.invalid")
    assert fetch() == ARCHIVE


def test_a_site_with_its_own_authority(
    serve: Callable[..., Index],
    pip: Callable[..., None],
    fetch: Callable[..., bytes],
    tmp_path: Path,
) -> None:
    certificate, key = tmp_path / "site.crt", tmp_path / "site.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=site"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    pair = tmp_path / "both.pem"
    pair.write_text(key.read_text() + certificate.read_text())
    pip(index_url=serve(pair).simple)
    assert "CERTIFICATE_VERIFY_FAILED" in refused(fetch).message
    pip(cert=str(certificate))
    assert fetch() == ARCHIVE
    pip(cert=str(tmp_path / "missing"))
    assert "the certificates that pip is configured with cannot be read" in refused(fetch).message


def test_a_connection_that_breaks_is_tried_again(
    index: Index, pip: Callable[..., None], fetch: Callable[..., bytes]
) -> None:
    pip(index_url=index.simple)
    index.failures = 2
    assert fetch() == ARCHIVE


def test_no_pip(
    monkeypatch: pytest.MonkeyPatch, fetch: Callable[..., bytes], tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'No module named pip' >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    assert "-m ensurepip" in str(refused(fetch).hint)
