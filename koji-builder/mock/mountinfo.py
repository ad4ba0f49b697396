"""Read /proc/self/mountinfo. Imports nothing of mock, since koji-builder/work.py uses it too."""

import os
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class MountPoint:
    """Where something is mounted, with which options ("ro", "nosuid", …), and its type."""

    path: str
    options: tuple[str, ...]
    fstype: str


def mount_points() -> list[MountPoint]:
    """The mount points that this process sees, in the order in which they were made."""
    return parse(os.fsdecode(Path("/proc/self/mountinfo").read_bytes()))


def parse(text: str) -> list[MountPoint]:
    """Read mountinfo as proc(5) describes it: the fifth field is the path, the sixth the options,
    and the type is the first after "-".

    A path is any bytes but NUL; the kernel writes blank, tab, newline and backslash as three octal
    digits. So only "\\n" ends a line and only " " a field, which is less than Python splits at.
    """
    rows = [line.split(" ") for line in text.split("\n") if line]
    return [MountPoint(_unescape(row[4]), tuple(row[5].split(",")), row[row.index("-") + 1])
            for row in rows]  # fmt: skip


def beneath(directory: str, mounts: list[MountPoint]) -> list[MountPoint]:
    """The mount points inside a directory, in the same order."""
    return [mount for mount in mounts if mount.path.startswith(f"{directory}/")]


def _unescape(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), field)
