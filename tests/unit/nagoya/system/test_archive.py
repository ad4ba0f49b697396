"""The archive of a backup: what goes in comes out, and damage does not pass."""

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from nagoya.errors import EngineError, LifecycleError
from nagoya.system.archive import FORMAT, Manifest, Reader, Writer
from nagoya.utils.tar import packed

MANIFEST = Manifest(
    system="koji",
    created="2026-01-02T03:04:05+00:00",
    nagoya="1",
    containers={"db": "db", "db-2": "db"},
    versions={"db": {"schema": "1.30"}},
    parts=["db", "files"],
    credentials=True,
)
LONG = "/".join(["a-long-name"] * 20)


def engines_archive(root: str) -> Iterator[bytes]:
    """A folder as the engine packs it, in small chunks."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in (("", None), ("one", b"1" * 5000), (LONG, b"2"), ("odd\nname\\", b"")):
            member = tarfile.TarInfo(f"{root}/{name}".rstrip("/"))
            member.mtime = 1234.5
            if content is None:
                # The engine's modes have the type of the file in them.
                member.type, member.mode = tarfile.DIRTYPE, 0o40755
            else:
                member.size, member.mode = len(content), 0o100640
            archive.addfile(member, io.BytesIO(content or b""))
        for name, kind, target in (
            ("link", tarfile.SYMTYPE, "one"),
            ("hard", tarfile.LNKTYPE, f"{root}/{LONG}"),
        ):
            member = tarfile.TarInfo(f"{root}/{name}")
            member.type, member.linkname = kind, target
            archive.addfile(member)
    content = buffer.getvalue()
    return (content[at : at + 700] for at in range(0, len(content), 700))


@pytest.fixture
def archive() -> bytes:
    stream = io.BytesIO()
    writer = Writer(stream, MANIFEST)
    for part in MANIFEST.parts:
        writer.add(part, engines_archive("folder"))
    writer.finish()
    return stream.getvalue()


def read(content: bytes) -> dict[str, bytes]:
    """The parts as they are sent to the engine."""
    reader = Reader(io.BytesIO(content), "file")
    return {part: b"".join(packed(members, "new")) for part, members in reader.parts()}


def test_what_goes_in_comes_out(archive: bytes) -> None:
    parts = read(archive)
    assert list(parts) == ["db", "files"]
    for content in parts.values():
        with tarfile.open(fileobj=io.BytesIO(content)) as unpacked:
            names = ["new", "new/one", f"new/{LONG}", "new/odd\nname\\", "new/link", "new/hard"]
            assert unpacked.getnames() == names
            member = unpacked.getmember("new/one")
            assert (member.mode, member.size, member.mtime) == (0o640, 5000, 1234.5)
            assert unpacked.getmember("new/link").linkname == "one"
            hard = unpacked.extractfile("new/hard")
            assert hard and hard.read() == b"2"


def test_the_root_can_be_left_out(archive: bytes) -> None:
    _, members = next(Reader(io.BytesIO(archive), "file").parts())
    with tarfile.open(fileobj=io.BytesIO(b"".join(packed(members, "")))) as unpacked:
        assert unpacked.getnames() == ["one", LONG, "odd\nname\\", "link", "hard"]


def test_the_manifest_comes_first(archive: bytes) -> None:
    assert Reader(io.BytesIO(archive), "file").manifest == MANIFEST


def test_plain_tools_read_and_check_it(archive: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(archive)
    subprocess.run(["tar", "xf", "file"], cwd=tmp_path, check=True)
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=tmp_path, check=True)
    assert json.loads((tmp_path / "manifest.json").read_bytes())["format"] == FORMAT
    (tmp_path / "files/one").write_bytes(b"other")
    checked = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=tmp_path, check=False)
    assert checked.returncode


def test_every_truncation_is_noticed(archive: bytes) -> None:
    end = len(archive.rstrip(b"\0"))
    for length in range(0, end, 512):
        with pytest.raises(LifecycleError, match=r"damaged|not a backup"):
            read(archive[:length])


def test_every_change_is_noticed(archive: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as unpacked:
        member = unpacked.getmember("db/one")
        sums = unpacked.getmember("SHA256SUMS")
    for position in (member.offset_data, member.offset_data + 4999, sums.offset_data + 3):
        changed = bytearray(archive)
        changed[position] ^= 1
        with pytest.raises(LifecycleError, match=r"damaged: .* differs from what was saved"):
            read(bytes(changed))


def test_changed_metadata_is_noticed(archive: bytes) -> None:
    buffer = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as source,
        tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as target,
    ):
        for member in source:
            if member.name == "files/one":
                member.mode = 0o4777
            target.addfile(member, source.extractfile(member) if member.isreg() else None)
    with pytest.raises(LifecycleError, match="a member differs from what was saved"):
        read(buffer.getvalue())


def with_manifest(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("manifest.json")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def manifest(**changed: object) -> bytes:
    return json.dumps({"format": FORMAT, **asdict(MANIFEST), **changed}).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a backup"),
        (b"some text\n" * 200, "not a backup"),
        (b"\x1f\x8b\x08" + bytes(2000), "not a backup"),
        (with_manifest(b"[1]"), "not a backup"),
        (with_manifest(b"no json"), "not a backup"),
        (with_manifest(json.dumps({"format": 1}).encode()), "manifest.json is not valid"),
        (with_manifest(manifest(containers="x")), "manifest.json is not valid: containers"),
        (
            with_manifest(manifest(versions={"db": {"postgresql": "abc"}})),
            r"manifest.json is not valid: versions.db.postgresql",
        ),
        (
            with_manifest(json.dumps({**asdict(MANIFEST), "format": FORMAT + 1}).encode()),
            "was written by a newer Nagoya",
        ),
    ],
)
def test_other_files_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(LifecycleError, match=message):
        Reader(io.BytesIO(content), "file")


@pytest.mark.parametrize("name", ["files/../../evil", "/evil"])
def test_a_member_that_leads_elsewhere_is_refused(name: str) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        first = tarfile.TarInfo("manifest.json")
        first.size = len(manifest())
        archive.addfile(first, io.BytesIO(manifest()))
        archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(LifecycleError, match="would be written outside of its folder"):
        read(buffer.getvalue())


@pytest.mark.parametrize("length", [0, 700, 512, 11 * 512, -1536, -512])
def test_a_part_that_the_engine_cut_off_is_noticed(length: int) -> None:
    """Also where a member ends, as at 512, which tarfile does not mind."""
    content = b"".join(engines_archive("folder")).rstrip(b"\0")
    content += bytes(-len(content) % 512)
    whole = content + bytes(1024)
    writer = Writer(io.BytesIO(), MANIFEST)
    with pytest.raises(EngineError, match="cut off"):
        writer.add("db", iter([whole[: length if length >= 0 else len(content) + length + 512]]))


def test_a_part_is_read_to_its_end() -> None:
    """The engine tells only there that it failed."""

    def chunks() -> Iterator[bytes]:
        yield b"".join(engines_archive("folder"))
        yield bytes(3 << 20)
        raise EngineError("exit status 2")

    with pytest.raises(EngineError, match="exit status 2"):
        Writer(io.BytesIO(), MANIFEST).add("db", chunks())


def extended(kind: bytes, content: bytes, size: int | None = None) -> bytes:
    """An extended header, which may claim to be larger than it is."""
    member = tarfile.TarInfo("extended")
    member.type, member.size = kind, len(content) if size is None else size
    return member.tobuf() + content + bytes(-len(content) % 512)


def hostile(*headers: bytes, name: str = "db/x", kind: bytes = tarfile.REGTYPE) -> bytes:
    content = json.dumps({"format": FORMAT, **asdict(MANIFEST)}).encode()
    first, member = tarfile.TarInfo("manifest.json"), tarfile.TarInfo(name)
    first.size, member.type = len(content), kind
    start = first.tobuf() + content + bytes(-len(content) % 512)
    return start + b"".join(headers) + member.tobuf() + bytes(1024)


HOSTILE = {
    "a name of gigabytes": hostile(extended(tarfile.GNUTYPE_LONGNAME, b"", 3 << 30)),
    "headers of gigabytes": hostile(extended(tarfile.XHDTYPE, b"", 3 << 30)),
    "a chain of headers": hostile(extended(tarfile.GNUTYPE_LONGNAME, b"a\0") * 5000),
    "headers for all that follows": hostile(extended(tarfile.XGLTYPE, b"6 a=b\n")),
    "a time without end": hostile(extended(tarfile.XHDTYPE, b"13 mtime=inf\n")),
    "a number of no type": hostile(extended(tarfile.XHDTYPE, b"99999999999999999999 path=x\n")),
    "a sparse file": hostile(extended(tarfile.XHDTYPE, b"22 GNU.sparse.map=a,b\n")),
    "an old sparse file": hostile(kind=tarfile.GNUTYPE_SPARSE),
    "a folder for the sums": hostile(name="SHA256SUMS/", kind=tarfile.DIRTYPE),
    "a link for the sums": hostile(name="SHA256SUMS", kind=tarfile.SYMTYPE),
}


@pytest.mark.parametrize("archive", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_refused(archive: bytes) -> None:
    with pytest.raises(LifecycleError, match="damaged: "):
        read(archive)


@pytest.mark.parametrize(
    "manifest",
    [
        b'{"format": ' + b"[" * 100_000,
        json.dumps(
            {"format": 1, **asdict(MANIFEST), "versions": {"db": {"a": "9" * 5000}}}
        ).encode(),
        json.dumps({"format": 1, **asdict(MANIFEST), "containers": {"../db": "db"}}).encode(),
        json.dumps(
            {
                "format": 1,
                **asdict(MANIFEST),
                "containers": dict.fromkeys(map(str, range(6000)), "db"),
            }
        ).encode(),
    ],
    ids=["deep", "long number", "odd name", "many"],
)
def test_a_hostile_manifest_is_refused(manifest: bytes) -> None:
    first = tarfile.TarInfo("manifest.json")
    first.size = len(manifest)
    with pytest.raises(LifecycleError):
        read(first.tobuf() + manifest + bytes(-len(manifest) % 512 + 1024))
