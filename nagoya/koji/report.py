"""One archive of what helps to understand a failure, without any secret."""

import io
import json
import re
import tarfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nagoya import __version__
from nagoya.engine import Handle, containers
from nagoya.errors import LifecycleError
from nagoya.koji.hub import HubConnection, koji_module
from nagoya.system.system import System, require_system

_TASKS = 40
_HIDDEN = "..."
_SECRET_NAME = re.compile(r"SECRET|PASS|TOKEN|KEY|CREDENTIAL", re.IGNORECASE)
_PRIVATE_KEY = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_COOKIE = re.compile(rb"((?:session-id|session-key|callnum)=)[^&\s\"]+")
_URL_PASSWORD = re.compile(rb"(://[^/\s:@\"']*:)[^/\s@\"']+@")
_ASSIGNMENT = re.compile(rb"(\w*(?:SECRET|PASSWORD|TOKEN)\w*=)[^\s'\"]+", re.IGNORECASE)
_SHORTEST = 4
"""Characters of a secret that is searched for in all files: "1" would be found everywhere. Shorter
ones are left out where they are the values of variables."""


def write_report(system: System, path: Path, *, overwrite: bool = False) -> None:
    """Write the archive, a gzipped tar. A part that cannot be read is replaced by a file that says
    why. Raises LifecycleError if the path exists and is not to be overwritten."""
    present = require_system(system.engine, system.name)
    secrets = secret_values(_variables(system, present.values()))
    try:
        with tarfile.open(path, "w:gz" if overwrite else "x:gz") as archive:
            report = _Report(archive, path.name.split(".")[0], secrets)
            _add_system(report, system, present)
            _add_hub(report, system)
    except FileExistsError:
        raise LifecycleError(f"{path} exists already", "choose another file, or --force") from None


@dataclass(frozen=True)
class _Report:
    archive: tarfile.TarFile
    folder: str
    secrets: Collection[str]

    def add(self, name: str, read: Callable[..., bytes], *arguments: Any) -> None:
        """Add what a function reads, or why it fails."""
        try:
            self._write(name, read(*arguments))
        except Exception as error:  # a report is written when something is broken
            self.add_missing(name, error)

    def add_missing(self, name: str, error: Exception) -> None:
        self._write(f"{name}.missing.txt", f"{type(error).__name__}: {error}\n".encode())

    def _write(self, name: str, content: bytes) -> None:
        clean = redact(content, self.secrets)
        member = tarfile.TarInfo(f"{self.folder}/{name}")
        member.size, member.mtime = len(clean), int(time.time())
        self.archive.addfile(member, io.BytesIO(clean))


def redact(content: bytes, secrets: Iterable[str] = ()) -> bytes:
    """The content without private keys, session keys, passwords in URLs and these secrets."""
    clean = _PRIVATE_KEY.sub(b"(a private key)", content)
    clean = _COOKIE.sub(rb"\1...", clean)
    clean = _URL_PASSWORD.sub(rb"\1...@", clean)
    clean = _ASSIGNMENT.sub(rb"\1...", clean)
    for secret in sorted(secrets, key=len, reverse=True):
        # As it is, as JSON writes it, and as a YAML file or a log has its lines.
        for form in (secret, json.dumps(secret)[1:-1], *secret.splitlines()):
            if len(form) >= _SHORTEST:
                clean = clean.replace(form.encode(), _HIDDEN.encode())
    return clean


def secret_values(variables: Iterable[tuple[str, str]]) -> set[str]:
    """The values of the variables (name, value) whose names say that they are secret."""
    return {value for name, value in variables if value and _SECRET_NAME.search(name)}


def without_secrets(value: Any) -> Any:
    """Settings, as YAML or JSON has them, without the values of secret variables: neither in
    `NAME: value` nor in `NAME=value`."""
    match value:
        case dict():
            return {
                key: _HIDDEN
                if isinstance(item, str) and _SECRET_NAME.search(str(key))
                else without_secrets(item)
                for key, item in value.items()
            }
        case list():
            return [without_secrets(item) for item in value]
        case str() if _SECRET_NAME.search(value.partition("=")[0]) and "=" in value:
            return f"{value.partition('=')[0]}={_HIDDEN}"
    return value


def _variables(system: System, present: Iterable[Handle]) -> Iterator[tuple[str, str]]:
    """All variables of the containers that are there, and of those that are declared."""
    for handle in present:
        for entry in containers.inspect(handle)["Config"].get("Env") or []:
            name, _, value = entry.partition("=")
            yield name, value
    for declared in system.declaration.containers.values():
        yield from declared.environment.items()


def _add_system(report: _Report, system: System, present: Mapping[str, Handle]) -> None:
    report.add("versions.json", _versions, system)
    for number, declaration in enumerate(system.declaration.files):
        name = f"moromi{f'-{number}' if number else ''}.yml"
        report.add(name, _declaration, declaration)
    for name, handle in present.items():
        system.progress.update(name, "working", "collecting")
        report.add(f"containers/{name}.json", _settings, handle)
        report.add(f"containers/{name}.log", _log, handle)
        system.progress.update(name, "done", "collected")


def _versions(system: System) -> bytes:
    return _json({"nagoya": __version__, "engine": system.engine.version(), "system": system.name})


def _declaration(path: Path) -> bytes:
    """A moromi.yml as it is read, for a comment may tell a secret too."""
    settings = without_secrets(yaml.safe_load(path.read_text()))
    return yaml.safe_dump(settings, sort_keys=False).encode()


def _settings(handle: Handle) -> bytes:
    return _json(without_secrets(containers.inspect(handle)))


def _log(handle: Handle) -> bytes:
    return "\n".join(containers.log(handle)).encode()


def _add_hub(report: _Report, system: System) -> None:
    options = {"order": "-id", "limit": _TASKS}
    try:
        session = HubConnection.of(system).session()
        tasks = session.listTasks(opts={"decode": True}, queryOpts=options)
    except Exception as error:
        report.add_missing("hub.json", error)
        return
    report.add("hub.json", _hub, session, tasks)
    for task in tasks:
        name, folder = f"task {task['id']}", f"tasks/{task['id']}-{task['method']}"
        system.progress.update(name, "working", "collecting")
        try:
            logs = [log for log in session.listTaskOutput(task["id"]) if log.endswith(".log")]
        except Exception as error:
            report.add_missing(folder, error)
            continue
        for log in logs:
            report.add(f"{folder}/{log}", session.downloadTaskOutput, task["id"], log)
        system.progress.update(name, "done", "collected")


def _hub(session: Any, tasks: list[dict[str, Any]]) -> bytes:
    states = koji_module().TASK_STATES
    return _json(
        {
            "koji": session.getKojiVersion(),
            "hosts": session.listHosts(),
            "tasks": [{**task, "state": states[task["state"]]} for task in tasks],
        }
    )


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2, default=str).encode() + b"\n"
