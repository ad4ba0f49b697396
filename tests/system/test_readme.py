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
    present = {
        str(container.name) for container in client.containers.list(all=True, ignore_removed=True)
    } & set(BY_HAND)
    assert not present, f"remove these containers first: {present}"
    yield client
    for name in BY_HAND:
        for container in client.containers.list(all=True, filters={"name": f"^/{name}$"}):
            container.remove(force=True, v=True)
    for network in client.networks.list(names=["^byhand$"]):
        network.remove()


def with_tag(script: str, tag: str) -> str:
    """Give the images that are built by hand a tag, since other tests use those of moromi."""
    tools, network, by_hand = script.partition("docker network create byhand\n")
    built = f"--build-arg MOROMI_TAG={tag} --tag $image:{tag} "
    assert "--tag $image " in tools
    assert network
    by_hand, count = re.subn(r" (koji-[a-z-]+)$", rf" \1:{tag}", by_hand, flags=re.MULTILINE)
    assert count == 5
    return tools.replace("--tag $image ", built) + network + by_hand


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
    script = with_tag(script, system)
    try:
        run = person.run("bash", "-euxc", f"cd {checkout}\n{script}", check=False)
        assert run.status == 0, run.stderr[-4000:]
    finally:
        person.toji("remove")
        person.toji("remove", "--system", f"{system}-b")
        for image in engine.images.list(filters={"reference": f"koji-*:{system}"}):
            engine.images.remove(f"{image.attrs['RepoTags'][0]}", force=True)
    assert run.stdout.count("kojiadmin!") == 3
