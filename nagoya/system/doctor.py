"""Judge a machine before anything is built on it: pure checks of facts."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from typing import Any, Literal

from nagoya.config.declaration import Declaration
from nagoya.engine.state import LOOPBACK
from nagoya.system.machine import EngineFacts, Facts

_GIB = 1 << 30
_IMAGES = 3 * _GIB
"""What the images take, and what their build takes meanwhile."""
_MINSPACE = 2048
"""The builder's default of KOJI_BUILDER_MINSPACE, in MB."""
_MEMORY = 2 * _GIB
_DOCKER = (20, 10)
_KERNEL = (5, 10)
_SKEW_SECONDS = 5
_SLOW_DRIVERS = ("vfs", "devicemapper")
_LIMITS = {"mem_limit": "MemoryLimit", "pids_limit": "PidsLimit", "cpus": "CpuCfsQuota"}
"""The engine's words for what moromi.yml can limit."""
_POOLS = (
    *({"Base": f"172.{number}.0.0/16", "Size": 16} for number in range(17, 32)),
    {"Base": "192.168.0.0/16", "Size": 20},
)
"""Docker's own ranges, which its API does not return."""
_FEW = 3
_State = Literal["ok", "warning", "error"]
_CONFINEMENT: tuple[tuple[str, str, _State], ...] = (
    ("apparmor", "apparmor=unconfined", "error"),
    ("selinux", "label=disable", "warning"),
)
"""What keeps containers from mounting, the option that turns it off, and what it is without."""


@dataclass(frozen=True)
class Check:
    """The state of one thing, and what to do about it; an `error` prevents a Koji."""

    name: str
    state: _State
    finding: str
    hint: str | None = None


def examine_machine(facts: Facts) -> list[Check]:
    """The checks that need no engine."""
    return [*_client(facts)]


def examine_engine(facts: Facts, declaration: Declaration) -> list[Check]:
    """The other checks, in the order of what depends on what."""
    checks = [*_engine(facts)]
    if engine := facts.engine:
        checks += [
            *_machine(engine), *_storage(engine), *_disk(engine, declaration),
            *_cgroups(engine, declaration), *_confinement(engine, declaration),
            *_capabilities(engine, declaration), *_ports(engine, declaration),
            *_addresses(engine),
        ]  # fmt: skip
    return [*checks, *_clock(facts), *_proxies(facts)]


def _engine(facts: Facts) -> Iterator[Check]:
    if facts.engine is None:
        problem = facts.problem
        yield Check(
            "engine",
            "error",
            *(problem.message, problem.hint) if problem else ("no engine answers",),
        )
        return
    name, version = _product(facts.engine), str(facts.engine.version.get("Version", "?"))
    finding = f"{name} {version} at {facts.engine.address}"
    if name == "Docker" and _numbers(version) < _DOCKER:
        yield Check("engine", "error", finding, "Nagoya needs Docker 20.10 or newer")
    else:
        yield Check("engine", "ok", finding)


def _product(engine: EngineFacts) -> str:
    components = engine.version.get("Components") or []
    return "Podman" if any("Podman" in each.get("Name", "") for each in components) else "Docker"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def _machine(engine: EngineFacts) -> Iterator[Check]:
    info = engine.info
    kernel, machine = str(info.get("KernelVersion", "?")), str(info.get("Architecture", "?"))
    memory = int(info.get("MemTotal", 0))
    finding = (
        f"Linux {kernel}, {machine}, {info.get('NCPU')} CPUs, {memory / _GIB:.1f} GiB of memory"
    )
    if _numbers(kernel) < _KERNEL:
        yield Check("machine", "error", finding, "the builder's mock needs Linux 5.10 or newer")
    elif machine not in ("x86_64", "amd64"):
        yield Check("machine", "warning", finding, "Nagoya is tested on x86_64 only")
    elif memory < _MEMORY:
        yield Check("machine", "warning", finding, "with less than 2 GiB, builds may be killed")
    else:
        yield Check("machine", "ok", finding)


def _storage(engine: EngineFacts) -> Iterator[Check]:
    driver = str(engine.info.get("Driver", "?"))
    if driver in _SLOW_DRIVERS:
        hint = "it is slow and takes much space; set `storage-driver` to overlay2 in the engine's "
        hint += "daemon.json"
        yield Check("storage driver", "warning", driver, hint)
    else:
        yield Check("storage driver", "ok", driver)


def _disk(engine: EngineFacts, declaration: Declaration) -> Iterator[Check]:
    if not (disk := engine.disk):
        return
    finding = f"{disk.bytes / _GIB:.1f} GiB free in {disk.folder}"
    minspace = _minspace(declaration) << 20
    if disk.bytes < minspace:
        hint = f"builders take no tasks below {minspace >> 20} MiB (KOJI_BUILDER_MINSPACE)"
        yield Check("disk", "error", finding, hint)
    elif disk.bytes < minspace + _IMAGES:
        hint = "the images need about 3 GiB while they are built; `moromi clean` may free some"
        yield Check("disk", "warning", finding, hint)
    elif 0 < disk.inodes < 100_000:
        hint = f"only {disk.inodes} inodes are left there; images have many small files"
        yield Check("disk", "warning", finding, hint)
    else:
        yield Check("disk", "ok", finding)


def _minspace(declaration: Declaration) -> int:
    values = [
        each.environment.get("KOJI_BUILDER_MINSPACE", "")
        for each in declaration.containers.values()
    ]
    return max((int(value) for value in values if value.isdecimal()), default=_MINSPACE)


def _cgroups(engine: EngineFacts, declaration: Declaration) -> Iterator[Check]:
    info = engine.info
    finding = f"version {info.get('CgroupVersion', '1')}, {info.get('CgroupDriver', '?')}"
    ignored = [
        f"{name}.{key}"
        for name, each in declaration.containers.items()
        for key, word in _LIMITS.items()
        if getattr(each, key) and info.get(word) is False
    ]
    if ignored:
        hint = f"this engine ignores limits of moromi.yml: {', '.join(ignored)}"
        yield Check("cgroups", "warning", finding, hint)
    else:
        yield Check("cgroups", "ok", finding)


def _confinement(engine: EngineFacts, declaration: Declaration) -> Iterator[Check]:
    """What keeps a container with SYS_ADMIN from mounting, as a builder has to."""
    options = engine.info.get("SecurityOptions") or []
    active = {re.split(r"[=,]", str(option))[1] for option in options if "=" in str(option)}
    finding = ", ".join(sorted(active)) or "none"
    for kind, opened, state in _CONFINEMENT:
        names = [
            name
            for name in _mounting(declaration)
            if opened
            not in (o.replace(":", "=") for o in declaration.containers[name].security_opt)
        ]
        if kind in active and names:
            may = "forbids" if state == "error" else "may forbid"
            hint = f"it {may} mounts, which {', '.join(names)} needs; in a moromi.yml that extends "
            hint += f"this one: {names[0]}: {{security_opt: [{opened}]}}"
            yield Check("confinement", state, finding, hint)
            return
    if names := [each for each in ("rootless", "userns") if each in active]:
        hint = "in user namespaces, builders have been tried with a rootless Podman 5.8 only"
        yield Check("confinement", "warning", finding, hint)
    else:
        yield Check("confinement", "ok", finding)


def _mounting(declaration: Declaration) -> list[str]:
    return [name for name, each in declaration.containers.items() if "SYS_ADMIN" in _added(each)]


def _added(container: Any) -> set[str]:
    return {name.removeprefix("CAP_") for name in container.cap_add} - {"ALL"}


def _capabilities(engine: EngineFacts, declaration: Declaration) -> Iterator[Check]:
    if engine.capabilities is None:
        return
    lacks = [
        f"{name} needs {', '.join(missing)}"
        for name, each in declaration.containers.items()
        if (missing := sorted(_added(each) - engine.capabilities))
    ]
    if lacks:
        hint = f"{'; '.join(lacks)}: start the engine where it has them, for instance not in a "
        hint += "container, or with `--cap-add`"
        yield Check("capabilities", "error", "the engine's process lacks some", hint)
    else:
        yield Check("capabilities", "ok", "the engine has all that moromi.yml adds")


def _ports(engine: EngineFacts, declaration: Declaration) -> Iterator[Check]:
    if engine.problem:
        yield Check("ports", "error", engine.problem.message, engine.problem.hint)
        return
    ports = [port for each in declaration.containers.values() for port in each.ports]
    fixed = [port for port in ports if port.host or port.address]
    if engine.foreign:
        finding = "; ".join(f"{each} is not an address of this machine" for each in engine.foreign)
        hint = "`ip address` lists its own; 0.0.0.0 stands for all, [::] for all of IPv6"
        yield Check("ports", "error", finding, hint)
    elif engine.taken:
        hint = "choose other host ports in moromi.yml, or leave them out for free ones"
        yield Check("ports", "error", f"in use: {', '.join(engine.taken)}", hint)
    else:
        which = ", ".join(map(str, fixed)) or "free ones, chosen when a container is created"
        yield Check("ports", "ok", f"on {engine.host}: {which}")


def _addresses(engine: EngineFacts) -> Iterator[Check]:
    if _product(engine) != "Docker":
        return
    room = free_networks(engine.info.get("DefaultAddressPools") or _POOLS, engine.subnets)
    finding = f"for about {room} more networks, one for each system"
    if room < _FEW:
        hint = "`toji remove --stale` and `docker network prune` free some; "
        hint += "`default-address-pools` in the engine's daemon.json makes room"
        yield Check("address ranges", "warning" if room else "error", finding, hint)
    else:
        yield Check("address ranges", "ok", finding)


def free_networks(pools: Iterable[Mapping[str, Any]], subnets: Iterable[str]) -> int:
    """How many networks an engine's pools still have room for, beside these subnets."""
    used = [ip_network(each, strict=False) for each in subnets]
    taken: list[IPv4Network] = [each for each in used if isinstance(each, IPv4Network)]
    count = 0
    for pool in pools:
        base, size = ip_network(pool["Base"]), int(pool["Size"])
        if not isinstance(base, IPv4Network):
            continue
        inside = [each for each in taken if each.overlaps(base)]
        blocks = {each.supernet(new_prefix=size) for each in inside if each.prefixlen >= size}
        wide = [each for each in inside if each.prefixlen < size]
        covered = sum(1 << size - max(each.prefixlen, base.prefixlen) for each in wide)
        count += max(0, (1 << size - base.prefixlen) - len(blocks) - covered)
    return count


def _clock(facts: Facts) -> Iterator[Check]:
    finding = f"{facts.time:%Y-%m-%d %H:%M} UTC"
    if facts.time < facts.installed:
        hint = (
            f"Nagoya's files are of {facts.installed:%Y-%m-%d}: with a wrong clock no certificate "
        )
        yield Check("clock", "error", finding, f"{hint}is valid. Set the clock")
    elif facts.engine and abs(facts.engine.skew) > _SKEW_SECONDS:
        hint = f"the engine's differs by {facts.engine.skew:+.0f} s; synchronise both"
        yield Check("clock", "warning", finding, hint)
    else:
        yield Check("clock", "ok", finding)


def _proxies(facts: Facts) -> Iterator[Check]:
    environment = facts.environment
    names = sorted(
        name
        for name, value in environment.items()
        if value and name.lower() in ("http_proxy", "https_proxy", "all_proxy")
    )
    host = facts.engine.host if facts.engine else LOOPBACK
    without = environment.get("no_proxy") or environment.get("NO_PROXY", "")
    if names and not {"*", host} & set(without.replace(",", " ").split()):
        hint = (
            f"`export NO_PROXY={host}`, or clients ask the proxy for the hub; toji itself does not"
        )
        yield Check("proxies", "warning", ", ".join(names), hint)
    else:
        yield Check("proxies", "ok", ", ".join(names) or "none")


def _client(facts: Facts) -> Iterator[Check]:
    if facts.koji_client and facts.rpm_module:
        yield Check("koji client", "ok", "installed")
    elif facts.koji_client:
        finding = "installed; its `download-build` and `import` need the Python module rpm too"
        yield Check("koji client", "ok", finding)
    else:
        hint = "`pip install koji==1.36.1`: `toji seed`, `user`, `verify` and tests need it"
        yield Check("koji client", "warning", "not installed", hint)
