"""mock for kojid: builds RPMs in a chroot. mock.c starts it as root; worker.py does the work.

Upstream's mock is neither in Debian nor on PyPI. This driver implements the calls that kojid makes,
and nothing else. Upstream's, where the image has it, takes over a build that needs what this cannot
do. An executable at /etc/mock/driver replaces both.
"""

import fcntl
import grp
import os
import shlex
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import actions
import kernel
import mountinfo
import settings as configuration
import upstream
import worker
from cli import Call, parse
from disk import DiskFullError, DiskWatch
from errors import MockError, Status
from handover import hand_over
from logs import Logs
from mounts import descend, refuse_links
from removal import remove
from settings import Account, Settings

LOCK_SECONDS = 1.0  # longer than disk.py takes to see whether a buildroot is in use


@contextmanager
def acting_as(account: Account) -> Iterator[None]:
    """Open files with the caller's rights instead of root's."""
    groups = os.getgroups()
    os.setgroups([account.gid])
    os.setegid(account.gid)
    os.seteuid(account.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def prepare(settings: Settings, account: Account) -> tuple[Path, int]:
    """Create a buildroot's directories; return its path and its descriptor, which is locked.

    basedir and NAME belong to root, so that no build can replace NAME/root by a link. result/ and
    scratch/ belong to the unprivileged user. Raises MockError if other users could
    write where root must, or if the buildroot is in use.
    """
    buildroot = settings.basedir / settings.root
    for path in (settings.basedir, buildroot, buildroot / "root"):
        path.mkdir(exist_ok=True)
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != 0 or status.st_mode & 0o022:
            raise MockError(
                Status.CHROOT,
                f"{path} must be a directory that belongs to root and is writable by root alone",
                f"chown root: {path}; chmod go-w {path}",
            )
    try:
        refuse_links(settings.basedir)
    except kernel.KernelError as error:
        raise error.as_mock_error() from error
    for path in (buildroot / "result", buildroot / "scratch"):
        path.mkdir(exist_ok=True)
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
    lock = os.open(buildroot, os.O_DIRECTORY)
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return buildroot, lock
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise MockError(Status.LOCKED, f"{buildroot} is in use by another mock") from error
            time.sleep(0.05)


def clean(root: Path) -> None:
    """Empty the chroot. Raises MockError if something is mounted in it, for rm would enter."""
    if mounted := mountinfo.beneath(str(root), mountinfo.mount_points()):
        raise MockError(
            Status.CHROOT,
            f"cannot remove {root}: {mounted[0].path} is still mounted",
            f"umount {shlex.quote(mounted[0].path)}",
        )
    try:
        remove(root)
    except OSError as error:
        raise MockError(Status.CHROOT, str(error)) from error
    root.mkdir()


def empty(buildroot: Path) -> None:
    """Empty a buildroot, but for its logs. Raises MockError."""
    for path in (buildroot / "result").iterdir():
        if path.suffix != ".log":
            remove(path)
    for path in (buildroot / "scratch", buildroot / "root"):
        clean(path)


def open_files(call: Call, buildroot: Path, account: Account) -> actions.Files:
    """Open, as the caller, the files outside of the chroot that the worker reads and writes."""
    directory = os.O_DIRECTORY | os.O_NOFOLLOW
    sources = {"srpm": call.words[0] if call.mode == "rebuild" else None,
               "spec": call.spec, "sources": call.sources}  # fmt: skip
    with acting_as(account):
        opened = {name: open_source(path, buildroot / "root")
                  for name, path in sources.items() if path}  # fmt: skip
        return actions.Files(
            result=os.open(buildroot / "result", directory),
            scratch=os.open(buildroot / "scratch", directory),
            scratch_path=buildroot / "scratch",
            **opened,
        )


def open_source(path: str, root: Path) -> int:
    """Open a path from the command line, or raise MockError.

    kojid checks sources out into the chroot, where no link is followed. Elsewhere the caller may
    name anything that it can read.
    """
    # Nobody has to write to a pipe in its place.
    flags = os.O_RDONLY | os.O_NONBLOCK
    try:
        if Path(path).is_relative_to(root):
            directory = os.open(root, os.O_DIRECTORY | os.O_NOFOLLOW)
            inner = Path(path).relative_to(root)
            above = descend(directory, str(inner.parent))
            source = os.open(inner.name, flags | os.O_NOFOLLOW, dir_fd=above)
        else:
            source = os.open(path, flags)
    except OSError as error:
        raise MockError(Status.SRPM, f"cannot read {path}: {error.strerror or error}") from error
    if not stat.S_ISREG(mode := os.fstat(source).st_mode) and not stat.S_ISDIR(mode):
        raise MockError(Status.SRPM, f"cannot read {path}: it is neither a file nor a folder")
    return source


def sign(settings: Settings, account: Account, result: Path) -> None:
    """Run the configured signing command on the results, as the unprivileged user.

    The settings are those of upstream's plugin `sign`.
    """
    names = sorted(str(path) for path in result.glob("*.rpm"))
    argv = shlex.split(settings.sign % {"rpms": shlex.join(names), "resultdir": str(result)})
    done = subprocess.run(
        argv, check=False, user=account.uid, group=account.gid, extra_groups=[], cwd=result
    )
    if done.returncode != 0:
        raise MockError(
            Status.BUILD, f"signing failed: {argv[0]} exited with status {done.returncode}"
        )


def check_host() -> None:
    """Try the namespaces and mounts of a buildroot. Raises MockError with the missing options."""
    lines = Path("/proc/self/status").read_text().splitlines()
    status = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if int(status.get("CapBnd", "0"), 16) & 1 << kernel.SYS_RAWIO:
        raise MockError(
            Status.NAMESPACE,
            "the container is privileged, so root in a build could reach the machine's devices",
            "start the builder without --privileged, which it never needs",
        )
    if status.get("NoNewPrivs") == "1":
        raise MockError(
            Status.NAMESPACE,
            "the container runs with no-new-privileges, so mock cannot become root",
            "start the builder without --security-opt no-new-privileges",
        )

    def try_mounts() -> int:
        try:
            kernel.unshare(kernel.NEW_MOUNTS | kernel.NEW_IPC)
            kernel.mount("none", "/", flags=kernel.RECURSIVE | kernel.PRIVATE)
            kernel.mount("tmpfs", "/tmp", "tmpfs", kernel.NO_LINKS)
            if kernel.follows_links(Path("/tmp")):
                print("ERROR: mock needs Linux 5.10 or later", file=sys.stderr, flush=True)
                return Status.NAMESPACE
        except kernel.KernelError as error:
            print(f"ERROR: {error.as_mock_error()}", file=sys.stderr, flush=True)
            return Status.NAMESPACE
        return 0

    if failure := worker.supervise(try_mounts):
        sys.exit(failure)


def run(argv: list[str], account: Account) -> int:
    """Carry out one call, and return mock's exit status."""
    call = parse(argv)
    if call.mode == "check-host":
        check_host()
        return 0
    settings = configuration.settings(configuration.read(call.config, account))
    if upstream.wanted(settings):
        upstream.execute(argv, settings)
    buildroot, _lock = prepare(settings, account)
    with acting_as(account):
        logs = Logs(os.open(buildroot / "result", os.O_DIRECTORY | os.O_NOFOLLOW))
    try:
        configuration.refuse_unsupported(settings)
        if call.clean and call.mode in ("init", "rebuild", "buildsrpm"):
            clean(buildroot / "root")
            if settings.bootstrap:
                make_bootstrap(settings.of_bootstrap, account, logs)
        files = open_files(call, buildroot, account)

        watch = DiskWatch(buildroot, account.uid)
        status = worker.supervise(
            lambda: actions.run(call, settings, account, logs, files), watch.look
        )
        if status:
            watch.check()
        if status == 0 and call.mode == "rebuild" and settings.sign:
            sign(settings, account, buildroot / "result")
        return status
    except MockError as failure:
        if isinstance(failure, DiskFullError):
            empty(buildroot)
            logs.shorten()
        logs.error(str(failure))
        return failure.status
    finally:
        if removal := hand_over(buildroot / "root"):
            with suppress(MockError, OSError):
                logs.note(removal)


def make_bootstrap(settings: Settings, account: Account, logs: Logs) -> None:
    """Install the distribution's own dnf and rpm into a chroot. Raises MockError."""
    folder, _lock = prepare(settings, account)
    clean(folder / "root")
    call = Call("init")
    files = open_files(call, folder, account)
    if status := worker.supervise(lambda: actions.run(call, settings, account, logs, files)):
        raise MockError(Status(status), "the bootstrap chroot could not be made")


def caller() -> Account:
    """The caller, as mock.c passes it. Raises MockError for root, which has no user to drop
    privileges to."""
    uid = int(os.environ.get("SUDO_UID", "0"))
    if uid == 0:
        raise MockError(
            Status.USAGE,
            "mock has no user to drop its privileges to",
            "call /usr/bin/mock as kojibuilder, or create that user",
        )
    return Account(uid, grp.getgrnam("mock").gr_gid)


def main(argv: list[str] | None = None) -> int:
    """Run, and print what failed. A signal ends mock without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return run(sys.argv[1:] if argv is None else argv, caller())
    except MockError as failure:
        print(f"ERROR: {failure}", file=sys.stderr, flush=True)
        return failure.status


if __name__ == "__main__":
    sys.exit(main())
