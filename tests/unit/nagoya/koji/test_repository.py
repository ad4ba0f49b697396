"""Repositories on a server of the test's own: their lists, however compressed, and downloads."""

import bz2
import contextlib
import gzip
import hashlib
import http.server
import lzma
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
import zstandard

from nagoya.errors import LifecycleError
from nagoya.koji import repository as listing
from nagoya.koji.repository import Repository, Unreachable
from tests.rpm_files import write_rpm

PACKAGE = """
<package type="rpm"><name>{name}</name><arch>noarch</arch>
  <version epoch="{epoch}" ver="1" rel="1"/>
  <checksum type="{algorithm}" pkgid="YES">{checksum}</checksum>
  <time file="9" build="1000000000"/><size package="{size}" installed="0" archive="0"/>
  <location href="{href}"/><format><rpm:sourcerpm>{name}-1-1.src.rpm</rpm:sourcerpm></format>
</package>"""
PRIMARY = """<metadata xmlns="http://linux.duke.edu/metadata/common"
  xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="2">{}</metadata>"""
REPOMD = """<repomd xmlns="http://linux.duke.edu/metadata/repo">
<data type="filelists"><checksum type="sha256">0</checksum><location href="nowhere"/></data>
<data type="primary"><checksum type="sha256">{checksum}</checksum>
  <location href="repodata/{name}"/><size>{size}</size></data></repomd>"""
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda content: content,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


class Server:
    """Serves files by HTTPS; `redirects` leads paths elsewhere, `failures` are broken answers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = ""
        self.authority = folder.parent / "site.crt"
        self.redirects: dict[str, str] = {}
        self.failures = 0
        self.asked: list[str] = []

    def publish(self, *packages: Path, suffix: str = ".gz", algorithm: str = "sha256") -> None:
        """List RPMs, all with the epoch 0."""
        listed = "".join(
            PACKAGE.format(
                name=path.name.split("-1-1")[0],
                epoch=0,
                algorithm={"sha1": "sha"}.get(algorithm, algorithm),
                checksum=hashlib.new(algorithm, path.read_bytes()).hexdigest(),
                size=path.stat().st_size,
                href=path.name,
            )
            for path in packages
        )
        self.publish_list(PRIMARY.format(listed).encode(), suffix)

    def publish_list(self, primary: bytes, suffix: str = "") -> None:
        data = self.folder / "repodata"
        data.mkdir(exist_ok=True)
        packed = COMPRESSIONS[suffix](primary)
        (data / f"primary.xml{suffix}").write_bytes(packed)
        (data / "repomd.xml").write_text(
            REPOMD.format(
                checksum=hashlib.sha256(packed).hexdigest(),
                size=len(packed),
                name=f"primary.xml{suffix}",
            )
        )


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, and its key."""
    folder = tmp_path_factory.mktemp("pair")
    certificate, key = folder / "site.crt", folder / "site.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=site"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


@pytest.fixture
def server(tmp_path: Path, pair: tuple[Path, Path]) -> Iterator[Server]:
    folder = tmp_path / "served"
    folder.mkdir()
    serving = Server(folder)
    serving.authority = pair[0]

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def do_GET(self) -> None:
            serving.asked.append(self.path)
            if serving.failures:
                serving.failures -= 1
                self.connection.close()
            elif self.path in serving.redirects:
                self.send_response(302)
                self.send_header("Location", serving.redirects[self.path])
                self.end_headers()
            else:
                super().do_GET()

        def handle(self) -> None:
            # Some connections are broken by the test.
            with contextlib.suppress(OSError, ValueError):
                super().handle()

        def log_message(self, *_: object) -> None:
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    listening.socket = context.wrap_socket(listening.socket, server_side=True)
    serving.address = f"https://127.0.0.1:{listening.server_port}"
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
    thread.start()
    yield serving
    listening.shutdown()
    thread.join()
    listening.server_close()


@pytest.fixture
def repository(server: Server) -> Iterator[Repository]:
    with Repository(server.address, server.authority) as opened:
        yield opened


def problem(repository: Repository, folder: Path) -> str:
    with pytest.raises(LifecycleError) as caught:
        repository.rpms(folder)
    return caught.value.message


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_a_list_is_read_however_it_is_compressed(
    server: Server, repository: Repository, tmp_path: Path, suffix: str
) -> None:
    server.publish(write_rpm(server.folder, "a"), write_rpm(server.folder, "b"), suffix=suffix)
    first, second = repository.rpms(tmp_path)
    assert (first.file_name, second.file_name) == ("a-1-1.noarch.rpm", "b-1-1.noarch.rpm")
    assert (first.build_nvr, first.epoch, first.build_time) == ("a-1-1", None, 1_000_000_000)


def test_a_list_in_several_frames_of_zstd(
    server: Server, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = zstandard.ZstdCompressor().compress
    monkeypatch.setitem(COMPRESSIONS, ".zst", lambda content: pack(content[:9]) + pack(content[9:]))
    server.publish(write_rpm(server.folder, "a"), suffix=".zst")
    assert len(repository.rpms(tmp_path)) == 1


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_a_download_has_the_listed_checksum(
    server: Server, repository: Repository, tmp_path: Path, algorithm: str
) -> None:
    path = write_rpm(server.folder)
    server.publish(path, algorithm=algorithm)
    (listed,) = repository.rpms(tmp_path)
    assert repository.download(listed, tmp_path).read_bytes() == path.read_bytes()
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(LifecycleError, match=f"its {algorithm} differs"):
        repository.download(listed, tmp_path)


def test_a_download_does_not_grow_beyond_its_listed_size(
    server: Server, repository: Repository, tmp_path: Path
) -> None:
    path = write_rpm(server.folder)
    server.publish(path)
    (listed,) = repository.rpms(tmp_path)
    with path.open("ab") as file:
        file.truncate(8 << 20)
    with pytest.raises(LifecycleError, match="differs"):
        repository.download(listed, tmp_path)
    assert (tmp_path / path.name).stat().st_size < 2 << 20


def test_an_rpm_that_is_listed_twice_counts_once(
    server: Server, repository: Repository, tmp_path: Path
) -> None:
    path = write_rpm(server.folder)
    server.publish(path, path)
    assert len(repository.rpms(tmp_path)) == 1


def test_an_interrupted_answer_is_asked_for_again(
    server: Server, repository: Repository, tmp_path: Path
) -> None:
    server.publish(write_rpm(server.folder))
    server.failures = 2
    assert len(repository.rpms(tmp_path)) == 1


def test_a_silent_server_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"https://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(listing, "_TIMEOUT", httpx2.Timeout(0.2))
        with Repository(address) as other, pytest.raises(Unreachable, match="timed out"):
            other.rpms(tmp_path)
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_the_trust_begins_with_https_and_the_given_authority(
    server: Server, repository: Repository, tmp_path: Path
) -> None:
    server.publish(write_rpm(server.folder))
    with Repository(server.address) as other, pytest.raises(Unreachable) as refused:
        other.rpms(tmp_path)
    assert "certificate" in refused.value.message
    assert "`ca` of the document" in str(refused.value.hint)
    with pytest.raises(LifecycleError, match="has no certificates"):
        Repository(server.address, tmp_path)
    plain = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0),
        lambda *a: http.server.SimpleHTTPRequestHandler(*a, directory=str(server.folder)),
    )
    thread = threading.Thread(target=plain.serve_forever, args=(0.01,))
    thread.start()
    path = "/repodata/repomd.xml"
    server.redirects[path] = f"http://127.0.0.1:{plain.server_port}{path}"
    try:
        assert "leads to a URL without https" in problem(repository, tmp_path)
    finally:
        plain.shutdown()
        thread.join()
        plain.server_close()


@pytest.mark.parametrize(
    ("primary", "message"),
    [
        (b"<metadata", "cannot be read: unclosed token"),
        (PRIMARY.format("<package><name>a</name></package>").encode(), "a package lacks its"),
        (
            PRIMARY.format(
                PACKAGE.format(
                    name="../../a", epoch=0, algorithm="sha256", checksum="0", size=1, href="a"
                )
            ).encode(),
            "no package can be called",
        ),
        (
            PRIMARY.format(
                PACKAGE.format(name="a", epoch=0, algorithm="crc32", checksum="0", size=1, href="a")
            ).encode(),
            "the checksum crc32 is unknown",
        ),
        (
            PRIMARY.format(
                PACKAGE.format(
                    name="a", epoch=0, algorithm="shake_128", checksum="0", size=1, href="a"
                )
            ).encode(),
            "the checksum shake_128 is unknown",
        ),
        (b'<?xml version="1.0" encoding="foo"?><metadata/>', "cannot be read: unknown encoding"),
    ],
)
def test_a_list_that_makes_no_sense(
    server: Server, repository: Repository, tmp_path: Path, primary: bytes, message: str
) -> None:
    server.publish_list(primary)
    assert message in problem(repository, tmp_path)


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_a_list_that_cannot_be_unpacked(
    server: Server,
    repository: Repository,
    tmp_path: Path,
    suffix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(COMPRESSIONS, suffix, lambda content: b"not compressed at all, at all")
    server.publish_list(b"", suffix)
    assert "cannot be read" in problem(repository, tmp_path)


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_a_list_that_unpacks_to_too_much(
    server: Server,
    repository: Repository,
    tmp_path: Path,
    suffix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listing, "_MAX_PRIMARY", 1 << 20)
    server.publish_list(PRIMARY.format(" " * (2 << 20)).encode(), suffix)
    assert "it unpacks to more than 1 MiB" in problem(repository, tmp_path)


def test_a_list_of_too_much(
    server: Server, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = PACKAGE.format(name="a", epoch=0, algorithm="md5", checksum="", size=1, href="a")
    for limit, element in (("_MAX_ELEMENTS", "<x/>"), ("_MAX_PACKAGES", package)):
        with monkeypatch.context() as patch:
            patch.setattr(listing, limit, 20)
            server.publish_list(PRIMARY.format(element * 30).encode(), ".gz")
            assert "packages, or too large ones" in problem(repository, tmp_path)


def test_a_repomd_without_end(
    server: Server, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_MAX_REPOMD", 1 << 20)
    (server.folder / "repodata").mkdir()
    with (server.folder / "repodata/repomd.xml").open("wb") as file:
        file.truncate(8 << 20)
    assert "it is larger than 1 MiB" in problem(repository, tmp_path)


def test_an_address_that_is_none() -> None:
    with pytest.raises(LifecycleError, match="is no URL"):
        Repository("https://[::1")


def test_what_is_not_a_repository(server: Server, repository: Repository, tmp_path: Path) -> None:
    assert "answered 404" in problem(repository, tmp_path)
    (server.folder / "repodata").mkdir()
    (server.folder / "repodata/repomd.xml").write_text("<repomd/>")
    assert "names no list of packages" in problem(repository, tmp_path)


def test_a_password_is_not_shown(server: Server, tmp_path: Path) -> None:
    address = server.address.replace("https://", "https://me:secret@")
    with Repository(address, server.authority) as mirror:
        assert "secret" not in problem(mirror, tmp_path)
