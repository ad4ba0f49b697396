"""Repositories as dnf reads them: the RPMs that one lists, and their verified downloads.

repomd.xml comes by HTTPS and has the checksum of the list of packages, which has those of the RPMs.
The library createrepo_c reads such lists too, but PyPI has it for x86_64 alone.
"""

import bz2
import gzip
import hashlib
import lzma
import ssl
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self
from xml.etree import ElementTree

import httpx2

from nagoya.errors import LifecycleError
from nagoya.koji import rpm
from nagoya.utils.retry import repeated

_TIMEOUT = httpx2.Timeout(30, connect=10)
_CHUNK = 1 << 18
_MAX_REPOMD, _MAX_PRIMARY = 16 << 20, 1 << 30
"""Bytes; the largest lists of distributions have some hundred MiB when they are unpacked."""
_MAX_ELEMENTS, _MAX_PACKAGES = 1_000_000, 500_000
"""Of a package, and of a list; the largest distributions have some 100,000 packages."""
_ALGORITHMS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")
# A server may offer to compress what is compressed.
_AS_IT_IS = {"Accept-Encoding": "identity"}
_REPO = "{http://linux.duke.edu/metadata/repo}"
_COMMON = "{http://linux.duke.edu/metadata/common}"
_RPM = "{http://linux.duke.edu/metadata/rpm}"
_BASE = "{http://www.w3.org/XML/1998/namespace}base"
_BROKEN = "the repository is damaged, or being updated, or its mirror lags behind; try again later"
_UNREADABLE = (
    ElementTree.ParseError, ValueError, LookupError, EOFError, OSError, lzma.LZMAError, zlib.error,
)  # fmt: skip


class Unreachable(LifecycleError):
    """A repository does not answer, whichever file is asked for."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository: where it is, its bytes, and the checksum that it must have."""

    url: httpx2.URL
    size: int
    algorithm: str
    checksum: str


@dataclass(frozen=True)
class ListedRpm(rpm.RpmName):
    """An RPM as its repository describes it."""

    file: RemoteFile

    @property
    def contents(self) -> str:
        """What differs if the contents of two RPMs with one name do."""
        return self.file.checksum


class Repository:
    """The repository at an https URL, which is the folder that has `repodata`. A context; several
    threads may use it at once.

    `ca` is a file with the authorities to trust instead of the machine's. The methods raise
    LifecycleError.
    """

    def __init__(self, url: str, ca: Path | None = None) -> None:
        try:
            self._url = httpx2.URL(f"{url.rstrip('/')}/")
        except httpx2.InvalidURL as error:
            raise LifecycleError(f"{url} is no URL: {error}") from None
        try:
            context = ssl.create_default_context(cafile=ca) if ca else httpx2.create_ssl_context()
        except OSError as error:
            reason = error.strerror or error
            raise LifecycleError(f"{ca} has no certificates that can be read: {reason}") from None
        self._client = httpx2.Client(verify=context, follow_redirects=True, timeout=_TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()

    def rpms(self, folder: Path) -> list[ListedRpm]:
        """The RPMs that the repository lists, each once; `folder` gets the list."""
        with _errors(self._url.join("repodata/repomd.xml")) as url:
            primary = _primary(self._url, repeated(lambda: self._repomd(url)))
        path = folder / "primary"
        self._save(primary, path)
        with _errors(primary.url), _opened(path, primary.url.path) as file:
            listed = {(each.file_name, each.file.checksum): each for each in self._listed(file)}
        return list(listed.values())

    def download(self, listed: ListedRpm, folder: Path) -> Path:
        """Download an RPM, with the checksum that the list has."""
        path = folder / listed.file_name
        self._save(listed.file, path)
        return path

    def _repomd(self, url: httpx2.URL) -> bytes:
        with self._client.stream("GET", url, headers=_AS_IT_IS) as answer:
            answer.raise_for_status()
            if any(each.url.scheme != "https" for each in (*answer.history, answer)):
                raise LifecycleError(
                    f"{_shown(url)} leads to a URL without https",
                    "name a mirror that serves its repository by https",
                )
            content = b""
            for chunk in answer.iter_raw(_CHUNK):
                content += chunk
                if len(content) > _MAX_REPOMD:
                    raise ValueError(f"it is larger than {_MAX_REPOMD >> 20} MiB")
            return content

    def _save(self, remote: RemoteFile, path: Path) -> None:
        def save() -> str:
            digest = hashlib.new(remote.algorithm, usedforsecurity=False)
            with (
                self._client.stream("GET", remote.url, headers=_AS_IT_IS) as answer,
                path.open("wb") as file,
            ):
                answer.raise_for_status()
                for chunk in answer.iter_raw(_CHUNK):
                    file.write(chunk)
                    digest.update(chunk)
                    if answer.num_bytes_downloaded > remote.size:
                        break
            return digest.hexdigest()

        with _errors(remote.url):
            if repeated(save) != remote.checksum:
                raise LifecycleError(
                    f"{_shown(remote.url)} is not the file that the repository lists: "
                    f"its {remote.algorithm} differs",
                    _BROKEN,
                )

    def _listed(self, file: IO[bytes]) -> Iterator[ListedRpm]:
        elements = packages = 0
        for _, element in ElementTree.iterparse(_Limited(file)):
            elements += 1
            if elements > _MAX_ELEMENTS or packages > _MAX_PACKAGES:
                raise ValueError(f"it has more than {_MAX_PACKAGES} packages, or too large ones")
            if element.tag != f"{_COMMON}package":
                continue
            elements, packages = 0, packages + 1
            version, location = (
                element.find(f"{_COMMON}version"),
                element.find(f"{_COMMON}location"),
            )
            size, time = element.find(f"{_COMMON}size"), element.find(f"{_COMMON}time")
            if version is None or location is None or size is None or time is None:
                raise ValueError("a package lacks its version, location, size or time")
            base = location.get(_BASE)
            listed = ListedRpm(
                element.findtext(f"{_COMMON}name", ""),
                version.attrib["ver"],
                version.attrib["rel"],
                # The list has 0 for none.
                int(version.get("epoch") or 0) or None,
                element.findtext(f"{_COMMON}arch", ""),
                element.findtext(f"{_COMMON}format/{_RPM}sourcerpm", ""),
                int(time.attrib["build"]),
                RemoteFile(
                    (httpx2.URL(base) if base else self._url).join(location.attrib["href"]),
                    int(size.attrib["package"]),
                    *_checksum(element, _COMMON),
                ),
            )
            if "/" in listed.file_name:
                raise ValueError(f"no package can be called {listed.file_name}")
            yield listed
            element.clear()


class _Limited:
    """A file that is not read beyond _MAX_PRIMARY bytes, whatever it unpacks to."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._left = file, _MAX_PRIMARY

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"it unpacks to more than {_MAX_PRIMARY >> 20} MiB")
        return data


def _primary(base: httpx2.URL, repomd: bytes) -> RemoteFile:
    for data in ElementTree.fromstring(repomd).iterfind(f"{_REPO}data[@type='primary']"):
        location, size = data.find(f"{_REPO}location"), data.findtext(f"{_REPO}size")
        if location is not None:
            if size and int(size) > _MAX_PRIMARY:
                raise ValueError(f"it unpacks to more than {_MAX_PRIMARY >> 20} MiB")
            return RemoteFile(
                base.join(location.attrib["href"]),
                int(size) if size else _MAX_PRIMARY,
                *_checksum(data, _REPO),
            )
    raise ValueError("it names no list of packages (primary)")


def _checksum(element: ElementTree.Element, namespace: str) -> tuple[str, str]:
    checksum = element.find(f"{namespace}checksum")
    if checksum is None:
        raise ValueError("a checksum is missing")
    algorithm = {"sha": "sha1"}.get(checksum.attrib["type"], checksum.attrib["type"])
    if algorithm not in _ALGORITHMS:
        raise ValueError(f"the checksum {algorithm} is unknown")
    return algorithm, checksum.text or ""


@contextmanager
def _opened(path: Path, name: str) -> Iterator[IO[bytes]]:
    """Open a list of packages, whose name tells how it is compressed."""
    openers: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
    suffix = Path(name).suffix
    with path.open("rb") as raw:
        if suffix != ".zst":
            yield openers.get(suffix, lambda file: file)(raw)
            return
        try:
            import zstandard  # noqa: PLC0415 - an optional extra
        except ImportError:
            raise LifecycleError(
                "zstandard is not installed", "pip install 'zstandard>=0.22'"
            ) from None
        try:
            yield zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
        except zstandard.ZstdError as error:
            raise ValueError(error) from None


@contextmanager
def _errors(url: httpx2.URL) -> Iterator[httpx2.URL]:
    """Turn what can go wrong with a file of a repository into a LifecycleError."""
    try:
        yield url
    except httpx2.HTTPStatusError as error:
        answer, is_first = error.response, url.path.endswith("/repodata/repomd.xml")
        raise LifecycleError(
            f"{_shown(url)} answered {answer.status_code} {answer.reason_phrase}",
            "`repo` is the URL of the folder that contains `repodata`" if is_first else _BROKEN,
        ) from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        again = (
            "apply the seed again when the network is back; what the hub has is not fetched again"
        )
        unknown = "CERTIFICATE_VERIFY_FAILED" in str(error)
        raise Unreachable(
            f"{_shown(url)} was not fetched: {error or type(error).__name__}",
            "`ca` of the document names a file with the authorities to trust" if unknown else again,
        ) from None
    except _UNREADABLE as error:
        # An error with a number is of this machine's disk.
        hint = None if getattr(error, "errno", None) else _BROKEN
        raise LifecycleError(f"{_shown(url)} cannot be read: {error}", hint) from None


def _shown(url: httpx2.URL) -> str:
    """A URL without the password that it may have."""
    return str(url.copy_with(userinfo=b""))
