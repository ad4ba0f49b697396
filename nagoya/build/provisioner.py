"""Run the user's commands in a container beside a running system, before images are made of it."""

import io
import tarfile
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from nagoya.config.model import Provisioner
from nagoya.engine import Handle, containers, transfer
from nagoya.engine.creation import Specification, create
from nagoya.engine.resources import network_name
from nagoya.errors import BuildError
from nagoya.system.system import System

FILES = "/srv/moromi"
"""Where its files are, and its working directory."""

_NAME = "moromi-root"
_PAUSE = 0.2
_LAST_LINES = 20


def run_provisioner(
    system: System,
    wanted: Provisioner,
    files: bytes,
    on_line: Callable[[str], None],
    stop: threading.Event,
) -> None:
    """Run a provisioner until it exits. Raises BuildError with the last lines of its output."""
    handle = create(
        system.engine,
        Specification(
            name=f"{system.name}-{_NAME}",
            image=wanted.image,
            hostname=_NAME,
            network=network_name(system.name),
            labels=system.owner.container_labels(system.name, _NAME),
            environment=wanted.environment,
            volumes_from=[
                f"{system.name}-{source.container}:{source.mode}" for source in wanted.volumes_from
            ],
            stop_timeout=1,
            entrypoint=wanted.entrypoint,
            working_dir=FILES,
        ),
    )
    transfer.write_files(handle, "/", files)
    containers.start(handle)
    last: deque[str] = deque(maxlen=_LAST_LINES)

    def listen() -> None:
        for line in containers.log(handle, follow=True):
            last.append(line)
            on_line(line)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    failure = _wait(handle, wanted.timeout, stop)
    listener.join(5)
    if failure is not None:
        raise BuildError(
            "".join([failure, *(f"\n    {line}" for line in last)]),
            "`moromi -v build` shows its whole output",
        )
    containers.remove(handle)


def _wait(handle: Handle, seconds: float, stop: threading.Event) -> str | None:
    """Wait until it exits, and return what went wrong, if anything."""
    deadline = time.monotonic() + seconds
    while True:
        state = containers.state(handle)
        if not state.running:
            return f"ended with status {state.exit_code}" if state.exit_code else None
        if stop.is_set():
            raise BuildError("interrupted")
        if time.monotonic() > deadline:
            return f"still running after {seconds:.0f} s"
        time.sleep(_PAUSE)


def pack_files(folder: Path | None) -> bytes:
    """Pack the files of a folder, if any, into an archive that is the same on every machine."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in [folder, *sorted(folder.rglob("*"))] if folder else []:
            target = Path(FILES.lstrip("/"), path.relative_to(folder or path))
            member = archive.gettarinfo(path, str(target))
            member.mtime = member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mode = 0o755 if member.mode & 0o100 or not member.isreg() else 0o644
            archive.addfile(member, io.BytesIO(path.read_bytes()) if member.isreg() else None)
    return packed.getvalue()
