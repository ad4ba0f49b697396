"""Koji's top directory: whether the hub's user can write to it."""

import pwd
import subprocess
from pathlib import Path

TOP = Path("/mnt/koji")
# Where Koji and kojira write. The hub makes what is missing.
WRITTEN = ("packages", "repos", "scratch", "work")


def denial(top: Path, user: str) -> str | None:
    """Which of its folders `user` cannot write to; None if there are none."""
    denied = [str(top / name) for name in WRITTEN if _is_denied(top / name, user)]
    if not denied:
        return None
    return (
        f"the hub's user, {user}, cannot write to {', '.join(denied)}; "
        f"as root, `chown --recursive {user}: FOLDER` changes that"
    )


def _is_denied(folder: Path, user: str) -> bool:
    """Ask the kernel as that user: a network's file system has rules of its own."""
    if not folder.exists():
        return False
    account = pwd.getpwnam(user)
    test = ["test", "-w", str(folder)]
    ended = subprocess.run(test, user=account.pw_uid, group=account.pw_gid, check=False)
    return ended.returncode != 0
