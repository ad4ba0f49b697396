"""toji on a real engine, with containers so small that they start in no time."""

import io
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml

from nagoya.config.model import EVENTS
from nagoya.engine import connect

# Whoever else tests on this engine removes an image of his own in the end.
TOKEN = secrets.token_hex(3)
IMAGE = f"nagoya-test-tiny-{TOKEN}"
PROGRAM = Path(sys.executable).parent / "toji"

DOCKERFILE = f"""
FROM debian:trixie-slim
LABEL nagoya.test={TOKEN}
VOLUME /data
HEALTHCHECK --interval=1h CMD test ! -e /hangs || sleep 1000; \
    test -e /ready || {{ echo not yet; exit 1; }}
LABEL nagoya.drain='["sh", "-c", "echo refuses after $0; exit 1"]'
STOPSIGNAL SIGTERM
CMD touch /ready; echo up; trap 'echo down; exit 0' TERM; while :; do sleep 0.1; done
"""

CALLBACKS = """
from pathlib import Path

def note(event):
    def callback(member):
        with open({log!r}, "a") as log:
            log.write(f"{{event}} {{member.name}}\\n")
    return callback

EVENTS = {events!r}
globals().update({{event: note(event) for event in EVENTS}})

def fails(member):
    from nagoya.errors import LifecycleError
    raise LifecycleError("the callback refused")
"""


@pytest.fixture(scope="session")
def client() -> docker.DockerClient:
    """The SDK's client on the engine that toji finds."""
    return connect().client


@pytest.fixture(scope="session", autouse=True)
def tiny(client: docker.DockerClient) -> Iterator[str]:
    """An image whose container says `up`, is ready at once, and ends well on SIGTERM."""
    client.images.build(fileobj=io.BytesIO(DOCKERFILE.encode()), tag=IMAGE, rm=True)
    yield IMAGE
    client.images.remove(IMAGE, force=True)


@dataclass
class Toji:
    """A declaration of a test's own, and toji run on it."""

    folder: Path
    system: str

    def declare(self, **containers: dict[str, Any]) -> None:
        """Write moromi.yml; each container is of the tiny image unless it says otherwise."""
        (self.folder / IMAGE).mkdir(exist_ok=True)
        (self.folder / IMAGE / "Dockerfile").write_text(DOCKERFILE)
        declared = {name: {"image": IMAGE, **wanted} for name, wanted in containers.items()}
        raw = {
            "base": {"image": "debian:trixie-slim", "suite": "trixie"},
            "images": {IMAGE: {}},
            "containers": declared,
        }
        (self.folder / "moromi.yml").write_text(yaml.safe_dump(raw))

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [PROGRAM, "--system", self.system, *arguments],
            cwd=self.folder,
            env={**os.environ, "HOME": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, status: int = 0) -> "subprocess.CompletedProcess[str]":
        """Run toji; it has to end with that status, and never with a traceback."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        assert process.returncode == status, f"{out}\n{err}"
        assert "Traceback" not in err
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def states(self) -> dict[str, str]:
        """Each container's state, as toji tells it."""
        answer = json.loads(self("status", "--json").stdout)
        return {container["name"]: container["state"] for container in answer["containers"]}


@contextmanager
def own_system(folder: Path) -> Iterator[Toji]:
    """toji with a system that is removed in the end."""
    toji = Toji(folder, f"t{secrets.token_hex(3)}")
    yield toji
    if (folder / "moromi.yml").exists():
        toji.declare(nothing={})
        toji("remove")


@pytest.fixture
def toji(tmp_path: Path) -> Iterator[Toji]:
    """toji with a system of the test's own."""
    with own_system(tmp_path) as program:
        yield program


@pytest.fixture
def noted(toji: Toji) -> Callable[[], list[str]]:
    """Callbacks in a module `notes` beside moromi.yml, and what they noted, as `event name`."""
    log = toji.folder / "noted"
    (toji.folder / "notes.py").write_text(CALLBACKS.format(log=str(log), events=EVENTS))
    return lambda: log.read_text().splitlines() if log.exists() else []
