"""An image's part in keeping a system's state, and in going back to it.

The label `nagoya.snapshot` on an image is the command, as a JSON list, that toji calls in each of
its containers with one verb at a time, in all of them before it calls the next; the label
`nagoya.snapshot.verbs` lists those that the image has a part in:

    list            what is kept: {NAME: {"created": seconds since the epoch, "bytes": number}}
    hold            let no write to the state begin, and wait until those that have are done
    save NAME       keep the state, whole, as NAME, whatever was kept so before
    prepare NAME    bring a copy of what was kept; it changes nothing yet, so it may fail
    switch          put the copy in the state's place
    release         let writes begin again, and clear away what is left over; after a `save` asked
                    of those alone that `hold`
    drop NAME       keep it no longer

Each answers with JSON in its last line; `switch` and `release` may answer {"restart": true}, and
have the container started anew.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence

from . import entry

Kept = dict[str, dict[str, float]]
Restart = dict[str, bool]
Verbs = Mapping[str, Callable[..., Kept | Restart | None]]

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_NAMED = ("save", "prepare", "drop")


def run(image: str, verbs: Verbs) -> int:
    """Do what the command line says, and print the answer; the exit status."""
    return entry.run(image, lambda: _main(verbs, sys.argv[1:]))


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
