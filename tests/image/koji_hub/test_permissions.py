"""Changes that Koji would let anybody make, without a log-in."""

import koji
import pytest

from tests.image.running import Hub


@pytest.mark.parametrize("call", ["getPackage", "getTagID"])
def test_a_lookup_makes_no_name(hub: Hub, call: str) -> None:
    for session in (hub.session(), hub.login()):
        with pytest.raises(koji.ActionNotAllowed, match="cannot create"):
            session.callMethod(call, "a-new-name", False, True)
    assert hub.session().callMethod(call, "a-new-name") is None


def test_signed_copies_are_written_by_builders(hub: Hub) -> None:
    with pytest.raises(koji.AuthError):
        hub.session().host.writeSignedRPM(1, "")
    with pytest.raises(koji.AuthError):
        hub.login().host.writeSignedRPM(1, "")
