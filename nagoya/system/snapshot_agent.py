"""The snapshot program in a container, and how it is asked; util/snapshot.py has the protocol."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from threading import Lock
from typing import Any

from nagoya.engine import Handle, containers
from nagoya.engine.exec import ExecSession
from nagoya.engine.state import State
from nagoya.errors import EngineTimeout, LifecycleError, NagoyaError

SNAPSHOT_LABEL = "nagoya.snapshot"
"""On an image: the command, as a JSON list, that starts its snapshot program."""
VERBS_LABEL = "nagoya.snapshot.verbs"
"""On the same image: the verbs that the program understands, separated by blanks."""

_PROTOCOL = "util/snapshot.py of Nagoya describes what the program has to print"


class SnapshotAgent:
    """The snapshot program of one container; started by the first `ask`, ended by `close`."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.verbs = (containers.label(handle, VERBS_LABEL) or "").split()
        self._lock = Lock()
        self._session: ExecSession | None = None
        self._container_start: datetime | None = None

    def ask(self, *words: str, seconds: float) -> dict[str, Any]:
        """Send a verb with its argument, and return the answer; one question at a time.

        Raises LifecycleError if it refuses, EngineError if there is no answer after `seconds`.
        """
        with self._lock:
            try:
                if self._session is None:
                    self._container_start = self.state().started_at
                    self._session = ExecSession(self.handle, self._command())
                line = self._session.ask(" ".join(words), seconds)
                answer = _parse(line)
                if not isinstance(answer, dict) or answer.keys().isdisjoint(("answer", "refused")):
                    raise LifecycleError(
                        f"the answer to '{' '.join(words)}' is not valid: {line}", _PROTOCOL
                    )
            except NagoyaError:
                # The next line, if one comes, might be the answer to this question.
                self.close()
                raise
        if "refused" in answer:
            raise LifecycleError(answer["refused"], answer.get("hint"))
        return dict(answer["answer"])

    def state(self) -> State:
        return containers.state(self.handle)

    def exits(self, seconds: float) -> bool:
        """Whether the container has exited since the program was started, or does so within this
        time; the engine may have started it again."""
        try:
            if self.state().started_at == self._container_start:
                containers.wait_exit(self.handle, seconds)
        except EngineTimeout:
            return self.state().started_at != self._container_start
        return True

    def close(self) -> None:
        """End the program; another `ask` starts it again."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _command(self) -> list[str]:
        text = containers.label(self.handle, SNAPSHOT_LABEL) or ""
        match _parse(text):
            case [str(), *_] as words:
                return [str(word) for word in words]
        raise LifecycleError(
            f"the label {SNAPSHOT_LABEL} is not a command, as a JSON list: {text}", _PROTOCOL
        )


@contextmanager
def snapshot_agents(present: Mapping[str, Handle]) -> Iterator[dict[str, SnapshotAgent]]:
    """The agents of those containers that have one, by name."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(closing(SnapshotAgent(handle)))
            for name, handle in sorted(present.items())
            if containers.label(handle, SNAPSHOT_LABEL)
        }


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
