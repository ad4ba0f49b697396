"""What this machine and its engine are like: facts, for `doctor` to judge."""

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nagoya
from nagoya.config.declaration import Declaration
from nagoya.config.values import CAPABILITIES, Port, bracketed
from nagoya.engine import Engine, containers, resources
from nagoya.engine.published import address_of, bind_error, published_host
from nagoya.engine.state import LOOPBACK, parse_time
from nagoya.errors import EngineError

_ROOT_FOLDER = "DockerRootDir"


@dataclass(frozen=True)
class Disk:
    """What is free where the engine keeps its data."""

    folder: str
    bytes: int
    inodes: int


@dataclass(frozen=True)
class EngineFacts:
    """What an engine says of itself, and what is to be seen of it. None: not to be seen from here.

    `version` and `info` are its answers; `skew` is how many seconds its clock is ahead of this
    machine's. `capabilities` are those that its process may pass on. `taken` are declared host
    ports, ADDRESS:PORT, that something other than the system itself listens on, and `foreign`
    declared addresses that the machine lacks. `problem` says why it can publish no ports.
    """

    address: str
    version: Mapping[str, Any]
    info: Mapping[str, Any]
    skew: float
    subnets: tuple[str, ...] = ()
    disk: Disk | None = None
    capabilities: frozenset[str] | None = None
    host: str = LOOPBACK
    taken: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    problem: EngineError | None = None


@dataclass(frozen=True)
class Facts:
    """This machine. `engine` is None until one was asked, and if none answers; then `problem` says
    why. `installed` is when Nagoya's files were written."""

    time: datetime
    installed: datetime
    koji_client: bool
    rpm_module: bool
    environment: Mapping[str, str] = field(default_factory=dict)
    engine: EngineFacts | None = None
    problem: EngineError | None = None


def gather() -> Facts:
    """Look at the machine, and at no engine."""
    return Facts(
        time=datetime.now(UTC),
        installed=datetime.fromtimestamp(Path(nagoya.__file__).stat().st_mtime, UTC),
        koji_client=find_spec("koji") is not None,
        rpm_module=find_spec("rpm") is not None,
        environment=dict(os.environ),
    )


def engine_facts(engine: Engine, declaration: Declaration, system: str) -> EngineFacts:
    """Ask an engine, and look at its process and its disk. Raises EngineError."""
    info = engine.info()
    host, problem = LOOPBACK, None
    try:
        host = published_host(engine)
        address_of(host)
    except EngineError as error:
        problem = error
    return EngineFacts(
        address=engine.address,
        version=engine.version(),
        info=info,
        skew=(parse_time(info["SystemTime"]) - datetime.now(UTC)).total_seconds(),
        subnets=tuple(resources.list_subnets(engine)),
        disk=None if engine.remote_host else _disk(info.get(_ROOT_FOLDER)),
        capabilities=_capabilities(engine.process_id()),
        host=host,
        taken=_taken(engine, declaration, system) if host == LOOPBACK else (),
        foreign=_foreign(declaration) if host == LOOPBACK else (),
        problem=problem,
    )


def _disk(folder: str | None) -> Disk | None:
    try:
        free = os.statvfs(folder or "")
    except OSError:  # the engine has a file system of its own
        return None
    return Disk(folder or "", free.f_bavail * free.f_frsize, free.f_favail)


def _capabilities(pid: int | None) -> frozenset[str] | None:
    """The bounding set of a process."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    (bits,) = (line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:"))
    return frozenset(
        name for number, name in enumerate(CAPABILITIES) if int(bits, 16) >> number & 1
    )


def _taken(engine: Engine, declaration: Declaration, system: str) -> tuple[str, ...]:
    present = containers.list_system(engine, system)
    own = {port for each in present for port in containers.state(each).ports.values()}
    return tuple(
        f"{bracketed(port.address or LOOPBACK)}:{port.host}"
        for port in _declared(declaration)
        if port.host
        and port.host not in own
        and bind_error(port.address or LOOPBACK, port.host) == errno.EADDRINUSE
    )


def _foreign(declaration: Declaration) -> tuple[str, ...]:
    addresses = {port.address for port in _declared(declaration) if port.address}
    return tuple(sorted(a for a in addresses if bind_error(a, 0) == errno.EADDRNOTAVAIL))


def _declared(declaration: Declaration) -> list[Port]:
    return [port for each in declaration.containers.values() for port in each.ports]
