"""The one way a program is run on the host: a list of arguments, no shell, a clear failure."""

import os
import shlex
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from nagoya.errors import CommandError

_LAST_LINES = 15


def installed(program: str) -> bool:
    """Whether a program is on PATH."""
    return shutil.which(program) is not None


def run(
    arguments: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    seconds: float | None = None,
    hint: str | None = None,
) -> str:
    """Run a program to its end and return its stdout.

    `environment` is added to this process's own. `hint` goes along with any failure. Raises
    CommandError with the quoted command, how it ended and the last lines of its output.
    """
    try:
        ended = subprocess.run(
            [str(argument) for argument in arguments],
            env={**os.environ, **(environment or {})},
            cwd=cwd,
            timeout=seconds,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise _not_run(arguments, error, hint) from None
    except subprocess.TimeoutExpired:
        raise CommandError(f"gave up after {seconds:.0f} s: {_quoted(arguments)}", hint) from None
    if ended.returncode:
        lines = (ended.stderr.strip() or ended.stdout.strip()).splitlines()
        raise _failed(arguments, ended.returncode, lines, hint)
    return ended.stdout


def run_streaming(
    arguments: Sequence[str | Path],
    heard: Callable[[str], None],
    *,
    environment: Mapping[str, str] | None = None,
    output: IO[bytes] | None = None,
    hint: str | None = None,
) -> None:
    """Run a program that takes its time, and pass on each line that it prints as it comes.

    Its stdout goes to `output` where one is given, and only its stderr is heard then. Raises
    CommandError as `run` does.
    """
    last: deque[str] = deque(maxlen=_LAST_LINES)
    try:
        program = subprocess.Popen(
            [str(argument) for argument in arguments],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output or subprocess.PIPE,
            stderr=subprocess.PIPE if output else subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise _not_run(arguments, error, hint) from None
    with program:
        for line in program.stderr or program.stdout or ():
            last.append(line.rstrip())
            heard(line.rstrip())
    if program.returncode:
        raise _failed(arguments, program.returncode, [*last], hint)


def _quoted(arguments: Sequence[str | Path]) -> str:
    return shlex.join(str(argument) for argument in arguments)


def _not_run(arguments: Sequence[str | Path], error: OSError, hint: str | None) -> CommandError:
    if isinstance(error, FileNotFoundError):
        return CommandError(f"{arguments[0]} is not installed (to run: {_quoted(arguments)})", hint)
    return CommandError(f"{arguments[0]} cannot be run: {error.strerror}", hint)


def _failed(
    arguments: Sequence[str | Path], status: int, lines: Sequence[str], hint: str | None
) -> CommandError:
    said = "".join(f"\n    {line}" for line in lines[-_LAST_LINES:])
    return CommandError(f"{_how(status)}: {_quoted(arguments)}{said}", hint)


def _how(status: int) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"
