"""The actions of mock: install a buildroot, run a command in it, build a source or binary RPM.

They run in the worker, which gets its files from the first process as open descriptors.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import chroot_files
import mounts
from cli import Call
from errors import MockError, Status
from logs import DISK_FULL, DISK_FULL_SECONDS, Logs
from packages import check_own_rpm, dnf, installed, list_packages
from settings import Account, Settings
from worker import Chroot, Output

ROUNDS = 10  # how often build requirements may bring new ones; upstream's limit
# The machine's name has a line of its own: the first name of a line is the one that rpmbuild writes
# into packages as their build host.
HOSTS = """\
127.0.0.1 localhost localhost.localdomain
::1 localhost localhost.localdomain localhost6 localhost6.localdomain6
127.0.1.1 {name}
"""


@dataclass(frozen=True)
class Files:
    """The descriptors that the first process opened, as the unprivileged user."""

    result: int  # the result directory
    scratch: int  # a directory outside the chroot, for source RPMs that dnf reads
    scratch_path: Path
    srpm: int = -1  # --rebuild
    spec: int = -1  # --buildsrpm
    sources: int = -1


def run(call: Call, settings: Settings, account: Account, logs: Logs, files: Files) -> int:
    """Carry out a call in the worker, and return mock's exit status."""
    try:
        chroot = Chroot(settings, account, logs, call.arch)
        if call.clean and call.mode in ("init", "rebuild", "buildsrpm"):
            initialize(chroot)
        if call.mode == "install":
            dnf(chroot, "install", *call.words)
        elif call.mode == "chroot":
            return command(chroot, call)
        elif call.mode == "rebuild":
            rebuild(chroot, call, files)
        elif call.mode == "buildsrpm":
            build_source(chroot, call, files)
        return 0
    except MockError as failure:
        logs.error(str(failure))
        return failure.status
    except OSError as error:
        if error.errno in DISK_FULL:
            logs.error(f"the builder's disk is full, and stayed full for {DISK_FULL_SECONDS:.0f} s")
            return Status.BUILD
        # Such as a link where a directory has to be.
        logs.error(f"the chroot is damaged: {error}")
        return Status.CHROOT


def initialize(chroot: Chroot) -> None:
    """Install the configured packages, and prepare the chroot for builds."""
    settings, logs = chroot.settings, chroot.logs
    with logs.step("chroot init"):
        logs.write("hw_info", hardware(chroot.path.parent).encode())
        chroot.do(chroot_files.furnish, user=False)
        for action, modules in settings.modules:
            dnf(chroot, "module", action, *modules.replace(",", " ").split())
        dnf(chroot, *settings.setup)
        packages = installed(chroot)
        if not packages:
            raise MockError(
                Status.PACKAGES,
                f"nothing was installed by: dnf {' '.join(settings.setup)}",
                "the group has to list packages by name; dnf silently skips names in a group that"
                " packages only provide",
            )
        resolver, hosts = (Path("/etc", name).read_text() for name in ("resolv.conf", "hosts"))
        if not settings.host_resolver:  # rpmbuild resolves its own host name
            hosts = HOSTS.format(name=os.uname().nodename)

        def populate() -> None:
            chroot_files.populate(settings, chroot.account, resolver, hosts)

        chroot.do(populate, user=False)
        check_own_rpm(chroot, min(packages))
        list_packages(logs, "after the installation", packages)


def hardware(directory: Path) -> str:
    """Describe the machine in a few lines, for hw_info.log."""
    cpus = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    memory = Path("/proc/meminfo").read_text().splitlines()[:3]
    disk = os.statvfs(directory)
    free = f"Free in {directory}: {disk.f_bavail * disk.f_frsize >> 20} MiB"
    lines = [" ".join(os.uname()), f"CPUs: {os.cpu_count()}", *cpus[:1], *memory, free]
    return "\n".join([*lines, ""])


def command(chroot: Chroot, call: Call) -> int:
    """Run a command and return its status. A single word is a shell command line."""
    argv = ["/bin/sh", "-c", *call.words] if len(call.words) == 1 else list(call.words)
    with chroot.logs.step(f"chroot {' '.join(call.words)}"):
        return chroot.inside(argv, chroot.logs.command, user=call.unpriv, cwd=call.cwd)


def rebuild(chroot: Chroot, call: Call, files: Files) -> None:
    """Build binary RPMs from a source RPM, and copy them and their source RPM to `result/`."""
    settings, logs = chroot.settings, chroot.logs
    build = Path(settings.home, "build")
    target = ["--target", call.target or settings.architecture]
    with logs.step("build setup"):
        recreate_home(chroot)
        srpm = build / "originals" / "source.src.rpm"

        def copy_in() -> None:
            chroot_files.copy_in(files.srpm, srpm)

        chroot.do(copy_in, user=True)
        if chroot.inside(["rpm", "--nodeps", "-Uvh", str(srpm)], logs.root) != 0:
            raise MockError(Status.SRPM, "the source RPM cannot be installed")
        spec = str(only(chroot, "SPECS", ".spec"))
        options = ["-bs", "--nodeps", *target, spec]
        for _ in range(ROUNDS):
            source, changed = install_requirements(chroot, options, files)
            if not changed:
                break
    with logs.step("rpmbuild"):
        options = ["-bb", "--nodeps", *target, spec]
        if is_dynamic(chroot, source):
            generate_requirements(chroot, target, spec, files)
            options = ["-ba", "--noprep", *options[1:]]
        rpmbuild(chroot, options)
    names = [build / kind / name for kind in ("SRPMS", "RPMS") for name in listed(chroot, kind)]
    results = [name for name in names if name.suffix == ".rpm"]
    copy_out(chroot, results, files.result)
    list_packages(logs, "at the end of the build", installed(chroot))


def generate_requirements(chroot: Chroot, target: list[str], spec: str, files: Files) -> None:
    """Install what `%generate_buildrequires` prints, until it prints nothing new.

    rpmbuild -br exits with 11 once it has written such requirements to a nosrc RPM.
    """
    options = ["-br", "--nodeps", *target, spec]
    for _ in range(ROUNDS):
        if not install_requirements(chroot, options, files, ending=".buildreqs.nosrc.rpm")[1]:
            return
        options = ["-br", "--noprep", *options[1:]] if "--noprep" not in options else options
    raise MockError(
        Status.BUILD, f"%generate_buildrequires still adds requirements after {ROUNDS} rounds"
    )


def install_requirements(
    chroot: Chroot, options: list[str], files: Files, ending: str = ".src.rpm"
) -> tuple[Path, bool]:
    """Write a source RPM and install its build requirements.

    Returns the source RPM's path in the chroot, and whether packages were installed. dnf reads a
    copy outside the chroot, which no build can change meanwhile.
    """
    rpmbuild(chroot, options, ok=(0, 11))
    source = only(chroot, "SRPMS", ending)
    copy_out(chroot, [source], files.scratch)
    before = installed(chroot)
    try:
        dnf(chroot, "builddep", str(files.scratch_path / source.name))
    finally:
        os.unlink(source.name, dir_fd=files.scratch)
    if ending != ".src.rpm":
        chroot.do(source.unlink, user=True)
    return source, installed(chroot) != before


def is_dynamic(chroot: Chroot, source: Path) -> bool:
    """Whether a source RPM, in the chroot, has a `%generate_buildrequires`."""
    output = Output()
    chroot.inside(["rpm", "-qp", "--requires", str(source)], output)
    return "rpmlib(DynamicBuildRequires)" in str(output)


def build_source(chroot: Chroot, call: Call, files: Files) -> None:
    """Build a source RPM from a spec file and a directory, and copy it to `result/`."""
    build = Path(chroot.settings.home, "build")
    spec = build / "SPECS" / Path(call.spec or "").name
    with chroot.logs.step("buildsrpm"):
        recreate_home(chroot)

        def copy_in() -> None:
            chroot_files.copy_in(files.spec, spec)
            chroot_files.copy_tree_in(files.sources, build / "SOURCES")

        chroot.do(copy_in, user=True)
        target = call.target or chroot.settings.architecture
        rpmbuild(chroot, ["-bs", "--nodeps", "--target", target, str(spec)])
        copy_out(chroot, [only(chroot, "SRPMS", ".src.rpm")], files.result)


def recreate_home(chroot: Chroot) -> None:
    """Empty and recreate the directories that rpmbuild works in."""

    def recreate_home() -> None:
        chroot_files.recreate_home(chroot.settings, chroot.account)

    chroot.do(recreate_home, user=False)


def rpmbuild(chroot: Chroot, options: list[str], ok: tuple[int, ...] = (0,)) -> None:
    """Run rpmbuild as the unprivileged user, in a login shell, since packages add to its profile.

    Raises MockError for a status that is not in `ok`.
    """
    argv = ["/bin/bash", "--login", "-c", 'exec "$0" "$@"', "rpmbuild", *options]
    status = chroot.inside(argv, chroot.logs.build)
    if status not in ok:
        raise MockError(Status.BUILD, f"rpmbuild {options[0]} failed with status {status}")


def listed(chroot: Chroot, name: str) -> list[str]:
    """The names in a directory of the build, sorted. Raises OSError if a link is on its path."""
    directory = mounts.descend(chroot.directory, f"{chroot.settings.home}/build/{name}")
    try:
        return sorted(os.listdir(directory))  # noqa: PTH208 - a descriptor
    finally:
        os.close(directory)


def only(chroot: Chroot, directory: str, ending: str) -> Path:
    """The path of the one file with this ending in a directory of the build, else MockError."""
    names = [name for name in listed(chroot, directory) if name.endswith(ending)]
    if len(names) != 1:
        raise MockError(
            Status.SRPM,
            f"expected one *{ending} in {directory}, found {len(names)}: {', '.join(names)}",
        )
    return Path(chroot.settings.home, "build", directory, names[0])


def copy_out(chroot: Chroot, paths: list[Path], directory: int) -> None:
    """Copy files out of the chroot into an open directory, as the unprivileged user."""

    def copy_out() -> None:
        chroot_files.copy_out(paths, directory)

    chroot.do(copy_out, user=True)
