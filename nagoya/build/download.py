"""Downloads: a URL, or a file of a release on a package index. Nothing that is fetched is run.

`pip download` runs a source distribution's setup.py for its metadata; unearth only finds files. It
looks where pip is configured to look on this machine, with the same credentials and proxies.
"""

import ast
import hashlib
import logging
import os
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2
from unearth import Link, PackageFinder, Source
from unearth.auth import MultiDomainBasicAuth
from unearth.fetchers import Fetcher, PyPIClient

from nagoya.errors import CommandError, SourceError
from nagoya.utils.command import run
from nagoya.utils.retry import repeated

_CHUNK = 1 << 18
_TIMEOUT = httpx2.Timeout(30, connect=10)
_WITHOUT_URL = (
    "check the address, its credentials and the network. Without them, declare an unpacked copy "
    "with `path: FOLDER` (make: KOJI=FOLDER), or use the Koji of `-c nagoya`, which comes from PyPI"
)


def from_url(url: str, path: Path, on_line: Callable[[str], None]) -> None:
    """Download a URL to a file. Raises SourceError, which hides a password in the URL."""
    try:
        urlsplit(url)
    except ValueError as error:  # it is not repeated here, since it may contain a password
        raise SourceError(f"its URL cannot be read: {error}", _WITHOUT_URL) from None
    with _client({}) as client:
        try:
            _save(client, Link(url), path, on_line)
        except SourceError as error:
            raise SourceError(error.message, _WITHOUT_URL) from error


def from_index(release: str, sha256: str, path: Path, on_line: Callable[[str], None]) -> None:
    """Download that file of a release (NAME==VERSION) which has the sha256.

    Looks in pip's `find-links` and indexes. Wheels for another Python or platform count too: the
    checksum decides. Raises SourceError, which lists what each place answered.
    """
    settings = _pip_settings()
    places = list(_places(settings))
    if not places:
        raise SourceError(
            f"{release} cannot be fetched: pip is set to no-index, and find-links names no folder",
            "see `pip config list`",
        )
    answers: list[str] = []
    others: list[str] = []
    with _client(settings, [place["url"] for place in places]) as client:
        for place in places:
            on_line(f"looking in {Link(place['url']).redacted}")
            for link in _links(client, place, release, answers):
                [digest] = (link.hash_option or {}).get("sha256", [sha256])
                if digest == sha256:
                    _save(client, link, path, on_line)
                    digest = file_sha256(path)
                if digest == sha256:
                    return
                others.append(f"{link.filename} has sha256 {digest}")
    if others:
        raise SourceError(
            "\n  ".join([f"no file of {release} has the declared sha256 {sha256}", *others]),
            "if you trust one of these files, write its sha256 into moromi.yml",
        )
    raise SourceError(
        "\n  ".join([f"{release} was not found", *answers]),
        "check the release in moromi.yml, the network, and pip's settings: `pip config list`",
    )


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pip_settings() -> dict[str, str]:
    """pip's settings for a download: the global ones, `pip download`'s, the environment's."""
    try:
        listed = run([sys.executable, "-m", "pip", "config", "list"])
    except CommandError as error:
        missing = "No module named pip" in error.message
        raise SourceError(
            f"pip's settings cannot be read: {error.message}",
            f"install pip: {sys.executable} -m ensurepip" if missing else None,
        ) from None
    settings: dict[str, str] = {}
    for section in ("global.", "download.", ":env:."):
        for line in listed.splitlines():
            name, _, value = line.partition("=")
            if name.startswith(section) and (text := ast.literal_eval(value)):
                settings[name.removeprefix(section)] = text
    return settings


def _places(settings: Mapping[str, str]) -> Iterator[Source]:
    """The folders, pages and indexes to look in, without folders that do not exist."""
    for place in settings.get("find-links", "").split():
        folder = Path(place).expanduser()
        if folder.exists() or "://" in place:
            url = folder.absolute().as_uri() if folder.exists() else place
            yield {"url": url, "type": "find_links"}
    if settings.get("no-index", "").lower() not in ("1", "true", "t", "yes", "y", "on"):
        default = PackageFinder().sources[0]["url"]
        indexes = settings.get("extra-index-url", "").split()
        for url in (settings.get("index-url", default), *indexes):
            yield {"url": url, "type": "index"}


def _client(settings: Mapping[str, str], index_urls: Sequence[str] = ()) -> PyPIClient:
    bundle = settings.get("cert") or os.getenv("REQUESTS_CA_BUNDLE") or os.getenv("CURL_CA_BUNDLE")
    try:
        context = (
            ssl.create_default_context(cafile=bundle) if bundle else httpx2.create_ssl_context()
        )
        if certificate := settings.get("client-cert"):
            context.load_cert_chain(certificate)
    except OSError as error:
        raise SourceError(
            f"the certificates that pip is configured with cannot be read: {error}",
            "see `pip config list`, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE and SSL_CERT_FILE",
        ) from None
    trusted = settings.get("trusted-host", "").split()
    proxy = settings.get("proxy")
    proxies = dict.fromkeys(("http", "https"), proxy) if proxy else getproxies()
    return PyPIClient(
        trusted_hosts=trusted,
        # unearth itself would reach these hosts without the proxy.
        mounts={
            f"{scheme}://{host}": httpx2.HTTPTransport(verify=False, proxy=url)
            for host in trusted
            for scheme, url in proxies.items()
            if proxy or not proxy_bypass(host)
        },
        verify=context,
        proxy=proxy,
        auth=MultiDomainBasicAuth(prompting=False, index_urls=index_urls),
        follow_redirects=True,
        timeout=_TIMEOUT,
    )


def _links(client: PyPIClient, place: Source, release: str, answers: list[str]) -> list[Link]:
    """The files of a release in one place; `answers` gets what is wrong with it."""
    finder = PackageFinder(cast(Fetcher, client), ignore_compatibility=True)
    finder.sources = [place]
    shown = Link(place["url"]).redacted
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: warnings.append(record.getMessage())  # type: ignore[method-assign]
    links: list[Link] = []
    warnings: list[str] = []
    # unearth only warns of an index that answers 401 or 404.
    logging.getLogger("unearth").addHandler(handler)
    try:
        packages = repeated(lambda: [*finder.find_matches(release, allow_prereleases=True)])
        links = [package.link for package in packages]
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, OSError) as error:
        warnings.append(f"{shown}: {error or type(error).__name__}")
    finally:
        logging.getLogger("unearth").removeHandler(handler)
    if not links and not warnings:
        warnings.append(f"{shown}: has no file of {release}")
    answers += [warning for warning in warnings if warning not in answers]
    return links


def _save(client: PyPIClient, link: Link, path: Path, on_line: Callable[[str], None]) -> None:
    # Otherwise an archive that the server declares as gzip-encoded would be unpacked.
    headers = {"Accept-Encoding": "identity"}

    def save() -> None:
        with (
            client.stream("GET", link.url_without_fragment, headers=headers) as answer,
            path.open("wb") as file,
        ):
            if answer.history and answer.url.scheme == "file":
                raise ValueError("it leads to a file of this machine")
            if answer.is_error:
                raise SourceError(
                    f"{link.redacted} answered {answer.status_code} {answer.reason_phrase}",
                    "check the address, and the credentials for it",
                )
            length = answer.headers.get("Content-Length")
            total = f" of {int(length) / 1e6:.1f}" if length else ""
            for chunk in answer.iter_raw(_CHUNK):
                file.write(chunk)
                on_line(f"{answer.num_bytes_downloaded / 1e6:.1f}{total} MB")

    try:
        repeated(save)
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        raise SourceError(
            f"{link.redacted} was not fetched: {error or type(error).__name__}",
            "is there a network? A file that is in the cache is used without one",
        ) from None
