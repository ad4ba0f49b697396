"""Push images to registries and pull them, with the login that `docker login` has saved."""

import queue
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import docker.errors

from nagoya.engine.client import Engine
from nagoya.engine.images import repository_and_tag
from nagoya.engine.translation import translated
from nagoya.errors import EngineError

# A registry that cannot be reached may keep the engine trying for many minutes.
_ANSWER_SECONDS = 10.0
# A registry may take minutes to store a large layer.
_SILENT_SECONDS = 300.0
_DONE = ("Pushed", "Layer already exists", "Mounted from", "Pull complete", "Already exists")


def pull(engine: Engine, name: str, on_line: Callable[[str], None]) -> None:
    """Pull an image, by its tag or its digest.

    Raises EngineError, also if no registry answers within 10 s.
    """
    repository, tag = repository_and_tag(name)

    def call() -> Any:
        return engine.client.api.pull(repository, tag, stream=True, decode=True)

    layers = Layers()
    with translated(f"pulling {name}", _hints(repository)):
        for event in _events(call):
            on_line(layers.line(event))


def push(engine: Engine, name: str, on_line: Callable[[str], None]) -> str:
    """Push an image, and return the digest by which the registry knows it.

    Raises EngineError, also if no registry answers within 10 s.
    """
    repository, tag = repository_and_tag(name)

    def call() -> Any:
        return engine.client.api.push(repository, tag, stream=True, decode=True)

    layers = Layers()
    with translated(f"pushing {name}", _hints(repository)):
        for event in _events(call):
            if digest := event.get("aux", {}).get("Digest"):
                return str(digest)
            on_line(layers.line(event))
    raise EngineError(f"pushing {name}: the engine reported no digest")


def _events(call: Callable[[], Iterable[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """The events of a transfer. Raises what ends it, and EngineError if nothing happens."""
    events: queue.SimpleQueue[dict[str, Any] | Exception | None] = queue.SimpleQueue()

    def listen() -> None:
        try:
            for event in call():
                events.put(event)
            events.put(None)
        except Exception as error:
            events.put(error)

    # A thread, because the SDK's calls have no timeout.
    threading.Thread(target=listen, daemon=True).start()
    seconds = _ANSWER_SECONDS
    while True:
        try:
            event = events.get(timeout=seconds)
        except queue.Empty:
            raise docker.errors.DockerException("no registry answers") from None
        if event is None:
            return
        if isinstance(event, Exception):
            raise event
        if "error" in event:
            raise docker.errors.DockerException(event["error"])
        # The first event of a push is the engine's own.
        if "id" in event:
            seconds = _SILENT_SECONDS
        yield event


class Layers:
    """The layers of an image that is pushed or pulled."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}
        self._bytes: dict[str, tuple[int, int]] = {}

    def line(self, event: Mapping[str, Any]) -> str:
        """An event and those before it, in words: how many layers are done, and how many MB."""
        status, layer = str(event.get("status", "")), str(event.get("id", ""))
        if not re.fullmatch("[0-9a-f]{12}", layer):
            return status
        self._states[layer] = status
        detail = event.get("progressDetail") or {}
        if status in ("Downloading", "Pushing") and "total" in detail:
            self._bytes[layer] = (min(detail["current"], detail["total"]), detail["total"])
        elif layer in self._bytes:
            self._bytes[layer] = (self._bytes[layer][1],) * 2
        if status.startswith("Retrying"):
            return f"{layer}: {status}"
        done = sum(state.startswith(_DONE) for state in self._states.values())
        moved, total = (sum(sizes) for sizes in zip((0, 0), *self._bytes.values(), strict=True))
        size = f", {moved / 1e6:.0f} of {total / 1e6:.0f} MB" if total else ""
        return f"{done} of {len(self._states)} layers{size}"


def _hints(repository: str) -> tuple[tuple[str, str], ...]:
    """What to do about a registry's errors, by patterns of the messages of the engine."""
    host = repository.partition("/")[0]
    if not re.search(r"[.:]|^localhost$", host):
        return ()  # Docker's own registry, which is asked for what is not found here
    return (
        (r"no basic auth|unauthorized|authentication required|denied|incorrect username",
         f"`docker login {host}`, as the user who runs this, with an account that may do it"),
        (r"x509|failed to verify certificate",
         f"the certificate of the registry's authority must be in /etc/docker/certs.d/{host}/"
         "ca.crt on the engine's machine"),
        (r"HTTP response to HTTPS client",
         f'a registry without TLS has to be named in the engine\'s daemon.json: '
         f'"insecure-registries": ["{host}"]'),
        (r"manifest unknown|name unknown|not found", "`moromi push` puts images there"),
        (r"verification failed|does not match|mismatch",
         "what the registry has is not what was pushed; push it again"),
        (r"connection refused|no such host|no route to host|timeout|timed out|no registry answers"
         r"|server misbehaving|network is unreachable",
         f"is {host} right, and can the engine's machine reach it?"),
        (r"HTTP status: 5\d\d|unknown: unknown error",
         "the registry failed, and its log says why; its disk may be full"),
    )  # fmt: skip
