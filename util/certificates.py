"""The system's own certificate authority, in Koji's layout below /etc/pki/koji:

    koji_ca_cert.crt           0644  the authority's certificate; after it that of a former
                                     authority, which is trusted too until it is retired
    private/koji_ca_cert.key   0600  their keys
    private/NAME.key           0600  the key of NAME
    certs/NAME.crt             0644  the certificate of NAME, the last file written for it
    NAME.pem                   0600  key and certificate in one
    NAME_browser_cert.p12      0600  the same for browsers, where NAME is a person's
    koji_ca.crl                0644  the certificates that were revoked: a list of each authority,
                                     signed by it
    certs/revoked/NAME.crt     0644  those of NAME, one after the other
    certs/renewed/NAME.crt     0644  the former ones of NAME that are valid still, in the same way

Keys are EC P-256. One takes under a millisecond to make, an RSA key of 2048 bits up to a few
hundred, and ten builders that start at once make ten. OpenSSL, NSS (Chromium, Firefox), Java since
7 and PostgreSQL all know the curve.
"""

import ipaddress
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL, crypto

from . import files
from .entry import Fatal

ORGANISATION = "Nagoya"
# Some systems refuse to import a PKCS#12 file with an empty password, so it has a known one.
BROWSER_PASSWORD = "koji"

AUTHORITY_LIFE = timedelta(days=3650)
# The longest that Apple's systems accept from an authority that a user has added.
CERTIFICATE_LIFE = timedelta(days=825)
# A certificate that ends sooner is due for renewal. toji warns of those that end within 30 days.
RENEWAL = timedelta(days=60)
# A client whose clock is behind must not find the certificate "not yet valid".
CLOCK_SKEW = timedelta(hours=1)
CERTIFICATES = "koji_ca_cert.crt"
KEYS = "private/koji_ca_cert.key"
REVOCATIONS = "koji_ca.crl"
RENEWED = "certs/renewed"
RENEW = (
    "`toji credentials renew`, or without toji: "
    "`docker run --rm --volumes-from kojicreds koji-credentials-volume renew`"
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Authority:
    """A certificate authority and the folder that it, and all that it issues, lives in.

    `former` is the one that it replaces. Until that is retired, clients may know only that one, so
    it issues the servers' certificates.
    """

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    former: Self | None = None

    @classmethod
    def create(cls, folder: Path) -> Self:
        """Make a new authority in `folder`. Raises Fatal if there is one, complete or not.

        Of two that start at the same moment, the one that makes the folder of the keys continues.
        """
        try:
            (folder / "private").mkdir(mode=0o700)
        except FileExistsError:
            raise Fatal(
                f"{folder} has a certificate authority already, or the start of one"
            ) from None
        (folder / "certs").mkdir(mode=0o755)
        authority = cls._make(folder)
        authority._write()
        return authority

    @classmethod
    def _make(cls, folder: Path) -> Self:
        key = make_key()
        # The serial keeps the subjects of two systems apart in a browser that trusts both.
        serial = x509.random_serial_number()
        subject = _subject(f"Nagoya Koji CA {serial:x}"[:40])
        builder = (
            _builder(subject, subject, key.public_key(), serial, _after(AUTHORITY_LIFE))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()),
                critical=False,
            )
        )
        return cls(folder, key, builder.sign(key, hashes.SHA256()))

    def _write(self) -> None:
        """Write the files of this authority and of the former one.

        An interruption between the files leaves the authorities of the certificates' file.
        """
        authorities = self.trusted
        path = self.folder / KEYS
        keys = b"".join(key_pem(each.key) for each in authorities)
        # Also those that were there, until the certificates are.
        former = path.read_bytes() if path.exists() else b""
        files.write(path, keys + former, mode=0o600)
        pems = b"".join(pem(each.certificate) for each in authorities)
        files.write(self.folder / CERTIFICATES, pems)
        files.write(path, keys, mode=0o600)
        self.write_revocations()

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The authority that lives in `folder`. Raises Fatal if it cannot be read."""
        try:
            keys = _load_keys(folder / KEYS)
            former = None
            for certificate in reversed(load_all(folder / CERTIFICATES)):
                former = cls(folder, keys[_spki(certificate.public_key())], certificate, former)
        except (OSError, ValueError, KeyError) as error:
            raise Fatal(
                f"cannot read the certificate authority in {folder}: {error}",
                hint="mount the credentials volume, as root: `--volumes-from kojicreds:rw`",
            ) from error
        if former is None:
            raise Fatal(f"there is no certificate in {folder / CERTIFICATES}")
        return former

    @property
    def trusted(self) -> list[Self]:
        """This authority, and the former one if there is one."""
        return [self, *([self.former] if self.former else [])]

    def rotate(self) -> Self:
        """Make a new authority, which issues clients' certificates from now on; this one stays
        trusted. Raises Fatal if there is a former one already."""
        if self.former:
            raise Fatal(
                "the former authority is not retired yet",
                hint="`toji credentials rotate --retire` retires it",
            )
        authority = replace(self._make(self.folder), former=self)
        authority._write()
        return authority

    def retire(self) -> Self:
        """End the trust in the former authority. Raises Fatal if there is none."""
        if self.former is None:
            raise Fatal(
                "there is no former authority to retire",
                hint="`toji credentials rotate` makes another authority",
            )
        authority = replace(self, former=None)
        authority._write()
        return authority

    def issue(
        self,
        name: str,
        dns: Sequence[str] = (),
        ips: Sequence[Address] = (),
        *,
        server: bool = False,
        client: bool = False,
        browser: bool = False,
    ) -> None:
        """Make a key and a certificate for `name`, and write NAME's files over those there are."""
        key = make_key()
        certificate = self.sign(name, key.public_key(), dns, ips, server=server, client=client)
        self._store(name, key, certificate, browser=browser)

    def renew(self, name: str, *, new_key: bool = False) -> x509.Certificate:
        """Write a certificate that ends later for NAME's key, or for a new one, over NAME's files.

        It has the names and the purposes of the one that is there, which stays valid.
        """
        # Written in one step, so that they fit.
        old, key = load(self.folder / f"{name}.pem"), _load_key(self.folder / f"{name}.pem")
        # An interrupted renewal has written the new one there alone.
        _add(self.folder / f"{RENEWED}/{name}.crt", [*self.issued(name), old])
        if new_key:
            key = make_key()
        extensions = old.extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        certificate = self.sign(
            name,
            key.public_key(),
            names.get_values_for_type(x509.DNSName),
            [
                address
                for address in names.get_values_for_type(x509.IPAddress)
                if isinstance(address, Address)
            ],
            server=ExtendedKeyUsageOID.SERVER_AUTH in usages,
            client=ExtendedKeyUsageOID.CLIENT_AUTH in usages,
        )
        browser = (self.folder / f"{name}_browser_cert.p12").exists()
        self._store(name, key, certificate, browser=browser)
        return certificate

    def issued(self, name: str) -> list[x509.Certificate]:
        """The certificates of NAME that were written here, the former ones too."""
        return [
            *load_all(self.folder / f"{RENEWED}/{name}.crt"),
            *load_all(self.folder / f"certs/{name}.crt"),
        ]

    def revoke(self, name: str, certificates: Iterable[x509.Certificate]) -> None:
        """Add certificates of NAME to the list of revoked ones."""
        _add(self.folder / f"certs/revoked/{name}.crt", certificates)
        self.write_revocations()

    def write_revocations(self) -> None:
        """Write the list of revoked certificates. It is valid as long as the authority."""
        files.write(self.folder / REVOCATIONS, self.revocations())

    def revocations(self) -> bytes:
        """The list of revoked certificates, signed; another one of the former authority."""
        return b"".join(each._revocations() for each in self.trusted)

    def _revocations(self) -> bytes:
        now = datetime.now(UTC).replace(microsecond=0)
        dates = {
            revocation.serial: revocation.date
            for revocation in read_revocations(self.folder / REVOCATIONS)
        }
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now - CLOCK_SKEW)
            .next_update(end(self.certificate))
            .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
        )
        for path in sorted((self.folder / "certs/revoked").glob("*.crt")):
            for certificate in load_all(path):
                if certificate.issuer != self.certificate.subject:
                    continue
                serial = certificate.serial_number
                # Sessions that began in this second end too.
                date = dates.get(serial, now + timedelta(seconds=1))
                entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(date)
                builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _store(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        certificate: x509.Certificate,
        *,
        browser: bool,
    ) -> None:
        if browser:
            chain = b"".join(pem(each.certificate) for each in self.trusted)
            parts = key_pem(key) + pem(certificate) + chain
            files.write(self.folder / f"{name}_browser_cert.p12", _pkcs12(name, parts), mode=0o600)
        store(self.folder, name, key, certificate)

    def sign(
        self,
        name: str,
        key: ec.EllipticCurvePublicKey,
        dns: Sequence[str] = (),
        ips: Sequence[Address] = (),
        *,
        server: bool = False,
        client: bool = False,
        until: datetime | None = None,
    ) -> x509.Certificate:
        """Certify that a key is NAME's, by default for CERTIFICATE_LIFE.

        `name` is the common name, and the one that Koji logs a client in by; it is always the
        first of the certificate's DNS names too.
        """
        if server and self.former:
            return self.former.sign(name, key, dns, ips, server=server, client=client, until=until)
        if not is_name(name):
            raise Fatal(
                f"{name!r} is not a valid name for a certificate",
                hint="use up to 63 letters, digits, dots, dashes and underscores",
            )
        serial = x509.random_serial_number()
        usages = [ExtendedKeyUsageOID.SERVER_AUTH] * server
        usages += [ExtendedKeyUsageOID.CLIENT_AUTH] * client
        names: list[x509.GeneralName] = [
            *(x509.DNSName(dns_name) for dns_name in dict.fromkeys((name, *dns))),
            *(x509.IPAddress(ip) for ip in dict.fromkeys(ips)),
        ]
        issuer = self.certificate.subject
        builder = (
            _builder(_subject(name), issuer, key, serial, until or _after(CERTIFICATE_LIFE))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
        )
        return builder.sign(self.key, hashes.SHA256())


@dataclass(frozen=True)
class Revocation:
    """A certificate that was revoked, and when."""

    serial: int
    date: datetime


def read_revocations(path: Path) -> list[Revocation]:
    """What a list of revoked certificates says; nothing if there is no such file."""
    text = path.read_bytes() if path.exists() else b""
    return [
        Revocation(entry.serial_number, _utc(entry, "revocation_date"))
        for block in _blocks(text, b"X509 CRL")
        for entry in x509.load_pem_x509_crl(block)
    ]


def revocations_of(folder: Path) -> bytes:
    """The list of revoked certificates in `folder`.

    An authority of an earlier Nagoya has none; a new one is made then, which is empty.
    """
    try:
        return (folder / REVOCATIONS).read_bytes()
    except FileNotFoundError:
        return Authority.load(folder).revocations()


def load(path: Path) -> x509.Certificate:
    """The certificate in a file."""
    return x509.load_pem_x509_certificate(path.read_bytes())


def load_all(path: Path) -> list[x509.Certificate]:
    """The certificates in a file, one after the other; none if it does not exist."""
    text = path.read_bytes() if path.exists() else b""
    return split(text)


def split(text: bytes) -> list[x509.Certificate]:
    """The certificates in a text. (cryptography has this from 39 on, Debian 12 has 38.)"""
    return [x509.load_pem_x509_certificate(block) for block in _blocks(text, b"CERTIFICATE")]


def _blocks(text: bytes, kind: bytes) -> list[bytes]:
    """The blocks of a kind in PEM."""
    return re.findall(rb"-----BEGIN %b-----.+?-----END %b-----" % (kind, kind), text, re.S)


def end(certificate: x509.Certificate) -> datetime:
    """When a certificate expires."""
    return _utc(certificate, "not_valid_after")


def is_due(certificate: x509.Certificate) -> bool:
    """Whether a certificate has expired, or will so soon that it should be renewed."""
    return end(certificate) - datetime.now(UTC) < RENEWAL


def is_for(certificate: x509.Certificate, name: str) -> bool:
    """Whether its subject is that of `name`."""
    return certificate.subject == _subject(name)


def is_issued_by(certificate: x509.Certificate, trusted: Iterable[x509.Certificate]) -> bool:
    """Whether one of these authorities signed it."""
    signed = certificate.tbs_certificate_bytes
    for authority in trusted:
        key, hashed = authority.public_key(), certificate.signature_hash_algorithm
        if isinstance(key, ec.EllipticCurvePublicKey) and hashed:
            with suppress(InvalidSignature):
                key.verify(certificate.signature, signed, ec.ECDSA(hashed))
                return certificate.issuer == authority.subject
    return False


def is_of_former(folder: Path, certificate: x509.Certificate) -> bool:
    """Whether another authority has issued it than the one in `folder` that issues clients' now."""
    return certificate.issuer != load(folder / CERTIFICATES).subject


def date_error(folder: Path, names: Iterable[str]) -> Fatal | None:
    """An error that says which certificates of these names have expired, or are not valid yet; None
    without one.

    It reads what everybody may read: kojira asks too.
    """
    return date_error_of({name: folder / f"certs/{name}.crt" for name in names})


def date_error_of(paths: Mapping[str, Path]) -> Fatal | None:
    """The same for names with the files of their certificates."""
    now = datetime.now(UTC)
    certificates = {name: load(path) for name, path in paths.items()}
    ends = {name: end(certificate) for name, certificate in certificates.items()}
    expired = [f"{name} ({day:%Y-%m-%d})" for name, day in ends.items() if day < now]
    if expired:
        return Fatal(f"expired certificates: {', '.join(expired)}", hint=RENEW)
    begins = {name: _utc(each, "not_valid_before") for name, each in certificates.items()}
    early = [f"{name} ({day:%Y-%m-%d %H:%M})" for name, day in begins.items() if day > now]
    if early:
        return Fatal(
            f"certificates that are not valid yet: {', '.join(early)}; it is {now:%Y-%m-%d %H:%M} "
            "by this machine's clock (UTC)",
            hint="correct the clock, and start the system again",
        )
    return None


def _utc(thing: object, name: str) -> datetime:
    """A time. cryptography has it with its zone from 42 on, and warns of the other one since."""
    aware = getattr(thing, f"{name}_utc", None)
    moment: datetime = aware or getattr(thing, name).replace(tzinfo=UTC)
    return moment


def _add(path: Path, certificates: Iterable[x509.Certificate]) -> None:
    """Add certificates to those in a file, each once."""
    path.parent.mkdir(mode=0o755, exist_ok=True)
    files.write(path, b"".join(map(pem, dict.fromkeys([*load_all(path), *certificates]))))


def _load_keys(path: Path) -> dict[bytes, ec.EllipticCurvePrivateKey]:
    """The private keys in a file by the bytes of the public ones."""
    keys = {}
    for block in _blocks(path.read_bytes(), b"PRIVATE KEY"):
        key = serialization.load_pem_private_key(block, password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        keys[_spki(key.public_key())] = key
    return keys


def _spki(key: Any) -> bytes:
    """A public key as bytes. (Keys can be compared from cryptography 40 on.)"""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    encoded: bytes = key.public_bytes(serialization.Encoding.DER, form)
    return encoded


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def make_key() -> ec.EllipticCurvePrivateKey:
    """A new key of the kind that all have."""
    return ec.generate_private_key(ec.SECP256R1())


def store(
    folder: Path, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
) -> None:
    """Write NAME's files."""
    files.write(folder / f"private/{name}.key", key_pem(key), mode=0o600)
    content = key_pem(key) + pem(certificate)
    files.write(folder / f"{name}.pem", content, mode=0o600)
    files.write(folder / f"certs/{name}.crt", pem(certificate))


def is_name(text: str) -> bool:
    """Whether `text` can be a host's or a user's name in a certificate, and so a file's name."""
    label = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    return len(text) < 64 and bool(re.fullmatch(rf"{label}(\.{label})*", text))


def check(folder: Path, name: str) -> None:
    """Raise Fatal unless NAME's key, certificate and authority belong together and are valid now.

    The chain is verified as strictly as OpenSSL can.
    """
    try:
        if error := date_error(folder, [name]):
            raise error
        store = crypto.X509Store()
        for authority in load_all(folder / CERTIFICATES):
            store.add_cert(crypto.X509.from_cryptography(authority))
        certificate = crypto.X509.from_cryptography(load(folder / f"certs/{name}.crt"))
        store.set_flags(crypto.X509StoreFlags.X509_STRICT)
        crypto.X509StoreContext(store, certificate).verify_certificate()

        pair = SSL.Context(SSL.TLS_METHOD)
        pair.use_certificate_file(str(folder / f"certs/{name}.crt"))
        pair.use_privatekey_file(str(folder / f"{name}.pem"))
        pair.check_privatekey()
    except (OSError, ValueError, crypto.Error, SSL.Error, crypto.X509StoreContextError) as error:
        raise Fatal(
            f"the certificate of {name} in {folder} is not valid: {error}",
            hint="`toji credentials renew --all` writes all of them again; else remove the system "
            "and create it again",
        ) from error


def _subject(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    serial: int,
    until: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(_after(timedelta()))
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _after(life: timedelta) -> datetime:
    """The end of a certificate of this life that begins now."""
    return datetime.now(UTC).replace(microsecond=0) - CLOCK_SKEW + life


def _key_usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key, as text that is not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _pkcs12(name: str, parts: bytes) -> bytes:
    """A PKCS#12 file of a key and certificates in PEM.

    OpenSSL says in it which certificate belongs to the key, without which NSS cannot import the
    key; cryptography 43 does not.
    """
    # Everybody knows the password, so the cipher protects nothing. The oldest one works everywhere:
    # the key store of macOS knows no newer one.
    cipher = ["-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"]
    command = ["openssl", "pkcs12", "-export", "-name", name, *cipher]
    openssl = subprocess.run(
        [*command, "-passout", f"pass:{BROWSER_PASSWORD}"],
        input=parts,
        capture_output=True,
        check=True,
    )
    return openssl.stdout


def pem(certificate: x509.Certificate) -> bytes:
    """A certificate, as text."""
    return certificate.public_bytes(serialization.Encoding.PEM)
