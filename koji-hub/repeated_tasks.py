"""Lets a task that begins again end as it would have, though its first builder died at the end.

If a builder dies, another begins its task again. Koji foresees that: it finds the task's subtasks
by their labels, and goes on with its build. It does not where only the end of the task was missing:
it refuses a build that is complete and a tag that the build has, and moves a link in place of a
file. So the client would read that its build has failed.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

COMPLETIONS = ("completeBuild", "completeImageBuild", "completeMavenBuild", "completeWinBuild")


def repeat_tasks(module: Any) -> None:
    """Have Koji go on with a task. `module` has its functions (see write_lock.py)."""
    module.recycle_build = _without_own_build(module.koji, module.recycle_build)
    module.move_and_symlink = _without_own_link(module.move_and_symlink)
    calls = module.HostExports
    for name in COMPLETIONS:
        setattr(calls, name, _once(module, getattr(calls, name)))
    calls.tagBuild = _without_own_tag(module, calls.tagBuild)


def _without_own_build(koji: Any, recycle: Callable[..., Any]) -> Callable[..., Any]:
    """A task finds the build that it has completed, as Koji lets it find one that is under way."""

    @functools.wraps(recycle)
    def find_or_recycle(old: Any, data: Any) -> Any:
        states = (koji.BUILD_STATES["COMPLETE"], koji.BUILD_STATES["BUILDING"])
        task = data.get("task_id")
        if (old["state"], data["state"]) == states and task and task == old["task_id"]:
            return None
        return recycle(old, data)

    return find_or_recycle


def _without_own_link(move: Callable[..., Any]) -> Callable[..., Any]:
    """What was moved has a link in its place."""

    @functools.wraps(move)
    def move_once(src: str, dst: str, *arguments: Any, **options: Any) -> Any:
        if Path(src).is_symlink() and Path(dst).exists() and Path(src).samefile(dst):
            return None
        return move(src, dst, *arguments, **options)

    return move_once


def _once(module: Any, complete: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(complete)
    def complete_once(self: Any, task_id: Any, build_id: Any, *rest: Any, **options: Any) -> Any:
        build = module.get_build(build_id, strict=True)
        if build["state"] == module.koji.BUILD_STATES["COMPLETE"] and build["task_id"] == task_id:
            _require_own_task(module, task_id)
            return None
        return complete(self, task_id, build_id, *rest, **options)

    return complete_once


def _without_own_tag(module: Any, tag_build: Callable[..., Any]) -> Callable[..., Any]:
    """The tag is the task's own if its owner has given it since the task was made."""

    @functools.wraps(tag_build)
    def tag_once(
        self: Any,
        task_id: Any,
        tag: Any,
        build: Any,
        force: Any = False,
        *rest: Any,
        **options: Any,
    ) -> Any:
        _require_own_task(module, task_id)
        query = module.QueryProcessor(
            columns=["tag_listing.create_event"],
            tables=["tag_listing"],
            joins=[
                "events ON events.id = tag_listing.create_event",
                "task ON task.id = %(task_id)i AND task.owner = tag_listing.creator_id",
            ],
            clauses=[
                "tag_listing.active = TRUE",
                "tag_listing.tag_id = %(tag_id)i",
                "tag_listing.build_id = %(build_id)i",
                "events.time >= task.create_time",
            ],
            values={
                "task_id": task_id,
                "tag_id": module.get_tag(tag, strict=True)["id"],
                "build_id": module.get_build(build, strict=True)["id"],
            },
        )
        if not force and query.execute():
            return None
        return tag_build(self, task_id, tag, build, force, *rest, **options)

    return tag_once


def _require_own_task(module: Any, task_id: Any) -> None:
    """Raise Koji's error unless a builder calls, and the task is its own."""
    host = module.Host()
    host.verify()
    module.Task(task_id).assertHost(host.id)
