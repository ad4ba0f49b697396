"""Refuses builds and tasks that would lead the hub out of their folders.

The hub keeps a build in packages/NAME/VERSION/RELEASE, and removes what is there when a build that
has failed is built again. Koji allows any version and release but one with a dash, and takes both
from a source RPM, which root in a chroot writes: with `..` for both, all of the top directory would
be removed.

A task's files are in work/tasks/(NUMBER % 10000)/NUMBER. Where the number is a text, Python's `%`
takes it for a format. A text can thus be the path of any file, which the hub would answer with:
that of kojiweb's key, say.

Apache imports this into the processes of the hub, after Koji.
"""

import functools
import sys
from collections.abc import Mapping
from typing import Any

PARTS = ("name", "version", "release")


def leads_elsewhere(part: object) -> bool:
    """Whether a part of a path is no name of a file: empty, `.` or `..`, or several parts."""
    return part in {"", ".", ".."} or "/" in str(part) or "\0" in str(part)


def check_task_numbers(koji: Any) -> None:
    """Have Koji refuse other numbers of tasks than integers."""
    path_of_task = koji.PathInfo.taskrelpath

    def check_and_name(self: Any, task_id: object) -> Any:
        if not isinstance(task_id, int):
            raise koji.GenericError(f"{task_id!r} is not the number of a task")
        return path_of_task(self, task_id)

    koji.PathInfo.taskrelpath = check_and_name


def check_new_builds(kojihub: Any) -> None:
    """Have Koji refuse such builds. `kojihub` is its module, or since 1.31 its package."""
    # The package has copies of the functions.
    module: Any = sys.modules[kojihub.new_build.__module__]
    new_build = module.new_build

    @functools.wraps(new_build)
    def check_and_make(data: Mapping[str, Any], *arguments: Any, **options: Any) -> Any:
        for name in PARTS:
            if leads_elsewhere(data.get(name, "none")):
                raise module.koji.GenericError(
                    f"{name} of a build is part of a path, and cannot be {data[name]!r}"
                )
        return new_build(data, *arguments, **options)

    module.new_build = kojihub.new_build = check_and_make


# mod_wsgi knows only import, under a name of its own.
if __name__.startswith("_mod_wsgi_"):
    check_new_builds(sys.modules["kojihub"])
    check_task_numbers(sys.modules["koji"])
