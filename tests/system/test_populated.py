"""The demo as images: a Koji with its seed, a repository and a build from its first moment on."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import docker
import koji
import pytest
import requests
import yaml

from nagoya.config import extends, loader
from nagoya.config.declaration import Declaration
from nagoya.config.tags import reference
from nagoya.koji import rpm
from tests.system.conftest import PROGRAMS, Koji


@pytest.fixture(scope="module")
def populated(
    start: Callable[..., Koji],
    declaration: Declaration,
    checkout: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Koji:
    """A system of the demo's images, which are made unless they are there; tests may change it."""
    subprocess.run([PROGRAMS / "moromi", "-c", declaration.path, "build", "demo"], check=True)
    demo = yaml.safe_load((checkout / "demo/moromi.yml").read_text())
    config = tmp_path_factory.mktemp("demo") / "moromi.yml"
    config.write_text(yaml.safe_dump({**demo, "extends": str(declaration.path)}))
    return start("populated", config=config)


def new_repos(session: koji.ClientSession) -> list[int]:
    return [task["state"] for task in session.listTasks(opts={"method": "newRepo"})]


def test_it_holds_what_the_demo_holds(populated: Koji, checkout: Path, tmp_path: Path) -> None:
    seeding = populated.toji("seed", str(checkout / "demo/seed.yml")).stderr
    assert seeding.count("unchanged") == 2
    assert "changes" not in seeding

    session = populated.session()
    assert [build["nvr"] for build in session.listTagged("demo")] == ["hello-1.0-1.demo"]
    url = f"{populated.description['urls']['files']}/packages/hello/1.0/1.demo/noarch"
    name = "hello-1.0-1.demo.noarch.rpm"
    answer = requests.get(f"{url}/{name}", verify=populated.description["ca"], timeout=30)
    (tmp_path / name).write_bytes(answer.content)
    assert rpm.read(tmp_path / name).nvr == "hello-1.0-1.demo"


@pytest.mark.slow
def test_its_repository_is_current_and_nobody_makes_another(populated: Koji) -> None:
    session = populated.session()
    repo = session.getRepo("demo-build")
    assert repo["state"] == koji.REPO_STATES["READY"]
    made_of = [tag["parent_id"] for tag in session.getFullInheritance("demo-build")]
    made_of.append(session.getTag("demo-build")["id"])
    assert not session.tagChangedSinceEvent(repo["create_event"], made_of)
    url = f"{populated.description['urls']['files']}/repos/demo-build/{repo['id']}/x86_64"
    data = requests.get(
        f"{url}/repodata/repomd.xml", verify=populated.description["ca"], timeout=30
    )
    assert data.status_code == 200

    before = new_repos(session)
    assert set(before) == {koji.TASK_STATES["CLOSED"]}
    populated.toji("verify")
    # kojira has had the time of two builds to think otherwise.
    assert new_repos(session) == before
    assert session.getRepo("demo-build")["id"] == repo["id"]


def test_its_credentials_are_its_own_and_nothing_else_is_trusted(
    populated: Koji, running: Koji
) -> None:
    authorities = [Path(site.description["ca"]).read_text() for site in (populated, running)]
    assert authorities[0] != authorities[1]
    bundles, counts = [], []
    for site in (populated, running):
        shown = site.toji("exec", "kojibuilder", "cat", "/etc/ssl/certs/ca-certificates.crt").stdout
        bundles.append(shown)
        listed = site.toji("exec", "kojibuilder", "ls", "/etc/ssl/certs").stdout
        counts.append((shown.count("BEGIN CERTIFICATE"), len(listed.split())))
    assert bundles[0].replace(authorities[0], authorities[1]) == bundles[1]
    assert counts[0] == counts[1]
    # The keys of a session are as good as a certificate; none of another instance's is left.
    query = "SELECT count(*) FROM sessions WHERE start_time < pg_postmaster_start_time()"
    psql = ("runuser", "-u", "postgres", "--", "psql", "-At", "koji", "-c", query)
    assert populated.toji("exec", "kojidatabase", *psql).stdout == "0\n"


@pytest.mark.parametrize("image", loader.read(extends.shipped()).produced_by, ids=str)
def test_no_image_holds_a_key_or_a_name_of_the_system_it_was_made_of(
    populated: Koji, declaration: Declaration, image: str
) -> None:
    image = reference(image, declaration.tag)
    places = "/etc /home /opt /root /run /srv /tmp /usr /var /mnt"
    search = f"! grep -rlI -e '^-----BEGIN [A-Z ]*PRIVATE KEY-----$' {places}"
    shell = ("--rm", "--entrypoint", "sh", image, "-c")
    populated.run("docker", "run", *shell, search)
    populated.run("docker", "run", *shell, "! ls -A /dev/shm /var/lib/mock /run/lock | grep [a-z]$")
    client = docker.DockerClient(populated.run("sh", "-c", "echo $DOCKER_HOST").stdout.strip())
    config = client.api.inspect_image(image)["Config"]
    client.close()
    # What a commit cannot remove is empty, and so counts as unset.
    assert {
        variable.partition("=")[0] for variable in config["Env"] if not variable.endswith("=")
    } == {"PATH"}
    assert not config["Labels"].get("nagoya.system")
    assert not config["Labels"].get("nagoya.private.embedded")
