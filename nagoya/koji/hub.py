"""A system's hub, as its host reaches it: through what toji wrote beside the credentials.

Koji's client library is imported here alone, and only when asked for: building and starting
systems does without it.
"""

import json
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from nagoya.errors import LifecycleError, NotReady

_PAUSE = 0.5


@dataclass(frozen=True)
class HubConnection:
    """Where a system's hub is, and with which files to go there; see kojicallbacks.py."""

    system: str
    profile: str
    urls: dict[str, str]
    ca: Path
    certificate: Path

    @classmethod
    def to(cls, system: str, home: Path) -> "HubConnection":
        """Read what toji wrote for a system, below its owner's home. Raises LifecycleError if it
        wrote nothing."""
        path = home / ".koji" / "nagoya" / system / "koji.json"
        try:
            told = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise LifecycleError(
                f"{path} cannot be read: {error}",
                f"`toji --system {system} init` writes it; was the system started by another user?",
            ) from None
        return cls(
            system, told["profile"], told["urls"], Path(told["ca"]), Path(told["certificate"])
        )

    def session(self) -> Any:
        """A `koji.ClientSession` that is logged in as kojiadmin."""
        koji = koji_module()
        session = koji.ClientSession(
            self.urls["hub"], opts={"serverca": str(self.ca), "max_retries": 3, "retry_interval": 1}
        )
        try:
            session.ssl_login(cert=str(self.certificate), serverca=str(self.ca))
        except (koji.GenericError, OSError) as error:
            raise LifecycleError(
                f"the hub at {self.urls['hub']} does not let us in: {error}",
                f"`toji --system {self.system} wait` tells whether it is up",
            ) from None
        return session

    def download(self, url: str) -> bytes:
        """What the hub serves at a URL, by HTTPS that is verified. Raises LifecycleError."""
        context = ssl.create_default_context(cafile=str(self.ca))
        try:
            with urlopen(url, context=context, timeout=60) as answer:
                content: bytes = answer.read()
        except OSError as error:
            raise LifecycleError(f"{url} cannot be downloaded: {error}") from None
        return content


def koji_module() -> Any:
    """Koji's client library, which the extra `client` installs."""
    try:
        import koji  # noqa: PLC0415 - see above
    except ImportError:
        raise LifecycleError(
            "Koji's client library is not installed",
            "pip install koji==1.36.1 (on Debian it needs gcc, python3-dev and libkrb5-dev)",
        ) from None
    return koji


@contextmanager
def hub_errors() -> Iterator[None]:
    """Turn what the hub refuses inside, or a connection that breaks, into a LifecycleError."""
    try:
        yield
    except Exception as error:
        koji, requests = sys.modules.get("koji"), sys.modules.get("requests")
        refused = (koji.GenericError, koji.xmlrpcplus.Fault) if koji else ()
        broken = (requests.RequestException,) if requests else ()
        if isinstance(error, (*refused, *broken)):
            raise LifecycleError(f"the hub: {error}") from error
        raise


def wait_for_task(
    session: Any, task: int, seconds: float, tell: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """A task's record once it has ended; `tell` hears meanwhile what is at work for it.

    Raises NotReady at the deadline.
    """
    koji = koji_module()
    over = {koji.TASK_STATES[state] for state in ("CLOSED", "CANCELED", "FAILED")}
    deadline = time.monotonic() + seconds
    while True:
        info: dict[str, Any] = session.getTaskInfo(task, request=True)
        if info["state"] in over:
            return info
        if time.monotonic() > deadline:
            raise NotReady(
                f"task {task} ({info['method']}) is {koji.TASK_STATES[info['state']]} "
                f"after {seconds:.0f} s",
                "do its builders run? `toji status` and `toji logs` tell",
            )
        at_work = [
            one for one in task_tree(session, task) if one["state"] == koji.TASK_STATES["OPEN"]
        ]
        tell(", ".join(f"{one['method']} (task {one['id']})" for one in at_work[-1:]) or "queued")
        time.sleep(_PAUSE)


def task_tree(session: Any, task: int) -> Iterator[dict[str, Any]]:
    """A task and all that descend from it, each after its parent."""
    yield session.getTaskInfo(task, strict=True)
    descendants: dict[str, list[dict[str, Any]]] = session.getTaskDescendents(task)
    for children in descendants.values():
        yield from children


def task_logs(session: Any, task: int) -> Iterator[tuple[str, bytes]]:
    """The logs that one task has written: each one's name, and what it holds."""
    for name in sorted(session.listTaskOutput(task)):
        if name.endswith(".log"):
            yield name, session.downloadTaskOutput(task, name)
