"""koji-hub's refusal of what leads out of its folders, with modules as Koji's are."""

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

GOOD = {"name": "hello", "version": "1..0", "release": "1.el9,draft_7"}


class GenericError(Exception):
    """As Koji's."""


@pytest.fixture(params=["kojihub", "kojihub.kojihub"])
def kojihub(
    request: pytest.FixtureRequest,
    load_script: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """The module that holds the functions is the package, or is inside it."""

    def new_build(data: dict[str, Any], strict: bool = False) -> tuple[Any, bool]:
        return data, strict

    new_build.__module__ = request.param
    koji = SimpleNamespace(GenericError=GenericError)
    package = SimpleNamespace(koji=koji, new_build=new_build)
    module = package
    if request.param != "kojihub":
        module = SimpleNamespace(koji=koji, new_build=new_build)
    monkeypatch.setitem(sys.modules, request.param, module)
    load_script("koji-hub/paths.py").check_new_builds(package)
    return package, module


@pytest.mark.parametrize("part", ["name", "version", "release"])
@pytest.mark.parametrize("value", ["", ".", "..", "../..", "1/2", "1\0"])
def test_a_build_outside_of_its_folder_is_refused(kojihub: Any, part: str, value: str) -> None:
    for namespace in kojihub:
        with pytest.raises(GenericError, match=f"{part} of a build"):
            namespace.new_build({**GOOD, part: value})


def test_other_builds_are_made(kojihub: Any) -> None:
    without_name = {"pkg_id": 1, "version": "1", "release": "1"}
    for namespace in kojihub:
        assert namespace.new_build(GOOD, strict=True) == (GOOD, True)
        assert namespace.new_build(without_name) == (without_name, False)


class PathInfo:
    """As Koji's."""

    def taskrelpath(self, task_id: int) -> str:
        return f"tasks/{task_id % 10000}/{task_id}"


def test_the_number_of_a_task_is_a_number(load_script: Callable[[str], ModuleType]) -> None:
    koji = SimpleNamespace(GenericError=GenericError, PathInfo=type("PathInfo", (PathInfo,), {}))
    load_script("koji-hub/paths.py").check_task_numbers(koji)
    pathinfo = koji.PathInfo()
    assert pathinfo.taskrelpath(1_234_567) == "tasks/4567/1234567"
    for number in ("%.0s../../../etc", "7", None, [7]):
        with pytest.raises(GenericError, match="is not the number of a task"):
            pathinfo.taskrelpath(number)
