"""Which names users can have."""

from typing import Any

import pytest
from click.testing import CliRunner

from nagoya.cli import toji
from nagoya.errors import UsageError
from nagoya.koji.users import check_name, grant, unknown_permissions


@pytest.mark.parametrize("name", ["alice", "a", "Bob_2", "first.last", "x" * 63])
def test_names_of_users(name: str) -> None:
    check_name(name, ["koji", "kojibuilder"])


# Of Koji's own parts.
RESERVED = ("kojihub", "kojidatabase", "kojira", "kojiweb")


@pytest.mark.parametrize("name", [*RESERVED, "koji_ca_cert", "kojibuilder"])
def test_the_names_of_kojis_own_parts_are_reserved(name: str) -> None:
    """kojiweb's certificate may log in as anybody."""
    with pytest.raises(UsageError, match="is reserved") as raised:
        check_name(name, ["koji", "kojibuilder"])
    assert raised.value.exit_code == 64


@pytest.mark.parametrize("name", ["", "al ice", "../x", "a/b", "-a", "a-", ".", "x" * 64, "ä"])
def test_names_that_no_user_can_have(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a user's name") as raised:
        check_name(name)
    assert raised.value.exit_code == 64


@pytest.mark.parametrize(
    "words",
    [
        ["user", "alice", "al ice"],
        *(["credentials", "issue", name] for name in RESERVED),
        ["credentials", "renew", "--all", "alice"],
    ],
)
def test_a_wrong_call_is_refused_before_anything_is_connected(words: list[str]) -> None:
    ended = CliRunner().invoke(toji.cli, words)
    assert isinstance(ended.exception, UsageError)
    assert ended.exception.exit_code == 64


class Hub:
    """A hub that knows two permissions; everybody has one of them."""

    def __init__(self) -> None:
        self.granted: list[tuple[str, str]] = []

    def getUserPerms(self, name: str) -> list[str]:
        return ["tag"]

    def getAllPerms(self) -> list[dict[str, Any]]:
        return [{"id": 1, "name": "admin"}, {"id": 2, "name": "tag"}]

    def grantPermission(self, name: str, permission: str) -> None:
        self.granted.append((name, permission))


def test_permissions_that_a_user_lacks_are_granted() -> None:
    hub = Hub()
    assert grant(hub, "alice", ["tag", "admin"])
    assert hub.granted == [("alice", "admin")]
    assert not grant(hub, "alice", ["tag"])
    assert not grant(hub, "alice", [])


def test_permissions_that_the_hub_does_not_have() -> None:
    hub = Hub()
    assert unknown_permissions(hub, ["admin", "admn", "own"], ["own"]) == [
        "the hub has no permission 'admn'; did you mean 'admin'?"
    ]
    assert unknown_permissions(hub, []) == []
