"""What every script of an image shares: log lines, fatal errors, health checks, the final exec."""

import os
import pwd
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Callable, Collection, Sequence
from types import FrameType
from typing import NoReturn

_image = "nagoya"
# Seconds between two attempts of a patient health check.
_PAUSE = 0.25


class Fatal(Exception):
    """An error that ends a script: what is wrong, and as a hint what to do about it."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def log(text: str) -> None:
    """Write one line to stderr, prefixed with the name that was passed to `run`."""
    print(f"{_image}: {text}", file=sys.stderr, flush=True)


def run(name: str, main: Callable[[], int]) -> int:
    """Run a script's `main` for the image called `name`, and return its exit status.

    Fatal is printed as `name: what is wrong` and `  hint: what to do`; the status is 1. It is 1 for
    errors of the system too (a full disk, a missing permission). Anything else is printed as a
    traceback; the status is 2.

    The kernel drops every signal that PID 1 has no handler for: without these two handlers an
    entrypoint that still waits for another container would ignore `docker stop` for ten seconds.
    They do not outlive the exec of the daemon.
    """
    global _image  # noqa: PLW0603 - one process is one image
    _image = name
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, _stopped)
    try:
        return main()
    except Fatal as refusal:
        log(str(refusal))
        if refusal.hint:
            print(f"  hint: {refusal.hint}", file=sys.stderr, flush=True)
        return 1
    except OSError as error:
        log(describe(error))
        if isinstance(error, PermissionError) and os.geteuid() != 0:
            hint = "start it as root, without --user; it drops its privileges by itself"
            print(f"  hint: {hint}", file=sys.stderr, flush=True)
        return 1
    except Exception:
        traceback.print_exc()
        return 2


def describe(error: OSError) -> str:
    """An error of the system in words, with the file that it is about."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def health(question: Callable[[], str]) -> int:
    """Answer a HEALTHCHECK: 0 if `question` returns, 1 if it raises; one line on stdout says why.

    Any exception means "not ready". HEALTH_PATIENCE in the environment is the number of seconds to
    repeat the question before answering 1, which costs much less than a process each time.
    """
    deadline = time.monotonic() + float(os.environ.get("HEALTH_PATIENCE", "0"))
    while True:
        try:
            print(f"ready: {question()}")
            return 0
        except Exception as error:
            text = describe(error) if isinstance(error, OSError) else str(error)
            reason = " ".join(text.split()) or type(error).__name__
        if time.monotonic() >= deadline:
            print(f"not ready: {reason}")
            return 1
        time.sleep(_PAUSE)


def passes_through(argv: Sequence[str], own: Collection[str] = ()) -> bool:
    """Whether `argv` (without the program's name) is a command to run in place of the daemon.

    It is if it begins with anything but one of the image's `own` arguments.
    """
    return bool(argv) and argv[0] not in own


def drop_privileges(user: str) -> None:
    """Become `user`, with its groups, for good. Does nothing if we are `user` already."""
    account = pwd.getpwnam(user)
    if os.geteuid() == account.pw_uid:
        return
    os.initgroups(user, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    os.environ["HOME"] = account.pw_dir


def exec_command(argv: Sequence[str], user: str | None = None) -> NoReturn:
    """Execute `argv`, found on PATH, as `user` if set. Raises Fatal if it cannot run."""
    if user is not None:
        drop_privileges(user)
    # Python ignores these two, and an ignored signal stays ignored after an exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execvp(argv[0], list(argv))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise Fatal(
            f"cannot run {shlex.quote(argv[0])}: {why}",
            hint="the arguments after the image's name must be a command in it, such as `bash`",
        ) from error


def _stopped(number: int, _frame: FrameType | None) -> NoReturn:
    log(f"stopped by {signal.Signals(number).name} before it was ready")
    raise SystemExit(128 + number)
