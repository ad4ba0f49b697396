"""What `toji export compose` makes of a declaration."""

from pathlib import Path

import pytest

from nagoya.config import loader
from nagoya.config.model import Container
from nagoya.system.compose import compose_file, not_carried_over
from tests.unit.nagoya.system.systems import Declare

FULL = {
    "command": ["--cost", "$5"], "environment": {"URL": "https://{host}:{port:443}/$x"},
    "ports": [443, "9080:80"], "volumes": ["files:/files"], "volumes_from": ["data:ro"],
    "links": ["other"], "cap_add": ["SYS_ADMIN"], "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"], "restart": "on-failure:3", "mem_limit": "4g",
    "pids_limit": 100, "cpus": 1.5, "stop_timeout": 20, "read_only": True,
    "devices": ["/dev/fuse"], "sysctls": {"net.ipv4.tcp_keepalive_time": 5},
    "callbacks": {"post_start": ["nagoya.system.compose.compose_file"]},
}  # fmt: skip
ONCE = {"detach": False, "run_once": True, "timeout": 60, "network_mode": "none"}


def test_every_key_is_carried_over_or_named(declare: Declare) -> None:
    """A key that is new in moromi.yml fails here until the export has it or a warning names it."""
    assert set(Container.model_fields) == {"image", *FULL, *ONCE}
    declared = declare(data=ONCE, other={}, server=FULL)
    document = compose_file(declared, "some")
    assert document["name"] == "some"
    assert document["volumes"] == {"files": {}}
    assert document["services"]["server"] == {
        "image": "tiny",
        "hostname": "server",
        "command": ["--cost", "$$5"],
        "environment": {"URL": "https://127.0.0.1:${SERVER_PORT_443:-8443}/$$x"},
        "ports": [
            "127.0.0.1:${SERVER_PORT_443:-8443}:443",
            "127.0.0.1:${SERVER_PORT_80:-9080}:80",
        ],
        "volumes": ["files:/files"],
        "volumes_from": ["data:ro"],
        "depends_on": {
            "data": {"condition": "service_completed_successfully"},
            "other": {"condition": "service_started"},
        },
        "stop_grace_period": "20s",
        "healthcheck": {"interval": "5s"},
        "cap_add": ["SYS_ADMIN"],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "devices": ["/dev/fuse"],
        "sysctls": {"net.ipv4.tcp_keepalive_time": "5"},
        "read_only": True,
        "restart": "on-failure:3",
        "mem_limit": "4g",
        "pids_limit": 100,
        "cpus": 1.5,
    }
    # What ends has no health.
    assert document["services"]["data"] == {
        "image": "tiny",
        "hostname": "data",
        "stop_grace_period": "10s",
        "restart": "no",
        "network_mode": "none",
    }
    assert not_carried_over(declared) == [
        "data: `run_once` is ignored; each `docker compose up` runs it",
        "data: `timeout` is ignored; Compose waits without a limit",
        "server: Compose calls no callbacks: nagoya.system.compose.compose_file at post_start",
    ]


def test_no_two_ports_are_the_same(declare: Declare) -> None:
    declared = declare(
        one={"ports": [443]}, two={"ports": [443, "9443:80"]}, three={"ports": [60000]}
    )
    services = compose_file(declared, "some")["services"]
    assert services["one"]["ports"] == ["127.0.0.1:${ONE_PORT_443:-8443}:443"]
    assert services["two"]["ports"][0] == "127.0.0.1:${TWO_PORT_443:-10443}:443"
    assert services["three"]["ports"] == ["127.0.0.1:${THREE_PORT_60000:-8000}:60000"]


def test_addresses_that_ports_are_published_on(declare: Declare) -> None:
    environment = {"URL": "https://{host}:{port:443}/"}
    declared = declare(
        one={"ports": ["[::]:443:443"], "environment": environment},
        two={"ports": ["0.0.0.0::443"], "environment": environment},
    )
    services = compose_file(declared, "some")["services"]
    assert services["one"]["ports"] == ["[::]:${ONE_PORT_443:-443}:443"]
    assert services["one"]["environment"] == {"URL": "https://[::1]:${ONE_PORT_443:-443}/"}
    assert services["two"]["ports"] == ["0.0.0.0:${TWO_PORT_443:-8443}:443"]
    assert services["two"]["environment"] == {"URL": "https://127.0.0.1:${TWO_PORT_443:-8443}/"}


@pytest.mark.parametrize("name", ["moromi.yml", "current/moromi.yml", "demo/moromi.yml"])
def test_nagoya_s_own_files(checkout: Path, name: str) -> None:
    declared = loader.read(checkout / name)
    services = compose_file(declared, "koji")["services"]
    assert list(services) == list(declared.containers)
    assert services["koji"]["image"] == declared.containers["koji"].image
    assert len(not_carried_over(declared)) == 5
