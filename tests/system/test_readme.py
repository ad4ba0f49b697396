"""The README's shell blocks, run in order in one shell."""

import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from nagoya.engine import connect
from tests.system.conftest import Koji

BY_HAND = ("kojibuilder", "koji", "kojidatabase", "kojitop", "kojicreds")


@pytest.fixture
def engine() -> Iterator[docker.DockerClient]:
    """The engine, without containers of the names that the README uses."""
    client = connect().client
    present = {str(found.name) for found in client.containers.list(all=True)} & set(BY_HAND)
    assert not present, f"remove these containers first: {present}"
    yield client
    for name in BY_HAND:
        for container in client.containers.list(all=True, filters={"name": f"^/{name}$"}):
            container.remove(force=True, v=True)
    for network in client.networks.list(names=["^byhand$"]):
        network.remove()


def test_every_block_works(checkout: Path, tmp_path: Path, engine: docker.DockerClient) -> None:
    system = f"readme-{secrets.token_hex(3)}"
    person = Koji(system, tmp_path, environment={"NAGOYA_SYSTEM": system})
    blocks = re.findall(r"^```sh\n(.*?)^```", (checkout / "README.md").read_text(), re.M | re.S)
    assert len(blocks) == 13
    script = "\n".join(blocks)
    # Names of the test's own, in place of those of the two systems.
    script = script.replace("nagoya-koji", f"nagoya-{system}").replace(
        "/nagoya/koji/", f"/nagoya/{system}/"
    )
    script = re.sub(r"\bsecond\b", f"{system}-b", script)
    try:
        run = person.run("bash", "-euxc", f"cd {checkout}\n{script}", check=False)
        assert run.status == 0, run.stderr[-4000:]
    finally:
        person.toji("remove")
        person.toji("remove", "--system", f"{system}-b")
    assert run.stdout.count("kojiadmin!") == 3
