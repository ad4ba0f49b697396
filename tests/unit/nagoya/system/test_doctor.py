"""What `toji doctor` makes of facts: one line of this table for each thing that can be wrong."""

import errno
import os
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nagoya.config import loader
from nagoya.config.declaration import Declaration
from nagoya.config.values import CAPABILITIES
from nagoya.engine.published import bind_error
from nagoya.errors import EngineError
from nagoya.system import machine
from nagoya.system.doctor import Check, examine_engine, examine_machine, free_networks
from nagoya.system.machine import Disk, EngineFacts, Facts
from tests.unit.nagoya.system.systems import Declare

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = EngineFacts(
    address="unix:///var/run/docker.sock",
    version={"Version": "26.1.5", "Components": [{"Name": "Engine"}]},
    info={
        "KernelVersion": "6.1.0-1-amd64", "Architecture": "x86_64", "NCPU": 2,
        "MemTotal": 8 << 30, "Driver": "overlay2", "CgroupVersion": "2", "CgroupDriver": "systemd",
        "MemoryLimit": True, "PidsLimit": True, "CpuCfsQuota": True,
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"],
    },
    skew=0.2,
    subnets=("172.17.0.0/16",),
    disk=Disk("/var/lib/docker", 50 << 30, 1 << 20),
    capabilities=frozenset(CAPABILITIES),
)  # fmt: skip
PODMAN = {"Version": "4.3.1", "Components": [{"Name": "Podman Engine"}]}


@pytest.fixture
def declaration(checkout: Path) -> Declaration:
    return loader.read(checkout / "moromi.yml")


def facts(engine: EngineFacts | None = GOOD, **changed: Any) -> Facts:
    return Facts(
        **{
            "time": NOW,
            "installed": NOW - timedelta(1),
            "koji_client": True,
            "rpm_module": True,
            "engine": engine,
        }
        | changed
    )


def engine(**info: Any) -> EngineFacts:
    """A good engine that answers otherwise."""
    return replace(GOOD, info={**GOOD.info, **info})


def examine(evidence: Facts, declaration: Declaration) -> list[Check]:
    return [*examine_engine(evidence, declaration), *examine_machine(evidence)]


def find(evidence: Facts, declaration: Declaration, name: str) -> Check:
    (check,) = (check for check in examine(evidence, declaration) if check.name == name)
    return check


def test_a_good_machine(declaration: Declaration) -> None:
    checks = examine(facts(), declaration)
    assert {check.state for check in checks} == {"ok"}
    assert not [check for check in checks if check.hint]
    names = [check.name for check in checks]
    assert len(names) == len(set(names)) == 12


@pytest.mark.parametrize(
    ("evidence", "name", "state", "hint"),
    [
        (facts(None, problem=EngineError("no engine", "start it")), "engine", "error", "start it"),
        (facts(replace(GOOD, version={"Version": "19.03.1"})), "engine", "error", "20.10"),
        (facts(replace(GOOD, version=PODMAN)), "engine", "ok", None),
        (facts(engine(KernelVersion="5.4.0-99-generic")), "machine", "error", "5.10"),
        (facts(engine(KernelVersion="5.10.0")), "machine", "ok", None),
        (facts(engine(Architecture="aarch64")), "machine", "warning", "x86_64"),
        (facts(engine(MemTotal=1 << 30)), "machine", "warning", "2 GiB"),
        (facts(engine(Driver="vfs")), "storage driver", "warning", "storage-driver"),
        (facts(replace(GOOD, disk=Disk("/d", 1 << 30, 9))), "disk", "error", "below 2048 MiB"),
        (facts(replace(GOOD, disk=Disk("/d", 4 << 30, 9))), "disk", "warning", "moromi clean"),
        (facts(replace(GOOD, disk=Disk("/d", 9 << 30, 9))), "disk", "warning", "9 inodes"),
        # btrfs has no fixed number of inodes.
        (facts(replace(GOOD, disk=Disk("/d", 9 << 30, 0))), "disk", "ok", None),
        (facts(engine(PidsLimit=False)), "cgroups", "warning", "kojibuilder.pids_limit"),
        (facts(engine(MemoryLimit=False)), "cgroups", "ok", None),
        # moromi.yml has apparmor=unconfined.
        (facts(engine(SecurityOptions=["name=apparmor"])), "confinement", "ok", None),
        (
            facts(engine(SecurityOptions=["name=selinux"])),
            "confinement", "warning", "kojibuilder: {security_opt: [label=disable]}",
        ),
        (facts(engine(SecurityOptions=["name=rootless"])), "confinement", "warning", "5.8 only"),
        (facts(engine(SecurityOptions=None)), "confinement", "ok", None),
        (
            facts(replace(GOOD, capabilities=frozenset(CAPABILITIES) - {"SYS_ADMIN", "MKNOD"})),
            "capabilities", "error", "kojibuilder needs MKNOD, SYS_ADMIN",
        ),
        (
            facts(replace(GOOD, problem=EngineError("the engine is on build1", "run it there"))),
            "ports", "error", "run it there",
        ),
        (facts(replace(GOOD, taken=("127.0.0.1:8443",))), "ports", "error", "other host ports"),
        (facts(replace(GOOD, foreign=("192.0.2.7",))), "ports", "error", "`ip address` lists"),
        (
            facts(replace(GOOD, subnets=("172.0.0.0/8", "192.168.0.0/17", "192.168.128.0/18"))),
            "address ranges", "ok", None,
        ),
        (
            facts(replace(GOOD, subnets=("172.0.0.0/8", "192.168.0.0/17", "192.168.192.0/18",
                                         "192.168.128.0/20", "192.168.144.0/24"))),
            "address ranges", "warning", "default-address-pools",
        ),
        (
            facts(replace(GOOD, subnets=("172.0.0.0/8", "192.168.0.0/16"))),
            "address ranges", "error", "toji remove --stale",
        ),
        (facts(installed=NOW + timedelta(1)), "clock", "error", "Set the clock"),
        (facts(replace(GOOD, skew=-90.0)), "clock", "warning", "-90 s"),
        (facts(environment={"https_proxy": "http://me:secret@p"}), "proxies", "warning",
         "`export NO_PROXY=127.0.0.1`"),
        (
            facts(replace(GOOD, host="docker"), environment={"HTTPS_PROXY": "http://p"}),
            "proxies", "warning", "NO_PROXY=docker",
        ),
        (
            facts(environment={"HTTPS_PROXY": "http://p", "no_proxy": "x, 127.0.0.1"}),
            "proxies", "ok", None,
        ),
        (facts(environment={"HTTPS_PROXY": ""}), "proxies", "ok", None),
        (facts(koji_client=False), "koji client", "warning", "pip install koji"),
    ],
)  # fmt: skip
def test_a_line_for_each_thing(
    evidence: Facts, name: str, state: str, hint: str | None, declaration: Declaration
) -> None:
    check = find(evidence, declaration, name)
    assert check.state == state
    assert hint in (check.hint or "") if hint else check.hint is None
    assert "secret" not in f"{check}"


def test_what_the_koji_client_lacks(declaration: Declaration) -> None:
    check = find(facts(rpm_module=False), declaration, "koji client")
    assert (check.state, "`download-build` and `import` need" in check.finding) == ("ok", True)


def test_without_an_engine_the_rest_is_looked_at(declaration: Declaration) -> None:
    checks = examine(facts(None), declaration)
    assert [check.name for check in checks] == ["engine", "clock", "proxies", "koji client"]


def test_what_cannot_be_seen_is_left_out(declaration: Declaration) -> None:
    """As the disk and the process of an engine on another machine."""
    checks = examine(facts(replace(GOOD, disk=None, capabilities=None)), declaration)
    assert not {"disk", "capabilities"} & {check.name for check in checks}
    assert "address ranges" not in {
        check.name for check in examine(facts(replace(GOOD, version=PODMAN)), declaration)
    }


def test_what_moromi_yml_says_counts(declare: Declare) -> None:
    evidence = facts(replace(engine(SecurityOptions=["name=apparmor"], CpuCfsQuota=False),
                         disk=Disk("/d", 4 << 30, 0)))  # fmt: skip
    builder = {
        "cap_add": ["CAP_SYS_ADMIN"], "security_opt": ["apparmor:unconfined"], "cpus": 1.5,
        "environment": {"KOJI_BUILDER_MINSPACE": 8192}, "ports": ["8443:443"],
    }  # fmt: skip
    declared = declare(builder=builder)
    assert find(evidence, declared, "confinement").state == "ok"
    confined = find(evidence, declare(builder={"cap_add": ["SYS_ADMIN"]}), "confinement")
    assert confined.state == "error"
    assert "builder: {security_opt: [apparmor=unconfined]}" in str(confined.hint)
    assert find(evidence, declared, "disk").state == "error"
    assert "builder.cpus" in str(find(evidence, declared, "cgroups").hint)
    assert find(evidence, declared, "ports").finding == "on 127.0.0.1: 8443:443"


def test_free_networks() -> None:
    pool = [{"Base": "172.20.0.0/14", "Size": 24}]
    assert free_networks(pool, []) == 1024
    assert free_networks(pool, ["172.20.0.0/24", "172.20.0.0/25", "10.0.0.0/8"]) == 1023
    assert free_networks(pool, ["172.20.0.0/16", "fd00::/64"]) == 768
    assert free_networks([{"Base": "fd00::/56", "Size": 64}], []) == 0


def test_the_facts_are_real(tmp_path: Path) -> None:
    own = machine._capabilities(os.getpid())
    assert own is not None
    assert own <= set(CAPABILITIES)
    assert machine._capabilities(None) is None
    disk = machine._disk(str(tmp_path))
    assert disk is not None
    assert disk.bytes > 0
    assert machine._disk("/nonexistent") is None
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert bind_error("127.0.0.1", port) == bind_error("0.0.0.0", port) == errno.EADDRINUSE
        assert bind_error("::", port) is None
    assert bind_error("127.0.0.1", port) is None
    assert bind_error("192.0.2.7", 0) == bind_error("2001:db8::7", 0) == errno.EADDRNOTAVAIL


def test_capabilities_have_the_kernel_s_numbers() -> None:
    for name, number in (("CHOWN", 0), ("SYS_ADMIN", 21), ("MKNOD", 27), ("SETFCAP", 31)):
        assert CAPABILITIES.index(name) == number
    assert CAPABILITIES.index("CHECKPOINT_RESTORE") == 40
