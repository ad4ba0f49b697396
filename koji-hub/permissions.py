"""Refuses changes that Koji lets people make who have no permission for them.

Without a log-in, `getPackage` and `getTagID` make the name that they look for, if a client asks
them to: rows of the database without limit, and names that no other call would take.
`host.writeSignedRPM`, a builder's call, does not look who calls it, and writes a second copy of any
RPM to the disk.

A builder could end the builds of others, add files to their images, and in Koji 1.30 choose whose
its task is: an administrator's, say, who may tag what a policy forbids.
"""

import functools
from collections.abc import Callable
from typing import Any

LOOKUPS = ("getPackage", "getTagID")
ENDS = (
    "completeBuild",
    "completeImageBuild",
    "completeMavenBuild",
    "completeWinBuild",
    "failBuild",
)


def check_permissions(kojihub: Any) -> None:
    """Have Koji refuse such calls. `kojihub` is its module, or since 1.31 its package."""
    for name in LOOKUPS:
        look_up = _without_creation(kojihub.koji, getattr(kojihub.RootExports, name))
        setattr(kojihub.RootExports, name, staticmethod(look_up))
    calls = kojihub.HostExports
    for name in ENDS:
        setattr(calls, name, _own_builds_only(kojihub, getattr(calls, name)))
    calls.importImage = _own_images_only(kojihub, calls.importImage)
    calls.subtask = _own_tasks_only(kojihub.koji, calls.subtask)
    calls.writeSignedRPM = _for_hosts(kojihub, calls.writeSignedRPM)


def _own_builds_only(kojihub: Any, end: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(end)
    def check_and_end(self: Any, task_id: Any, build_id: Any, *rest: Any, **options: Any) -> Any:
        kojihub.Host().verify()
        _require_task(kojihub, build_id, task_id)
        return end(self, task_id, build_id, *rest, **options)

    return check_and_end


def _own_images_only(kojihub: Any, import_image: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(import_image)
    def check_and_import(self: Any, task_id: Any, build_info: Any, results: Any) -> Any:
        kojihub.Host().verify()
        build = _require_task(kojihub, build_info["id"], task_id)
        if any(build[name] != build_info[name] for name in ("name", "version", "release")):
            raise kojihub.koji.GenericError(f"build {build['id']} has another name")
        return import_image(self, task_id, build_info, results)

    return check_and_import


def _require_task(kojihub: Any, build_id: Any, task_id: Any) -> Any:
    """The build of that number; raises koji.GenericError unless that task makes it."""
    build = kojihub.get_build(build_id, strict=True)
    if build["task_id"] != task_id:
        raise kojihub.koji.GenericError(f"build {build_id} is not of task {task_id}")
    return build


def _own_tasks_only(koji: Any, subtask: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(subtask)
    def check_and_make(self: Any, method: Any, arglist: Any, parent: Any, **options: Any) -> Any:
        if "owner" in options:
            raise koji.GenericError("the owner of a subtask is that of its task")
        return subtask(self, method, arglist, parent, **options)

    return check_and_make


def _for_hosts(kojihub: Any, write: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(write)
    def verify_and_write(self: Any, an_rpm: Any, sigkey: Any, force: Any = False) -> Any:
        kojihub.Host().verify()
        return write(self, an_rpm, sigkey, force)

    return verify_and_write


def _without_creation(koji: Any, look_up: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(look_up)
    def look_up_only(info: Any, strict: Any = False, create: Any = False) -> Any:
        if create:
            raise koji.ActionNotAllowed("this call looks up a name, and cannot create one here")
        return look_up(info, strict)

    return look_up_only
