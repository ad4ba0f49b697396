"""The certificates that the hub shows: its own with added names, and the site's."""

import ipaddress
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from util import certificates
from util.certificates import Authority
from util.entry import Fatal
from util.names import Names

HOST = "koji.example.com"


@pytest.fixture
def tls(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-hub/tls.py")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root folder with the hub's credentials."""
    folder = tmp_path / "etc/pki/koji"
    folder.mkdir(parents=True)
    (tmp_path / "dev/shm").mkdir(parents=True)
    Authority.create(folder).issue("kojihub", ["koji"], server=True, client=True)
    return tmp_path


def test_a_certificate_with_all_names_is_shown_as_it_is(tls: ModuleType, root: Path) -> None:
    tls.write(root, Names(("koji",)), None, "koji")
    assert (root / tls.HUB).read_bytes() == (root / "etc/pki/koji/kojihub.pem").read_bytes()


def test_names_are_added_for_the_same_key(tls: ModuleType, root: Path) -> None:
    own = root / "etc/pki/koji/kojihub.pem"
    before = {path: path.read_bytes() for path in own.parent.rglob("*") if path.is_file()}
    address = ipaddress.ip_address("192.0.2.7")
    tls.write(root, Names((HOST, "koji"), (address,)), None, HOST)
    shown, old = certificates.load(root / tls.HUB), certificates.load(own)
    assert tls.names_of(shown) == Names(("kojihub", "koji", HOST), (address,))
    assert certificates.end(shown) == certificates.end(old)
    assert shown.public_key() == old.public_key()
    assert shown.issuer == old.issuer
    shown.verify_directly_issued_by(certificates.load(own.parent / "koji_ca_cert.crt"))
    assert (root / tls.HUB).read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert {path: path.read_bytes() for path in before} == before


def test_the_names_that_the_hub_answers_to(tls: ModuleType, root: Path) -> None:
    names, addresses = ("koji", "koji.example.org"), ("192.0.2.7", "2001:db8::7")
    tls.write(root, Names(names, tuple(map(ipaddress.ip_address, addresses))), None, "koji")
    pattern = tls.name_pattern(root / tls.HUB)
    for name in (*names, *addresses, "[2001:db8::7]"):
        assert re.search(pattern, name)
    for name in ("kojix", "koji.example.org.evil", "kojixexample.org", "192.0.2.70", "example.org"):
        assert not re.search(pattern, name)


def site(folder: Path, name: str = HOST, until: datetime | None = None) -> bytes:
    """A key, its certificate by another authority, and that authority's."""
    folder.mkdir()
    authority, key = Authority.create(folder), certificates.make_key()
    signed = authority.sign("web", key.public_key(), [name], server=True, until=until)
    return b"".join(
        (
            certificates.key_pem(key),
            certificates.pem(signed),
            certificates.pem(authority.certificate),
        )
    )


@pytest.mark.parametrize("name", [HOST, "*.example.com"])
def test_the_site_s_certificate_is_shown_too(tls: ModuleType, root: Path, name: str) -> None:
    path = root / "etc/site.pem"
    path.write_bytes(site(root / "other", name))
    tls.write(root, Names((HOST,)), Path("/etc/site.pem"), HOST)
    assert (root / tls.SITE).read_bytes() == path.read_bytes()
    assert (root / tls.SITE).stat().st_mode & 0o777 == 0o600
    tls.write(root, Names((HOST,)), None, HOST)
    assert not (root / tls.SITE).exists()


def test_a_site_s_certificate_that_has_expired_is_used(
    tls: ModuleType, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    until = datetime.now(UTC) - timedelta(minutes=5)
    (root / "site.pem").write_bytes(site(root / "other", until=until))
    tls.read_site(root / "site.pem", HOST)
    assert f"site.pem expired on {until:%Y-%m-%d}" in capsys.readouterr().err


def other_key(kind: str = "ec", password: bytes | None = None) -> bytes:
    key = certificates.make_key() if kind == "ec" else rsa.generate_private_key(65537, 2048)
    assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    encryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def chain_of(text: bytes) -> bytes:
    return text[text.index(b"-----BEGIN CERT") :]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: None, "cannot read .*/site.pem: No such file"),
        (lambda text: b"", "site.pem has no key"),
        (lambda text: text[: text.index(b"-----BEGIN CERT")], "site.pem has no certificate"),
        (chain_of, "site.pem has no key"),
        (
            lambda text: other_key() + chain_of(text),
            "is not that of its first",
        ),
        (lambda text: other_key("rsa") + chain_of(text), "is not that of its"),
        (
            lambda text: other_key(password=b"x") + chain_of(text),
            "is encrypted",
        ),
        (lambda text: text.replace(b"MII", b"AAA"), "has no key, or what Apache cannot read"),
    ],
)
def test_a_site_s_certificate_that_cannot_be_used(
    tls: ModuleType, root: Path, change: Callable[[bytes], bytes | None], message: str
) -> None:
    path, text = root / "site.pem", change(site(root / "other"))
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(Fatal, match=f"KOJI_SITE_CERTIFICATE: .*{message}"):
        tls.read_site(path, HOST)


def test_a_site_s_certificate_for_another_name(tls: ModuleType, root: Path) -> None:
    (root / "site.pem").write_bytes(site(root / "other", "koji.example.net"))
    with pytest.raises(
        Fatal, match=r"is for web, koji\.example\.net, and not for koji\.example\.com"
    ):
        tls.read_site(root / "site.pem", HOST)
