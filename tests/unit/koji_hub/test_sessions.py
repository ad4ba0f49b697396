"""koji-hub's sessions: whose end, and since when. What SQL does is in the tests of the images."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from util import certificates, credentials

pytest.importorskip("psycopg2")


def test_each_name_has_the_date_of_its_last_revocation(
    load_script: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    sessions = load_script("koji-hub/sessions.py")
    folder = tmp_path / credentials.FOLDER
    folder.mkdir(parents=True)
    authority = certificates.Authority.create(folder)
    assert sessions.revoked(folder) == {}
    assert sessions.expire("", {}) == 0
    for name in ("alice", "bob", "alice"):
        authority.issue(name, client=True)
        authority.revoke(name, [certificates.load(folder / f"{name}.pem")])
    revocations = certificates.read_revocations(folder / "koji_ca.crl")
    assert set(sessions.revoked(folder)) == {"alice", "bob"}
    assert sessions.revoked(folder)["alice"] == max(
        revocation.date.timestamp() for revocation in revocations
    )


def test_only_new_revocations_are_told_where_others_are_known(
    load_script: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    sessions = load_script("koji-hub/sessions.py")
    authority = certificates.Authority.create(tmp_path)
    known: set[int] = set()
    for name in ("alice", "bob", "alice"):
        authority.issue(name, client=True)
        authority.revoke(name, [certificates.load(tmp_path / f"{name}.pem")])
        assert set(sessions.revoked(tmp_path, known)) == {name}
        known = {
            revocation.serial
            for revocation in certificates.read_revocations(tmp_path / "koji_ca.crl")
        }
    assert sessions.revoked(tmp_path, known) == {}
