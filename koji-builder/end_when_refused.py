"""A plugin for kojid: it ends where the hub refuses the builder's certificate.

kojid would call again for ever. Where it ends, its container does, and registration.py says at the
next start what is wrong with the certificate. toji restarts a system's own builders when it revokes
their certificates; this is for remote builders, and on where there is a bundle.
"""

import functools
import logging
import re
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import requests

REFUSED = re.compile("alert certificate (revoked|expired)")


def ending(call: Callable[..., Any], expired: type[Exception]) -> Callable[..., Any]:
    """`call`, a method of sessions, that raises `expired`, with which kojid ends, where the hub
    refuses the certificate."""

    @functools.wraps(call)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        try:
            return call(*arguments, **options)
        except requests.exceptions.SSLError as error:
            if match := REFUSED.search(str(error)):
                raise expired(f"the certificate of this builder is {match[1]}") from None
            raise

    return wrapper


def install(koji: ModuleType) -> None:
    """Change the sessions of Koji's library."""
    koji.ClientSession._callMethod = ending(koji.ClientSession._callMethod, koji.AuthExpired)
    logging.getLogger("koji.end_when_refused").info("kojid ends where its certificate is refused")


if hasattr(sys.modules["__main__"], "TaskManager"):
    install(sys.modules["koji"])
