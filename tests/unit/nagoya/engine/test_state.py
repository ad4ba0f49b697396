"""A container's state, as engines word it."""

from typing import Any

import pytest

from nagoya.engine.state import State, image_name


def attributes(
    status: str = "exited", labels: dict[str, str] | None = None, address: str = "172.17.0.1"
) -> dict[str, Any]:
    return {
        "Name": "/some-data", "Image": "sha256:1", "Mounts": [], "RestartCount": 0,
        "State": {"Status": status, "ExitCode": 0, "StartedAt": "2026-01-01T00:00:00.123456789Z"},
        "Config": {"Hostname": "data", "Image": "tiny", "Labels": labels or {}},
        "HostConfig": {"PortBindings": {"443/tcp": [{"HostIp": address, "HostPort": "4"}]}},
        "NetworkSettings": {"Networks": None},
    }  # fmt: skip


@pytest.mark.parametrize("status", ["exited", "stopped"])
def test_a_container_that_has_ended(status: str) -> None:
    """Podman's says `stopped` until it is cleaned up."""
    state = State.parse(attributes(status))
    assert state.status == "exited"
    assert state.completed


def test_the_host_of_published_ports_is_a_label() -> None:
    assert State.parse(attributes()).host == "127.0.0.1"
    state = State.parse(attributes(labels={"nagoya.host": "docker"}))
    assert (state.host, state.ports) == ("docker", {443: 4})
    assert state.reached_at(443) == "docker"


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("", "127.0.0.1"),  # as Podman has it
        ("192.0.2.7", "192.0.2.7"),
        ("::", "[::1]"),
        ("2001:db8::7", "[2001:db8::7]"),
    ],
)
def test_where_a_port_is_reached(address: str, host: str) -> None:
    assert State.parse(attributes(address=address)).reached_at(443) == host


def test_podman_s_names_of_images() -> None:
    for name in ("tiny", "tiny:latest", "localhost/tiny:latest", "docker.io/library/tiny"):
        assert image_name(name) == "tiny"
    assert image_name("localhost/tiny:current") == "tiny:current"
    assert image_name("quay.io/team/tiny:latest") == "quay.io/team/tiny"
    described = attributes()
    described["Config"]["Image"] = "localhost/tiny:latest"
    assert State.parse(described).image == "tiny"
