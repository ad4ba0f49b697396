"""Reading an RPM without the library rpm: what it is, and whether it is whole.

An RPM is a lead, a signature header, a header and a compressed payload. Which digests it carries
depends on its age: SHA-1 and MD5 from before 4.14, SHA-256 as well since then, and neither SHA-1
nor MD5 in rpm 6's format. See https://rpm-software-management.github.io/rpm/manual/format_v4.html
and format_v6.html beside it.
"""

import hashlib
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from nagoya.errors import LifecycleError

_LEAD, _HEADER = b"\xed\xab\xee\xdb", b"\x8e\xad\xe8"
_LEAD_SIZE, _INTRO_SIZE, _ENTRY_SIZE = 96, 16, 16
_MAX_ENTRIES, _MAX_DATA = 0xFFFF, 1 << 28
"""The limits of rpm itself; a damaged header may claim any size."""
_MAX_STRINGS = 1 << 20
"""Of a tag; no package has that many files."""
_CHUNK = 1 << 20

_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH, _SOURCERPM = 1000, 1001, 1002, 1003, 1022, 1044
_BUILDTIME, _SOURCEPACKAGE, _NOSOURCE, _NOPATCH = 1006, 1106, 1051, 1052

# In the signature header.
_SIGNATURES = (267, 268, 278, 1002, 1005)
"""DSA, RSA, OpenPGP, and the older PGP and GPG."""
_MD5 = 1004
"""Of header and payload."""
_HEADER_DIGESTS = {279: "sha3_256", 273: "sha256", 269: "sha1"}
# In the header.
_PAYLOAD_DIGESTS = {5123: "sha3_256", 5121: "sha512", 5092: "sha256"}
_PAYLOAD_ALGORITHM = 5093
"""The algorithm of 5092, as OpenPGP numbers them; without it, that is SHA-256."""
_ALGORITHMS = {1: "md5", 2: "sha1", 8: "sha256", 9: "sha384", 10: "sha512", 11: "sha224"}

_CONTROL = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f]")
_IN_REPODATA = {
    "summary": (1004,), "description": (1005,), "build host": (1007,), "vendor": (1011,),
    "license": (1014,), "packager": (1015,), "group": (1016,), "URL": (1020,),
    "files": (1027, 1117, 1118), "provides": (1047, 1113), "requires": (1049, 1050),
    "conflicts": (1054, 1055), "obsoletes": (1090, 1115), "recommends": (5046, 5047),
    "suggests": (5049, 5050), "supplements": (5052, 5053), "enhances": (5055, 5056),
    "changelog": (1081, 1082),
}  # fmt: skip
_CHANGES_IN_REPODATA = 10
"""createrepo_c's default; the newest."""


@dataclass(frozen=True)
class RpmName:
    """What identifies an RPM to Koji. A source RPM's `arch` is src or nosrc, its `source_rpm` is
    empty; `build_time` counts seconds since 1970."""

    name: str
    version: str
    release: str
    epoch: int | None
    arch: str
    source_rpm: str
    build_time: int

    @property
    def nvr(self) -> str:
        """Name, version and release, as Koji writes a build."""
        return f"{self.name}-{self.version}-{self.release}"

    @property
    def file_name(self) -> str:
        """The name that Koji demands of its file."""
        return f"{self.nvr}.{self.arch}.rpm"

    @property
    def build_nvr(self) -> str:
        """The build that it belongs to, which has the name of the source RPM."""
        source = self.source_rpm.removesuffix(".rpm")
        return source.rpartition(".")[0] if source else self.nvr


@dataclass(frozen=True)
class Rpm(RpmName):
    """The header of a whole RPM.

    `identity` is the digest by which Koji knows it, the same for copies that differ in their
    signatures: MD5, or for an RPM without that another with its name (`sha256::…`). `signed` is
    whether a key has signed it; `control_characters` names a field that contains some, for which
    createrepo_c makes no repository, or is empty.
    """

    identity: str
    signed: bool
    control_characters: str = ""

    @property
    def contents(self) -> str:
        """What differs if the contents of two RPMs with one name do."""
        return self.identity

    @property
    def has_md5(self) -> bool:
        """Whether it carries an MD5 digest; in rpm 6's format it does not."""
        return "::" not in self.identity


class _Header:
    """A header's values by their tags; of a tag that is there twice, the last one counts."""

    def __init__(self, raw: bytes) -> None:
        (count,) = struct.unpack_from(">8xI", raw)
        index = raw[_INTRO_SIZE : _INTRO_SIZE + count * _ENTRY_SIZE]
        self._data = raw[_INTRO_SIZE + len(index) :]
        self._entries = {tag: entry for tag, *entry in struct.iter_unpack(">4I", index)}

    @property
    def tags(self) -> set[int]:
        return set(self._entries)

    def number(self, tag: int) -> int | None:
        kind, offset, _ = self._entries.get(tag, (0, 0, 0))
        width = {2: 1, 3: 2, 4: 4, 5: 8}.get(kind)
        return width and int.from_bytes(self._data[offset : offset + width], "big")

    def strings(self, tag: int) -> list[bytes]:
        kind, offset, count = self._entries.get(tag, (0, 0, 0))
        if kind not in (6, 8, 9):  # a string, an array, an array of translations
            return []
        values = []
        for _ in range(min(count, _MAX_STRINGS)):
            end = self._data.find(b"\0", offset)
            values.append(self._data[offset:end])
            offset = end + 1
            if end < 0:
                break
        return values

    def text(self, tag: int) -> str:
        return next(iter(self.strings(tag)), b"").decode(errors="replace")

    def binary(self, tag: int) -> bytes:
        kind, offset, count = self._entries.get(tag, (0, 0, 0))
        return self._data[offset : offset + count] if kind == 7 else b""


class Damaged(LifecycleError):
    """An RPM does not match a digest that it carries; its header may be damaged too."""

    def __init__(self, path: Path, part: str, header: Rpm) -> None:
        super().__init__(
            f"{path.name} is damaged: its {part} does not match the digest it carries",
            "download it again; if it stays so, the disk or the network of the hub is at fault",
        )
        self.header = header


def read(path: Path) -> Rpm:
    """Read an RPM, and check it against every digest that it carries.

    Raises LifecycleError if it is not an RPM, or is cut off in its headers, and Damaged.
    """
    if not path.is_file():  # a pipe would be waited for
        raise LifecycleError(f"{path.name} is no regular file")
    with _opened(path) as file:
        lead = file.read(_LEAD_SIZE)
        if not lead:
            raise LifecycleError(f"{path.name} is empty")
        if not lead.startswith(_LEAD):
            raise LifecycleError(f"{path.name} is not an RPM")
        raw_signature = _read_header(file, path)
        file.read(-len(raw_signature) % 8)
        raw = _read_header(file, path)
        signature, header = _Header(raw_signature), _Header(raw)
        rpm = _rpm(path, lead, signature, header)
        part = _damaged_part(path, signature, header, raw, file)
    if part:
        raise Damaged(path, part, rpm)
    return rpm


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise LifecycleError(f"{path.name} cannot be read: {error.strerror}") from None


def _rpm(path: Path, lead: bytes, signature: _Header, header: _Header) -> Rpm:
    name, version, release, arch, source_rpm = (
        header.text(tag) for tag in (_NAME, _VERSION, _RELEASE, _ARCH, _SOURCERPM)
    )
    # The lead says so too, and alone before rpm 4.
    if header.number(_SOURCEPACKAGE) or (not source_rpm and lead[7] == 1):
        arch, source_rpm = "nosrc" if {_NOSOURCE, _NOPATCH} & header.tags else "src", ""
    elif not source_rpm:
        raise LifecycleError(
            f"{path.name} names no source RPM, so Koji cannot assign it to a build"
        )
    return Rpm(
        name,
        version,
        release,
        header.number(_EPOCH),
        arch,
        source_rpm,
        header.number(_BUILDTIME) or 0,
        _identity(signature),
        signed=bool(signature.tags.intersection(_SIGNATURES)),
        control_characters=_control_characters(header),
    )


def version_key(text: str) -> list[tuple[int, int, str]]:
    """By which versions and releases sort as rpm compares them."""
    ranks = {"~": (-1, 0, ""), "^": (1, 0, "")}
    key = []
    for part in re.findall("[0-9]+|[a-zA-Z]+|[~^]", text):
        digits = part.lstrip("0")
        number = (3, len(digits), digits)
        key.append(ranks.get(part) or (number if part.isdigit() else (2, 0, part)))
    return [*key, (0, 0, "")]


def _read_header(file: IO[bytes], path: Path) -> bytes:
    intro = file.read(_INTRO_SIZE)
    if len(intro) == _INTRO_SIZE:
        count, size = struct.unpack_from(">8x2I", intro)
        if not intro.startswith(_HEADER) or count > _MAX_ENTRIES or size > _MAX_DATA:
            raise LifecycleError(f"{path.name} is not an RPM: no header follows its lead")
        rest = file.read(count * _ENTRY_SIZE + size)
        if len(rest) == count * _ENTRY_SIZE + size:
            return intro + rest
    raise LifecycleError(f"{path.name} is cut off in its headers", "download it again")


def _damaged_part(
    path: Path, signature: _Header, header: _Header, raw: bytes, payload: IO[bytes]
) -> str | None:
    """Compare the digests of the header, and those of the payload, which is read in chunks."""
    for tag, algorithm in _HEADER_DIGESTS.items():
        if tag in signature.tags:
            digest = hashlib.new(algorithm, raw, usedforsecurity=False)
            if digest.hexdigest() != signature.text(tag):
                return "header"
    expected, digests = {}, {}
    for tag, algorithm in _PAYLOAD_DIGESTS.items():
        known: str | None = algorithm
        if tag == 5092 and (number := header.number(_PAYLOAD_ALGORITHM)):
            known = _ALGORITHMS.get(number)
        if tag in header.tags and known:
            expected[tag], digests[tag] = header.text(tag), hashlib.new(known)
    if _MD5 in signature.tags:
        expected[_MD5] = signature.binary(_MD5).hex()
        digests[_MD5] = hashlib.md5(raw, usedforsecurity=False)
    if not digests:
        raise LifecycleError(
            f"{path.name} has no payload digest, so its contents cannot be checked"
        )
    while chunk := payload.read(_CHUNK):
        for digest in digests.values():
            digest.update(chunk)
    actual = {tag: digest.hexdigest() for tag, digest in digests.items()}
    return None if actual == expected else "payload"


def _identity(signature: _Header) -> str:
    if _MD5 in signature.tags:
        return signature.binary(_MD5).hex()
    tag = next((tag for tag in _HEADER_DIGESTS if tag in signature.tags), None)
    if tag is None:
        return "none::"
    return f"{_HEADER_DIGESTS[tag].replace('_', '-')}::{signature.text(tag)}"


def _control_characters(header: _Header) -> str:
    for field, tags in _IN_REPODATA.items():
        for tag in tags:
            strings = header.strings(tag)
            if field == "changelog":
                strings = strings[:_CHANGES_IN_REPODATA]
            if any(map(_CONTROL.search, strings)):
                return field
    return ""
