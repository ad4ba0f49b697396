"""A plugin for kojid: it removes buildroots in another process, so that its main loop goes on.

kojid removes them between two polls of the hub. One with a million names, or with very deep
folders, takes minutes. Meanwhile the hub hears nothing of the builder, and gives its tasks to
others. With this plugin kojid waits a second for removals, and looks again at a later poll. What is
in `root` kojid removes name by name; here one process removes all of it.

It replaces koji.daemon.safe_rmtree, and is always on, whatever KOJI_BUILDER_PLUGINS says.
"""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import ModuleType

# To wait for a removal, and until the next that may be waited for, or started in the same folder.
_SECONDS, _PAUSE = 1.0, 10.0
# No child of kojid's, which would be a task; and not again while it runs.
_ASIDE = ("setsid", "--fork", "flock", "--nonblock")


class Remover:
    """Stands in for koji.tasks.safe_rmtree; it returns 1 for what may not be gone yet."""

    def __init__(self, safe_rmtree: Callable[..., int], umount_all: Callable[[str], None]) -> None:
        self._safe_rmtree, self._umount_all = safe_rmtree, umount_all
        self._folder, self._next_start, self._next_wait = "", 0.0, 0.0

    def __call__(self, path: str, unmount: bool = False, strict: bool = True) -> int:
        # There may be a million names in a chroot, so this does not look at each.
        if self._folder and path.startswith(self._folder) and time.monotonic() < self._next_start:
            return 1
        folder = Path(path)
        if folder.parent.name == "root":
            folder = folder.parent
            command = ["find", str(folder), "-xdev", "-mindepth", "1", "-delete"]
            left: Callable[[], bool] = partial(_has_entries, folder)
        elif folder.is_dir() and not folder.is_symlink():
            command = ["rm", "-rf", "--one-file-system", "--", path]
            left = folder.exists
        else:
            return self._safe_rmtree(path, unmount, strict)
        if unmount:
            self._umount_all(str(folder))
        subprocess.run(
            [*_ASIDE, str(folder), *command], check=False, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._wait(left)
        self._folder, self._next_start = f"{folder}/", time.monotonic() + _PAUSE
        return int(os.path.lexists(path))

    def _wait(self, left: Callable[[], bool]) -> None:
        """Wait for a removal, unless another one was waited for in vain a moment ago."""
        if time.monotonic() < self._next_wait:
            return
        deadline = time.monotonic() + _SECONDS
        while left():
            if time.monotonic() > deadline:
                self._next_wait = time.monotonic() + _PAUSE
                return
            time.sleep(0.01)


def _has_entries(folder: Path) -> bool:
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        return next(entries, None) is not None
    return False


def install(daemon: ModuleType, tasks: ModuleType) -> None:
    """Change koji.daemon, if it removes buildroots by that function; log which it is."""
    logger = logging.getLogger("koji.remove_aside")
    if hasattr(daemon, "safe_rmtree"):
        remover = Remover(daemon.safe_rmtree, tasks.umount_all)
        daemon.safe_rmtree = remover  # type: ignore[attr-defined]
        logger.info("removing buildroots in another process")
    else:
        logger.warning("koji.daemon has no safe_rmtree here: nothing to do")


if hasattr(sys.modules["__main__"], "TaskManager"):
    install(sys.modules["koji.daemon"], sys.modules["koji.tasks"])
