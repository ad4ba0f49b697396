"""The one way a program is run on the host: a list of arguments, no shell, a clear failure."""

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

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
    quoted = shlex.join(str(argument) for argument in arguments)
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
    except FileNotFoundError:
        raise CommandError(f"{arguments[0]} is not installed (to run: {quoted})", hint) from None
    except PermissionError as error:
        raise CommandError(f"{arguments[0]} cannot be run: {error.strerror}", hint) from None
    except subprocess.TimeoutExpired:
        raise CommandError(f"gave up after {seconds:.0f} s: {quoted}", hint) from None
    if ended.returncode:
        lines = (ended.stderr.strip() or ended.stdout.strip()).splitlines()[-_LAST_LINES:]
        said = "".join(f"\n    {line}" for line in lines)
        raise CommandError(f"{_how(ended.returncode)}: {quoted}{said}", hint)
    return ended.stdout


def _how(status: int) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"
