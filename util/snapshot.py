"""The image's side of snapshots: how toji asks a container to save and restore its state.

The label `nagoya.snapshot` on an image is a command, as a JSON list. toji starts it in each
container of the image and writes verbs to its stdin, one a line. A verb that changes something is
finished in all containers before toji sends the next. The label `nagoya.snapshot.verbs` lists the
verbs that the image supports:

    list            the snapshots: {NAME: {"created": seconds since the epoch, "bytes": number}}
    hold            lock out new writes, and wait for those under way to end; fails if somebody else
                    holds the lock. The lock expires by itself, unless it is renewed
    renew           extend the lock
    save NAME       save the state as NAME, in place of an earlier snapshot NAME
    prepare NAME    copy the snapshot beside the state; changes nothing yet, so it may fail
    switch          replace the state with the prepared copy
    release         release the lock and remove what is left over; after a `save` sent only to the
                    images that support `hold`
    drop NAME       delete the snapshot

and for backups:

    cut             keep the present state for `dump`, quickly and without copies of large files
    dump            complete what `cut` began; the answer is {TARGET: SOURCE}: the files are in the
                    folder SOURCE of this container, and are restored to the folder TARGET, which
                    is the label `nagoya.backup` of an image
    discard         delete what `cut` and `dump` have made; a caller that ends without it is
                    taken to have sent it
    describe        versions that a backup depends on, {NAME: "1.2"}: an image restores those that
                    are not newer than its own

The program answers each verb with a line of JSON: {"answer": {…}}, or {"refused": what is wrong,
"hint": what to do, or null}. `switch` and `release` may answer {"restart": true}, upon which toji
restarts the container, and `release` {"lost": true} if the lock expired before the release.

With a verb in its command line the program carries out that one alone, and prints the bare answer.
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

Snapshots = dict[str, dict[str, float]]
Note = dict[str, bool]
Paths = dict[str, str]
Answer = Snapshots | Note | Paths
Verbs = Mapping[str, Callable[..., Answer | None]]

_LOCK = Path("/run/nagoya-snapshot.lock")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_NAMED = ("save", "prepare", "drop")
_AT_ANY_TIME = ("list", "hold", "renew")


def run(
    image: str, verbs: Verbs, user: str | None = None, at_any_time: Collection[str] = _AT_ANY_TIME
) -> int:
    """Carry out the verb in the command line, or each line of stdin, as `user` if set.

    Prints the answers, and returns the exit status. A verb waits for one that is still running,
    whose caller may have given up; those in `at_any_time` do not, since they change no state.
    """

    def main() -> int:
        with _LOCK.open("w") as lock, _only_answers() as answers:
            if user is not None:
                entry.drop_privileges(user)

            def carry_out(words: Sequence[str]) -> Answer:
                with _alone(lock, words, at_any_time):
                    return _carry_out(verbs, words)

            if sys.argv[1:]:
                print(json.dumps(carry_out(sys.argv[1:])), file=answers)
                return 0
            cut = False
            for line in sys.stdin:
                answer = _answer(partial(carry_out, words := line.split()))
                print(json.dumps(answer), file=answers, flush=True)
                cut = words[:1] == ["cut"] or (cut and words[:1] != ["discard"])
            if cut:  # the caller has ended early
                carry_out(["discard"])
            return 0

    return entry.run(image, main)


@contextmanager
def _only_answers() -> Iterator[IO[str]]:
    """The standard output, for the answers alone: programs that a verb runs write to stderr."""
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


def _carry_out(verbs: Verbs, words: Sequence[str]) -> Answer:
    verb, *names = words or [""]
    if verb not in verbs or len(names) != (verb in _NAMED):
        usage = ", ".join(f"{verb} NAME" if verb in _NAMED else verb for verb in verbs)
        wrong = f"unknown or incomplete verb: {' '.join(words)}" if words else "empty command"
        raise entry.Fatal(wrong, hint=usage)
    if not all(_NAME.fullmatch(name) for name in names):
        raise entry.Fatal(f"{names[0]!r} is not a valid name for a snapshot")
    return verbs[verb](*names) or {}


def _answer(question: Callable[[], Answer]) -> dict[str, object]:
    try:
        return {"answer": question()}
    except entry.Fatal as refusal:
        return {"refused": str(refusal), "hint": refusal.hint}
    except OSError as error:
        return {"refused": entry.describe(error), "hint": None}
