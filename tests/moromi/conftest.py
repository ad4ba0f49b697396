"""moromi on a real engine, with images so small that they are built in no time."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest
import yaml

from nagoya.engine import connect

BASE = "debian:trixie-slim"
PROGRAM = Path(sys.executable).parent / "moromi"


@pytest.fixture(scope="session")
def client() -> Iterator[docker.DockerClient]:
    """The SDK's client on the engine that moromi finds."""
    client = connect().client
    yield client
    client.close()


@dataclass
class Moromi:
    """A declaration of a test's own, and moromi run on it.

    The names of its images are this test's alone; in texts, `X-` stands for what they begin with.
    """

    folder: Path
    client: docker.DockerClient
    prefix: str = field(default_factory=lambda: f"t{secrets.token_hex(3)}-")
    base: str = BASE

    def declare(self, **dockerfiles: str) -> None:
        """Write moromi.yml and its Dockerfiles, as `hub="FROM X-base"` for an image `X-hub`."""
        for name, text in dockerfiles.items():
            self.write(f"{name}/Dockerfile", text)
        raw: dict[str, Any] = {
            "base": {"image": self.base, "suite": "trixie"},
            "images": {self.name(name): {"folder": name} for name in dockerfiles},
            "containers": {},
        }
        self.write("moromi.yml", yaml.safe_dump(raw))

    def name(self, name: str) -> str:
        """An image's name on the engine."""
        return f"{self.prefix}{name}"

    def write(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text.replace("X-", self.prefix))

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [PROGRAM, *(argument.replace("X-", self.prefix) for argument in arguments)],
            cwd=self.folder,
            env={**os.environ, "XDG_CACHE_HOME": str(self.folder / "cache"), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, status: int = 0, **environment: str) -> tuple[str, str]:
        """Run moromi; it has to end with that status, and never with a traceback."""
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=120)
        assert process.returncode == status, f"{out}\n{err}"
        assert "Traceback" not in err
        return out.replace(self.prefix, "X-"), err.replace(self.prefix, "X-")

    def attributes(self, name: str) -> dict[str, Any]:
        """What the engine says of an image."""
        attributes: dict[str, Any] = self.client.api.inspect_image(self.name(name))
        return attributes

    def identity(self, name: str) -> str | None:
        """An image's id, or None where there is none."""
        try:
            return str(self.attributes(name)["Id"])
        except docker.errors.ImageNotFound:
            return None


@pytest.fixture
def moromi(tmp_path: Path, client: docker.DockerClient) -> Iterator[Moromi]:
    """moromi with images of the test's own, which are removed after it, untagged ones too."""
    program = Moromi(tmp_path, client)
    yield program
    # Children are younger than their parents, and have to go first.
    for image in sorted(client.api.images(all=True), key=lambda image: -image["Created"]):
        label = (image["Labels"] or {}).get("nagoya.image", "")
        named = [tag for tag in image["RepoTags"] or [] if tag.startswith(program.prefix)]
        for reference in named or [image["Id"]] * label.startswith(program.prefix):
            try:
                client.api.remove_image(reference)
            except docker.errors.APIError:
                continue  # gone with another, or still some image's parent
