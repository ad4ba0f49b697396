"""koji-hub's bounds of uploads: what a file may hold, and what reading it may cost."""

import base64
import hashlib
import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import koji
import koji.daemon
import pytest
import requests

from tests.image.running import Hub, Koji
from tests.image.tracked import execute
from tests.rpm_files import write_rpm
from util.certificates import Authority


def digest_of(hub: Hub, path: str) -> str:
    """The sha256 of an uploaded file."""
    return execute(hub.container, "sha256sum", f"/mnt/koji/work/{path}")[1].split()[0]


@pytest.mark.parametrize("offset", [4, 10**12])
def test_an_upload_leaves_no_gap(hub: Hub, offset: int) -> None:
    session = hub.login()
    data, digest = base64.b64encode(b"end").decode(), hashlib.md5(b"end").hexdigest()
    with pytest.raises(koji.GenericError, match=f"has 0 bytes .* goes on at byte {offset}"):
        session.uploadFile("gap", "call", 3, digest, str(offset), data)
    with pytest.raises(koji.GenericError, match="goes on at byte"):
        session.uploadFile("gap", "last", str(offset), None, -1, data)
    with pytest.raises(koji.GenericError, match=f"has 0 bytes .* goes on at byte {offset}"):
        session.rawUpload(b"end", offset, "gap", "raw")
    written = execute(hub.container, "find", "/mnt/koji/work", "-path", "*/gap/*", "-size", "+1")
    assert written == (0, "")


def test_an_upload_does_not_take_the_place_of_a_folder(hub: Hub) -> None:
    """All tasks' files are in `tasks`."""
    session = hub.login()
    for folder in (".", "x/.."):
        with pytest.raises(koji.GenericError, match="an upload needs a folder"):
            session.rawUpload(b"x", 0, folder, "tasks")
        with pytest.raises(koji.GenericError, match="an upload needs a folder"):
            session.uploadFile(folder, "tasks", 1, None, 0, base64.b64encode(b"x").decode())


def test_the_name_of_an_upload_has_no_control_characters(hub: Hub) -> None:
    """Logs, pages and shells would show another."""
    session = hub.login()
    for folder, name in (("a\nb", "file"), ("folder", "a\rb"), ("folder", "a\x7f")):
        with pytest.raises(koji.GenericError, match="name of an upload has control characters"):
            session.rawUpload(b"x", 0, folder, name)
        with pytest.raises(koji.GenericError, match="name of an upload has control characters"):
            session.uploadFile(folder, name, 1, None, 0, base64.b64encode(b"x").decode())
    session.rawUpload(b"x", 0, "Größe 東京", "a b")


def test_an_upload_does_not_change_what_was_imported(hub: Hub) -> None:
    """Koji leaves a link where it was."""
    session = hub.login()
    session.rawUpload(b"first", 0, "imported", "file")
    link = "cd /mnt/koji/work/imported && mv file ../kept && ln -s ../kept file"
    assert execute(hub.container, "sh", "-c", link) == (0, "")
    with pytest.raises(koji.GenericError, match="imported/file was imported"):
        session.rawUpload(b"other", 0, "imported", "file", overwrite=True)
    with pytest.raises(koji.GenericError, match="imported/file was imported"):
        session.uploadFile("imported", "file", 5, None, 0, base64.b64encode(b"other").decode())
    assert execute(hub.container, "cat", "/mnt/koji/work/kept") == (0, "first")


@pytest.mark.parametrize("blocksize", [None, 1000, 20 * 1024**2])
def test_a_file_is_uploaded_in_parts(hub: Hub, tmp_path: Path, blocksize: int | None) -> None:
    content = bytes(range(256)) * (160 if blocksize == 1000 else 160_000)
    (tmp_path / "file").write_bytes(content)
    session = hub.login()
    for _ in range(2):
        session.uploadWrapper(str(tmp_path / "file"), f"parts-{blocksize}", blocksize=blocksize)
    assert digest_of(hub, f"parts-{blocksize}/file") == hashlib.sha256(content).hexdigest()


def test_a_growing_log_is_uploaded_as_builders_do(hub: Hub) -> None:
    session = hub.login()
    log = io.BytesIO()
    for line in (b"one\n", b"two\n" * 50_000, b"three\n"):
        position = log.tell()
        log.write(line)
        log.seek(position)
        koji.daemon.incremental_upload(session, "build.log", log, "growing")
    assert digest_of(hub, "growing/build.log") == hashlib.sha256(log.getvalue()).hexdigest()


def test_the_calls_keep_their_arguments(hub: Hub) -> None:
    calls = {call["name"]: call["argdesc"] for call in hub.session()._listapi()}
    assert calls["checkUpload"] == "(path, name, verify=None, tail=None, volume=None)"
    assert calls["downloadTaskOutput"].endswith("fileName, offset=0, size=-1, volume=None)")
    assert calls["uploadFile"].endswith("offset, data, volume=None, checksum=None)")
    assert "uploaded file" in hub.session().system.methodHelp("checkUpload")


def test_one_long_file_is_read_at_a_time(mortal_koji: Koji) -> None:
    """Koji would read this one with all of the hub's processes, for hours."""
    hub = mortal_koji.hub_that_is_up()
    make = "mkdir /mnt/koji/work/long && truncate -s 100T /mnt/koji/work/long/file"
    make += " || truncate -s 10T /mnt/koji/work/long/file"
    assert execute(hub.container, "sh", "-c", make)[0] == 0

    def check(_: int) -> str:
        session = hub.session(timeout=20, max_retries=0)
        with pytest.raises(requests.exceptions.RequestException) as error:
            session.checkUpload("long", "file", verify="adler32")
        return str(error.value)

    with ThreadPoolExecutor() as threads:
        calls = threads.map(check, range(4))
        for _ in range(5):
            assert hub.login().getLoggedInUser()["name"] == "kojiadmin"
        ended = sorted(calls)
    assert sum("408" in why for why in ended) == 3, ended
    # Who only asks how long it is does not have it read.
    assert hub.session().checkUpload("long", "file")["size"] > 10**12


def test_a_user_cannot_fill_the_disk_for_others(hub_on_small_top: Hub) -> None:
    admin, data = hub_on_small_top.login(), bytes(10_000_000)
    sessions = {}
    for name in ("mallory", "alice"):
        admin.createUser(name)
        Authority.load(hub_on_small_top.credentials).issue(name, client=True)
        sessions[name] = hub_on_small_top.login(name)
    refused = "no room for more uploads of mallory: in a day a user uploads no more than remains"
    with pytest.raises(koji.GenericError, match=refused):
        for number in range(10):
            sessions["mallory"].rawUpload(data, 0, "mallory", str(number))
    assert number >= 3
    encoded = base64.b64encode(data[:2_000_000]).decode()
    with pytest.raises(koji.GenericError, match=refused):
        for number in range(5):
            sessions["mallory"].uploadFile("calls", str(number), 2_000_000, None, 0, encoded)
    sessions["alice"].rawUpload(data, 0, "alice", "file")
    admin.rawUpload(data, 0, "admin", "file")


def test_a_user_cannot_use_up_the_names_of_files(hub_on_small_top: Hub) -> None:
    admin = hub_on_small_top.login()
    admin.createUser("maker")
    Authority.load(hub_on_small_top.credentials).issue("maker", client=True)
    session = hub_on_small_top.login("maker")
    with pytest.raises(koji.GenericError, match="no room for more uploads of maker"):
        for number in range(10):
            session.rawUpload(b"x", 0, str(number) + "/x" * 200, "file")
    assert number >= 3
    admin.rawUpload(b"x", 0, "admin", "file")


def test_an_upload_says_how_long_it_is(hub: Hub) -> None:
    """No limit holds otherwise."""
    answer = requests.post(
        hub.url("/kojihub?filename=file&filepath=chunked"),
        data=iter([b"x" * 1000]),
        verify=str(hub.authority),
        timeout=30,
    )
    assert (answer.status_code, answer.request.headers["Transfer-Encoding"]) == (411, "chunked")


def test_the_fields_of_an_rpms_header_have_a_length(hub: Hub, tmp_path: Path) -> None:
    """A user's build can make such an RPM, and each million takes four seconds to be sent."""
    rpm = write_rpm(tmp_path, tags={1047: ["x"] * 100_000})
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(rpm, "tasks/77/77/x.rpm")
    assert hub.container.put_archive("/mnt/koji/work", packed.getvalue())
    session = hub.session()
    fields = session.getRPMHeaders(None, 77, "x.rpm", ["PROVIDENAME"])
    assert len(fields["PROVIDENAME"]) == 100_000
    with pytest.raises(koji.GenericError, match="these fields are too long for an answer"):
        session.getRPMHeaders(None, 77, "x.rpm", ["PROVIDENAME"] * 10)
    with pytest.raises(koji.GenericError, match="these fields are too long for an answer"):
        session.count("getRPMHeaders", None, 77, "x.rpm", ["PROVIDENAME"] * 10)


def test_an_answer_has_a_part_of_a_tasks_file(hub: Hub) -> None:
    folder = "/mnt/koji/work/tasks/0/1000000"
    make = f"mkdir -p {folder} && truncate -s 10G {folder}/root.log"
    assert execute(hub.container, "sh", "-c", make)[0] == 0
    session = hub.session()
    try:
        with pytest.raises(koji.GenericError, match=r"root\.log is longer than the 32 MiB"):
            session.downloadTaskOutput(1_000_000, "root.log")
        part = session.downloadTaskOutput(1_000_000, "root.log", offset=2**33, size=2**20)
        assert len(part) == 2**20
    finally:
        execute(hub.container, "rm", "-r", folder)
