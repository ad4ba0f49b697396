"""Make source RPMs and git repositories of tests/packages, with sources from Debian's archive.

    python3 -m debian_distribution.sources FOLDER PACKAGE...

Runs in the builder's image. packages/NAME/ holds a spec and patches; packages/sources.toml tells
where the sources are; releases/ has those of PyPI. In FOLDER it writes srpms/ and git/, and
sources.json: {name: {"srpm": path, "git": path, "commit": hash}}.
"""

import json
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .convert import HERE, Apt, in_parallel, run

PACKAGES = HERE.parent / "packages"
RELEASES = HERE.parent / "releases"
# A fixed author and date, so that the same sources have the same hash everywhere.
GIT = {
    "GIT_AUTHOR_NAME": "Nagoya", "GIT_AUTHOR_EMAIL": "nagoya@example.com",
    "GIT_AUTHOR_DATE": "2025-01-01T00:00:00Z", "GIT_COMMITTER_NAME": "Nagoya",
    "GIT_COMMITTER_EMAIL": "nagoya@example.com", "GIT_COMMITTER_DATE": "2025-01-01T00:00:00Z",
    "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
}  # fmt: skip


def upstream(apt: Apt, places: dict[str, Any], folder: Path) -> None:
    """Put a package's archives into a folder: those of an entry of sources.toml."""
    folder.mkdir()
    if names := places.get("debian"):
        apt("apt-get", "--quiet", "source", "--download-only", "--tar-only", *names, cwd=folder)
    for release in places.get("pypi", ()):
        shutil.copy(RELEASES / archive_name(release), folder)


def archive_name(release: str) -> str:
    """The file name of a release on PyPI, such as six-1.17.0.tar.gz of six==1.17.0."""
    return f"{release.replace('==', '-')}.tar.gz"


def make_repository(folder: Path, bare: Path, work: Path) -> str:
    """Make a bare repository of a folder, with one commit; its hash. Builders run `make sources`
    in a checkout, which has nothing left to do."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(work), **GIT}

    def git(*words: str, cwd: Path = folder) -> str:
        return run(["git", *words], cwd=cwd, environment=environment).strip()

    (folder / "Makefile").write_text("sources:\n")
    git("init", "--quiet", "--initial-branch=main")
    git("add", "--all", "--force")
    git("commit", "--quiet", "--message", f"{folder.name} for the tests")
    git("clone", "--quiet", "--bare", "--template=", str(folder), str(bare))
    git("update-server-info", cwd=bare)
    return git("rev-parse", "HEAD")


def make(output: Path, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Make both for each package; what sources.json holds."""
    table = tomllib.loads((PACKAGES / "sources.toml").read_text())
    for name in ("git", "srpms"):
        (output / name).mkdir(parents=True)
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        apt = Apt(work / "apt", "amd64", "trixie")

        def make_one(name: str) -> dict[str, str]:
            folder = work / "packages" / name
            upstream(apt, table[name], work / name)
            shutil.copytree(PACKAGES / name, folder)
            shutil.copytree(work / name, folder, dirs_exist_ok=True)
            log = run(
                ["rpmbuild", "-bs", "--nodeps", "--define", f"_sourcedir {folder}",
                 "--define", f"_srcrpmdir {output}/srpms", "--define", f"_topdir {work}/top-{name}",
                 str(folder / f"{name}.spec")],
                environment={**os.environ, "HOME": str(work)},
            )  # fmt: skip
            commit = make_repository(folder, output / "git" / f"{name}.git", work)
            srpm = Path(log.rsplit("Wrote: ", 1)[1].strip()).name
            return {"srpm": f"srpms/{srpm}", "git": f"git/{name}.git", "commit": commit}

        return dict(zip(names, in_parallel(make_one, names), strict=True))


def main(argv: list[str]) -> int:
    """See above."""
    folder, *names = argv
    records = make(Path(folder), names)
    (Path(folder) / "sources.json").write_text(json.dumps(records, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
