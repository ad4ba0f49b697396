"""A Koji on a PostgreSQL outside of it: what toji does with it, and what it refuses."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from nagoya.config.declaration import Declaration
from nagoya.engine import connect
from nagoya.engine.resources import network_name
from tests.image.postgresql import NAME, PostgreSQL
from tests.image.tracked import Containers, wait_until
from tests.system.conftest import Koji

FILE = "/etc/pki/koji/postgresql.crt"
BOOKWORM = "docs/examples/bookworm/moromi.yml"


@pytest.fixture
def examples(declaration: Declaration, checkout: Path, tmp_path: Path) -> Path:
    """A copy of the examples, with the Koji under test."""
    examples = tmp_path / "examples"
    for name in ("postgresql", "hubs"):
        shutil.copytree(checkout / "docs/examples" / name, examples / name)
        shutil.copy(checkout / "kojicallbacks.py", examples / name)
    config = examples / "postgresql/moromi.yml"
    extends = f"extends: {declaration.path}"
    config.write_text(config.read_text().replace("extends: nagoya", extends))
    return examples


@pytest.fixture
def site(examples: Path, tmp_path: Path) -> Iterator[Koji]:
    """The example's Koji, whose containers were started, and that waits for a certificate."""
    site = Koji("external", tmp_path, examples / "postgresql/moromi.yml")
    site.toji("init", check=False)  # it fails if it sees the hub end
    yield site
    site.toji("remove")


@pytest.fixture
def containers(site: Koji, declaration: Declaration) -> Iterator[Containers]:
    tracked = Containers(connect().client, declaration.tag)
    yield tracked
    tracked.remove_all()


@pytest.mark.slow
def test_a_system_without_a_database(site: Koji, containers: Containers) -> None:
    refused = site.toji("wait", check=False)
    assert refused.status
    assert f"KOJI_DATABASE_URL: sslrootcert: there is no file {FILE}" in refused.stderr
    server = on_a_server(site, containers)
    assert set(site.status()) == {"kojicreds", "kojitop", "koji", "kojibuilder"}
    backup = site.home / "koji.tar"
    verbs = [
        "reset",
        "snapshot create one",
        "snapshot list",
        f"backup {backup}",
        "upgrade --no-backup",
    ]
    for words in verbs:
        refused = site.toji(*words.split(), check=False)
        assert refused.status, words
        assert "the database is outside of this system" in refused.stderr, (words, refused)
        assert "docs/postgresql.md" in refused.stderr
    assert not backup.exists()
    # The hub's container is replaced, and its data is where it was.
    site.client("add-tag", "theirs")
    assert server.ask("SELECT name FROM tag", "koji") == "theirs"
    assert site.config
    text = site.config.read_text()
    site.config.write_text(text + "      KOJI_SITE_NAME: another\n")
    site.toji("up")
    assert "theirs" in site.client("list-tags").stdout


@pytest.mark.long
def test_debian_12s_postgresql(site: Koji, containers: Containers, checkout: Path) -> None:
    """PostgreSQL 15; the other test has that of the images, which is 17."""
    site.run("moromi", "-c", str(checkout / BOOKWORM), "build", "koji-database")
    containers.tag = "bookworm"
    server = on_a_server(site, containers)
    assert server.ask("SHOW server_version").startswith("15.")
    site.toji("verify")


@pytest.mark.long
def test_several_hubs(site: Koji, containers: Containers, examples: Path) -> None:
    on_a_server(site, containers)
    hubs = examples / "hubs/moromi.yml"
    site.run("moromi", "-c", str(hubs), "build", "front")
    site.toji("-c", str(hubs), "up", "--timeout", "600")
    front = f"https://127.0.0.1:{site.status()['front']['ports']['443']}/kojihub"

    def refusal(*options: str) -> str:
        ended = site.client("--server", front, *options, "moshimoshi", check=False)
        return ended.stderr if ended.status else ""

    # Its builder calls the hubs by the name `front`.
    site.toji("verify")
    for name in ("koji", "hub"):
        site.run("docker", "stop", f"{site.system}-{name}")
        assert refusal() == ""
        site.toji("start")
        site.toji("wait")
    # A copy takes calls, alone too.
    site.toji("-c", str(hubs), "scale", "hub=2")
    site.run("docker", "stop", *(f"{site.system}-{name}" for name in ("koji", "hub")))
    wait_until(lambda: refusal() == "", 60, "the copy is called")
    site.toji("start")
    site.toji("wait")
    site.toji("user", "alice")
    certificate = shutil.copy(site.home / f".koji/nagoya/{site.system}/alice.pem", site.home)
    assert [refusal("--cert", certificate) for _ in range(4)] == [""] * 4
    site.toji("credentials", "revoke", "alice")
    assert "" not in [refusal("--cert", certificate) for _ in range(4)]


def on_a_server(site: Koji, containers: Containers) -> PostgreSQL:
    """Start the server, as somebody would who has the hub's certificate of the authority."""
    authority = site.home / f".koji/nagoya/{site.system}/koji_ca_cert.crt"
    server = PostgreSQL(containers, site.home / "server", authority.read_bytes(), "koji-database")
    server.sql("CREATE DATABASE koji OWNER koji")
    network = connect().client.networks.get(network_name(site.system))
    network.connect(server.container, aliases=[NAME])
    certificate = site.home / "postgresql.crt"
    certificate.write_bytes(server.authority)
    site.run("docker", "cp", str(certificate), f"{site.system}-kojicreds:{FILE}")
    site.toji("restart", "--timeout", "600", "koji")
    waited = site.toji("wait")
    assert "`toji reset` will not work: " in waited.stderr
    return server
