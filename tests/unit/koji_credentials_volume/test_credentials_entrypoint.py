"""koji-credentials-volume/entrypoint.py on a temporary root."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import pytest

from util import certificates, credentials
from util.certificates import Authority
from util.entry import Fatal
from util.names import Names


@pytest.fixture
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-credentials-volume/entrypoint.py")


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in root.rglob("*")
        if path.is_file()
    }


def test_makes_all_once(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.prepare(tmp_path, Names())
    first = tree(tmp_path)
    script.prepare(tmp_path, Names())
    assert tree(tmp_path) == first
    lines = capsys.readouterr().err.splitlines()
    assert "made the certificates" in lines[0]
    assert "is complete already" in lines[1]


@pytest.mark.parametrize("broken_off_at", ["kojihub", "kojidatabase", "kojiweb"])
def test_never_goes_on_with_a_half_made_volume(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken_off_at: str
) -> None:
    issue = script.certificates.Authority.issue

    def failing(self: object, name: str, *args: object, **kwargs: object) -> None:
        if name == broken_off_at:
            raise OSError(28, "No space left on device")
        issue(self, name, *args, **kwargs)

    monkeypatch.setattr(script.certificates.Authority, "issue", failing)
    with pytest.raises(OSError, match="No space left"):
        script.prepare(tmp_path, Names())
    monkeypatch.undo()
    before = tree(tmp_path)
    with pytest.raises(Fatal, match="is incomplete"):
        script.prepare(tmp_path, Names())
    assert tree(tmp_path) == before


def test_health(
    script: ModuleType, load_script: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    health = load_script("koji-credentials-volume/health.py")
    (tmp_path / "etc/pki/koji").mkdir(parents=True)
    with pytest.raises(LookupError, match="is empty"):
        health.question(tmp_path)
    script.prepare(tmp_path, Names())
    assert "certificates in" in health.question(tmp_path)


def test_a_user_gets_a_certificate_once(script: ModuleType, tmp_path: Path) -> None:
    script.prepare(tmp_path, Names())
    folder = tmp_path / credentials.FOLDER
    before = tree(folder)
    assert script.change(tmp_path, "issue", ["alice"]) == ["alice"]
    issued = tree(folder)
    assert set(issued) - set(before) == {
        "alice.pem", "alice_browser_cert.p12", "certs/alice.crt", "private/alice.key",
    }  # fmt: skip
    assert script.change(tmp_path, "issue", ["alice"]) == []
    assert tree(folder) == issued


def test_the_database_gets_copies_of_what_it_needs(script: ModuleType, tmp_path: Path) -> None:
    own = tmp_path / credentials.DATABASE
    own.mkdir(parents=True)
    script.prepare(tmp_path, Names())
    assert set(tree(own)) == {".complete", "koji_ca.crl", "koji_ca_cert.crt", "kojidatabase.pem"}
    assert (own / "kojidatabase.pem").stat().st_mode & 0o777 == 0o600
    script.change(tmp_path, "revoke", ["kojidatabase"])
    script.copy_for_database(tmp_path)
    for name in script.FOR_DATABASE:
        assert (own / name).read_bytes() == (tmp_path / credentials.FOLDER / name).read_bytes()


def life(monkeypatch: pytest.MonkeyPatch, duration: timedelta) -> None:
    monkeypatch.setattr(certificates, "CERTIFICATE_LIFE", duration)


def test_renews_what_is_due(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.prepare(tmp_path, Names())
    life(monkeypatch, timedelta(days=20))
    script.change(tmp_path, "issue", ["alice"])
    life(monkeypatch, timedelta(minutes=30))  # as a client's clock may be behind, that is over
    script.change(tmp_path, "issue", ["bob"])
    script.change(tmp_path, "renew", ["kojihub"])
    monkeypatch.undo()
    assert script.change(tmp_path, "renew", []) == ["kojihub", "alice", "bob"]
    assert script.change(tmp_path, "renew", []) == []
    assert script.change(tmp_path, "renew", ["bob"]) == ["bob"]
    everybody = [*credentials.PARTS, "alice", "bob"]
    assert script.change(tmp_path, "renew", ["--all"]) == everybody
    with pytest.raises(Fatal, match="there is no certificate of carol"):
        script.change(tmp_path, "renew", ["bob", "carol"])


def test_an_expired_certificate_is_issued_again(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.prepare(tmp_path, Names())
    life(monkeypatch, timedelta(minutes=30))
    script.change(tmp_path, "issue", ["alice"])
    monkeypatch.undo()
    assert script.change(tmp_path, "issue", ["alice"]) == ["alice"]
    certificates.check(tmp_path / credentials.FOLDER, "alice")


def test_a_revoked_user_has_nothing_any_more_and_a_part_another_key(
    script: ModuleType, tmp_path: Path
) -> None:
    script.prepare(tmp_path, Names())
    script.change(tmp_path, "issue", ["alice"])
    folder = tmp_path / credentials.FOLDER
    key = (folder / "private/kojiweb.key").read_bytes()
    other = Authority.load(folder).sign("alice", certificates.make_key().public_key(), client=True)
    script.change(tmp_path, "revoke", ["alice", certificates.pem(other).decode()])
    script.change(tmp_path, "revoke", ["kojiweb"])
    assert [path.name for path in folder.rglob("*alice*")] == ["alice.crt"]
    assert len(certificates.load_all(folder / "certs/revoked/alice.crt")) == 2
    assert len(certificates.read_revocations(folder / certificates.REVOCATIONS)) == 3
    assert (folder / "private/kojiweb.key").read_bytes() != key
    script.check_credentials(tmp_path)
    with pytest.raises(Fatal, match="there is no certificate of 'alice' to revoke"):
        script.change(tmp_path, "revoke", ["alice"])
    script.change(tmp_path, "issue", ["alice"])
    certificates.check(folder, "alice")


def test_clients_get_certificates_of_another_authority_and_servers_when_the_former_is_retired(
    script: ModuleType, tmp_path: Path
) -> None:
    script.prepare(tmp_path, Names())
    script.change(tmp_path, "issue", ["alice"])
    folder = tmp_path / credentials.FOLDER
    assert script.change(tmp_path, "rotate", []) == [*credentials.CLIENTS, "alice"]
    script.check_credentials(tmp_path)
    assert script.change(tmp_path, "rotate", []) == []
    assert len(certificates.load_all(folder / "koji_ca_cert.crt")) == 2
    assert script.change(tmp_path, "retire", []) == [*credentials.SERVERS]
    assert script.change(tmp_path, "retire", []) == []
    script.check_credentials(tmp_path)
    certificates.check(folder, "alice")
    assert len(certificates.load_all(folder / "koji_ca_cert.crt")) == 1


def test_what_was_interrupted_is_completed(script: ModuleType, tmp_path: Path) -> None:
    """A user's key was written and the certificate was not, nor the list of what was revoked."""
    script.prepare(tmp_path, Names())
    script.change(tmp_path, "issue", ["alice"])
    folder = tmp_path / credentials.FOLDER
    former = {name: (folder / name).read_bytes() for name in ("certs/alice.crt", "koji_ca.crl")}
    script.change(tmp_path, "rotate", [])
    first = certificates.load(folder / "alice.pem")
    for name, content in former.items():
        (folder / name).write_bytes(content)
    assert script.change(tmp_path, "rotate", []) == ["alice"]
    certificates.check(folder, "alice")
    assert (folder / "koji_ca.crl").read_text().count("BEGIN X509 CRL") == 2
    script.change(tmp_path, "revoke", ["alice"])
    revoked = {each.serial for each in certificates.read_revocations(folder / "koji_ca.crl")}
    assert first.serial_number in revoked
    assert len(revoked) == 3


def test_a_volume_of_an_earlier_nagoya_gets_what_it_lacks(
    script: ModuleType, tmp_path: Path
) -> None:
    script.prepare(tmp_path, Names())
    path = tmp_path / credentials.FOLDER / certificates.REVOCATIONS
    path.unlink()
    script.prepare(tmp_path, Names())
    assert certificates.read_revocations(path) == []


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "`issue` needs a name"),
        *(([name], f"{name!r} is reserved") for name in credentials.RESERVED),
        (["kojibuilder"], "'kojibuilder' is the name of a builder"),
        (["../alice"], "'../alice' is not a valid name for a certificate"),
    ],
)
def test_who_gets_none(script: ModuleType, tmp_path: Path, names: list[str], message: str) -> None:
    script.prepare(tmp_path, Names())
    # As the builder itself does.
    Authority.load(tmp_path / credentials.FOLDER).issue("kojibuilder", client=True)
    with pytest.raises(Fatal, match=re.escape(message)):
        script.change(tmp_path, "issue", names)


def test_without_an_authority_nobody_gets_one(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / credentials.FOLDER).mkdir(parents=True)
    with pytest.raises(Fatal, match="there is no certificate authority in"):
        script.change(tmp_path, "issue", ["alice"])
