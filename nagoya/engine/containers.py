"""Networks and containers: thin verbs over Docker's, each with its failure in plain words."""

import io
import re
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import docker.errors
import requests

from nagoya.engine.client import Engine, Handle
from nagoya.engine.exec import ExecSession
from nagoya.engine.translation import translated
from nagoya.errors import EngineError, EngineTimeout, PortTaken

SYSTEM_LABEL = "nagoya.system"
"""On every container and network of a system; its value is the system's name."""
CONTAINER_LABEL = "nagoya.container"
"""The name under which a container is declared in moromi.yml."""
_BESIDE_SECONDS = 60
_PORT_TAKEN = re.compile(
    r":(\d+)\b.*?(?:port is already allocated|address already in use)", re.IGNORECASE | re.DOTALL
)
HOST = "127.0.0.1"
"""Ports are published on this address alone."""


@dataclass(frozen=True)
class State:
    """What the engine says of a container at one moment.

    `name` is its host name, `declared` the name that it bears in moromi.yml. `status` is Docker's
    word (created, running, paused, restarting, exited, dead); `ports` maps a port of the container
    to the host's, `volumes` the path of a mounted volume to its name. `labels` include the image's.
    """

    name: str
    declared: str
    container: str
    status: str
    exit_code: int
    ever_started: bool
    out_of_memory: bool
    health: str | None
    image: str
    image_id: str
    address: str | None
    ports: Mapping[int, int]
    volumes: Mapping[str, str]
    labels: Mapping[str, str]

    @property
    def running(self) -> bool:
        return self.status == "running"

    @property
    def completed(self) -> bool:
        """Whether it ran, and ended well."""
        return self.status == "exited" and self.ever_started and self.exit_code == 0


@dataclass(frozen=True)
class Specification:
    """What a container is created from.

    `ports` maps a port of the container to the host's, `volumes` a path in the container to a named
    volume. Without a `network` the container gets none.
    """

    name: str
    image: str
    hostname: str
    network: str | None
    labels: Mapping[str, str]
    command: Sequence[str]
    environment: Mapping[str, str]
    ports: Mapping[int, int]
    volumes_from: Sequence[str]
    cap_add: Sequence[str]
    cap_drop: Sequence[str]
    security_opt: Sequence[str]
    stop_timeout: int
    entrypoint: Sequence[str] = ()
    working_dir: str | None = None
    volumes: Mapping[str, str] = field(default_factory=dict)


def list_containers(engine: Engine, system: str) -> dict[str, Handle]:
    """The containers of a system by host name, whatever their state.

    Where one is about to take another one's place, the present one is returned.
    """
    # Such a container bears a longer name than the one whose host name it has.
    listed = sorted(list_system(engine, system), key=lambda one: -len(one.name))
    return {container.docker.attrs["Config"]["Hostname"]: container for container in listed}


def list_system(engine: Engine, system: str) -> list[Handle]:
    """Every container that bears a system's label, whatever its state."""
    with translated(f"listing the containers of {system}"):
        listed = engine.client.containers.list(
            all=True, ignore_removed=True, filters={"label": f"{SYSTEM_LABEL}={system}"}
        )
    return [Handle(engine, container) for container in listed]


def list_all_containers(engine: Engine) -> dict[str, list[Handle]]:
    """Every system's containers, by the system's name."""
    with translated("listing the systems"):
        listed = engine.client.containers.list(
            all=True, ignore_removed=True, filters={"label": SYSTEM_LABEL}
        )
    found: dict[str, list[Handle]] = {}
    for container in listed:
        handle = Handle(engine, container)
        if system := label(handle, SYSTEM_LABEL):
            found.setdefault(system, []).append(handle)
    return found


def networks(engine: Engine) -> dict[str, Mapping[str, Any]]:
    """Every system's network by the system's name, as the engine describes it."""
    with translated("listing the networks"):
        listed = engine.client.networks.list(filters={"label": SYSTEM_LABEL})
    return {network.attrs["Labels"][SYSTEM_LABEL]: network.attrs for network in listed}


def inspect(container: Handle) -> dict[str, Any]:
    """All that the engine told of a container when the handle was made, secrets included."""
    return dict(container.docker.attrs)


def created(container: Handle) -> datetime:
    """When a container was made."""
    return timestamp(container.docker.attrs["Created"])


def timestamp(text: str) -> datetime:
    """A moment as the engine writes it, which is to the nanosecond."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", text))


def get(engine: Engine, name: str) -> Handle:
    """A container by its name."""
    with translated(f"looking for {name}"):
        return Handle(engine, engine.client.containers.get(name))


def state(container: Handle, *, reload: bool = True) -> State:
    """A container's state; asks the engine afresh unless told that it just did."""
    with translated(f"looking at {container.name}"):
        if reload:
            container.docker.reload()
    attributes: dict[str, Any] = container.docker.attrs
    said = attributes["State"]
    networks = attributes["NetworkSettings"]["Networks"] or {}
    bindings = attributes["HostConfig"].get("PortBindings") or {}
    return State(
        name=attributes["Config"]["Hostname"],
        declared=attributes["Config"]["Labels"].get(CONTAINER_LABEL, ""),
        container=str(container.name),
        status=said["Status"],
        exit_code=said["ExitCode"],
        ever_started=not said["StartedAt"].startswith("0001-"),
        out_of_memory=said.get("OOMKilled", False),
        health=(said.get("Health") or {}).get("Status"),
        image=attributes["Config"]["Image"],
        image_id=attributes["Image"],
        address=next((net["IPAddress"] for net in networks.values() if net["IPAddress"]), None),
        ports={
            int(port.partition("/")[0]): int(binding[0]["HostPort"])
            for port, binding in bindings.items()
            if binding
        },
        volumes={
            mount["Destination"]: mount["Name"]
            for mount in attributes["Mounts"]
            if mount["Type"] == "volume"
        },
        labels=_set(attributes["Config"]["Labels"]),
    )


def ensure_network(engine: Engine, system: str, labels: Mapping[str, str]) -> None:
    """Make a system's network, of its name, unless it is there, and connect its containers.

    Two at once get one network: Docker itself would make a second one of the same name. Raises
    EngineError where one of that name is not the system's: `host` is there on every engine.
    """
    with translated(f"making the network {system}"):
        for network in engine.client.networks.list(names=[f"^{system}$"]):
            if not _belongs(network.attrs["Labels"], system):
                raise _strangers("network", system)
            return
        try:
            network = engine.client.networks.create(
                system,
                driver="bridge",
                check_duplicate=True,
                labels={SYSTEM_LABEL: system, **labels},
            )
        except docker.errors.APIError as error:
            if error.status_code != 409:
                raise
            return
        for container in list_system(engine, system):
            attributes = container.docker.attrs
            if attributes["HostConfig"]["NetworkMode"] == system:  # a former one was pruned
                network.disconnect(container.docker, force=True)
                network.connect(container.docker, aliases=[attributes["Config"]["Hostname"]])


def remove_networks(engine: Engine, system: str) -> None:
    """Remove a system's networks."""
    with translated(f"removing the network of {system}"):
        for network in engine.client.networks.list(filters={"label": f"{SYSTEM_LABEL}={system}"}):
            try:
                network.remove()
            except docker.errors.NotFound:
                continue


def create(engine: Engine, wanted: Specification) -> Handle:
    """Make a container, not yet started; one of that name that is there already is returned.

    Raises EngineError where that one is not of the same system, or where ports are to be published
    by an engine on another machine.
    """
    if wanted.ports and (remote := engine.remote_host):
        raise EngineError(
            f"creating {wanted.name}: the engine is on {remote}, and would publish its ports on "
            f"{HOST} there, where this machine cannot reach them",
            f"run toji on {remote}; images can be built from here",
        )
    api = engine.client.api
    with translated(f"creating {wanted.name}"):
        try:
            api.create_container(
                wanted.image,
                list(wanted.command) or None,
                entrypoint=list(wanted.entrypoint) or None,
                working_dir=wanted.working_dir,
                name=wanted.name,
                hostname=wanted.hostname,
                labels=dict(wanted.labels),
                environment=dict(wanted.environment),
                ports=list(wanted.ports),
                stop_timeout=wanted.stop_timeout,
                networking_config=wanted.network
                and {
                    "EndpointsConfig": {
                        wanted.network: api.create_endpoint_config(aliases=[wanted.hostname])
                    }
                },
                host_config=api.create_host_config(
                    network_mode=wanted.network or "none",
                    port_bindings={port: (HOST, host) for port, host in wanted.ports.items()},
                    # An empty volume gets what the image has at its path.
                    binds=[f"{volume}:{path}" for path, volume in wanted.volumes.items()],
                    volumes_from=list(wanted.volumes_from),
                    cap_add=list(wanted.cap_add),
                    cap_drop=list(wanted.cap_drop),
                    security_opt=list(wanted.security_opt),
                ),
            )
        except docker.errors.APIError as error:
            if error.status_code != 409:
                raise
    there = get(engine, wanted.name)
    if not _belongs(labels(there), wanted.labels[SYSTEM_LABEL]):
        raise _strangers("container", wanted.name)
    return there


def start(container: Handle) -> None:
    """Start a container; one that runs is left alone. Raises PortTaken."""
    with translated(f"starting {container.name}"):
        try:
            container.docker.start()
        except docker.errors.APIError as error:
            taken = _PORT_TAKEN.search(str(error.explanation))
            if not taken:
                raise
            raise PortTaken(
                f"starting {container.name}: port {taken[1]} of {HOST} is taken"
                f"{_publisher(container.engine, int(taken[1]))}",
                "choose another host port, or leave it out for a free one",
            ) from error


def _publisher(engine: Engine, port: int) -> str:
    """Which container publishes a port, in words; nothing where none does."""
    for other in engine.client.api.containers():
        if any(binding.get("PublicPort") == port for binding in other["Ports"]):
            return f" by {_describe(other)}"
    return ""


def _describe(listed: Mapping[str, Any]) -> str:
    """The name of a container in the engine's list, with its system's."""
    name = listed["Names"][0].lstrip("/") if listed["Names"] else listed["Id"][:12]
    system = (listed["Labels"] or {}).get(SYSTEM_LABEL)
    return f"{name} (system '{system}')" if system else name


def users_of(engine: Engine, image: str) -> list[str]:
    """The containers that were created from an image, by its id; each with its system's name."""
    with translated("listing the containers"):
        return sorted(
            _describe(one)
            for one in engine.client.api.containers(all=True)
            if one["ImageID"] == image
        )


def stop(container: Handle) -> None:
    """Stop a container by its own signal, within its own time."""
    with translated(f"stopping {container.name}"):
        container.docker.stop()


def rename(container: Handle, name: str) -> None:
    """Give a container another name."""
    with translated(f"renaming {container.name} to {name}"):
        container.docker.rename(name)


def remove(container: Handle) -> None:
    """Remove a container, running or not, with the volumes that are its alone."""
    with translated(f"removing {container.name}"):
        try:
            container.docker.remove(v=True, force=True)
        except docker.errors.NotFound:
            return
        except docker.errors.APIError as error:
            if error.status_code != 409 or "already in progress" not in str(error.explanation):
                raise


def wait_exit(container: Handle, seconds: float) -> int:
    """Wait for a container's end; its exit status. Raises EngineTimeout after `seconds`."""
    deadline = time.monotonic() + seconds
    with translated(f"waiting for the end of {container.name}"):
        try:
            return int(container.docker.wait(timeout=seconds)["StatusCode"])
        except (requests.Timeout, requests.ConnectionError) as error:
            if time.monotonic() < deadline:
                raise
            raise EngineTimeout(f"{container.name} did not end within {seconds:.0f} s") from error


def remove_named(engine: Engine, system: str, name: str) -> None:
    """Remove a container by its name; one that is not of the system is none of ours, and stays."""
    with translated(f"looking for {name}"):
        try:
            handle = Handle(engine, engine.client.containers.get(name))
        except docker.errors.NotFound:
            return
    if _belongs(labels(handle), system):
        remove(handle)


def label(container: Handle, name: str) -> str | None:
    """A label of the container, or of the image that it was made of."""
    return labels(container).get(name)


def labels(container: Handle) -> Mapping[str, str]:
    """All labels of the container, those of its image among them; an empty one counts as unset."""
    return _set(container.docker.attrs["Config"].get("Labels"))


def volume_paths(container: Handle) -> list[str]:
    """The paths of the volumes that the container's image declares."""
    return sorted(container.docker.attrs["Config"].get("Volumes") or {})


def last_lines(container: Handle, lines: int = 15) -> list[str]:
    """The end of a container's log, stdout and stderr as they came."""
    with translated(f"reading the log of {container.name}"):
        return bytes(container.docker.logs(tail=lines)).decode(errors="replace").splitlines()


def log(
    container: Handle, *, follow: bool = False, tail: int | Literal["all"] = "all"
) -> Iterator[str]:
    """A container's log line by line; with `follow`, on until it ends.

    Raises EngineError, also where the engine ends before the container does.
    """
    with translated(f"reading the log of {container.name}"):
        pending = b""
        for chunk in container.docker.logs(stream=True, follow=follow, tail=tail):
            *whole, pending = (pending + chunk).split(b"\n")
            for line in whole:
                yield line.decode(errors="replace")
        if pending:
            yield pending.decode(errors="replace")
        if follow:
            # The SDK takes a connection that broke for the end of the log.
            with suppress(docker.errors.NotFound):
                container.docker.reload()


def health_test(container: Handle) -> list[str] | None:
    """The command of the image's HEALTHCHECK, or None where it has none."""
    test = (container.docker.attrs["Config"].get("Healthcheck") or {}).get("Test") or ["NONE"]
    match test[0]:
        case "CMD":
            return list(test[1:])
        case "CMD-SHELL":
            return ["/bin/sh", "-c", test[1]]
        case _:
            return None


def execute(
    container: Handle,
    command: Sequence[str],
    *,
    seconds: float,
    input: bytes | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Run a command in a running container; its exit status and all that it printed.

    Raises EngineTimeout if it has not ended after `seconds`. It is killed a second later, in images
    that have `timeout`, as all of Debian's do.
    """
    for kill_after in (seconds + 1, None):
        with ExecSession(
            container,
            command,
            seconds=seconds,
            environment=environment,
            stdin=input is not None,
            kill_after=kill_after,
        ) as session:
            status, output = session.finish(input, seconds)
        text = output.decode(errors="replace")
        if not (status in (126, 127) and '"timeout": executable file not found' in text):
            break
    return status, text


def run_helper(
    container: Handle, name: str, command: Sequence[str], labels: Mapping[str, str]
) -> tuple[int, str]:
    """Run a container of another one's image, with its volumes and no network, to its end.

    Returns its exit status and all that it printed; it is removed whatever happens.
    """
    with translated(f"running {name}"):
        beside = container.engine.client.containers.create(
            container.docker.attrs["Image"],
            list(command),
            name=name,
            # As of every container of a system, so that it is found again if nobody removes it.
            hostname=name.removeprefix(f"{labels[SYSTEM_LABEL]}-"),
            labels=dict(labels),
            network_mode="none",
            volumes_from=[str(container.docker.id)],
        )
        helper = Handle(container.engine, beside)
        try:
            beside.start()
            return wait_exit(helper, _BESIDE_SECONDS), bytes(beside.logs()).decode(errors="replace")
        finally:
            remove(helper)


def write_files(container: Handle, folder: str, archive: bytes) -> None:
    """Unpack a tar archive in a folder of a container, running or not."""
    with translated(f"copying to {folder} in {container.name}"):
        container.docker.put_archive(folder, archive)


def read_chunks(container: Handle, path: str) -> Iterator[bytes]:
    """A folder of a container, running or not, as a tar archive that opens with its name."""
    with translated(f"copying {path} out of {container.name}"):
        chunks, _ = container.docker.get_archive(path)
        yield from chunks


def read_folder(container: Handle, path: str) -> bytes:
    """What `read_chunks` yields, in one piece."""
    return b"".join(read_chunks(container, path))


def read_file(container: Handle, path: str) -> bytes:
    """A file out of a container, running or not, by the engine's own copy call.

    No host volume is involved, so SELinux has nothing to refuse.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(read_folder(container, path))) as archive:
            for member in archive:
                content = archive.extractfile(member)
                if content is not None:
                    return content.read()
    except tarfile.TarError as error:
        raise EngineError(
            f"copying {path} out of {container.name}: the engine's answer was cut off ({error})"
        ) from error
    raise EngineError(f"{path} in {container.name} is not a file")


def _set(labels: Mapping[str, str] | None) -> dict[str, str]:
    # A committed image cannot lose labels of the container, only their values.
    return {name: value for name, value in (labels or {}).items() if value}


def _belongs(labels: Mapping[str, str] | None, system: str) -> bool:
    return (labels or {}).get(SYSTEM_LABEL) == system


def _strangers(kind: str, name: str) -> EngineError:
    return EngineError(
        f"a {kind} called {name} is there already, and is not of this system",
        "choose another --system, or rename or remove it",
    )
