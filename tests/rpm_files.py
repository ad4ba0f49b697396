"""RPMs for tests, written byte by byte: of any age, whole or not."""

import gzip
import hashlib
import struct
from collections.abc import Collection, Mapping
from pathlib import Path

Value = int | bytes | str | list[int] | list[bytes] | list[str]

LEAD = b"\xed\xab\xee\xdb\x03\x00"
OF_EL6 = ("sha1", "md5")
"""The digests of RPMs made by rpm before 4.14."""
OF_TODAY = ("sha1", "sha256", "md5", "payload")
OF_RPM_6 = ("sha256", "sha3_256", "payload")

_SIGNATURE_DIGESTS = {"sha1": 269, "sha256": 273, "sha3_256": 279}
_NOTHING = b"07070100000000" + b"0" * 80 + b"0000000b00000000TRAILER!!!\0\0\0\0"
"""A cpio archive without files."""


def write_rpm(
    folder: Path,
    name: str = "hello",
    *,
    version: str = "1",
    release: str = "1",
    arch: str = "noarch",
    source: str | None = None,
    epoch: int | None = None,
    digests: Collection[str] = OF_TODAY,
    tags: Mapping[int, Value] | None = None,
    payload: bytes = _NOTHING,
    build_time: int = 1_000_000_000,
    file_name: str | None = None,
) -> Path:
    """Write an RPM; its path. `arch` src or nosrc makes a source RPM; the `source` of others is
    NAME-VERSION-RELEASE.src.rpm unless it is given. `tags` are further ones of the header."""
    packed = gzip.compress(payload, mtime=0)
    header: dict[int, Value] = {
        1000: name, 1001: version, 1002: release, 1004: ["A test"], 1005: ["A test."],
        1006: build_time, 1009: len(payload), 1014: "MIT", 1016: ["Unspecified"], 1021: "linux",
        1022: arch, 1047: [name], 1112: [8], 1113: [f"{version}-{release}"], 1124: "cpio",
        1125: "gzip", 1126: "9",
    }  # fmt: skip
    if arch in ("src", "nosrc"):
        header |= {1022: "x86_64", 1106: 1, **({1051: 0} if arch == "nosrc" else {})}
    else:
        header[1044] = source or f"{name}-{version}-{release}.src.rpm"
    if epoch is not None:
        header[1003] = epoch
    if "payload" in digests:
        header |= {5092: [hashlib.sha256(packed).hexdigest()], 5093: 8}
    raw = _header(63, header | dict(tags or {}))
    signature: dict[int, Value] = {
        _SIGNATURE_DIGESTS[digest]: hashlib.new(digest, raw).hexdigest()
        for digest in digests
        if digest in _SIGNATURE_DIGESTS
    }
    if "md5" in digests:
        signature |= {1000: len(raw) + len(packed), 1004: hashlib.md5(raw + packed).digest()}
    raw_signature = _header(62, signature)
    lead = LEAD + struct.pack(">HH66sHH16x", arch == "src", 1, name.encode()[:65], 1, 5)
    path = folder / (file_name or f"{name}-{version}-{release}.{arch}.rpm")
    path.write_bytes(lead + raw_signature + b"\0" * (-len(raw_signature) % 8) + raw + packed)
    return path


def _header(region: int, values: Mapping[int, Value]) -> bytes:
    """A header whose tags are all in one region, as rpm writes it."""
    index, data = b"", b""
    for tag, value in sorted(values.items()):
        match value:
            case int() | [int(), *_]:
                data += b"\0" * (-len(data) % 4)
                numbers = [value] if isinstance(value, int) else value
                kind, count = 4, len(numbers)
                content = struct.pack(f">{count}I", *numbers)
            case list():
                kind, count = 9 if tag in (1004, 1005, 1016) else 8, len(value)
                content = b"".join(_bytes(text) + b"\0" for text in value)
            case bytes():
                kind, count, content = 7, len(value), value
            case _:
                kind, count, content = 6, 1, _bytes(value) + b"\0"
        index += struct.pack(">4I", tag, kind, len(data), count)
        data += content
    first = struct.pack(">4I", region, 7, len(data), 16)
    size = len(index) + len(first)
    data += struct.pack(">IIiI", region, 7, -size, 16)
    return (
        b"\x8e\xad\xe8\x01\0\0\0\0"
        + struct.pack(">2I", size // 16, len(data))
        + first
        + index
        + data
    )


def _bytes(text: object) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode()
