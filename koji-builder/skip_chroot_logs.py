"""A plugin for kojid: during a build it uploads mock's logs, and no log from inside the chroot.

From Koji 1.35 on, kojid reads `var/log/dnf*.log` in the chroot, as root, while packages are
installed there. Anything can have such a name: a pipe, for which kojid would wait for ever, or a
file with a hole of many terabytes. What dnf does is in root.log too. The plugin is always on,
whatever KOJI_BUILDER_PLUGINS says.
"""

import functools
import logging
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any


def outside(init: Callable[..., None]) -> Callable[..., None]:
    """`init`, which begins to watch the logs of a buildroot, without those in its chroot."""

    @functools.wraps(init)
    def wrapper(logs: Any, broot: Any, patterns: Iterable[str], **options: Any) -> None:
        chroot = f"{broot.rootdir()}/"
        kept = [pattern for pattern in patterns if not pattern.startswith(chroot)]
        init(logs, broot, kept, **options)

    return wrapper


def install(kojid: ModuleType) -> None:
    """Change kojid, if it watches logs in that way; log whether it does."""
    logger = logging.getLogger("koji.skip_chroot_logs")
    if hasattr(kojid, "BuildRootLogs"):
        kojid.BuildRootLogs.__init__ = outside(kojid.BuildRootLogs.__init__)
        logger.info("uploading no log from inside a chroot")
    else:
        logger.info("this kojid reads no log in a chroot: nothing to do")


if hasattr(sys.modules["__main__"], "TaskManager"):
    install(sys.modules["__main__"])
