"""A plugin for kojid: where memory runs out, a checkout of sources is killed as soon as a build is.

kojid runs git, svn and cvs itself, and a small repository can hold billions of files. Builds have
the highest score of all processes, so the kernel would kill them first. The plugin is always on,
whatever KOJI_BUILDER_PLUGINS says.

It replaces `koji.daemon.SCM.checkout`.
"""

import functools
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

_SCORE = Path("/proc/self/oom_score_adj")
# The score of a build (mock/kernel.py): before any process with another one.
_FIRST = "1000"


def at_score_of_builds(checkout: Callable[..., Any], file: Path = _SCORE) -> Callable[..., Any]:
    """`checkout`, with that score for this process, a task's, and the programs that it starts."""

    @functools.wraps(checkout)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        own = file.read_text()
        file.write_text(_FIRST)
        try:
            return checkout(*arguments, **options)
        finally:
            file.write_text(own)

    return wrapper


def install(daemon: ModuleType) -> None:
    """Change koji.daemon, if it checks out sources in that way; log whether it does."""
    logger = logging.getLogger("koji.kill_checkouts_first")
    if hasattr(daemon, "SCM"):
        daemon.SCM.checkout = at_score_of_builds(daemon.SCM.checkout)
        logger.info("where memory runs out, checkouts are killed as soon as builds")
    else:
        logger.warning("koji.daemon has no SCM here: nothing to do")


if hasattr(sys.modules["__main__"], "TaskManager"):
    install(sys.modules["koji.daemon"])
