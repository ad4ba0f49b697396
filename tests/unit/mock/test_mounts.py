"""The plan of a chroot's mounts, and opening paths in it without following links."""

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Driver = Callable[[str], ModuleType]

MOUNTINFO = """\
74 50 0:39 / / rw,relatime master:2 - overlay overlay rw
75 74 0:42 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
54 75 0:42 /sys /proc/sys ro,nosuid,nodev,noexec,relatime - proc proc rw
91 74 254:0 /x /var/lib/mock/a/root rw,relatime - ext4 /dev/vda rw
92 91 0:43 / /var/lib/mock/a/root/dev rw,nosuid - tmpfs tmpfs rw
98 91 0:22 / /var/lib/mock/a/root/sys ro - sysfs sysfs rw
99 98 0:44 / /var/lib/mock/a/root/sys/fs/cgroup rw - tmpfs tmpfs rw
93 74 254:0 /y /mnt/with\\040space rw,nodev - ext4 /dev/vda rw
94 74 0:9 / /tmp rw - tmpfs tmpfs rw
95 94 0:9 / /tmp/under rw - tmpfs tmpfs rw
96 74 254:0 /v /etc/pki/koji rw - ext4 /dev/vda rw
97 96 0:9 / /etc/pki/koji/under rw - ext4 /dev/vda rw
"""


@pytest.fixture
def settings(driver: Driver) -> Callable[..., Any]:
    def make(**changes: object) -> Any:
        module = driver("settings")
        options = module.defaults() | {"root": "a", "yum.conf": "x"} | changes
        return module.settings(options)

    return make


def test_a_remount_repeats_the_restrictions(driver: Driver) -> None:
    kernel = driver("kernel")
    proc = driver("mountinfo").parse(MOUNTINFO)[1]
    restrictions = kernel.NO_SUID | kernel.NO_DEV | kernel.NO_EXEC
    assert driver("mounts").restrictions(proc) == restrictions


def test_closes_all_but_the_chroot(driver: Driver) -> None:
    """And in it the control groups and devices, which builds share, and what dnf reads."""
    lines = "".join(
        f"50 40 0:5 /{name} /var/lib/mock/a/root/dev/{name} rw - devtmpfs udev rw\n"
        for name in ("null", "shm", "fuse")
    )
    lines += "51 40 0:6 / /var/lib/mock/a/root/var/lib/mock/.dnf rw - tmpfs tmpfs rw\n"
    mounts = driver("mountinfo").parse(MOUNTINFO + lines)
    closed = driver("mounts").read_only_mounts(
        [Path("/var/lib/mock/a/root")], driver("mounts").hidden(()), mounts, ("null", "fuse")
    )
    assert [mount.path for mount in closed] == [
        "/", "/proc", "/proc/sys", "/var/lib/mock/a/root/sys",
        "/var/lib/mock/a/root/sys/fs/cgroup", "/mnt/with space", "/etc/pki/koji",
        "/var/lib/mock/a/root/dev/null", "/var/lib/mock/a/root/dev/fuse",
        "/var/lib/mock/a/root/var/lib/mock/.dnf",
    ]  # fmt: skip


def test_a_bootstrap_chroot_has_the_buildroot_at_its_own_path(
    driver: Driver, settings: Callable[..., Any]
) -> None:
    conf = "[x]\nbaseurl=file:///mnt/one, file:///mnt/two\n        https://koji/three\n"
    root, scratch = Path("/var/lib/mock/a/root"), Path("/var/lib/mock/a/scratch")
    options = settings(**{"yum.conf": conf, "internal_dev_setup": False})
    plan = driver("mounts").bootstrap_plan(options, root, scratch)
    assert [mount.target for mount in plan][:3] == ["proc", "sys", "dev"]
    shared = {mount.source: mount.target for mount in plan[-6:]}
    files = "/var/lib/mock/.dnf"
    assert list(shared) == ["/tmp", str(scratch), files, "/mnt/one", "/mnt/two", str(root)]
    assert all(f"/{target}" == source for source, target in shared.items())


def test_plans_the_mounts_of_a_chroot(driver: Driver, settings: Callable[..., Any]) -> None:
    plan = driver("mounts").chroot_plan(settings())
    assert [mount.target for mount in plan][:3] == ["proc", "sys", "dev"]
    assert {mount.target for mount in plan if mount.source.startswith("/dev/")} == {
        "dev/full", "dev/null", "dev/random", "dev/tty", "dev/urandom", "dev/zero",
    }  # fmt: skip
    assert all(not mount.target.startswith("/") for mount in plan)


def test_leaves_dev_to_whoever_binds_one(driver: Driver, settings: Callable[..., Any]) -> None:
    binds = {"bind_mount_opts": {"dirs": [["/dev", "/dev"], ["/scm", "/credentials/"]]}}
    plan = driver("mounts").chroot_plan(settings(internal_dev_setup=False, plugin_conf=binds))
    assert [(mount.source, mount.target) for mount in plan] == [
        ("/proc", "proc"), ("/sys", "sys"), ("/dev", "dev"), ("/scm", "credentials"),
    ]  # fmt: skip


def test_reaches_places_and_makes_them(driver: Driver, tmp_path: Path) -> None:
    descend = driver("mounts").descend
    root = os.open(tmp_path, os.O_DIRECTORY)
    os.close(descend(root, "a/b", make=True))
    os.close(descend(root, "/a/b/file", file=True, make=True))
    assert (tmp_path / "a/b/file").is_file()
    with pytest.raises(FileNotFoundError):
        descend(root, "a/c")
    os.close(root)


@pytest.mark.parametrize("path", ["link", "link/deeper", "a/link/x", "../x", "a/../../x"])
@pytest.mark.parametrize("file", [False, True])
def test_follows_no_link_and_never_goes_up(
    driver: Driver, tmp_path: Path, path: str, file: bool
) -> None:
    (tmp_path / "root/a").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    for place in ("root/link", "root/a/link"):
        (tmp_path / place).symlink_to(tmp_path / "outside")
    root = os.open(tmp_path / "root", os.O_DIRECTORY)
    with pytest.raises(OSError, match=r"link|Not a directory|\.\. could lead out"):
        driver("mounts").descend(root, path, file=file, make=True)
    os.close(root)
    assert list((tmp_path / "outside").iterdir()) == []


def test_what_is_to_be_bound_has_to_be_there(driver: Driver, tmp_path: Path) -> None:
    mounts = driver("mounts")
    with pytest.raises(
        driver("errors").MockError, match="cannot bind /nowhere to /x: it does not exist"
    ):
        mounts.make([mounts.Mount("x", "/nowhere")], -1)


def test_what_is_mounted_in_the_top_directory_is_read_only_where_dnf_reads_it(
    driver: Driver,
) -> None:
    lines = [f"5{n} 40 254:0 /k /mnt/koji{path} rw - ext4 /dev/vda rw" for n, path in
             enumerate(("", "/packages", "/work/tasks"))]  # fmt: skip
    mounts = driver("mountinfo").parse("\n".join(lines))
    for repositories, expected in [
        (["/mnt/koji/repos/t"], ["/mnt/koji", "/mnt/koji/packages"]),
        (["/srv/t"], ["/mnt/koji"]),
    ]:
        covered = driver("mounts").hidden(repositories)
        closed = driver("mounts").read_only_mounts([], covered, mounts)
        assert [mount.path for mount in closed] == expected
