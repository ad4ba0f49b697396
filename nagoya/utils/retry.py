"""Try again what a network interrupted."""

import time
from collections.abc import Callable
from typing import TypeVar

import httpx2

_ATTEMPTS = 3
T = TypeVar("T")


def repeated(action: Callable[[], T]) -> T:
    """The result of an action, which may fail for want of a network a few times. A server that is
    silent until the timeout is not asked again."""
    for attempt in range(1, _ATTEMPTS):
        try:
            return action()
        except httpx2.TimeoutException:
            raise
        except httpx2.TransportError:
            time.sleep(0.3 * attempt)
    return action()
