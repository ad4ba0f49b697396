"""What is read of a system's certificates, and what is warned of."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nagoya.engine import containers, transfer
from nagoya.koji.certificates import (
    CREDENTIALS_LABEL,
    Certificate,
    is_expired,
    read_certificates,
    warnings,
)
from nagoya.system.observed import CERTIFICATES_LABEL
from util import certificates
from util.certificates import Authority


def certificate(name: str, days: float, kind: Any = "user", revoked: bool = False) -> Certificate:
    return Certificate(name, kind, "1", datetime.now(UTC) + timedelta(days=days), revoked)


@pytest.mark.parametrize(
    ("days", "state"), [(-0.1, "expired"), (29.9, "expires soon"), (30.1, "valid")]
)
def test_states(days: float, state: str) -> None:
    assert certificate("alice", days).state == state
    assert certificate("alice", days, revoked=True).state == "revoked"


def test_warns_of_what_has_expired_and_what_will_soon() -> None:
    rows = [certificate("kojihub", 20, "part"), certificate("kojira", 20, "part")]
    day = f"{rows[0].expires:%Y-%m-%d}"
    soon = f"certificates expire soon: kojihub ({day}), kojira ({day})"
    assert warnings(rows) == [f"{soon}; `toji credentials renew` renews them"]
    (expired, again) = warnings([certificate("alice", -1), *rows])
    assert expired.startswith("expired certificates: alice (")
    assert again.startswith(soon)


def test_warns_of_nothing_else() -> None:
    """A builder renews its own."""
    assert not warnings([certificate("kojihub", 40), certificate("builder", 1, "builder")])
    assert not warnings([certificate("alice", -1, revoked=True)])


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, bytes]]:
    """The files that each container has, by its host name."""
    files: dict[str, dict[str, bytes]] = {}

    def label(handle: Any, name: str) -> str | None:
        if name == CREDENTIALS_LABEL:
            return "issue" if handle == "kojicreds" else None
        return "/certs" if name == CERTIFICATES_LABEL and handle in files else None

    monkeypatch.setattr(containers, "label", label)
    monkeypatch.setattr(transfer, "read_folder", lambda handle, path: files[handle])
    return files


def read(names: Mapping[str, Any]) -> dict[str, Certificate]:
    handles: Any = {name: name for name in [*names, "kojidatabase"]}
    return {each.name: each for each in read_certificates(handles)}


def test_reads_each_kind(
    folders: dict[str, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority.create(tmp_path)
    for name in ("kojihub", "alice", "bob"):
        authority.issue(name, client=True)
    old, key = certificates.load(tmp_path / "alice.pem"), certificates.make_key().public_key()
    monkeypatch.setattr(certificates, "CLOCK_SKEW", timedelta())
    new, builder = authority.sign("alice", key), authority.sign("builder", key)
    folders["kojicreds"] = {
        "kojihub.crt": (tmp_path / "certs/kojihub.crt").read_bytes(),
        "alice.crt": certificates.pem(new),
        "revoked/alice.crt": certificates.pem(old),
        "revoked/bob.crt": (tmp_path / "certs/bob.crt").read_bytes(),
    }
    folders["koji"] = {"builder.crt": certificates.pem(old) + certificates.pem(builder)}
    records = read(folders)
    assert [(each.name, each.kind, each.state) for each in records.values()] == [
        ("kojihub", "part", "valid"),
        ("builder", "builder", "valid"),
        ("alice", "user", "valid"),
        ("bob", "user", "revoked"),
    ]
    assert records["alice"].serial == f"{new.serial_number:x}"
    assert list(records["alice"].issued) == [certificates.pem(leaf).decode() for leaf in (new, old)]
    assert records["builder"].serial == f"{builder.serial_number:x}"
    assert certificates.pem(old).decode() in records["builder"].issued


def test_an_expired_file_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority.create(tmp_path)
    assert not is_expired(tmp_path / "alice.pem")
    authority.issue("alice", client=True)
    assert not is_expired(tmp_path / "alice.pem")
    monkeypatch.setattr(certificates, "CERTIFICATE_LIFE", timedelta(minutes=30))
    authority.renew("alice")
    assert is_expired(tmp_path / "alice.pem")
