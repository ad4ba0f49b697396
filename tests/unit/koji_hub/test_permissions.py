"""koji-hub's refusal of changes without a permission, with a module as Koji's is."""

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


class ActionNotAllowed(Exception):
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

    class RootExports:
        getPackage = staticmethod(look_up)
        getTagID = staticmethod(look_up)

    class HostExports:
        def writeSignedRPM(self, an_rpm: int, sigkey: str, force: bool = False) -> tuple[Any, ...]:
            return an_rpm, sigkey, force

    hub = SimpleNamespace(
        koji=SimpleNamespace(ActionNotAllowed=ActionNotAllowed),
        RootExports=RootExports,
        HostExports=HostExports,
        Host=type("Host", (Host,), {}),
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
