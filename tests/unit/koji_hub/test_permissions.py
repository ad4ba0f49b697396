"""koji-hub's refusal of changes without a permission, with a module as Koji's is."""

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ENDS = [
    "completeBuild",
    "completeImageBuild",
    "completeMavenBuild",
    "completeWinBuild",
    "failBuild",
]


IMAGE = {"id": 7, "name": "image", "version": "1", "release": "2"}


class GenericError(Exception):
    """As Koji's."""


class ActionNotAllowed(GenericError):
    """As Koji's."""


class Host:
    is_host = True

    def verify(self) -> None:
        if not self.is_host:
            raise ActionNotAllowed("not a host")


@pytest.fixture
def kojihub(load_script: Callable[[str], ModuleType]) -> Any:
    def look_up(info: str, strict: bool = False, create: bool = False) -> tuple[Any, ...]:
        return info, strict, create

    def end(self: Any, task_id: int, build_id: int, *rest: Any) -> tuple[Any, ...]:
        return task_id, build_id, *rest

    def subtask(self: Any, method: str, arglist: list[Any], parent: int, **opts: Any) -> Any:
        return method, arglist, parent, opts

    def write(self: Any, an_rpm: int, sigkey: str, force: bool = False) -> tuple[Any, ...]:
        return an_rpm, sigkey, force

    calls = {**dict.fromkeys([*ENDS, "importImage"], end), "subtask": subtask}
    calls["writeSignedRPM"] = write
    hub = SimpleNamespace(
        koji=SimpleNamespace(ActionNotAllowed=ActionNotAllowed, GenericError=GenericError),
        RootExports=type(
            "RootExports", (), dict.fromkeys(["getPackage", "getTagID"], staticmethod(look_up))
        ),
        HostExports=type("HostExports", (), calls),
        Host=type("Host", (Host,), {}),
        get_build=lambda number, strict: {**IMAGE, "id": number, "task_id": number + 100},
    )
    load_script("koji-hub/permissions.py").check_permissions(hub)
    return hub


@pytest.mark.parametrize("name", ["getPackage", "getTagID"])
def test_a_lookup_makes_no_name(kojihub: Any, name: str) -> None:
    look_up = getattr(kojihub.RootExports(), name)
    assert look_up("hello") == ("hello", False, False)
    assert look_up("hello", True, False) == ("hello", True, False)
    for options in ((False, True), (True, 1)):
        with pytest.raises(ActionNotAllowed, match="cannot create"):
            look_up("hello", *options)


def test_signed_copies_are_written_by_builders(kojihub: Any) -> None:
    assert kojihub.HostExports().writeSignedRPM(1, "abc", True) == (1, "abc", True)
    kojihub.Host.is_host = False
    with pytest.raises(ActionNotAllowed):
        kojihub.HostExports().writeSignedRPM(1, "")


@pytest.mark.parametrize("name", ENDS)
def test_a_builder_ends_its_own_builds(kojihub: Any, name: str) -> None:
    end = getattr(kojihub.HostExports(), name)
    assert end(107, 7, "results") == (107, 7, "results")
    with pytest.raises(GenericError, match="build 8 is not of task 107"):
        end(107, 8, "results")


def test_who_is_no_builder_ends_no_build(kojihub: Any) -> None:
    kojihub.Host.is_host = False
    with pytest.raises(ActionNotAllowed, match="not a host"):
        kojihub.HostExports().failBuild(107, 7)


def test_a_builder_adds_to_its_own_image(kojihub: Any) -> None:
    import_image = kojihub.HostExports().importImage
    assert import_image(107, IMAGE, {}) == (107, IMAGE, {})
    for other in ({**IMAGE, "id": 8}, {**IMAGE, "name": "another"}):
        with pytest.raises(GenericError, match=r"is not of task|has another name"):
            import_image(107, other, {})


def test_a_subtask_has_the_owner_of_its_task(kojihub: Any) -> None:
    make = kojihub.HostExports().subtask
    assert make("buildArch", [1], 7, arch="noarch") == ("buildArch", [1], 7, {"arch": "noarch"})
    with pytest.raises(GenericError, match="the owner of a subtask"):
        make(method="tagBuild", arglist=[], parent=7, owner=1)
