"""koji-hub's part in a snapshot where it meets the world: a disk that is full, an index that Apache
shows, a call that does not end."""

import json
from collections.abc import Iterator

import docker
import pytest
from docker.models.containers import Container

from tests.image.running import Hub
from tests.image.tracked import Containers, execute, wait_until

SCRIPT = ("python3", "/usr/lib/nagoya/snapshot.py")


@pytest.fixture
def small(engine: docker.DockerClient, containers: Containers) -> Iterator[Container]:
    """A container of the hub's image whose top directory has room for 8 MB."""
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=8m"}
    volume = engine.volumes.create(driver="local", driver_opts=options)
    mounted = {volume.name: {"bind": "/mnt/koji", "mode": "rw"}}
    container = containers.start("koji-hub", "sleep", "1000", volumes=mounted)
    # What is on a tmpfs goes with its last container, so that koji-top-volume cannot fill it.
    assert execute(container, "mkdir", "/mnt/koji/work", "/mnt/koji/packages")[0] == 0
    yield container
    containers.remove_all()
    volume.remove()


def test_a_full_disk_is_reported_and_nothing_is_lost(small: Container) -> None:
    def run(script: str) -> tuple[int, str]:
        return execute(small, "bash", "-c", script)

    before = run("head -c 3000000 /dev/urandom >/mnt/koji/work/file; sha256sum /mnt/koji/work/*")
    assert execute(small, *SCRIPT, "save", "one") == (0, "{}\n")
    # A second state has no room, and neither has a copy of the first.
    for words in (("save", "two"), ("prepare", "one")):
        status, output = execute(small, *SCRIPT, *words)
        assert status == 1
        assert "No space left on device" in output
        assert "hint: a snapshot takes as much room as the state" in output
        assert "Traceback" not in output
    assert set(json.loads(execute(small, *SCRIPT, "list")[1])) == {"one"}
    assert run("sha256sum /mnt/koji/work/*") == before
    assert run("ls /mnt/koji/.snapshots") == (0, "one\n")
    execute(small, *SCRIPT, "drop", "one")
    assert execute(small, *SCRIPT, "save", "two") == (0, "{}\n")


def test_a_hub_that_is_held_answers_once_it_is_let_go(hub: Hub) -> None:
    session = hub.session(timeout=1, max_retries=0)
    assert execute(hub.container, *SCRIPT, "hold") == (0, "{}\n")
    with pytest.raises(Exception, match="timed out"):
        session.getAPIVersion()
    assert execute(hub.container, *SCRIPT, "release") == (0, '{"lost": false}\n')
    assert hub.session().getAPIVersion() == 1


def test_kojira_is_started_anew(hub: Hub) -> None:
    """Once `restart_kojira` returns, the old one is gone; the new one begins soon after."""

    def run(script: str) -> str:
        begin = "import sys; sys.path.insert(0, '/usr/lib/nagoya'); import snapshot; "
        status, output = execute(hub.container, "python3", "-c", begin + script)
        assert status == 0, output
        return output

    restart = "before = snapshot.kojira(); snapshot.restart_kojira(); "
    restart += "print({p.pid for p in before} & {p.pid for p in snapshot.kojira()})"
    for _ in range(3):
        wait_until(lambda: run("print(len(snapshot.kojira()))") == "1\n", 30, "kojira runs")
        assert run(restart) == "set()\n"
