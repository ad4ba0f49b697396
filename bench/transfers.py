"""Files to the hub and from it by Koji's client, beside curl over the same TLS."""

import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from koji_cli.lib import download_file

from bench.systems import BenchSystem
from bench.table import Row, side_by_side

_MEGABYTES = 300
PART = 30 * 10**6
"""What curl sends in one request; the hub takes 32 MiB at most."""


def transfer_rows(system: BenchSystem, rounds: int) -> Iterator[Row]:
    """Megabytes a second, up and down."""
    session = system.session()
    # What curl and Koji's client fetch: a file of the hub's own.
    name = f"bench-{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        content = os.urandom(_MEGABYTES * 10**6)
        path.write_bytes(content)
        parts = {offset: Path(folder, str(offset)) for offset in range(0, len(content), PART)}
        for offset, part in parts.items():
            part.write_bytes(content[offset : offset + PART])
        (koji,), (curl,) = side_by_side(
            rounds,
            partial(_upload, session, path),
            partial(_curl_upload, system, session, name, parts),
        )
        what, aim = f"{_MEGABYTES} MB", "ratio >= 0.8"
        yield Row(f"upload of {what}", koji, "MB/s", curl, "curl, 30 MB a request", aim)
        url = f"{system.connection['urls']['files']}/work/bench/{name}"
        target = Path(folder, "downloaded")
        (koji,), (curl,) = side_by_side(
            rounds, partial(_download, system, url, target), partial(_curl, system, url, target)
        )
        assert target.read_bytes() == content
        yield Row(f"download of {what}", koji, "MB/s", curl, "curl", aim)


def _upload(session: Any, path: Path) -> tuple[float]:
    start = time.monotonic()
    session.uploadWrapper(str(path), "bench")
    return (_MEGABYTES / (time.monotonic() - start),)


def _curl_upload(
    system: BenchSystem, session: Any, name: str, parts: Mapping[int, Path]
) -> tuple[float]:
    """The requests that Koji's client sends, each with a longer part of the file; these by their
    offsets."""
    requests = []
    for offset, part in parts.items():
        url, headers, _ = session._prepUpload(b"", offset, "bench", name, overwrite=not offset)
        options = [f"-H{key}: {value}" for key, value in headers if key != "Content-length"]
        requests.append([*options, "--data-binary", f"@{part}", "--output", "/dev/null", url])
    start = time.monotonic()
    _run_curl(system, *requests)
    return (_MEGABYTES / (time.monotonic() - start),)


def _download(system: BenchSystem, url: str, target: Path) -> tuple[float]:
    target.unlink(missing_ok=True)
    with mock.patch.dict(os.environ, REQUESTS_CA_BUNDLE=system.connection["ca"]):
        start = time.monotonic()
        download_file(url, str(target), quiet=True, noprogress=True)
    return (_MEGABYTES / (time.monotonic() - start),)


def _curl(system: BenchSystem, url: str, target: Path) -> tuple[float]:
    start = time.monotonic()
    _run_curl(system, ["--output", str(target), url])
    return (_MEGABYTES / (time.monotonic() - start),)


def _run_curl(system: BenchSystem, *requests: Sequence[str]) -> None:
    """Send requests, one after the other through one connection."""
    options = ["--silent", "--show-error", "--fail", "--cacert", system.connection["ca"]]
    arguments = [word for request in requests for word in ("--next", *options, *request)]
    subprocess.run(["curl", *arguments], check=True)
