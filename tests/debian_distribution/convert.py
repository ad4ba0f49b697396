"""Make the distribution: download .debs, make an RPM of each, write a repository.

    python3 -m debian_distribution.convert FOLDER short|long|newer amd64|i386

Runs as root in the builder's image, which has apt, rpmbuild and createrepo_c. In FOLDER it writes
the RPMs, the source RPMs of own/, and repodata/ compressed with zstd, as Fedora's is.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from . import provides, spec, tables
from .closure import Package, closure, parse_index

HERE = Path(__file__).resolve().parent
DATE = "1767225600"
"""When everything was built."""
ARCHIVE = "http://deb.debian.org/debian"

Item = TypeVar("Item")
Result = TypeVar("Result")


class Apt:
    """apt with settings, lists and a cache of its own, so that the image's play no part."""

    def __init__(self, work: Path, architecture: str, suite: str) -> None:
        for name in ("lists/partial", "cache/archives/partial"):
            (work / name).mkdir(parents=True)
        place = f"{ARCHIVE} {suite} main"
        (work / "sources.list").write_text(f"deb {place}\ndeb-src {place}\n")
        (work / "status").touch()
        (work / "apt.conf").write_text(f"""
            APT::Architecture "{architecture}"; APT::Architectures "{architecture}";
            APT::Sandbox::User "root"; Acquire::Languages "none"; Acquire::Retries "3";
            Acquire::Check-Valid-Until "false";
            Dir::Etc::sourcelist "{work}/sources.list"; Dir::Etc::sourceparts "/dev/null";
            Dir::State::lists "{work}/lists"; Dir::State::status "{work}/status";
            Dir::Cache "{work}/cache";
        """)
        self._environment = {**os.environ, "APT_CONFIG": str(work / "apt.conf")}
        self("apt-get", "--quiet", "update")

    def __call__(self, *command: str, cwd: Path | None = None) -> str:
        """Run one of apt's programs; what it printed."""
        return run(command, cwd=cwd, environment=self._environment)


def run(
    command: Sequence[str], *, cwd: Path | None = None, environment: dict[str, str] | None = None,
    input: str | None = None,
) -> str:  # fmt: skip
    """Run a program; its output. If it fails, the error shows what it said."""
    done = subprocess.run(
        command, cwd=cwd, env=environment, input=input, capture_output=True, text=True, check=False,
        errors="replace",
    )  # fmt: skip
    if done.returncode:
        output = f"{done.stdout}{done.stderr}"[-3000:]
        raise RuntimeError(f"status {done.returncode}: {' '.join(command)[:500]}\n{output}")
    return done.stdout


def in_parallel(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Do the same with each item, on all processors."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(work, items))


def rpmbuild(action: str, path: Path, work: Path, target: str, *definitions: str) -> None:
    """Run rpmbuild on a spec, without any user's settings."""
    values = (
        f"_topdir {work}", "_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
        "_dbpath %{_topdir}/db", "_binary_payload w1.zstdio", "_build_id_links none",
        "debug_package %{nil}", "__os_install_post %{nil}", "__check_files %{nil}",
        "packager Nagoya", "vendor Nagoya", "_buildhost nagoya",
        # A noarch package is the same in the repositories of all arches, or Koji refuses it.
        "use_source_date_epoch_as_buildtime 1", "build_mtime_policy clamp_to_source_date_epoch",
        *definitions,
    )  # fmt: skip
    defined = [word for value in values for word in ("--define", value)]
    run(
        ["rpmbuild", action, "--quiet", "--target", target, *defined, str(path)],
        environment={**os.environ, "HOME": str(work), "SOURCE_DATE_EPOCH": DATE},
    )


def shared_folders() -> frozenset[str]:
    """The directories of the package `filesystem`."""
    return frozenset(line.split()[1] for line in (HERE / "own/folders").read_text().splitlines())


def library_dependencies(tree: Path, option: str) -> list[str]:
    """The shared libraries that the files of a tree provide (--provides) or need (--requires)."""
    names = "".join(f"{path}\n" for path in tree.rglob("*") if is_elf(path))
    return run(["/usr/lib/rpm/elfdeps", option], input=names).splitlines() if names else []


def is_elf(path: Path) -> bool:
    """Whether it is a program or a library, and no link."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def convert(package: Package, deb: Path, output: Path, shared: frozenset[str]) -> None:
    """Write the RPM of a .deb."""
    with tempfile.TemporaryDirectory(prefix=f"{package.name}-") as directory:
        work = Path(directory)
        tree = work / "tree"
        run(["dpkg-deb", "--raw-extract", str(deb), str(tree)])
        conffiles = tree / "DEBIAN" / "conffiles"
        configuration = conffiles.read_text().split("\n") if conffiles.exists() else []
        run(["rm", "-r", str(tree / "DEBIAN")])
        spec.arrange(tree, package.name)
        capabilities = [provides.provided(path) for path in tree.rglob("*")]
        names = [*filter(None, capabilities), *library_dependencies(tree, "--provides")]
        needs = library_dependencies(tree, "--requires")
        files = spec.file_list(tree, shared, configuration)
        path = work / f"{package.name}.spec"
        path.write_text(spec.spec(package, tree, files, names, needs))
        target = spec.ARCHITECTURES[package.architecture]
        rpmbuild("-bb", path, work, target, f"_rpmdir {output}")


def make(output: Path, form: str, architecture: str) -> None:
    """Make the whole distribution in an empty folder."""
    suite, more = tables.FORMS[form]
    wanted = [*tables.BUILDROOT, *more]
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        apt = Apt(work, architecture, suite)
        (index,) = (work / "lists").glob("*_Packages*")
        archive = parse_index(apt("/usr/lib/apt/apt-helper", "cat-file", str(index)))
        debian = [name for name in wanted if name not in tables.OWN_PACKAGES]
        packages = closure(archive, debian, tables.LEFT_OUT)
        debs = work / "debs"
        debs.mkdir()
        apt("apt-get", "--quiet", "download", *packages, cwd=debs)
        files = {path.name.partition("_")[0]: path for path in debs.iterdir()}
        shared = shared_folders()
        in_parallel(
            lambda package: convert(package, files[package.name], output, shared), packages.values()
        )
        sources = shutil.copytree(HERE / "own", work / "own")
        shutil.copy(HERE / "provides.py", sources)
        for path in sorted(sources.glob("*.spec")):
            folders = (f"_rpmdir {output}", f"_srcrpmdir {output}", f"_sourcedir {sources}")
            rpmbuild("-bs", path, work, "noarch", *folders)
            # By itself: -ba would write a checksum of the source RPM into the others.
            rpmbuild("-bb", path, work, "noarch", *folders)
    run(["createrepo_c", "--quiet", "--compress-type=zstd", "--general-compress-type=zstd",
         str(output)])  # fmt: skip


def main(argv: list[str]) -> int:
    """See above."""
    folder, form, architecture = argv
    Path(folder).mkdir(parents=True)
    make(Path(folder), form, architecture)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
