"""Systems to measure on, each started by `toji` with a home folder of its own."""

import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import koji

from nagoya.koji.profile import UPLOAD_BLOCKSIZE

PROGRAMS = Path(sys.executable).parent
"""Where moromi, toji and koji are: in the environment of the Python that runs the bench."""


@dataclass(frozen=True)
class BenchSystem:
    """A running system: its name, and the environment in which `toji` acts on it."""

    name: str
    environment: Mapping[str, str]

    @property
    def connection(self) -> dict[str, Any]:
        """What toji wrote about the hub: URLs, CA, certificate, profile."""
        path = Path(self.environment["HOME"], ".koji", "nagoya", self.name, "koji.json")
        connection: dict[str, Any] = json.loads(path.read_text())
        return connection

    def toji(self, *arguments: str) -> None:
        """Run toji without output; CalledProcessError where it fails."""
        run("toji", *arguments, "--quiet", environment=self.environment)

    def session(self) -> Any:
        """A `koji.ClientSession` logged in as kojiadmin."""
        connection = self.connection
        options = {"serverca": connection["ca"], "upload_blocksize": UPLOAD_BLOCKSIZE}
        session = koji.ClientSession(connection["urls"]["hub"], opts=options)
        session.ssl_login(cert=connection["certificate"], serverca=connection["ca"])
        return session

    def execute(
        self, container: str, *command: str, user: str = "root", stdin: bytes = b""
    ) -> bytes:
        """Run a command in a container; its output. CalledProcessError where it fails."""
        program = ["docker", "exec", "-i", "--user", user, f"{self.name}-{container}", *command]
        return subprocess.run(program, input=stdin, check=True, capture_output=True).stdout


@contextmanager
def bench_home() -> Iterator[BenchSystem]:
    """The name of a system that does not exist yet; it is removed in the end."""
    with tempfile.TemporaryDirectory() as home:
        name = f"bench-{secrets.token_hex(3)}"
        system = BenchSystem(name, {**os.environ, "HOME": home, "NAGOYA_SYSTEM": name})
        try:
            yield system
        finally:
            system.toji("remove")


@contextmanager
def ready_system(*options: str) -> Iterator[BenchSystem]:
    """A system that is ready; `options` are toji's own, such as `-c nagoya-demo`."""
    with bench_home() as system:
        run("toji", *options, "up", "--quiet", environment=system.environment)
        yield system


def run(program: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
    """Run moromi, toji or koji without its output; CalledProcessError where it fails."""
    command = [str(PROGRAMS / program), *arguments]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
