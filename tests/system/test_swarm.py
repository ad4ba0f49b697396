"""docs/swarm.md: a Koji on three nodes of a Swarm, of which one after the other is lost."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import koji
import pytest

from nagoya.config.declaration import Declaration
from nagoya.engine import connect
from nagoya.errors import CommandError
from nagoya.koji.builds import build, upload
from nagoya.koji.hub import HubConnection
from tests.engines import Bridge, Engine
from tests.system.building import (
    LOSS_SECONDS,
    child,
    host_of,
    hub_with_keys,
    keep_asking,
    seed_demo,
    state,
)
from tests.system.conftest import PROGRAMS, declaration_with

pytestmark = pytest.mark.long

RUNNING = "docker service ps {} --filter desired-state=running --format"
CONTAINERS = "docker ps --quiet --filter label=com.docker.swarm.service.name"


@dataclass
class Swarm:
    """Three engines; the first has the data, and a home folder for the blocks of the document."""

    nodes: tuple[Engine, Engine, Engine]
    home: Path
    config: Path

    def shell(self, script: str) -> str:
        """What a script prints on the first node."""
        script = script.replace("toji export", f"toji -c {self.config} export")
        return self.nodes[0].run(
            *("timeout", str(LOSS_SECONDS), "bash", "-euc", f"cd {self.home}\n{script}"),
            HOME=str(self.home),
            PATH=f"{PROGRAMS}:{os.environ['PATH']}",
        )

    def hub(self) -> HubConnection:
        """The hub, as this machine reaches it, which is none of the nodes."""
        return hub_with_keys(self.home, f"{self.nodes[0].ip}:8443")

    def node_of(self, service: str) -> list[str]:
        """The names of the nodes where a service runs."""
        return self.shell(f"{RUNNING.format(service)} '{{{{.Node}}}}'").split()

    def tasks(self) -> str:
        """What makes up the stack: the tasks and the containers on the first node."""
        return self.shell("docker stack ps --quiet koji | sort; docker ps --quiet | sort")


@pytest.fixture
def swarm(checkout: Path, tmp_path: Path, declaration: Declaration) -> Iterator[Swarm]:
    def publish(raw: dict[str, Any]) -> None:
        hub = raw["containers"]["koji"]
        hub["environment"]["KOJI_WEB_URL"] = f"https://{one.ip}:{{port:443}}/koji"

    images = sorted({container.image for container in declaration.containers.values()})
    home = tmp_path / "home"
    with (
        Bridge() as bridge,
        Engine("one", bridge) as one,
        Engine("two", bridge) as two,
        Engine("three", bridge) as three,
    ):
        one.load(connect().address, *images)
        for node in (two, three):
            node.load(connect().address, declaration.containers["kojibuilder"].image)
        home.mkdir()
        config = declaration_with(declaration, checkout, tmp_path, publish)
        yield Swarm((one, two, three), home, config)


def test_a_koji_on_three_nodes(swarm: Swarm, checkout: Path, declaration: Declaration) -> None:
    text = (checkout / "docs/swarm.md").read_text()
    init, deploy, client, alice, far, remove, delete = re.findall(
        r"^```sh\n(.*?)^```", text, re.M | re.S
    )
    (join,) = re.findall("docker swarm join --token .*", swarm.shell(init))
    for node in swarm.nodes[1:]:
        node.run(*join.split())
    swarm.shell(deploy)
    output = swarm.shell("\n".join([client, alice]))
    assert ", kojiadmin!" in output
    assert ", alice!" in output

    # Another deployment of the same changes nothing.
    before = swarm.tasks()
    swarm.shell(deploy)
    assert swarm.tasks() == before

    # The builder on another node has the secret alone. It builds, the other makes repositories.
    find_hub = client.splitlines()[0]
    image = declaration.containers["kojibuilder"].image
    swarm.shell(f"{find_hub}\n{far}".replace(" koji-builder\n", f" {image}\n"))
    hub = swarm.hub()
    session = hub.session()
    keep_asking(lambda: session.getHost("far") is not None)
    session.removeHostFromChannel("kojibuilder-1", "default")
    swarm.shell(f"docker cp $({CONTAINERS}=koji_kojibuilder):/usr/share/nagoya/demo demo")
    source = seed_demo(hub, checkout, swarm.home / "demo")
    first = build(hub, "demo", source)
    assert "hello-1.0-1.demo.noarch.rpm" in first.rpms
    assert host_of(session, first.task) == "far"

    lose_the_builder(swarm, session, source)
    lose_the_data(swarm)
    # Containers that replace the hub's and the database's know what those did.
    for service in ("koji_kojidatabase", "koji_koji"):
        swarm.shell(f"docker service update --detach --force {service}")
    bundle = next(line for line in far.splitlines() if "make_bundle.py" in line).rstrip(" |")
    keep_asking(lambda: "there is a builder named far" in refusal(swarm, f"{find_hub}\n{bundle}"))
    session = hub.session()
    assert session.getBuild("hello-1.0-1.demo")["state"] == koji.BUILD_STATES["COMPLETE"]

    swarm.shell("docker service scale --detach koji_kojibuilder=2")
    keep_asking(lambda: session.getHost("kojibuilder-2") is not None)
    swarm.shell(remove)
    stack = "--filter label=com.docker.stack.namespace=koji"
    keep_asking(lambda: swarm.shell(f"docker ps --all --quiet {stack}") == "")
    swarm.shell(delete)
    for kind in ("network", "service"):
        assert swarm.shell(f"docker {kind} ls --quiet {stack}") == ""
    for kind in ("volume", "secret"):
        assert swarm.shell(f"docker {kind} ls --quiet") == ""


def lose_the_builder(swarm: Swarm, session: koji.ClientSession, source: Path) -> None:
    """The node of a builder is lost while it builds: it builds again, on another node."""
    task = session.build(upload(session, source), "demo", {"scratch": True})
    keep_asking(lambda: child(session, task, "buildArch") is not None)
    keep_asking(lambda: host_of(session, task) == "far")
    (name,) = swarm.node_of("far")
    (lost,) = [node for node in swarm.nodes if node.name == name]
    lost.kill()
    assert state(session, task, LOSS_SECONDS) == "CLOSED"
    assert host_of(session, task) == "far"
    lost.start()
    (left,) = {"two", "three"} - {name}
    keep_asking(lambda: swarm.node_of("far") == [left])
    assert lost.run("docker", "ps", "--quiet") == ""


def lose_the_data(swarm: Swarm) -> None:
    """The node of the data is lost, and returns."""
    swarm.nodes[0].kill()
    swarm.nodes[0].start()
    keep_asking(lambda: swarm.hub().session().getBuild("hello-1.0-1.demo") is not None)


def refusal(swarm: Swarm, script: str) -> str:
    """What a script says that fails."""
    with pytest.raises(CommandError) as caught:
        swarm.shell(script)
    return str(caught.value)
