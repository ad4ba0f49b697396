"""Where published ports are reached: here, from a container, on an engine elsewhere."""

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import docker.errors
import pytest

from nagoya.engine import Engine, published
from nagoya.engine.client import Address
from nagoya.engine.published import OVERRIDE, address_of, free_port, published_host
from nagoya.errors import EngineError

OWN, OTHER = "a" * 64, "b" * 64
ELSEWHERE = "tcp://192.0.2.1:2375"
MOUNT = (
    "632 620 0:50 / /proc rw - proc proc rw\n"
    "650 620 8:1 /lib/docker/containers/{}/hostname /etc/hostname rw - ext4 /dev/sda1 rw\n"
)


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that is no container; the folder of the files that would say so."""
    monkeypatch.delenv(OVERRIDE, raising=False)
    monkeypatch.setattr(published, "_MARKERS", (tmp_path / "dockerenv",))
    monkeypatch.setattr(published, "_MOUNTS", tmp_path / "mountinfo")
    (tmp_path / "mountinfo").write_text("650 620 8:1 / / rw - ext4 /dev/sda1 rw\n")
    return tmp_path


def engine(url: str = "unix:///var/run/docker.sock", **containers: Any) -> Engine:
    """An engine with these containers by id: the network mode and the networks' gateways."""

    def inspect(id: str) -> dict[str, Any]:
        if id not in containers:
            raise docker.errors.NotFound(id)
        mode, *gateways = containers[id]
        networks = {f"net{number}": {"Gateway": each} for number, each in enumerate(gateways)}
        return {
            "HostConfig": {"NetworkMode": mode},
            "NetworkSettings": {"Networks": networks or None},
        }

    client = SimpleNamespace(api=SimpleNamespace(inspect_container=inspect))
    return Engine(cast(docker.DockerClient, client), Address(url))


def in_container(machine: Path, layout: str = MOUNT) -> None:
    (machine / "dockerenv").touch()
    (machine / "mountinfo").write_text(layout.format(OWN))


def test_on_the_engine_s_machine() -> None:
    assert published_host(engine()) == "127.0.0.1"
    assert published_host(engine("tcp://127.0.0.1:2375")) == "127.0.0.1"


@pytest.mark.parametrize(
    "layout", [MOUNT, "1 2 0:3 /overlay-containers/{}/userdata/hostname /etc/hostname rw - tmpfs x"]
)
def test_in_a_container_with_the_engine_s_socket(machine: Path, layout: str) -> None:
    in_container(machine, layout)
    known = {OWN: ("bridge", "172.17.0.1")}
    assert published_host(engine(**known)) == "172.17.0.1"
    assert published_host(engine(**{OWN: ("own", "", "172.19.0.1")})) == "172.19.0.1"


def test_in_a_container_that_shares_a_network(machine: Path) -> None:
    in_container(machine)
    assert published_host(engine(**{OWN: ("host", "")})) == "127.0.0.1"
    shared = {OWN: (f"container:{OTHER}",), OTHER: ("bridge", "172.17.0.1")}
    assert published_host(engine(**shared)) == "172.17.0.1"


def test_in_a_container_of_another_engine(machine: Path) -> None:
    """As where an engine runs beside the process."""
    in_container(machine)
    assert published_host(engine()) == "127.0.0.1"


def test_a_service_beside_the_own_container(machine: Path) -> None:
    """As docker:dind in GitLab."""
    in_container(machine)
    assert published_host(engine("tcp://docker.invalid:2375")) == "docker.invalid"


def test_an_engine_on_another_machine_needs_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match=r"192\.0\.2\.1, .*cannot reach") as caught:
        published_host(engine(ELSEWHERE))
    hint = str(caught.value.hint)
    assert "run toji on 192.0.2.1" in hint
    assert f"{OVERRIDE}=192.0.2.1" in hint
    assert "everybody who can reach it" in hint
    monkeypatch.setenv(OVERRIDE, "build1")
    assert published_host(engine(ELSEWHERE)) == "build1"


def test_the_override_wins(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_container(machine)
    monkeypatch.setenv(OVERRIDE, "host.docker.internal")
    assert published_host(engine(**{OWN: ("bridge", "172.17.0.1")})) == "host.docker.internal"


def test_ports_are_published_on_the_host_s_address() -> None:
    assert address_of("127.0.0.1") == "127.0.0.1"
    assert address_of("localhost") == "127.0.0.1"
    for wrong in ("docker.invalid", "x" * 300, "a..b"):
        with pytest.raises(EngineError, match="has no IPv4 address") as caught:
            address_of(wrong)
        assert OVERRIDE in str(caught.value.hint)


def test_a_free_port() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", free_port("127.0.0.1")))
    assert free_port("192.0.2.1") in range(20000, 32000)
