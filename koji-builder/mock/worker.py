"""The worker: PID 1 of its own PID namespace, with its own mounts, in which a buildroot is changed.

A call of mock is two processes. The first, started by kojid, reads and opens files and waits; the
worker gets only open descriptors from it. The worker makes the mounts and runs dnf, rpm and the
commands in the chroot. When the first process ends, for whatever reason, the kernel kills the
worker; since that is PID 1, the kernel then kills all its processes and drops all its mounts. So a
canceled build leaves nothing behind.
"""

import os
import select
import signal
import subprocess
import time
import traceback
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from types import FrameType

import dnf_files
import kernel
import mounts
from errors import MockError, Status
from limits import INTERVAL, MOST_PROCESSES, ProcessLimit
from logs import Logs
from settings import Account, Settings, personality

WATCH_SECONDS = 0.5
TRACER_SECONDS = 5.0  # for which a tracer may keep a program that has ended from being reaped
_CHUNK, _PIPE_SIZE = 1 << 16, 1 << 20  # bytes; a user's pipe cannot be longer (fs.pipe-max-size)
STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def supervise(work: Callable[[], int], watch: Callable[[], None] = lambda: None) -> int:
    """Run `work` as the worker and return its status; 128 plus the signal's number if stopped.

    `watch` is called every WATCH_SECONDS. If it raises MockError the worker is killed.
    """
    own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY)
    alive, held = os.pipe()
    # A blocked signal is not lost, and interrupts nothing: it stays pending for _wait.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS | {signal.SIGCHLD})
    try:
        kernel.unshare(kernel.NEW_PIDS)
        # kojid kills the descendants of a canceled task. But a task that ends by itself, such as
        # one whose upload the hub refuses because it was canceled, leaves its mock running.
        kernel.prctl(kernel.DIE_WITH_PARENT, signal.SIGTERM)
        worker = os.fork()
        if worker == 0:
            os.close(held)
            _work(work, alive, mask)
        try:
            return _wait(worker, watch)
        finally:
            kernel.setns(own_pids, kernel.NEW_PIDS)
    except kernel.KernelError as error:
        raise error.as_mock_error() from error
    finally:
        for descriptor in (own_pids, alive, held):
            os.close(descriptor)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _work(work: Callable[[], int], alive: int, mask: Collection[int]) -> None:
    """In the child: be the worker. Never returns.

    `alive` is a pipe whose other end the first process holds open while it lives.
    A stop signal ends the worker at once, and the kernel ends everything else.
    """
    status = 1
    try:
        for number in STOP_SIGNALS:
            signal.signal(number, _exit)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        kernel.prctl(kernel.DIE_WITH_PARENT, signal.SIGKILL)
        kernel.prctl(kernel.DUMPABLE, 0)  # it has directories of the builder open
        if not select.select([alive], [], [], 0)[0]:
            status = work()
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(status)


def _exit(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)


def _wait(worker: int, watch: Callable[[], None]) -> int:
    """Wait for the worker and return its status; kill it if a stop signal comes first."""
    stopped = 0
    while True:
        received = signal.sigtimedwait(STOP_SIGNALS | {signal.SIGCHLD}, WATCH_SECONDS)
        if received and received.si_signo in STOP_SIGNALS and not stopped:
            stopped = received.si_signo
            os.kill(worker, signal.SIGKILL)
        try:
            watch()
        except MockError:
            os.kill(worker, signal.SIGKILL)
            os.waitpid(worker, 0)
            raise
        pid, wait_status = os.waitpid(worker, os.WNOHANG)
        if pid:
            status = os.waitstatus_to_exitcode(wait_status)
            return 128 + stopped if stopped else (status if status >= 0 else 128 - status)


class Output:
    """A sink that keeps what a program prints; a program of a build may print without end."""

    LONGEST = 64 << 20

    def __init__(self) -> None:
        self._data = bytearray()

    def __call__(self, data: bytes) -> None:
        """Add it. Raises MockError if there is too much."""
        self._data += data
        if len(self._data) > self.LONGEST:
            raise MockError(Status.CHROOT, "a program printed more than 64 MiB to be read by mock")

    def __str__(self) -> str:
        return self._data.decode(errors="replace")


class Chroot:
    """A buildroot's tree in the worker: mounted, and ready for commands in it and on it."""

    def __init__(
        self, settings: Settings, account: Account, logs: Logs, architecture: str | None
    ) -> None:
        """Make the mounts. `architecture` (--arch) overrides what uname prints in the chroot.

        Raises MockError if the kernel refuses, or if the architecture cannot run here.
        """
        self.settings, self.account, self.logs = settings, account, logs
        self.path = settings.basedir / settings.root / "root"
        self.oom_score = kernel.OomScore()
        self.system_calls = kernel.filter_system_calls()
        machine = os.uname().machine
        self.is_32bit = personality(architecture or settings.architecture, machine)
        if settings.forcearch:
            personality(settings.forcearch, machine)
        roots = [self.path]
        bootstrap = settings.basedir / f"{settings.root}-bootstrap/root"
        others = [bootstrap] if settings.bootstrap else []
        self.programs: int | None = None  # the root whose dnf and rpm install packages
        self.programs_path = Path("/")
        try:
            self.directory = mounts.isolate(self.path, *others)
            dnf_files.write(settings)
            mounts.make(mounts.chroot_plan(settings, mounts.chroot_devices()), self.directory)
            if settings.bootstrap:
                roots.append(bootstrap)
                self.programs, self.programs_path = mounts.open_root(roots[-1]), roots[-1]
                scratch = self.path.with_name("scratch")
                mounts.make(mounts.bootstrap_plan(settings, self.path, scratch), self.programs)
            covered = mounts.hidden(settings.local_repositories)
            mounts.hide(covered)
            mounts.make_read_only(roots, covered)
            self.limit = ProcessLimit()
        except kernel.KernelError as error:
            raise error.as_mock_error() from error

    def outside(
        self, argv: list[str], sink: Callable[[bytes], None], *, network: bool = False
    ) -> int:
        """Run dnf or rpm, the builder's or the bootstrap's, as root without SYS_ADMIN; return its
        status.

        `sink` gets the output, in pieces.
        """
        home = dnf_files.folder(self.settings)
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(home)}

        def prepare() -> None:
            if not network:
                kernel.leave_network()
            if self.programs is not None:
                kernel.change_root(self.programs)
            kernel.confine(self.system_calls)

        return self._run(argv, environment, prepare, sink)

    def inside(
        self, argv: list[str], sink: Callable[[bytes], None], *,
        user: bool = True, cwd: str | None = None,
    ) -> int:  # fmt: skip
        """Run a command in the chroot, as the unprivileged user or as root; return its status.

        Unless the configuration gives it a network, it has a loopback only. A command that runs
        longer than rpmbuild_timeout is killed, and MockError is raised.
        """

        def prepare() -> None:
            if not self.settings.networking:
                kernel.leave_network()
            kernel.change_root(self.directory)
            self._confine(user)

        timeout = self.settings.timeout
        return self._run(
            argv, self.settings.environment, prepare, sink, timeout=timeout, cwd=cwd or "/"
        )

    def end_processes(self) -> None:
        """End what scriptlets and builds have left running, all but this process."""
        if os.getpid() != 1:
            raise RuntimeError("the worker is not PID 1, so these processes are not all its own")
        try:
            os.kill(-1, signal.SIGKILL)
            while True:
                os.wait()
        except (ProcessLookupError, ChildProcessError):
            pass

    def empty_scratch(self) -> None:
        """Empty /tmp, which scriptlets can write to. What runs next, with the builder's network,
        finds nothing that somebody has planted for it."""
        # It removes folders of any depth.
        subprocess.run(["find", mounts.SCRATCH, "-mindepth", "1", "-delete"], check=True)

    def do(self, work: Callable[[], None], *, user: bool) -> None:
        """Run a function in the chroot, where no link leads out of it; MockError if it raises.

        What runs there is ended before: it could stop a process of the same user. There is no
        /proc: this process has folders of the builder open, and /proc/self/fd would lead there.
        """
        self.end_processes()
        self.oom_score.raise_to_first()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                kernel.change_root(self.directory)
                mounts.detach_proc()
                self._confine(user)
                work()
                status = 0
            except Exception as error:
                self.logs.error(f"{work.__name__}: {error}")
            finally:
                os._exit(status)
        self.oom_score.reset()
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
            raise MockError(Status.CHROOT, f"{work.__name__} failed in the chroot")

    def _confine(self, user: bool) -> None:
        """Be the unprivileged user or root without power, for good."""
        kernel.confine(self.system_calls)
        if user:
            kernel.drop_privileges(self.account.uid, self.account.gid)

    def _run(
        self, argv: list[str], environment: dict[str, str], prepare: Callable[[], None],
        sink: Callable[[bytes], None], *, timeout: int = 0, cwd: str = "/",
    ) -> int:  # fmt: skip
        """Run a program, passing its output to `sink`, until it exits or times out.

        It waits for the exit, not for the end of the output: a daemon that a build leaves behind
        holds the pipe open until the worker ends.
        """
        reader, writer = os.pipe()
        os.fchown(writer, self.account.uid, self.account.gid)  # or /dev/stderr could not be opened
        self.oom_score.raise_to_first()
        child = os.fork()
        if child == 0:
            self._start(argv, environment, prepare, writer, cwd)
        self.oom_score.reset()
        os.close(writer)
        os.set_blocking(reader, False)
        exited, delay = os.pidfd_open(child), 0.0
        deadline = time.monotonic() + timeout if timeout else None
        reading = [reader, exited]
        try:
            while True:
                if deadline is not None and time.monotonic() > deadline:
                    os.kill(child, signal.SIGKILL)
                    raise MockError(Status.TIMEOUT, f"{argv[0]} ran longer than {timeout} s")
                self.limit.check()
                self._reap_orphans(child)
                ready, _, _ = select.select(reading, [], [], INTERVAL)
                if reader in ready and not _drain(reader, sink):
                    reading.remove(reader)
                if exited in ready:
                    _drain(reader, sink)
                    if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                        break
                    # Another process traces it, and so keeps it from being reaped.
                    time.sleep(INTERVAL)
                    delay += INTERVAL
                    if delay > TRACER_SECONDS:
                        raise MockError(Status.BUILD, f"{argv[0]} has ended and cannot be reaped")
        finally:
            os.close(reader)
            os.close(exited)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        self._reap_orphans(child)
        return status if status >= 0 else 128 - status

    def _start(
        self, argv: list[str], environment: dict[str, str], prepare: Callable[[], None],
        writer: int, cwd: str,
    ) -> None:  # fmt: skip
        """In the child: prepare it, and exec the program. Never returns."""
        try:
            os.setsid()
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            os.dup2(writer, 1)
            os.dup2(writer, 2)
            prepare()
            # Before a path is resolved: a link through /proc/self/fd would lead out of the chroot.
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))
            os.chdir(cwd)
            if self.is_32bit:
                kernel.set_32bit_personality()
            os.umask(0o022)
            # Python ignores SIGPIPE and SIGXFSZ.
            for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
                signal.signal(number, signal.SIG_DFL)
            os.execvpe(argv[0], argv, environment)
        except FileNotFoundError as error:
            os.write(2, f"mock: {error.filename or argv[0]}: not found in the chroot\n".encode())
        except Exception as error:
            os.write(2, f"mock: {argv[0]}: {error}\n".encode())
        finally:
            os._exit(127)

    def _reap_orphans(self, child: int) -> None:
        """Reap what other processes have left, until it is the child's turn.

        No more of them than a build may have: others may come as fast as these are reaped.
        """
        with suppress(ChildProcessError):
            options = os.WEXITED | os.WNOHANG | os.WNOWAIT
            for _ in range(MOST_PROCESSES):
                ended = os.waitid(os.P_ALL, 0, options)
                if not ended or ended.si_pid == child:
                    break
                os.waitpid(ended.si_pid, 0)


def _drain(reader: int, sink: Callable[[bytes], None]) -> bool:
    """Pass on what can be read now; return false once every writer has closed the pipe.

    As much as a pipe holds, and no more: a writer may be as fast as this.
    """
    for _ in range(_PIPE_SIZE // _CHUNK):
        try:
            chunk = os.read(reader, _CHUNK)
        except BlockingIOError:
            return True
        if not chunk:
            return False
        sink(chunk)
    return True
