"""Tasks in a builder: whether some run, and what they leave: buildroots, their configurations, and
kojid's working files."""

import subprocess
from collections.abc import Collection
from pathlib import Path

from mock.mountinfo import beneath, mount_points
from mock.removal import remove

from util.processes import Process

# kojid's and mock's folders, which themselves stay.
FOLDERS = ("etc/mock/koji", "var/cache/mock", "var/lib/mock", "var/tmp/koji")


def runs_tasks(running: Collection[Process]) -> bool:
    """Whether kojid, which forks for each task, has a child among these processes."""
    kojid = {process.pid for process in running if "/usr/sbin/kojid" in process.command}
    return any(process.parent in kojid for process in running)


def clear(root: Path) -> None:
    """Unmount everything beneath the folders, and empty them."""
    mounts = mount_points()
    for folder in (root / name for name in FOLDERS):
        for mount in reversed(beneath(str(folder), mounts)):
            subprocess.run(["umount", "--lazy", mount.path], check=True)
        for path in folder.iterdir() if folder.is_dir() else ():
            remove(path)
