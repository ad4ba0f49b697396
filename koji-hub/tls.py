"""The certificates that Apache shows: the hub's, with all its names, and the site's own.

The hub's is in the credentials. If it lacks a name that the environment adds, another one is signed
for the same key, which ends on the same day. The site's is for browsers alone: builders and clients
know only the system's authority.
"""

import ipaddress
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from util import certificates, credentials, entry, files
from util.names import Names

# Root's alone, and on a tmpfs, as in entrypoint.py.
FOLDER = Path("dev/shm/koji-tls")
HUB, SITE = FOLDER / "hub.pem", FOLDER / "site.pem"
VARIABLE = "KOJI_SITE_CERTIFICATE"


def write(root: Path, names: Names, site: Path | None, host: str) -> None:
    """Write what Apache shows; `host` is the name that the site's certificate is for."""
    folder = root / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    own = root / credentials.FOLDER / "kojihub.pem"
    files.write(root / HUB, with_names(own, names), mode=0o600)
    if site:
        files.write(root / SITE, read_site(root / site.relative_to("/"), host), mode=0o600)
    else:
        (root / SITE).unlink(missing_ok=True)


def with_names(own: Path, names: Names) -> bytes:
    """The hub's key and certificate, valid for these names too."""
    pem, certificate = own.read_bytes(), certificates.load(own)
    valid = names_of(certificate)
    if set(names.dns) <= set(valid.dns) and set(names.ips) <= set(valid.ips):
        return pem
    authority = certificates.Authority.load(own.parent)
    signed = authority.sign(
        "kojihub",
        certificate.public_key(),  # type: ignore[arg-type]
        (*valid.dns, *names.dns),
        (*valid.ips, *names.ips),
        server=True,
        until=certificates.end(certificate),
    )
    entry.log(f"the hub's certificate is for {', '.join(map(str, (*names.dns, *names.ips)))} too")
    key = serialization.load_pem_private_key(pem, password=None)
    return certificates.key_pem(key) + certificates.pem(signed)  # type: ignore[arg-type]


def names_of(certificate: x509.Certificate) -> Names:
    """The names that a certificate is valid for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return Names()
    ips = names.get_values_for_type(x509.IPAddress)
    return Names(tuple(names.get_values_for_type(x509.DNSName)), tuple(ips))  # type: ignore[arg-type]


def name_pattern(pem: Path) -> str:
    """A regular expression for the names in a certificate."""
    names = names_of(certificates.load(pem))
    escaped = "|".join(re.escape(name) for name in sorted({*names.dns, *map(str, names.ips)}))
    # Apache keeps the brackets around an IPv6 address.
    return rf"^\[?({escaped})\]?$"


def read_site(path: Path, host: str) -> bytes:
    """The site's key and certificates, the one for `host` first. Raises Fatal.

    One that has expired is used, since builders and clients do not need it; the log says so.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise _fatal(f"cannot read {path}: {error.strerror}") from error
    try:
        chain = certificates.split(text)
        key = serialization.load_pem_private_key(text, password=None)
    except TypeError as error:
        raise _fatal(f"the key in {path} is encrypted") from error
    except ValueError as error:
        raise _fatal(f"{path} has no key, or what Apache cannot read: {error}") from error
    if not chain:
        raise _fatal(f"{path} has no certificate")
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if key.public_key().public_bytes(*form) != chain[0].public_key().public_bytes(*form):
        raise _fatal(f"the key in {path} is not that of its first certificate")
    names = names_of(chain[0])
    if not _covers(names, host):
        known = ", ".join(map(str, (*names.dns, *names.ips))) or "no name"
        raise _fatal(f"{path} is for {known}, and not for {host}, the host of KOJI_WEB_URL")
    end = certificates.end(chain[0])
    if end < datetime.now(UTC):
        entry.log(f"{VARIABLE}: {path} expired on {end:%Y-%m-%d}; browsers will refuse it")
    return text


def _covers(names: Names, host: str) -> bool:
    try:
        return ipaddress.ip_address(host) in names.ips
    except ValueError:
        return _has(names.dns, host.lower())


def _has(names: Iterable[str], host: str) -> bool:
    wildcard = f"*.{host.partition('.')[2]}"
    return any(name.lower() in (host, wildcard) for name in names)


def _fatal(reason: str) -> entry.Fatal:
    return entry.Fatal(
        f"{VARIABLE}: {reason}",
        hint="it names a file in PEM with a key that is not encrypted, its certificate, and those "
        "between that and the authority's",
    )
