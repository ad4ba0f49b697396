"""docs/kubernetes.md on a cluster: `make test-kubernetes KUBECONFIG=FILE REGISTRY=NAME`.

The cluster has two nodes or more, which pull from the registry, and by default volumes that pods on
both can write. kubectl is installed. The namespace is koji: the test makes it, and deletes it.
"""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import koji
import pytest

from nagoya.config.declaration import Declaration
from nagoya.koji.builds import build, upload
from nagoya.koji.hub import HubConnection
from tests.image.tracked import wait_until
from tests.system.building import (
    LOSS_SECONDS,
    host_of,
    hub_with_keys,
    keep_asking,
    seed_demo,
    state,
)
from tests.system.conftest import PROGRAMS

pytestmark = pytest.mark.long

NAMESPACE = "kubectl get namespace koji --ignore-not-found --output=name"


@dataclass
class Cluster:
    """Somebody's cluster, and a home folder for the blocks of the document."""

    home: Path
    registry: str

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}"}

    def shell(self, script: str) -> str:
        """What a script prints; it is as patient as the longest of the document's waits."""
        script = script.replace("registry.example.com/koji", self.registry)
        ended = subprocess.run(
            ("bash", "-euc", script),
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
        )
        if ended.returncode:
            pytest.fail(f"status {ended.returncode}: {script}\n{ended.stdout}")
        return ended.stdout

    def node_of(self, pod: str) -> str:
        """Where a pod is; empty if it has no node yet."""
        return self.shell(f"kubectl -n koji get pod {pod} -o 'jsonpath={{.spec.nodeName}}'")

    @contextmanager
    def client(self, block: str) -> Iterator[HubConnection]:
        """The hub, for as long as the block's command forwards its ports."""
        log = self.home / "client.log"
        with (
            log.open("w") as output,
            subprocess.Popen(
                ("bash", "-euc", f"{block}\nwait"),
                cwd=self.home,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as shell,
        ):
            try:
                wait_until(lambda: ", kojiadmin!" in log.read_text(), 120, "koji hello")
                yield hub_with_keys(self.home, "127.0.0.1:8443")
            finally:
                os.killpg(shell.pid, signal.SIGTERM)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, os.environ["REGISTRY"])
    assert not cluster.shell(NAMESPACE), "the cluster has a Koji, or what remains of one"
    yield cluster
    cluster.shell("kubectl delete namespace koji --ignore-not-found")


def test_a_koji_on_two_nodes(cluster: Cluster, checkout: Path, declaration: Declaration) -> None:
    text = (checkout / "docs/kubernetes.md").read_text()
    deploy, _, client, keys, alice, reload, copies, _, remove = re.findall(
        r"^```sh\n(.*?)^```", text, re.M | re.S
    )
    cluster.shell(deploy.replace("toji export", f"toji -c {declaration.path} export"))
    (cluster.home / "keys.sh").write_text(keys)
    with cluster.client(client) as hub:
        assert ", alice!" in cluster.shell(
            f"{alice}\nkoji --config=koji.conf --cert=alice.pem hello"
        )
        cluster.shell(reload)
        cluster.shell("kubectl -n koji cp kojibuilder-0:/usr/share/nagoya/demo demo")
        source = seed_demo(hub, checkout, cluster.home / "demo")
        assert "hello-1.0-1.demo.noarch.rpm" in build(hub, "demo", source).rpms

        cluster.shell(copies)
        session = hub.session()
        keep_asking(lambda: session.getHost("kojibuilder-1"))
        drain_a_builder(cluster, session, source)
        lose_a_builder(cluster, session, source)
    cluster.shell(remove)
    assert not cluster.shell(NAMESPACE)


def start_build(session: koji.ClientSession, source: Path) -> tuple[int, str]:
    """The task of a build whose RPM is being made, and the builder that makes it."""
    task = session.build(upload(session, source), "demo", {"scratch": True})
    keep_asking(lambda: host_of(session, task))
    return task, host_of(session, task)


def drain_a_builder(cluster: Cluster, session: koji.ClientSession, source: Path) -> None:
    """A builder finishes its task before it leaves its node, and comes back on another."""
    task, builder = start_build(session, source)
    node = cluster.node_of(builder)
    pods = "--pod-selector=app.kubernetes.io/component=kojibuilder"
    try:
        cluster.shell(f"kubectl drain {node} --ignore-daemonsets {pods} --timeout=10m")
        assert state(session, task, LOSS_SECONDS) == "CLOSED"
        assert host_of(session, task) == builder
        keep_asking(lambda: cluster.node_of(builder) not in ("", node))
    finally:
        cluster.shell(f"kubectl uncordon {node}")


def lose_a_builder(cluster: Cluster, session: koji.ClientSession, source: Path) -> None:
    """A builder is gone from one moment to the next: its build is done again."""
    task, builder = start_build(session, source)
    cluster.shell(f"kubectl -n koji delete pod {builder} --force --grace-period=0")
    assert state(session, task, LOSS_SECONDS) == "CLOSED"
