"""koji-hub's refusal of what leads out of its folders, with modules as Koji's are."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

GOOD = {"name": "hello", "version": "1..0", "release": "1.el9,draft_7"}
PACKAGES = {1: "hello", 2: "../repos/f40-build"}


class GenericError(Exception):
    """As Koji's."""


class PathInfo:
    """As Koji's."""

    def taskrelpath(self, task_id: int) -> str:
        return f"tasks/{task_id % 10000}/{task_id}"

    def build(self, build: dict[str, Any]) -> str:
        return "packages/{name}/{version}/{release}".format(**build)


def new_build(data: dict[str, Any], strict: bool = False) -> tuple[Any, bool]:
    return data, strict


def move(src: str, dst: str, create_dir: bool = False) -> tuple[str, str, bool]:
    return src, dst, create_dir


def ensuredir(directory: str) -> str:
    return directory


@pytest.fixture(params=["kojihub", "kojihub.kojihub"])
def kojihub(
    request: pytest.FixtureRequest,
    load_script: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """The module that holds the functions is the package, or is inside it."""
    koji = SimpleNamespace(
        GenericError=GenericError,
        PathInfo=type("PathInfo", (PathInfo,), {}),
        util=SimpleNamespace(safer_move=move, move_and_symlink=move),
        ensuredir=ensuredir,
        pathinfo=SimpleNamespace(topdir="/mnt/koji"),
    )
    names: dict[str, Any] = {
        "koji": koji,
        "new_build": new_build,
        "lookup_package": lambda number, strict: {"name": PACKAGES[number]},
        "safer_move": move,
        "move_and_symlink": move,
    }
    package = module = SimpleNamespace(**names)
    if request.param != "kojihub":
        module = SimpleNamespace(**names)
    monkeypatch.setattr(new_build, "__module__", request.param)
    monkeypatch.setitem(sys.modules, request.param, module)
    load_script("koji-hub/paths.py").check_paths(package)
    return package, module


@pytest.mark.parametrize("part", ["name", "version", "release"])
@pytest.mark.parametrize("value", ["", ".", "..", "../..", "1/2", "1\0"])
def test_a_build_outside_of_its_folder_is_refused(kojihub: Any, part: str, value: str) -> None:
    pathinfo = kojihub[0].koji.PathInfo()
    for refuse in (kojihub[0].new_build, kojihub[1].new_build, pathinfo.build):
        with pytest.raises(GenericError, match=f"{part} of a build"):
            refuse({**GOOD, part: value})


def test_a_package_is_named_by_its_number_too(kojihub: Any) -> None:
    for namespace in kojihub:
        with pytest.raises(GenericError, match="name of a build"):
            namespace.new_build({**GOOD, "pkg_id": 2})


@pytest.mark.parametrize("volume", ["..", "../..", "a/b", ""])
def test_a_build_outside_of_its_volume_has_no_path(kojihub: Any, volume: str) -> None:
    with pytest.raises(GenericError, match="is not the name of a volume"):
        kojihub[0].koji.PathInfo().build({**GOOD, "volume_name": volume})


def test_other_builds_are_made(kojihub: Any) -> None:
    without_name = {"pkg_id": 1, "version": "1", "release": "1"}
    for namespace in kojihub:
        assert namespace.new_build(GOOD, strict=True) == (GOOD, True)
        assert namespace.new_build(without_name) == (without_name, False)
    for volume in ({}, {"volume_name": None}, {"volume_name": "DEFAULT"}):
        path = kojihub[0].koji.PathInfo().build({**GOOD, **volume})
        assert path == "packages/hello/1..0/1.el9,draft_7"


def test_the_number_of_a_task_is_a_number(kojihub: Any) -> None:
    pathinfo = kojihub[0].koji.PathInfo()
    assert pathinfo.taskrelpath(1_234_567) == "tasks/4567/1234567"
    for number in ("%.0s../../../etc", "7", None, [7]):
        with pytest.raises(GenericError, match="is not the number of a task"):
            pathinfo.taskrelpath(number)


@pytest.mark.parametrize("name", ["safer_move", "move_and_symlink"])
def test_nothing_is_moved_out_of_its_folder(kojihub: Any, name: str) -> None:
    for namespace in (kojihub[1], kojihub[0].koji.util):
        checked = getattr(namespace, name)
        moved = ("packages/a..b", "repos/c")
        assert checked(*moved, create_dir=True) == (*moved, True)
        for paths in (
            ("work/../../etc/passwd", "repos/c"),
            ("packages/a", "scratch/logs/../b"),
        ):
            with pytest.raises(GenericError, match="leads out of a folder"):
                checked(*paths)


@pytest.mark.parametrize("place", ["work", "vol/other/work"])
def test_of_uploads_only_files_are_moved(kojihub: Any, tmp_path: Path, place: str) -> None:
    kojihub[0].koji.pathinfo.topdir = str(tmp_path)
    folder = tmp_path / place / "cli-build"
    folder.mkdir(parents=True)
    for name in ("hello.src.rpm", ".user"):
        (folder / name).touch()
    move_upload = kojihub[1].safer_move
    assert move_upload(f"{folder}/hello.src.rpm", "x") == (f"{folder}/hello.src.rpm", "x", False)
    (folder / "imported").symlink_to("hello.src.rpm")
    for path in (
        f"{folder}/.user",
        f"{folder}/imported",
        f"{folder}",
        f"{folder}/",
        f"{tmp_path}//{place}/missing",
    ):
        with pytest.raises(GenericError, match="is not a file that was uploaded"):
            move_upload(path, "x")


def test_a_draft_is_moved_with_its_folder(kojihub: Any, tmp_path: Path) -> None:
    kojihub[0].koji.pathinfo.topdir = str(tmp_path)
    draft = tmp_path / "packages/hello/1/1,draft_2"
    draft.mkdir(parents=True)
    assert kojihub[1].safer_move(str(draft), "x") == (str(draft), "x", False)


def test_no_folder_is_made_out_of_its_place(kojihub: Any, tmp_path: Path) -> None:
    """A repository has the link `toplink`; the name by itself is like any other."""
    make = kojihub[0].koji.ensuredir
    for folder in ("/mnt/koji/scratch/a..b", f"{tmp_path}/toplink/packages"):
        assert make(folder) == folder
    (tmp_path / "toplink").symlink_to("/mnt/koji")
    for folder in ("/mnt/koji/scratch/../packages", f"{tmp_path}/toplink/packages"):
        with pytest.raises(GenericError, match="leads out of a folder"):
            make(folder)
