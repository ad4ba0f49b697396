"""The certificates of a system: whose they are, and until when.

They are read out of its containers, which need not run.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nagoya.engine import Handle, containers, transfer
from nagoya.system.observed import CERTIFICATES_LABEL

if TYPE_CHECKING:
    from cryptography.x509 import Certificate as X509

CREDENTIALS_LABEL = "nagoya.credentials"
"""On the image of the credentials: the verbs of its command line that change certificates in the
volume: `issue NAME...`, `renew [NAME...]`, `renew --all`, `revoke NAME [PEM...]`. Each prints the
names that it changed."""
WARNING = timedelta(days=30)
RESERVED = ("kojihub", "kojidatabase", "kojira", "kojiweb")
"""Certificates of these names belong to Koji's own parts. kojiweb's may log in as anybody."""

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
State = Literal["valid", "expires soon", "expired", "revoked"]


@dataclass(frozen=True)
class Certificate:
    """The certificate in use of a part of Koji, a builder or a user.

    `issued` has, in PEM, all that are known of that name, revoked ones too.
    """

    name: str
    kind: Literal["part", "builder", "user"]
    serial: str
    expires: datetime
    revoked: bool
    issued: Sequence[str] = field(default=(), repr=False)

    @property
    def state(self) -> State:
        if self.revoked:
            return "revoked"
        rest = self.expires - datetime.now(UTC)
        return "expired" if rest <= timedelta() else "expires soon" if rest < WARNING else "valid"

    @property
    def days(self) -> int:
        """Whole days until it expires, negative if it has."""
        return (self.expires - datetime.now(UTC)).days


def read_certificates(present: Mapping[str, Handle]) -> list[Certificate]:
    """The certificates of a system with these containers, parts first, revoked ones last."""
    certificates: dict[str, list[X509]] = {}
    revoked: dict[str, list[X509]] = {}
    builders: set[str] = set()
    for handle in present.values():
        folder = containers.label(handle, CERTIFICATES_LABEL)
        is_authority = bool(containers.label(handle, CREDENTIALS_LABEL))
        for path, pem in transfer.read_folder(handle, folder).items() if folder else ():
            name = path.rpartition("/")[2].removesuffix(".crt")
            group = revoked if path.startswith("revoked/") else certificates
            group.setdefault(name, []).extend(_parse(pem))
            if not is_authority:
                builders.add(name)
    rows = [
        _certificate(name, certificates.get(name, []), revoked.get(name, []), builders)
        for name in certificates.keys() | revoked.keys()
    ]
    order = ("part", "builder", "user")
    return sorted(rows, key=lambda row: (row.revoked, order.index(row.kind), row.name))


def is_expired(path: Path) -> bool:
    """Whether the certificate in a file has expired; False if there is no such file."""
    certificates = _parse(path.read_bytes()) if path.exists() else []
    return any(certificate.not_valid_after_utc <= datetime.now(UTC) for certificate in certificates)


def warnings(certificates: Iterable[Certificate]) -> list[str]:
    """A sentence about those that have expired, and one about those that will soon.

    A builder renews its own while it runs, or when it starts.
    """
    names: dict[State, list[str]] = {}
    for each in certificates:
        if each.kind != "builder":
            names.setdefault(each.state, []).append(f"{each.name} ({each.expires:%Y-%m-%d})")
    return list(_sentences(names))


def _sentences(names: Mapping[State, Sequence[str]]) -> Iterator[str]:
    if expired := names.get("expired"):
        yield f"expired certificates: {', '.join(expired)}; `toji credentials renew` renews them"
    if soon := names.get("expires soon"):
        yield f"certificates expire soon: {', '.join(soon)}; `toji credentials renew` renews them"


def _certificate(
    name: str, certificates: Sequence["X509"], revoked: Sequence["X509"], builders: set[str]
) -> Certificate:
    valid = [certificate for certificate in certificates if certificate not in revoked]
    last = max(valid or revoked, key=lambda certificate: certificate.not_valid_before_utc)
    return Certificate(
        name,
        "part" if name in RESERVED else "builder" if name in builders else "user",
        f"{last.serial_number:x}",
        last.not_valid_after_utc,
        revoked=not valid,
        issued=[_pem(certificate) for certificate in dict.fromkeys([*certificates, *revoked])],
    )


def _parse(pem: bytes) -> list["X509"]:
    from cryptography import x509  # noqa: PLC0415 - slow, and few commands need it

    return [x509.load_pem_x509_certificate(each) for each in _PEM.findall(pem)]


def _pem(certificate: "X509") -> str:
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    return certificate.public_bytes(Encoding.PEM).decode()
