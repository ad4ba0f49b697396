"""Sources: fetched, checked, kept, unpacked; and the messages when that fails."""

import errno
import hashlib
import http.server
import io
import os
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nagoya.build import sources
from nagoya.config.model import Source
from nagoya.errors import SourceError
from nagoya.utils.progress import Progress


def packed(files: dict[str, str], top: str = "koji-1.0/", compression: str = "gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w|{compression}") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(top + name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


ARCHIVE = packed({"setup.py": "first", "hub/hub.py": "hub"})
DIGEST = hashlib.sha256(ARCHIVE).hexdigest()


@dataclass
class Server:
    """A web server that gives `content` for any path, and counts how often it was asked."""

    address: str = ""
    content: bytes = ARCHIVE
    status: int = 200
    length: int | None = None
    location: str | None = None
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests.append(self.path)
            self.send_response(state.status)
            length = len(state.content) if state.length is None else state.length
            self.send_header("Content-Length", str(length))
            if state.location:
                self.send_header("Location", state.location)
            self.end_headers()
            self.wfile.write(state.content)

        def log_message(self, *args: object) -> None:
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{httpd.server_port}/koji.tar.gz"
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    yield state
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be a build context, beside a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def ensure(project: Path, source: Source) -> str:
    """Fetch as src/koji; the words that the progress ended with."""
    output = io.StringIO()
    sources.ensure(project, "koji", source, Progress(stream=output))
    return output.getvalue().splitlines()[-1].rpartition("  ")[2]


def refused(project: Path, source: Source) -> SourceError:
    with pytest.raises(SourceError) as caught:
        sources.ensure(project, "koji", source, Progress(quiet=True))
    assert caught.value.hint
    assert not list(project.parent.glob("cache/nagoya/sources/.*"))
    return caught.value


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_an_archive_is_unpacked_without_its_top_folder(project: Path, server: Server) -> None:
    source = Source(url=server.address, sha256=DIGEST)
    assert ensure(project, source) == "fetched"
    assert contents(project / "src/koji") == {"hub/hub.py": "hub", "setup.py": "first"}
    assert names(project / "src") == [".koji.sha256", "koji"]
    assert ensure(project, source) == "present"
    assert len(server.requests) == 1


def test_an_archive_of_koji_is_as_upstream_publishes_it(project: Path, server: Server) -> None:
    files = {"koji.spec": "Version: 1.35.3", "kojihub/kojihub.py": "hub"}
    server.content = packed(files, "koji-1.35.3/", "bz2")
    digest = hashlib.sha256(server.content).hexdigest()
    source = Source(url=server.address, sha256=digest)
    assert ensure(project, source) == "fetched"
    assert contents(project / "src/koji") == files


def test_a_good_cached_file_needs_no_network(project: Path, server: Server) -> None:
    ensure(project, Source(url=server.address, sha256=DIGEST))
    elsewhere = project.parent / "elsewhere"
    elsewhere.mkdir()
    server.status = 500
    assert ensure(elsewhere, Source(url=server.address, sha256=DIGEST)) == "from the cache"
    assert contents(elsewhere / "src/koji") == contents(project / "src/koji")


def test_a_bad_cached_file_is_fetched_again(project: Path, server: Server) -> None:
    cached = project.parent / "cache/nagoya/sources" / DIGEST
    cached.parent.mkdir(parents=True)
    cached.write_bytes(ARCHIVE[:100])
    assert ensure(project, Source(url=server.address, sha256=DIGEST)) == "fetched"
    assert cached.read_bytes() == ARCHIVE


def test_another_archive_takes_the_place_of_the_first(project: Path, server: Server) -> None:
    ensure(project, Source(url=server.address, sha256=DIGEST))
    server.content = packed({"only": "second"})
    digest = hashlib.sha256(server.content).hexdigest()
    ensure(project, Source(url=server.address, sha256=digest))
    assert contents(project / "src/koji") == {"only": "second"}


def test_a_folder_that_nobody_stamped_is_unpacked_anew(project: Path, server: Server) -> None:
    (project / "src/koji").mkdir(parents=True)
    (project / "src/koji/half").touch()
    ensure(project, Source(url=server.address, sha256=DIGEST))
    assert "half" not in contents(project / "src/koji")


def test_a_wrong_checksum(project: Path, server: Server) -> None:
    error = refused(project, Source(url=server.address, sha256="0" * 64))
    assert f"sha256 declared  {'0' * 64}" in error.message
    assert f"sha256 fetched   {DIGEST}" in error.message
    assert not (project / "src/koji").exists()
    assert error.exit_code == 5


def test_a_truncated_file(project: Path, server: Server) -> None:
    server.length = len(ARCHIVE) + 1000
    error = refused(project, Source(url=server.address, sha256=DIGEST))
    assert f"received {len(ARCHIVE)} bytes, expected {len(ARCHIVE) + 1000}" in error.message


def test_an_address_that_is_wrong(project: Path, server: Server) -> None:
    server.status = 404
    assert (
        "answered 404 Not Found"
        in refused(project, Source(url=server.address, sha256=DIGEST)).message
    )


def test_nobody_answers(project: Path) -> None:
    error = refused(project, Source(url="http://127.0.0.1:9/koji.tar.gz", sha256=DIGEST))
    assert "Connection refused" in error.message
    assert "\n" not in error.message
    assert "`path: FOLDER`" in str(error.hint)
    assert "`-c nagoya`" in str(error.hint)


def test_a_failure_leaves_what_was_there(project: Path, server: Server) -> None:
    ensure(project, Source(url=server.address, sha256=DIGEST))
    refused(project, Source(url=server.address, sha256="0" * 64))
    assert contents(project / "src/koji")["setup.py"] == "first"
    server.status = 500
    assert ensure(project, Source(url=server.address, sha256=DIGEST)) == "present"


def test_a_full_disk(project: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    monkeypatch.setattr(Path, "replace", full)
    error = refused(project, Source(url=server.address, sha256=DIGEST))
    assert "No space left on device" in error.message
    assert "XDG_CACHE_HOME" in str(error.hint)


def test_what_is_no_archive(project: Path, server: Server) -> None:
    server.content = b"<html>Please log in</html>"
    digest = hashlib.sha256(server.content).hexdigest()
    assert (
        "cannot be unpacked" in refused(project, Source(url=server.address, sha256=digest)).message
    )


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://a[::1/x", "its URL cannot be read: Invalid IPv6 URL"),
        (f"http://{'a' * 300}/x", "was not fetched: encoding with 'idna' codec failed"),
    ],
)
def test_a_url_that_is_none(project: Path, url: str, words: str) -> None:
    assert words in refused(project, Source(url=url, sha256=DIGEST)).message


@pytest.mark.parametrize("host", ["", "localhost"])
def test_no_redirect_leads_to_a_file(project: Path, server: Server, host: str) -> None:
    secret = project / "secret"
    secret.write_bytes(ARCHIVE)
    server.status, server.location = 302, f"file://{host}{secret}"
    error = refused(project, Source(url=server.address, sha256=DIGEST))
    assert "was not fetched: " in error.message


def zipped(changes: dict[int, int], *names: str) -> bytes:
    """A zip archive; `changes` are bytes of the records of its members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "text")
    content = bytearray(buffer.getvalue())
    for offset, value in changes.items():
        content[offset + 6] = content[content.find(b"PK\1\2") + offset + 8] = value
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (zipped({0: 1}, "file"), "cannot be unpacked"),  # encrypted
        (zipped({2: 99}, "file"), "cannot be unpacked"),  # an unknown method
        (zipped({}), "is empty"),
        (bytes(2048), "is empty"),
    ],
)
def test_an_archive_that_cannot_be_used(
    project: Path, server: Server, content: bytes, words: str
) -> None:
    server.content = content
    digest = hashlib.sha256(content).hexdigest()
    assert words in refused(project, Source(url=server.address, sha256=digest)).message


def evil(**attributes: object) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("koji/member")
        for name, value in attributes.items():
            setattr(member, name, value)
        archive.addfile(member)
    return buffer.getvalue()


@pytest.mark.parametrize("with_filter", [True, False])
@pytest.mark.parametrize(
    "attributes",
    [
        {"name": "../outside"},
        {"name": "/outside"},
        {"name": "koji/../../outside"},
        {"type": tarfile.SYMTYPE, "linkname": "../../outside"},
        {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
        {"type": tarfile.LNKTYPE, "linkname": "../outside"},
        {"type": tarfile.CHRTYPE},
    ],
)
def test_nothing_is_unpacked_elsewhere(
    project: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    attributes: dict[str, object],
    with_filter: bool,
) -> None:
    if not with_filter:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    server.content = evil(**attributes)
    digest = hashlib.sha256(server.content).hexdigest()
    error = refused(project, Source(url=server.address, sha256=digest))
    assert "outside of its folder" in error.message
    assert not list(project.parent.rglob("outside"))


def with_links(
    *links: tuple[str, str], files: dict[str, str], hard: tuple[tuple[str, str], ...] = ()
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, target in links:
            member = tarfile.TarInfo(f"koji/{name}")
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
        for name, target in hard:
            member = tarfile.TarInfo(f"koji/{name}")
            member.type, member.linkname = tarfile.LNKTYPE, f"koji/{target}"
            archive.addfile(member)
        for name, text in files.items():
            member = tarfile.TarInfo(f"koji/{name}")
            member.size, member.mode = len(text), 0o4664
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


@pytest.mark.parametrize("with_filter", [True, False])
@pytest.mark.parametrize(
    "content",
    [
        # d/e leads to koji/, so x leads to the folder that holds the unpacked one.
        with_links(("d/e", ".."), ("x", "d/e/../.."), files={"x/outside": ""}),
        with_links(("x", "d/e/../.."), ("d/e", ".."), files={}),
        with_links(("d", "."), files={"d/outside": ""}),
        # Another name for the link, from where it leads elsewhere.
        with_links(("d/e/x", "../../.."), hard=(("y", "d/e/x"),), files={"y/outside": ""}),
        with_links(("d/e/x", "../../.."), hard=(("y", "d/./e/../e/x"),), files={"y/outside": ""}),
        with_links(("d/../x", "."), ("x/x/y", "../.."), files={"y/outside": ""}),
    ],
)
def test_no_path_leads_through_a_link(
    project: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    with_filter: bool,
) -> None:
    if not with_filter:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    server.content = content
    digest = hashlib.sha256(content).hexdigest()
    error = refused(project, Source(url=server.address, sha256=digest))
    assert "outside of its folder" in error.message
    assert not list(project.parent.rglob("outside"))


@pytest.mark.parametrize("with_filter", [True, False])
def test_links_and_modes_are_the_same_with_every_python(
    project: Path, server: Server, monkeypatch: pytest.MonkeyPatch, with_filter: bool
) -> None:
    if not with_filter:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    server.content = with_links(("cli/run", "../hub/run"), files={"hub/run": "run"})
    digest = hashlib.sha256(server.content).hexdigest()
    ensure(project, Source(url=server.address, sha256=digest))
    assert (project / "src/koji/cli/run").read_text() == "run"
    assert (project / "src/koji/hub/run").stat().st_mode == 0o100644


def test_two_at_once(project: Path, server: Server) -> None:
    source = Source(url=server.address, sha256=DIGEST)
    elsewhere = project.parent / "elsewhere"
    elsewhere.mkdir()
    threads = [
        threading.Thread(target=ensure, args=(folder, source))
        for folder in (project, project, elsewhere, elsewhere)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(server.requests) == 1
    assert contents(project / "src/koji") == contents(elsewhere / "src/koji")


# From what pip is configured with; test_download.py has the rest of it.


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for all the packages there are, with multilib 1.3 in it."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "multilib-1.3-py3-none-any.whl", "w") as wheel:
        wheel.writestr("multilib/__init__.py", "")
        wheel.writestr(
            "multilib-1.3.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: multilib\nVersion: 1.3\n",
        )
        wheel.writestr("multilib-1.3.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("multilib-1.3.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


def test_a_wheel_is_fetched(project: Path, wheels: Path) -> None:
    digest = hashlib.sha256(next(wheels.iterdir()).read_bytes()).hexdigest()
    assert ensure(project, Source(pypi="multilib==1.3", sha256=digest)) == "fetched"
    assert names(project / "src/koji") == ["multilib", "multilib-1.3.dist-info"]


def test_no_file_has_that_checksum(project: Path, wheels: Path) -> None:
    error = refused(project, Source(pypi="multilib==1.3", sha256="0" * 64))
    assert "no file of multilib==1.3 has the declared sha256" in error.message


def test_there_is_no_such_release(project: Path, wheels: Path) -> None:
    error = refused(project, Source(pypi="multilib==9", sha256="0" * 64))
    assert "multilib==9 was not found" in error.message
    assert f"{wheels.as_uri()}: has no file of multilib==9" in error.message


# A source tree.


@pytest.fixture
def git_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run git in a work tree `koji` beside the project."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    (tmp_path / "koji").mkdir()

    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", tmp_path / "koji", *arguments], check=True)

    git("init", "--quiet")
    return git


def test_a_work_tree_is_what_git_tracks_and_what_is_new(
    project: Path, git_tree: Callable[..., None]
) -> None:
    koji = project.parent / "koji"
    for name in ("tracked", "gone", "new", "ignored.pyc"):
        (koji / name).write_text(name)
    (koji / "hub").mkdir()
    (koji / "hub" / "hub.py").write_text("hub")
    (koji / "link").symlink_to("hub")
    (koji / ".gitignore").write_text("*.pyc\n")
    git_tree("add", "tracked", "gone", "hub", "link")
    (koji / "gone").unlink()
    source = Source(path="../koji")
    assert ensure(project, source) == "5 files changed"
    copy = project / "src/koji"
    assert names(copy) == [".gitignore", "hub", "link", "new", "tracked"]
    assert (copy / "link").is_symlink()


def test_only_what_changed_is_copied(project: Path) -> None:
    koji = project.parent / "koji"
    (koji / "a").mkdir(parents=True)
    for name in ("one", "two", "a/three"):
        (koji / name).write_text(name)
    (koji / "one").chmod(0o755)
    source, copy = Source(path="../koji"), project / "src/koji"
    assert ensure(project, source) == "3 files changed"
    assert ensure(project, source) == "unchanged"
    untouched = (copy / "one").stat().st_ino
    (koji / "two").write_text("changed")
    (koji / "a/three").unlink()
    (koji / "a").rmdir()
    (koji / "a").write_text("a file where a folder was")
    assert ensure(project, source) == "3 files changed"
    assert contents(copy) == contents(koji)
    assert (copy / "one").stat().st_ino == untouched
    assert (copy / "one").stat().st_mode & 0o111


def test_an_unchanged_path_is_up_to_date(project: Path) -> None:
    koji = project.parent / "koji"
    koji.mkdir()
    (koji / "file").write_text("first")
    source = Source(path="../koji")
    assert sources.outdated(project, "koji", source) == "not fetched yet"
    ensure(project, source)
    assert sources.outdated(project, "koji", source) is None
    (koji / "file").write_text("changed")
    assert sources.outdated(project, "koji", source) == "1 file changed"
    (koji / "new").touch()
    assert sources.outdated(project, "koji", source) == "2 files changed"


def test_a_path_and_an_archive_take_turns(project: Path, server: Server) -> None:
    koji = project.parent / "koji"
    koji.mkdir()
    (koji / "mine").touch()
    archive = Source(url=server.address, sha256=DIGEST)
    ensure(project, archive)
    tree = Source(path="../koji")
    ensure(project, tree)
    assert names(project / "src/koji") == ["mine"]
    assert sources.outdated(project, "koji", tree) is None
    ensure(project, archive)
    assert "setup.py" in contents(project / "src/koji")


def test_an_optional_source_is_an_empty_folder(project: Path, server: Server) -> None:
    optional = Source(optional=True)
    assert sources.outdated(project, "koji", optional) == "not fetched yet"
    assert ensure(project, optional) == "not declared"
    assert names(project / "src/koji") == []
    assert sources.outdated(project, "koji", optional) is None
    # What was there while another file declared it goes away, and comes back.
    declared = Source(url=server.address, sha256=DIGEST)
    ensure(project, declared)
    assert sources.outdated(project, "koji", optional) == "it is not declared any more"
    ensure(project, optional)
    assert names(project / "src") == ["koji"]
    assert names(project / "src/koji") == []
    ensure(project, declared)
    assert "setup.py" in contents(project / "src/koji")
