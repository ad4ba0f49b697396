"""Every error that a user can meet, and its exit status.

Libraries raise these; only `reported()` around a command line prints and exits. Anything else
that is raised is a bug: it keeps its traceback and ends with status 2.
"""

import difflib
import logging
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

_logger = logging.getLogger(__name__)

INTERRUPTED = 130
USAGE = 64
"""As in sysexits.h; 2 is UNEXPECTED."""
UNEXPECTED = 2


class NagoyaError(Exception):
    """An error that a user can understand and correct.

    `message` says what is wrong and where, `hint` what to do about it.
    """

    exit_code = 1

    def __init__(
        self, message: str, hint: str | None = None, *, exit_code: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code


class UsageError(NagoyaError):
    """A call that is wrong in itself, such as the name of an image that is not declared."""

    exit_code = USAGE


class DeclarationError(NagoyaError):
    """moromi.yml, a seed or a Dockerfile is not valid; holds every problem, and shows the first
    SHOWN."""

    exit_code = 3
    SHOWN = 20

    def __init__(self, where: str, problems: Sequence[str], hint: str | None = None) -> None:
        lines = [f"  {problem}" for problem in problems[: self.SHOWN]]
        if len(problems) > self.SHOWN:
            lines.append(f"  and {len(problems) - self.SHOWN} more")
        super().__init__("\n".join([f"{where}:", *lines]), hint)
        self.problems = tuple(problems)


class EngineError(NagoyaError):
    """The container engine refused, failed, or could not be reached."""

    exit_code = 4


class PortTaken(EngineError):
    """A port that was to be published is in use."""


class EngineTimeout(EngineError):
    """A command in a container did not answer in time."""


class SourceError(NagoyaError):
    """A source or the base image could not be fetched or made."""

    exit_code = 5


class BuildError(NagoyaError):
    """At least one image was not built."""

    exit_code = 6


class LifecycleError(NagoyaError):
    """A container of the system failed, or is in a state that does not allow what was asked."""

    exit_code = 7


class NotReady(NagoyaError):
    """A wait reached its deadline, or what it waited for has ended."""

    exit_code = 8


class CommandError(NagoyaError):
    """A program that was run failed, was killed, or is not installed."""

    exit_code = 9


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """The end of a message about an unknown word: `; did you mean 'koji-hub'?`, or nothing."""
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


@contextmanager
def reported(program: str) -> Iterator[None]:
    """Turn what is raised inside into a message on stderr and an exit status."""
    try:
        yield
    except NagoyaError as error:
        _logger.debug("%s failed", program, exc_info=True)
        for line in f"{program}: {error.message}".splitlines():
            # Such as a name of 5,000 letters.
            shown = line if len(line) < 1000 else f"{line[:480]} … {line[-480:]}"
            print(shown, file=sys.stderr)
        if error.hint:
            print(f"  hint: {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except OSError as error:
        # Such as a home folder that cannot be written to, or a full disk.
        _logger.debug("%s failed", program, exc_info=True)
        where = f"{error.filename}: " if error.filename else ""
        print(f"{program}: {where}{error.strerror or error}", file=sys.stderr)
        sys.exit(NagoyaError.exit_code)
    except Exception:
        traceback.print_exc()
        print(f"{program}: this is a bug in {program}, please report it", file=sys.stderr)
        sys.exit(UNEXPECTED)
