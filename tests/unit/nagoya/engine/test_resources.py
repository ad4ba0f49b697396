"""The network of a system."""

from types import SimpleNamespace
from typing import Any, cast

import docker.errors
import pytest

from nagoya.engine import resources
from nagoya.engine.client import Engine

MTU = "com.docker.network.driver.mtu"


def engine_with(options: dict[str, str] | None) -> tuple[Engine, list[dict[str, str]]]:
    """An engine whose default network has these options, or that has none (Podman); and the options
    of the networks that it creates."""
    created: list[dict[str, str]] = []

    def get(name: str) -> Any:
        if options is None:
            raise docker.errors.NotFound(name)
        return SimpleNamespace(attrs={"Options": options})

    def create(*_: Any, options: dict[str, str], **__: Any) -> None:
        created.append(options)

    networks = SimpleNamespace(get=get, create=create, list=lambda **_: [])
    containers = SimpleNamespace(list=lambda **_: [])
    client = SimpleNamespace(networks=networks, containers=containers)
    return cast(Engine, SimpleNamespace(client=client)), created


@pytest.mark.parametrize(
    ("options", "expected"),
    [({MTU: "1400", "x": "y"}, {MTU: "1400"}), ({MTU: "1500"}, {}), ({}, {}), (None, {})],
)
def test_a_network_has_the_engines_mtu(
    options: dict[str, str] | None, expected: dict[str, str]
) -> None:
    engine, created = engine_with(options)
    resources.create_network(engine, "some", {})
    assert created == [expected]
