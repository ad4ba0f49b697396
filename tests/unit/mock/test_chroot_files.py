"""Copying into a chroot and out of it, on a temporary root and as the user who runs the tests."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

Driver = Callable[[str], ModuleType]


@pytest.fixture
def result(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "result").mkdir()
    descriptor = os.open(tmp_path / "result", os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def test_the_user_is_named_once(driver: Driver, tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("root:x:0:0::/root:/bin/sh\nmockbuild:x:5:5::/:/bin/sh\n")
    account = driver("settings").Account(1000, 135)
    for _ in range(2):
        driver("chroot_files").add_user(tmp_path, account, "/builddir")
    assert (tmp_path / "passwd").read_text().splitlines() == [
        "root:x:0:0::/root:/bin/sh", "mockbuild:x:1000:135::/builddir:/bin/bash",
    ]  # fmt: skip
    assert (tmp_path / "group").read_text() == "mock:x:135:\n"


NEW = "usr/lib/sysimage/rpm"


@pytest.mark.parametrize(
    ("place", "linked"),
    [
        ("/var/lib/rpm", set()),
        (f"/{NEW}", {NEW}),
        ("/usr/share/rpm", {"usr/share/rpm"}),
        ("/builddir/.rpmdb", {"builddir/.rpmdb"}),
    ],
)
def test_every_rpm_is_led_to_the_one_database(
    driver: Driver, tmp_path: Path, place: str, linked: set[str]
) -> None:
    database = tmp_path / "var/lib/rpm"
    database.mkdir(parents=True)
    (database / "rpmdb.sqlite").write_text("packages")
    for _ in range(2):
        driver("chroot_files").link_database(tmp_path, Path(place))
        assert {
            str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_symlink()
        } == linked
        assert all((tmp_path / name / "rpmdb.sqlite").read_text() == "packages" for name in linked)


def test_what_packages_have_put_in_its_new_place(driver: Driver, tmp_path: Path) -> None:
    """An empty folder, files and links of Fedora's, a link somewhere else."""
    database = tmp_path / "var/lib/rpm"
    database.mkdir(parents=True)
    (database / "rpmdb.sqlite").write_text("packages")
    new = tmp_path / NEW
    new.mkdir(parents=True)
    for place in ("/var/lib/rpm", f"/{NEW}"):
        driver("chroot_files").link_database(tmp_path, Path(place))
        assert (new / "rpmdb.sqlite").read_text() == "packages"
        new.unlink()
        new.mkdir()
        (new / "rpmdb.sqlite").symlink_to("../../../../var/lib/rpm/rpmdb.sqlite")
        (new / ".migratedb").touch()
    driver("chroot_files").link_database(tmp_path, Path(f"/{NEW}"))
    assert new.readlink() == Path("../../../var/lib/rpm")
    (tmp_path / "elsewhere").mkdir()
    new.unlink()
    new.symlink_to(tmp_path / "elsewhere")
    driver("chroot_files").link_database(tmp_path, Path(f"/{NEW}"))
    assert new.readlink() == Path("../../../var/lib/rpm")


def test_a_database_that_a_package_has_moved_stays(driver: Driver, tmp_path: Path) -> None:
    new = tmp_path / NEW
    new.mkdir(parents=True)
    (new / "rpmdb.sqlite").write_text("packages")
    (tmp_path / "var/lib").mkdir(parents=True)
    (tmp_path / "var/lib/rpm").symlink_to(f"../../{NEW}")
    driver("chroot_files").link_database(tmp_path, Path(f"/{NEW}"))
    assert (new / "rpmdb.sqlite").read_text() == "packages"
    assert not new.is_symlink()


def test_a_folder_with_more_than_a_database_is_not_removed(driver: Driver, tmp_path: Path) -> None:
    (tmp_path / "var/lib/rpm").mkdir(parents=True)
    (tmp_path / "usr/bin").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        driver("chroot_files").link_database(tmp_path, Path("/usr"))
    assert (tmp_path / "usr/bin").is_dir()


def test_takes_plain_files_out(driver: Driver, tmp_path: Path, result: int) -> None:
    path = tmp_path / "a.rpm"
    path.write_text("new")
    (tmp_path / "victim").write_text("kept")
    (tmp_path / "result/a.rpm").symlink_to(tmp_path / "victim")
    driver("chroot_files").copy_out([path], result)
    assert (tmp_path / "result/a.rpm").read_text() == "new"
    assert not (tmp_path / "result/a.rpm").is_symlink()
    assert (tmp_path / "victim").read_text() == "kept"


@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_takes_nothing_else(driver: Driver, tmp_path: Path, result: int, kind: str) -> None:
    path = tmp_path / "a.rpm"
    if kind == "link":
        path.symlink_to("/etc/hostname")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(OSError, match=r"symbolic links|is not a regular file"):
        driver("chroot_files").copy_out([path], result)
    assert list((tmp_path / "result").iterdir()) == []


def test_takes_no_holes(driver: Driver, tmp_path: Path, result: int) -> None:
    """A copy of them could fill the disk."""
    path = tmp_path / "a.rpm"
    path.write_bytes(b"data")
    os.truncate(path, 1 << 30)
    with pytest.raises(OSError, match="is mostly holes, 1,073,741,824 bytes long"):
        driver("chroot_files").copy_out([path], result)
    assert list((tmp_path / "result").iterdir()) == []


def test_takes_no_name_that_xml_cannot_contain(driver: Driver, tmp_path: Path, result: int) -> None:
    path = tmp_path / "a\x01.rpm"
    path.write_text("data")
    with pytest.raises(OSError, match=r"'a\\x01\.rpm': the name has characters"):
        driver("chroot_files").copy_out([path], result)
    assert list((tmp_path / "result").iterdir()) == []


def test_copies_a_tree_with_its_links_as_links(driver: Driver, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "deep/er").mkdir(parents=True)
    target.mkdir()
    (source / "deep/er/script").write_text("#!/bin/sh")
    (source / "deep/er/script").chmod(0o755)
    (source / "secret").symlink_to("/etc/shadow")
    (source / "elsewhere").symlink_to("/etc")
    os.mkfifo(source / "pipe")
    descriptor = os.open(source, os.O_DIRECTORY)
    driver("chroot_files").copy_tree_in(descriptor, target)
    os.close(descriptor)
    assert (target / "deep/er/script").stat().st_mode & 0o777 == 0o755
    assert (target / "secret").readlink() == Path("/etc/shadow")
    assert (target / "elsewhere").readlink() == Path("/etc")
    assert sorted(path.name for path in target.iterdir()) == ["deep", "elsewhere", "secret"]


def test_the_logs_are_appended_to_and_never_through_a_link(
    driver: Driver, tmp_path: Path, result: int, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        logs = driver("logs").Logs(result)
        with logs.step("something"):
            logs.note("noted")
        logs.error("failed")
    assert (tmp_path / "result/root.log").read_text() == "mock: noted\nERROR: failed\n" * 2
    assert (tmp_path / "result/build.log").read_text() == "ERROR: failed\n" * 2
    assert capfd.readouterr().out == "Start: something\nFinish: something\n" * 2
    (tmp_path / "result/state.log").unlink()
    (tmp_path / "result/state.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        driver("logs").Logs(result)
