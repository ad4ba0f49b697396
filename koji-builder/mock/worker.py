"""The worker: PID 1 of its own processes and mounts, in which everything about a buildroot runs.

Two processes work on a call of mock. The first, which kojid started, reads, opens and waits; it
gives the worker only open files. The worker makes the mounts and starts dnf, rpm and the commands
in the chroot. If the first ends, by whatever signal, the kernel ends the worker; and with PID 1 the
kernel ends all its processes and takes away all its mounts. So a cancelled build leaves nothing.
"""

import os
import select
import signal
import time
import traceback
from collections.abc import Callable

import kernel
import mounts
from ending import Failed, Status
from logs import Logs
from settings import Account, Settings, personality


class Stopped(Exception):
    """A signal asked mock to end."""


def supervise(work: Callable[[], int]) -> int:
    """Run `work` as the worker and return its status; 128 and the signal's number if stopped."""
    own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY)
    alive, held = os.pipe()
    try:
        kernel.unshare(kernel.NEW_PIDS)
    except kernel.Refused as error:
        raise error.explained() from error
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    # kojid kills the descendants of a task that is cancelled, but a task that ends by itself, as
    # one does whose upload is refused since it was cancelled, leaves its mock to nobody.
    kernel.prctl(kernel.DIE_WITH_PARENT, signal.SIGTERM)
    worker = os.fork()
    if worker == 0:
        status = 1
        try:
            os.close(held)
            kernel.prctl(kernel.DIE_WITH_PARENT, signal.SIGKILL)
            if not select.select([alive], [], [], 0)[0]:  # else the first has already died
                status = work()
        except Stopped as stopped:
            status = 128 + int(stopped.args[0])
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(alive)
    try:
        status = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    except Stopped as stopped:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)
        return 128 + int(stopped.args[0])
    finally:
        kernel.setns(own_pids, kernel.NEW_PIDS)
        os.close(own_pids)
    return status if status >= 0 else 128 - status


def _stop(number: int, _frame: object) -> None:
    raise Stopped(number)


class Chroot:
    """A buildroot's tree as the worker sees it: mounted, and ready to run commands in and on."""

    def __init__(
        self, settings: Settings, account: Account, logs: Logs, architecture: str | None
    ) -> None:
        """Make the mounts; `architecture` overrides what uname says in the chroot (--arch)."""
        self.settings, self.account, self.logs = settings, account, logs
        self.path = settings.basedir / settings.root / "root"
        machine = os.uname().machine
        self.narrow = personality(architecture or settings.architecture, machine)
        if settings.forcearch:
            personality(settings.forcearch, machine)
        try:
            self.directory = mounts.isolate(self.path)
            mounts.make(mounts.chroot_plan(settings), self.directory)
            mounts.close(self.path)
        except kernel.Refused as error:
            raise error.explained() from error

    def outside(self, argv: list[str], sink: Callable[[bytes], None]) -> int:
        """Run a program of the builder's on the chroot (dnf, rpm): as root, without SYS_ADMIN."""
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": "/tmp"}

        def become() -> None:
            os.chdir("/")
            kernel.confine()

        return self._run(argv, environment, become, sink, timeout=0)

    def inside(
        self, argv: list[str], sink: Callable[[bytes], None], *,
        user: bool = True, cwd: str | None = None,
    ) -> int:  # fmt: skip
        """Run a command in the chroot, as the unprivileged user or as root, and return its status.

        It has no network but a loopback unless the configuration gives it one. A command that
        takes longer than rpmbuild_timeout is killed, and Failed is raised.
        """

        def become() -> None:
            if not self.settings.networking:
                kernel.leave_network()
            self._enter(user)
            os.chdir(cwd or "/")

        timeout = self.settings.timeout
        return self._run(argv, self.settings.environment, become, sink, timeout)

    def do(self, work: Callable[[], None], *, user: bool) -> None:
        """Run a piece of this program in the chroot, where no link can lead out of it."""
        child = os.fork()
        if child == 0:
            status = 1
            try:
                self._enter(user)
                work()
                status = 0
            except Exception as error:
                self.logs.error(f"{work.__name__}: {error}")
            finally:
                os._exit(status)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
            raise Failed(Status.CHROOT, f"the chroot is not as it should be ({work.__name__})")

    def _enter(self, user: bool) -> None:
        """Go into the chroot for good, and become who is to act there."""
        kernel.change_root(self.directory)
        kernel.confine()
        if user:
            kernel.become(self.account.uid, self.account.gid)

    def _run(
        self, argv: list[str], environment: dict[str, str], become: Callable[[], None],
        sink: Callable[[bytes], None], timeout: int,
    ) -> int:  # fmt: skip
        """Start a program and give what it prints to `sink`, until it ends or has taken too long.

        The end of the program counts, not that of its output: a daemon that a build leaves behind
        holds the pipe open until the worker ends, and it with it.
        """
        reader, writer = os.pipe()
        os.fchown(writer, self.account.uid, self.account.gid)  # or /dev/stderr could not be opened
        child = os.fork()
        if child == 0:
            self._start(argv, environment, become, writer)
        os.close(writer)
        os.set_blocking(reader, False)
        ended = os.pidfd_open(child)
        deadline = time.monotonic() + timeout if timeout else None
        reading = [reader, ended]
        try:
            while True:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    os.kill(child, signal.SIGKILL)
                    raise Failed(Status.TIMEOUT, f"{argv[0]} took longer than {timeout} s")
                ready, _, _ = select.select(reading, [], [], left)
                if reader in ready and not _drain(reader, sink):
                    reading.remove(reader)
                if ended in ready:
                    _drain(reader, sink)
                    break
        finally:
            os.close(reader)
            os.close(ended)
        return self._status(child)

    def _start(
        self, argv: list[str], environment: dict[str, str], become: Callable[[], None], writer: int
    ) -> None:
        """In the child: become who is to run the program, and run it. Never returns."""
        try:
            os.setsid()
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            os.dup2(writer, 1)
            os.dup2(writer, 2)
            become()
            if self.narrow:
                kernel.narrow_personality()
            os.umask(0o022)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            os.execvpe(argv[0], argv, environment)
        except FileNotFoundError as error:
            os.write(2, f"mock: {error.filename or argv[0]}: not found in the chroot\n".encode())
        except Exception as error:
            os.write(2, f"mock: {argv[0]}: {error}\n".encode())
        finally:
            os._exit(127)

    def _status(self, child: int) -> int:
        """The child's exit status, or 128 and the signal's number; reap what was left to PID 1."""
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
        return status if status >= 0 else 128 - status


def _drain(reader: int, sink: Callable[[bytes], None]) -> bool:
    """Pass on what can be read now; false when nobody can write any more."""
    while True:
        try:
            chunk = os.read(reader, 65536)
        except BlockingIOError:
            return True
        if not chunk:
            return False
        sink(chunk)
