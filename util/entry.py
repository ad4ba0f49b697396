"""How every script of an image begins and ends: its log lines, its refusals, its last exec."""

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
# Between two questions of a patient health check; a hub that is starting has other work too.
_PAUSE = 0.25


class Fatal(Exception):
    """What a script cannot do, told to whoever started it: what is wrong, and what to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def log(text: str) -> None:
    """One log line on stderr, opening with the image's name as `run` was given it."""
    print(f"{_image}: {text}", file=sys.stderr, flush=True)


def run(name: str, main: Callable[[], int]) -> int:
    """Run a script's `main` for the image called `name`, and return its exit status.

    A refusal is printed as `name: what is wrong` and `  hint: what to do` and gives 1. So does
    what the system refuses (a full disk, a missing right). The unforeseen gives a traceback and 2.

    The kernel drops every signal that PID 1 has no handler for: without these two handlers an
    entrypoint that still waits for another container would sit out the ten seconds that
    `docker stop` allows. They do not outlive the exec of the daemon.
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
            hint = "start it as root, without --user; it gives up its rights where it can"
            print(f"  hint: {hint}", file=sys.stderr, flush=True)
        return 1
    except Exception:
        traceback.print_exc()
        return 2


def describe(error: OSError) -> str:
    """What the system refuses, and which file it was about."""
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def health(question: Callable[[], str]) -> int:
    """Answer a HEALTHCHECK: 0 if `question` returns, 1 if it raises; one line on stdout says why.

    Whatever is raised means "not ready": a health check has nobody else to tell. Who would ask
    again at once says so by HEALTH_PATIENCE in the environment, and gets a no only after so many
    seconds: to ask again from within costs next to nothing, another process more than a question.
    """
    deadline = time.monotonic() + float(os.environ.get("HEALTH_PATIENCE", "0"))
    while True:
        try:
            print(f"ready: {question()}")
            return 0
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
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
    """Give up root for good, for `user` and its groups. Nothing happens if we are `user`."""
    account = pwd.getpwnam(user)
    if os.geteuid() == account.pw_uid:
        return
    os.initgroups(user, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    os.environ["HOME"] = account.pw_dir


def exec_command(argv: Sequence[str], user: str | None = None) -> NoReturn:
    """Become `argv`, found on PATH, as `user` if one is given. Raises Fatal if it cannot run."""
    if user is not None:
        drop_privileges(user)
    # Python ignores these two, and an ignored signal, unlike a handler, outlives an exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execvp(argv[0], list(argv))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise Fatal(
            f"cannot run {shlex.quote(argv[0])}: {why}",
            hint="what follows the image's name has to be a command in it, such as `bash`",
        ) from error


def _stopped(number: int, _frame: FrameType | None) -> NoReturn:
    log(f"stopped by {signal.Signals(number).name} before it was up")
    raise SystemExit(128 + number)
