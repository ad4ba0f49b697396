"""A whole Koji for the tests: started by our own plugin for pytest, as our users start theirs, and
asked by the programs that a person has: toji, and the real client."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import koji
import pytest
import yaml

from nagoya.config.declaration import Declaration
from nagoya.engine import connect, containers
from nagoya.testing import instance, running_koji

ARTIFACTS = Path(__file__).resolve().parents[2] / "artifacts"
PROGRAMS = Path(sys.executable).parent
"""Where the virtual environment has moromi, toji and the koji client."""


@dataclass
class Run:
    """How a program ended."""

    status: int
    stdout: str
    stderr: str


@dataclass
class Koji:
    """A system that toji keeps, and a user's home folder that belongs to it."""

    system: str
    home: Path
    config: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str, check: bool = True) -> Run:
        """Run a program as that user; with `check` it has to end well."""
        ended = subprocess.run(
            command,
            env={
                **os.environ,
                "HOME": str(self.home),
                # The docker client knows nothing of a private engine.
                "DOCKER_HOST": connect().address,
                "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
                **self.environment,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )
        run = Run(ended.returncode, ended.stdout, ended.stderr)
        if check and run.status:
            pytest.fail(f"status {run.status}: {shlex.join(command)}\n{run.stdout}\n{run.stderr}")
        return run

    def toji(self, *arguments: str, check: bool = True) -> Run:
        config = ["-c", str(self.config)] if self.config else []
        return self.run("toji", "--system", self.system, *config, *arguments, check=check)

    def client(self, *arguments: str, check: bool = True) -> Run:
        """The koji command, through the profile that toji wrote."""
        return self.run("koji", "-p", f"nagoya-{self.system}", *arguments, check=check)

    @property
    def description(self) -> dict[str, Any]:
        """What toji wrote beside the credentials."""
        path = self.home / ".koji" / "nagoya" / self.system / "koji.json"
        return dict(json.loads(path.read_text()))

    def status(self) -> dict[str, dict[str, Any]]:
        """The containers by name, as `toji status --json` tells them."""
        answer = json.loads(self.toji("status", "--json").stdout)
        return {container["name"]: container for container in answer["containers"]}

    def session(
        self, *, login: bool = True, certificate: Path | None = None, ca: Path | None = None
    ) -> koji.ClientSession:
        """A session of Koji's own client library; kojiadmin's unless another is given."""
        answer = self.description
        session = koji.ClientSession(
            answer["urls"]["hub"], opts={"serverca": str(ca or answer["ca"]), "max_retries": 1}
        )
        if login:
            session.ssl_login(cert=str(certificate or answer["certificate"]), serverca=answer["ca"])
        return session


@contextmanager
def starter(
    request: pytest.FixtureRequest, folders: pytest.TempPathFactory, declaration: Declaration
) -> Iterator[Callable[..., Koji]]:
    """Give a function that starts a system, which is ready then, and is removed in the end.

    Where anything has failed by then, a report on it lies in artifacts/ under the system's name.
    """
    with ExitStack() as stack:

        def begin(name: str = "test", *, config: Path = declaration.path) -> Koji:
            folder = folders.mktemp(name)
            site = stack.enter_context(running_koji(config, prefix=name, folder=folder))
            stack.callback(report, site)
            return Koji(site.name, site.home, config)

        def report(site: instance.Koji) -> None:
            # A test may have removed it already.
            if request.session.testsfailed and containers.list_containers(connect(), site.name):
                site.reports = ARTIFACTS
                site.report(site.name)

        yield begin


@pytest.fixture(scope="module")
def start(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    declaration: Declaration,
) -> Iterator[Callable[..., Koji]]:
    """Start a system of its own; it is removed after the module, and takes no time of others'."""
    with starter(request, tmp_path_factory, declaration) as begin:
        yield begin


@pytest.fixture(scope="session")
def running(running_koji: instance.Koji, declaration: Declaration) -> Koji:
    """The Koji that most tests share; they leave it running, and mind that others use it too."""
    return Koji(running_koji.name, running_koji.home, declaration.path)


@pytest.fixture(scope="session")
def seeded(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    declaration: Declaration,
) -> Iterator[Koji]:
    """A Koji that has proved that it builds: seeded with the demo, `hello` built in it."""
    with starter(request, tmp_path_factory, declaration) as begin:
        site = begin("seeded")
        site.toji("verify")
        yield site


def declaration_with(
    declaration: Declaration, checkout: Path, folder: Path, change: Callable[[dict[str, Any]], None]
) -> Path:
    """A moromi.yml of a test's own: the project's, changed, beside the project's folders, with the
    images of the Koji under test."""
    raw = yaml.safe_load((checkout / "moromi.yml").read_text())
    raw["tag"] = declaration.tag
    del raw["images"]["demo"]  # is made of containers that the test may take away
    change(raw)
    for name in [*raw["images"], "kojicallbacks.py"]:
        (folder / name).symlink_to(checkout / name)
    path = folder / "moromi.yml"
    path.write_text(yaml.safe_dump(raw))
    return path
