"""What `toji export compose --swarm` makes of a declaration."""

from pathlib import Path

import pytest

from nagoya.config import loader
from nagoya.config.model import Container
from nagoya.engine.image_facts import ImageFacts
from nagoya.system.swarm import not_carried_over, stack_file
from tests.unit.nagoya.system.systems import Declare

HEALTH = ("python3", "/usr/lib/nagoya/health.py")
DATABASE = {"nagoya.data": '["/var/lib/postgresql/trixie"]'}
OWN = {
    "koji-credentials-volume": ImageFacts(
        HEALTH, labels={"nagoya.certificates": "/etc/pki/koji/certs"}
    ),
    "koji-top-volume": ImageFacts(HEALTH),
    "koji-database": ImageFacts(HEALTH, labels=DATABASE),
    "koji-hub": ImageFacts(HEALTH, labels={"nagoya.certificates": "/run/koji-hub/builders"}),
    "koji-builder": ImageFacts(HEALTH),
}
"""What Nagoya's own images say."""
FULL = {
    "command": ["--cost", "$5"], "environment": {"URL": "https://{host}:{port:443}/$x"},
    "ports": [443, "9080:80", "0.0.0.0::22"], "volumes": ["files:/files"],
    "volumes_from": ["data:ro"], "links": ["other"], "cap_add": ["SYS_ADMIN"],
    "cap_drop": ["ALL"], "security_opt": ["no-new-privileges", "apparmor=unconfined"],
    "restart": "on-failure:3", "mem_limit": "4g", "pids_limit": 100, "cpus": 1.5,
    "stop_timeout": 20, "read_only": True,
    "devices": ["/dev/fuse"], "sysctls": {"net.ipv4.tcp_keepalive_time": 5},
    "callbacks": {"post_start": ["nagoya.system.swarm.stack_file"]},
}  # fmt: skip
ONCE = {
    "detach": False, "run_once": True, "timeout": 60, "network_mode": "none",
    "volumes": ["data:/data"],
}  # fmt: skip
ON_ONE_NODE = {"constraints": ["node.labels.some == data"]}
UPDATE = {"order": "stop-first", "failure_action": "continue"}


def test_every_key_is_carried_over_or_named(declare: Declare) -> None:
    """A key that is new in moromi.yml fails here until the export has it or a warning names it."""
    assert set(Container.model_fields) == {"image", *FULL, *ONCE}
    declared = declare(data=ONCE, other={}, server=FULL)
    document = stack_file(declared, "some", {"tiny": ImageFacts(HEALTH)})
    assert document["version"] == "3.9"
    assert document["volumes"] == {"data": {}, "files": {}}
    assert document["networks"] == {"default": {"driver": "overlay", "attachable": True}}
    assert document["services"]["server"] == {
        "image": "tiny",
        "hostname": "server",
        "command": ["--cost", "$$5"],
        "environment": {"URL": "https://127.0.0.1:${SERVER_PORT_443:-8443}/$$x"},
        "ports": [
            {"target": 443, "published": "${SERVER_PORT_443:-8443}", "mode": "host"},
            {"target": 80, "published": "${SERVER_PORT_80:-9080}", "mode": "host"},
            {"target": 22, "published": "${SERVER_PORT_22:-8022}", "mode": "host"},
        ],
        "volumes": [
            {
                "type": "volume",
                "source": "data",
                "target": "/data",
                "read_only": True,
                "volume": {"nocopy": True},
            },
            {"type": "volume", "source": "files", "target": "/files"},
        ],
        "cap_add": ["SYS_ADMIN"],
        "cap_drop": ["ALL"],
        "sysctls": {"net.ipv4.tcp_keepalive_time": "5"},
        "read_only": True,
        "stop_grace_period": "20s",
        "healthcheck": {"interval": "5s", "retries": 1_000_000},
        "deploy": {
            "endpoint_mode": "dnsrr",
            "placement": ON_ONE_NODE,
            "restart_policy": {"condition": "on-failure", "max_attempts": 3},
            "update_config": UPDATE,
            "resources": {"limits": {"cpus": "1.5", "memory": "4g", "pids": 100}},
        },
    }
    assert document["services"]["data"] == {
        "image": "tiny",
        "hostname": "data",
        "volumes": [{"type": "volume", "source": "data", "target": "/data"}],
        "stop_grace_period": "10s",
        "deploy": {
            "endpoint_mode": "dnsrr",
            "placement": ON_ONE_NODE,
            "restart_policy": {"condition": "on-failure"},
        },
    }
    everywhere = "is published on all addresses of the node; Swarm cannot choose one"
    assert not_carried_over(declared) == [
        "data: `network_mode: none` is ignored; it is on the stack's network",
        "data: `run_once` is ignored; Swarm runs it again after a change of its image or settings",
        "data: `timeout` is ignored; Swarm waits without a limit",
        "other: `restart: no` becomes `on-failure`, since Swarm starts services in any order",
        "server: Swarm calls no callbacks: nagoya.system.swarm.stack_file at post_start",
        f"server: port 443 {everywhere}",
        f"server: port 9080:80 {everywhere}",
        "server: the security option no-new-privileges is ignored",
        "server: the security option apparmor=unconfined is ignored",
        "server: the device /dev/fuse is ignored; Swarm passes none to a container",
    ]


@pytest.mark.parametrize(
    ("policy", "condition"),
    [
        ("no", "on-failure"),
        ("always", "any"),
        ("unless-stopped", "any"),
        ("on-failure", "on-failure"),
    ],
)
def test_restart_policies(declare: Declare, policy: str, condition: str) -> None:
    declared = declare(server={"restart": policy})
    service = stack_file(declared, "some", {"tiny": ImageFacts()})["services"]["server"]
    assert service["deploy"]["restart_policy"] == {"condition": condition}


def test_an_image_without_a_health_check_gets_none(declare: Declare) -> None:
    declared = declare(server={"restart": "always"})
    services = stack_file(declared, "some", {"tiny": ImageFacts()})["services"]
    assert "healthcheck" not in services["server"]


def test_copies_have_names_of_their_own(declare: Declare) -> None:
    declared = declare(first={}, second={"links": ["first"]})
    services = stack_file(declared, "some", {"tiny": ImageFacts()})["services"]
    assert services["first"]["hostname"] == "first"
    assert services["second"]["hostname"] == "second-{{.Task.Slot}}"


@pytest.mark.parametrize("name", ["moromi.yml", "current/moromi.yml", "demo/moromi.yml"])
def test_nagoya_s_own_files(checkout: Path, name: str) -> None:
    declared = loader.read(checkout / name)
    facts = {
        container.image: OWN[container.image.partition(":")[0].removesuffix("-demo")]
        for container in declared.containers.values()
    }
    document = stack_file(declared, "koji", facts)
    assert list(document["services"]) == list(declared.containers)
    # What a container keeps outside of volumes outlives it, and no other volume is the first's.
    mounted = {
        service: {
            mount["target"]: (mount["source"], mount.get("read_only", False), "volume" in mount)
            for mount in each["volumes"]
        }
        for service, each in document["services"].items()
    }
    assert mounted == {
        "kojicreds": {
            "/etc/pki/koji": ("kojicreds", False, False),
            "/etc/pki/koji-database": ("kojidatabase", False, False),
            "/etc/pki/koji-builders": ("kojibuilders", False, False),
        },
        "kojitop": {"/mnt/koji": ("kojitop", False, False)},
        "kojidatabase": {
            "/etc/pki/koji": ("kojidatabase", False, False),
            "/var/lib/postgresql/trixie": ("kojidatabase-var-lib-postgresql-trixie", False, False),
        },
        "koji": {
            "/etc/pki/koji": ("kojicreds", True, True),
            "/etc/pki/koji-database": ("kojidatabase", True, True),
            "/etc/pki/koji-builders": ("kojibuilders", False, False),
            "/mnt/koji": ("kojitop", False, True),
            "/run/koji-hub/builders": ("koji-run-koji-hub-builders", False, False),
        },
        "kojibuilder": {
            "/mnt/koji": ("kojitop", True, True),
            "/etc/pki/koji-builders": ("kojibuilders", False, False),
        },
    }
    assert list(document["volumes"]) == [
        "kojicreds", "kojidatabase", "kojibuilders", "kojitop",
        "kojidatabase-var-lib-postgresql-trixie", "koji-run-koji-hub-builders",
    ]  # fmt: skip
    assert len(not_carried_over(declared)) == 10
