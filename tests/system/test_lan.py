"""A Koji for other machines: a name and an address of the site's, its own certificate, proxies."""

import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
import koji
import pytest
import yaml
from docker.models.containers import Container

from nagoya.config.declaration import Declaration
from nagoya.engine.client import connect
from tests.system.conftest import PROGRAMS, Koji, Run, declaration_with
from util.certificates import Authority, key_pem, make_key, pem

NAME, HUB = "koji.example.com", "hub.example.com"
ADDRESS = "127.0.0.2"
PROXY = "nagoya-test-haproxy"
CA = "koji_ca_cert.crt"
# All names of example.com lead here, since this machine has no name of its own.
RESOLVED = """
import runpy, socket, sys
real = socket.getaddrinfo
def here(host, *args, **options):
    return real("127.0.0.1" if str(host).endswith(".example.com") else host, *args, **options)
socket.getaddrinfo = here
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@dataclass
class Lan:
    """A system to which a name and an address were added while it ran, and what was before."""

    koji: Koji
    before: dict[str, Any]
    session: koji.ClientSession

    @cached_property
    def port(self) -> int:
        """The port of the hub, which it keeps."""
        return int(self.koji.status()["koji"]["ports"]["443"])

    def change(self, **environment: str) -> None:
        """Add variables of the hub to moromi.yml, and `toji up`."""
        assert self.koji.config
        raw = yaml.safe_load(self.koji.config.read_text())
        raw["containers"]["koji"]["environment"] |= environment
        self.koji.config.write_text(yaml.safe_dump(raw))
        self.koji.toji("up")

    def curl(self, host: str, path: str, *options: str, port: int | None = None) -> tuple[str, str]:
        """The status of an answer, and its text; names of example.com lead to 127.0.0.1."""
        port = port or self.port
        run = self.koji.run(
            "curl", "--silent", "--show-error", "--write-out", "\n%{http_code}",
            "--resolve", f"*:{port}:127.0.0.1", *options, f"https://{host}:{port}{path}",
        )  # fmt: skip
        text, _, status = run.stdout.rpartition("\n")
        return status, text

    @property
    def trusting(self) -> tuple[str, str]:
        """curl's option to trust the system's authority."""
        return "--cacert", self.koji.description["ca"]

    def client(self, *arguments: str, check: bool = True) -> Run:
        """The koji client as alice, on a machine that knows the names."""
        profile = f"nagoya-{self.koji.system}"
        certificate = f"--cert={self.koji.home}/.koji/nagoya/{self.koji.system}/alice.pem"
        command = (sys.executable, "-c", RESOLVED, str(PROGRAMS / "koji"), "-p", profile)
        return self.koji.run(*command, certificate, *arguments, check=check)


@pytest.fixture(scope="module")
def lan(
    start: Callable[..., Koji],
    declaration: Declaration,
    checkout: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Lan:
    folder = tmp_path_factory.mktemp("lan")
    config = declaration_with(declaration, checkout, folder, lambda raw: None)
    site = start("lan", config=config)
    site.toji("user", "alice")
    folder = site.home / ".koji/nagoya" / site.system
    session = site.session(certificate=folder / "alice.pem")
    lan = Lan(site, facts(site), session)
    raw = yaml.safe_load(config.read_text())
    raw["containers"]["koji"]["ports"] = ["0.0.0.0::80", "0.0.0.0::443"]
    config.write_text(yaml.safe_dump(raw))
    lan.change(KOJI_WEB_URL=f"https://{NAME}:{{port:443}}/koji", KOJI_HUB_NAMES=f"{HUB} {ADDRESS}")
    return lan


def facts(site: Koji) -> dict[str, Any]:
    """What a new name must not change."""
    folder = site.home / ".koji/nagoya" / site.system
    status = site.status()
    return {
        "certificates": json.loads(site.toji("credentials", "list", "--json").stdout),
        "files": {path.name: path.read_bytes() for path in sorted(folder.glob("*.[pc]*"))},
        "ports": status["koji"]["ports"],
        "created": {name: status[name]["created"] for name in ("kojidatabase", "kojibuilder")},
    }


def test_a_name_and_an_address_are_added_to_a_running_system(lan: Lan) -> None:
    assert facts(lan.koji) == lan.before
    urls = lan.koji.description["urls"]
    assert urls["hub"] == f"https://{NAME}:{lan.port}/kojihub"
    assert urls["web"] == f"https://{NAME}:{lan.port}/koji"
    assert f"server = {urls['hub']}" in lan.koji.run("cat", profile(lan.koji)).stdout
    for name in (NAME, HUB, ADDRESS, "127.0.0.1", "localhost"):
        assert lan.curl(name, "/koji/reports", *lan.trusting)[0] == "200"
    evil = ("--header", "Host: evil.example.com")
    assert lan.curl(NAME, "/koji/reports", *lan.trusting, *evil)[0] == "421"


def test_an_old_koji_that_others_can_reach_is_warned_of(lan: Lan) -> None:
    version = lan.session.getKojiVersion()
    warned = f"published on 0.0.0.0; version {version} gets no more corrections"
    is_old = tuple(map(int, version.split(".")[:2])) < (1, 33)
    assert (warned in lan.koji.toji("wait").stderr) == is_old


def test_users_and_builders_go_on(lan: Lan) -> None:
    """A session and a certificate of before, at the new name and at the old address."""
    assert lan.session.getLoggedInUser()["name"] == "alice"
    assert "alice" in lan.client("hello").stdout
    (host,) = lan.session.listHosts()
    update = lan.session.getLastHostUpdate(host["id"], ts=True)
    deadline = time.monotonic() + 120
    while lan.session.getLastHostUpdate(host["id"], ts=True) == update:
        assert time.monotonic() < deadline, "the builder does not check in"
        time.sleep(1)
    # toji needs no name.
    lan.koji.toji("user", "bob")


def profile(site: Koji) -> str:
    return str(site.home / f".koji/config.d/nagoya-{site.system}.conf")


def certificate_of(folder: Path, name: str) -> bytes:
    """A key and its certificate by another authority, which `folder` gets."""
    folder.mkdir()
    authority, key = Authority.create(folder), make_key()
    signed = authority.sign("site", key.public_key(), [name], server=True)
    return key_pem(key) + pem(signed)


@pytest.fixture(scope="module")
def proxy(lan: Lan) -> Iterator[Callable[..., Any]]:
    """Run Debian's HAProxy with a configuration, in the system's network."""
    engine = docker.DockerClient(base_url=connect().address)
    text = f"""FROM {lan.koji.status()["kojitop"]["image"]}
    RUN apt-get update && apt-get install -y --no-install-recommends haproxy
    ENTRYPOINT []"""
    engine.images.build(fileobj=io.BytesIO(text.encode()), tag=PROXY, rm=True)

    @contextmanager
    def run(configuration: str, site: bytes = b"") -> Iterator[int]:
        container: Container = engine.containers.create(
            PROXY,
            ["sh", "-c", "printenv CFG >/c; printenv PEM >/p; printenv CA >/a; exec haproxy -f /c"],
            environment={
                "CFG": configuration,
                "PEM": site.decode(),
                "CA": Path(lan.koji.description["ca"]).read_text(),
            },
            network=lan.koji.system,
            ports={"443/tcp": ("127.0.0.1", None)},
        )
        try:
            container.start()
            container.reload()
            yield int(container.ports["443/tcp"][0]["HostPort"])
        finally:
            print(container.logs().decode())
            container.remove(force=True, v=True)

    yield run
    engine.images.remove(PROXY, force=True)
    engine.close()


def retried(answer: Callable[[], tuple[str, str]]) -> str:
    """The status of an answer, once the proxy has started."""
    for _ in range(60):
        try:
            return answer()[0]
        except pytest.fail.Exception:
            time.sleep(1)
    return answer()[0]


TIMEOUTS = "defaults\n timeout connect 5s\n timeout client 5m\n timeout server 5m\n"


def test_behind_a_proxy_that_passes_tls_on(lan: Lan, proxy: Callable[..., Any]) -> None:
    passing = f"{TIMEOUTS} mode tcp\nlisten koji\n bind :443\n server koji koji:443\n"
    with proxy(passing) as port:
        assert retried(lambda: lan.curl(NAME, "/koji/", *lan.trusting, port=port)) == "200"
        hello = lan.client(f"--server=https://{NAME}:{port}/kojihub", "hello").stdout
        assert "alice" in hello
        assert urlsplit(lan.koji.description["urls"]["hub"]).port != port


def test_behind_a_proxy_that_ends_tls(lan: Lan, proxy: Callable[..., Any], tmp_path: Path) -> None:
    """Everybody can read, and nobody can log in."""
    site, trusting = certificate_of(tmp_path / "ca", NAME), ("--cacert", str(tmp_path / "ca" / CA))
    ending = (
        f"{TIMEOUTS} mode http\nlisten koji\n bind :443 ssl crt /p\n"
        f" server koji koji:443 ssl verify required ca-file /a verifyhost {NAME}\n"
    )
    with proxy(ending, site) as port:
        assert retried(lambda: lan.curl(NAME, "/koji/", *trusting, port=port)) == "200"
        assert lan.curl(NAME, "/kojifiles/repos/", *trusting, port=port)[0] == "200"
        status, text = lan.curl(NAME, "/koji/login", *trusting, port=port)
        assert (status, "certificate" in text) == ("403", True)
        assert "<fault>" not in call(lan, "getAPIVersion", "/kojihub", *trusting, port=port)
        alice = ("--cert", f"{lan.koji.home}/.koji/nagoya/{lan.koji.system}/alice.pem")
        login = call(lan, "sslLogin", "/kojihub/ssllogin", *trusting, *alice, port=port)
        assert "<fault>" in login


def call(lan: Lan, method: str, path: str, *options: str, port: int) -> str:
    """The hub's answer to a call, as XML."""
    body = f"<methodCall><methodName>{method}</methodName><params/></methodCall>"
    header = ("--header", "Content-Type: text/xml")
    return lan.curl(NAME, path, *options, *header, "--data", body, port=port)[1]


def test_browsers_get_a_certificate_of_the_site_s(lan: Lan, tmp_path: Path) -> None:
    trusting = ("--cacert", str(tmp_path / "ca" / CA))
    path = "/etc/pki/koji/site.pem"
    reload = ("exec", "koji", "python3", "/usr/lib/nagoya/reload_credentials.py")

    def copy(pem: bytes) -> None:
        (tmp_path / "site.pem").write_bytes(pem)
        source, target = str(tmp_path / "site.pem"), f"{lan.koji.system}-kojicreds:{path}"
        lan.koji.run("docker", "cp", source, target)

    copy(certificate_of(tmp_path / "ca", NAME))
    lan.change(KOJI_SITE_CERTIFICATE=path)
    assert lan.curl(NAME, "/koji/", *trusting)[0] == "200"
    for name in (HUB, ADDRESS, "127.0.0.1"):
        assert lan.curl(name, "/koji/", *lan.trusting)[0] == "200"
    # Another name than that of the handshake.
    evil = ("--header", f"Host: {HUB}")
    assert lan.curl(NAME, "/koji/", *trusting, *evil)[0] == "421"
    urls = lan.koji.description["urls"]
    assert urls["web"] == f"https://{NAME}:{lan.port}/koji"
    assert urls["hub"] == f"https://127.0.0.1:{lan.port}/kojihub"
    assert "alice" in lan.client("hello").stdout
    certificate = ("--cert", f"{lan.koji.home}/.koji/nagoya/{lan.koji.system}/alice.pem")
    assert lan.curl(NAME, "/koji/login", *trusting, *certificate)[0] == "302"
    # Renewed, by another authority; then with another's key.
    trusting = ("--cacert", str(tmp_path / "other" / CA))
    renewed = certificate_of(tmp_path / "other", NAME)
    copy(renewed)
    lan.koji.toji(*reload)
    assert lan.curl(NAME, "/koji/", *trusting)[0] == "200"
    copy(key_pem(make_key()) + renewed[renewed.index(b"-----BEGIN CERT") :])
    refusal = lan.koji.toji(*reload, check=False)
    assert refusal.status != 0
    assert f"KOJI_SITE_CERTIFICATE: the key in {path} is not that" in refusal.stderr
    assert lan.curl(NAME, "/koji/", *trusting)[0] == "200"


def test_at_ipv6_addresses(
    start: Callable[..., Koji], declaration: Declaration, checkout: Path, tmp_path: Path
) -> None:
    """The hub and its files, by the addresses of the profile; builders need no IPv6."""

    def publish(raw: dict[str, Any]) -> None:
        raw["containers"]["koji"]["ports"] = ["[::]::80", "[::1]::443"]

    site = start("lan6", config=declaration_with(declaration, checkout, tmp_path, publish))
    urls = site.description["urls"]
    assert {urlsplit(urls[name]).hostname for name in ("hub", "web", "topurl")} == {"::1"}
    assert "kojiadmin" in site.client("hello").stdout
    site.toji("verify")
