"""What holds for each image, whatever it does."""

import json

import docker
import pytest
from docker.models.images import Image

from nagoya.config.declaration import Declaration
from nagoya.config.tags import reference
from tests.image.tracked import Containers

IMAGES = [
    "koji-credentials-volume",
    "koji-top-volume",
    "koji-database",
    "koji-hub",
    "koji-builder",
]


@pytest.fixture
def engine_image(engine: docker.DockerClient, image: str, declaration: Declaration) -> Image:
    """The image on the engine."""
    return engine.images.get(reference(image, declaration.tag))


@pytest.fixture(params=IMAGES)
def image(request: pytest.FixtureRequest) -> str:
    """Each image in turn, by its name."""
    return str(request.param)


def test_declares_how_it_is_asked_and_ended(engine_image: Image) -> None:
    config = engine_image.attrs["Config"]
    assert config["Healthcheck"]["Test"] == ["CMD", "python3", "/usr/lib/nagoya/health.py"]
    assert config["StopSignal"].startswith("SIG")
    assert config["Entrypoint"] == ["python3", "/usr/lib/nagoya/entrypoint.py"]


def test_runs_another_command_and_initialises_nothing(containers: Containers, image: str) -> None:
    status, output = containers.finish(image, "sh", "-c", "echo passed through; exit 7")
    assert (status, output) == (7, "passed through\n")


def test_refuses_a_command_that_it_does_not_have(containers: Containers, image: str) -> None:
    status, output = containers.finish(image, "no-such-command")
    assert status == 1
    assert output.startswith(f"{image}: cannot run no-such-command: No such file or directory\n")
    assert "\n  hint: " in output


def test_has_no_secret_in_its_record(engine_image: Image) -> None:
    record = json.dumps([engine_image.attrs, engine_image.history()]).lower()
    for word in ("private key", "password", "secret"):
        assert word not in record


def test_lists_what_it_consists_of(containers: Containers, image: str) -> None:
    bill = containers.finish(image, "cat", "/usr/share/nagoya/sbom.json")[1]
    listed = {
        (component["name"], component["version"]) for component in json.loads(bill)["components"]
    }
    query = ("dpkg-query", "--show", "--showformat", "${Package} ${Version}\n")
    installed = {tuple(line.split()) for line in containers.finish(image, *query)[1].splitlines()}
    assert installed <= listed
    assert "pkg:pypi/cryptography@" in bill


def test_has_no_key_in_its_layers(containers: Containers, image: str) -> None:
    places = "etc home opt root run srv tmp usr var mnt"
    search = f"cd / && grep -rlI -e '^-----BEGIN [A-Z ]*PRIVATE KEY-----$' {places}"
    status, output = containers.finish(image, "sh", "-c", search)
    assert (status, output) == (1, "")


def test_no_program_gives_its_caller_rights(containers: Containers, image: str) -> None:
    """But mock, which only the group mock may execute."""
    status, output = containers.finish(image, "find", "/", "-xdev", "-type", "f", "-perm", "/6000")
    assert status == 0
    assert output.split() == (["/usr/bin/mock"] if image == "koji-builder" else [])


def test_has_no_copies_of_packages_or_their_index(containers: Containers, image: str) -> None:
    folders = ["/var/cache/apt", "/var/lib/apt/lists", "/root/.cache"]
    command = f"find {' '.join(folders)} -type f -size +0 2>/dev/null"
    assert containers.finish(image, "sh", "-c", f"{command}; true") == (0, "")
