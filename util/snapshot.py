"""An image's part in keeping a system's state, and in going back to it.

The label `nagoya.snapshot` on an image is the command, as a JSON list, that toji starts in each of
its containers, and tells one verb at a time, a line each; a verb that changes something in all of
them before it goes on to the next. The label `nagoya.snapshot.verbs` lists those that the image has
a part in:

    list            what is kept: {NAME: {"created": seconds since the epoch, "bytes": number}}
    hold            let no write to the state begin, and wait until those that have are done; fails
                    where somebody else holds it. It ends by itself, unless it is renewed
    renew           hold it for longer
    save NAME       keep the state, whole, as NAME, whatever was kept so before
    prepare NAME    bring a copy of what was kept; it changes nothing yet, so it may fail
    switch          put the copy in the state's place
    release         let writes begin again, and clear away what is left over; after a `save` asked
                    of those alone that `hold`
    drop NAME       keep it no longer

To each it answers with a line of JSON: {"answer": {…}}, or {"refused": what is wrong, "hint": what
to do, or null}. The answers to `switch` and `release` may be {"restart": true}, and have the
container started anew, and to `release` {"lost": true}, where writes went on before.

A verb in the command line is the only one then; its answer is printed as it is.
"""

import fcntl
import json
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from . import entry

Kept = dict[str, dict[str, float]]
Note = dict[str, bool]
Verbs = Mapping[str, Callable[..., Kept | Note | None]]

_LOCK = Path("/run/nagoya-snapshot.lock")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_NAMED = ("save", "prepare", "drop")
_AT_ANY_TIME = ("list", "hold", "renew")


def run(
    image: str, verbs: Verbs, user: str | None = None, at_any_time: Collection[str] = _AT_ANY_TIME
) -> int:
    """Do what the command line says, or each line of the standard input, as `user` if one is given,
    and print the answers; the exit status.

    A verb waits for the end of another one, since whoever called that may have given up, but it
    goes on; except those that may be asked `at_any_time`, as they change no state.
    """

    def main() -> int:
        with _LOCK.open("w") as lock, _only_answers() as answers:
            if user is not None:
                entry.drop_privileges(user)

            def carry_out(words: Sequence[str]) -> Kept | Note:
                with _alone(lock, words, at_any_time):
                    return _carry_out(verbs, words)

            if sys.argv[1:]:
                print(json.dumps(carry_out(sys.argv[1:])), file=answers)
                return 0
            for line in sys.stdin:
                told = _told(partial(carry_out, line.split()))
                print(json.dumps(told), file=answers, flush=True)
            return 0

    return entry.run(image, main)


@contextmanager
def _only_answers() -> Iterator[IO[str]]:
    """The standard output; whoever else writes there, a program that a verb runs, gets stderr."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        yield answers


@contextmanager
def _alone(lock: IO[str], words: Sequence[str], at_any_time: Collection[str]) -> Iterator[None]:
    if not words or words[0] in at_any_time:
        yield
        return
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)


def _carry_out(verbs: Verbs, words: Sequence[str]) -> Kept | Note:
    verb, *names = words or [""]
    if verb not in verbs or len(names) != (verb in _NAMED):
        usage = ", ".join(f"{one} NAME" if one in _NAMED else one for one in verbs)
        raise entry.Fatal(f"{' '.join(words) or 'nothing'} is no call of this", hint=usage)
    if not all(_NAME.fullmatch(name) for name in names):
        raise entry.Fatal(f"{names[0]!r} cannot name a snapshot")
    return verbs[verb](*names) or {}


def _told(question: Callable[[], Kept | Note]) -> dict[str, object]:
    try:
        return {"answer": question()}
    except entry.Fatal as refusal:
        return {"refused": str(refusal), "hint": refusal.hint}
    except OSError as error:
        return {"refused": entry.describe(error), "hint": None}
