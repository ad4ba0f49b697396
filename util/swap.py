"""Puts prepared files in the place of a volume's content, and back: `swap.py VERB FOLDER`.

The label `nagoya.swap` on an image whose volume it is names this command, as a JSON list without
the verb and the folder. Everything waits in FOLDER/.snapshots, so that each step renames only:

    prepare         make the empty folder +incoming
    adopt PATH      the same, with that folder of the volume as +incoming
    swap            move the content to +outgoing, and what is in +incoming to its place; nothing
                    without an +incoming
    revert          undo `swap`, however far it came, and delete +incoming
    commit          delete +outgoing and the snapshots, which belong to the old content
    state           print `pending` between `prepare` and `revert` or `commit`, else `settled`

Each verb can be repeated after it was cut off. After a swap the snapshots have an entry +restored,
which keeps `toji wait` from copying everything for `pristine`.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

HIDDEN = ".snapshots"
INCOMING, OUTGOING, PARTIAL, GONE = "+incoming", "+outgoing", "+outgoing-partial", "+gone"
RESTORED = "+restored"


class Swap:
    """The verbs on one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hidden = folder / HIDDEN
        self.incoming = self.hidden / INCOMING
        self.outgoing = self.hidden / OUTGOING
        self.partial = self.hidden / PARTIAL

    def prepare(self) -> None:
        if self.outgoing.exists() or self.partial.exists():
            raise FileExistsError(f"{self.folder} still holds what an earlier swap replaced")
        self.hidden.mkdir(mode=0o700, exist_ok=True)
        _remove(self.incoming)
        self.incoming.mkdir()

    def adopt(self, path: str) -> None:
        self.prepare()
        Path(path).rename(self.incoming)

    def swap(self) -> None:
        if not self.incoming.exists():
            return
        if not self.outgoing.exists():
            self.partial.mkdir(exist_ok=True)
            _move(self._content(), self.partial)
            self.partial.rename(self.outgoing)
        self._mark()
        _remove(self.incoming / HIDDEN)  # of the system that was saved
        _move(list(self.incoming.iterdir()), self.folder)
        self.incoming.rmdir()

    def revert(self) -> None:
        if self.outgoing.exists():
            self.incoming.mkdir(exist_ok=True)
            _move(self._content(), self.incoming)
            self.outgoing.rename(self.partial)
        if self.partial.exists():
            _move(list(self.partial.iterdir()), self.folder)
            self.partial.rmdir()
        _remove(self.incoming)
        _remove(self.hidden / RESTORED)
        with suppress(OSError):  # snapshots are in it
            self.hidden.rmdir()

    def commit(self) -> None:
        # The removal may take long, and this one step decides which content is the valid one.
        if self.outgoing.exists():
            self.hidden.rename(self.folder / GONE)
            self._mark()
        _remove(self.folder / GONE)

    def state(self) -> None:
        pending = (self.incoming, self.outgoing, self.partial)
        print("pending" if any(path.exists() for path in pending) else "settled")

    def _mark(self) -> None:
        self.hidden.mkdir(mode=0o700, exist_ok=True)
        (self.hidden / RESTORED).mkdir(exist_ok=True)
        (self.hidden / RESTORED / "about.json").write_text('{"created": 0, "bytes": 0}')

    def _content(self) -> list[Path]:
        return [p for p in self.folder.iterdir() if p.name not in (HIDDEN, GONE, "lost+found")]


def _move(paths: Sequence[Path], folder: Path) -> None:
    for path in paths:
        path.rename(folder / path.name)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out the verb in the arguments."""
    verb, folder, *names = sys.argv[1:] if argv is None else argv
    try:
        getattr(Swap(Path(folder)), verb)(*names)
    except OSError as error:
        print(f"{verb} {folder}: {error}", file=sys.stderr)
        return 1
    os.sync()
    return 0


if __name__ == "__main__":
    sys.exit(main())
