"""moromi push and pull, with Debian's docker-registry: TLS by an own authority, and a password."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
import yaml

from nagoya.engine import connect
from nagoya.engine.client import Handle
from nagoya.engine.transfer import read_folder
from tests.moromi.conftest import BASE, PROGRAM, Moromi
from tests.registry import DATA, PASSWORD, USER, Registry, forget, registry

NOWHERE = "127.0.0.1:9"
"""No registry is there."""
BILL = "/usr/share/nagoya/sbom.json"
ONE = f"FROM {BASE}\nRUN mkdir -p /usr/share/nagoya && echo '{{}}' >{BILL}\n"
TWO = "FROM X-one\nRUN echo two >/two\nCMD trap 'exit 0' TERM; while :; do sleep 0.1; done\n"


@pytest.fixture(scope="module")
def site(
    client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    """A registry that the engine trusts."""
    with registry(client, tmp_path_factory.mktemp("site") / "registry") as server:
        server.trust()
        yield server
        forget(client, NOWHERE)  # a push that failed leaves its names


@pytest.fixture
def login(site: Registry, tmp_path: Path) -> str:
    """A value of DOCKER_CONFIG."""
    return site.configuration(tmp_path / "login")


@pytest.fixture
def images(moromi: Moromi) -> dict[str, str | None]:
    """Two images, one of them built from the other; their ids."""
    moromi.declare(one=ONE, two=TWO)
    raw = yaml.safe_load((moromi.folder / "moromi.yml").read_text())
    raw["containers"] = {"server": {"image": moromi.name("two"), "stop_timeout": 2}}
    moromi.write("moromi.yml", yaml.safe_dump(raw))
    moromi("build")
    return {name: moromi.identity(name) for name in ("one", "two")}


def test_what_is_pulled_is_what_was_pushed(
    moromi: Moromi, site: Registry, login: str, images: dict[str, str | None]
) -> None:
    place = f"{site.address}/team/koji"
    out, _ = moromi("push", place, DOCKER_CONFIG=login)
    pinned = out.strip()
    assert re.fullmatch(rf"{place}/moromi@sha256:[0-9a-f]{{64}}", pinned)
    assert moromi("push", place, DOCKER_CONFIG=login)[0] == out

    forget(moromi.client, moromi.prefix, site.address)
    assert moromi.identity("two") is None
    out, err = moromi("pull", place, DOCKER_CONFIG=login)
    assert out.strip() == pinned
    assert {name: moromi.identity(name) for name in images} == images
    # An image that others use too is left alone.
    assert re.search(rf"{BASE} +present, sha256:", err)
    assert re.findall(r"X-(\w+) +(.*)", moromi("plan")[0]) == [
        ("one", "unchanged"),
        ("two", "unchanged"),
    ]

    # Another image takes the name, and gives it back: nothing has to be transferred.
    moromi.write("two/Dockerfile", TWO + "RUN true\n")
    moromi("build")
    assert moromi.identity("two") != images["two"]
    _, err = moromi("pull", pinned, DOCKER_CONFIG=login)
    assert re.search("X-two +pulled before", err)
    assert moromi.identity("two") == images["two"]


def test_it_says_what_is_in_the_images_and_how_they_were_made(
    moromi: Moromi, site: Registry, login: str, images: dict[str, str | None]
) -> None:
    pinned = moromi("push", f"{site.address}/koji", DOCKER_CONFIG=login)[0].strip()
    container = moromi.client.containers.create(pinned.replace("X-", moromi.prefix))
    try:
        files = read_folder(Handle(connect(), container), "/")
    finally:
        container.remove()
    assert files[f"sbom/{moromi.name('one')}.json"] == b"{}\n"
    provenance = json.loads(files[f"provenance/{moromi.name('two')}.json"])
    labels = moromi.client.api.inspect_image(pinned)["Config"]["Labels"]
    listed = json.loads(labels["nagoya.release"])
    name = moromi.name("two")
    assert provenance["subject"] == [
        {"name": f"{site.address}/koji/{name}", "digest": {"sha256": listed[name][7:]}}
    ]
    (parent,) = provenance["predicate"]["buildDefinition"]["resolvedDependencies"]
    parent_name = moromi.name("one")
    assert parent == {"name": parent_name, "digest": {"sha256": listed[parent_name][7:]}}
    assert set(listed) == {parent_name, name, BASE}


def test_a_system_is_started_from_a_registry(
    moromi: Moromi, site: Registry, login: str, images: dict[str, str | None]
) -> None:
    place = f"{site.address}/koji"
    moromi("push", place, DOCKER_CONFIG=login)
    toji = Toji(moromi, login)
    stack = yaml.safe_load(toji("export", "compose", "--swarm", "--from", place))
    forget(moromi.client, moromi.prefix, site.address)
    written = yaml.safe_load(toji("export", "compose", "--from", place))
    image = written["services"]["server"]["image"]
    assert re.fullmatch(rf"{place}/{moromi.name('two')}@sha256:[0-9a-f]{{64}}", image)
    assert stack["services"]["server"]["image"] == image
    try:
        toji("up", "--from", place)
        container = moromi.client.containers.get(f"{toji.system}-server")
        assert container.attrs["Image"] == images["two"]
        # What was pulled by digest is still known by it.
        assert moromi.client.api.inspect_image(image)["Id"] == images["two"]
        assert toji("up", "--dry-run") == ""
    finally:
        toji("remove")


class Toji:
    """toji on the same moromi.yml."""

    def __init__(self, moromi: Moromi, login: str) -> None:
        self.moromi, self.login = moromi, login
        self.system = moromi.prefix.rstrip("-")

    def __call__(self, *arguments: str) -> str:
        return subprocess.run(
            [PROGRAM.with_name("toji"), "--system", self.system, *arguments],
            cwd=self.moromi.folder,
            env={**os.environ, "DOCKER_CONFIG": self.login},
            check=True, stdout=subprocess.PIPE, text=True,
        ).stdout  # fmt: skip


def test_what_is_not_pushed(moromi: Moromi, images: dict[str, str | None]) -> None:
    """The registry is not even asked."""
    place = f"{NOWHERE}/koji"
    moromi.write("two/Dockerfile", TWO + "RUN true\n")
    _, err = moromi("push", place, status=6)
    assert "not up to date, so nothing was pushed:\n  X-two: two/Dockerfile changed" in err
    moromi.write("two/Dockerfile", """FROM X-one\nLABEL nagoya.private.embedded='["/keys"]'\n""")
    moromi("build")
    _, err = moromi("push", place, status=6)
    assert 'X-two contains secrets, so nothing was pushed: ["/keys"]' in err
    _, err = moromi("push", place, "X-three", status=64)
    assert "declares no image 'X-three'" in err
    _, err = moromi("push", "https://registry.example.com", status=64)
    assert "'https://registry.example.com' is not the address of a registry" in err


def test_each_failure_is_a_line_and_a_hint(
    moromi: Moromi, site: Registry, tmp_path: Path, images: dict[str, str | None]
) -> None:
    client, place = moromi.client, f"{site.address}/{moromi.prefix}koji"
    site.configuration(tmp_path / "wrong", "wrong")
    right = site.configuration(tmp_path / "right")

    def fails(*arguments: str, config: str = "none", status: int = 4) -> tuple[str, str]:
        _, err = moromi(*arguments, status=status, DOCKER_CONFIG=str(tmp_path / config))
        error, hint = err[err.index("moromi: ") :].splitlines()
        return error.replace(site.address, "HOST"), hint.replace(site.address, "HOST")

    site.distrust()
    for verb in ("push", "pull"):
        error, hint = fails(verb, place)
        assert "x509: certificate signed by unknown authority" in error
        assert "/etc/docker/certs.d/HOST/ca.crt" in hint
    site.trust()
    for verb in ("push", "pull"):
        error, hint = fails(verb, place)
        assert "no basic auth credentials" in error
        assert "`docker login HOST`" in hint
        error, hint = fails(verb, place, config="wrong")
        assert "unauthorized: authentication required" in error
        assert "`docker login HOST`" in hint
        error, hint = fails(verb, f"{NOWHERE}/koji")
        assert "connection refused" in error
        assert f"is {NOWHERE} right" in hint
    for image in (place, f"{place}/moromi@sha256:{'1' * 64}"):
        error, hint = fails("pull", image, config="right")
        assert "manifest unknown" in error
        assert "`moromi push` puts images there" in hint

    moromi("push", place, "X-one", DOCKER_CONFIG=right)
    error, hint = fails("pull", place, config="right", status=64)
    assert error.endswith(" has no X-two")
    assert f"it has {BASE}, X-one;" in hint
    # An image of somebody else's under the name of the list.
    client.api.tag(moromi.name("one"), f"{place}/moromi", "latest", force=True)
    auth = {"username": USER, "password": PASSWORD}
    client.api.push(f"{place}/moromi", "latest", auth_config=auth)
    _, err = moromi("pull", place, status=4, DOCKER_CONFIG=right)
    assert "moromi:latest is no release: it was not made by `moromi push`" in err

    # What the registry has under a digest is something else.
    moromi("push", place, DOCKER_CONFIG=right)
    (reference,) = client.api.inspect_image(f"{place}/{moromi.name('two')}")["RepoDigests"]
    digest = reference.rpartition(":")[2]
    forget(client, moromi.prefix, place)
    blob = f"{DATA}/docker/registry/v2/blobs/sha256/{digest[:2]}/{digest}/data"
    site.run(f"sed -i s/size/sizf/ {blob}")
    error, hint = fails("pull", place, config="right")
    assert f"@sha256:{digest}" in error
    assert "what the registry has is not what was pushed" in hint
