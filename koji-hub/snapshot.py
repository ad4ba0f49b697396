"""The hub's side of snapshots: the top directory, and the site's configuration.

They are copied to /mnt/koji/.snapshots, which only root can read. Hard links would do for most
files, but not for one that a test damages in place. Copying costs next to nothing on file systems
that share blocks.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

import database
import site_files
import write_lock

from util import processes, snapshot
from util.entry import Fatal

TOP = Path("mnt/koji")
FOLDER = TOP / ".snapshots"
# Not valid as names of snapshots.
NEW, OLD, UNFINISHED, BACKUP = "+new", "+old", "+unfinished", "+backup"
# Says that a restore has made the state; see util/swap.py.
RESTORED = "+restored"
# Here Koji writes to existing files: uploads and logs of tasks.
CHANGING = "work"
PATIENCE = 30.0
CLOSED_SECONDS = 60.0


class Hub:
    """A snapshot is a folder: NAME/top, NAME/site, and NAME/about.json, which is written last."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.top = root / TOP
        self.folder = root / FOLDER

    def snapshots(self) -> snapshot.Snapshots:
        snapshots = {}
        for about in self.folder.glob("*/about.json"):
            if about.parent.name == RESTORED or not about.parent.name.startswith("+"):
                snapshots[about.parent.name] = json.loads(about.read_text())
        return snapshots

    def hold(self) -> None:
        against = write_lock.exclusive(PATIENCE, CLOSED_SECONDS)
        if against is not None:
            raise Fatal(
                f"{against} (waited for {PATIENCE:.0f} s)",
                hint="try again later; `toji stop` and `toji start` end whatever is running",
            )

    def renew(self) -> None:
        write_lock.renew(CLOSED_SECONDS)

    def save(self, name: str) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        unfinished = self.folder / UNFINISHED
        _remove(unfinished)
        try:
            # kojira deletes expired repositories by itself, and cp fails on vanishing files.
            with processes.frozen([process.pid for process in kojira()]):
                _copy(self._state(), unfinished / "top")
            for site in site_files.FOLDERS:
                _copy([self.root / site], (unfinished / "site" / site).parent)
            about = {"created": time.time(), "bytes": _size(unfinished)}
            (unfinished / "about.json").write_text(json.dumps(about))
            _remove(self.folder / name)
            unfinished.rename(self.folder / name)
        except BaseException:
            _remove(unfinished)
            raise

    def prepare(self, name: str) -> None:
        saved, new = self.folder / name, self.folder / NEW
        if not (saved / "about.json").exists():
            raise Fatal(f"there is no snapshot {name} in {self.folder}")
        self._state()  # refuses mounts, before anything is moved
        _remove(new)
        try:
            _copy([saved / "top", saved / "site"], new)
        except BaseException:
            _remove(new)
            raise

    def switch(self) -> snapshot.Note:
        """Swap, entry by entry, and restart kojira, which remembers repositories."""
        new, old = self.folder / NEW, self.folder / OLD
        if not (new / "top").is_dir():
            raise Fatal("no snapshot is prepared", hint="`prepare NAME` comes first")
        restart_kojira()
        _remove(old)
        old.mkdir()
        write_lock.bump_generation()
        moves = [(path, old / path.name) for path in self._state()]
        moves += [(path, self.top / path.name) for path in (new / "top").iterdir()]
        _move(moves)
        # The hub may have been started with other files than there are: an earlier reset put the
        # files back, and ended before the restart.
        restart = site_files.changed(self.root)
        for site in site_files.FOLDERS:
            folder, saved = self.root / site, new / "site" / site
            # A folder that is as it was may be mounted read-only.
            if site_files.content(folder) != site_files.content(saved):
                _fill(folder, saved)
                restart = True
        return {"restart": restart}

    def release(self) -> snapshot.Note:
        lost = not write_lock.release()
        # A `save` that was killed has left it stopped.
        processes.send(signal.SIGCONT, [process.pid for process in kojira()])
        for name in (NEW, OLD, UNFINISHED):
            _remove(self.folder / name)
        return {"lost": lost}

    def drop(self, name: str) -> None:
        _remove(self.folder / name)

    def cut(self) -> None:
        """Link the files, since a backup only reads them; Koji writes to none but those in work/,
        which are copied."""
        self.discard()
        backup = self.folder / BACKUP
        self.folder.mkdir(mode=0o700, exist_ok=True)
        with processes.frozen([process.pid for process in kojira()]):
            for path in self._state():
                _copy([path], backup / "top", link=path.name != CHANGING)
        for site in site_files.FOLDERS:
            _copy([self.root / site], (backup / "site" / site).parent)

    def dump(self) -> snapshot.Paths:
        backup = Path("/", FOLDER, BACKUP)
        return {f"/{TOP}": str(backup / "top"), "/": str(backup / "site")}

    def discard(self) -> None:
        _remove(self.folder / BACKUP)

    def _state(self) -> list[Path]:
        """The contents of the top directory. Raises Fatal for a mount, which cannot be moved."""
        strangers = (self.folder, self.top / "lost+found")
        paths = [path for path in self.top.iterdir() if path not in strangers]
        mounts = [path for path in paths if path.is_mount()]
        if mounts:
            raise Fatal(
                f"{mounts[0]} is a file system of its own, and cannot be part of a snapshot",
                hint="mount one file system at /mnt/koji",
            )
        return paths


def kojira() -> list[processes.Process]:
    """kojira and its child processes; none with `nokojira`."""
    running = processes.processes()
    leaders = {
        process.pid for process in running if process.parent == 1 and "kojira" in process.command
    }
    return [process for process in running if process.session in leaders]


def restart_kojira() -> None:
    """Let the supervisor restart kojira; returns when the old one and its children are gone."""
    old = [process.pid for process in kojira()]
    os.kill(1, signal.SIGHUP)
    processes.wait_gone(old)


def _copy(paths: Iterable[Path], folder: Path, *, link: bool = False) -> None:
    """Copy files and folders into a folder, with owners, modes, times, links and attributes; or
    make hard links of the files."""
    folder.mkdir(parents=True, exist_ok=True)
    how = "--link" if link else "--reflink=auto"
    command = ["cp", "--archive", how, "--", *map(str, paths), str(folder)]
    copied = subprocess.run(command, check=False, capture_output=True, text=True)
    if copied.returncode:
        reason = copied.stderr.strip().partition("\n")[0] or f"cp ended with {copied.returncode}"
        full = "No space left" in reason
        raise Fatal(
            f"copying to {folder} failed: {reason}",
            hint="a snapshot takes as much room as the state itself" if full else None,
        )


def _move(moves: Sequence[tuple[Path, Path]]) -> None:
    """Rename one after the other; if one fails, undo those before it."""
    done: list[tuple[Path, Path]] = []
    try:
        for source, target in moves:
            source.rename(target)
            done.append((source, target))
    except OSError:
        for source, target in reversed(done):
            target.rename(source)
        raise


def _remove(path: Path) -> None:
    """Remove a folder, if it exists."""
    if path.exists():
        shutil.rmtree(path)


def _size(path: Path) -> int:
    usage = subprocess.run(["du", "-sB1", str(path)], check=True, capture_output=True, text=True)
    return int(usage.stdout.split()[0])


def _fill(folder: Path, saved: Path) -> None:
    """Replace the contents of a folder. The folder itself stays, since it may be a mount.

    A snapshot of an earlier image lacks the folders that this one has added.
    """
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if saved.exists() and (entries := list(saved.iterdir())):
        _copy(entries, folder)


def _refuse(*_name: str) -> NoReturn:
    raise Fatal(
        "the database is outside of this system, whose state is not complete without it: there are "
        "no snapshots, resets, backups and upgrades",
        hint="use PostgreSQL's own means, as docs/postgresql.md says",
    )


def main() -> int:
    """Serve the verbs of util/snapshot.py."""
    hub = Hub(Path("/"))
    verbs: snapshot.Verbs = {
        "list": hub.snapshots,
        "hold": hub.hold,
        "renew": hub.renew,
        "save": hub.save,
        "prepare": hub.prepare,
        "switch": hub.switch,
        "release": hub.release,
        "drop": hub.drop,
        "cut": hub.cut,
        "dump": hub.dump,
        "discard": hub.discard,
    }
    if os.environ.get(database.URL, "").strip():
        verbs = {verb: verbs[verb] if verb in ("release", "discard") else _refuse for verb in verbs}
    return snapshot.run("koji-hub", verbs)


if __name__ == "__main__":
    sys.exit(main())
