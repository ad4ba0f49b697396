"""The parser of /proc/self/mountinfo."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Driver = Callable[[str], ModuleType]

LINE = "93 74 254:0 /y {} rw,nodev shared:5 - ext4 /dev/vda rw\n"


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("/mnt/with\\040blank\\011tab\\012newline", "/mnt/with blank\ttab\nnewline"),
        ("/mnt/\\134040", "/mnt/\\040"),
        ("/mnt/Übung\\040日本", "/mnt/Übung 日本"),
        # Python splits lines at all of these.
        ("/mnt/a\rb\vc\fd\x1ce\x85f\u2028g", "/mnt/a\rb\vc\fd\x1ce\x85f\u2028g"),
        ("/mnt/\\x41\\n", "/mnt/\\x41\\n"),
    ],
)
def test_reads_paths_of_any_kind(driver: Driver, written: str, path: str) -> None:
    first, second = driver("mountinfo").parse(LINE.format(written) * 2)
    assert first == second
    assert (first.path, first.options) == (path, ("rw", "nodev"))


def test_reads_its_own_mount_points_in_any_locale(checkout: Path) -> None:
    """Neither the paths nor the locale have to be UTF-8."""
    script = "import mountinfo; print(mountinfo.mount_points()[0])"
    folder = checkout / "koji-builder/mock"
    for locale in ("C", "C.UTF-8"):
        subprocess.run(
            [sys.executable, "-c", script], cwd=folder, check=True, capture_output=True,
            env={**os.environ, "LC_ALL": locale},
        )  # fmt: skip


def test_finds_what_is_beneath_a_directory(driver: Driver) -> None:
    mountinfo = driver("mountinfo")
    mounts = mountinfo.parse("".join(LINE.format(path) for path in ("/a", "/a/b", "/ab", "/a/b/c")))
    assert [mount.path for mount in mountinfo.beneath("/a", mounts)] == ["/a/b", "/a/b/c"]
