"""RPMs of every age are read, and whatever is wrong with one is found."""

import tracemalloc
from pathlib import Path

import pytest

from nagoya.errors import LifecycleError
from nagoya.koji import rpm
from nagoya.koji.rpm import version_key
from tests.rpm_files import LEAD, OF_EL6, OF_RPM_6, OF_TODAY, write_rpm

AGES = [OF_EL6, OF_TODAY, OF_RPM_6, ("md5",), ("sha256", "payload")]


def problem(path: Path) -> str:
    with pytest.raises(LifecycleError) as caught:
        rpm.read(path)
    assert caught.value.message.startswith(path.name)
    return caught.value.message.removeprefix(path.name).strip()


@pytest.mark.parametrize("digests", AGES, ids=str)
def test_an_rpm_of_any_age_is_read(tmp_path: Path, digests: tuple[str, ...]) -> None:
    path = write_rpm(
        tmp_path, "hello-libs", epoch=2, arch="x86_64", source="hello-1-1.src.rpm", digests=digests
    )
    header = rpm.read(path)
    assert (header.file_name, header.build_nvr) == (path.name, "hello-1-1")
    assert (header.epoch, header.build_time, header.signed) == (2, 1_000_000_000, False)
    assert header.has_md5 == ("md5" in digests)


@pytest.mark.parametrize("digests", AGES, ids=str)
@pytest.mark.parametrize("place", ["header", "payload"])
def test_damage_is_found_by_whatever_digest_there_is(
    tmp_path: Path, digests: tuple[str, ...], place: str
) -> None:
    path = write_rpm(tmp_path, digests=digests)
    content = bytearray(path.read_bytes())
    content[content.index(b"A test.") if place == "header" else -1] ^= 1
    path.write_bytes(content)
    # MD5 alone covers both, and does not tell which of them is damaged.
    part = "payload" if digests == ("md5",) else place
    assert problem(path) == f"is damaged: its {part} does not match the digest it carries"


@pytest.mark.parametrize("digests", AGES, ids=str)
def test_a_file_that_is_cut_off_anywhere_is_found(tmp_path: Path, digests: tuple[str, ...]) -> None:
    path = write_rpm(tmp_path, digests=digests)
    content = path.read_bytes()
    for length in range(len(LEAD), len(content), 7):
        path.write_bytes(content[:length])
        assert "cut off" in (answer := problem(path)) or "payload does not match" in answer
    path.write_bytes(content[:96])
    assert problem(path) == "is cut off in its headers"
    path.write_bytes(b"")
    assert problem(path) == "is empty"


def test_an_rpm_without_any_digest_of_its_payload(tmp_path: Path) -> None:
    assert "no payload digest" in problem(write_rpm(tmp_path, digests=("sha1", "sha256")))


@pytest.mark.parametrize(
    "content",
    [
        b"<html>404</html>",
        LEAD + b"x" * 200,
        LEAD + b"\0" * 90 + b"\x8e\xad\xe8\x01" + b"\xff" * 12,
    ],
)
def test_what_is_no_rpm(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "hello-1-1.noarch.rpm"
    path.write_bytes(content)
    assert problem(path).startswith("is not an RPM")


def test_source_rpms_have_no_other_source(tmp_path: Path) -> None:
    source = rpm.read(write_rpm(tmp_path, arch="src"))
    assert (source.arch, source.build_nvr, source.source_rpm) == ("src", "hello-1-1", "")
    assert rpm.read(write_rpm(tmp_path, arch="nosrc")).arch == "nosrc"


def test_the_name_of_the_file_does_not_matter(tmp_path: Path) -> None:
    header = rpm.read(write_rpm(tmp_path, file_name="old.rpm"))
    assert header.file_name == "hello-1-1.noarch.rpm"


def test_an_rpm_without_a_source_rpm(tmp_path: Path) -> None:
    assert problem(write_rpm(tmp_path, tags={1044: ""})).startswith("names no source RPM")


def test_a_signature_changes_neither_identity_nor_name(tmp_path: Path) -> None:
    assert rpm.read(write_rpm(tmp_path)).identity == rpm.read(write_rpm(tmp_path)).identity
    other = rpm.read(write_rpm(tmp_path, payload=b"x"))
    assert other.identity != rpm.read(write_rpm(tmp_path)).identity
    newest = rpm.read(write_rpm(tmp_path, digests=OF_RPM_6))
    assert newest.identity.startswith("sha3-256::")


@pytest.mark.parametrize(
    ("tags", "field"),
    [
        ({1005: [b"a\x1bb"]}, "description"),
        ({1117: [b"a\x01"], 1118: [b"/"]}, "files"),
        ({1049: [b"\x7f", b"x\x02"]}, "requires"),
        ({1082: [b"fine"] * 9 + [b"\x08"]}, "changelog"),
        # createrepo_c reads the ten newest changes, latin1, tabs and new lines.
        ({1082: [b"fine"] * 10 + [b"\x08"]}, ""),
        ({1005: [b"caf\xe9\t\r\n"]}, ""),
    ],
)
def test_control_characters_that_createrepo_c_refuses(
    tmp_path: Path, tags: dict[int, list[bytes]], field: str
) -> None:
    assert rpm.read(write_rpm(tmp_path, tags=dict(tags))).control_characters == field


def test_memory_does_not_depend_on_the_size(tmp_path: Path) -> None:
    path = write_rpm(tmp_path, digests=OF_EL6)
    with path.open("r+b") as file:
        file.truncate(64 << 20)  # a hole, which takes no disk
    tracemalloc.start()
    try:
        assert "payload" in problem(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "ascending",
    [
        ["1", "1.0", "1.0.1", "1.2", "1.10", "2"],
        ["1.0~rc1", "1.0~rc2", "1.0", "1.0^git1", "1.0.1"],
        ["1.a", "1.b", "1.0", "1.0a", "1.0.0"],
        ["3.el8", "3.el9", "3.el10", "12.el8"],
    ],
)
def test_versions_sort_as_rpm_compares_them(ascending: list[str]) -> None:
    assert sorted(reversed(ascending), key=version_key) == ascending


def test_separators_do_not_count() -> None:
    assert version_key("1.0_1") == version_key("1-0.01")
    assert version_key("1" * 9999) < version_key("2" * 9999)
