"""mock, as kojid knows it: builds RPMs in a chroot. Started as root by mock.c; see worker.py.

Upstream's mock is packaged neither for Debian nor on PyPI. This one answers what kojid asks, and
nothing more. Whoever has upstream's can use it instead: an executable at /etc/mock/driver takes
this one's place.
"""

import fcntl
import grp
import os
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import kernel
import mounts
import settings as configuration
import stages
import worker
from call import Call, parse
from ending import Failed, Status
from logs import Logs
from settings import Account, Settings


@contextmanager
def acting_as(account: Account) -> Iterator[None]:
    """Open files with the caller's rights: the kernel then looks at those, and not at root's."""
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
    """Make a buildroot's directories; return the buildroot's, and it open and locked.

    basedir and NAME belong to root, so that nobody can put a link in the place of NAME/root; the
    results and the scratch directory belong to the unprivileged user, who writes there.
    """
    buildroot = settings.basedir / settings.root
    for path in (settings.basedir, buildroot, buildroot / "root"):
        path.mkdir(exist_ok=True)
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != 0 or status.st_mode & 0o022:
            raise Failed(
                Status.CHROOT,
                f"{path} must be a directory that belongs to root, and that nobody else can write",
                f"chown root: {path}; chmod go-w {path}",
            )
    for path in (buildroot / "result", buildroot / "scratch"):
        path.mkdir(exist_ok=True)
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
    lock = os.open(buildroot, os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Failed(Status.LOCKED, f"{buildroot} is in use by another mock") from error
    return buildroot, lock


def clean(root: Path) -> None:
    """Remove what an earlier installation has left; refuse to reach through a mount."""
    found = mounts.mountinfo(Path("/proc/self/mountinfo").read_text())
    if mounted := mounts.beneath(str(root), found):
        raise Failed(Status.CHROOT, f"{mounted[0].place} is still mounted, so {root} stays")
    shutil.rmtree(root)
    root.mkdir()


def open_files(call: Call, buildroot: Path, account: Account) -> stages.Files:
    """Open, as the caller, all that the worker is to read and write outside of the chroot."""
    directory = os.O_DIRECTORY | os.O_NOFOLLOW
    sources = {"srpm": call.words[0] if call.mode == "rebuild" else None,
               "spec": call.spec, "sources": call.sources}  # fmt: skip
    with acting_as(account):
        opened = {name: open_source(path, buildroot / "root")
                  for name, path in sources.items() if path}  # fmt: skip
        return stages.Files(
            result=os.open(buildroot / "result", directory),
            scratch=os.open(buildroot / "scratch", directory),
            scratch_path=buildroot / "scratch",
            **opened,
        )


def open_source(path: str, root: Path) -> int:
    """Open what a call names. kojid checks sources out into the chroot: there, no link is followed.

    Elsewhere the caller may name what it can read.
    """
    try:
        if Path(path).is_relative_to(root):
            directory = os.open(root, os.O_DIRECTORY | os.O_NOFOLLOW)
            inner = Path(path).relative_to(root)
            above = mounts.descend(directory, str(inner.parent))
            return os.open(inner.name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=above)
        return os.open(path, os.O_RDONLY)
    except OSError as error:
        raise Failed(Status.SRPM, f"{path} cannot be read: {error.strerror or error}") from error


def sign(settings: Settings, account: Account, result: Path) -> None:
    """Run the command of upstream's sign plugin on the results, as the unprivileged user."""
    names = sorted(str(path) for path in result.glob("*.rpm"))
    argv = shlex.split(settings.sign % {"rpms": shlex.join(names), "resultdir": str(result)})
    done = subprocess.run(
        argv, check=False, user=account.uid, group=account.gid, extra_groups=[], cwd=result
    )
    if done.returncode != 0:
        raise Failed(Status.BUILD, f"{argv[0]} failed to sign, with status {done.returncode}")


def check_host() -> None:
    """Try what a buildroot needs of the container, and raise Failed saying what to add to it."""
    if "NoNewPrivs:\t1" in Path("/proc/self/status").read_text():
        raise Failed(
            Status.NAMESPACE,
            "the container runs with no-new-privileges, so kojid's mock cannot become root",
            "leave out --security-opt no-new-privileges",
        )

    def try_mounts() -> int:
        try:
            kernel.unshare(kernel.NEW_MOUNTS | kernel.NEW_IPC)
            kernel.mount("none", "/", flags=kernel.RECURSIVE | kernel.PRIVATE)
            kernel.mount("tmpfs", "/tmp", "tmpfs")
        except kernel.Refused as error:
            print(f"ERROR: {error.explained()}", file=sys.stderr, flush=True)
            return Status.NAMESPACE
        return 0

    if status := worker.supervise(try_mounts):
        sys.exit(status)


def run(argv: list[str], account: Account) -> int:
    """Answer one call."""
    call = parse(argv)
    if call.mode == "check-host":
        check_host()
        return 0
    settings = configuration.settings(configuration.read(call.config, account))
    buildroot, _lock = prepare(settings, account)
    with acting_as(account):
        logs = Logs(os.open(buildroot / "result", os.O_DIRECTORY | os.O_NOFOLLOW))
    try:
        if call.clean and call.mode in ("init", "rebuild", "buildsrpm"):
            clean(buildroot / "root")
        files = open_files(call, buildroot, account)

        def work() -> int:
            return stages.work(call, settings, account, logs, files)

        status = worker.supervise(work)
        if status == 0 and call.mode == "rebuild" and settings.sign:
            sign(settings, account, buildroot / "result")
        return status
    except Failed as failure:
        logs.error(str(failure))
        return failure.status


def caller() -> Account:
    """Who called, as mock.c says; never root, for then nothing would be dropped."""
    uid = int(os.environ.get("SUDO_UID", "0"))
    if uid == 0:
        raise Failed(
            Status.USAGE,
            "mock does not know whom to drop its privileges to",
            "call /usr/bin/mock as kojibuilder, or as root where there is that user",
        )
    return Account(uid, grp.getgrnam("mock").gr_gid)


def main(argv: list[str] | None = None) -> int:
    """Find out who called, answer, and print what went wrong."""
    try:
        return run(sys.argv[1:] if argv is None else argv, caller())
    except Failed as failure:
        print(f"ERROR: {failure}", file=sys.stderr, flush=True)
        return failure.status


if __name__ == "__main__":
    sys.exit(main())
