"""Bounds what an upload can cost the hub.

Koji writes a part of a file wherever its client says, and reads a file of any length for a checksum
while nobody else has this process. A user could make a file of 10^12 bytes by sending one, and have
all processes read it. Now

- a part begins in the file or at its end, so that a file is as long as what was sent;
- it is in a folder, so that no file has the name of one, and not in a file that was imported, to
  which the hub leaves a link;
- uploads leave room on the disk, for repositories and for what the database's files need;
- in a day a user uploads no more than then remains for others, and the same of files. What a
  builder uploads counts for the owner of its task;
- one process at a time reads a long file. The hub answers other such calls with 408, and Koji's
  clients call again by themselves when they are logged in;
- a call answers with a part of a task's file. A log can have 1 GiB, for an answer of which the hub
  needs five times as much memory, and which takes no log-in.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from allowances import Allowances

# No other program locks the folder itself.
LOCK = Path("/run/koji-hub")
# Bytes that are read in a tenth of a second.
LONG = 64 * 1024**2
# What uploads leave free: this, and of a small disk a twentieth.
ROOM = 1024**3
FEW_FILES = 100
TASK_FOLDER = re.compile(r"tasks/[0-9]+/([0-9]+)(/|$)")
# Permissions of those whose uploads have no such limit; kojira has `repo`.
UNLIMITED = {"admin", "repo"}
# Of a task's file in one answer. Of Koji's programs, only `koji runroot` asks for all of one.
LONGEST_PART = 32 * 1024**2


def reserve(disk: os.statvfs_result) -> int:
    """How many bytes of the disk are not for uploads."""
    return min(ROOM, disk.f_blocks * disk.f_frsize // 20)


def shortage(disk: os.statvfs_result, length: int) -> str | None:
    """What the disk lacks for an upload of `length` bytes; None if nothing."""
    room = reserve(disk)
    free = disk.f_bavail * disk.f_frsize
    if free - length < room:
        return (
            f"no room for uploads: the hub's disk has {free // 1024**2} MiB free, and "
            f"{room // 1024**2} MiB are not for uploads; give it more, or delete files in it"
        )
    # Some file systems do not count files.
    if disk.f_files and disk.f_favail < FEW_FILES:
        return (
            f"no room for uploads: the hub's disk has inodes for {disk.f_favail} more files; "
            "delete files in it"
        )
    return None


class Bounds:
    """The bounds, for Koji's module `kojihub`; `busy` is an exception that it answers with 408."""

    def __init__(
        self, kojihub: Any, busy: type[Exception], allowances: Allowances, lock: Path = LOCK
    ) -> None:
        self.kojihub = kojihub
        self.busy = busy
        self.allowances = allowances
        self.lock = lock

    def size(self, path: str, name: str, volume: str | None) -> int:
        """The length of an uploaded file; 0 if there is none."""
        file = self.kojihub.get_upload_path(path, name, volume=volume)
        try:
            return os.lstat(file).st_size
        except OSError:
            return 0

    def check_place(self, path: str, name: str, volume: str | None) -> None:
        """Raise koji.GenericError unless there can be an upload of that path and name."""
        if os.path.normpath(path) == ".":
            raise self.kojihub.koji.GenericError("an upload needs a folder")
        if not f"{path}{name}".isprintable():
            raise self.kojihub.koji.GenericError("the name of an upload has control characters")
        if Path(self.kojihub.get_upload_path(path, name, volume=volume)).is_symlink():
            raise self.kojihub.koji.GenericError(
                f"{path}/{name} was imported; upload the file to another folder"
            )

    def check_part(
        self, path: str, size: int, offset: int, length: int, volume: str | None
    ) -> None:
        """Raise koji.GenericError unless a part of `length` bytes may be added to a file in the
        folder `path` that has `size` bytes."""
        if offset > size:
            raise self.kojihub.koji.GenericError(
                f"the hub has {size} bytes of this file, and the upload goes on at byte {offset}; "
                "upload the file again from its beginning"
            )
        disk = os.statvfs(self.kojihub.koji.pathinfo.volumedir(volume))
        problem = shortage(disk, length)
        if not problem and (user := self._limited_user(path)):
            # A new file has folders, and Koji writes another that says whose they are.
            files = 0 if size else os.path.normpath(path).count("/") + 3
            problem = self._excess(disk, user, length, files)
        if problem:
            raise self.kojihub.koji.GenericError(problem)

    def _limited_user(self, path: str) -> int | None:
        """The number of the user whose upload it is; None if there is no limit for them."""
        session, calls = self.kojihub.context.session, self.kojihub.RootExports()
        if not session.logged_in:
            return None  # Koji refuses the upload.
        user: int = session.user_id
        if session.getHostId() and (task := TASK_FOLDER.match(os.path.normpath(path))):
            user = self.kojihub.Task(int(task[1])).getOwner()
        return None if UNLIMITED.intersection(calls.getUserPerms(user)) else user

    def _excess(self, disk: os.statvfs_result, user: int, length: int, files: int) -> str | None:
        """Why a user may not add that much to the disk; None if they may."""
        rest = disk.f_bavail * disk.f_frsize - reserve(disk) - length
        take = self.allowances.take
        if take(f"bytes-{user}", length, rest) and (
            not disk.f_files or take(f"files-{user}", files, disk.f_favail - files)
        ):
            return None
        return (
            f"no room for more uploads of {self.kojihub.get_user(user)['name']}: in a day a user "
            f"uploads no more than remains for others, which are {rest // 1024**2} MiB and "
            f"{disk.f_favail} files; upload it tomorrow, or have an administrator give the disk "
            "more, delete files in it, or grant the permission admin"
        )

    @contextmanager
    def read(self, length: int) -> Iterator[None]:
        """Read `length` bytes of a file meanwhile; raises `busy` if another process reads many."""
        descriptor = os.open(self.lock, os.O_RDONLY)
        try:
            if length > LONG:
                self._take(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _take(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self.busy("the hub is reading another long file; call again") from None


def bound_uploads(bounds: Bounds) -> None:
    """Have Koji check the bounds. Its calls keep their arguments."""
    kojihub = bounds.kojihub
    calls, koji = kojihub.RootExports, kojihub.koji
    handle, upload, check = kojihub.handle_upload, calls.uploadFile, calls.checkUpload
    download = calls.downloadTaskOutput

    def handle_upload(environ: dict[str, Any]) -> Any:
        args = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
        if "filename" in args:
            path, name = args.get("filepath", ""), args["filename"]
            volume = args.get("volume")
            bounds.check_place(path, name, volume)
            size = bounds.size(path, name, volume)
            length = int(environ.get("CONTENT_LENGTH") or 0)
            bounds.check_part(path, size, int(args.get("offset", 0)), length, volume)
        return handle(environ)

    def upload_file(self, path, name, size, md5sum, offset, data, volume=None, checksum=None):  # type: ignore[no-untyped-def]  # noqa: PLR0917
        bounds.check_place(path, name, volume)
        before = bounds.size(path, name, volume)
        length = len(data) * 3 // 4
        last = koji.decode_int(offset) == -1
        # The last part says how long the file is; a longer one would be filled up with zeros.
        start = koji.decode_int(size) - length if last else koji.decode_int(offset)
        bounds.check_part(path, before, start, length, volume)
        with bounds.read(before if last else 0):
            return upload(self, path, name, size, md5sum, offset, data, volume, checksum)

    def check_upload(self, path, name, verify=None, tail=None, volume=None):  # type: ignore[no-untyped-def]  # noqa: PLR0917
        length = bounds.size(path, name, volume) if verify else 0
        with bounds.read(length if tail is None else min(length, tail)):
            return check(self, path, name, verify, tail, volume)

    def download_part(self, taskID, fileName, offset=0, size=-1, volume=None):  # type: ignore[no-untyped-def]  # noqa: PLR0917
        size = kojihub.convert_value(size, cast=int)
        asked = size if 0 <= size <= LONGEST_PART else LONGEST_PART + 3
        data = download(self, taskID, fileName, offset, asked, volume)
        if len(data) > (LONGEST_PART + 2) // 3 * 4:
            raise koji.GenericError(
                f"{fileName} is longer than the {LONGEST_PART // 1024**2} MiB of an answer; "
                "ask for parts of it, with offset and size"
            )
        return data

    bounds_of = ((upload_file, upload), (check_upload, check), (download_part, download))
    for bounded, original in bounds_of:
        # What `koji list-api` shows.
        bounded.__name__, bounded.__doc__ = original.__name__, original.__doc__
        setattr(calls, original.__name__, bounded)
    kojihub.handle_upload = handle_upload
