"""Turn Docker's errors into messages that say what failed and what to do."""

import logging
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import docker.errors
import requests.exceptions

from nagoya.errors import EngineError

_HINTS = (
    (r"no space left on device", "the disk of the engine is full; `moromi clean` may free some"),
    (r"port is already allocated|address already in use",
     "another program has that port; leave the host port out, and a free one is chosen"),
    (r"No such image|pull access denied", "`moromi build` makes the images"),
    (r"no such container|marked for removal",
     "another program may have removed it; `toji status` shows the rest"),
    # The first is the message of Docker 26 and older.
    (r"non-overlapping IPv4 address pool|address pools have been fully subnetted",
     "every system has a network, and the engine has no addresses left for one more: `toji list` "
     "shows them, `toji remove --stale` removes abandoned ones; `default-address-pools` in the "
     "engine's daemon.json makes room"),
    (r"cannot assign requested address",
     "the engine's machine does not have the address to publish ports on; `ports` in moromi.yml or "
     "TESTCONTAINERS_HOST_OVERRIDE names it"),
    (r"logging driver does not support reading",
     "set `log-driver` to json-file or local in the engine's daemon.json, restart the engine, and "
     "recreate the container with `toji up --recreate`"),
    (r"has active endpoints",
     "another system's container uses the network, and `docker network inspect` names it; if it "
     "names none, the engine keeps an address of a container that is gone: restart the engine, and "
     "then do the same again"),
    (r"operation not permitted",
     "the engine lacks a privilege; `toji doctor` checks its capabilities"),
)  # fmt: skip
_logger = logging.getLogger(__name__)


@contextmanager
def translated(action: str, hints: Iterable[tuple[str, str]] = ()) -> Iterator[None]:
    """Raise EngineError for Docker's errors; `action` is a phrase such as `starting koji`.

    `hints` are pairs of a pattern of the message and what to do, looked at before the general ones.
    """
    started = time.monotonic()
    try:
        yield
        _logger.debug("%s: %.3f s", action, time.monotonic() - started)
    except docker.errors.DockerException as error:
        reason = str(getattr(error, "explanation", None) or error).strip()
        known = (*hints, *_HINTS)
        hint = next((hint for pattern, hint in known if re.search(pattern, reason, re.I)), None)
        raise EngineError(f"{action}: {reason}", hint) from error
    except (requests.exceptions.RequestException, ConnectionError, TimeoutError) as error:
        raise EngineError(
            f"{action}: the engine does not answer ({type(error).__name__})",
            "is dockerd still running? Check the project's private one with `tools/engine status`",
        ) from error
