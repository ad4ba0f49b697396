"""What a call of mock leaves in a chroot for kojid, which reads and uploads it as root.

mock mounts buildroots so that no link in them leads elsewhere for anybody but its own worker.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from chroot_files import DATABASES, TMPDIR, is_mostly_holes

# Where kojid has a source RPM made of another one, by calls of `rpm` and `rpmbuild` as root.
SOURCE_RPMS = Path(TMPDIR, "srpm_unpacked/SRPMS")


def hand_over(root: Path) -> str | None:
    """Make a chroot fit for kojid, and return a sentence on what was removed, if anything was."""
    # kojid keeps a buildroot until this is some hours old, and root in the chroot may set it.
    os.utime(root)
    databases = [path for folder in DATABASES for path in _files(root, folder)]
    # Packages put links into these folders.
    removed = [path for path in databases if not path.is_symlink() and not path.is_file()]
    removed += [
        path
        for path in _files(root, SOURCE_RPMS)
        if not path.name.isprintable() or not _is_whole_file(path)
    ]
    for path in removed:
        path.unlink()
    if not removed:
        return None
    first = str(removed[0].relative_to(root))
    return f"removed what kojid cannot read: {len(removed)} files, such as {first!r}"


def _files(root: Path, folder: Path) -> Iterator[Path]:
    """What is in a folder but folders; nothing where there is no folder, or a link to one."""
    with suppress(OSError), os.scandir(root / folder.relative_to("/")) as entries:
        yield from (Path(entry) for entry in entries if not entry.is_dir(follow_symlinks=False))


def _is_whole_file(path: Path) -> bool:
    """Whether it is a regular file that is not mostly holes."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return not is_mostly_holes(file.fileno())
