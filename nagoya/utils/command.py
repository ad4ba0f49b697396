"""The one way a program is run on the host: a list of arguments, no shell, a clear failure."""

import logging
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from nagoya.errors import CommandError

_LAST_LINES = 15
_logger = logging.getLogger(__name__)


def run(arguments: Sequence[str | Path]) -> str:
    """Run a program and return its stdout.

    Raises CommandError with the quoted command, how it ended and the last lines of its output.
    """
    with _started(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as (program, lines):
        output, errors = program.communicate()
        lines.extend((errors.strip() or output.strip()).splitlines())
    return output


def run_streaming(
    arguments: Sequence[str | Path],
    on_line: Callable[[str], None],
    *,
    environment: Mapping[str, str] | None = None,
    output: IO[bytes] | None = None,
) -> None:
    """Run a program and pass on each line that it prints, as it comes.

    `environment` is added to this process's own. With `output` its stdout is written there, and
    only the lines of its stderr are passed on. Raises CommandError as `run` does.
    """
    with _started(
        arguments,
        environment,
        stdout=output or subprocess.PIPE,
        stderr=subprocess.PIPE if output else subprocess.STDOUT,
    ) as (program, lines):
        for line in program.stderr or program.stdout or ():
            lines.append(line.rstrip())
            on_line(line.rstrip())


@contextmanager
def _started(
    arguments: Sequence[str | Path],
    environment: Mapping[str, str] | None = None,
    **streams: Any,
) -> Iterator[tuple["subprocess.Popen[str]", list[str]]]:
    """Start a program and wait for its end; the error shows the lines that the caller collects."""
    command = [str(argument) for argument in arguments]
    quoted, started = shlex.join(command), time.monotonic()
    lines: list[str] = []
    try:
        program = subprocess.Popen(
            command,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            **streams,
        )
    except FileNotFoundError:
        raise CommandError(f"{command[0]} is not installed (to run: {quoted})") from None
    except OSError as error:
        raise CommandError(f"{command[0]} cannot be run: {error.strerror}") from None
    with program:
        yield program, lines
    status = program.returncode
    ended = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    _logger.debug("%s: %s, %.3f s", quoted, ended, time.monotonic() - started)
    if status:
        output = "".join(f"\n    {line}" for line in lines[-_LAST_LINES:])
        raise CommandError(f"{ended}: {quoted}{output}")
