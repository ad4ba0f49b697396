"""One archive of everything that is needed to understand a failure, with no secret in it."""

import io
import json
import re
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nagoya import __version__
from nagoya.engine import containers
from nagoya.errors import NagoyaError
from nagoya.koji.hub import HubConnection, koji_module, task_logs
from nagoya.system.system import System, require_system

_TASKS = 40
_SECRET_NAME = re.compile(r"SECRET|PASS|TOKEN|KEY|CREDENTIAL", re.IGNORECASE)
_PRIVATE_KEY = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL
)
_COOKIE = re.compile(rb"((?:session-id|session-key|callnum)=)[^&\s\"]+")


def write_report(system: System, path: Path) -> None:
    """Write the archive, a gzipped tar; what cannot be had is named in it, with the reason."""
    folder = path.name.split(".")[0]
    with tarfile.open(path, "w:gz") as archive:
        for name, content in _everything(system):
            member = tarfile.TarInfo(f"{folder}/{name}")
            clean = redacted(content)
            member.size, member.mtime = len(clean), int(time.time())
            archive.addfile(member, io.BytesIO(clean))


def redacted(content: bytes) -> bytes:
    """The same without private keys and session keys."""
    return _COOKIE.sub(rb"\1...", _PRIVATE_KEY.sub(b"(a private key)", content))


def without_secrets(inspected: dict[str, Any]) -> dict[str, Any]:
    """What the engine says of a container, less the values of variables that may be secret."""
    config = dict(inspected.get("Config") or {})
    config["Env"] = [
        f"{name}=..." if _SECRET_NAME.search(name) else f"{name}={value}"
        for name, _, value in (entry.partition("=") for entry in config.get("Env") or [])
    ]
    return {**inspected, "Config": config}


def _everything(system: System) -> Iterator[tuple[str, bytes]]:
    present = require_system(system.engine, system.name)
    yield (
        "versions.json",
        _json({"nagoya": __version__, "engine": system.engine.version(), "system": system.name}),
    )
    for number, path in enumerate(system.declaration.files):
        yield f"moromi{f'-{number}' if number else ''}.yml", path.read_bytes()
    for name, handle in present.items():
        system.progress.update(name, "working", "collecting")
        yield f"containers/{name}.json", _json(without_secrets(containers.inspect(handle)))
        yield f"containers/{name}.log", "\n".join(containers.log(handle)).encode()
        system.progress.update(name, "done", "collected")
    try:
        yield from _hub(system)
    except Exception as error:  # a report of a broken system is what a report is for
        yield "hub.txt", f"the hub could not be asked: {error}\n".encode()


def _hub(system: System) -> Iterator[tuple[str, bytes]]:
    session = HubConnection.to(system.name, system.owner.home).session()
    koji = koji_module()
    tasks = session.listTasks(opts={"decode": True}, queryOpts={"order": "-id", "limit": _TASKS})
    yield (
        "hub.json",
        _json(
            {
                "koji": session.getKojiVersion(),
                "hosts": session.listHosts(),
                "tasks": [{**task, "state": koji.TASK_STATES[task["state"]]} for task in tasks],
            }
        ),
    )
    for task in tasks:
        system.progress.update(f"task {task['id']}", "working", "collecting")
        try:
            for name, content in task_logs(session, task["id"]):
                yield f"tasks/{task['id']}-{task['method']}/{name}", content
        except (koji.GenericError, NagoyaError) as error:
            yield f"tasks/{task['id']}-{task['method']}/missing.txt", f"{error}\n".encode()
        system.progress.update(f"task {task['id']}", "done", "collected")


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2, default=str).encode() + b"\n"
