"""What mock does with a buildroot: install it, run a command in it, build a source or binary RPM.

Each stage runs in the worker, and gets its files open from the first process.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import home
import mounts
from call import Call
from ending import Failed, Status
from logs import Logs
from settings import Account, Settings
from worker import Chroot

ROUNDS = 10  # of build requirements that bring others, as upstream counts them


@dataclass(frozen=True)
class Files:
    """What the first process has opened, as the unprivileged user."""

    result: int  # the result directory
    scratch: int  # a directory for source RPMs that dnf is to read; outside the chroot
    scratch_path: Path
    srpm: int = -1  # --rebuild
    spec: int = -1  # --buildsrpm
    sources: int = -1


def work(call: Call, settings: Settings, account: Account, logs: Logs, files: Files) -> int:
    """Do what a call asks for, in the worker, and return mock's exit status."""
    try:
        chroot = Chroot(settings, account, logs, call.arch)
        if call.clean and call.mode in ("init", "rebuild", "buildsrpm"):
            initialise(chroot)
        if call.mode == "install":
            dnf(chroot, "install", *call.words)
        elif call.mode == "chroot":
            return command(chroot, call)
        elif call.mode == "rebuild":
            rebuild(chroot, call, files)
        elif call.mode == "buildsrpm":
            build_source(chroot, call, files)
        return 0
    except Failed as failure:
        logs.error(str(failure))
        return failure.status
    except OSError as error:  # a link or a pipe, say, where the build has to have a directory
        logs.error(f"the chroot is not as it should be: {error}")
        return Status.CHROOT


def initialise(chroot: Chroot) -> None:
    """Install the packages that the configuration names, and make the chroot a place to build."""
    settings, logs = chroot.settings, chroot.logs
    with logs.step("chroot init"):
        for text in settings.notes:
            logs.note(text)
        logs.write("hw_info", hardware(settings.basedir).encode())
        for action, modules in settings.modules:
            dnf(chroot, "module", action, *modules.replace(",", " ").split())
        dnf(chroot, *settings.setup)
        packages = installed(chroot)
        if not packages:
            raise Failed(
                Status.PACKAGES,
                f"nothing was installed by: dnf {' '.join(settings.setup)}",
                "the group has to name packages by their own names; what others only provide, dnf"
                " passes over in a group without a word",
            )
        resolver, hosts = (Path("/etc", name).read_text() for name in ("resolv.conf", "hosts"))
        if not settings.host_resolver:  # rpmbuild asks for the address of its own name
            hosts = f"127.0.0.1 localhost {os.uname().nodename}\n::1 localhost\n"

        def furnish() -> None:
            home.furnish(settings, chroot.account, resolver, hosts)

        chroot.do(furnish, user=False)
        list_packages(logs, "after the installation", packages)


def dnf(chroot: Chroot, *words: str) -> None:
    """Run dnf on the chroot, with the configuration that kojid wrote.

    Its `local` plugin, on by default on Debian, prefers stale copies of packages that it has seen.
    The database's place is Debian's pitfall too: its rpm keeps it in the user's home.
    """
    Path("/tmp/.rpmmacros").write_text("%_dbpath %{_var}/lib/rpm\n")
    Path("/tmp/dnf.conf").write_text(chroot.settings.dnf_conf)
    argv = ["dnf", "--config", "/tmp/dnf.conf", "--installroot", str(chroot.path), "--assumeyes",
            "--disableplugin=local,versionlock", "--setopt=deltarpm=False",
            "--setopt=allow_vendor_change=yes", "--allowerasing"]  # fmt: skip
    if chroot.settings.releasever:
        argv.append(f"--releasever={chroot.settings.releasever}")
    if chroot.settings.forcearch:
        argv.append(f"--forcearch={chroot.settings.forcearch}")
    chroot.logs.note(f"dnf {' '.join(words)}")
    with chroot.logs.step(f"dnf {words[0]}"):
        status = chroot.outside([*argv, *words], chroot.logs.root)
    if status != 0:
        raise Failed(Status.PACKAGES, f"dnf {words[0]} failed with status {status}")


def installed(chroot: Chroot) -> set[str]:
    """The packages in the chroot, by the builder's own rpm, which has written that database."""
    found: list[bytes] = []
    argv = ["rpm", "--root", str(chroot.path), "--dbpath", "/var/lib/rpm", "-qa"]
    if chroot.outside(argv, found.append) != 0:
        raise Failed(Status.PACKAGES, b"".join(found).decode(errors="replace"))
    return set(b"".join(found).decode(errors="replace").splitlines())


def list_packages(logs: Logs, when: str, packages: set[str]) -> None:
    """Write down what is installed, so that a build can be understood after its chroot is gone."""
    lines = [f"# {when}", *sorted(packages), ""]
    logs.write("installed_pkgs", "\n".join(lines).encode())


def hardware(directory: Path) -> str:
    """The machine in a few lines, for hw_info.log."""
    cpus = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    memory = Path("/proc/meminfo").read_text().splitlines()[:3]
    disk = os.statvfs(directory)
    free = f"Free in {directory}: {disk.f_bavail * disk.f_frsize >> 20} MiB"
    lines = [" ".join(os.uname()), f"CPUs: {os.cpu_count()}", *cpus[:1], *memory, free]
    return "\n".join([*lines, ""])


def command(chroot: Chroot, call: Call) -> int:
    """Run a command and return its own status. One word is a line for the shell."""
    argv = ["/bin/sh", "-c", *call.words] if len(call.words) == 1 else list(call.words)
    with chroot.logs.step(f"chroot {' '.join(call.words)}"):
        return chroot.inside(argv, chroot.logs.command, user=call.unpriv, cwd=call.cwd)


def rebuild(chroot: Chroot, call: Call, files: Files) -> None:
    """Build binary RPMs out of a source RPM, and leave them and their source RPM in `result/`."""
    settings, logs = chroot.settings, chroot.logs
    build = Path(settings.home, "build")
    target = ["--target", call.target or settings.architecture]
    with logs.step("build setup"):
        clean_home(chroot)
        srpm = build / "originals" / "source.src.rpm"

        def put() -> None:
            home.put(files.srpm, srpm)

        chroot.do(put, user=True)
        if chroot.inside(["rpm", "--nodeps", "-Uvh", str(srpm)], logs.root) != 0:
            raise Failed(Status.SRPM, "the source RPM cannot be installed")
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
    take(chroot, results, files.result)
    list_packages(logs, "at the end of the build", installed(chroot))


def generate_requirements(chroot: Chroot, target: list[str], spec: str, files: Files) -> None:
    """Install what `%generate_buildrequires` prints, until it asks for nothing new.

    rpmbuild -br ends with 11 when it has written such requirements down, in a nosrc RPM.
    """
    options = ["-br", "--nodeps", *target, spec]
    for _ in range(ROUNDS):
        if not install_requirements(chroot, options, files, ending=".buildreqs.nosrc.rpm")[1]:
            return
        options = ["-br", "--noprep", *options[1:]] if "--noprep" not in options else options
    raise Failed(Status.BUILD, f"%generate_buildrequires asks for more even after {ROUNDS} rounds")


def install_requirements(
    chroot: Chroot, options: list[str], files: Files, ending: str = ".src.rpm"
) -> tuple[Path, bool]:
    """Write a source RPM, install its build requirements; say where it is, and if there were any.

    dnf reads a copy outside, which no build can change behind its back.
    """
    rpmbuild(chroot, options, fine=(0, 11))
    source = only(chroot, "SRPMS", ending)
    take(chroot, [source], files.scratch)
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
    found: list[bytes] = []
    chroot.inside(["rpm", "-qp", "--requires", str(source)], found.append)
    return b"rpmlib(DynamicBuildRequires)" in b"".join(found)


def build_source(chroot: Chroot, call: Call, files: Files) -> None:
    """Build a source RPM out of a spec file and a directory, and leave it in `result/`."""
    build = Path(chroot.settings.home, "build")
    spec = build / "SPECS" / Path(call.spec or "").name
    with chroot.logs.step("buildsrpm"):
        clean_home(chroot)

        def put() -> None:
            home.put(files.spec, spec)
            home.put_tree(files.sources, build / "SOURCES")

        chroot.do(put, user=True)
        target = call.target or chroot.settings.architecture
        rpmbuild(chroot, ["-bs", "--nodeps", "--target", target, str(spec)])
        take(chroot, [only(chroot, "SRPMS", ".src.rpm")], files.result)


def clean_home(chroot: Chroot) -> None:
    """Make the directories of a build anew."""

    def fresh_home() -> None:
        home.fresh_home(chroot.settings, chroot.account)

    chroot.do(fresh_home, user=False)


def rpmbuild(chroot: Chroot, options: list[str], fine: tuple[int, ...] = (0,)) -> None:
    """Run rpmbuild as the unprivileged user, in a login shell, whose profile packages add to."""
    argv = ["/bin/bash", "--login", "-c", 'exec "$0" "$@"', "rpmbuild", *options]
    status = chroot.inside(argv, chroot.logs.build)
    if status not in fine:
        raise Failed(Status.BUILD, f"rpmbuild {options[0]} failed with status {status}")


def listed(chroot: Chroot, name: str) -> list[str]:
    """The names in a directory of the build, which counts only if no link leads to it."""
    directory = mounts.descend(chroot.directory, f"{chroot.settings.home}/build/{name}")
    try:
        return sorted(os.listdir(directory))  # noqa: PTH208 - an open one
    finally:
        os.close(directory)


def only(chroot: Chroot, directory: str, ending: str) -> Path:
    """The one file of a directory of the build that has this ending."""
    names = [name for name in listed(chroot, directory) if name.endswith(ending)]
    if len(names) != 1:
        raise Failed(Status.SRPM, f"one *{ending} was expected in {directory}, not {names}")
    return Path(chroot.settings.home, "build", directory, names[0])


def take(chroot: Chroot, paths: list[Path], directory: int) -> None:
    """Copy files out of the chroot as the unprivileged user, from inside."""

    def take_out() -> None:
        home.take(paths, directory)

    chroot.do(take_out, user=True)
