"""A container that has a part in its system's state, and how it is asked for it.

What it is asked, and what it answers, util/snapshot.py tells.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any, Self

from nagoya.engine import containers
from nagoya.engine.containers import Handle
from nagoya.engine.conversation import Conversation
from nagoya.errors import EngineError, LifecycleError

SNAPSHOT_LABEL = "nagoya.snapshot"
"""On an image: the command, as a JSON list, that its containers are asked by."""
VERBS_LABEL = "nagoya.snapshot.verbs"
"""On the same image: the words that they are to be asked, with blanks between."""


class Keeper:
    """One of them; the program that answers is started with the first question, and ended with
    `close`."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.verbs = (containers.label(handle, VERBS_LABEL) or "").split()
        self._alone = Lock()
        self._conversation: Conversation | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, *words: str) -> Any:
        """What it answers, once it has answered what it was asked before.

        Raises LifecycleError for a refusal, and EngineError where there is no answer.
        """
        with self._alone:
            if self._conversation is None:
                command = json.loads(containers.label(self.handle, SNAPSHOT_LABEL) or "[]")
                self._conversation = Conversation(self.handle, command)
            try:
                line = self._conversation.ask(" ".join(words))
            except EngineError:
                self.close()
                raise
        try:
            told = json.loads(line)
            if "answer" in told:
                return told["answer"]
            refusal = LifecycleError(told["refused"], told["hint"])
        except (ValueError, KeyError, TypeError) as error:
            raise LifecycleError(
                f"what it answers to '{' '.join(words)}' is no answer: {line}",
                "util/snapshot.py of Nagoya tells what an image has to answer",
            ) from error
        raise refusal

    def running(self) -> bool:
        """Whether its container runs now."""
        return containers.state(self.handle).running

    def close(self) -> None:
        """Ask no more for now."""
        if self._conversation is not None:
            self._conversation.close()
            self._conversation = None


@contextmanager
def keepers_among(present: Mapping[str, Handle]) -> Iterator[dict[str, Keeper]]:
    """Those of the containers that have a part in it."""
    found = {
        name: Keeper(handle)
        for name, handle in present.items()
        if containers.label(handle, SNAPSHOT_LABEL)
    }
    try:
        yield found
    finally:
        for one in found.values():
            one.close()
