"""Makes Koji's directories in the volume /mnt/koji, for the user that the hub runs as.

Only the first start does so. In a top directory that comes from elsewhere the missing directories
are added, and the existing ones are left unchanged.

It has no environment variables.
"""

import os
import pwd
import sys
from collections.abc import Sequence
from pathlib import Path

from util import entry, files
from util.environment import Environment

TOP = Path("mnt/koji")
# Those of the server how-to in Koji's documentation, and `vol`, where further volumes go.
DIRECTORIES = ("packages", "repos", "work", "scratch", "repos-dist", "vol")
# The user of Debian's Apache. Its number, 33, is the same in every image made of Debian.
OWNER = "www-data"


def make_directories(root: Path, uid: int, gid: int) -> None:
    """Make what is missing below `root`, owned by `uid` and `gid`, and set the marker last."""
    top = root / TOP
    top.mkdir(parents=True, exist_ok=True)
    for name in DIRECTORIES:
        directory = top / name
        if not directory.is_dir():
            # Renamed last, so that a directory with this name has its owner too, even if a start is
            # killed.
            new = top / f".{name}.new"
            new.mkdir(mode=0o755, exist_ok=True)
            os.chown(new, uid, gid)
            new.rename(directory)
    # The hub and its plugins make further directories beside these.
    os.chown(top, uid, gid)
    files.mark_done(top)


def prepare(root: Path, uid: int, gid: int) -> None:
    """Make the directories, unless an earlier start has."""
    top = root / TOP
    if (top / files.MARKER).exists():
        entry.log(f"{top} is complete already")
    else:
        make_directories(root, uid, gid)
        entry.log(f"made Koji's directories in {top}")


def main(argv: Sequence[str] | None = None) -> int:
    """Make the directories, or run the command in the arguments."""
    argv = sys.argv[1:] if argv is None else argv
    if entry.passes_through(argv):
        entry.exec_command(argv)
    Environment(os.environ).check()
    owner = pwd.getpwnam(OWNER)
    prepare(Path("/"), owner.pw_uid, owner.pw_gid)
    return 0


if __name__ == "__main__":
    sys.exit(entry.run("koji-top-volume", main))
