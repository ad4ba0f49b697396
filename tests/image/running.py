"""A hub with its database on a network of their own, and how a test talks to it."""

import http.cookiejar
import ssl
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import koji
from docker.models.containers import Container
from docker.models.networks import Network
from docker.types import EndpointConfig

from tests.image.tracked import Containers, address, privileges, wait_ready

# Koji's client has no way to close its connections but to be thrown away, and Python complains.
_sessions: list[Any] = []

PORTS = {"80/tcp": ("127.0.0.1", None), "443/tcp": ("127.0.0.1", None)}


@dataclass
class Koji:
    """Containers on one network. `credentials` is the instance's folder on this machine."""

    containers: Containers
    network: Network
    kojicreds: Container
    kojitop: Container
    credentials: Path
    api: Any = field(repr=False)

    def start(self, image: str, *command: str, alias: str, **options: Any) -> Container:
        """Start a container that the others reach as `alias`."""
        # The SDK's way to an alias in the call that makes the container.
        endpoint = EndpointConfig(self.api._version, aliases=[alias])
        options = {
            "hostname": alias,
            "network": self.network.name,
            "networking_config": {str(self.network.name): endpoint},
            **options,
        }
        return self.containers.start(image, *command, **options)

    @property
    def builders(self) -> list[str]:
        """The volume that the hub and its builders share."""
        return [f"{self.network.name}:/etc/pki/koji-builders"]

    def start_database(self) -> Container:
        """The database, which the hub finds by its name."""
        volumes = [f"{self.kojicreds.name}:ro"]
        return self.start("koji-database", alias="kojidatabase", volumes_from=volumes)

    def start_hub(self, *command: str, **options: Any) -> Container:
        """The hub, with its ports published and the kernel's parameters of moromi.yml."""
        volumes = [f"{self.kojicreds.name}:ro", f"{self.kojitop.name}:rw"]
        shared = {"volumes_from": volumes, "volumes": self.builders, "ports": PORTS}
        options = {**shared, **privileges("koji"), **options}
        return self.start("koji-hub", *command, alias="koji", **options)

    def start_builder(self, name: str, *command: str, **options: Any) -> Container:
        """A builder of that name, with the privileges that moromi.yml gives one."""
        shared = {"volumes_from": [f"{self.kojitop.name}:ro"], "volumes": self.builders}
        options = {**shared, **privileges("kojibuilder"), **options}
        return self.start("koji-builder", *command, alias=name, **options)

    def hub_that_is_up(self) -> "Hub":
        """A database and a hub, ready."""
        self.start_database()
        container = self.start_hub()
        wait_ready(container)
        return Hub(container, self.credentials)


@contextmanager
def koji_network(
    engine: docker.DockerClient,
    containers: Containers,
    kojicreds: Container,
    kojitop: Container,
    credentials: Path,
) -> Iterator[Koji]:
    """A network for one Koji; it and all that was started on it are removed in the end."""
    name = f"nagoya-test-{uuid.uuid4().hex[:8]}"
    network = engine.networks.create(name, labels={"nagoya.test": "image"})
    try:
        yield Koji(containers, network, kojicreds, kojitop, credentials, engine.api)
    finally:
        while _sessions:
            _sessions.pop().rsession.close()
        containers.remove_all()
        network.remove()
        for volume in engine.volumes.list(filters={"name": str(network.name)}):
            volume.remove()


class Browser:
    """Asks kojiweb for pages, over TLS 1.3, with the certificate of `user` or none."""

    def __init__(self, hub: "Hub", user: str | None = None) -> None:
        self._hub = hub
        context = ssl.create_default_context(cafile=str(hub.authority))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if user is not None:
            context.load_cert_chain(hub.credentials / f"{user}.pem")
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
        )

    def get(self, path: str, scheme: str = "https") -> tuple[int, str, str]:
        """The status, the address that it came from in the end, and the text of a page."""
        try:
            with self._opener.open(self._hub.url(path, scheme), timeout=30) as answer:
                return answer.status, answer.url, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.url, error.read().decode(errors="replace")


@dataclass
class Hub:
    """A hub that is up."""

    container: Container
    credentials: Path

    @property
    def authority(self) -> Path:
        return self.credentials / "koji_ca_cert.crt"

    def url(self, path: str, scheme: str = "https") -> str:
        """Where `path` is on this machine, now: the engine may choose another port."""
        host, port = address(self.container, {"https": 443, "http": 80}[scheme])
        return f"{scheme}://{host}:{port}{path}"

    def session(self, **options: Any) -> Any:
        """Koji's own client, not logged in."""
        options = {"serverca": str(self.authority), "anon_retry": False, **options}
        session = koji.ClientSession(self.url("/kojihub"), options)
        _sessions.append(session)
        return session

    def login(self, user: str = "kojiadmin") -> Any:
        """Koji's own client, logged in by the certificate of `user`."""
        session = self.session()
        session.ssl_login(str(self.credentials / f"{user}.pem"), None, str(self.authority))
        return session

    def browser(self, user: str | None = None) -> Browser:
        return Browser(self, user)
