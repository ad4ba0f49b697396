"""Make source RPMs and git repositories of the demo's packages, without any network.

Runs in the koji-builder image, which has rpmbuild and git. In the directory that is named it writes
`srpms/NAME-VERSION-RELEASE.src.rpm` and bare repositories `git/NAME.git`, which a web server can
serve as plain files, since they contain what git's dumb HTTP protocol reads. It prints JSON:
{name: {"srpm": path, "git": path, "commit": hash}}, with paths relative to the directory.

kojid accepts git+https://koji/demo/git/NAME.git#COMMIT as a source if allowed_scms
contains koji:/demo/git/*:no:make,sources .
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGES = Path(__file__).resolve().parent / "packages"

# A fixed author and date, so that the same sources have the same hash everywhere.
IDENTITY = {
    "GIT_AUTHOR_NAME": "Nagoya", "GIT_AUTHOR_EMAIL": "nagoya@example.com",
    "GIT_AUTHOR_DATE": "2024-01-01T00:00:00Z", "GIT_COMMITTER_NAME": "Nagoya",
    "GIT_COMMITTER_EMAIL": "nagoya@example.com", "GIT_COMMITTER_DATE": "2024-01-01T00:00:00Z",
    "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
}  # fmt: skip


def run(argv: list[str], cwd: Path, home: Path) -> str:
    """Run a program without any user's settings, and return what it printed."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), **IDENTITY}
    return subprocess.run(
        argv, cwd=cwd, env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def make_repository(package: Path, bare: Path, work: Path) -> str:
    """Make a bare repository of a package's directory, with one commit; return its hash."""
    checkout = work / "checkout" / package.name
    shutil.copytree(package, checkout)
    run(["git", "init", "--quiet", "--initial-branch=main"], checkout, work)
    run(["git", "add", "--all"], checkout, work)
    run(["git", "commit", "--quiet", "--message", f"{package.name} for the demo"], checkout, work)
    if bare.exists():
        shutil.rmtree(bare)
    clone = ["git", "clone", "--quiet", "--bare", "--template=", str(checkout), str(bare)]
    run(clone, checkout, work)
    run(["git", "update-server-info"], bare, work)
    return run(["git", "rev-parse", "HEAD"], bare, work).strip()


def make_srpm(package: Path, srpms: Path, work: Path) -> str:
    """Build a package's source RPM, and return its file name."""
    sources = work / "sources" / package.name
    shutil.copytree(package, sources)
    run(["make", "--silent", "sources"], sources, work)
    printed = run(
        ["rpmbuild", "-bs", "--nodeps", "--define", f"_sourcedir {sources}",
         "--define", f"_srcrpmdir {srpms}", "--define", f"_dbpath {work}/db",
         "--define", f"_topdir {work}", f"{package.name}.spec"], sources, work,
    )  # fmt: skip
    return Path(printed.rsplit("Wrote: ", 1)[1].strip()).name


def main(argv: list[str] | None = None) -> int:
    """Make both for every package, or for those that are named after the directory."""
    arguments = sys.argv[1:] if argv is None else argv
    known = sorted(path.name for path in PACKAGES.iterdir())
    if not arguments or not set(arguments[1:]) <= set(known):
        print(f"usage: sources.py DIRECTORY [PACKAGE...], of {', '.join(known)}", file=sys.stderr)
        return 2
    output = Path(arguments[0]).resolve()
    results = {}
    for name in ("srpms", "git"):
        (output / name).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        for name in arguments[1:] or known:
            srpm = make_srpm(PACKAGES / name, output / "srpms", work)
            commit = make_repository(PACKAGES / name, output / "git" / f"{name}.git", work)
            results[name] = {"srpm": f"srpms/{srpm}", "git": f"git/{name}.git", "commit": commit}
    print(json.dumps(results, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
