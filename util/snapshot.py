"""An image's part in keeping a system's state, and in going back to it.

The label `nagoya.snapshot` on an image is the command, as a JSON list, that toji calls in each of
its containers with one verb at a time, in all of them before it calls the next; the label
`nagoya.snapshot.verbs` lists those that the image has a part in:

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

Each answers with JSON in its last line; `switch` and `release` may answer {"restart": true}, and
have the container started anew, and `release` {"lost": true}, where writes went on before.
"""

import fcntl
import json
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

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
    """Do what the command line says, as `user` if one is given, and print the answer; the exit
    status. A verb waits for the end of another one, since whoever called that may have given up,
    but it goes on; except those that may be asked `at_any_time`, as they change no state."""

    def main() -> int:
        with _alone(sys.argv[1:], at_any_time):
            if user is not None:
                entry.become(user)
            return _main(verbs, sys.argv[1:])

    return entry.run(image, main)


@contextmanager
def _alone(argv: Sequence[str], at_any_time: Collection[str]) -> Iterator[None]:
    if not argv or argv[0] in at_any_time:
        yield
        return
    with _LOCK.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _main(verbs: Verbs, argv: Sequence[str]) -> int:
    verb, *names = argv or [""]
    if verb not in verbs or len(names) != (verb in _NAMED):
        usage = ", ".join(f"{one} NAME" if one in _NAMED else one for one in verbs)
        raise entry.Refused(f"{' '.join(argv) or 'nothing'} is no call of this", hint=usage)
    if not all(_NAME.fullmatch(name) for name in names):
        raise entry.Refused(f"{names[0]!r} cannot name a snapshot")
    answer = verbs[verb](*names)
    print(json.dumps({} if answer is None else answer), flush=True)
    return 0
