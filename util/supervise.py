"""PID 1 for images that run more than one program: starts, reaps and stops them in order.

The main daemon is the container's purpose: when it ends, the container ends with its status. The
others are sidecars, which are restarted when they end. Debian's supervisors do not fit:
`supervisor` and runit cannot pass on a daemon's status as the container's, s6 can only with an
overlay that Debian lacks, and none of them can call the hub before it stops a builder.

Import it in a process that loads little else, since that process stays in memory for good.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .entry import Fatal, exec_command, log

_STOP = {signal.SIGTERM, signal.SIGINT}
# Apache and kojid both take it for a graceful restart.
_FORWARDED = {signal.SIGUSR1}
_RESTART_SIGNAL = signal.SIGHUP
_WATCHED = _STOP | _FORWARDED | {_RESTART_SIGNAL, signal.SIGCHLD}

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
# After running this long a sidecar is restarted with the first pause again.
_SETTLED = 60.0
# Seconds for the sidecars to stop, while the main daemon still answers them.
_SIDECARS_GRACE = 3.0


@dataclass(frozen=True)
class Daemon:
    """A program that stays in the foreground, and the signal that asks it to end.

    With `every` it is a sidecar that ends: it starts `first` seconds after the container, and again
    `every` seconds after its end.
    """

    name: str
    command: tuple[str, ...]
    user: str | None = None
    stop: signal.Signals = signal.SIGTERM
    every: float | None = None
    first: float = 0.0


def supervise(
    main: Daemon,
    sidecars: Sequence[Daemon] = (),
    stopping: Callable[[], float] = lambda: 5.0,
) -> int:
    """Run `main` and its sidecars until `main` ends or SIGTERM or SIGINT comes.

    Returns the status of `main`: as it left it, or 128 and the number of the signal that killed
    it. `stopping` is called on the first stop signal, before any daemon is stopped; it returns the
    seconds that `main` gets before it is killed. SIGUSR1 is forwarded to `main`. SIGHUP kills the
    sidecars with all their children, and restarts them at once.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    return _Supervisor(main, sidecars, stopping).run()


class _Supervisor:
    def __init__(
        self, main: Daemon, sidecars: Sequence[Daemon], stopping: Callable[[], float]
    ) -> None:
        self._main = main
        self._stopping = stopping
        self._running: dict[int, Daemon] = {}
        self._started: dict[Daemon, float] = {}
        self._pause = dict.fromkeys(sidecars, _FIRST_PAUSE)
        # When each sidecar that has ended is restarted.
        self._restart_at: dict[Daemon, float] = {}
        # Sidecars to restart without a pause.
        self._restart_now: set[Daemon] = set()
        # The status of `main`, once it has ended.
        self._status: int | None = None
        self._stopped = False

    def run(self) -> int:
        for daemon in (self._main, *self._pause):
            if daemon.every is None:
                self._start(daemon)
            else:
                self._restart_at[daemon] = time.monotonic() + daemon.first
        while self._status is None:
            number = self._wait(min(self._restart_at.values(), default=None))
            if number in _STOP:
                self._stop()
            elif number in _FORWARDED:
                self._signal([self._main], number)
            elif number == _RESTART_SIGNAL:
                self._restart_sidecars()
            self._reap()
            for daemon in [
                daemon for daemon, at in self._restart_at.items() if at <= time.monotonic()
            ]:
                del self._restart_at[daemon]
                self._start(daemon)
        self._end(self._pause, _SIDECARS_GRACE)
        return self._status

    def _start(self, daemon: Daemon) -> None:
        pid = os.fork()
        if pid == 0:
            _become(daemon)
        self._running[pid] = daemon
        self._started[daemon] = time.monotonic()

    def _wait(self, until: float | None) -> int | None:
        """The next signal, or None when `until` (monotonic seconds) has come."""
        if until is None:
            return signal.sigwaitinfo(_WATCHED).si_signo
        got = signal.sigtimedwait(_WATCHED, max(0.0, until - time.monotonic()))
        return got.si_signo if got else None

    def _reap(self) -> None:
        """Reap every child that has ended: our own, and orphans that PID 1 inherits."""
        while True:
            try:
                pid, wait_status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            daemon = self._running.pop(pid, None)
            if daemon is not None:
                self._ended(daemon, os.waitstatus_to_exitcode(wait_status))

    def _ended(self, daemon: Daemon, code: int) -> None:
        how = f"status {code}" if code >= 0 else signal.Signals(-code).name
        if daemon == self._main:
            self._status = code if code >= 0 else 128 - code
        if self._stopped or self._status is not None:
            log(f"{daemon.name} ended ({how})")
            return
        now = time.monotonic()
        if daemon.every is not None:
            if code:
                log(f"{daemon.name} ended ({how}); running it again in {daemon.every:g} s")
            self._restart_at[daemon] = now + daemon.every
            return
        if now - self._started[daemon] >= _SETTLED:
            self._pause[daemon] = _FIRST_PAUSE
        if daemon in self._restart_now:
            self._restart_now.remove(daemon)
            self._restart_at[daemon] = now
            return
        pause = self._pause[daemon]
        self._pause[daemon] = min(pause * 2, _LONGEST_PAUSE)
        self._restart_at[daemon] = now + pause
        log(f"{daemon.name} ended ({how}); restarting it in {pause:g} s")

    def _restart_sidecars(self) -> None:
        """Kill the sidecars and their children; each is restarted as soon as it is reaped."""
        running = {daemon: pid for pid, daemon in self._running.items() if daemon in self._pause}
        self._restart_now |= {daemon for daemon in running if daemon.every is None}
        waiting = {daemon for daemon in self._pause if daemon.every is None} - set(running)
        self._restart_at |= dict.fromkeys(waiting, time.monotonic())
        for pid in running.values():
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:  # so young that it has no group of its own yet
                os.kill(pid, signal.SIGKILL)

    def _stop(self) -> None:
        """Stop every daemon, the sidecars first."""
        seconds = self._stopping()
        self._stopped = True
        self._restart_at.clear()
        self._end(self._pause, _SIDECARS_GRACE)
        self._end([self._main], seconds)

    def _end(self, daemons: Iterable[Daemon], seconds: float) -> None:
        """Ask `daemons` to end, and kill those that are still there after `seconds`."""
        daemons = set(daemons)
        for daemon in daemons:
            self._signal([daemon], daemon.stop)
        deadline = time.monotonic() + seconds
        while daemons.intersection(self._running.values()) and time.monotonic() < deadline:
            # Further stop signals are ignored: shutdown is under way.
            self._wait(deadline)
            self._reap()
        late = daemons.intersection(self._running.values())
        if late:
            log(f"killing {', '.join(each.name for each in late)}: not stopped after {seconds:g} s")
            self._signal(late, signal.SIGKILL)
            while late.intersection(self._running.values()):
                self._wait(time.monotonic() + 0.1)
                self._reap()

    def _signal(self, daemons: Iterable[Daemon], number: int) -> None:
        for pid, daemon in self._running.items():
            if daemon in daemons:
                os.kill(pid, number)


def _become(daemon: Daemon) -> None:
    """Turn this new process into `daemon`. Never returns."""
    status = 127
    try:
        # A session of its own: what a terminal sends to its foreground (Ctrl-C; a change of its
        # size, which to Apache means "stop") reaches PID 1 alone, which knows what to do.
        os.setsid()
        for number in _WATCHED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
        exec_command(daemon.command, user=daemon.user)
    except Fatal as refusal:
        log(f"{daemon.name}: {refusal}")
    finally:
        sys.stderr.flush()
        os._exit(status)
