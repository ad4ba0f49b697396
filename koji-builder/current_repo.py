"""A plugin for kojid: `koji build --wait-repo` does not wait if the tag's repository is current.

Up to Koji 1.34 such a build waits for a repository that is newer than itself. If nothing changes
the tag any more, kojira makes none, and the build fails after two hours. Koji 1.35 takes one
that has the tag's last change, and so does a kojid with this plugin. It is always on, whatever
KOJI_BUILDER_PLUGINS says.
"""

import functools
import logging
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def changed_since(session: Any, tag: int | str, event: int) -> bool:
    """Whether a tag, or one that it inherits from, has changed since an event."""
    parents = [link["parent_id"] for link in session.getFullInheritance(tag)]
    tags = {session.getTag(tag, strict=True)["id"], *parents}
    return bool(session.tagChangedSinceEvent(event, sorted(tags)))


def waiting(get_repo: Callable[..., Any]) -> Callable[..., Any]:
    """`get_repo`, a method of tasks, that with `wait` gets a repository that is current."""

    @functools.wraps(get_repo)
    def wrapper(task: Any, tag: int | str, builds: Any = None, wait: bool = False) -> Any:
        if builds or not wait:
            return get_repo(task, tag, builds=builds, wait=wait)
        start = task.session.getLastEvent()["id"]
        while True:
            repo = task.session.getRepo(tag)
            if repo and (
                repo["create_event"] >= start
                or not changed_since(task.session, tag, repo["create_event"])
            ):
                return repo
            newer_than = repo["create_ts"] if repo else None
            arguments = [tag, newer_than, None]
            subtask = task.session.host.subtask(
                method="waitrepo", arglist=arguments, parent=task.id
            )
            task.wait(subtask)

    return wrapper


def install(util: ModuleType, handler: type[Any]) -> None:
    """Change the tasks of a Koji that has no requests for repositories."""
    if not hasattr(util, "RepoWatcher"):
        handler.getRepo = waiting(handler.getRepo)
        logging.getLogger("koji.current_repo").info(
            "--wait-repo takes a repository that is current"
        )


if hasattr(sys.modules["__main__"], "TaskManager"):
    install(sys.modules["koji.util"], sys.modules["koji.tasks"].BaseTaskHandler)
