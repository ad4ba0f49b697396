"""Reading an RPM without the library rpm: its name, and whether it is whole.

The format is that of https://rpm-software-management.github.io/rpm/manual/format_v4.html: a lead,
a signature header, a header, a compressed payload. Koji's client library reads the headers; it
needs no `rpm` module for that.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nagoya.errors import LifecycleError
from nagoya.koji.hub import koji_module

_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH, _SOURCERPM = 1000, 1001, 1002, 1003, 1022, 1044
_PAYLOAD_DIGEST, _PAYLOAD_DIGEST_ALGORITHM = 5092, 5093
_SHA256 = 8
_SIG_SHA256 = 273
_SIGNATURES = (267, 268, 1002, 1005)
"""Tags of the signature header that hold a signature: DSA, RSA, and the older PGP and GPG."""


@dataclass(frozen=True)
class Rpm:
    """The header of a whole RPM. A source RPM's `arch` is src, its `source_rpm` empty; `signed` is
    whether a key has signed it."""

    name: str
    version: str
    release: str
    epoch: int | None
    arch: str
    source_rpm: str
    signed: bool

    @property
    def nvr(self) -> str:
        """Name, version and release, as Koji writes a build."""
        return f"{self.name}-{self.version}-{self.release}"

    @property
    def build_nvr(self) -> str:
        """The build that it belongs to, which has the name of the source RPM."""
        source = self.source_rpm.removesuffix(".rpm")
        return source.rpartition(".")[0] if source else self.nvr


def read(path: Path) -> Rpm:
    """Read an RPM, and check its header and payload against the digests that it carries.

    Raises LifecycleError if it is not an RPM, is cut off, or does not match a digest.
    """
    koji = koji_module()
    try:
        start, length = koji.find_rpm_sighdr(str(path))
        signature = koji.RawHeader(koji.rip_rpm_sighdr(str(path)))
        raw = koji.rip_rpm_hdr(str(path))
        header = koji.RawHeader(raw)
    except (koji.GenericError, OSError, ValueError, IndexError) as error:
        raise LifecycleError(f"{path.name} is not an RPM: {error}") from None
    payload = path.read_bytes()[start + length + len(raw) :]
    _check_digest(path, "header", _text(signature.get(_SIG_SHA256)), raw)
    if header.get(_PAYLOAD_DIGEST_ALGORITHM) not in (_SHA256, [_SHA256]):
        raise LifecycleError(f"{path.name} has no SHA-256 digest of its payload")
    _check_digest(path, "payload", _text(header.get(_PAYLOAD_DIGEST)), payload)
    tags = (_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH, _SOURCERPM)
    name, version, release, epoch, arch, source_rpm = (_text(header.get(tag)) for tag in tags)
    return Rpm(
        name,
        version,
        release,
        int(epoch) if epoch else None,
        arch if source_rpm else "src",
        source_rpm,
        signed=any(signature.get(tag) for tag in _SIGNATURES),
    )


def _check_digest(path: Path, part: str, sha256: str, content: bytes) -> None:
    if sha256 != hashlib.sha256(content).hexdigest():
        raise LifecycleError(
            f"{path.name} is damaged: its {part} does not match the digest it carries",
            "download it again; if it stays so, the disk or the network of the hub is at fault",
        )


def _text(value: Any) -> str:
    if isinstance(value, list):
        value = value[0] if value else None
    if value is None:
        return ""
    return value.decode() if isinstance(value, bytes) else str(value)
