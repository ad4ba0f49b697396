"""Debian's docker-registry on the engine under test, with TLS and passwords, as a site runs one."""

import io
import json
import secrets
import shutil
import ssl
import subprocess
import sys
import tarfile
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import docker
import docker.errors
import yaml
from docker.models.containers import Container

from tests.image.tracked import execute
from util.certificates import Authority, key_pem, make_key, pem

PROGRAM = Path(sys.prefix) / "bin/docker-registry"
"""Where `tools/setup test` puts it."""
BASE = "debian:trixie-slim"
USER, PASSWORD = "pusher", "correct horse"
DATA = "/var/lib/docker-registry"
CERTIFICATES = Path("/etc/docker/certs.d")
"""Where a Docker that runs as root looks for the authorities of registries, by their address."""
_CONFIGURATION = {
    "version": 0.1,
    "storage": {"filesystem": {"rootdirectory": DATA}},
    "http": {"addr": ":5000", "tls": {"certificate": "/site.pem", "key": "/site.pem"}},
    "auth": {"htpasswd": {"realm": "test", "path": "/htpasswd"}},
}


@dataclass
class Registry:
    """A running registry; `ca` is its authority's certificate, which the engine need not trust."""

    container: Container
    address: str
    ca: Path

    def trust(self) -> None:
        """Make the engine trust the registry's authority."""
        self._trusted.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.ca, self._trusted)

    def distrust(self) -> None:
        """Make the engine forget the registry's authority."""
        self._trusted.unlink(missing_ok=True)
        with suppress(OSError):  # an engine in another network has a registry there too
            self._trusted.parent.rmdir()

    @property
    def _trusted(self) -> Path:
        return CERTIFICATES / self.address / f"{self.container.name}.crt"

    def configuration(self, folder: Path, password: str = PASSWORD) -> str:
        """A value of DOCKER_CONFIG with a login, as `docker login` writes it."""
        folder.mkdir(exist_ok=True)
        auth = b64encode(f"{USER}:{password}".encode()).decode()
        (folder / "config.json").write_text(json.dumps({"auths": {self.address: {"auth": auth}}}))
        return str(folder)

    def run(self, command: str) -> str:
        """What a shell command prints in its container."""
        status, output = execute(self.container, "sh", "-ec", command)
        assert status == 0, output
        return output


@contextmanager
def registry(client: docker.DockerClient, folder: Path) -> Iterator[Registry]:
    """Run a registry, on an address of the engine's machine.

    Docker verifies no registry on 127.0.0.0/8, so that is the gateway of its network.
    """
    name = f"registry-{secrets.token_hex(3)}"
    network = client.networks.create(name)
    network.reload()
    gateway = network.attrs["IPAM"]["Config"][0]["Gateway"]
    folder.mkdir()
    authority, key = Authority.create(folder), make_key()
    signed = authority.sign("site", key.public_key(), ips=[ip_address(gateway)], server=True)
    container = client.containers.create(
        BASE,
        ["/docker-registry", "serve", "/config.yml"],
        name=name,
        network=name,
        ports={"5000/tcp": (gateway, None)},
    )
    try:
        files = {
            "docker-registry": PROGRAM.read_bytes(),
            "config.yml": yaml.safe_dump(_CONFIGURATION).encode(),
            "site.pem": key_pem(key) + pem(signed),
            "htpasswd": f"{USER}:{_bcrypt(PASSWORD)}\n".encode(),
        }
        container.put_archive("/", _tar(files))
        container.start()
        container.reload()
        address = f"{gateway}:{container.ports['5000/tcp'][0]['HostPort']}"
        ca = folder / "koji_ca_cert.crt"
        _wait(address, ca)
        server = Registry(container, address, ca)
        try:
            yield server
        finally:
            server.distrust()
    finally:
        container.remove(force=True, v=True)
        network.remove()
        forget(client, f"{gateway}:")


def forget(client: docker.DockerClient, *prefixes: str) -> None:
    """Remove all names of images that begin so, children first, and images without another name."""
    for image in sorted(client.api.images(), key=lambda image: -image["Created"]):
        for name in [*(image["RepoTags"] or []), *(image["RepoDigests"] or [])]:
            if name.startswith(prefixes):
                with suppress(docker.errors.ImageNotFound):  # a digest goes with the last tag
                    client.api.remove_image(name)


def _wait(address: str, ca: Path) -> None:
    context = ssl.create_default_context(cafile=ca)
    for _ in range(100):
        try:
            urllib.request.urlopen(f"https://{address}/", context=context).close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(address)


def _bcrypt(password: str) -> str:
    """A password as docker-registry reads it; libxcrypt computes it, through perl."""
    command = ["perl", "-e", "print crypt($ARGV[0], '$2y$05$' . 'a' x 22)", password]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _tar(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    return data.getvalue()
