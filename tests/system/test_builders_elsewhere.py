"""Builders on other machines: from a bundle, without a volume, on a network of their own."""

import json
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import koji
import pytest
from cryptography import x509

from nagoya.config.declaration import Declaration
from nagoya.engine import connect
from nagoya.koji.builds import build, wait_for_repo
from nagoya.koji.verify import BUILD_TAG, BUILDROOT, TARGET
from nagoya.utils.command import run
from tests.debian_roots import debian_root
from tests.engines import Bridge, Podman
from tests.image.tracked import wait_until
from tests.system.building import host_of, hub_of, sources
from tests.system.conftest import Koji, Run, declaration_with

NAME = "koji.example.com"
DOCUMENT = "docs/builders-elsewhere.md"


@dataclass
class Elsewhere:
    """A Koji that is published, and a network that stands for another machine: it has no way to the
    hub but the published port."""

    koji: Koji
    network: str
    folder: Path
    command: list[str]
    containers: list[str] = field(default_factory=list)

    def bundle(self, name: str, file: str, check: bool = True) -> Run:
        path = str(self.folder / file)
        return self.koji.toji("builder", "bundle", name, "-o", path, check=check)

    def run(self, container: str, file: str, *options: str) -> None:
        """Run the document's command, without a resolver of names."""
        known = ("--network", self.network, "--add-host", f"{NAME}:host-gateway")
        self.koji.run(*self.words(container, self.folder / file, *known, *options))
        self.containers.append(container)

    def words(self, container: str, bundle: Path, *options: str) -> list[str]:
        """The document's command, with another name, bundle and image, and more options."""
        changed = {"--name": container, "--volume": f"{bundle}:/run/secrets/koji-builder-bundle:ro"}
        words = [
            changed.get(before, word)
            for before, word in zip(["", *self.command], self.command, strict=False)
        ]
        return [*words[:-1], *options, self.koji.status()["kojibuilder"]["image"]]

    def log(self, container: str) -> str:
        run = self.koji.run("docker", "logs", container)
        return run.stdout + run.stderr

    def wait_for(self, container: str, text: str, times: int = 1) -> None:
        deadline = time.monotonic() + 180
        while self.log(container).count(text) < times:
            assert time.monotonic() < deadline, self.log(container)
            time.sleep(0.5)

    def host(self, session: koji.ClientSession) -> dict[str, Any]:
        return dict(session.getHost("far", strict=True))


@pytest.fixture(scope="module")
def elsewhere(
    start: Callable[..., Koji],
    declaration: Declaration,
    checkout: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Elsewhere]:
    def publish(raw: dict[str, Any]) -> None:
        raw["containers"]["koji"]["ports"] = ["0.0.0.0::80", "0.0.0.0::443"]
        raw["containers"]["koji"]["environment"]["KOJI_WEB_URL"] = (
            f"https://{NAME}:{{port:443}}/koji"
        )

    folder = tmp_path_factory.mktemp("elsewhere")
    site = start("far", config=declaration_with(declaration, checkout, folder, publish))
    text = (checkout / DOCUMENT).read_text()
    (block,) = re.findall(r"^```sh\n(docker run .*?)^docker logs", text, re.MULTILINE | re.DOTALL)
    network = f"{site.system}-elsewhere"
    site.run("docker", "network", "create", network)
    command = shlex.split(block.replace("\\\n", " "))
    elsewhere = Elsewhere(site, network, tmp_path_factory.mktemp("bundles"), command)
    try:
        yield elsewhere
    finally:
        for container in elsewhere.containers:
            print(elsewhere.log(container))
            site.run("docker", "rm", "--force", "--volumes", container)
        site.run("docker", "network", "rm", network)


@pytest.fixture(scope="module")
def far(elsewhere: Elsewhere) -> str:
    """The container of a builder that has registered itself."""
    container = f"{elsewhere.koji.system}-far-away"
    elsewhere.bundle("far", "far.json")
    elsewhere.run(container, "far.json")
    elsewhere.wait_for(container, "registered far in the channels default\n")
    return container


def test_it_builds_an_rpm_and_shares_nothing(
    elsewhere: Elsewhere, far: str, checkout: Path, tmp_path: Path
) -> None:
    site, hub = elsewhere.koji, hub_of(elsewhere.koji)
    session = hub.session()
    assert "is in no channel createrepo: its tasks read the top" in elsewhere.log(far)
    assert [each["name"] for each in session.listChannels(elsewhere.host(session)["id"])] == [
        "default"
    ]
    (attributes,) = json.loads(site.run("docker", "inspect", far).stdout)
    assert [mount["Destination"] for mount in attributes["Mounts"]] == [
        "/run/secrets/koji-builder-bundle"
    ]
    assert list(attributes["NetworkSettings"]["Networks"]) == [elsewhere.network]
    listed = json.loads(site.toji("builder", "list", "--json").stdout)["builders"]
    assert {(each["name"], each["container"]) for each in listed} == {
        ("far", False),
        ("kojibuilder", True),
    }
    assert "far" not in site.status()
    # All that the channel `default` gets is for the builder elsewhere.
    session.removeHostFromChannel("kojibuilder", "default")
    site.toji("seed", str(checkout / "demo/seed.yml"))
    package = sources(site, "hello").write(tmp_path)
    wait_for_repo(hub, BUILD_TAG, [BUILDROOT])
    built = build(hub, TARGET, package)
    assert "hello-1.0-1.demo.noarch.rpm" in built.rpms
    hosts = {host["id"]: host["name"] for host in session.listHosts()}
    worked = {
        (task["method"], hosts[task["host_id"]])
        for task in session.listTasks(opts={"state": [koji.TASK_STATES["CLOSED"]]})
        if task["method"] in ("build", "buildArch", "rebuildSRPM", "createrepo")
    }
    on_far = {(method, "far") for method in ("build", "buildArch", "rebuildSRPM")}
    assert worked == {*on_far, ("createrepo", "kojibuilder")}


def test_a_bundle_is_one_builder_s(elsewhere: Elsewhere, far: str) -> None:
    second = f"{far}-2"
    elsewhere.run(second, "far.json", "--env", "KOJI_WAIT_SECONDS=2")
    elsewhere.wait_for(second, "another builder named far is at work")
    assert elsewhere.host(hub_of(elsewhere.koji).session())["enabled"]
    elsewhere.koji.run("docker", "rm", "--force", second)
    elsewhere.containers.remove(second)


def test_what_cannot_be_a_bundle(elsewhere: Elsewhere, far: str) -> None:
    """Nothing is written then."""

    def refused(name: str, file: str = "refused.json") -> str:
        run = elsewhere.bundle(name, file, check=False)
        assert run.status != 0
        assert not (elsewhere.folder / "refused.json").exists()
        return run.stderr

    assert (elsewhere.folder / "far.json").stat().st_mode & 0o777 == 0o600
    assert "far.json exists already" in refused("other", "far.json")
    assert "there is a builder named far already" in refused("far")
    assert "'kojiadmin' is the name of a user" in refused("kojiadmin")
    assert "'kojibuilder' is the name of a container" in refused("kojibuilder")
    assert "'../far' cannot be a builder's name" in refused("../far")


def test_it_stops_and_returns(elsewhere: Elsewhere, far: str) -> None:
    session = hub_of(elsewhere.koji).session()

    def registration(*command: str) -> str:
        script = ("python3", "/usr/lib/nagoya/registration.py")
        return elsewhere.koji.run("docker", "exec", far, *script, *command).stderr

    assert "far has finished its tasks" in registration("drain", "60")
    # What a stop does too, for as long as a stop may take.
    assert "disabled far on the hub, and freed 0 tasks" in registration("leave")
    assert not elsewhere.host(session)["enabled"]
    elsewhere.koji.run("docker", "restart", far)
    elsewhere.wait_for(far, "far is registered in the channels default")
    assert elsewhere.host(session)["enabled"]


@pytest.mark.slow
def test_it_moves_to_another_authority(elsewhere: Elsewhere, far: str) -> None:
    """As the document says: restarted between the two commands, it needs no other bundle."""
    site = elsewhere.koji

    def issuer() -> x509.Name:
        pem = site.run("docker", "exec", far, "cat", "/etc/pki/koji/far.pem").stdout
        return x509.load_pem_x509_certificate(pem.encode()).issuer

    def restart() -> None:
        line = "far is registered in the channels default"
        times = elsewhere.log(far).count(line) + 1
        site.run("docker", "restart", far)
        elsewhere.wait_for(far, line, times)

    former = issuer()
    site.toji("credentials", "rotate")
    restart()
    assert issuer() != former
    site.toji("credentials", "rotate", "--retire")
    restart()
    assert elsewhere.host(hub_of(site).session())["enabled"]
    answer = json.loads(site.toji("credentials", "list", "--json").stdout)
    states = {each["name"]: each["state"] for each in answer["certificates"]}
    assert states["far"] == "valid"


@pytest.mark.slow
def test_it_is_revoked_and_gets_another_bundle(elsewhere: Elsewhere, far: str) -> None:
    site = elsewhere.koji
    site.toji("credentials", "revoke", "far")
    elsewhere.wait_for(far, "the certificate of far was revoked")
    assert "`toji builder bundle far -o FILE` makes another bundle" in elsewhere.log(far)
    site.run("docker", "rm", "--force", far)
    elsewhere.containers.remove(far)
    elsewhere.bundle("far", "again.json")
    elsewhere.run(far, "again.json", "--env", "KOJI_BUILDER_ARCHES=aarch64")
    elsewhere.wait_for(far, "far is registered in the channels default")
    assert elsewhere.host(hub_of(site).session())["arches"] == "aarch64"


def test_a_hub_that_is_stopped(elsewhere: Elsewhere, far: str) -> None:
    elsewhere.koji.toji("stop")
    stopped = elsewhere.bundle("late", "late.json", check=False)
    assert "koji does not run, and it makes the bundle" in stopped.stderr
    assert not (elsewhere.folder / "late.json").exists()


def test_a_koji_for_this_machine_alone_makes_none(running: Koji, tmp_path: Path) -> None:
    file = tmp_path / "far.json"
    refused = running.toji("builder", "bundle", "far", "-o", str(file), check=False)
    assert "published on 127.0.0.1 alone, which no other machine reaches" in refused.stderr
    assert "docs/lan.md" in refused.stderr
    assert not file.exists()


@pytest.mark.long
def test_it_runs_with_podman(elsewhere: Elsewhere, checkout: Path, tmp_path: Path) -> None:
    """Of Debian 13, rootful: `podman run` takes the arguments of `docker run`."""
    elsewhere.bundle("podded", "podded.json")
    with Bridge() as bridge, Podman("far", bridge, root=debian_root("trixie")) as engine:
        # The engine sees its own folder, and of this machine no other.
        bundle = engine.folder / "podded.json"
        shutil.copy(elsewhere.folder / "podded.json", bundle)
        known = ("--add-host", f"{NAME}:{bridge.router.ip}")
        _, *words, image = elsewhere.words("podded", bundle, *known)
        engine.load(connect().address, image)

        def podman(*words: str) -> str:
            return run([*engine.client, *words])

        podman(*words, image)
        site, hub = elsewhere.koji, hub_of(elsewhere.koji)
        session = hub.session()
        wait_until(lambda: session.getHost("podded"), 120)
        session.removeHostFromChannel("kojibuilder", "default")
        site.toji("seed", str(checkout / "demo/seed.yml"))
        wait_for_repo(hub, BUILD_TAG, [BUILDROOT])
        package = sources(site, "hello").write(tmp_path)
        built = build(hub, TARGET, package, scratch=True)
        assert host_of(session, built.task) == "podded"
        podman("rm", "--force", "podded")
