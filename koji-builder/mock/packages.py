"""Packages in a chroot: installed by the builder's dnf, and listed by its rpm."""

import re
import time
from collections.abc import Sequence
from pathlib import Path

import chroot_files
import dnf_files
from errors import MockError, Status
from logs import Logs
from worker import Chroot, Output

# What dnf, whose own retries are soon spent, writes of a server that is away for a while:
# curl's errors of names, connections and time limits, and HTTP's of servers.
OUT_OF_REACH = re.compile(rb"Curl error \((6|7|18|28|35|52|55|56|92)\)|Status code: 5\d\d ")
# dnf writes this too of files that it did not try, because their server had failed before; then
# without a reason. Of a file that the server lacks, or has damaged, it writes the reason.
UNTRIED, UNFIT = b"ll mirrors were already tried", re.compile(rb"Status code: 4\d\d |[Cc]hecksum")
# What dnf from 4.19 on writes where a package, or a build, requires a file that only the
# repository's list of all files may have: it does not read that list, which is long, by default.
FILE_NEEDED = re.compile(rb"optional_metadata_types=filelists|No matching package to install: '/")
ALL_FILES = "--setopt=optional_metadata_types=filelists"
# What our plugin of dnf's writes.
LOADED = Path("/tmp/offline.loaded")
# Seconds between two attempts of dnf, and after which there is no other.
PAUSE, PATIENCE = 3.0, 120.0


def dnf(chroot: Chroot, *words: str) -> None:
    """Run dnf on the chroot, with the configuration that kojid wrote; MockError if it fails.

    Debian enables dnf's plugin `local`, which prefers stale copies of packages, and others that
    complain that they lack something; only `builddep` is needed here, and ours.
    """
    chroot.logs.note(f"dnf {' '.join(words)}")
    with chroot.logs.step(f"dnf {words[0]}"):
        deadline = time.monotonic() + PATIENCE
        while (status := try_dnf(chroot, words, deadline)) is None:
            chroot.logs.note(f"a repository is out of reach; dnf tries again in {PAUSE:g} s")
            time.sleep(PAUSE)
    if status != 0:
        raise MockError(Status.PACKAGES, f"dnf {words[0]} failed with status {status}")
    if not LOADED.exists():
        raise MockError(
            Status.PACKAGES,
            "dnf did not load the plugin that keeps scriptlets from the network",
            f"report this to Nagoya, with the output of dnf {words[0]} in root.log",
        )
    share_database(chroot)


def make_command(chroot: Chroot) -> list[str]:
    """dnf and its options, without its words."""
    settings, files = chroot.settings, dnf_files.folder(chroot.settings)
    configuration = str(files / dnf_files.CONFIGURATION)
    # dnf's own plugins are in a folder of its Python: another name in each distribution.
    root = chroot.programs_path
    folders = root.glob("usr/lib*/python3*/*-packages/dnf-plugins")
    own = [str(files / dnf_files.PLUGINS)]
    plugins = ",".join([*own, *(f"/{path.relative_to(root)}" for path in folders)])
    argv = ["dnf-3", "--config", configuration, "--installroot", str(chroot.path), "--assumeyes",
            "--disableplugin=*", "--enableplugin=builddep", "--enableplugin=offline",
            f"--setopt=pluginpath={plugins}", "--setopt=deltarpm=False",
            "--setopt=allow_vendor_change=yes", "--allowerasing"]  # fmt: skip
    for name, option in (
        (dnf_files.AUTHORITIES, "sslcacert"), (dnf_files.VARIABLES, "varsdir")
    ):  # fmt: skip
        if (files / name).exists():
            argv.append(f"--setopt={option}={files / name}")
    if settings.releasever:
        argv.append(f"--releasever={settings.releasever}")
    if settings.forcearch:
        argv.append(f"--forcearch={settings.forcearch}")
    return argv


def try_dnf(chroot: Chroot, words: Sequence[str], deadline: float) -> int | None:
    """Run dnf, and return its status; None if it is worth another try before `deadline`.

    Nothing that scriptlets have started or written before meets a dnf that has the network. What
    this one leaves is ended at once: nothing limits processes until the next.
    """
    chroot.do(chroot_files.remove_caches, user=False)
    chroot.empty_scratch()
    argv = [*make_command(chroot), *words]
    end = b""

    def sink(data: bytes) -> None:
        nonlocal end
        end = (end + data)[-(1 << 16) :]
        chroot.logs.root(data)

    status = chroot.outside(argv, sink, network=True)
    chroot.end_processes()
    if status and is_out_of_reach(end) and time.monotonic() < deadline:
        return None
    if status and FILE_NEEDED.search(end) and ALL_FILES not in words:
        chroot.logs.note("a package requires a file; dnf tries again with the list of all files")
        return try_dnf(chroot, [ALL_FILES, *words], deadline)
    return status


def is_out_of_reach(output: bytes) -> bool:
    """Whether dnf failed since a server is away, as the end of its output says."""
    if OUT_OF_REACH.search(output):
        return True
    return UNTRIED in output and not UNFIT.search(output)


def installed(chroot: Chroot) -> set[str]:
    """The packages in the chroot (NAME-VERSION-RELEASE.ARCH), as the builder's rpm lists them."""
    chroot.empty_scratch()
    output = Output()
    argv = ["rpm", "--root", str(chroot.path), "--dbpath", str(chroot_files.DATABASE), "-qa"]
    if chroot.outside(argv, output) != 0:
        raise MockError(Status.PACKAGES, str(output))
    return set(str(output).splitlines())


def share_database(chroot: Chroot) -> None:
    """Lead the chroot's own rpm to the database that the builder's dnf wrote.

    Fedora, CentOS Stream and openSUSE have it in /usr/lib/sysimage/rpm, for example.
    """
    output = Output()
    chroot.inside(["rpm", "--eval", "%_dbpath"], output)
    line = Path(str(output).strip().rpartition("\n")[2])
    # A macro of the build's user may name any other folder.
    place = line if line in chroot_files.DATABASES else chroot_files.DATABASE

    def link_database() -> None:
        chroot_files.link_database(Path("/"), place)

    chroot.do(link_database, user=False)


def check_own_rpm(chroot: Chroot, package: str) -> None:
    """Say in root.log if the chroot's own rpm, where there is one, cannot read the database."""
    output = Output()
    if chroot.inside(["rpm", "-q", package], output) not in (0, 127):
        chroot.logs.note(
            "the chroot's own rpm cannot read the database that the builder's rpm has written, as"
            " that of EL 8 and older, which has no SQLite. Builds that ask it what is installed"
            f" (rpm -q) find nothing. It says: {str(output).strip()}"
        )


def list_packages(logs: Logs, when: str, packages: set[str]) -> None:
    """Log what is installed, so that a build can be understood after its chroot is gone."""
    lines = [f"# {when}", *sorted(packages), ""]
    logs.write("installed_pkgs", "\n".join(lines).encode())
