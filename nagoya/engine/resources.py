"""The network and the named volumes of a system."""

import re
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import docker.errors

from nagoya.engine.client import Engine
from nagoya.engine.containers import list_system
from nagoya.engine.state import SYSTEM_LABEL, check_owner
from nagoya.engine.translation import translated

_NETWORK_MODES = {
    "bridge", "container", "default", "host", "none", "ns", "pasta", "pod", "private",
    "slirp4netns",
}  # fmt: skip
"""What Docker or Podman does not take for the name of a network."""


_MTU = "com.docker.network.driver.mtu"
_USUAL_MTU = "1500"


def network_name(system: str) -> str:
    """The name of a system's network: the system's, unless it means something else to an engine."""
    return f"{system}.system" if system in _NETWORK_MODES else system


def list_networks(engine: Engine) -> dict[str, Mapping[str, Any]]:
    """The engine's description of every system's network, by the system's name."""
    with translated("listing the networks"):
        listed = engine.client.networks.list(filters={"label": SYSTEM_LABEL})
    return {network.attrs["Labels"][SYSTEM_LABEL]: network.attrs for network in listed}


def list_subnets(engine: Engine) -> list[str]:
    """The address ranges of all networks on the engine, such as 172.17.0.0/16."""
    with translated("listing the networks"):
        networks = engine.client.networks.list()
    configurations = [network.attrs["IPAM"].get("Config") or [] for network in networks]
    return [range["Subnet"] for ranges in configurations for range in ranges]


def _options(engine: Engine) -> dict[str, str]:
    """The options of the engine's default network that a system's network needs too.

    Docker applies `mtu` of daemon.json to the default network only. Where the machine's own network
    has a smaller MTU than usual, as behind a VPN, longer packets of a system would be lost.
    """
    with suppress(docker.errors.NotFound):  # Podman has another
        mtu = (engine.client.networks.get("bridge").attrs["Options"] or {}).get(_MTU, _USUAL_MTU)
        return {} if mtu == _USUAL_MTU else {_MTU: mtu}
    return {}


def create_network(engine: Engine, system: str, labels: Mapping[str, str]) -> None:
    """Create a system's network, and connect its containers to it.

    Nothing is done if it exists. Raises EngineError for a network of that name which is not the
    system's.
    """
    name = network_name(system)
    with translated(f"creating the network {name}"):
        for network in engine.client.networks.list(names=[f"^{re.escape(name)}$"]):
            check_owner("network", name, network.attrs["Labels"], system)
            return
        try:
            # Without `check_duplicate`, two calls at once create two networks of one name.
            network = engine.client.networks.create(
                name,
                "bridge",
                options=_options(engine),
                check_duplicate=True,
                labels={SYSTEM_LABEL: system, **labels},
            )
        except docker.errors.APIError as error:
            if error.status_code != HTTPStatus.CONFLICT:
                raise
            return
        for container in list_system(engine, system):
            attributes = container.docker.attrs
            if attributes["HostConfig"]["NetworkMode"] == name:  # its network was pruned
                network.disconnect(container.docker, force=True)
                network.connect(container.docker, aliases=[attributes["Config"]["Hostname"]])


def remove_networks(engine: Engine, system: str) -> None:
    """Remove a system's networks."""
    with translated(f"removing the network of {system}"):
        for network in engine.client.networks.list(filters={"label": f"{SYSTEM_LABEL}={system}"}):
            with suppress(docker.errors.NotFound):
                network.remove()


def list_volumes(engine: Engine, system: str) -> frozenset[str]:
    """The names of a system's labelled volumes."""
    with translated(f"listing the volumes of {system}"):
        listed = engine.client.volumes.list(filters={"label": f"{SYSTEM_LABEL}={system}"})
    return frozenset(str(volume.name) for volume in listed)


def create_volume(engine: Engine, system: str, name: str, labels: Mapping[str, str]) -> None:
    """Create a system's volume unless it exists. Raises EngineError if it is not the system's."""
    with translated(f"creating the volume {name}"):
        # The engine returns an existing volume of that name as it is.
        volume = engine.client.volumes.create(name, labels={SYSTEM_LABEL: system, **labels})
    check_owner("volume", name, volume.attrs["Labels"], system)


def remove_volume(engine: Engine, name: str) -> None:
    """Remove a volume unless it is gone."""
    with translated(f"removing the volume {name}"), suppress(docker.errors.NotFound):
        engine.client.volumes.get(name).remove()
