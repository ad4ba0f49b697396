"""A plugin for kojid: during a build it uploads mock's logs, and no other.

From Koji 1.35 on, kojid reads `var/log/dnf*.log` in the chroot, as root, while packages are
installed there. Anything can have such a name: a pipe, for which kojid would wait for ever, or a
file with a hole of many terabytes. What dnf does is in root.log too.

Also from 1.35 on, it names empty logs to the hub without uploading them, and the hub refuses the
build for the missing file: each Maven build, whose build.log is empty.

The plugin is always on, whatever KOJI_BUILDER_PLUGINS says.
"""

import functools
import logging
import sys
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO


def outside(init: Callable[..., None]) -> Callable[..., None]:
    """`init`, which begins to watch the logs of a buildroot, without those in its chroot."""

    @functools.wraps(init)
    def wrapper(logs: Any, broot: Any, patterns: Iterable[str], **options: Any) -> None:
        chroot = f"{broot.rootdir()}/"
        kept = [pattern for pattern in patterns if not pattern.startswith(chroot)]
        init(logs, broot, kept, **options)

    return wrapper


def named_once_sent(incremental_log: Callable[..., Any]) -> Callable[..., Any]:
    """`incremental_log`, which uploads what a log has gained and names the log to the hub. A log
    of which nothing was uploaded is not named."""

    @functools.wraps(incremental_log)
    def wrapper(broot: Any, name: str, file: BinaryIO) -> Any:
        result = incremental_log(broot, name, file)
        if not file.tell():
            broot.logs.discard(name)
        return result

    return wrapper


def install(kojid: Any) -> None:
    """Change kojid, if it watches logs in that way; log whether it does."""
    logger = logging.getLogger("koji.mock_logs")
    if hasattr(kojid, "BuildRootLogs"):
        kojid.BuildRootLogs.__init__ = outside(kojid.BuildRootLogs.__init__)
        kojid.BuildRoot.incremental_log = named_once_sent(kojid.BuildRoot.incremental_log)
        logger.info("uploading no log from inside a chroot, and naming no empty one")
    else:
        logger.info("this kojid reads no log in a chroot: nothing to do")


if hasattr(sys.modules["__main__"], "TaskManager"):
    install(sys.modules["__main__"])
