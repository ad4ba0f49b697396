"""util.certificates: what is issued, and what the check finds."""

import ipaddress
import re
import shutil
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID

from util import certificates, files
from util.certificates import Authority, check
from util.entry import Fatal


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path)


def certificate(authority: Authority, name: str) -> x509.Certificate:
    path = authority.folder / f"certs/{name}.crt"
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_openssl_verifies_what_is_issued_strictly(authority: Authority) -> None:
    authority.issue("host", server=True, client=True)
    for purpose in ("sslserver", "sslclient"):
        subprocess.run(
            [
                *("openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile"),
                authority.folder / "koji_ca_cert.crt",
                authority.folder / "certs/host.crt",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )


def test_the_authority_signs_certificates_and_no_authorities(authority: Authority) -> None:
    extensions = authority.certificate.extensions
    basic = extensions.get_extension_for_class(x509.BasicConstraints)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert usage.value.crl_sign
    assert not usage.value.digital_signature


@pytest.mark.parametrize(
    ("server", "client", "usages"),
    [
        (True, False, [ExtendedKeyUsageOID.SERVER_AUTH]),
        (False, True, [ExtendedKeyUsageOID.CLIENT_AUTH]),
        (True, True, [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
    ],
)
def test_a_certificate_is_for_its_purpose(
    authority: Authority, server: bool, client: bool, usages: list[x509.ObjectIdentifier]
) -> None:
    authority.issue("host", server=server, client=client)
    extensions = certificate(authority, "host").extensions
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == usages
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not (authority.folder / "host_browser_cert.p12").exists()


def test_names_and_addresses_stand_once_each(authority: Authority) -> None:
    address = ipaddress.ip_address("127.0.0.1")
    authority.issue("hub", ["koji", "hub", "koji"], [address, address], server=True)
    leaf = certificate(authority, "hub")
    assert leaf.subject.rfc4514_string() == "CN=hub,O=Nagoya"
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == ["hub", "koji", address]


def test_serials_are_random(authority: Authority) -> None:
    serials = set()
    for _ in range(20):
        authority.issue("host", client=True)
        serials.add(certificate(authority, "host").serial_number)
    assert len(serials) == 20
    assert max(serials).bit_length() > 140


def test_validity_allows_for_skewed_clocks_and_has_its_limit(authority: Authority) -> None:
    authority.issue("host", client=True)
    leaf = certificate(authority, "host")
    now = datetime.now(UTC)
    assert timedelta(minutes=59) < now - leaf.not_valid_before_utc < timedelta(minutes=62)
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= timedelta(days=825)
    assert authority.certificate.not_valid_after_utc > now + timedelta(days=3600)


def test_keys_are_for_their_owner_alone(authority: Authority) -> None:
    authority.issue("host", client=True, browser=True)
    modes = {
        str(path.relative_to(authority.folder)): stat.S_IMODE(path.stat().st_mode)
        for path in authority.folder.rglob("*")
    }
    assert modes == {
        "certs": 0o755,
        "certs/host.crt": 0o644,
        "host.pem": 0o600,
        "host_browser_cert.p12": 0o600,
        "koji_ca.crl": 0o644,
        "koji_ca_cert.crt": 0o644,
        "private": 0o700,
        "private/host.key": 0o600,
        "private/koji_ca_cert.key": 0o600,
    }


def test_the_browsers_file_holds_key_certificate_and_authority(authority: Authority) -> None:
    authority.issue("host", client=True, browser=True)
    browser = (authority.folder / "host_browser_cert.p12").read_bytes()
    key, leaf, chain = pkcs12.load_key_and_certificates(browser, b"koji")
    assert key is not None
    assert leaf == certificate(authority, "host")
    assert chain == [authority.certificate]
    # NSS imports no other.
    printed = subprocess.run(
        ["openssl", "pkcs12", "-nodes", "-passin", "pass:koji"],
        input=browser, capture_output=True, check=True,
    ).stdout  # fmt: skip
    ids = re.findall(rb"localKeyID: (.*)", printed)
    assert len(ids) == 2
    assert ids[0] == ids[1]


def test_a_loaded_authority_goes_on_issuing(authority: Authority) -> None:
    again = Authority.load(authority.folder)
    assert again.certificate == authority.certificate
    again.issue("later", client=True)
    check(authority.folder, "later")


def test_there_is_never_a_second_authority(authority: Authority) -> None:
    with pytest.raises(Fatal, match="has a certificate authority already"):
        Authority.create(authority.folder)


def test_an_authority_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="cannot read the certificate authority"):
        Authority.load(tmp_path)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../a", "a b", "a..b", "-a", "a-", "ü", "a\n", "a" * 64, "*.b"]
)
def test_a_name_that_is_none_is_refused(authority: Authority, name: str) -> None:
    with pytest.raises(Fatal, match="is not a valid name for a certificate"):
        authority.issue(name, client=True)


@pytest.mark.parametrize("name", ["a", "koji.example.org", "builder_1", "0f3c", "x" * 63])
def test_a_name(name: str) -> None:
    assert certificates.is_name(name)


def test_the_check_finds_a_certificate_of_another_authority(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Authority.create(tmp_path_factory.mktemp("other"))
    for issuer in (authority, other):
        issuer.issue("host", client=True)
        check(issuer.folder, "host")
    shutil.copy(other.folder / "certs/host.crt", authority.folder / "certs/host.crt")
    with pytest.raises(Fatal, match=r"the certificate of host in .* is not valid"):
        check(authority.folder, "host")


def test_the_check_finds_a_key_of_another_certificate(authority: Authority) -> None:
    for name in ("one", "two"):
        authority.issue(name, client=True)
    shutil.copy(authority.folder / "one.pem", authority.folder / "two.pem")
    with pytest.raises(Fatal, match=r"the certificate of two in .* is not valid"):
        check(authority.folder, "two")


def test_the_check_finds_an_expired_certificate(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "CERTIFICATE_LIFE", timedelta(minutes=30))
    authority.issue("host", client=True)
    with pytest.raises(Fatal, match=r"^expired certificates: host \(") as refusal:
        check(authority.folder, "host")
    assert "`toji credentials renew`" in str(refusal.value.hint)


def test_the_check_finds_a_clock_that_is_behind(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a certificate that was made while the clock was ahead."""
    monkeypatch.setattr(certificates, "CLOCK_SKEW", timedelta(hours=-2))
    authority.issue("host", client=True)
    with pytest.raises(Fatal, match=r"^certificates that are not valid yet: host \(") as refusal:
        check(authority.folder, "host")
    assert f"it is {datetime.now(UTC):%Y-%m-%d}" in str(refusal.value)
    assert "correct the clock" in str(refusal.value.hint)


def test_whoever_cannot_read_a_key_learns_of_its_certificates_end(authority: Authority) -> None:
    """As kojira, which runs as another user."""
    authority.issue("host", client=True)
    for key in ("host.pem", "private/host.key"):
        (authority.folder / key).unlink()
    assert certificates.date_error(authority.folder, ["host"]) is None


def test_a_renewed_certificate_differs_in_its_end_and_serial_alone(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = ipaddress.ip_address("127.0.0.1")
    monkeypatch.setattr(certificates, "CERTIFICATE_LIFE", timedelta(days=10))
    authority.issue("hub", ["koji"], [address], server=True, client=True, browser=True)
    old, key = certificate(authority, "hub"), (authority.folder / "private/hub.key").read_bytes()
    assert certificates.is_due(old)
    monkeypatch.undo()
    assert authority.renew("hub") == (new := certificate(authority, "hub"))
    check(authority.folder, "hub")
    assert not certificates.is_due(new)
    assert new.serial_number != old.serial_number
    assert list(new.extensions) == list(old.extensions)
    assert (new.subject, new.public_key()) == (old.subject, old.public_key())
    assert (authority.folder / "private/hub.key").read_bytes() == key
    browser = (authority.folder / "hub_browser_cert.p12").read_bytes()
    assert pkcs12.load_key_and_certificates(browser, b"koji")[1] == new
    # Half written, the key is that of the certificate beside it.
    (authority.folder / "private/hub.key").write_bytes(b"")
    authority.renew("hub")
    check(authority.folder, "hub")
    assert authority.renew("hub", new_key=True).public_key() != old.public_key()
    check(authority.folder, "hub")


def verify(authority: Authority, name: str) -> str:
    """What OpenSSL says of a certificate, where the list of revoked ones has to be there."""
    done = subprocess.run(
        [
            *("openssl", "verify", "-x509_strict", "-crl_check", "-CAfile"),
            *(authority.folder / "koji_ca_cert.crt", "-CRLfile", authority.folder / "koji_ca.crl"),
            authority.folder / f"certs/{name}.crt",
        ],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout + done.stderr


def test_two_authorities_are_trusted_until_the_former_one_is_retired(authority: Authority) -> None:
    folder = authority.folder
    for name, kind in (("hub", {"server": True}), ("alice", {"client": True}), ("bob", {})):
        authority.issue(name, **{"client": True, **kind})
    authority.revoke("bob", authority.issued("bob"))
    second = Authority.load(folder).rotate()
    second.issue("carol", client=True)
    second.renew("hub")
    for name in ("hub", "alice", "carol"):
        assert verify(second, name).endswith(": OK\n")
        check(folder, name)
    assert "revoked" in verify(second, "bob")
    # Clients that know the former authority alone go on.
    assert certificate(second, "hub").issuer == authority.certificate.subject
    assert certificate(second, "carol").issuer == second.certificate.subject
    assert certificates.is_of_former(folder, certificate(second, "alice"))
    assert not certificates.is_of_former(folder, certificate(second, "carol"))
    with pytest.raises(Fatal, match="the former authority is not retired yet"):
        Authority.load(folder).rotate()

    last = Authority.load(folder).retire()
    assert "unable to get local issuer" in verify(last, "alice")
    with pytest.raises(Fatal, match=r"the certificate of hub in .* is not valid"):
        check(folder, "hub")
    last.renew("hub")
    check(folder, "hub")
    assert verify(last, "carol").endswith(": OK\n")
    with pytest.raises(Fatal, match="there is no former authority"):
        Authority.load(folder).retire()


@pytest.mark.parametrize("written", ["private/koji_ca_cert.key", "koji_ca_cert.crt"])
def test_an_interrupted_rotation_leaves_an_authority(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    """The one before, or both."""
    write = files.write

    def interrupted(path: Path, *arguments: object, **options: object) -> None:
        write(path, *arguments, **options)  # type: ignore[arg-type]
        if path == authority.folder / written:
            raise KeyboardInterrupt

    monkeypatch.setattr(files, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        authority.rotate()
    monkeypatch.undo()
    survivor = Authority.load(authority.folder)
    assert authority.certificate in [each.certificate for each in survivor.trusted]
    survivor.issue("alice", client=True)
    check(authority.folder, "alice")


def test_openssl_refuses_what_was_revoked_and_nothing_else(authority: Authority) -> None:
    for name in ("alice", "bob"):
        authority.issue(name, client=True)
        assert ": OK" in verify(authority, name)
    old = certificate(authority, "alice")
    authority.revoke("alice", [old])
    assert "certificate revoked" in verify(authority, "alice")
    assert ": OK" in verify(authority, "bob")
    authority.renew("alice", new_key=True)
    assert ": OK" in verify(authority, "alice")


def test_a_revocation_keeps_its_date(authority: Authority) -> None:
    path = authority.folder / certificates.REVOCATIONS
    assert certificates.read_revocations(path) == []
    for name in ("alice", "bob"):
        authority.issue(name, client=True)
    authority.revoke("bob", [certificate(authority, "bob")])
    (first,) = certificates.read_revocations(path)
    assert first.date > datetime.now(UTC) - timedelta(minutes=1)
    for _ in range(2):
        authority.revoke("alice", [certificate(authority, "alice")])
        revocations = certificates.read_revocations(path)
        assert len(revocations) == 2
        assert first in revocations
    revoked = x509.load_pem_x509_crl(path.read_bytes())
    assert revoked.next_update_utc == authority.certificate.not_valid_after_utc


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_the_check_finds_what_is_no_certificate(
    authority: Authority, content: bytes | None
) -> None:
    if content is not None:
        (authority.folder / "certs/host.crt").write_bytes(content)
    with pytest.raises(Fatal, match=r"the certificate of host in .* is not valid"):
        check(authority.folder, "host")
