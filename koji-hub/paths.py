"""Refuses builds, tasks and moves that would lead the hub out of their folders.

The hub keeps a build in packages/NAME/VERSION/RELEASE, and removes what is there when a build that
has failed is built again. Koji allows any version and release but one with a dash, and takes both
from a source RPM, which root in a chroot writes: with `..` for both, all of the top directory would
be removed. A package's name may have a slash.

A task's files are in work/tasks/(NUMBER % 10000)/NUMBER. Where the number is a text, Python's `%`
takes it for a format. A text can thus be the path of any file, which the hub would answer with:
that of kojiweb's key, say.

The hub moves what a builder has uploaded, by paths that the builder names: with `..` in one, any
file of the hub's user, to where everybody can download it. `toplink`, in each repository, leads to
all of the top directory. A hidden file among the uploads says whose they are.
"""

import functools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

PARTS = ("name", "version", "release")
MOVES = ("safer_move", "move_and_symlink")
TOP_LINK = "toplink"


def leads_elsewhere(part: object) -> bool:
    """Whether a part of a path is no name of a file: empty, `.` or `..`, or several parts.

    Control characters are none either; a line break would go on in the header of a mail.
    """
    return part in {"", ".", ".."} or "/" in str(part) or not str(part).isprintable()


def check_paths(kojihub: Any) -> None:
    """Have Koji refuse such paths. `kojihub` is its module, or since 1.31 its package."""
    # The package has copies of the functions.
    module: Any = sys.modules[kojihub.new_build.__module__]
    _check_task_numbers(module.koji)
    _check_build_paths(module.koji)
    module.new_build = kojihub.new_build = _checked_new_build(module)
    module.koji.ensuredir = _checked_ensuredir(module.koji)
    for name in MOVES:
        move = _checked_move(module.koji, getattr(module.koji.util, name))
        setattr(module.koji.util, name, move)
        setattr(module, name, move)


def _check_task_numbers(koji: Any) -> None:
    path_of_task = koji.PathInfo.taskrelpath

    def check_and_name(self: Any, task_id: object) -> Any:
        if not isinstance(task_id, int):
            raise koji.GenericError(f"{task_id!r} is not the number of a task")
        return path_of_task(self, task_id)

    koji.PathInfo.taskrelpath = check_and_name


def _check_build_paths(koji: Any) -> None:
    path_of_build = koji.PathInfo.build

    def check_and_name(self: Any, build: Mapping[str, Any]) -> Any:
        _check_parts(koji, build)
        volume = build.get("volume_name")
        if volume is not None and leads_elsewhere(volume):
            raise koji.GenericError(f"{volume!r} is not the name of a volume")
        return path_of_build(self, build)

    koji.PathInfo.build = check_and_name


def _checked_new_build(module: Any) -> Callable[..., Any]:
    """Koji's function, which refuses such a build before the database has it."""
    new_build = module.new_build

    @functools.wraps(new_build)
    def check_and_make(data: Mapping[str, Any], *arguments: Any, **options: Any) -> Any:
        _check_parts(module.koji, data)
        # Koji prefers the number to the name.
        if "pkg_id" in data:
            _check_parts(module.koji, module.lookup_package(data["pkg_id"], strict=True))
        return new_build(data, *arguments, **options)

    return check_and_make


def _check_parts(koji: Any, build: Mapping[str, Any]) -> None:
    for name in PARTS:
        if leads_elsewhere(build.get(name, "none")):
            raise koji.GenericError(
                f"{name} of a build is part of a path, and cannot be {build[name]!r}"
            )


def _checked_ensuredir(koji: Any) -> Callable[..., Any]:
    """Koji makes the folder of a move's target first."""
    ensuredir = koji.ensuredir

    @functools.wraps(ensuredir)
    def check_and_make(directory: Any) -> Any:
        _check_path(koji, directory)
        return ensuredir(directory)

    return check_and_make


def _checked_move(koji: Any, move: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(move)
    def check_and_move(src: Any, dst: Any, *arguments: Any, **options: Any) -> Any:
        _check_path(koji, src)
        _check_path(koji, dst)
        if _is_upload(koji, Path(src)) and not _is_visible_file(Path(src)):
            raise koji.GenericError(f"{src} is not a file that was uploaded, and is not moved")
        return move(src, dst, *arguments, **options)

    return check_and_move


def _check_path(koji: Any, path: Any) -> None:
    parents = (Path(path), *Path(path).parents)
    if ".." in parents[0].parts or any(
        parent.name == TOP_LINK and parent.is_symlink() for parent in parents
    ):
        raise koji.GenericError(f"{path} leads out of a folder, and is not used")


def _is_upload(koji: Any, path: Path) -> bool:
    """Whether a path is in the folder of the uploads, of any volume."""
    top = Path(koji.pathinfo.topdir)
    parts = path.relative_to(top).parts if path.is_relative_to(top) else ()
    return (parts[2:3] if parts[:1] == ("vol",) else parts[:1]) == ("work",)


def _is_visible_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and not path.name.startswith(".")
