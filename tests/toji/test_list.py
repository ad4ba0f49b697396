"""What is on the engine, whose it is, and what nobody needs any more."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.image.tracked import wait_until
from tests.toji.conftest import Toji, own_system

# A process that has a system to itself, as the fixture for tests does.
MAKER = """
import sys, time
from pathlib import Path
from nagoya.config import loader
from nagoya.engine import connect
from nagoya.system.owner import Owner
from nagoya.utils.progress import Progress
from nagoya.system.system import System

name, home = sys.argv[1:]
owner = Owner.this_process(Path(home))
System(connect(), loader.read(Path("moromi.yml")), name, Progress(quiet=True), owner).init()
print("made", flush=True)
time.sleep(100)
"""


def entry(toji: Toji) -> dict[str, Any]:
    """What `toji list` says of the test's own system."""
    listed = json.loads(toji("list", "--json").stdout)
    return next(system for system in listed["systems"] if system["system"] == toji.system)


def test_a_system_is_listed_until_it_is_removed(toji: Toji) -> None:
    toji.declare(server={}, data={"detach": False, "run_once": True, "command": ["true"]})
    toji("init")
    answer = entry(toji)
    assert answer["containers"] == {"data": "exited", "server": "running"}
    assert answer["state"] == "running"
    assert "@" in answer["owner"]
    assert (answer["pid"], answer["stale"]) == (None, False)
    line = next(line for line in toji("list").stdout.splitlines() if toji.system in line)
    assert answer["owner"] in line
    toji("stop")
    assert entry(toji)["state"] == "stopped"
    toji("remove")
    assert toji.system not in toji("list").stdout


def test_what_is_wrong_with_whom_is_reported(toji: Toji) -> None:
    toji.declare(server={}, broken={"command": ["sh", "-c", "exit 5"]})
    assert "broken: ended with status 5" in toji("init", status=7).stderr
    assert entry(toji)["state"] == "running, but broken exited (5)"


def test_what_is_half_made_is_listed(toji: Toji, client: docker.DockerClient) -> None:
    client.networks.create(toji.system, labels={"nagoya.system": toji.system})
    toji.declare(nothing={})
    assert entry(toji)["state"] == "empty"


@pytest.fixture
def maker(toji: Toji) -> "subprocess.Popen[str]":
    toji.declare(server={})
    return make(toji)


def make(toji: Toji) -> "subprocess.Popen[str]":
    """A process that has just made the system for itself."""
    home = toji.folder / "elsewhere"
    process = subprocess.Popen(
        [sys.executable, "-c", MAKER, toji.system, home],
        cwd=toji.folder, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "made\n"
    return process


def test_what_a_dead_process_left_is_found_and_removed(
    toji: Toji, maker: "subprocess.Popen[str]", client: docker.DockerClient
) -> None:
    answer = entry(toji)
    assert answer["pid"] == maker.pid
    assert not answer["stale"]
    assert toji.system not in toji("remove", "--stale").stdout
    assert toji.states() == {"server": "running"}

    maker.send_signal(signal.SIGKILL)
    maker.wait()
    assert entry(toji)["stale"]
    assert f"process {maker.pid}, which has ended: stale" in toji("list").stdout
    assert f"removed {toji.system}\n" in toji("remove", "--stale").stdout
    assert not client.containers.list(all=True, filters={"name": toji.system})
    assert not client.networks.list(names=[f"^{toji.system}$"])


def test_one_that_cannot_be_removed_keeps_no_other(
    toji: Toji, tmp_path_factory: pytest.TempPathFactory, client: docker.DockerClient
) -> None:
    with own_system(tmp_path_factory.mktemp("first")) as first:
        for program in (first, toji):
            program.declare(server={})
            process = make(program)
            process.kill()
            process.wait()
        declaration = first.folder / "moromi.yml"
        declaration.rename(first.folder / "away.yml")
        ended = toji("remove", "--stale", status=7)
        assert f"removed {toji.system}\n" in ended.stdout
        assert f"  {first.system}: {declaration}" in ended.stderr
        assert not client.containers.list(all=True, filters={"name": f"{toji.system}-"})
        (first.folder / "away.yml").rename(declaration)


def test_what_is_added_to_it_is_the_same_owners(
    toji: Toji, maker: "subprocess.Popen[str]", client: docker.DockerClient
) -> None:
    toji("scale", "server=2")
    first, second = (
        client.containers.get(f"{toji.system}-{name}").labels for name in ("server", "server-2")
    )
    owned = ("nagoya.owner", "nagoya.process", "nagoya.home")
    assert [first[label] for label in owned] == [second[label] for label in owned]
    maker.kill()
    maker.wait()


def test_a_container_beside_the_others_is_removed_with_them(
    toji: Toji, client: docker.DockerClient
) -> None:
    """As one that was left when the program that read something was killed."""
    toji.declare(server={})
    toji("init")
    server = client.containers.get(f"{toji.system}-server")
    script = (
        "import sys; from nagoya.engine import connect, containers;"
        "from nagoya.engine.helper import run_helper;"
        "server = containers.get(connect(), sys.argv[1] + '-server');"
        "run_helper(server, sys.argv[1] + '-beside', ['sleep', '50'],"
        " {'nagoya.system': sys.argv[1], 'nagoya.container': ''})"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", script, toji.system],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    beside = {"name": f"^/{toji.system}-beside$"}
    wait_until(lambda: client.containers.list(filters=beside), 30, "it is there")
    reader.kill()
    reader.wait()
    toji("remove")
    assert not client.containers.list(all=True, filters=beside)
    assert server.attrs["Mounts"][0]["Name"] not in [
        volume.name for volume in client.volumes.list()
    ]
