"""Waits for another container to answer, up to a deadline, and reports why it gave up."""

import time
from collections.abc import Callable
from typing import TypeVar

from .entry import Fatal, log

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5
_FIRST_WORD, _BETWEEN_WORDS = 2.0, 5.0

Answer = TypeVar("Answer")


def wait_until(
    question: Callable[[], Answer],
    seconds: float,
    what: str,
    retry: type[Exception] | tuple[type[Exception], ...] = OSError,
    hint: str | None = None,
) -> Answer:
    """Ask `question` until it returns, and return its answer.

    An exception of `retry` means "not yet"; any other is raised at once. `question` needs a time
    limit of its own: the deadline is checked between two attempts. There is at least one attempt.

    `what` completes "waiting for …", which is logged after 2 s and then every 5 s. Raises Fatal
    with the last error when `seconds` have passed.
    """
    start = time.monotonic()
    pause, next_word = _FIRST_PAUSE, _FIRST_WORD
    while True:
        try:
            return question()
        except retry as error:
            last = " ".join(str(error).split()) or type(error).__name__
        waited = time.monotonic() - start
        if waited >= seconds:
            raise Fatal(f"gave up waiting for {what} after {seconds:g} s: {last}", hint=hint)
        if waited >= next_word:
            log(f"waiting for {what} ({waited:.0f} s): {last}")
            next_word = waited + _BETWEEN_WORDS
        time.sleep(min(pause, seconds - waited))
        pause = min(pause * 1.5, _LONGEST_PAUSE)
