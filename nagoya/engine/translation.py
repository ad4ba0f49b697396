"""Docker's errors, turned into a sentence that says what was tried and what to do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import docker.errors
import requests.exceptions

from nagoya.errors import EngineError

_HINTS = (
    (r"no space left on device", "the disk of the engine is full; `moromi clean` may free some"),
    (r"port is already allocated|address already in use",
     "another program has that port; leave the host port out, and a free one is chosen"),
    (r"No such image|pull access denied", "`moromi build` makes the images"),
    (r"no such container", "somebody else may have removed it; `toji status` shows what is there"),
    (r"non-overlapping IPv4 address pool",
     "every system has a network, and the engine has no addresses left for one more: `toji list` "
     "shows them, `toji remove --stale` removes what nobody needs; `default-address-pools` in the "
     "engine's daemon.json makes room"),
    (r"operation not permitted", "the engine may not do this on this machine"),
)  # fmt: skip


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise EngineError for whatever Docker raises inside; `doing` says what was tried."""
    try:
        yield
    except docker.errors.APIError as error:
        said = str(error.explanation or error).strip()
        raise EngineError(f"{doing}: {said}", _hint(said)) from error
    except docker.errors.DockerException as error:
        raise EngineError(f"{doing}: {error}", _hint(str(error))) from error
    except (requests.exceptions.RequestException, ConnectionError, TimeoutError) as error:
        raise EngineError(
            f"{doing}: the engine does not answer ({type(error).__name__})",
            "is dockerd still running? `tools/engine status` tells of the project's own",
        ) from error


def _hint(said: str) -> str | None:
    return next((hint for pattern, hint in _HINTS if re.search(pattern, said, re.IGNORECASE)), None)
