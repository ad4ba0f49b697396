"""Which names users can have."""

import pytest

from nagoya.errors import LifecycleError
from nagoya.koji.users import RESERVED, check_name


@pytest.mark.parametrize("name", ["alice", "a", "Bob_2", "first.last", "x" * 63])
def test_names_of_users(name: str) -> None:
    check_name(name, ["koji", "kojibuilder"])


@pytest.mark.parametrize("name", [*RESERVED, "kojibuilder"])
def test_the_names_of_kojis_own_parts_are_reserved(name: str) -> None:
    """kojiweb's certificate may log in as anybody."""
    with pytest.raises(LifecycleError, match="is reserved") as raised:
        check_name(name, ["koji", "kojibuilder"])
    assert raised.value.exit_code == 64


@pytest.mark.parametrize("name", ["", "al ice", "../x", "a/b", "-a", "a-", ".", "x" * 64, "ä"])
def test_names_that_no_user_can_have(name: str) -> None:
    with pytest.raises(LifecycleError, match="cannot be a user's name") as raised:
        check_name(name)
    assert raised.value.exit_code == 64
