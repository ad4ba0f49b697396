"""A container that has a part in its system's state, and how it is asked for it.

What it is asked, and what it answers, util/snapshot.py tells.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any, Self

from nagoya.engine import Handle, containers
from nagoya.engine.containers import State
from nagoya.engine.exec import ExecSession
from nagoya.errors import LifecycleError, NagoyaError

SNAPSHOT_LABEL = "nagoya.snapshot"
"""On an image: the command, as a JSON list, that its containers are asked by."""
VERBS_LABEL = "nagoya.snapshot.verbs"
"""On the same image: the words that they are to be asked, with blanks between."""

_SECONDS = 600.0
_CONTRACT = "util/snapshot.py of Nagoya tells what an image has to say, and to answer"


class SnapshotAgent:
    """One of them; the program that answers is started with the first question, and ended with
    `close`."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.verbs = (containers.label(handle, VERBS_LABEL) or "").split()
        self._alone = Lock()
        self._conversation: ExecSession | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, *words: str, seconds: float = _SECONDS) -> dict[str, Any]:
        """What it answers, once it has answered what it was asked before.

        Raises LifecycleError for a refusal, and EngineError where there is no answer.
        """
        with self._alone:
            try:
                if self._conversation is None:
                    self._conversation = ExecSession(self.handle, self._command())
                told = _told(words, self._conversation.ask(" ".join(words), seconds))
            except NagoyaError:
                # What it says next, if anything, might be the answer to this.
                self.close()
                raise
        if "refused" in told:
            raise LifecycleError(told["refused"], told.get("hint"))
        return dict(told["answer"])

    def state(self) -> State:
        """What the engine says of its container now."""
        return containers.state(self.handle)

    def close(self) -> None:
        """Ask no more for now."""
        conversation, self._conversation = self._conversation, None
        if conversation is not None:
            conversation.close()

    def _command(self) -> list[str]:
        text = containers.label(self.handle, SNAPSHOT_LABEL) or ""
        match _parsed(text):
            case [str(), *_] as words:
                return [str(word) for word in words]
        raise LifecycleError(f"its label {SNAPSHOT_LABEL} is no command: {text}", _CONTRACT)


@contextmanager
def snapshot_agents(present: Mapping[str, Handle]) -> Iterator[dict[str, SnapshotAgent]]:
    """Those of the containers that have a part in it."""
    found = {
        name: SnapshotAgent(handle)
        for name, handle in present.items()
        if containers.label(handle, SNAPSHOT_LABEL)
    }
    try:
        yield found
    finally:
        for one in found.values():
            one.close()


def _told(words: tuple[str, ...], line: str) -> dict[str, Any]:
    match _parsed(line):
        case ({"answer": dict()} | {"refused": str()}) as told:
            return dict(told)
    raise LifecycleError(f"what it answers to '{' '.join(words)}' is no answer: {line}", _CONTRACT)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
