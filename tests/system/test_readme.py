"""The README's shell blocks, run in their order as one person would."""

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
    """The engine, on which nobody has made by hand what the README makes."""
    client = connect().client
    there = {str(one.name) for one in client.containers.list(all=True)} & set(BY_HAND)
    assert not there, f"somebody's containers would be taken for the README's: {there}"
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
    assert len(blocks) == 12
    script = "\n".join(blocks)
    # Two names are the reader's to choose; here they are the test's own.
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
