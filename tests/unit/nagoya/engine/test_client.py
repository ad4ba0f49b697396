"""Where toji looks for the engine: where the docker CLI does."""

import hashlib
import json
import re
import shutil
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, cast

import docker
import pytest

from nagoya.engine import client
from nagoya.engine.client import Address, Engine
from nagoya.errors import EngineError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without settings, and an environment without any."""
    for name in ("HOST", "CONTEXT", "CONFIG", "TLS_VERIFY", "CERT_PATH"):
        monkeypatch.delenv(f"DOCKER_{name}", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def context(folder: Path, name: str, host: str, **endpoint: Any) -> Path:
    """Make a context, as `docker context create` does; the folder of its certificates."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    meta = folder / "contexts/meta" / digest
    meta.mkdir(parents=True)
    meta_data = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, **endpoint}}}
    (meta / "meta.json").write_text(json.dumps(meta_data))
    return folder / "contexts/tls" / digest / "docker"


def looked_at() -> list[str]:
    return [address.url for address in client._addresses()]


def engine(address: Address) -> Engine:
    return Engine(cast(docker.DockerClient, None), address)


def test_the_usual_places(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual, private = f"unix://{client.USUAL_SOCKET}", f"unix://{client.PRIVATE_SOCKET}"
    assert looked_at() == [usual, private]
    (home / ".docker/run").mkdir(parents=True)
    (home / ".docker/run/docker.sock").touch()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))
    (home / "docker.sock").touch()
    own = [f"unix://{home}/docker.sock", f"unix://{home}/.docker/run/docker.sock"]
    assert looked_at() == [usual, *own, private]


def test_the_context_in_use(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = home / ".docker"
    context(folder, "one", "unix:///one.sock")
    context(folder, "other", "unix:///other.sock")
    (folder / "config.json").write_text('{"currentContext": "one"}')
    assert looked_at() == ["unix:///one.sock"]
    monkeypatch.setenv("DOCKER_CONTEXT", "other")
    assert looked_at() == ["unix:///other.sock"]
    (address,) = client._addresses()
    assert engine(address).docker_command == ["docker", "--context", "other"]
    monkeypatch.setenv("DOCKER_HOST", "unix:///named.sock")
    assert looked_at() == ["unix:///named.sock"]
    (address,) = client._addresses()
    assert engine(address).docker_command == ["docker", "--host", "unix:///named.sock"]


def test_a_context_without_a_configuration_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context(home / "elsewhere", "one", "unix:///one.sock")
    monkeypatch.setenv("DOCKER_CONFIG", str(home / "elsewhere"))
    monkeypatch.setenv("DOCKER_CONTEXT", "one")
    assert looked_at() == ["unix:///one.sock"]
    monkeypatch.setenv("DOCKER_CONTEXT", "default")
    assert looked_at() == [f"unix://{client.USUAL_SOCKET}"]
    monkeypatch.setenv("DOCKER_CONTEXT", "none")
    with pytest.raises(EngineError, match="there is no docker context 'none'"):
        looked_at()


def test_a_context_with_certificates(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = context(home / ".docker", "one", "tcp://127.0.0.1:2376", SkipTLSVerify=False)
    folder.mkdir(parents=True)
    for name in ("ca", "cert", "key"):
        (folder / f"{name}.pem").touch()
    monkeypatch.setenv("DOCKER_CONTEXT", "one")
    (address,) = client._addresses()
    assert address.tls is not None
    assert (address.tls.ca_cert, address.tls.verify) == (str(folder / "ca.pem"), True)
    assert address.tls.cert == (str(folder / "cert.pem"), str(folder / "key.pem"))


@pytest.mark.parametrize(
    ("address", "message", "hint"),
    [
        ("nonsense", "DOCKER_HOST: 'nonsense' is not an address", "unix:///var/run/docker.sock"),
        ("unix://", "'unix://' is not an address", "unix:///var/run/docker.sock"),
        ("npipe:////./pipe/docker", "is not an address", "unix:///var/run/docker.sock"),
        ("tcp://build1", "'tcp://build1' names no port", "tcp://build1:2375"),
        ("tcp://build1:x", "'tcp://build1:x' names no port", "2375"),
        ("ssh://me@build1", "does not connect by ssh", "run it on build1"),
    ],
)
def test_addresses_that_are_refused(
    address: str, message: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(EngineError) as caught:
        looked_at()
    assert message in caught.value.message
    assert hint in str(caught.value.hint)


def test_a_socket_that_is_not_for_this_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise docker.errors.DockerException("('aborted', PermissionError(13, 'denied'))")

    monkeypatch.setenv("DOCKER_HOST", "unix:///some.sock")
    monkeypatch.setattr(client, "_client", refuse)
    with pytest.raises(EngineError, match=r"unix:///some.sock: permission denied$") as caught:
        client.connect()
    assert caught.value.hint == "run it as root, or as a user in the group docker"


def test_certificates_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2376")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    with pytest.raises(EngineError, match="DOCKER_TLS_VERIFY is set") as caught:
        looked_at()
    assert "DOCKER_CERT_PATH" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("url", "remote"),
    [
        ("unix:///var/run/docker.sock", None),
        ("tcp://127.0.0.1:2375", None),
        ("tcp://localhost:2375", None),
        ("tcp://192.0.2.1:2375", "192.0.2.1"),
        ("tcp://docker.invalid:2375", "docker.invalid"),
    ],
)
def test_engines_on_other_machines(url: str, remote: str | None) -> None:
    assert engine(Address(url)).remote_host == remote


class Version(BaseHTTPRequestHandler):
    """The one answer that `connect` needs of an engine."""

    def do_GET(self) -> None:
        body = b'{"ApiVersion": "1.41"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_the_engine_s_own_ca_wins_over_that_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("ca", "other"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
             "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1",
             "-keyout", f"{name}-key.pem", "-out", f"{name}.pem"],
            cwd=tmp_path, check=True, capture_output=True,
        )  # fmt: skip
    shutil.copy(tmp_path / "ca.pem", tmp_path / "cert.pem")
    shutil.copy(tmp_path / "ca-key.pem", tmp_path / "key.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "ca.pem", tmp_path / "ca-key.pem")
    with HTTPServer(("127.0.0.1", 0), Version) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "other.pem"))
        with caplog.at_level("DEBUG", "nagoya"):
            assert client.connect().version() == {"ApiVersion": "1.41"}
        server.shutdown()
    assert re.search(r"GET /v1\.41/version: 200, \d\.\d{3} s", caplog.text)
    assert re.search(r"asking for the engine's version: \d\.\d{3} s", caplog.text)
