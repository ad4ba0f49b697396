"""One archive of what helps to understand a failure, without any secret."""

import io
import json
import re
import tarfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nagoya import __version__
from nagoya.engine import Handle, containers
from nagoya.errors import DeclarationError, LifecycleError
from nagoya.koji.hub import HubConnection, koji_module
from nagoya.koji.tasks import task_file
from nagoya.system.system import System, require_system

_TASKS = 40
_CALL_SECONDS = 15
_HIDDEN = "..."
_SECRET_NAME = re.compile(
    r"SECRET|PASS|TOKEN|KEY|CREDENTIAL|(?<![A-Z])PWD?(?![A-Z])", re.IGNORECASE
)
_QUOTED = re.compile(
    rf"((?<!unknown )\b\w*(?:{_SECRET_NAME.pattern})\w*\W|line \d+, column \d+: ).*",
    re.IGNORECASE,
)
"""Values in messages about moromi.yml."""
_PRIVATE_KEY = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_COOKIE = re.compile(rb"((?:session-id|session-key|callnum)=)[^&\s\"]+")
_URL_PASSWORD = re.compile(rb"(://[^/\s:@\"']*:)[^/\s\"']+@")
# A user without a password is a token, where the protocol is not ssh.
_URL_TOKEN = re.compile(rb"(https?://)[^/\s:@\"']+@")
_AUTHORIZATION = re.compile(rb"(authorization\W+)\w[^\r\n\"']*", re.IGNORECASE)
_NAME = rb"[\w-]*(?:SECRET(?!S\b)|PASSWORD|PASSWD|TOKEN)[\w-]*[\\'\"]*"
_ASSIGNMENT = re.compile(rb"(" + _NAME + rb"[ \t]*[=:][ \t]*[\\'\"]*)[^\s\\'\"]+", re.IGNORECASE)
# In a command line, or as an item of a list in JSON or YAML.
_OPTION = re.compile(rb"(--" + _NAME + rb",?\s+(?:- )?[\\'\"]*)[^\s\\'\"]+", re.IGNORECASE)
_SHORTEST = 4
"""Characters of a secret that is searched for in all files: "1" would be found everywhere. Shorter
ones are left out where they are the values of variables."""


def write_report(
    system: System,
    path: Path,
    *,
    overwrite: bool = False,
    invalid: DeclarationError | None = None,
) -> None:
    """Write the archive, a gzipped tar. A part that cannot be read is replaced by a file that says
    why; `invalid` says so of the system's moromi.yml. Raises LifecycleError if the path exists and
    is not to be overwritten."""
    present = require_system(system.engine, system.name)
    secrets = secret_values(_variables(system, present.values()))
    try:
        with tarfile.open(path, "w:gz" if overwrite else "x:gz") as archive:
            report = _Report(archive, path.name.split(".")[0], secrets)
            _add_declaration(report, system, invalid)
            _add_containers(report, system, present)
            _add_hub(report, system)
    except FileExistsError:
        raise LifecycleError(f"{path} exists already", "choose another file, or --force") from None


@dataclass(frozen=True)
class _Report:
    archive: tarfile.TarFile
    folder: str
    secrets: Collection[str]

    @contextmanager
    def part(self, name: str) -> Iterator[Callable[[bytes], None]]:
        """Yield a function that adds a file; if an error is raised meanwhile, the file says why
        instead."""
        try:
            yield lambda content: self._write(name, content)
        except Exception as error:  # a report is written when something is broken
            self._write(f"{name}.missing.txt", f"{type(error).__name__}: {error}\n".encode())

    def _write(self, name: str, content: bytes) -> None:
        clean = redact(content, self.secrets)
        member = tarfile.TarInfo(f"{self.folder}/{name}")
        member.size, member.mtime = len(clean), int(time.time())
        self.archive.addfile(member, io.BytesIO(clean))


def redact(content: bytes, secrets: Iterable[str] = ()) -> bytes:
    """The content without private keys, session keys, passwords and tokens in URLs and headers, and
    these secrets."""
    clean = _PRIVATE_KEY.sub(b"(a private key)", content)
    clean = _COOKIE.sub(rb"\1...", clean)
    clean = _URL_PASSWORD.sub(rb"\1...@", clean)
    clean = _URL_TOKEN.sub(rb"\1...@", clean)
    clean = _AUTHORIZATION.sub(rb"\1...", clean)
    clean = _ASSIGNMENT.sub(rb"\1...", clean)
    clean = _OPTION.sub(rb"\1...", clean)
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


def _add_declaration(report: _Report, system: System, invalid: DeclarationError | None) -> None:
    for number, path in enumerate(system.declaration.files):
        with report.part(f"moromi{f'-{number}' if number else ''}.yml") as add:
            if invalid:
                raise LifecycleError(_QUOTED.sub(rf"\1{_HIDDEN}", str(invalid)))
            # As it is read, for a comment may hold a secret too.
            settings = without_secrets(yaml.safe_load(path.read_text()))
            add(yaml.safe_dump(settings, sort_keys=False).encode())


def _add_containers(report: _Report, system: System, present: Mapping[str, Handle]) -> None:
    with report.part("versions.json") as add:
        versions = {"nagoya": __version__, "engine": system.engine.version()}
        add(_json({**versions, "system": system.name}))
    for name, handle in present.items():
        system.progress.update(name, "working", "collecting")
        with report.part(f"containers/{name}.json") as add:
            add(_json(without_secrets(containers.inspect(handle))))
        with report.part(f"containers/{name}.log") as add:
            add("\n".join(containers.log(handle)).encode())
        system.progress.update(name, "done", "collected")


def _add_hub(report: _Report, system: System) -> None:
    tasks: list[dict[str, Any]] = []
    with report.part("hub.json") as add:
        session = HubConnection.of(system).session(seconds=_CALL_SECONDS)
        states = koji_module().TASK_STATES
        tasks = session.listTasks(
            opts={"decode": True}, queryOpts={"order": "-id", "limit": _TASKS}
        )
        shown = [{**task, "state": states[task["state"]]} for task in tasks]
        hosts = session.listHosts()
        add(_json({"koji": session.getKojiVersion(), "hosts": hosts, "tasks": shown}))
    for task in tasks:
        name, folder = f"task {task['id']}", f"tasks/{task['id']}-{task['method']}"
        system.progress.update(name, "working", "collecting")
        with report.part(folder):
            for log in session.listTaskOutput(task["id"]):
                if log.endswith(".log"):
                    with report.part(f"{folder}/{log}") as add:
                        add(task_file(session, task["id"], log))
        system.progress.update(name, "done", "collected")


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2, default=str).encode() + b"\n"
