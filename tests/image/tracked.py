"""Containers that a test can leave behind without a thought, and questions put to them."""

import io
import os
import subprocess
import tarfile
import time
import uuid
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import docker
import docker.errors
import yaml
from docker.models.containers import Container

from nagoya.config.tags import reference
from nagoya.engine import Engine, connect
from nagoya.engine.client import Handle
from nagoya.engine.exec import ExecSession
from nagoya.errors import EngineError

EXEC_SECONDS = 900
HEALTH = ["python3", "/usr/lib/nagoya/health.py"]
DECLARATION = Path(__file__).resolve().parents[2] / "moromi.yml"

Answer = TypeVar("Answer")


def wait_until(question: Callable[[], Answer], seconds: float = 30, what: str = "") -> Answer:
    """Ask until the answer is true, and return it; fail with the last answer at the deadline."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what or question} ({answer!r})")
        time.sleep(0.1)
    return answer


@cache
def privileges(container: str) -> dict[str, Any]:
    """What moromi.yml lets a container do, and what of the kernel, as options of the Docker SDK."""
    declared = yaml.safe_load(DECLARATION.read_text())["containers"][container]
    keys = ("cap_add", "cap_drop", "security_opt", "sysctls")
    return {key: declared[key] for key in keys if key in declared}


class Containers:
    """Runs containers under names of their own and removes them all, volumes included.

    Their images are those with one tag, that of the Koji under test.
    """

    def __init__(self, engine: docker.DockerClient, tag: str) -> None:
        self._engine = engine
        self.tag = tag
        self._all: list[Container] = []

    def create(self, image: str, *command: str, **options: Any) -> Container:
        """A container that was not started yet. `options` are those of the Docker SDK."""
        name = f"nagoya-test-{image}-{uuid.uuid4().hex[:8]}"
        options = {"name": name, "labels": {"nagoya.test": "image"}, **options}
        tagged = reference(image, self.tag)
        container = self._engine.containers.create(tagged, list(command) or None, **options)
        self._all.append(container)
        return container

    def start(self, image: str, *command: str, **options: Any) -> Container:
        """A container in the background, just started."""
        container = self.create(image, *command, **options)
        container.start()
        return container

    def finish(self, image: str, *command: str, **options: Any) -> tuple[int, str]:
        """Run a container to its end; its exit status, and what it wrote to stdout and stderr."""
        return outcome(self.start(image, *command, **options))

    def logs(self) -> list[tuple[str, str]]:
        """The name and the last lines of each container."""
        return [
            (str(container.name), container.logs(tail=60).decode(errors="replace"))
            for container in self._all
        ]

    def remove_all(self) -> None:
        """Remove them in the order opposite to their making."""
        while self._all:
            self._all.pop().remove(force=True, v=True)


def outcome(container: Container) -> tuple[int, str]:
    """Wait for a started container to end; its exit status and all it wrote."""
    status = int(container.wait(timeout=60)["StatusCode"])
    return status, container.logs().decode()


@cache
def _engine() -> Engine:
    return connect()


def execute(
    container: Container, *command: str, environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run a command in a running container; its exit status, and what it wrote.

    Not by the SDK, which loses output on a busy machine: see nagoya/engine/exec.py.
    """
    handle = Handle(_engine(), container)
    with ExecSession(handle, command, environment=environment, stdin=False) as session:
        status, output = session.finish(None, EXEC_SECONDS)
    return status, output.decode()


def execute_as(user: str, container: Container, *command: str) -> tuple[int, str]:
    """Run a command as another user."""
    ended = subprocess.run(
        ["docker", "exec", "--user", user, str(container.id), *command],
        env={**os.environ, "DOCKER_HOST": _engine().address},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=EXEC_SECONDS,
        check=False,
    )
    return ended.returncode, ended.stdout


def health(container: Container) -> tuple[bool, str]:
    """Whether the image's own question is answered with yes, and its line."""
    status, output = execute(container, *HEALTH)
    return status == 0, output.strip()


def wait_ready(container: Container, seconds: float = 60) -> None:
    """Wait for the image's own question to be answered with yes."""
    wait_until(lambda: _ready(container), seconds, f"{container.name} is ready")


def _ready(container: Container) -> bool:
    try:
        # Asked again from within, as `toji wait` has it done: a process each time costs more.
        status, output = execute(container, *HEALTH, environment={"HEALTH_PATIENCE": "2"})
        return status == 0 and output.startswith("ready: ")
    except EngineError:
        container.reload()
        if container.status == "exited":
            raise AssertionError(f"{container.name} has ended: {container.logs()!r}") from None
        return False


def address(container: Container, port: int) -> tuple[str, int]:
    """Where on this machine a published TCP port is; the engine chooses another at each start."""
    container.reload()
    (bound, *_) = container.ports[f"{port}/tcp"] or []
    return str(bound["HostIp"]), int(bound["HostPort"])


def read_tree(container: Container, path: str) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    """All files and folders below `path`, running or not, by their names relative to it."""
    chunks, _ = container.get_archive(path)
    tree = {}
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            _, _, name = member.name.partition("/")
            tree[name] = (member, file.read() if file else b"")
    return tree
