"""A plugin for kojid: it removes buildroots in another process, so that its main loop goes on.

kojid removes them between two polls of the hub. One with a million names, or with very deep
folders, takes minutes. Meanwhile the hub hears nothing of the builder, and gives its tasks to
others. With this plugin kojid waits a second for a removal, and looks again at a later poll.

It replaces koji.daemon.safe_rmtree, and is always on, whatever KOJI_BUILDER_PLUGINS says.
"""

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

_SECONDS = 1.0  # to wait for a removal
# No child of kojid's, which would be a task; and not again while it runs.
_ASIDE = ("setsid", "--fork", "flock", "--nonblock")


def aside(safe_rmtree: Callable[..., int], umount_all: Callable[[str], None]) -> Callable[..., int]:
    """`safe_rmtree`, koji.tasks', that returns 1 if a folder is still being removed."""

    def remove(path: str, unmount: bool = False, strict: bool = True) -> int:
        if Path(path).is_symlink() or not Path(path).is_dir():
            return safe_rmtree(path, unmount, strict)
        if unmount:
            umount_all(path)
        command = [*_ASIDE, path, "rm", "-rf", "--one-file-system", "--", path]
        subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + _SECONDS
        while (left := Path(path).exists()) and time.monotonic() < deadline:
            time.sleep(0.01)
        return int(left)

    return remove


def install(daemon: ModuleType, tasks: ModuleType) -> None:
    """Change koji.daemon, if it removes buildroots by that function; log which it is."""
    logger = logging.getLogger("koji.remove_aside")
    if hasattr(daemon, "safe_rmtree"):
        daemon.safe_rmtree = aside(  # type: ignore[attr-defined]
            daemon.safe_rmtree, tasks.umount_all
        )
        logger.info("removing buildroots in another process")
    else:
        logger.warning("koji.daemon has no safe_rmtree here: nothing to do")


if hasattr(sys.modules["__main__"], "TaskManager"):
    install(sys.modules["koji.daemon"], sys.modules["koji.tasks"])
