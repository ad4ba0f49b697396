"""Make the distribution and the source packages once, in a container, and keep them here.

Nothing is made again until what it is made of has changed, whatever Debian's archive holds by then.
"""

import hashlib
import io
import os
import shutil
import tarfile
import tempfile
import time
import tomllib
import uuid
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from nagoya.build import download
from nagoya.engine import connect
from nagoya.utils.lock import cache_folder, locked
from tests.debian_distribution.sources import archive_name

HERE = Path(__file__).resolve().parent
PACKAGES = HERE.parent / "packages"
OTHERS = {"cache.py", "maven.py", "sources.py"}
"""Files of this folder that make no part of the distribution."""
SECONDS = 1800
KEPT_SECONDS = 14 * 24 * 3600
"""How long what no test has used is kept."""


def distribution(image: str, form: str, architecture: str = "amd64") -> Path:
    """A folder with the RPMs and the metadata of the distribution: its short or long form, for one
    of Debian's architectures. `image` is that of the builder."""
    inputs = [path for path in HERE.rglob("*") if path.name not in OTHERS]

    def make(work: Path) -> None:
        _run(work, image, [HERE], "convert", form, architecture)

    return _made(f"distribution-{form}-{architecture}", inputs, make)


def maven(image: str) -> Path:
    """A folder with the RPMs and the metadata of what Maven builds need beside the short form."""
    inputs = [path for path in HERE.rglob("*") if path.name not in OTHERS - {"maven.py"}]

    def make(work: Path) -> None:
        _run(work, image, [HERE], "maven")

    return _made("maven", inputs, make)


def sources(image: str, form: str, names: Collection[str]) -> Path:
    """A folder with the source RPMs and git repositories of these of tests/packages, those of a
    form, and sources.json."""
    folders = [path for name in names for path in (PACKAGES / name).rglob("*")]
    inputs = [HERE / "sources.py", HERE / "convert.py", PACKAGES / "sources.toml", *folders]

    def make(work: Path) -> None:
        _run(work, image, [HERE, PACKAGES, _releases(work, names)], "sources", *sorted(names))

    return _made(f"sources-{form}", inputs, make)


def _made(name: str, inputs: Iterable[Path], make: Callable[[Path], None]) -> Path:
    """The folder of that name for these inputs; `make` writes it, as `output` in a folder."""
    files = sorted(path for path in inputs if path.is_file() and "__pycache__" not in path.parts)
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(HERE.parent)}\0".encode() + path.read_bytes())
    folder = cache_folder() / "tests" / f"{name}-{digest.hexdigest()[:16]}"
    with locked(f"tests-{name}", lambda: None):
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            _remove_unused(folder.parent)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as work:
                make(Path(work))
                (Path(work) / "output").rename(folder)
        os.utime(folder)
    return folder


def _remove_unused(parent: Path) -> None:
    for path in parent.iterdir():
        if path.stat().st_mtime < time.time() - KEPT_SECONDS:
            shutil.rmtree(path)


def _releases(work: Path, names: Iterable[str]) -> Path:
    """A folder with the releases on PyPI that sources.toml names for these packages. They are
    downloaded here, where pip is configured."""
    folder = work / "releases"
    folder.mkdir()
    table = tomllib.loads((PACKAGES / "sources.toml").read_text())
    for name in names:
        for release, sha256 in table[name].get("pypi", {}).items():
            download.from_index(release, sha256, folder / archive_name(release), lambda line: None)
    return folder


def _run(work: Path, image: str, folders: Iterable[Path], module: str, *arguments: str) -> None:
    """Run a module of this folder in a container that has these folders; copy its output out."""
    code = io.BytesIO()
    with tarfile.open(fileobj=code, mode="w") as archive:
        for folder in folders:
            archive.add(
                folder,
                folder.name,
                filter=lambda member: None if "__pycache__" in member.name else member,
            )
    container = connect().client.containers.create(
        image,
        ["sh", "-c", 'cd /srv && exec python3 -m "$@"', "sh", f"{HERE.name}.{module}",
         "/var/tmp/output", *arguments],
        name=f"nagoya-test-{module}-{uuid.uuid4().hex[:8]}",
        labels={"nagoya.test": "distribution"},
        healthcheck={"test": ["NONE"]},  # there is no kojid to ask
    )  # fmt: skip
    try:
        container.put_archive("/srv", code.getvalue())
        container.start()
        status = container.wait(timeout=SECONDS)["StatusCode"]
        assert status == 0, container.logs(tail=100).decode(errors="replace")
        chunks, _ = container.get_archive("/var/tmp/output")
        with tempfile.TemporaryFile(dir=work) as file:
            for chunk in chunks:
                file.write(chunk)
            file.seek(0)
            with tarfile.open(fileobj=file) as archive:
                archive.extractall(work, filter="data")
    finally:
        container.remove(force=True, v=True)
